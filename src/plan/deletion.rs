//! Deleting what is not declared any more, and the guard against a manifest that deletes too much at once.

use super::operations::{Decision, Next, Proposed, RETRY_AFTER, rested};
use super::subject::Subject;
use super::words::{count, listed};
use super::{Note, NoteKind, Policy};
use crate::desired::Desired;
use crate::model::{Class, OperationKind, Owner, ServiceName, Timestamp};
use crate::observed::{Observed, ServiceView};
use std::collections::HashSet;

/// What the manifest means for a service's existence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It stays: it is declared, or no manifest has a say.
    Stays,
    /// It is not declared any more.
    Delete,
    /// It is not declared any more, and a person has to allow its deletion.
    Guarded,
}

/// Who is deleted, and whether a person has to allow it first.
pub(super) struct Deletions<'a> {
    doomed: HashSet<&'a ServiceName>,
    previews: HashSet<&'a ServiceName>,
    guarded: bool,
    of: usize,
}

impl<'a> Deletions<'a> {
    /// Finds what a desired state deletes. Services whose deletion has begun are decided already and count on neither
    /// side, so that finishing some deletions never changes the verdict on the others.
    pub(super) fn find(desired: Option<&Desired>, observed: &'a Observed, policy: &Policy) -> Self {
        let Some(desired) = desired else {
            return Self { doomed: HashSet::new(), previews: HashSet::new(), guarded: false, of: 0 };
        };
        let declared: HashSet<&ServiceName> = desired.services.iter().map(|d| &d.spec.name).collect();
        let ours: Vec<&ServiceName> =
            observed.services.iter().filter(|v| is_deletable(v)).map(|v| &v.record.name).collect();
        let doomed: HashSet<&ServiceName> = ours.iter().copied().filter(|name| !declared.contains(name)).collect();
        let allowed = policy.mass_delete_allowed.as_ref() == Some(&desired.manifest.digest);
        // Previews come and go by themselves: neither do they make a manifest look large, nor their end dangerous.
        let previews: HashSet<&ServiceName> =
            observed.services.iter().filter(|v| is_preview(v)).map(|v| &v.record.name).collect();
        let of = ours.iter().filter(|name| !previews.contains(*name)).count();
        let lost = doomed.difference(&previews).count();
        Self { doomed, previews, guarded: !allowed && is_mass(lost, of), of }
    }

    pub(super) fn fate(&self, name: &ServiceName) -> Fate {
        match (self.doomed.contains(name), self.guarded) {
            (false, _) => Fate::Stays,
            (true, false) => Fate::Delete,
            (true, true) => Fate::Guarded,
        }
    }

    /// Whether a person has to allow the deletions. New services wait for that as well: each that exists would make the
    /// deletions a smaller part of the whole, until they looked harmless.
    pub(super) fn is_guarded(&self) -> bool {
        self.guarded
    }

    /// The one note that names all that waits for a person.
    pub(super) fn note(&self) -> Option<Note> {
        let mut names: Vec<String> = self.doomed.difference(&self.previews).map(ToString::to_string).collect();
        names.sort();
        let message = format!(
            "the manifest leaves out {} of {} ({}): nothing is deleted or created until `towpath apply --allow-mass-delete` \
             allows exactly this manifest",
            names.len(),
            count(self.of, "service"),
            listed(&names)
        );
        let note = Note { service: None, place: None, kind: NoteKind::NeedsPerson, message, until: None };
        self.guarded.then_some(note)
    }
}

/// All, or at least three and more than half.
pub(super) fn is_mass(deleted: usize, of: usize) -> bool {
    deleted > 0 && (deleted == of || (deleted >= 3 && deleted * 2 > of))
}

fn is_preview(view: &ServiceView) -> bool {
    let target = view.operation.as_ref().and_then(|o| o.target.spec.as_ref());
    view.record.applied.as_ref().or(target).is_some_and(|spec| spec.preview.is_some())
}

fn is_deletable(view: &ServiceView) -> bool {
    let begun = view.operation.as_ref().is_some_and(|o| !o.status.is_final() && o.kind == OperationKind::DeleteService);
    view.record.owner == Owner::Declared && view.record.delete_failed.is_none() && !begun
}

/// Deletes a service, or goes on with a deletion that failed (row D6), whether or not it is declared again.
pub(super) fn decide<'a>(subject: &Subject<'a>, view: &'a ServiceView, fate: Fate, now: Timestamp) -> Decision<'a> {
    let name = subject.name;
    if let Some(failure) = &view.record.delete_failed {
        let again = rested(view.record.updated_at, RETRY_AFTER, now);
        let why = format!("its deletion failed: {}", failure.headline());
        if failure.class == Class::Stalled || view.record.owner == Owner::Managed {
            let message = format!("{why}; `towpath delete {name}` tries again");
            return Decision::wait(subject.note(NoteKind::NeedsPerson, message));
        }
        if again > now {
            return Decision::wait(subject.note_until(again, format!("{why}; it is tried again")));
        }
    }
    let why = if fate == Fate::Delete { "not declared any more" } else { "its deletion goes on" };
    let instances = count(view.instances.len(), "instance");
    Decision::begin(Proposed {
        next: Next::Delete,
        spec: None,
        fields: Vec::new(),
        effect: format!("{why}: deletes the service, {instances}, its revisions and builds"),
        supersedes: None,
    })
}
