//! Passive ejection: an instance that refuses connections rests 1 s, then twice as long each time, up to 30 s.
//!
//! One word, so that all cores share it without a lock: failures in the top byte, the end of the rest in the others.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const FIRST_MS: u64 = 1_000;
const LONGEST_MS: u64 = 30_000;
const SHIFT: u32 = 56;
/// Beyond that many failures the rest is the longest anyway.
const MOST_FAILURES: u64 = 16;

/// How long the rest after that many failures in a row is, in milliseconds.
pub(super) fn rest_ms(failures: u64) -> u64 {
    let doubled = failures.saturating_sub(1).min(MOST_FAILURES);
    (FIRST_MS << doubled).min(LONGEST_MS)
}

/// The state of one instance. Times are milliseconds of one monotonic clock.
#[derive(Debug, Default)]
pub(super) struct Ejection(AtomicU64);

/// What the choice needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// It gets requests.
    Good,
    /// It gets none.
    Resting,
    /// The rest is over: whoever claims it may try with one request.
    Due,
}

impl Ejection {
    /// Whether it has failed and not succeeded since; then it is worth reading a clock.
    pub(super) fn is_marked(&self) -> bool {
        self.0.load(Relaxed) != 0
    }

    /// The health at a time.
    pub(super) fn health(&self, now: u64) -> Health {
        match unpack(self.0.load(Relaxed)) {
            (0, _) => Health::Good,
            (_, until) if now < until => Health::Resting,
            _ => Health::Due,
        }
    }

    /// Takes the one probe of an instance that is due. Until it succeeds the instance rests, longer than before.
    pub(super) fn claim(&self, now: u64) {
        let next = |word| {
            let (failures, until) = unpack(word);
            (failures > 0 && now >= until).then(|| pack(failures + 1, now))
        };
        // Lost to another request: then that one is the probe, and this one merely a second.
        let _ = self.0.fetch_update(Relaxed, Relaxed, next);
    }

    /// A connection failed. Returns the length of the rest if this begins one: of many failures at once one counts.
    pub(super) fn fail(&self, now: u64) -> Option<u64> {
        let next = |word| {
            let (failures, until) = unpack(word);
            (failures == 0 || now >= until).then(|| pack(failures + 1, now))
        };
        let before = self.0.fetch_update(Relaxed, Relaxed, next).ok()?;
        Some(rest_ms(unpack(before).0 + 1))
    }

    /// It answered.
    pub(super) fn succeed(&self) {
        if self.is_marked() {
            self.0.store(0, Relaxed);
        }
    }
}

fn pack(failures: u64, now: u64) -> u64 {
    let failures = failures.min(MOST_FAILURES);
    (failures << SHIFT) | (now + rest_ms(failures))
}

fn unpack(word: u64) -> (u64, u64) {
    (word >> SHIFT, word & ((1 << SHIFT) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_double_from_one_second_to_thirty() {
        let rests: Vec<_> = [1, 2, 3, 4, 5, 6, 7, 200].map(rest_ms).into();
        assert_eq!(rests, [1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
    }

    #[test]
    fn many_failures_at_once_count_once() {
        let ejection = Ejection::default();
        assert_eq!(ejection.fail(5), Some(1000));
        assert_eq!(ejection.fail(6), None);
        assert_eq!(ejection.health(1004), Health::Resting);
        assert_eq!(ejection.health(1005), Health::Due);
    }

    #[test]
    fn one_request_probes_while_the_others_go_on_to_avoid_it() {
        let ejection = Ejection::default();
        ejection.fail(0);
        ejection.claim(1000);
        assert_eq!(ejection.health(1001), Health::Resting);
        assert_eq!(ejection.health(3000), Health::Due, "a failed probe rests twice as long");
        ejection.succeed();
        assert_eq!(ejection.health(1), Health::Good);
    }
}
