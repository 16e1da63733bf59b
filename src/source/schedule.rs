//! When to poll: interval, jitter, exponential backoff. Pure: time and randomness are passed in.
//!
//! A clock that jumps neither stalls polling (what was asked in the future is due) nor makes a
//! burst (after each poll the next is a whole wait away from *then*; missed polls are not made up for).

use crate::model::{Poll, Times, Timestamp};
use std::time::Duration;

/// Nothing is polled more often than this, whatever the settings say.
const SHORTEST: Duration = Duration::from_millis(100);

/// By how much less often a source is asked that announces what is new, and how seldom that may be.
const CALM: u32 = 10;
const CALMEST: Duration = Duration::from_secs(600);
/// What failed that is asked at times is tried again after twice this, then at a growing distance.
const RETRY: Duration = Duration::from_secs(30);

/// How polling is spaced; the same for all sources.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PollSchedule {
    /// The time between polls that succeed.
    pub interval: Duration,
    /// By which fraction a wait is made shorter or longer, 0 to 1, so that sources do not stay in step.
    pub jitter: f64,
    /// The longest wait after failures, before jitter; never below the interval.
    pub longest: Duration,
}

impl PollSchedule {
    /// The usual spacing: ±10 %, failures double the wait up to ten minutes.
    pub fn every(interval: Duration) -> Self {
        Self { interval, jitter: 0.1, longest: Duration::from_secs(600) }
    }

    /// The same for a source that says itself when there is something new: asked all the same, but seldom.
    pub fn calm(self) -> Self {
        let interval = self.interval.saturating_mul(CALM).min(self.interval.max(CALMEST));
        Self { interval, ..self }
    }

    /// The wait after this many failures in a row, with jitter by `random` (0 to 1).
    fn wait(&self, failures: u32, random: f64) -> Duration {
        let interval = self.interval.max(SHORTEST);
        let doubled = interval.saturating_mul(2_u32.saturating_pow(failures.min(20)));
        let base = doubled.min(self.longest.max(interval));
        let swing = self.jitter.clamp(0.0, 1.0) * (2.0 * random.clamp(0.0, 1.0) - 1.0);
        base.mul_f64(1.0 + swing).max(SHORTEST)
    }
}

/// How one source is paced.
#[derive(Clone, Debug, PartialEq)]
pub enum Pace {
    /// At a distance.
    Every(PollSchedule),
    /// At times.
    At(Vec<Times>),
}

impl Pace {
    /// What is declared of a source: of several, the one that asks sooner.
    pub fn of(polls: &[Poll]) -> Option<Self> {
        let intervals = polls.iter().filter_map(|poll| match poll {
            Poll::Every(interval) => Some(*interval),
            Poll::At(_) => None,
        });
        if let Some(shortest) = intervals.min() {
            return Some(Self::Every(PollSchedule::every(shortest)));
        }
        let times = polls.iter().filter_map(|poll| match poll {
            Poll::At(times) => Some(times.clone()),
            Poll::Every(_) => None,
        });
        let times: Vec<Times> = times.collect();
        (!times.is_empty()).then_some(Self::At(times))
    }

    /// The state after a poll that ended now. What announces itself is asked seldom; at times it is asked at them. A failure
    /// at a time is not left until the next: it is tried again as others are.
    pub fn after(&self, state: PollState, outcome: Outcome, now: Timestamp, random: f64) -> PollState {
        let wait = match (self, outcome) {
            (Self::Every(schedule), Outcome::Announced) => return state.succeeded(&schedule.calm(), now, random),
            (Self::Every(schedule), Outcome::Succeeded) => return state.succeeded(schedule, now, random),
            (Self::Every(schedule), Outcome::Failed) => return state.failed(schedule, now, random),
            (Self::At(times), _) => {
                let next = times.iter().filter_map(|times| times.next(now)).min();
                next.map_or(CALMEST, |next| next.since(now))
            }
        };
        match outcome {
            Outcome::Failed => {
                let failed = state.failed(&PollSchedule::every(RETRY), now, random);
                PollState { wait: failed.wait.min(wait), ..failed }
            }
            _ => PollState { failures: 0, asked: now, wait },
        }
    }
}

/// How a poll ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The source says itself what is new.
    Announced,
    /// It answered.
    Succeeded,
    /// It did not.
    Failed,
}

/// Where one source stands in the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PollState {
    failures: u32,
    asked: Timestamp,
    wait: Duration,
}

impl PollState {
    /// A source that was not asked yet: due at once.
    pub fn new(now: Timestamp) -> Self {
        Self { failures: 0, asked: now, wait: Duration::ZERO }
    }

    /// The state after a poll that ended now with success.
    #[must_use]
    pub fn succeeded(self, schedule: &PollSchedule, now: Timestamp, random: f64) -> Self {
        Self { failures: 0, asked: now, wait: schedule.wait(0, random) }
    }

    /// The state after a poll that ended now without success.
    #[must_use]
    pub fn failed(self, schedule: &PollSchedule, now: Timestamp, random: f64) -> Self {
        let failures = self.failures.saturating_add(1);
        Self { failures, asked: now, wait: schedule.wait(failures, random) }
    }

    /// The state after someone said *look now*: due at once, failures remembered.
    #[must_use]
    pub fn hastened(self, now: Timestamp) -> Self {
        Self { asked: now, wait: Duration::ZERO, ..self }
    }

    /// How long until it is due; zero when it is. What was asked in the future was asked before the clock was set back: it
    /// is due, and the next wait is measured by the clock as it is then.
    pub fn remaining(&self, now: Timestamp) -> Duration {
        if self.asked > now { Duration::ZERO } else { self.wait.saturating_sub(now.since(self.asked)) }
    }

    /// When it is due, as the clock goes now.
    pub fn next(&self, now: Timestamp) -> Timestamp {
        now.plus(self.remaining(now))
    }

    /// How many polls failed in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn failures_double_the_wait_up_to_ten_minutes_and_success_resets_it() {
        let schedule = PollSchedule::every(seconds(30));
        let mut state = PollState::new(NOW);
        for expected in [60, 120, 240, 480, 600, 600, 600] {
            state = state.failed(&schedule, NOW, 0.5);
            assert_eq!(state.remaining(NOW), seconds(expected));
        }
        assert_eq!(state.succeeded(&schedule, NOW, 0.5).remaining(NOW), seconds(30));
    }

    #[test]
    fn a_new_source_and_a_hastened_one_are_due_at_once() {
        let schedule = PollSchedule::every(seconds(30));
        assert_eq!(PollState::new(NOW).next(NOW), NOW);
        let failed = PollState::new(NOW).failed(&schedule, NOW, 0.5).hastened(NOW);
        assert_eq!(failed.remaining(NOW), Duration::ZERO);
        assert_eq!(failed.failed(&schedule, NOW, 0.5).remaining(NOW), seconds(120));
    }

    #[test]
    fn a_calm_source_is_asked_ten_times_less_but_not_too_seldom() {
        let interval = |s: u64| PollSchedule::every(seconds(s)).calm().interval;
        assert_eq!([interval(30), interval(120), interval(3600)], [seconds(300), seconds(600), seconds(3600)]);
    }

    #[test]
    fn what_is_asked_at_times_is_asked_at_them_and_a_failure_is_tried_before() {
        let pace = Pace::of(&[Poll::At("0 6 * * *".parse().unwrap())]).unwrap();
        let six = Timestamp(1_800_014_400_000 - 1_800_014_400_000 % 86_400_000 + 6 * 3_600_000);
        let state = pace.after(PollState::new(six), Outcome::Succeeded, six.plus(seconds(10)), 0.5);
        assert_eq!(state.next(six.plus(seconds(10))), six.plus(seconds(86_400)));
        let mut failed = state;
        for expected in [60, 120, 240, 480, 600, 600] {
            failed = pace.after(failed, Outcome::Failed, six, 0.5);
            assert_eq!(failed.remaining(six), seconds(expected));
        }
        // Never past the next time.
        let before = six.plus(seconds(86_400 - 20));
        assert_eq!(pace.after(failed, Outcome::Failed, before, 0.5).remaining(before), seconds(20));
    }

    #[test]
    fn of_several_paces_the_shortest_interval_counts() {
        let polls = [Poll::Every(seconds(300)), Poll::At("0 6 * * *".parse().unwrap()), Poll::Every(seconds(60))];
        assert_eq!(Pace::of(&polls), Some(Pace::Every(PollSchedule::every(seconds(60)))));
        assert_eq!(Pace::of(&[]), None);
    }

    #[test]
    fn an_interval_longer_than_the_cap_is_kept_after_failures() {
        let schedule = PollSchedule::every(seconds(3600));
        assert_eq!(PollState::new(NOW).failed(&schedule, NOW, 0.5).remaining(NOW), seconds(3600));
    }

    #[test]
    fn a_clock_that_goes_back_a_year_does_not_stall_polling() {
        let state = PollState::new(NOW).succeeded(&PollSchedule::every(seconds(30)), NOW, 0.5);
        let past = Timestamp(NOW.0 - 365 * 86_400_000);
        assert_eq!(state.remaining(past), Duration::ZERO);
        let asked = state.succeeded(&PollSchedule::every(seconds(30)), past, 0.5);
        assert_eq!(asked.remaining(past.plus(seconds(10))), seconds(20));
    }

    #[test]
    fn a_clock_that_goes_forward_a_year_makes_one_poll_due_not_many() {
        let schedule = PollSchedule::every(seconds(30));
        let state = PollState::new(NOW).succeeded(&schedule, NOW, 0.5);
        let future = Timestamp(NOW.0 + 365 * 86_400_000);
        assert_eq!(state.remaining(future), Duration::ZERO);
        assert_eq!(state.succeeded(&schedule, future, 0.5).remaining(future), seconds(30));
    }

    proptest! {
        #[test]
        fn a_wait_stays_within_its_bounds_whatever_happens(
            interval in 0u64..86_400_000, jitter in -1.0f64..3.0, random in -1.0f64..2.0,
            failures in 0u32..1000, jump in i64::MIN / 4..i64::MAX / 4,
        ) {
            let schedule = PollSchedule { interval: Duration::from_millis(interval), jitter, longest: seconds(600) };
            let mut state = PollState::new(NOW);
            for _ in 0..failures {
                state = state.failed(&schedule, NOW, random);
            }
            let drawn = state.succeeded(&schedule, NOW, random).remaining(NOW);
            let longest = schedule.longest.max(schedule.interval).max(SHORTEST) * 2 + Duration::from_millis(1);
            prop_assert!(drawn >= SHORTEST && drawn <= longest);
            let jumped = Timestamp(jump);
            prop_assert!(state.remaining(jumped) <= longest);
            prop_assert!(state.next(jumped) >= jumped);
        }

        #[test]
        fn two_polls_of_a_source_are_never_closer_than_the_wait_however_the_clock_jumps(
            jumps in proptest::collection::vec(-100_000_000i64..100_000_000, 1..50), random in 0.0f64..=1.0,
        ) {
            let schedule = PollSchedule::every(seconds(30));
            let mut state = PollState::new(NOW);
            let mut now = NOW;
            for jump in jumps {
                now = Timestamp(now.0 + jump);
                if state.remaining(now).is_zero() {
                    state = state.succeeded(&schedule, now, random);
                    prop_assert!(state.remaining(now) >= seconds(27));
                }
                prop_assert!(state.remaining(now) <= seconds(33));
            }
        }
    }
}
