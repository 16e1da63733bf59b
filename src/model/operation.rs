//! Operations: a persisted unit of change on one service, made of steps (row D3).

use super::error::Class;
use super::ids::{InstanceId, OperationId, ServiceId};
use super::record::{Held, Pause};
use super::revision::RevisionNumber;
use super::service::ServiceSpec;
use super::source::CommitId;
use super::time::Timestamp;
use serde::{Deserialize, Serialize};

/// What kind of operation it is, as App Runner names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OperationKind {
    /// The first deployment of a new service.
    CreateService,
    /// A new version of the source, or a rollback to a kept revision.
    StartDeployment,
    /// A changed configuration.
    UpdateService,
    /// Compute to zero.
    PauseService,
    /// Compute back, without a build.
    ResumeService,
    /// Everything of the service goes.
    DeleteService,
}

/// Status of an operation, as App Runner names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OperationStatus {
    /// Accepted, not begun.
    Pending,
    /// A step runs.
    InProgress,
    /// Failed before traffic shifted, was cancelled, or was superseded: the old version never stopped serving.
    Failed,
    /// Done.
    Succeeded,
    /// Failed after the shift began: going back.
    RollbackInProgress,
    /// Going back failed as well.
    RollbackFailed,
    /// Went back to what served before. Reported as a failure everywhere.
    RollbackSucceeded,
}

impl OperationStatus {
    /// Whether nothing more happens to the operation.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Failed | Self::Succeeded | Self::RollbackFailed | Self::RollbackSucceeded)
    }
}

/// One step of an operation. Each writes its intent, acts idempotently, writes its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Step {
    /// The commit is brought into the mirror and its configuration read.
    Fetch,
    /// The artifact is made, or found.
    Build,
    /// The release command runs, once per operation (row S9).
    Release,
    /// New instances are started beside the old.
    Start,
    /// New instances become healthy.
    Check,
    /// Traffic moves: the ingress acknowledged the routing without the old.
    Shift,
    /// Requests on the old instances end.
    Drain,
    /// The old instances are stopped and removed.
    Retire,
    /// What the service stored is removed (deletion only).
    Clean,
}

/// Why an operation was begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum Cause {
    /// The manifest declares it so.
    Manifest {
        /// Where, as `file:line`.
        place: String,
    },
    /// A new commit on the watched branch.
    Commit {
        /// The commit.
        commit: CommitId,
    },
    /// A person asked for it.
    Manual {
        /// Who: the principal, or `local:<user>` over the control socket.
        principal: String,
        /// Why, if they said.
        reason: Option<String>,
    },
    /// A person asked to go back to an earlier revision.
    Rollback {
        /// Who.
        principal: String,
        /// The revision that was current then.
        from: RevisionNumber,
    },
}

/// What an operation works towards; fixed when it is begun (house rule 1: execution makes no choices).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationTarget {
    /// What is declared. `None` for pause, resume, delete.
    pub spec: Option<ServiceSpec>,
    /// The commit to deploy, if known when the operation begins; else the branch's head is taken by the fetch step.
    pub commit: Option<CommitId>,
    /// A kept revision to run again without a build (rollback, resume).
    pub revision: Option<RevisionNumber>,
    /// Only settings that need no new instances change (row D4).
    pub in_place: bool,
}

impl OperationTarget {
    /// Of an operation that deploys nothing: a pause, a deletion.
    pub fn nothing() -> Self {
        Self { spec: None, commit: None, revision: None, in_place: false }
    }

    /// A declaration with a commit, new instances beside the old.
    pub fn deploying(spec: ServiceSpec, commit: Option<CommitId>) -> Self {
        Self { spec: Some(spec), commit, ..Self::nothing() }
    }
}

/// Why an operation failed, as one word for machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// The source could not be read: repository, branch, commit, network.
    SourceFailed,
    /// The commit is not signed by a key that is trusted, or its history was rewritten.
    CommitRefused,
    /// `apprunner.yaml` is missing or wrong.
    ConfigurationInvalid,
    /// A secret could not be resolved.
    SecretUnresolved,
    /// A build command failed or ran over its limits.
    BuildFailed,
    /// The engine could not start an instance.
    StartFailed,
    /// The release command failed, or what became of it is unknown.
    ReleaseFailed,
    /// New instances ended by themselves.
    InstanceExited,
    /// New instances did not become healthy before the deadline.
    HealthCheckFailed,
    /// The ingress did not take the new routing.
    ShiftFailed,
    /// A person cancelled it.
    Cancelled,
    /// A newer commit or configuration took its place.
    Superseded,
    /// A step ran over its deadline.
    DeadlineExceeded,
    /// Something in towpath, its store or the machine failed.
    Internal,
}

/// How an operation failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// One word.
    pub reason: Reason,
    /// Who acts next.
    pub class: Class,
    /// What a person reads: what happened, where, what to do.
    pub message: String,
    /// The step that failed.
    pub step: Option<Step>,
}

/// What of its service a shift replaces, so that it can be put back as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undo {
    /// The spec in force before.
    pub applied: Option<ServiceSpec>,
    /// The revision that served before.
    pub current: Option<RevisionNumber>,
    /// The pause, if it was paused.
    pub paused: Option<Pause>,
    /// The versions that were held.
    pub held: Vec<Held>,
    /// How its creation had failed, if it had.
    pub create_failed: Option<Failure>,
}

impl Failure {
    /// What failed, in one line, for tables and sentences: without the quoted output that may follow.
    pub fn headline(&self) -> &str {
        headline(&self.message)
    }
}

/// What introduces the lines of an application that a message quotes.
pub const QUOTES: &str = " Its last lines:";

/// The first line of a message, without what introduces the lines after it.
pub fn headline(message: &str) -> &str {
    let first = message.lines().next().unwrap_or_default().trim_end();
    match first.strip_suffix(QUOTES) {
        Some(said) => said.trim_end_matches('.'),
        None => first.trim_end_matches(':'),
    }
}

/// How far the release command of an operation is (law 5: at most once per operation).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ReleaseProgress {
    /// Written before it runs: where only this is known after a crash, it may have run, or have been cut.
    Begun,
    /// It ended well.
    Done,
}

/// One operation with its progress. The store keeps it as of the last finished write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Its id.
    pub id: OperationId,
    /// The service it changes.
    pub service: ServiceId,
    /// Its kind.
    pub kind: OperationKind,
    /// Why it was begun.
    pub cause: Cause,
    /// Its status.
    pub status: OperationStatus,
    /// What it works towards.
    pub target: OperationTarget,
    /// The step that runs or is next; `None` once it ended.
    pub step: Option<Step>,
    /// When the present step began, for its deadline.
    pub step_started_at: Option<Timestamp>,
    /// The revision that it makes or runs, once known.
    pub revision: Option<RevisionNumber>,
    /// The revision that served when it began.
    pub previous: Option<RevisionNumber>,
    /// Instances that it starts: their ids are written before they are started, so that none is orphaned or doubled.
    pub instances: Vec<InstanceId>,
    /// How far its release command is; `None` before that, and where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseProgress>,
    /// What its shift replaces; written with the shift.
    #[serde(default)]
    pub before: Option<Box<Undo>>,
    /// Set when a person asked to cancel it.
    pub cancel_requested: bool,
    /// How it failed, if it did.
    pub failure: Option<Failure>,
    /// Its place among the operations of its service, from 1: what is newest, whatever the clock was set to. 0 in records
    /// of versions that had only times.
    #[serde(default)]
    pub number: u64,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When its first step began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// When it was last written.
    pub updated_at: Timestamp,
}

impl Operation {
    /// An operation as it is accepted. Its first step is set by whoever knows the order of steps.
    pub fn accepted(
        id: OperationId,
        service: ServiceId,
        kind: OperationKind,
        cause: Cause,
        target: OperationTarget,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            service,
            kind,
            cause,
            status: OperationStatus::Pending,
            target,
            step: None,
            step_started_at: None,
            revision: None,
            previous: None,
            instances: Vec::new(),
            release: None,
            before: None,
            cancel_requested: false,
            failure: None,
            number: 0,
            created_at: now,
            started_at: None,
            ended_at: None,
            updated_at: now,
        }
    }

    /// What operations of one service are ordered by, oldest first.
    pub fn order(&self) -> (u64, Timestamp, &OperationId) {
        (self.number, self.created_at, &self.id)
    }
}
