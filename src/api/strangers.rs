//! Requests whose signature does not hold, in the audit trail: as many as show that somebody tries, and no more than the disk
//! can bear, however many come.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many are recorded at once.
const BURST: u32 = 60;
/// How long it takes until one more is.
const EACH: Duration = Duration::from_secs(2);

/// How many may be recorded now.
pub(super) struct Strangers {
    bucket: Mutex<Bucket>,
}

struct Bucket {
    left: u32,
    since: Instant,
    unrecorded: u64,
}

impl Default for Strangers {
    fn default() -> Self {
        Self { bucket: Mutex::new(Bucket { left: BURST, since: Instant::now(), unrecorded: 0 }) }
    }
}

impl Strangers {
    /// Whether one more is recorded: then how many were not since the last that was.
    pub fn admit(&self, now: Instant) -> Option<u64> {
        // Numbers: a panic cannot leave them half changed in a way that matters.
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let more = u32::try_from(now.saturating_duration_since(bucket.since).as_millis() / EACH.as_millis())
            .unwrap_or(u32::MAX);
        if more > 0 {
            bucket.left = bucket.left.saturating_add(more).min(BURST);
            bucket.since = now;
        }
        if bucket.left == 0 {
            bucket.unrecorded += 1;
            return None;
        }
        bucket.left -= 1;
        Some(std::mem::take(&mut bucket.unrecorded))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_recorded_in_part_and_counted() {
        let (strangers, now) = (Strangers::default(), Instant::now());
        assert_eq!((0..1000).filter_map(|_| strangers.admit(now)).count(), BURST as usize);
        let later = now + EACH + EACH / 2;
        assert_eq!((strangers.admit(later), strangers.admit(later)), (Some(1000 - u64::from(BURST)), None));
        let later = later + EACH * 2;
        let admitted = (strangers.admit(later), strangers.admit(later), strangers.admit(later));
        assert_eq!(admitted, (Some(1), Some(0), None));
    }
}
