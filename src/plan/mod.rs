//! Desired × observed → plan and report. Pure: no I/O, no clock, no randomness (law 2).
//!
//! Imports `model` and the snapshot types of `desired` and `observed`. A plan carries every id, order and reason, so
//! that execution makes no choices (house rule 1); each change is bound to a digest of what it was computed from.
//!
//! - [`plan`]: the heart; in `planner`, with a file per question it answers (`operations`, `running`, `in_flight`,
//!   `deletion`, `healing`, `admission`).
//! - [`closed`], [`may_deploy`]: what holds a service back; in `restraint` and `windows`.
//! - [`diff`]: which fields of two declarations differ.
//! - [`questions`]: which commits have to be vetted before they are deployed.
//! - [`check_stale`]: whether a stored plan still fits.
//! - [`checker`]: the invariants of any state and plan, written without the planner.
//! - [`compare()`]: two states of a manifest, whatever runs.
//! - [`render_text`], [`render_markdown`], [`exit_code`]: a plan for people, for pull requests, for CI; [`plan_document`]: for
//!   machines. What looks like a secret is shown by none of them.

mod admission;
pub mod checker;
mod compare;
mod deletion;
mod diff;
mod document;
mod healing;
mod ids;
mod in_flight;
mod judgement;
mod markdown;
mod mask;
mod operations;
mod page;
mod planner;
mod render;
mod restraint;
mod running;
mod stale;
mod subject;
mod trusted;
mod windows;
mod words;

pub use admission::{admit, admit_command};
pub use compare::{Comparison, Difference, DifferenceKind, State, compare};
pub use diff::{diff, rebuilds, replaces};
pub use document::{FORMAT_VERSION, SCHEMA, comparison_document, plan_document};
pub use markdown::{MOST_BYTES, render_comparison_markdown, render_markdown, render_problems_markdown};
pub use mask::HIDDEN;
pub use planner::plan;
pub use render::{exit_code, render_comparison, render_text};
pub use restraint::may_deploy;
pub use stale::{Stale, check_stale, moved_since};
pub use trusted::{Question, questions};
pub use windows::{Closed, closed};

use crate::desired::{DeclaredWindow, ManifestVersion};
use crate::model::{
    CommitId, Digest, HostLabel, InstanceId, OperationId, Place, ServiceId, ServiceName, ServiceSpec, Timestamp,
};
use serde::{Deserialize, Serialize};

/// Settings that planning obeys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Random bytes that all ids in the plan derive from: with the same seed the same plan results.
    pub seed: [u8; 32],
    /// The digest of the one manifest that may delete many services (`apply --allow-mass-delete`).
    pub mass_delete_allowed: Option<Digest>,
    /// How far the sum of instance memory may exceed the host's: 100 is not at all, 200 twice.
    pub overcommit_percent: u32,
    /// `--apply manual`: only healing happens by itself; everything else waits for `apply`.
    pub apply_automatically: bool,
    /// The deploy windows that were in force last, for as long as no manifest says which hold.
    pub windows: Vec<DeclaredWindow>,
}

/// What is to be done, in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The manifest it was computed from; `None` when there is none yet.
    pub manifest: Option<ManifestVersion>,
    /// When it was computed.
    pub at: Timestamp,
    /// The changes.
    pub changes: Vec<Change>,
}

/// One entry of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The service it is about; `None` for strays that belong to none.
    pub service: Option<ServiceName>,
    /// Where it is declared, if it is.
    pub place: Option<Place>,
    /// What is done.
    pub action: Action,
    /// Which fields differ, for people and pull requests.
    pub fields: Vec<FieldChange>,
    /// What it does to what runs, in words: `new revision 8: replaces 2 instances`.
    pub effect: String,
    /// The digest of everything this change was computed from; a stale one is refused with what moved.
    pub basis: Digest,
}

impl Change {
    /// Whether the reconciler does this without being asked: everything, or with `--apply manual` only what puts back
    /// what was already agreed.
    pub fn happens_by_itself(&self, policy: &Policy) -> bool {
        policy.apply_automatically || matches!(self.action, Action::Heal { .. } | Action::RemoveStrays { .. })
    }
}

impl Action {
    /// The operation that it begins, if it begins one.
    pub fn operation(&self) -> Option<&OperationId> {
        match self {
            Self::Create { operation, .. }
            | Self::Deploy { operation, .. }
            | Self::Update { operation, .. }
            | Self::Delete { operation, .. } => Some(operation),
            Self::Heal { .. } | Self::RemoveStrays { .. } => None,
        }
    }
}

/// What a change does. Ids are decided here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum Action {
    /// A new service and its first deployment.
    Create {
        /// The id of the service.
        id: ServiceId,
        /// Its generated host label.
        label: HostLabel,
        /// The operation.
        operation: OperationId,
        /// What is declared.
        spec: Box<ServiceSpec>,
        /// The commit, if the branch's head is known.
        commit: Option<CommitId>,
    },
    /// A new commit of an unchanged declaration.
    Deploy {
        /// The service.
        id: ServiceId,
        /// The operation.
        operation: OperationId,
        /// The spec in force.
        spec: Box<ServiceSpec>,
        /// The commit.
        commit: CommitId,
    },
    /// A changed declaration.
    Update {
        /// The service.
        id: ServiceId,
        /// The operation.
        operation: OperationId,
        /// What is declared now.
        spec: Box<ServiceSpec>,
        /// The commit: the deployed one if the source did not change (row D4), else the head, if known.
        commit: Option<CommitId>,
        /// Whether it changes nothing that instances are made of.
        in_place: bool,
    },
    /// A service that is not declared any more.
    Delete {
        /// The service.
        id: ServiceId,
        /// The operation.
        operation: OperationId,
    },
    /// Instances that are missing, ended, unhealthy or changed by hand.
    Heal {
        /// The service.
        id: ServiceId,
        /// Instances to start, of the current revision.
        start: Vec<InstanceId>,
        /// Instances to take out, stop and remove, after the new ones serve.
        stop: Vec<InstanceId>,
    },
    /// Instances of ours that nothing knows.
    RemoveStrays {
        /// The instances.
        instances: Vec<InstanceId>,
    },
}

/// One field that differs; values as people write them, secrets as references.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// The field's path as in the manifest: `env.LOG_LEVEL`.
    pub field: String,
    /// What it was.
    pub from: Option<String>,
    /// What it becomes.
    pub to: Option<String>,
}

/// What a plan did not do, and what it waits for (house rule 2).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The notes, in the order of the services.
    pub notes: Vec<Note>,
}

/// One thing that is not done now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Note {
    /// The service it is about, if one.
    pub service: Option<ServiceName>,
    /// Where it is declared, if it is.
    pub place: Option<Place>,
    /// What kind of not-doing it is.
    pub kind: NoteKind,
    /// What a person reads: what waits, for what, and what to do.
    pub message: String,
    /// When it is worth looking again, if a time decides.
    pub until: Option<Timestamp>,
}

/// Kinds of not-doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NoteKind {
    /// It will be done when something else ended or a time has come.
    Waits,
    /// It is held back until a newer version comes or a person says so.
    Held,
    /// A person has to allow it.
    NeedsPerson,
    /// Something could not be observed.
    Unknown,
}
