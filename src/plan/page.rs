//! What is shown of a plan, or of a comparison of two manifests, whatever it is shown as: text, markdown, JSON.

use super::compare::{Comparison, Difference};
use super::mask::masked;
use super::restraint::SAY_WHEN;
use super::words::{count, escaped};
use super::{Action, Change, FieldChange, Note, NoteKind, Plan, Report};
use crate::desired::ManifestVersion;
use crate::model::{InstanceId, Place};
use crate::observed::{EngineView, Observed, ServiceView};
use serde::Serialize;

/// Everything that is shown, in order.
pub(super) struct Page<'a> {
    /// What is compared with what, in one line.
    pub(super) head: String,
    pub(super) entries: Vec<Entry<'a>>,
    pub(super) notes: &'a [Note],
    /// What it comes to, in one line.
    pub(super) summary: String,
}

/// One service, and what happens to it.
pub(super) struct Entry<'a> {
    pub(super) mark: Mark,
    pub(super) name: &'a str,
    pub(super) place: Option<&'a Place>,
    /// What differs, without what looks like a secret.
    pub(super) fields: Vec<FieldChange>,
    pub(super) effect: &'a str,
    /// Strays, which belong to no service.
    pub(super) instances: &'a [InstanceId],
}

/// The kinds of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Create,
    Change,
    Deploy,
    Delete,
    Heal,
    Wait,
}

impl Mark {
    fn of(action: &Action) -> Self {
        match action {
            Action::Create { .. } => Self::Create,
            Action::Update { .. } => Self::Change,
            Action::Deploy { .. } => Self::Deploy,
            Action::Delete { .. } => Self::Delete,
            Action::Heal { .. } | Action::RemoveStrays { .. } => Self::Heal,
        }
    }
}

/// How many of what there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Counts {
    create: usize,
    change: usize,
    deploy: usize,
    delete: usize,
    heal: usize,
    waiting: usize,
    held_back: usize,
    needing_you: usize,
    unknown: usize,
}

impl Counts {
    fn of(entries: &[Entry], notes: &[Note]) -> Self {
        let changes = |mark: Mark| entries.iter().filter(|e| e.mark == mark).count();
        let noted = |kind: NoteKind| notes.iter().filter(|n| n.kind == kind).count();
        Self {
            create: changes(Mark::Create),
            change: changes(Mark::Change),
            deploy: changes(Mark::Deploy),
            delete: changes(Mark::Delete),
            heal: changes(Mark::Heal),
            waiting: noted(NoteKind::Waits),
            held_back: noted(NoteKind::Held),
            needing_you: noted(NoteKind::NeedsPerson),
            unknown: noted(NoteKind::Unknown),
        }
    }

    /// `1 to create, 1 waiting`; empty for nothing.
    fn said(self) -> String {
        let parts = [
            (self.create, "to create"),
            (self.change, "to change"),
            (self.deploy, "to deploy"),
            (self.delete, "to delete"),
            (self.heal, "to heal"),
            (self.waiting, "waiting"),
            (self.held_back, "held back"),
            (self.needing_you, "needing you"),
            (self.unknown, "unknown"),
        ];
        let said: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        said.join(", ")
    }
}

impl<'a> Page<'a> {
    /// The page of a plan.
    pub(super) fn of_plan(plan: &'a Plan, report: &'a Report, observed: &Observed) -> Self {
        let entries: Vec<Entry> = plan.changes.iter().map(Entry::of_change).collect();
        let said = Counts::of(&entries, &report.notes).said();
        let summary = match (plan.changes.is_empty(), said.is_empty(), &plan.manifest) {
            (true, true, Some(_)) => "Nothing to do: everything is as declared.".into(),
            (true, true, None) => "Nothing to do: no manifest is in force yet.".into(),
            (true, false, _) => format!("Nothing to do now: {said}."),
            (false, ..) => format!("Plan: {said}."),
        };
        Self { head: head(plan.manifest.as_ref(), observed), entries, notes: &report.notes, summary }
    }

    /// The page of a comparison; `from` and `to` name the two states.
    pub(super) fn of_comparison(comparison: &'a Comparison) -> Self {
        let Comparison { file, from, to, changes, notes } = comparison;
        let entries: Vec<Entry> = changes.iter().map(Entry::of_difference).collect();
        let said = Counts::of(&entries, notes).said();
        let summary = match (changes.is_empty(), said.is_empty()) {
            (true, true) => "Nothing differs: both declare the same.".into(),
            (true, false) => format!("No service differs: {said}."),
            (false, _) => format!("Changes: {said}."),
        };
        Self { head: format!("{}: {} → {}", escaped(file), escaped(from), escaped(to)), entries, notes, summary }
    }

    pub(super) fn counts(&self) -> Counts {
        Counts::of(&self.entries, self.notes)
    }
}

impl<'a> Entry<'a> {
    fn of_change(change: &'a Change) -> Self {
        let instances = match &change.action {
            Action::RemoveStrays { instances } => instances.as_slice(),
            _ => &[],
        };
        Self {
            mark: Mark::of(&change.action),
            name: change.service.as_ref().map_or("strays", |s| s.as_str()),
            place: change.place.as_ref(),
            fields: change.fields.iter().map(masked).collect(),
            effect: &change.effect,
            instances,
        }
    }

    fn of_difference(difference: &'a Difference) -> Self {
        Self {
            mark: difference.kind.mark(),
            name: difference.service.as_str(),
            place: Some(&difference.place),
            fields: difference.fields.iter().map(masked).collect(),
            effect: &difference.effect,
            instances: &[],
        }
    }
}

fn head(manifest: Option<&ManifestVersion>, observed: &Observed) -> String {
    let from = match manifest {
        Some(version) => format!("{} at {}", escaped(&version.file), &version.digest.short()[..7]),
        None => "no manifest".into(),
    };
    let serves = |v: &&ServiceView| v.current.is_some() && v.record.paused.is_none();
    let running = count(observed.services.iter().filter(serves).count(), "service");
    let engine = match &observed.engine {
        EngineView::Answered { name } => escaped(name),
        EngineView::Unreachable { .. } => "engine does not answer".into(),
    };
    format!("{from} → {engine}, {running} running")
}

/// What a note's kind is called.
pub(super) fn kind_word(kind: NoteKind) -> &'static str {
    match kind {
        NoteKind::Waits => "waits",
        NoteKind::Held => "held back",
        NoteKind::NeedsPerson => "needs you",
        NoteKind::Unknown => "unknown",
    }
}

/// A note in one sentence.
pub(super) fn note_text(note: &Note) -> String {
    // What says it in its own words, by the clocks that count there, is not said again.
    let until = note.until.filter(|_| !SAY_WHEN.iter().any(|words| note.message.contains(words)));
    let until = until.map(|at| format!(" (until {at})")).unwrap_or_default();
    format!("{}: {}{until}", kind_word(note.kind), escaped(&note.message))
}
