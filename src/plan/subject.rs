//! One service as planning looks at it: what is declared, what is there, and what its branch's head is.

use super::trusted::{Trust, Verdicts};
use super::{Note, NoteKind};
use crate::desired::DeclaredService;
use crate::model::{
    CommitId, Digest, Held, Operation, Place, RepositoryUrl, RequiredChecks, Revision, ServiceName, ServiceSpec,
    Timestamp, Track,
};
use crate::observed::{HeadView, ServiceView};
use std::collections::HashMap;

/// What polling found, by repository, track and the checks that are required.
pub(super) type Heads<'a> = HashMap<(&'a RepositoryUrl, &'a Track, &'a RequiredChecks), &'a HeadView>;

/// One service to plan for. At least one of `declared` and `view` is there.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) name: &'a ServiceName,
    pub(super) declared: Option<&'a DeclaredService>,
    pub(super) view: Option<&'a ServiceView>,
    /// What should be in force: what is declared, or what was in force before where no manifest has a say.
    pub(super) wanted: Option<&'a ServiceSpec>,
    pub(super) head: Option<&'a HeadView>,
    /// Whether the head may be deployed.
    pub(super) trust: Trust<'a>,
}

impl<'a> Subject<'a> {
    pub(super) fn new(
        name: &'a ServiceName,
        declared: Option<&'a DeclaredService>,
        view: Option<&'a ServiceView>,
        wanted: Option<&'a ServiceSpec>,
        heads: &Heads<'a>,
    ) -> Self {
        let head = wanted.and_then(|spec| {
            heads.get(&(&spec.source.repository, &spec.source.track, &spec.source.host.require_checks))
        });
        Self { name, declared, view, wanted, head: head.copied(), trust: Trust::NotAsked }
    }

    /// The same with what is known of its head's signature.
    pub(super) fn trusting(self, verdicts: &Verdicts<'a>) -> Self {
        Self { trust: verdicts.trust(self.wanted, self.head, self.view), ..self }
    }

    pub(super) fn place(&self) -> Option<Place> {
        self.declared.map(|d| d.place.clone())
    }

    pub(super) fn note(&self, kind: NoteKind, message: impl Into<String>) -> Note {
        Note { service: Some(self.name.clone()), place: self.place(), kind, message: message.into(), until: None }
    }

    pub(super) fn note_until(&self, until: Timestamp, message: impl Into<String>) -> Note {
        Note { until: Some(until), ..self.note(NoteKind::Waits, message) }
    }

    /// The newest commit of the wanted branch, if known.
    pub(super) fn head_commit(&self) -> Option<&'a CommitId> {
        self.head.and_then(|h| h.commit.as_ref())
    }

    /// The head, where it is another version than this one. A commit that changes nothing in the directory that is followed
    /// is none (row L1).
    pub(super) fn head_after(&self, commit: &CommitId) -> Option<&'a CommitId> {
        let head = self.head?;
        let overtaken = head.checks.as_ref().is_some_and(|checks| checks.newer.contains(commit));
        head.commit.as_ref().filter(|h| *h != commit && !head.alike.contains(commit) && !overtaken)
    }

    /// As [`Subject::head_after`] a revision, which knows what it has in its directory.
    pub(super) fn news(&self, revision: &Revision) -> Option<&'a CommitId> {
        self.head_after(&revision.commit.id).filter(|_| !self.has_contents_of(revision))
    }

    /// The head, where it is another commit than the revision's, without a change in the directory.
    pub(super) fn aside(&self, revision: &Revision) -> Option<&'a CommitId> {
        let other = self.head_commit().filter(|h| *h != &revision.commit.id)?;
        if self.head.and_then(|h| h.checks.as_ref()).is_some_and(|checks| checks.newer.contains(&revision.commit.id)) {
            return None;
        }
        self.news(revision).is_none().then_some(other)
    }

    fn has_contents_of(&self, revision: &Revision) -> bool {
        let same_place = self.wanted.is_some_and(|w| w.source.track.directory == revision.spec.source.track.directory);
        let contents = self.head.and_then(|h| h.contents.as_ref());
        same_place && contents.is_some() && contents == revision.contents.as_ref()
    }

    /// Whether checks are required of which none has passed yet, as far as it is known.
    pub(super) fn is_unchecked(&self) -> bool {
        let requires = self.wanted.is_some_and(|w| !w.source.host.require_checks.is_none());
        requires && self.head_commit().is_none()
    }

    /// What the newest commit waits for, where it has to pass checks.
    pub(super) fn checks_note(&self) -> Option<Note> {
        let required = &self.wanted?.source.host.require_checks;
        let Some(checks) = self.head.and_then(|h| h.checks.as_ref()) else {
            let waits = "its newest commit waits until its checks are known";
            return (!required.is_none()).then(|| self.note(NoteKind::Waits, waits));
        };
        let (newest, why) = (checks.newest.as_ref()?, checks.why.as_ref()?);
        // What runs already has nothing to wait for.
        if self.view.and_then(|v| v.current.as_ref()).is_some_and(|current| current.commit.id == *newest) {
            return None;
        }
        let (short, name) = (newest.short(), self.name);
        Some(match checks.failed {
            true => {
                let rest = format!("a newer commit, the checks run again or `towpath deploy {name}` goes on");
                self.note(NoteKind::Held, format!("commit {short} is not deployed: {why}; {rest}"))
            }
            false => self.note(NoteKind::Waits, format!("commit {short} is not deployed yet: {why}")),
        })
    }

    /// The operation in flight.
    pub(super) fn operation(&self) -> Option<&'a Operation> {
        self.view.and_then(|v| v.operation.as_ref()).filter(|o| !o.status.is_final())
    }

    /// Why a commit with a configuration is not deployed by itself.
    pub(super) fn held(&self, commit: &CommitId, spec: &ServiceSpec) -> Option<&'a Held> {
        let record = &self.view?.record;
        // Digests cost; almost always nothing is held.
        if record.held.is_empty() {
            return None;
        }
        // What failed fails again with a commit that has the same in the directory.
        let alike = self.head.filter(|h| h.commit.as_ref() == Some(commit)).map_or(&[][..], |h| &h.alike);
        let digest = Digest::of(spec);
        std::iter::once(commit).chain(alike).find_map(|commit| record.held(commit, &digest))
    }
}
