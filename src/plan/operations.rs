//! Which operation a service needs next, if any, and what is not done and why. Sizes and ids come later.

use super::deletion::{self, Fate};
use super::subject::Subject;
use super::trusted::Trust;
use super::words::{count, quoted};
use super::{FieldChange, Note, NoteKind, in_flight, running};
use crate::model::{
    BuildSource, Class, CommitId, HeldReason, HostLabel, Operation, Owner, Pause, Reason, ServiceName, ServiceSpec,
};
use crate::model::{Held, Timestamp, Track};
use crate::observed::ServiceView;
use std::collections::HashMap;
use std::time::Duration;

/// How long a failed creation or deletion rests before it is tried again, where nothing else paces it.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(60);

/// When a rest that began then is over. What lies ahead never was: the clock has been set back since, and nothing may rest
/// until it has caught up.
pub(super) fn rested(since: Timestamp, rest: Duration, now: Timestamp) -> Timestamp {
    if since > now { now } else { since.plus(rest) }
}

/// What an operation would do; becomes an action once it is admitted.
#[derive(Clone, Debug)]
pub(super) enum Next {
    Create { commit: Option<CommitId> },
    Deploy { commit: CommitId },
    Update { commit: Option<CommitId>, in_place: bool },
    Delete,
}

/// An operation that should begin.
pub(super) struct Proposed<'a> {
    pub(super) next: Next,
    /// The declaration it works towards; `None` for a deletion.
    pub(super) spec: Option<&'a ServiceSpec>,
    pub(super) fields: Vec<FieldChange>,
    pub(super) effect: String,
    pub(super) supersedes: Option<&'a Operation>,
}

/// What was decided for one service.
#[derive(Default)]
pub(super) struct Decision<'a> {
    pub(super) proposed: Option<Proposed<'a>>,
    pub(super) notes: Vec<Note>,
}

impl<'a> Decision<'a> {
    pub(super) fn begin(proposed: Proposed<'a>) -> Self {
        Self { proposed: Some(proposed), notes: Vec::new() }
    }

    pub(super) fn wait(note: Note) -> Self {
        Self { proposed: None, notes: vec![note] }
    }
}

/// What exists beside the service that is decided on.
pub(super) struct Surroundings<'a> {
    pub(super) now: Timestamp,
    /// Whose host label is whose, of all services that exist.
    pub(super) hosts: HashMap<HostLabel, &'a ServiceName>,
    /// Deletions wait for a person.
    pub(super) guarded: bool,
    /// The engine runs no images.
    pub(super) without_images: bool,
}

/// Decides on one service.
pub(super) fn decide<'a>(subject: &Subject<'a>, fate: Fate, around: &Surroundings<'a>) -> Decision<'a> {
    let mut decision = match (subject.declared, subject.view) {
        (Some(_), None) if subject.is_unchecked() => Decision::default(),
        (Some(_), None) => create(subject, around),
        (_, Some(view)) => existing(subject, view, fate, around.now),
        (None, None) => Decision::default(),
    };
    if around.without_images && decision.proposed.as_ref().and_then(|p| p.spec).is_some_and(is_image) {
        let why = if subject.wanted.is_some_and(ServiceSpec::has_image_source) { IMAGE_SOURCE } else { IMAGE_NEEDED };
        decision = Decision::wait(subject.note(NoteKind::NeedsPerson, why));
    }
    if let Some(note) = decision.proposed.as_ref().filter(|p| is_of_head(subject, p)).and_then(|_| subject.distrust()) {
        decision.proposed = None;
        decision.notes.push(note);
    }
    decision.notes.extend(subject.checks_note());
    decision.notes.extend(unread_source(subject));
    decision
}

/// Whether an operation would bring the head to run.
fn is_of_head(subject: &Subject, proposed: &Proposed) -> bool {
    let commit = match &proposed.next {
        Next::Create { commit } | Next::Update { commit, in_place: false } => commit.as_ref(),
        Next::Deploy { commit } => Some(commit),
        Next::Update { in_place: true, .. } | Next::Delete => None,
    };
    commit.is_some() && commit == subject.head_commit()
}

/// What the process engine cannot do, and the ways out.
const IMAGE_NEEDED: &str = "its build is a Dockerfile, which makes an image; the process engine runs no images: declare \
    `build` with a runtime, or run towpath with `--engine docker` and another `--data-dir`";

/// The same of a service whose source is an image.
const IMAGE_SOURCE: &str = "its source is an image; the process engine runs no images: run towpath with `--engine docker` \
    and another `--data-dir`";

fn is_image(spec: &ServiceSpec) -> bool {
    matches!(&spec.build, BuildSource::Inline(settings) if settings.dockerfile.is_some())
}

fn existing<'a>(subject: &Subject<'a>, view: &'a ServiceView, fate: Fate, now: Timestamp) -> Decision<'a> {
    if let Some(operation) = subject.operation() {
        return in_flight::decide(subject, view, operation, fate);
    }
    let mut decision = match (&view.record.paused, &view.current) {
        _ if view.record.delete_failed.is_some() || fate == Fate::Delete => deletion::decide(subject, view, fate, now),
        (Some(pause), _) => paused(subject, view, pause),
        (None, None) if subject.is_unchecked() => Decision::default(),
        (None, None) => rebuild(subject, view, now),
        (None, Some(current)) => running::decide(subject, view, current),
    };
    decision.notes.extend(foreign_owner(subject, view));
    decision
}

/// A new service begins even when its branch's head is unknown: its fetch step reports properly what is wrong (row R5).
fn create<'a>(subject: &Subject<'a>, around: &Surroundings<'a>) -> Decision<'a> {
    let Some(spec) = subject.wanted else { return Decision::default() };
    if let Some(other) = around.hosts.get(&subject.name.host_label()) {
        let host = subject.name.host_label();
        return Decision::wait(
            subject.note(NoteKind::Waits, format!("its host name `{host}` is still that of `{other}`")),
        );
    }
    if around.guarded {
        return Decision::wait(subject.note(NoteKind::Waits, "its creation waits for the decision on what is deleted"));
    }
    if subject.head_commit().is_none() && spec.source.verify.as_ref().is_some_and(|v| !v.signed_by.is_empty()) {
        let message = "its creation waits until its first commit is known, which has to be signed";
        return Decision::wait(subject.note(NoteKind::Waits, message));
    }
    let commit = subject.head_commit().cloned();
    let size = count(spec.scaling.min_size as usize, "instance");
    Decision::begin(Proposed {
        fields: first_fields(spec, commit.as_ref(), subject),
        effect: format!("first deployment: {size}"),
        next: Next::Create { commit },
        spec: Some(spec),
        supersedes: None,
    })
}

/// What tells a new service from another at a glance.
fn first_fields(spec: &ServiceSpec, commit: Option<&CommitId>, subject: &Subject) -> Vec<FieldChange> {
    let mut fields = declared_fields(spec);
    fields.extend(commit.map(|c| commit_field(None, c, subject)));
    fields
}

/// The part of it that is declared.
pub(super) fn declared_fields(spec: &ServiceSpec) -> Vec<FieldChange> {
    let new = |field: &str, to: String| FieldChange { field: field.into(), from: None, to: Some(to) };
    let place = if spec.has_image_source() { "source.image" } else { "source.repository" };
    let mut fields = vec![new(place, spec.source.repository.to_string())];
    let Track { reference, directory } = &spec.source.track;
    fields.extend(reference.branch().map(|b| new("source.branch", b.to_string())));
    fields.extend(reference.tag().map(|t| new("source.tag", t.to_string())));
    fields.extend(reference.commit().map(|c| new("source.commit", c.to_string())));
    fields.extend(directory.as_ref().map(|d| new("source.directory", d.to_string())));
    fields
}

/// A commit as a field, with its summary and author where they are known.
pub(super) fn commit_field(from: Option<&CommitId>, to: &CommitId, subject: &Subject) -> FieldChange {
    let details = subject.head.and_then(|h| h.details.as_ref()).filter(|d| &d.id == to);
    let told = details.map(|d| format!(" {} by {}", quoted(&d.summary), d.author)).unwrap_or_default();
    let signed = match subject.trust {
        Trust::Good(Some(by)) if subject.head_commit() == Some(to) => format!(", signed by {by}"),
        _ => String::new(),
    };
    FieldChange {
        field: "commit".into(),
        from: from.map(|c| c.short().into()),
        to: Some(format!("{}{told}{signed}", to.short())),
    }
}

/// A service that never came to serve is built anew once something is new: a commit, or the declaration (row R5).
fn rebuild<'a>(subject: &Subject<'a>, view: &'a ServiceView, now: Timestamp) -> Decision<'a> {
    let Some(spec) = subject.wanted else { return Decision::default() };
    let failure = view.record.create_failed.as_ref();
    let why =
        failure.map_or_else(|| "it never came to serve".into(), |f| format!("its creation failed: {}", f.headline()));
    let Some(head) = subject.head_commit() else {
        let message = format!("{why}; it is tried again once `{}` can be read", spec.source.repository);
        return Decision::wait(subject.note(NoteKind::Waits, message));
    };
    if let Some(held) = subject.held(head, spec) {
        return Decision::wait(held_note(subject, held));
    }
    // What was superseded did not fail: its successor need not rest.
    let superseded = failure.is_some_and(|f| f.reason == Reason::Superseded);
    let passing = failure.is_some_and(|f| f.class != Class::Stalled);
    let paced = !superseded && (view.record.held.is_empty() || passing);
    let again = rested(view.record.updated_at, RETRY_AFTER, now);
    if paced && again > now {
        return Decision::wait(subject.note_until(again, format!("{why}; it is tried again")));
    }
    Decision::begin(Proposed {
        fields: vec![commit_field(None, head, subject)],
        effect: format!("rebuilds: {why}"),
        next: Next::Update { commit: Some(head.clone()), in_place: false },
        spec: Some(spec),
        supersedes: None,
    })
}

/// Nothing is changed on a paused service; the pause and what waits for its end are said (row D5, law 3).
fn paused<'a>(subject: &Subject<'a>, view: &'a ServiceView, pause: &Pause) -> Decision<'a> {
    let name = subject.name;
    let reason = pause.reason.as_ref().map(|r| format!(" ({r})")).unwrap_or_default();
    let since =
        format!("paused by {}{reason} since {}; `towpath resume {name}` brings it back", pause.principal, pause.at);
    let mut notes = vec![subject.note(NoteKind::Held, since)];
    let differing = match (&view.record.applied, subject.wanted) {
        (Some(applied), Some(wanted)) => super::diff(applied, wanted),
        _ => Vec::new(),
    };
    if !differing.is_empty() {
        let fields: Vec<String> = differing.iter().map(|f| format!("`{}`", f.field)).collect();
        let message = format!("service is paused: changes of {} wait for its resume", super::words::listed(&fields));
        notes.push(subject.note(NoteKind::Waits, message));
    }
    if let Some(head) = view.current.as_ref().and_then(|current| subject.news(current)) {
        let message = format!(
            "service is paused: a resume does not deploy commit {}; `towpath deploy {name}` after it or a newer \
             commit does",
            head.short()
        );
        notes.push(subject.note(NoteKind::Held, message));
    }
    Decision { proposed: None, notes }
}

/// A held version and what brings it on.
pub(super) fn held_note(subject: &Subject, held: &Held) -> Note {
    let name = subject.name;
    let commit = held.commit.short();
    // What goes on behind it is part of the same sentence.
    let why = held.message.trim_end_matches('.');
    let message = match held.why {
        HeldReason::Failed => format!(
            "commit {commit} failed: {why}; a newer commit, a changed declaration or `towpath deploy {name}` tries again"
        ),
        HeldReason::Transient => format!("commit {commit} failed in passing: {why}; it is tried again soon"),
        HeldReason::RolledBack => {
            format!("commit {commit} was rolled back from: {why}; a newer commit or `towpath deploy {name}` goes on")
        }
        HeldReason::Paused => {
            format!("commit {commit} arrived during a pause; a newer commit or `towpath deploy {name}` deploys")
        }
        HeldReason::Cancelled => format!(
            "the deployment of commit {commit} was cancelled: {why}; a newer commit or `towpath deploy {name}` deploys"
        ),
    };
    subject.note(NoteKind::Held, message)
}

/// The manifest never takes over what the API made (law 3).
fn foreign_owner(subject: &Subject, view: &ServiceView) -> Option<Note> {
    let taken = subject.declared.is_some() && view.record.owner == Owner::Managed;
    taken.then(|| {
        let name = subject.name;
        let message = format!(
            "was created over the API, so the manifest does not change it: rename it in the manifest, or `towpath delete {name}` first"
        );
        subject.note(NoteKind::NeedsPerson, message)
    })
}

/// A source that could not be asked, with what was known before.
fn unread_source(subject: &Subject) -> Option<Note> {
    let head = subject.head?;
    let error = head.error.as_ref()?;
    let known = match (&head.commit, head.seen_at) {
        (Some(commit), Some(at)) => format!("; the newest known commit is {} of {at}", commit.short()),
        (Some(commit), None) => format!("; the newest known commit is {}", commit.short()),
        (None, _) => String::new(),
    };
    Some(
        subject
            .note(NoteKind::Unknown, format!("`{}` could not be asked for commits: {error}{known}", head.repository)),
    )
}
