//! What a change was computed from, as a digest, and whether a stored plan still fits the present.

use super::operations::{Next, Proposed};
use super::subject::Subject;
use super::words::listed;
use super::{Action, Change, NoteKind, Plan, Report};
use crate::model::{CommitId, Digest, ServiceName, ServiceRecord, ServiceSpec};
use crate::observed::ServiceView;
use serde::Serialize;
use std::fmt;

/// Why a stored plan is refused, for one service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stale {
    /// The service.
    pub service: ServiceName,
    /// What moved since the plan was made.
    pub moved: String,
}

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.service, self.moved)
    }
}

/// Everything that decides an operation: the declaration, the record but for its times, the commit, what it supersedes.
/// Instances are not part of it: an instance that was healed meanwhile changes nothing about a deployment.
pub(super) fn operation_basis(subject: &Subject, proposed: &Proposed) -> Digest {
    let (kind, commit, in_place) = match &proposed.next {
        Next::Create { commit } => ("create", commit.as_ref(), false),
        Next::Deploy { commit } => ("deploy", Some(commit), false),
        Next::Update { commit, in_place } => ("update", commit.as_ref(), *in_place),
        Next::Delete => ("delete", None, false),
    };
    Digest::of(&Basis {
        kind,
        service: subject.name,
        spec: proposed.spec,
        commit,
        in_place,
        record: subject.view.map(|v| RecordBasis::of(&v.record)),
        supersedes: proposed.supersedes.map(|o| o.id.as_str()),
    })
}

/// Everything that decides a healing: the revision, how many should serve, what each instance is worth.
pub(super) fn healing_basis(view: &ServiceView, verdicts: &[String]) -> Digest {
    Digest::of(&(&view.record.id, view.record.current, view.target_size, verdicts))
}

#[derive(Serialize)]
struct Basis<'a> {
    kind: &'static str,
    service: &'a ServiceName,
    spec: Option<&'a ServiceSpec>,
    commit: Option<&'a CommitId>,
    in_place: bool,
    record: Option<RecordBasis<'a>>,
    supersedes: Option<&'a str>,
}

#[derive(Serialize)]
struct RecordBasis<'a> {
    id: &'a str,
    applied: Option<&'a ServiceSpec>,
    current: Option<u32>,
    next_revision: u32,
    held: Vec<(&'a CommitId, Option<&'a Digest>)>,
    failed: bool,
}

impl<'a> RecordBasis<'a> {
    fn of(record: &'a ServiceRecord) -> Self {
        Self {
            id: record.id.as_str(),
            applied: record.applied.as_ref(),
            current: record.current.map(|r| r.0),
            next_revision: record.next_revision,
            held: record.held.iter().map(|h| (&h.commit, h.spec.as_ref())).collect(),
            failed: record.create_failed.is_some() || record.delete_failed.is_some(),
        }
    }
}

/// Whether a stored plan still fits, given one that was computed just now from the same function.
///
/// Every operation of the stored plan must be in the fresh one with the same basis. Healing and the removal of strays
/// are not compared: they happen by themselves, and the loop does them from fresh facts. New changes that the stored
/// plan does not have are no obstacle: they are not done by it.
///
/// # Errors
/// What moved, service by service.
pub fn check_stale(stored: &Plan, fresh: &Plan, report: &Report) -> Result<(), Vec<Stale>> {
    let operations = stored.changes.iter().filter(|c| c.action.operation().is_some());
    let stale: Vec<Stale> = operations.filter_map(|change| stale_change(change, fresh, report)).collect();
    if stale.is_empty() { Ok(()) } else { Err(stale) }
}

/// What of a manifest's changes is another thing now than it was in a plan that was made of the same manifest before:
/// [`check_stale`] both ways. New commits of services, and healing, have nothing to do with the manifest.
pub fn moved_since(planned: &Plan, now: &Plan, report: &Report) -> Vec<Stale> {
    let declared = |plan: &Plan| -> Vec<Change> {
        let ours = |c: &&Change| c.action.operation().is_some() && !matches!(c.action, Action::Deploy { .. });
        plan.changes.iter().filter(ours).cloned().collect()
    };
    let (before, after) = (declared(planned), declared(now));
    let mut moved: Vec<Stale> = before.iter().filter_map(|change| stale_change(change, now, report)).collect();
    let unplanned = after.iter().filter(|c| !before.iter().any(|b| b.service == c.service));
    moved.extend(unplanned.filter_map(|change| {
        let moved = format!("{} came to it, which was not in the plan", kind(&change.action));
        Some(Stale { service: change.service.clone()?, moved })
    }));
    moved
}

fn stale_change(stored: &Change, fresh: &Plan, report: &Report) -> Option<Stale> {
    let service = stored.service.clone()?;
    let now = fresh.changes.iter().find(|c| c.service.as_ref() == Some(&service) && c.action.operation().is_some());
    let moved = match now {
        Some(now) if now.basis == stored.basis => return None,
        Some(now) => what_moved(stored, now),
        None => format!("{} is not to be done any more{}", kind(&stored.action), reason(&service, report)),
    };
    Some(Stale { service, moved })
}

fn reason(service: &ServiceName, report: &Report) -> String {
    let notes = report.notes.iter().filter(|n| n.service.as_ref() == Some(service) && n.kind != NoteKind::Unknown);
    let said: Vec<String> = notes.map(|n| n.message.clone()).collect();
    if said.is_empty() { String::new() } else { format!(": {}", said.join("; ")) }
}

fn what_moved(stored: &Change, now: &Change) -> String {
    let (was, is) = (kind(&stored.action), kind(&now.action));
    if was != is {
        return format!("the plan has {was}, now it would be {is}");
    }
    let mut moved = Vec::new();
    if let (Some(old), Some(new)) = (spec(&stored.action), spec(&now.action)) {
        let fields: Vec<String> = super::diff(old, new).iter().map(|f| format!("`{}`", f.field)).collect();
        if !fields.is_empty() {
            moved.push(format!("its declaration changed in {}", listed(&fields)));
        }
    }
    let (old, new) = (commit(&stored.action), commit(&now.action));
    if old != new {
        let short = |c: Option<&CommitId>| c.map_or("unknown".into(), |c| c.short().to_owned());
        moved.push(format!("its commit is {} now, not {}", short(new), short(old)));
    }
    if moved.is_empty() {
        moved.push("the service itself changed".into());
    }
    moved.join("; ")
}

fn kind(action: &Action) -> &'static str {
    match action {
        Action::Create { .. } => "a creation",
        Action::Deploy { .. } => "a deployment",
        Action::Update { in_place: true, .. } => "an update in place",
        Action::Update { .. } => "an update",
        Action::Delete { .. } => "a deletion",
        Action::Heal { .. } => "a healing",
        Action::RemoveStrays { .. } => "a removal of strays",
    }
}

fn spec(action: &Action) -> Option<&ServiceSpec> {
    match action {
        Action::Create { spec, .. } | Action::Deploy { spec, .. } | Action::Update { spec, .. } => Some(spec),
        _ => None,
    }
}

fn commit(action: &Action) -> Option<&CommitId> {
    match action {
        Action::Create { commit, .. } | Action::Update { commit, .. } => commit.as_ref(),
        Action::Deploy { commit, .. } => Some(commit),
        _ => None,
    }
}
