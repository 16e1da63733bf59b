//! What a shift changes in the stored world, and what going back changes. Pure; executed twice it gives the same.

use crate::model::{
    Cause, CommitId, Digest, Held, HeldReason, InstanceRecord, InstanceRole, Operation, OperationKind, Pause, Revision,
    RevisionNumber, ServiceRecord, Timestamp, Undo,
};
use crate::reconcile::operation::hold;
use crate::store::{World, Write};

/// The writes by which traffic moves: executed once or twice, they give the same.
pub(super) fn shifted(world: &World, operation: &Operation, head: Option<&CommitId>, now: Timestamp) -> Vec<Write> {
    let Some(mut record) = world.draft(&operation.service) else { return Vec::new() };
    record.updated_at = now;
    match operation.kind {
        OperationKind::PauseService => pause_record(&mut record, operation, now),
        OperationKind::DeleteService => {}
        _ => adopt(world, &mut record, operation, head, now),
    }
    let mut writes = roles_after_shift(world, operation);
    writes.push(Write::PutService(Box::new(record)));
    writes
}

fn pause_record(record: &mut ServiceRecord, operation: &Operation, now: Timestamp) {
    let (principal, reason) = match &operation.cause {
        Cause::Manual { principal, reason } => (principal.clone(), reason.clone()),
        _ => ("towpath".to_owned(), None),
    };
    record.paused.get_or_insert(Pause { principal, reason, at: now });
}

/// The service after traffic moved to the operation's revision.
fn adopt(world: &World, record: &mut ServiceRecord, operation: &Operation, head: Option<&CommitId>, now: Timestamp) {
    let before = operation.before.as_ref().and_then(|b| b.applied.clone());
    let number = operation.revision.or(record.current);
    let revision = number.and_then(|n| world.revisions.get(&(record.id.clone(), n)));
    if let Some(spec) = operation.target.spec.clone().or_else(|| revision.map(|r| r.spec.clone())) {
        record.applied = Some(spec);
    }
    record.current = number;
    record.create_failed = None;
    record.paused = None;
    let Some(revision) = revision else { return };
    if operation.kind == OperationKind::ResumeService
        && let Some(head) = head.filter(|h| **h != revision.commit.id)
        && !record.held.iter().any(|h| &h.commit == head)
    {
        // What arrived during the pause is not deployed by the resume (row D5); what was held before it stays so.
        let message = "arrived while the service was paused".into();
        hold(record, Held { commit: head.clone(), spec: None, why: HeldReason::Paused, message, at: now });
    }
    if let Cause::Rollback { from, .. } = &operation.cause {
        hold_rolled_back(world, record, revision, *from, now);
        // What was in force may differ from every revision: settings change in place too.
        if let Some(before) = before.filter(|b| b != &revision.spec) {
            let message = format!("rolled back from revision {from} to revision {}", revision.number);
            let (commit, spec) = (revision.commit.id.clone(), Some(Digest::of(&before)));
            hold(record, Held { commit, spec, why: HeldReason::RolledBack, message, at: now });
        }
    }
    record.held.retain(|h| h.commit != revision.commit.id || h.spec.is_some());
}

/// After a rollback neither the commits rolled back from nor the configuration that came with them return by themselves.
fn hold_rolled_back(world: &World, record: &mut ServiceRecord, to: &Revision, from: RevisionNumber, now: Timestamp) {
    let id = record.id.clone();
    // Going forward again, to a revision later than the current one, leaves nothing behind.
    if to.number >= from {
        return;
    }
    let later = world.revisions.range((id.clone(), RevisionNumber(to.number.0 + 1))..=(id, from));
    for (_, revision) in later {
        let message = format!("rolled back from revision {} to revision {}", from, to.number);
        let held = |commit, spec| Held { commit, spec, why: HeldReason::RolledBack, message: message.clone(), at: now };
        if revision.commit.id != to.commit.id {
            hold(record, held(revision.commit.id.clone(), None));
        }
        if revision.spec != to.spec {
            hold(record, held(to.commit.id.clone(), Some(Digest::of(&revision.spec))));
        }
    }
}

/// New instances serve, old ones retire. A change in place touches none.
fn roles_after_shift(world: &World, operation: &Operation) -> Vec<Write> {
    if operation.target.in_place {
        return Vec::new();
    }
    let of_service = world.instances.values().filter(|i| i.service == operation.service);
    of_service
        .filter_map(|i| {
            let new = operation.instances.contains(&i.id);
            let role = if new { InstanceRole::Serving } else { InstanceRole::Retiring };
            (i.role != role).then(|| Write::PutInstance(InstanceRecord { role, ..i.clone() }))
        })
        .collect()
}

pub(super) fn unshifted(world: &World, operation: &Operation, now: Timestamp) -> Vec<Write> {
    let Some(mut record) = world.draft(&operation.service) else { return Vec::new() };
    record.updated_at = now;
    if let Some(before) = operation.before.as_deref().cloned() {
        let Undo { applied, current, paused, held, create_failed } = before;
        record = ServiceRecord { applied, current, paused, held, create_failed, ..record };
    }
    let mut writes = vec![Write::PutService(Box::new(record))];
    // A change in place touched no instance.
    let touched = world.instances.values().filter(|i| i.service == operation.service && !operation.target.in_place);
    for instance in touched {
        let role = match (operation.instances.contains(&instance.id), Some(instance.revision) == operation.previous) {
            (true, _) => InstanceRole::Starting,
            (false, true) => InstanceRole::Serving,
            (false, false) => instance.role,
        };
        writes.push(Write::PutInstance(InstanceRecord { role, ..instance.clone() }));
    }
    writes
}
