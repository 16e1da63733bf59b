//! What the wire asks of the control plane. The reconciler implements it; the wire knows nothing else of it.

use super::collection::{Collection, Extent};
use super::commands::{CommandBegun, CommandInput, CommandInputTaken, CommandOutput, CommandRequest};
use super::facts::{Configure, Edit, Facts, Owned};
use super::handshake::{AppWanted, Given};
use crate::desired::export::SealedTexts;
use crate::desired::{Desired, ManifestFiles, ManifestVersion};
use crate::model::{
    Event, HostUrl, InstanceId, Operation, OperationId, Problem, Revision, RevisionNumber, ServiceId, ServiceName,
    ServiceSpec, TerminalSize, Timestamp,
};
use crate::observed::{Observed, Rewritten, ServiceView};
use crate::plan::{Plan, Report};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;

/// The whole present state at one moment. Cheap to clone; never changes once taken.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// What runs.
    pub observed: Observed,
    /// What the last valid manifest declares.
    pub desired: Option<Desired>,
    /// The manifest file's present state.
    pub manifest: ManifestState,
    /// How the manifest is followed.
    pub following: Following,
    /// What would be done next, and what waits.
    pub plan: Plan,
    /// See `plan`.
    pub report: Report,
    /// Scheme, base domain and port that services answer at: the URL of a host is `http://<host>:<port>/`.
    pub http_port: u16,
    /// The base domain.
    pub base_domain: String,
    /// Region and account for ARNs.
    pub region: String,
    /// See `region`; 12 digits.
    pub account: String,
}

/// How the manifest in force came to be so, and what became of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Following {
    /// The manifest, or its place in a repository, as the user named it.
    pub source: String,
    /// When its repository was last heard of, where it is pulled from git.
    pub seen_at: Option<Timestamp>,
    /// When everything was as it declares, once it was.
    pub converged_at: Option<Timestamp>,
    /// Why its repository cannot be followed, if it cannot.
    pub problem: Option<String>,
    /// The last forced push to its branch that was seen since the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewritten: Option<Rewritten>,
}

/// Whether the manifest file is in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum ManifestState {
    /// No manifest was read yet.
    None,
    /// The file is valid and in force.
    InForce {
        /// Which.
        version: ManifestVersion,
        /// Its warnings.
        warnings: Vec<Problem>,
    },
    /// The file is invalid (or gone): what was in force before stays.
    Invalid {
        /// Every problem.
        problems: Vec<Problem>,
        /// What stays in force.
        kept: Option<ManifestVersion>,
    },
}

/// An act that a person asks for on one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Deploy the newest version of the source now (`StartDeployment`).
    Deploy(Windows),
    /// Compute to zero.
    Pause,
    /// Compute back.
    Resume,
    /// Remove the service.
    Delete,
    /// Run a kept revision again; the one before the current if none is named.
    Rollback(Option<RevisionNumber>),
}

/// Whether a deployment waits for its windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Windows {
    /// It is refused while they are closed, or while the service is suspended.
    Obeyed,
    /// A person says that it has to be now, and why.
    Overridden,
}

/// Who asks, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// `local:<user>` over the control socket.
    pub name: String,
    /// The reason that they gave.
    pub reason: Option<String>,
}

/// Why an act was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such service, operation or revision. The message names what there is.
    #[error("{0}")]
    NotFound(String),
    /// Not in this state: an operation runs, it is paused, it is declared in the manifest. Says what to do.
    #[error("{0}")]
    InvalidState(String),
    /// The request itself is wrong.
    #[error("{0}")]
    InvalidRequest(String),
    /// There are as many already as there may be (row R2); names the quota and its setting.
    #[error("{0}")]
    QuotaExceeded(String),
    /// A plan is stale; names what moved.
    #[error("{0}")]
    Stale(String),
    /// Something of ours failed; logged with its cause.
    #[error("{0}")]
    Internal(String),
}

/// What `plan` answers.
#[derive(Clone, Debug)]
pub struct PlanAnswer {
    /// What would be done.
    pub plan: Plan,
    /// What waits and why.
    pub report: Report,
    /// Problems of the manifest that was planned; with errors among them the plan is empty.
    pub problems: Vec<Problem>,
    /// What would be done about users, groups, roles and policies, a line each.
    pub access: Vec<String>,
}

/// A place in the log files of a service (row O1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LogStream {
    /// The life of the service.
    Events,
    /// One operation: `deployment/<id>`, `pause/<id>`, ….
    Operation(OperationId),
    /// An application instance's output.
    Instance(InstanceId),
}

/// The control plane as the wire sees it.
#[async_trait]
pub trait ControlPlane: Send + Sync + 'static {
    /// The present state.
    fn snapshot(&self) -> Arc<Snapshot>;

    /// The service of this name or id, deleted ones by id only.
    async fn find_service(&self, name_or_id: &str) -> Result<(ServiceId, ServiceName), Refusal>;

    /// One service as it is, deleted ones that are still describable too (row D6).
    async fn describe(&self, service: &ServiceId) -> Result<ServiceView, Refusal> {
        let snapshot = self.snapshot();
        let found = snapshot.observed.services.iter().find(|s| &s.record.id == service);
        found.cloned().ok_or_else(|| Refusal::NotFound(format!("there is no service `{service}` any more")))
    }

    /// Begins an operation on a service. Returns when it is stored, not when it ended.
    async fn act(&self, service: &ServiceId, act: Act, by: Principal) -> Result<OperationId, Refusal>;

    /// Opens a pull request that takes back what a rollback took back, or finds it; its URL.
    async fn propose_revert(&self, rollback: &OperationId, by: Principal) -> Result<String, Refusal> {
        drop((rollback, by));
        Err(Refusal::Internal("this control plane speaks to no git host".into()))
    }

    /// Asks a running operation to stop; the old version goes on.
    async fn cancel(&self, operation: &OperationId, by: Principal) -> Result<(), Refusal>;

    /// Operations of a service, newest first.
    async fn operations(&self, service: &ServiceId) -> Result<Vec<Operation>, Refusal>;

    /// One operation, ended ones too.
    async fn operation(&self, id: &OperationId) -> Result<Operation, Refusal>;

    /// Kept revisions of a service, newest first.
    async fn revisions(&self, service: &ServiceId) -> Result<Vec<Revision>, Refusal>;

    /// Events, oldest first, after a sequence number, at most `limit`; each with its number.
    async fn events(&self, service: Option<&ServiceId>, after: u64, limit: usize)
    -> Result<Vec<(u64, Event)>, Refusal>;

    /// Plans a manifest's text against the present state; the one in force if none is given. Runs no code.
    async fn plan(&self, manifest: Option<ManifestFiles>) -> Result<PlanAnswer, Refusal>;

    /// The directory that relative paths in the manifest of this server are relative to. A manifest from another machine is
    /// planned as if it lay there.
    fn manifest_directory(&self) -> Option<PathBuf> {
        None
    }

    /// Applies: a plan made before (refused if stale), or what is declared now. Returns the operations begun.
    async fn apply(
        &self,
        plan: Option<Plan>,
        allow_mass_delete: bool,
        by: Principal,
    ) -> Result<Vec<OperationId>, Refusal>;

    /// The encrypted texts of the secrets that declarations use, as far as they are kept.
    async fn sealed_texts(&self, _specs: &[&ServiceSpec]) -> SealedTexts {
        SealedTexts::new()
    }

    /// Looks at the present state without copying it. Keep it short: others wait meanwhile.
    fn look(&self, look: &mut dyn FnMut(&Facts<'_>)) {
        look(&Owned::of(&self.snapshot()).facts());
    }

    /// Changes what the API made, decided in the transaction that stores it; gives what the decision answers.
    async fn edit(&self, edit: Edit) -> Result<Value, Refusal> {
        drop(edit);
        Err(Refusal::Internal("this control plane keeps no resources".into()))
    }

    /// Begins to create a service, or to update one that the API made. Returns when it is stored.
    async fn configure(
        &self,
        service: Option<&ServiceId>,
        make: Configure,
        by: Principal,
    ) -> Result<(ServiceId, OperationId), Refusal> {
        drop((service, make, by));
        Err(Refusal::Internal("this control plane makes no services".into()))
    }

    /// Completes the handshake of a connection with what it gets in by, once that was shown to work.
    async fn complete_handshake(&self, given: Given) -> Result<(), Refusal> {
        drop(given);
        Err(Refusal::Internal("this control plane completes no handshakes".into()))
    }

    /// Makes a key for a connection, keeps it, and returns its public half.
    async fn make_key(&self, connection: &str, host: Option<HostUrl>) -> Result<String, Refusal> {
        drop((connection, host));
        Err(Refusal::Internal("this control plane makes no keys".into()))
    }

    /// Begins to make a GitHub App; returns where a browser goes on.
    async fn begin_app(&self, wanted: AppWanted) -> Result<String, Refusal> {
        drop(wanted);
        Err(Refusal::Internal("this control plane makes no Apps".into()))
    }

    /// The key of what clients carry for us and must not alter: tokens of pages.
    fn token_key(&self) -> [u8; 32] {
        [0; 32]
    }

    /// Random bytes for ids.
    fn random(&self) -> [u8; 16] {
        fastrand::u128(..).to_le_bytes()
    }

    /// Removes from the disk what is not kept, or shows what would go.
    async fn collect(&self, extent: Extent, by: Principal) -> Result<Collection, Refusal>;

    /// Begins a command that runs once in what a service runs now.
    async fn run_command(
        &self,
        service: &ServiceId,
        request: CommandRequest,
        by: Principal,
    ) -> Result<CommandBegun, Refusal>;

    /// What a command printed after its first `after` lines, and how it ended; waits a little for more. A command that is
    /// not asked for any more is stopped.
    async fn command_output(&self, id: &InstanceId, after: u64) -> Result<CommandOutput, Refusal>;

    /// Writes to a command that reads; waits a little until it takes it.
    async fn write_to_command(&self, id: &InstanceId, _piece: CommandInput) -> Result<CommandInputTaken, Refusal> {
        Err(Refusal::NotFound(format!("there is no command `{id}` that reads")))
    }

    /// Tells a command the size of its terminal.
    async fn resize_command(&self, id: &InstanceId, _size: TerminalSize) -> Result<(), Refusal> {
        Err(Refusal::NotFound(format!("there is no command `{id}` with a terminal")))
    }

    /// Stops a command.
    async fn stop_command(&self, id: &InstanceId, by: Principal) -> Result<(), Refusal>;

    /// Stops everything gracefully: traffic, instances, itself. Returns when the stop has begun.
    async fn shut_down(&self, by: Principal) -> Result<(), Refusal>;
}
