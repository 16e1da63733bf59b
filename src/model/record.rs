//! What the store keeps of a service and its instances, and how a service's status follows from it.

use super::ids::{Digest, InstanceId, OperationId, ServiceId};
use super::names::{HostLabel, ServiceName};
use super::operation::{Failure, Operation, OperationKind};
use super::revision::RevisionNumber;
use super::service::ServiceSpec;
use super::source::CommitId;
use super::status::ServiceStatus;
use super::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Who may change a resource (law 3). Exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Owner {
    /// The manifest.
    Declared,
    /// The API.
    Managed,
}

/// Why a version is not deployed by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HeldReason {
    /// It was tried with this configuration and failed.
    Failed,
    /// It was tried and failed for a reason that passes by itself (network, engine, disk): held only so long that the
    /// next try has a chance.
    Transient,
    /// A person rolled back from it.
    RolledBack,
    /// It arrived while the service was paused (row D5).
    Paused,
    /// Its deployment was cancelled by a person.
    Cancelled,
}

/// A version that is not deployed by itself until a newer one comes or a person says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The commit.
    pub commit: CommitId,
    /// The digest of the declared configuration that it was tried with; `None` holds it under any configuration.
    pub spec: Option<Digest>,
    /// Why.
    pub why: HeldReason,
    /// What a person reads.
    pub message: String,
    /// Since when.
    pub at: Timestamp,
}

/// A pause, as an operational act stored with who and why (law 3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Who paused it.
    pub principal: String,
    /// Why, if they said.
    pub reason: Option<String>,
    /// Since when.
    pub at: Timestamp,
}

/// What is known of a service beyond its revisions, operations and instances.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceRecord {
    /// Its id.
    pub id: ServiceId,
    /// Its name.
    pub name: ServiceName,
    /// The generated label of its default domain (row I7).
    pub label: HostLabel,
    /// Who may change it.
    pub owner: Owner,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// The spec in force: the current revision's with what changed in place since. `None` until a creation succeeded.
    pub applied: Option<ServiceSpec>,
    /// The revision that serves.
    pub current: Option<RevisionNumber>,
    /// The number that the next revision gets.
    pub next_revision: u32,
    /// The pause, if it is paused.
    pub paused: Option<Pause>,
    /// Versions not deployed by themselves.
    pub held: Vec<Held>,
    /// How its creation or last rebuild failed, while nothing serves (row R5).
    pub create_failed: Option<Failure>,
    /// How its deletion failed.
    pub delete_failed: Option<Failure>,
    /// When it was deleted.
    pub deleted_at: Option<Timestamp>,
    /// What the API asked for last while nothing serves: shown until something does, and rebuilt from (row R5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested: Option<Box<ServiceSpec>>,
    /// Tags that the API set (row R3); those of a declared service stand in its declaration.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

impl ServiceRecord {
    /// A service as it is created: known, and nothing of it serves yet.
    pub fn created(id: ServiceId, name: ServiceName, label: HostLabel, owner: Owner, now: Timestamp) -> Self {
        Self {
            id,
            name,
            label,
            owner,
            created_at: now,
            updated_at: now,
            applied: None,
            current: None,
            next_revision: 1,
            paused: None,
            held: Vec::new(),
            create_failed: None,
            delete_failed: None,
            deleted_at: None,
            requested: None,
            tags: BTreeMap::new(),
        }
    }

    /// The one function that derives a status from facts (house rule 6). `operation` is the one that runs, if any.
    pub fn status(&self, operation: Option<&Operation>) -> ServiceStatus {
        // Before all else: who sees a service deleted finds its deletion succeeded, too, though it ends a moment later.
        if operation.is_some_and(|o| !o.status.is_final()) {
            return ServiceStatus::OperationInProgress;
        }
        if self.deleted_at.is_some() {
            return ServiceStatus::Deleted;
        }
        if self.delete_failed.is_some() {
            return ServiceStatus::DeleteFailed;
        }
        if self.paused.is_some() {
            return ServiceStatus::Paused;
        }
        match self.current {
            Some(_) => ServiceStatus::Running,
            None => ServiceStatus::CreateFailed,
        }
    }

    /// Whether a commit with a configuration is held back from being deployed by itself, and why.
    pub fn held(&self, commit: &CommitId, spec: &Digest) -> Option<&Held> {
        self.held.iter().find(|h| &h.commit == commit && h.spec.as_ref().is_none_or(|s| s == spec))
    }
}

/// What an instance is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum InstanceRole {
    /// Started by an operation or a healing; does not serve yet.
    Starting,
    /// Of the serving set.
    Serving,
    /// Taken out of routing; being drained, stopped, removed.
    Retiring,
}

/// What the store knows of an instance: written before it is started, removed after it is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceRecord {
    /// Its id.
    pub id: InstanceId,
    /// Its service.
    pub service: ServiceId,
    /// Its revision.
    pub revision: RevisionNumber,
    /// The operation that starts it; `None` for a healing.
    pub operation: Option<OperationId>,
    /// What it is for.
    pub role: InstanceRole,
    /// Where it answers, once known.
    pub address: Option<SocketAddr>,
    /// When it was recorded.
    pub created_at: Timestamp,
}

impl InstanceRecord {
    /// An instance that is about to be started, by an operation or (`None`) a healing.
    pub fn starting(
        id: InstanceId,
        service: ServiceId,
        revision: RevisionNumber,
        operation: Option<OperationId>,
        now: Timestamp,
    ) -> Self {
        Self { id, service, revision, operation, role: InstanceRole::Starting, address: None, created_at: now }
    }
}

/// A line in the life of the installation or of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// The service it is about, if one.
    pub service: Option<ServiceId>,
    /// The service's name, if one.
    pub name: Option<ServiceName>,
    /// The operation it belongs to, if one.
    pub operation: Option<OperationId>,
    /// One word of the kind of event (`DeploymentStarted`, `InstanceExited`, `SourceFailed`, …).
    pub kind: String,
    /// `INFO`, `WARN` or `ERROR`.
    pub severity: EventSeverity,
    /// What a person reads; where App Runner has the event, in its words (row O3).
    pub message: String,
    /// The same for people who watch: which version and why, how long it took, where it serves. May have several lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Event {
    /// What is shown to people.
    pub fn text(&self) -> &str {
        self.detail.as_deref().unwrap_or(&self.message)
    }
}

/// How bad an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum EventSeverity {
    /// As it should be.
    Info,
    /// Someone may want to know.
    Warn,
    /// Something failed.
    Error,
}

/// Whether an operation kind is refused on a paused service (row D5).
pub fn refused_while_paused(kind: OperationKind) -> bool {
    matches!(kind, OperationKind::StartDeployment | OperationKind::UpdateService | OperationKind::PauseService)
}
