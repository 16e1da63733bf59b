//! What `Towpath.*` answers, as types that server and CLI share. Times are epoch seconds, as everywhere on this wire.

use crate::model::{
    Cause, Event, EventSeverity, Operation, OperationKind, OperationStatus, Problem, Reason, Revision, Step, Timestamp,
};
use crate::observed::Observed;
use crate::plan::{NoteKind, Plan, Report};
use serde::{Deserialize, Serialize};

/// A time on the wire: epoch seconds with their fraction.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub f64);

impl From<Timestamp> for Epoch {
    fn from(time: Timestamp) -> Self {
        Self(time.epoch_seconds())
    }
}

impl From<Epoch> for Timestamp {
    fn from(epoch: Epoch) -> Self {
        // Millisecond precision is what the model keeps; the cast saturates.
        Self((epoch.0 * 1000.0).round() as i64)
    }
}

/// App Runner's `OperationSummary`, and what we know beyond it. The extras are left out on `AppRunner.*`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct OperationView {
    /// A dashed UUID.
    pub id: String,
    /// App Runner's type.
    #[serde(rename = "Type")]
    pub kind: OperationKind,
    /// App Runner's status.
    pub status: OperationStatus,
    /// The service's ARN.
    pub target_arn: String,
    /// When its first step began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Epoch>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Epoch>,
    /// When it last moved.
    pub updated_at: Epoch,
    /// What is ours.
    #[serde(flatten)]
    pub extra: Option<OperationExtra>,
}

/// What we know of an operation beyond App Runner's members.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct OperationExtra {
    /// The service's name.
    pub service_name: String,
    /// When it was accepted.
    pub created_at: Epoch,
    /// Why it was begun.
    pub cause: Cause,
    /// The step that runs or is next.
    pub step: Option<Step>,
    /// The commit it deploys, once known.
    pub commit: Option<String>,
    /// The revision that it makes or runs.
    pub revision: Option<u32>,
    /// The revision that served when it began.
    pub previous_revision: Option<u32>,
    /// Why it failed, in one word.
    pub reason: Option<Reason>,
    /// Why it failed, for people.
    pub message: Option<String>,
    /// Whether a person asked to cancel it.
    pub cancel_requested: bool,
}

impl OperationView {
    /// App Runner's own members.
    pub fn summary(operation: &Operation, arn: String) -> Self {
        Self {
            id: operation.id.to_string(),
            kind: operation.kind,
            status: operation.status,
            target_arn: arn,
            started_at: operation.started_at.map(Epoch::from),
            ended_at: operation.ended_at.map(Epoch::from),
            updated_at: operation.updated_at.into(),
            extra: None,
        }
    }

    /// With ours.
    pub fn detailed(operation: &Operation, arn: String, name: &str) -> Self {
        let failure = operation.failure.as_ref();
        let extra = OperationExtra {
            service_name: name.to_owned(),
            created_at: operation.created_at.into(),
            cause: operation.cause.clone(),
            step: operation.step,
            commit: operation.target.commit.as_ref().map(ToString::to_string),
            revision: operation.revision.map(|r| r.0),
            previous_revision: operation.previous.map(|r| r.0),
            reason: failure.map(|f| f.reason),
            message: failure.map(|f| f.message.clone()),
            cancel_requested: operation.cancel_requested,
        };
        Self { extra: Some(extra), ..Self::summary(operation, arn) }
    }
}

/// One service in `towpath status`. The member names are the CLI's contract, hence not in AWS's case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatusView {
    /// Its name.
    pub name: String,
    /// App Runner's status; `NOT_CREATED` for what is declared and does not exist yet.
    pub status: String,
    /// Where people reach it.
    pub url: Option<String>,
    /// The revision that serves.
    pub revision: Option<u32>,
    /// The version that serves: a commit id.
    pub version: Option<String>,
    /// Who signed that commit, where that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<String>,
    /// Its instances, counted.
    pub instances: InstanceCounts,
    /// Where its code comes from.
    pub source: Option<SourceView>,
    /// The newest operation.
    pub last_operation: Option<OperationView>,
    /// What is not done now, and why.
    pub waiting: Vec<WaitingView>,
    /// The manifest's commit that is in force, where it is pulled from git.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<ManifestView>,
    /// Its ARN.
    pub arn: Option<String>,
    /// The URL of its default domain (row I7).
    pub default_url: Option<String>,
}

/// A manifest's commit that is in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ManifestView {
    /// The file or directory and its repository.
    pub source: String,
    /// The commit.
    pub commit: String,
    /// Who wrote it.
    pub author: String,
    /// The first line of its message.
    pub summary: String,
    /// When the repository was last heard of.
    pub seen_at: Option<Epoch>,
    /// When everything was as it declares, once it was.
    pub converged_at: Option<Epoch>,
}

/// How many instances there are of a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceCounts {
    /// How many should serve.
    pub desired: u32,
    /// How many serve: of the serving set, running.
    pub running: u32,
    /// How many are frozen.
    pub frozen: u32,
}

/// A source as declared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceView {
    /// The repository.
    pub repository: String,
    /// The branch; where there is neither branch, tag nor commit, it is the default branch.
    pub branch: Option<String>,
    /// The tag, if one is followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The commit, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The directory that the application is in, if it is not the root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// Whether new commits are deployed by themselves.
    pub auto_deploy: bool,
    /// The last forced push to its branch that was seen since the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewritten: Option<RewrittenView>,
}

/// A forced push.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RewrittenView {
    /// The newest commit before.
    pub from: String,
    /// The one since, which does not descend from it.
    pub to: String,
    /// When it was seen.
    pub at: Epoch,
}

/// One thing that waits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WaitingView {
    /// What kind of waiting.
    pub kind: NoteKind,
    /// For what, and what to do.
    pub message: String,
    /// When it is worth looking again, if a time decides.
    pub until: Option<Epoch>,
}

/// `Towpath.GetStatus`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StatusAnswer {
    /// The services asked for.
    pub services: Vec<StatusView>,
    /// The manifest file's state.
    pub manifest: super::control::ManifestState,
    /// How it is followed.
    #[serde(default)]
    pub following: super::control::Following,
    /// What waits and belongs to no service.
    pub waiting: Vec<WaitingView>,
    /// Why the engine cannot be seen, if it cannot.
    pub engine_error: Option<String>,
}

/// `Towpath.Plan`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PlanView {
    /// What would be done.
    pub plan: Plan,
    /// What waits and why.
    pub report: Report,
    /// Problems of the manifest that was planned.
    pub problems: Vec<Problem>,
    /// What would be done about users, groups, roles and policies, a line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub access: Vec<String>,
    /// What it was computed from, if the request asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed: Option<Observed>,
}

/// One kept revision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RevisionView {
    /// Its number.
    pub number: u32,
    /// The commit.
    pub commit: String,
    /// The commit's first line.
    pub summary: String,
    /// Who wrote it.
    pub author: String,
    /// When it was made.
    pub created_at: Epoch,
    /// Whether it serves.
    pub current: bool,
}

impl RevisionView {
    /// The wire's view of a revision.
    pub fn of(revision: &Revision, current: bool) -> Self {
        Self {
            number: revision.number.0,
            commit: revision.commit.id.to_string(),
            summary: revision.commit.summary.clone(),
            author: revision.commit.author.clone(),
            created_at: revision.created_at.into(),
            current,
        }
    }
}

/// One event with its number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct EventView {
    /// Its number: later events have higher ones.
    pub sequence: u64,
    /// When.
    pub at: Epoch,
    /// The service's name, if one.
    pub service: Option<String>,
    /// The operation, if one.
    pub operation: Option<String>,
    /// One word.
    pub kind: String,
    /// How bad.
    pub severity: EventSeverity,
    /// For people; where App Runner has the event, in its words.
    pub message: String,
    /// The same with versions, reasons, times and places.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl EventView {
    /// The wire's view of an event.
    pub fn of(sequence: u64, event: Event) -> Self {
        Self {
            sequence,
            at: event.at.into(),
            service: event.name.map(String::from),
            operation: event.operation.map(String::from),
            kind: event.kind,
            severity: event.severity,
            message: event.message,
            detail: event.detail,
        }
    }
}

/// `Towpath.GetLogEvents`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct LogAnswer {
    /// The lines, oldest first.
    pub events: Vec<LogEventView>,
    /// Asks for what comes after them.
    pub next_token: String,
    /// Whether there is more already.
    pub more: bool,
    /// Whether the stream will never grow again.
    pub complete: bool,
}

/// One line of a log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct LogEventView {
    /// When it was written.
    pub at: Epoch,
    /// The line.
    pub message: String,
}

/// One log stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct LogStreamView {
    /// Its name (row O1): `events`, `deployment/<id>`, `instance/<id>`.
    pub name: String,
    /// When its first line was written.
    pub first_at: Option<Epoch>,
    /// When its last line was written.
    pub last_at: Option<Epoch>,
}
