//! What a service did since the ingress started, counted by each core on its own.

use crate::link::Totals;
use http::StatusCode;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

#[derive(Debug, Default)]
#[repr(align(128))]
struct Slot {
    requests: AtomicU64,
    classes: [AtomicU64; 5],
    latency_us: AtomicU64,
}

/// The counters of one service.
#[derive(Debug)]
pub(super) struct Counters(Box<[Slot]>);

impl Counters {
    pub(super) fn new(cores: usize) -> Self {
        Self((0..cores).map(|_| Slot::default()).collect())
    }

    /// Counts one answer. On the core's own thread.
    pub(super) fn count(&self, core: usize, status: StatusCode, latency: Duration) {
        let slot = &self.0[core];
        add(&slot.requests, 1);
        if let Some(class) = slot.classes.get(usize::from(status.as_u16() / 100).wrapping_sub(1)) {
            add(class, 1);
        }
        add(&slot.latency_us, u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
    }

    /// The sum over all cores.
    pub(super) fn sum(&self) -> Totals {
        let mut totals = Totals::default();
        for slot in &self.0 {
            totals.requests += slot.requests.load(Relaxed);
            totals.latency_us += slot.latency_us.load(Relaxed);
            for (sum, class) in totals.classes.iter_mut().zip(&slot.classes) {
                *sum += class.load(Relaxed);
            }
        }
        totals
    }
}

/// One writer per slot: no locked instruction needed.
fn add(counter: &AtomicU64, amount: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(amount), Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_class_over_all_cores() {
        let counters = Counters::new(2);
        counters.count(0, StatusCode::OK, Duration::from_micros(5));
        counters.count(1, StatusCode::BAD_GATEWAY, Duration::from_micros(7));
        assert_eq!(counters.sum(), Totals { requests: 2, classes: [0, 1, 0, 0, 1], latency_us: 12 });
    }
}
