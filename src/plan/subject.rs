//! One service as planning looks at it: what is declared, what is there, and what its branch's head is.

use super::{Note, NoteKind};
use crate::desired::DeclaredService;
use crate::model::{
    BranchName, CommitId, Digest, Held, Operation, Place, RepositoryUrl, ServiceName, ServiceSpec, Timestamp,
};
use crate::observed::{HeadView, ServiceView};
use std::collections::HashMap;

/// What polling found, by repository and branch.
pub(super) type Heads<'a> = HashMap<(&'a RepositoryUrl, Option<&'a BranchName>), &'a HeadView>;

/// One service to plan for. At least one of `declared` and `view` is there.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) name: &'a ServiceName,
    pub(super) declared: Option<&'a DeclaredService>,
    pub(super) view: Option<&'a ServiceView>,
    /// What should be in force: what is declared, or what was in force before where no manifest has a say.
    pub(super) wanted: Option<&'a ServiceSpec>,
    pub(super) head: Option<&'a HeadView>,
}

impl<'a> Subject<'a> {
    pub(super) fn new(
        name: &'a ServiceName,
        declared: Option<&'a DeclaredService>,
        view: Option<&'a ServiceView>,
        wanted: Option<&'a ServiceSpec>,
        heads: &Heads<'a>,
    ) -> Self {
        let head = wanted.and_then(|spec| heads.get(&(&spec.source.repository, spec.source.branch.as_ref())));
        Self { name, declared, view, wanted, head: head.copied() }
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

    /// The operation in flight.
    pub(super) fn operation(&self) -> Option<&'a Operation> {
        self.view.and_then(|v| v.operation.as_ref()).filter(|o| !o.status.is_final())
    }

    /// Why a commit with a configuration is not deployed by itself.
    pub(super) fn held(&self, commit: &CommitId, spec: &ServiceSpec) -> Option<&'a Held> {
        let record = &self.view?.record;
        // Digests cost; almost always nothing is held.
        if record.held.iter().all(|h| &h.commit != commit) {
            return None;
        }
        record.held(commit, &Digest::of(spec))
    }
}
