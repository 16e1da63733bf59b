//! What to do about a service whose operation still runs: mostly wait. A newer commit or declaration supersedes a
//! deployment that has not started instances yet; later only the newest waits.

use super::deletion::Fate;
use super::diff::same_source;
use super::operations::{Decision, Next, Proposed, commit_field};
use super::running::{replacement, updating};
use super::subject::Subject;
use super::words::operation_noun;
use super::{FieldChange, NoteKind};
use crate::model::{CommitId, Operation, OperationKind, OperationStatus, ServiceSpec, Step};
use crate::observed::ServiceView;

/// Decides on a service with an operation in flight.
pub(super) fn decide<'a>(
    subject: &Subject<'a>,
    view: &'a ServiceView,
    operation: &'a Operation,
    fate: Fate,
) -> Decision<'a> {
    let superseding = subject.wanted.and_then(|wanted| supersede(subject, view, operation, wanted));
    superseding.map_or_else(|| wait(subject, operation, fate), Decision::begin)
}

/// Whether an operation can still be superseded: a deployment that is to build, and has started nothing yet.
pub(super) fn is_supersedable(operation: &Operation) -> bool {
    use OperationKind::{CreateService, StartDeployment, UpdateService};
    matches!(operation.kind, CreateService | StartDeployment | UpdateService)
        && matches!(operation.status, OperationStatus::Pending | OperationStatus::InProgress)
        && matches!(operation.step, None | Some(Step::Fetch | Step::Build))
        && operation.instances.is_empty()
        && operation.target.revision.is_none()
        && !operation.target.in_place
        && !operation.cancel_requested
}

fn supersede<'a>(
    subject: &Subject<'a>,
    view: &'a ServiceView,
    operation: &'a Operation,
    wanted: &'a ServiceSpec,
) -> Option<Proposed<'a>> {
    let target = operation.target.spec.as_ref().filter(|_| is_supersedable(operation))?;
    let newer = newer_commit(subject, view, operation, wanted);
    // What changes in place can follow: a build is not thrown away for it.
    if !super::replaces(target, wanted) && newer.is_none() {
        return None;
    }
    let commit = newer.or_else(|| kept_commit(subject, view, operation, wanted));
    if commit.is_some_and(|c| subject.held(c, wanted).is_some()) {
        return None;
    }
    let mut proposed = towards(subject, view, wanted, commit);
    if proposed.fields.is_empty() {
        proposed.fields = fields_from(subject, operation, wanted, commit);
    }
    proposed.effect = format!("{}; supersedes {} {}", proposed.effect, operation_noun(operation.kind), operation.id);
    proposed.supersedes = Some(operation);
    Some(proposed)
}

/// A head that is newer than what the operation deploys. An update that keeps the deployed commit (row D4) is not
/// overtaken by commits: they follow it.
fn newer_commit<'a>(
    subject: &Subject<'a>,
    view: &ServiceView,
    operation: &Operation,
    wanted: &ServiceSpec,
) -> Option<&'a CommitId> {
    let target = operation.target.commit.as_ref()?;
    let deployed = view.current.as_ref().map(|r| &r.commit.id);
    let deploys = operation.kind != OperationKind::UpdateService || Some(target) != deployed;
    let head = subject.head_after(target).filter(|_| deploys && wanted.source.auto_deploy && subject.trusts_head())?;
    subject.held(head, wanted).is_none().then_some(head)
}

/// The commit of a new declaration: of the operation it supersedes while the source is the same, so that a deployment
/// asked for by a person is not lost; what runs, if its source came back; else the new branch's head.
fn kept_commit<'a>(
    subject: &Subject<'a>,
    view: &'a ServiceView,
    operation: &'a Operation,
    wanted: &ServiceSpec,
) -> Option<&'a CommitId> {
    let same = |spec: Option<&ServiceSpec>| spec.is_some_and(|s| same_source(&s.source, &wanted.source));
    if same(operation.target.spec.as_ref()) {
        return operation.target.commit.as_ref();
    }
    match &view.current {
        Some(current) if same(view.record.applied.as_ref()) => Some(&current.commit.id),
        _ => subject.head_commit(),
    }
}

fn towards<'a>(
    subject: &Subject<'a>,
    view: &'a ServiceView,
    wanted: &'a ServiceSpec,
    commit: Option<&CommitId>,
) -> Proposed<'a> {
    let Some(current) = &view.current else {
        return Proposed {
            next: Next::Update { commit: commit.cloned(), in_place: false },
            spec: Some(wanted),
            fields: Vec::new(),
            effect: "first deployment".into(),
            supersedes: None,
        };
    };
    let mut proposed = updating(subject, view, current, wanted, commit);
    let unchanged = view.record.applied.as_ref() == Some(wanted);
    match commit.filter(|_| unchanged) {
        Some(commit) if commit == &current.commit.id => proposed.effect = "leaves what runs".into(),
        Some(commit) => {
            proposed.next = Next::Deploy { commit: commit.clone() };
            proposed.effect = replacement(view);
        }
        None => {}
    }
    proposed
}

/// What differs from what the superseded operation would have done, where what runs says nothing.
fn fields_from(
    subject: &Subject,
    operation: &Operation,
    wanted: &ServiceSpec,
    commit: Option<&CommitId>,
) -> Vec<FieldChange> {
    let target = &operation.target;
    let mut fields = target.spec.as_ref().map(|spec| super::diff(spec, wanted)).unwrap_or_default();
    let moved = commit.filter(|c| target.commit.as_ref() != Some(*c));
    fields.extend(moved.map(|c| commit_field(target.commit.as_ref(), c, subject)));
    fields
}

fn wait<'a>(subject: &Subject<'a>, operation: &Operation, fate: Fate) -> Decision<'a> {
    let noun = operation_noun(operation.kind);
    let step = operation.step.map_or("begins".into(), |s| format!("is at its step {s:?}").to_lowercase());
    let follows = follows(subject, operation, fate).map(|f| format!("; {f}")).unwrap_or_default();
    Decision::wait(subject.note(NoteKind::Waits, format!("{noun} {} {step}{follows}", operation.id)))
}

/// What comes after the operation, as far as it can be told now.
fn follows(subject: &Subject, operation: &Operation, fate: Fate) -> Option<String> {
    if operation.kind == OperationKind::DeleteService {
        return subject.declared.map(|_| "it is declared again and created anew afterwards".into());
    }
    if fate == Fate::Delete {
        return Some(format!("its deletion follows (`towpath cancel {}` brings it on)", operation.id));
    }
    let wanted = subject.wanted?;
    let target = &operation.target;
    if target.spec.as_ref().is_some_and(|spec| spec != wanted) {
        return Some("what is declared now follows".into());
    }
    let head = subject.head_after(target.commit.as_ref()?)?;
    let goes = wanted.source.auto_deploy && subject.trusts_head() && subject.held(head, wanted).is_none();
    goes.then(|| format!("commit {} follows", head.short()))
}
