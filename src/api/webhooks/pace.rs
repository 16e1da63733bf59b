//! How many deliveries are taken: a bucket of tokens that refills.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Deliveries per second in the long run. A busy team has a few in a minute.
const PER_SECOND: f64 = 500.0;
/// Deliveries at once: all of what a host sends again after an outage.
const BURST: f64 = 20_000.0;

/// What is left of the bucket, and since when.
#[derive(Debug)]
pub(super) struct Pace(Mutex<(f64, Instant)>);

impl Default for Pace {
    fn default() -> Self {
        Self(Mutex::new((BURST, Instant::now())))
    }
}

impl Pace {
    /// Takes a token, if there is one.
    pub(super) fn admits(&self) -> bool {
        self.admits_at(Instant::now())
    }

    fn admits_at(&self, now: Instant) -> bool {
        let mut bucket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let refilled = (bucket.0 + now.saturating_duration_since(bucket.1).as_secs_f64() * PER_SECOND).min(BURST);
        let admitted = refilled >= 1.0;
        *bucket = (if admitted { refilled - 1.0 } else { refilled }, now);
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_burst_passes_and_a_flood_does_not() {
        let (pace, now) = (Pace::default(), Instant::now());
        assert_eq!((0..30_000).filter(|_| pace.admits_at(now)).count(), 20_000);
        let later = now + Duration::from_secs(1);
        assert_eq!((0..30_000).filter(|_| pace.admits_at(later)).count(), 500);
    }
}
