//! When a version is tried again that failed for a reason that passes by itself: pure, from what is stored.

use crate::model::{Class, Digest, Held, HeldReason, Operation, OperationStatus, ServiceRecord, Timestamp};
use crate::store::World;
use std::time::Duration;

/// The rest after the first failure.
const FIRST: Duration = Duration::from_secs(30);
/// The longest rest: a source or an engine that is away for a day is asked 24 times, not 1440.
const LONGEST: Duration = Duration::from_secs(3600);

/// Whether a held version may be tried again now.
pub fn is_due(world: &World, record: &ServiceRecord, held: &Held, now: Timestamp) -> bool {
    if held.why != HeldReason::Transient {
        return false;
    }
    // What was held in the future was held before the clock was set back.
    held.at > now || now.since(held.at) >= rest(tries(world, record, held), jitter(record, held))
}

/// How often it was tried in a row, the last time included.
fn tries(world: &World, record: &ServiceRecord, held: &Held) -> u32 {
    let mut of_service: Vec<&Operation> = world.operations.values().filter(|o| o.service == record.id).collect();
    of_service.sort_by(|a, b| b.order().cmp(&a.order()));
    let failed = |o: &&&Operation| {
        let passing = o.failure.as_ref().is_some_and(|f| f.class != Class::Stalled);
        passing && o.status != OperationStatus::Succeeded && o.target.commit.as_ref() == Some(&held.commit)
    };
    u32::try_from(of_service.iter().take_while(failed).count()).unwrap_or(u32::MAX)
}

/// 30 s doubling to an hour, made up to a quarter longer or shorter by `jitter` (0 to 1).
fn rest(tries: u32, jitter: f64) -> Duration {
    let doubled = FIRST.saturating_mul(2_u32.saturating_pow(tries.saturating_sub(1).min(16)));
    doubled.min(LONGEST).mul_f64(0.75 + jitter / 2.0)
}

/// The same for every look at one failure, and another for each: services that failed together are not tried together.
fn jitter(record: &ServiceRecord, held: &Held) -> f64 {
    let digest = Digest::of(&(&record.id, held.at));
    let byte = u8::from_str_radix(&digest.as_str()[..2], 16).unwrap_or(128);
    f64::from(byte) / 255.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        Cause, CommitId, Failure, HostLabel, OperationId, OperationKind, OperationTarget, Owner, Reason, ServiceId,
    };
    use crate::store::Write;

    fn commit(digit: char) -> CommitId {
        digit.to_string().repeat(40).parse().unwrap()
    }

    fn held(at: i64) -> Held {
        let (why, message) = (HeldReason::Transient, "connection refused".into());
        Held { commit: commit('a'), spec: None, why, message, at: Timestamp(at) }
    }

    /// A service whose last operations failed in passing, with these commits, oldest first.
    fn world(commits: &str) -> (World, ServiceRecord) {
        let (id, label) = (ServiceId::from_random([1; 16]), HostLabel::from_random([0; 10]));
        let record = ServiceRecord::created(id, "shop".parse().unwrap(), label, Owner::Declared, Timestamp(0));
        let failure =
            Failure { reason: Reason::SourceFailed, class: Class::Retry, message: "refused".into(), step: None };
        let mut world = World::default();
        for (n, digit) in commits.chars().enumerate() {
            let n = u8::try_from(n).unwrap();
            let (id, cause) = (OperationId::from_random([n; 16]), Cause::Commit { commit: commit(digit) });
            let target = OperationTarget { commit: Some(commit(digit)), ..OperationTarget::nothing() };
            let at = Timestamp(i64::from(n));
            let kind = OperationKind::StartDeployment;
            let accepted = Operation::accepted(id, record.id.clone(), kind, cause, target, at);
            let (status, failure) = (OperationStatus::Failed, Some(failure.clone()));
            world.apply(vec![Write::PutOperation(Box::new(Operation { status, failure, ..accepted }))]);
        }
        (world, record)
    }

    #[test]
    fn the_rest_doubles_with_each_try_up_to_an_hour() {
        let rests: Vec<u64> = [0, 1, 2, 3, 7, 8, 99, u32::MAX].map(|n| rest(n, 0.5).as_secs()).into();
        assert_eq!(rests, [30, 30, 60, 120, 1920, 3600, 3600, 3600]);
        assert!(rest(1, 0.0) < rest(1, 1.0));
        assert!(rest(99, 1.0) <= LONGEST.mul_f64(1.25));
    }

    #[test]
    fn only_tries_of_the_same_commit_in_a_row_count() {
        for (commits, expected) in [("", 0), ("a", 1), ("aaa", 3), ("aab", 0), ("abaa", 2)] {
            let (world, record) = world(commits);
            assert_eq!(tries(&world, &record, &held(0)), expected, "{commits}");
        }
    }

    #[test]
    fn a_version_rests_and_is_then_tried_again_and_a_clock_that_was_set_back_holds_nothing_up() {
        let (world, record) = world("aaa");
        let due = |at, now| is_due(&world, &record, &held(at), Timestamp(now));
        assert!(!due(0, 89_000) && due(0, 150_001), "two minutes, a quarter more or less");
        assert!(due(10_000_000, 0));
        let failed = Held { why: HeldReason::Failed, ..held(0) };
        assert!(!is_due(&world, &record, &failed, Timestamp(i64::MAX)), "a bad commit is not tried again");
    }
}
