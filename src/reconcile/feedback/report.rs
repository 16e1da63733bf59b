//! What an operation means to the repository that its commit comes from: a stage, in GitHub's words. Pure.

use crate::model::{
    CommitId, Operation, OperationKind, OperationStatus, Reason, Revision, RevisionNumber, Secret, ServiceName,
    headline,
};
use crate::telemetry::logs::clean;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// GitHub takes this many characters of a description.
const DESCRIPTION: usize = 140;
/// A secret shorter than this is in too many words to be taken out of them.
const SHORTEST_SECRET: usize = 4;
/// What stands for a secret that was in a text.
const TAKEN_OUT: &str = "••••••";

/// How far a deployment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// It is under way.
    InProgress,
    /// It serves.
    Succeeded,
    /// It failed before anything was switched.
    Failed,
    /// It failed after the switch, and what served before serves again: a failure.
    RolledBack,
    /// A person stopped it.
    Cancelled,
    /// A newer version took its place.
    Superseded,
}

impl Stage {
    /// Of an operation that was begun.
    pub fn of(operation: &Operation) -> Option<Self> {
        let reason = operation.failure.as_ref().map(|f| f.reason);
        Some(match (operation.status, reason) {
            (OperationStatus::Pending, _) => return None,
            (OperationStatus::InProgress | OperationStatus::RollbackInProgress, _) => Self::InProgress,
            (OperationStatus::Succeeded, _) => Self::Succeeded,
            (OperationStatus::Failed, Some(Reason::Superseded)) => Self::Superseded,
            (OperationStatus::Failed, Some(Reason::Cancelled)) => Self::Cancelled,
            (OperationStatus::Failed, _) => Self::Failed,
            (OperationStatus::RollbackSucceeded | OperationStatus::RollbackFailed, _) => Self::RolledBack,
        })
    }

    /// Whether nothing comes after it.
    pub fn is_final(self) -> bool {
        self != Self::InProgress
    }

    /// As a commit status.
    pub fn status(self) -> &'static str {
        match self {
            Self::InProgress => "pending",
            Self::Succeeded => "success",
            Self::Failed | Self::RolledBack => "failure",
            Self::Cancelled | Self::Superseded => "error",
        }
    }

    /// As the status of a deployment.
    pub fn deployment(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Superseded => "inactive",
            _ => self.status(),
        }
    }
}

/// What is to be said of one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How far it is.
    pub stage: Stage,
    /// The commit that it deploys.
    pub commit: CommitId,
    /// A line for people, at most 140 characters.
    pub description: String,
    /// Where the service answers.
    pub url: String,
    /// The service.
    pub service: ServiceName,
}

/// Whether an operation deploys a commit.
pub fn deploys(operation: &Operation) -> bool {
    let kind = matches!(
        operation.kind,
        OperationKind::CreateService | OperationKind::StartDeployment | OperationKind::UpdateService
    );
    kind && !operation.target.in_place
}

/// The commit that an operation deploys, once that is known; `kept` finds a revision.
pub fn commit_of<'a>(
    operation: &'a Operation,
    kept: impl Fn(RevisionNumber) -> Option<&'a Revision>,
) -> Option<&'a CommitId> {
    let revision = operation.target.revision.and_then(kept).map(|revision| &revision.commit.id);
    revision.or(operation.target.commit.as_ref())
}

/// The line that says how an operation stands; no secret of the service is in it.
pub fn describe(operation: &Operation, stage: Stage, commit: &CommitId, secrets: &[Secret]) -> String {
    let message = operation.failure.as_ref().map(|f| f.message.as_str()).unwrap_or_default();
    let said = match stage {
        Stage::InProgress => format!("{} of {} is under way", what(operation), commit.short()),
        Stage::Succeeded => succeeded(operation),
        Stage::Failed => format!("{} failed: {}", what(operation), cause(message)),
        Stage::RolledBack if operation.status == OperationStatus::RollbackFailed => {
            format!("{} failed, and so did going back: {}", what(operation), cause(message))
        }
        Stage::RolledBack => format!("{} failed and went back: {}", what(operation), cause(message)),
        Stage::Cancelled | Stage::Superseded => headline(message).to_owned(),
    };
    cut(&without(&clean(&said), secrets))
}

fn what(operation: &Operation) -> &'static str {
    match operation.cause {
        crate::model::Cause::Rollback { .. } => "Rollback",
        _ => "Deployment",
    }
}

fn succeeded(operation: &Operation) -> String {
    let revision = operation.revision.or(operation.target.revision);
    let serves = revision.map_or("it serves".to_owned(), |number| format!("revision {number} serves"));
    let begun = operation.started_at.unwrap_or(operation.created_at);
    let took = operation.ended_at.map_or(0, |end| end.since(begun).as_secs());
    format!("{}: {serves}, after {took} s", what(operation))
}

/// The cause, and the one line that a message quotes which says most, where there is room for it.
fn cause(message: &str) -> String {
    let head = headline(message);
    let quoted: Vec<&str> = message.lines().skip(1).filter_map(|line| line.trim_start().strip_prefix("| ")).collect();
    match telling(&quoted) {
        Some(line) => format!("{head} | {}", line.trim()),
        None => head.to_owned(),
    }
}

/// The last line that names an error, since a stack or a version may follow it; else the last.
fn telling<'l>(lines: &[&'l str]) -> Option<&'l str> {
    const WORDS: &[&str] = &["error", "exception", "panic", "fatal"];
    let names_one = |line: &&str| {
        let line = line.to_ascii_lowercase();
        WORDS.iter().any(|word| line.contains(word))
    };
    let last_first = || lines.iter().rev().copied().filter(|line| !line.trim().is_empty());
    last_first().find(names_one).or_else(|| last_first().next())
}

/// A text with these secrets taken out, wherever they stand.
pub fn without(text: &str, secrets: &[Secret]) -> String {
    let mut values: Vec<&str> = secrets.iter().flat_map(|s| s.reveal().lines()).map(str::trim).collect();
    values.retain(|value| value.chars().count() >= SHORTEST_SECRET);
    // The longest first: one may be a part of another.
    values.sort_by_key(|value| std::cmp::Reverse(value.len()));
    values.iter().fold(text.to_owned(), |text, value| text.replace(value, TAKEN_OUT))
}

fn cut(text: &str) -> String {
    let line = text.replace(['\n', '\t'], " ");
    match line.char_indices().nth(DESCRIPTION - 1) {
        Some((end, _)) if line.chars().count() > DESCRIPTION => format!("{}…", &line[..end]),
        _ => line,
    }
}

impl Report {
    /// The name that its statuses and deployments have.
    pub fn context(&self) -> String {
        format!("towpath/{}", self.service)
    }

    /// The body of a commit status.
    pub fn status_body(&self) -> Value {
        let target = matches!(self.stage, Stage::Succeeded).then_some(&self.url);
        let mut body = json!({
            "state": self.stage.status(), "context": self.context(), "description": self.description,
        });
        if let Some(url) = target {
            body["target_url"] = url.as_str().into();
        }
        body
    }

    /// The body of a new deployment, which can be found again by the operation.
    pub fn deployment_body(&self, operation: &str, transient: bool) -> Value {
        json!({
            "ref": self.commit.as_str(), "task": "deploy", "auto_merge": false, "required_contexts": [],
            "environment": self.service.as_str(), "description": format!("towpath deploys {}", self.service),
            "payload": { "operation": operation }, "transient_environment": transient,
            "production_environment": !transient,
        })
    }

    /// The body of a deployment's status.
    pub fn deployment_status_body(&self) -> Value {
        let mut body = json!({
            "state": self.stage.deployment(), "description": self.description, "environment": self.service.as_str(),
            "auto_inactive": true,
        });
        if self.stage == Stage::Succeeded {
            body["environment_url"] = self.url.as_str().into();
        }
        body
    }
}
