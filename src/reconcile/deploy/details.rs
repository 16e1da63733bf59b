//! What people who watch read of an operation's begin and end: which version and why, how long it took, where it serves.
//! Pure. App Runner's own words stay in the event's message ([`super::words`]).

use super::words::words;
use crate::model::{Cause, CommitId, Operation, OperationKind, OperationStatus, Reason, Reference, Revision};
use std::time::Duration;

/// `Deployment started: commit ba05e61 is new on main.`
pub fn started(operation: &Operation, reference: Option<&Reference>, before: Option<&CommitId>) -> String {
    format!("{} started: {}.", what(operation), why(operation, reference, before))
}

/// Why it was begun.
pub fn why(operation: &Operation, reference: Option<&Reference>, before: Option<&CommitId>) -> String {
    match &operation.cause {
        Cause::Manifest { place } => format!("declared at {place}"),
        Cause::Commit { commit } => news(commit, reference.unwrap_or(&Reference::Default), before),
        Cause::Manual { principal, reason: None } => format!("asked for by {principal}"),
        Cause::Manual { principal, reason: Some(reason) } => format!("asked for by {principal} ({reason})"),
        Cause::Rollback { principal, from } => {
            let to = operation.target.revision.map(|n| format!(" to {n}")).unwrap_or_default();
            format!("from revision {from}{to}, asked for by {principal}")
        }
    }
}

/// A branch is meant to move; a tag that does is said so.
fn news(commit: &CommitId, reference: &Reference, before: Option<&CommitId>) -> String {
    let short = commit.short();
    match (reference, before) {
        (Reference::Tag(tag), Some(before)) => format!("tag {tag} was moved from commit {} to {short}", before.short()),
        (Reference::Tag(tag), None) => format!("tag {tag} was moved to commit {short}"),
        (branch, _) => format!("commit {short} is new on {branch}"),
    }
}

/// `Deployment completed in 1.4s: revision 2 (ba05e61 Say v2) serves http://shop.localhost:8080/`
pub fn succeeded(operation: &Operation, revision: Option<&Revision>, url: &str) -> String {
    let head = format!("{} completed in {}", what(operation), took(operation));
    let runs = !matches!(operation.kind, OperationKind::PauseService | OperationKind::DeleteService);
    match revision.filter(|_| runs) {
        Some(revision) => {
            let commit = &revision.commit;
            format!("{head}: revision {} ({} {}) serves {url}", revision.number, commit.id.short(), commit.summary)
        }
        None => format!("{head}."),
    }
}

/// `Deployment failed after 5.1s: the application exited with code 1, 3 times in a row:` and the lines it quotes.
pub fn failed(operation: &Operation) -> String {
    let (what, took) = (what(operation), took(operation));
    let Some(failure) = &operation.failure else { return format!("{what} failed after {took}.") };
    let ended = match (failure.reason, operation.status) {
        // The message says that it was cancelled or superseded.
        (Reason::Cancelled | Reason::Superseded, _) => "ended",
        (_, OperationStatus::RollbackSucceeded) => "failed and went back",
        (_, OperationStatus::RollbackFailed) => "failed, and going back failed too,",
        _ => "failed",
    };
    let serves = if operation.previous.is_some() && operation.status != OperationStatus::RollbackFailed {
        "\nWhat served before goes on."
    } else {
        ""
    };
    format!("{what} {ended} after {took}: {}{serves}", failure.message)
}

fn what(operation: &Operation) -> &'static str {
    match operation.cause {
        Cause::Rollback { .. } => "Rollback",
        _ => words(operation).what,
    }
}

fn took(operation: &Operation) -> String {
    let begun = operation.started_at.unwrap_or(operation.created_at);
    let span = operation.ended_at.map_or(Duration::ZERO, |end| end.since(begun));
    match span.as_secs() {
        0 if span.as_millis() < 100 => format!("{}ms", span.as_millis()),
        0..60 => format!("{:.1}s", span.as_secs_f64()),
        s => format!("{}m {}s", s / 60, s % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Class, Failure, OperationId, OperationTarget, RevisionNumber, ServiceId, Timestamp};

    fn operation(kind: OperationKind, cause: Cause) -> Operation {
        let target = OperationTarget { revision: Some(RevisionNumber(1)), ..OperationTarget::nothing() };
        let (id, service) = (OperationId::from_random([1; 16]), ServiceId::from_random([2; 16]));
        let accepted = Operation::accepted(id, service, kind, cause, target, Timestamp(0));
        let (started_at, ended_at) = (Some(Timestamp(1_000)), Some(Timestamp(3_450)));
        let (status, previous) = (OperationStatus::Failed, Some(RevisionNumber(2)));
        Operation { status, previous, started_at, ended_at, ..accepted }
    }

    #[test]
    fn the_begin_says_why() {
        let commit = "ba05e6109981b25f6100e6657216e82d74db40a7".parse().unwrap();
        let deployment = operation(OperationKind::StartDeployment, Cause::Commit { commit });
        let main = Reference::Branch("main".parse().unwrap());
        assert_eq!(started(&deployment, Some(&main), None), "Deployment started: commit ba05e61 is new on main.");
        let (tag, before) =
            (Reference::Tag("v1.2".parse().unwrap()), "3f2a91c0d9e8f7a6b5c4d3e2f1a0b9c8d7e6f5a4".parse().unwrap());
        assert_eq!(
            started(&deployment, Some(&tag), Some(&before)),
            "Deployment started: tag v1.2 was moved from commit 3f2a91c to ba05e61."
        );
        let cause = Cause::Manifest { place: "towpath.yaml:2".into() };
        let update = operation(OperationKind::UpdateService, cause);
        assert_eq!(started(&update, None, None), "Service update started: declared at towpath.yaml:2.");
        let cause = Cause::Rollback { principal: "local:ann".into(), from: RevisionNumber(2) };
        let rollback = operation(OperationKind::StartDeployment, cause);
        assert_eq!(started(&rollback, None, None), "Rollback started: from revision 2 to 1, asked for by local:ann.");
    }

    #[test]
    fn the_end_says_how_long_it_took_and_what_goes_on() {
        let cause = Cause::Manual { principal: "local:ann".into(), reason: None };
        let mut deployment = operation(OperationKind::StartDeployment, cause.clone());
        let message = "the application exited with code 1:\n  | boom".to_owned();
        deployment.failure =
            Some(Failure { reason: Reason::InstanceExited, class: Class::Stalled, message, step: None });
        assert_eq!(
            failed(&deployment),
            "Deployment failed after 2.5s: the application exited with code 1:\n  | boom\nWhat served before goes on."
        );
        assert_eq!(deployment.failure.unwrap().headline(), "the application exited with code 1");
        let pause = operation(OperationKind::PauseService, cause);
        assert_eq!(succeeded(&pause, None, "http://shop.localhost/"), "Service pause completed in 2.5s.");
    }
}
