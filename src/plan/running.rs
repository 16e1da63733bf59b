//! What a service that serves needs next: a changed declaration first, then a new commit (row D4).

use super::operations::{Decision, Next, Proposed, commit_field, held_note};
use super::subject::Subject;
use super::words::count;
use super::{Note, NoteKind};
use crate::model::{CommitId, InstanceRole, Revision, ServiceSpec};
use crate::observed::ServiceView;

/// Decides on a service with a current revision and no operation in flight.
pub(super) fn decide<'a>(subject: &Subject<'a>, view: &'a ServiceView, current: &'a Revision) -> Decision<'a> {
    let Some(wanted) = subject.wanted else { return Decision::default() };
    let applied = view.record.applied.as_ref().unwrap_or(&current.spec);
    if applied == wanted { deploy(subject, view, current, wanted) } else { update(subject, view, current, wanted) }
}

/// A commit that is newer than what runs, under an unchanged declaration (row D1).
fn deploy<'a>(subject: &Subject<'a>, view: &'a ServiceView, current: &Revision, spec: &'a ServiceSpec) -> Decision<'a> {
    let Some(head) = subject.news(current) else {
        return Decision { proposed: None, notes: unaffected(subject, current, spec).into_iter().collect() };
    };
    if let Some(held) = subject.held(head, spec) {
        return Decision::wait(held_note(subject, held));
    }
    if let Some(note) = subject.distrust() {
        return Decision::wait(note);
    }
    if !spec.source.auto_deploy {
        let what = match spec.source.track.reference.tag() {
            Some(tag) => format!("tag {tag} was moved to commit {}, which", head.short()),
            None => format!("new commit {}", head.short()),
        };
        let message = format!("{what} waits for `towpath deploy {}`", subject.name);
        return Decision::wait(subject.note(NoteKind::Held, message));
    }
    Decision::begin(Proposed {
        fields: vec![commit_field(Some(&current.commit.id), head, subject)],
        effect: replacement(view),
        next: Next::Deploy { commit: head.clone() },
        spec: Some(spec),
        supersedes: None,
    })
}

/// A new commit that changes nothing where the application is (row L1).
fn unaffected(subject: &Subject, current: &Revision, spec: &ServiceSpec) -> Option<Note> {
    let (commit, directory) = (subject.aside(current)?.short(), spec.source.track.directory.as_ref()?);
    let message = format!(
        "commit {commit} changes nothing in `{directory}`, so it is not deployed; `towpath deploy {}` deploys it",
        subject.name
    );
    Some(subject.note(NoteKind::Held, message))
}

fn update<'a>(
    subject: &Subject<'a>,
    view: &'a ServiceView,
    current: &'a Revision,
    wanted: &'a ServiceSpec,
) -> Decision<'a> {
    let applied = view.record.applied.as_ref().unwrap_or(&current.spec);
    if !super::diff::same_source(&applied.source, &wanted.source) {
        return move_source(subject, view, current, wanted);
    }
    let deployed = &current.commit.id;
    let newer = subject.news(current).filter(|_| wanted.source.auto_deploy && subject.trusts_head());
    let newer = newer.filter(|h| subject.held(h, wanted).is_none());
    match (subject.held(deployed, wanted), newer) {
        // The declaration failed with the deployed commit; a newer commit may be what it needs.
        (Some(_), Some(newer)) => Decision::begin(updating(subject, view, current, wanted, Some(newer))),
        (Some(held), None) => Decision::wait(held_note(subject, held)),
        (None, newer) => Decision {
            proposed: Some(updating(subject, view, current, wanted, Some(deployed))),
            notes: newer.map(|commit| follows(subject, commit)).into_iter().collect(),
        },
    }
}

/// Other code: the head of the branch that is declared now. While that cannot be read, the old goes on.
fn move_source<'a>(
    subject: &Subject<'a>,
    view: &'a ServiceView,
    current: &'a Revision,
    wanted: &'a ServiceSpec,
) -> Decision<'a> {
    let head = subject.head_commit();
    if let Some(held) = head.and_then(|h| subject.held(h, wanted)) {
        return Decision::wait(held_note(subject, held));
    }
    // Without its head neither can a held commit be told from another, nor a failure be held.
    if subject.is_unchecked() {
        return Decision::default();
    }
    if head.is_none() {
        let message = "its new source waits until it can be read; the old version goes on";
        return Decision::wait(subject.note(NoteKind::Waits, message));
    }
    Decision::begin(updating(subject, view, current, wanted, head))
}

/// An update to a declaration with a commit; in place where nothing that instances are made of differs.
pub(super) fn updating<'a>(
    subject: &Subject<'a>,
    view: &'a ServiceView,
    current: &Revision,
    wanted: &'a ServiceSpec,
    commit: Option<&CommitId>,
) -> Proposed<'a> {
    let applied = view.record.applied.as_ref().unwrap_or(&current.spec);
    let same_commit = commit == Some(&current.commit.id);
    let in_place = same_commit && !super::replaces(applied, wanted);
    let mut fields = super::diff(applied, wanted);
    fields.extend(commit.filter(|_| !same_commit).map(|c| commit_field(Some(&current.commit.id), c, subject)));
    let effect = if in_place {
        "in place, without a restart".into()
    } else if same_commit && !super::rebuilds(applied, wanted) {
        replacement(view)
    } else {
        format!("rebuilds, {}", replacement(view))
    };
    Proposed {
        next: Next::Update { commit: commit.cloned(), in_place },
        spec: Some(wanted),
        fields,
        effect,
        supersedes: None,
    }
}

/// `new revision 8: replaces 2 instances`.
pub(super) fn replacement(view: &ServiceView) -> String {
    let serving = view.instances.iter().filter(|i| i.record.role == InstanceRole::Serving).count();
    let number = view.record.next_revision;
    format!("new revision {number}: replaces {}", count(serving, "instance"))
}

fn follows(subject: &Subject, commit: &CommitId) -> Note {
    subject.note(NoteKind::Waits, format!("commit {} is deployed after this update", commit.short()))
}
