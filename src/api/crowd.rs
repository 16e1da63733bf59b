//! The connections of the network listener, bounded. Where there are too many, the one goes that has been waiting longest
//! without an authenticated request: strangers who only hold connections open, or send slowly, shut nobody out.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio_util::sync::CancellationToken;

/// The connections that are open.
pub(super) struct Crowd {
    most: usize,
    seats: Mutex<Seats>,
}

#[derive(Default)]
struct Seats {
    next: u64,
    /// In the order in which they came or last worked, so that the first idle one has been waiting longest.
    taken: BTreeMap<u64, Arc<Shared>>,
}

struct Shared {
    /// Its place in the order; changed under the lock only.
    number: AtomicU64,
    busy: AtomicUsize,
    close: CancellationToken,
}

/// A connection's place. Dropping it gives it back.
pub(super) struct Seat {
    crowd: Arc<Crowd>,
    shared: Arc<Shared>,
}

impl Crowd {
    /// A crowd of at most so many.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, seats: Mutex::default() })
    }

    /// A place for a new connection; an idle one is closed for it where all are taken. `None` if none is idle.
    pub fn enter(self: &Arc<Self>) -> Option<Seat> {
        let mut seats = self.seats();
        if seats.taken.len() >= self.most {
            let idle = seats.taken.iter().find(|(_, seat)| seat.busy.load(Ordering::Acquire) == 0).map(|(n, _)| *n)?;
            if let Some(seat) = seats.taken.remove(&idle) {
                seat.close.cancel();
            }
        }
        let shared = Arc::new(Shared { number: 0.into(), busy: 0.into(), close: CancellationToken::new() });
        seats.place_last(shared.clone());
        Some(Seat { crowd: self.clone(), shared })
    }

    /// How many there are.
    pub fn size(&self) -> usize {
        self.seats().taken.len()
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        // Every change of the seats is one insertion or removal: a panic cannot leave them half changed.
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seats {
    fn place_last(&mut self, shared: Arc<Shared>) {
        self.next += 1;
        shared.number.store(self.next, Ordering::Relaxed);
        self.taken.insert(self.next, shared);
    }

    fn take(&mut self, shared: &Shared) -> Option<Arc<Shared>> {
        self.taken.remove(&shared.number.load(Ordering::Relaxed))
    }
}

impl Seat {
    /// Comes when the place is given to another.
    pub fn closed(&self) -> CancellationToken {
        self.shared.close.clone()
    }

    /// Marks work for an authenticated caller, for as long as the result lives.
    pub fn work(self: &Arc<Self>) -> Work {
        self.shared.busy.fetch_add(1, Ordering::AcqRel);
        Work(self.clone())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.crowd.seats().take(&self.shared);
    }
}

/// See [`Seat::work`].
pub(super) struct Work(Arc<Seat>);

impl Drop for Work {
    fn drop(&mut self) {
        let Self(seat) = self;
        let mut seats = seat.crowd.seats();
        if let Some(shared) = seats.take(&seat.shared) {
            seats.place_last(shared);
        }
        seat.shared.busy.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_idle_connection_gives_way_and_a_working_one_never_does() {
        let crowd = Crowd::new(2);
        let seats: Vec<_> = (0..2).map(|_| Arc::new(crowd.enter().unwrap())).collect();
        let work = seats[0].work();
        let third = Arc::new(crowd.enter().unwrap());
        assert!(!seats[0].closed().is_cancelled() && seats[1].closed().is_cancelled());
        let _more = third.work();
        assert!(crowd.enter().is_none());
        drop(work);
        assert!(crowd.enter().is_some() && seats[0].closed().is_cancelled());
    }

    #[test]
    fn who_worked_last_is_the_last_to_go() {
        let crowd = Crowd::new(2);
        let seats: Vec<_> = (0..2).map(|_| Arc::new(crowd.enter().unwrap())).collect();
        drop(seats[0].work());
        let _third = crowd.enter().unwrap();
        assert!(!seats[0].closed().is_cancelled() && seats[1].closed().is_cancelled());
    }

    #[test]
    fn a_connection_that_ends_leaves_its_place() {
        let crowd = Crowd::new(1);
        drop(crowd.enter().unwrap());
        assert_eq!(crowd.size(), 0);
        let seat = Arc::new(crowd.enter().unwrap());
        drop(seat.work());
        drop(seat);
        assert_eq!(crowd.size(), 0);
    }
}
