//! `towpath operations`, and the words for operations everywhere.

use super::client::Client;
use super::failure::Failure;
use super::progress::step_word;
use super::screen::{Cell, Screen, Tone, ago, cell, harmless, short_span, table};
use crate::api::views::OperationView;
use crate::model::{Cause, OperationKind, OperationStatus, Timestamp, headline};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    operations: Vec<OperationView>,
}

/// Lists a service's operations, newest first.
pub async fn operations(screen: &Screen, client: &Client, service: &str) -> Result<(), Failure> {
    let Answer { operations } = client.call("Towpath.ListOperations", &json!({ "Service": service })).await?;
    if screen.is_json() {
        return screen.print_json(&operations);
    }
    if operations.is_empty() {
        return screen.print(&format!("`{service}` has no operations yet.\n"));
    }
    let now = Timestamp::now();
    let rows: Vec<Vec<Cell>> = operations.iter().map(|o| row(o, now)).collect();
    screen.print(&table(screen, &["ID", "WHAT", "STATUS", "STARTED", "TOOK", "WHY"], &rows))
}

fn row(operation: &OperationView, now: Timestamp) -> Vec<Cell> {
    let begun = operation.started_at.map(Timestamp::from);
    let took = begun.map(|begun| operation.ended_at.map_or(now, Timestamp::from).since(begun));
    vec![
        cell(operation.id.clone()),
        cell(noun(operation)),
        (tone(operation.status), status_words(operation)),
        (Tone::Quiet, begun.map(|begun| ago(now, begun)).unwrap_or_default()),
        (Tone::Quiet, took.map(|t| if t.as_secs() == 0 { "<1s".into() } else { short_span(t) }).unwrap_or_default()),
        cell(why(operation)),
    ]
}

/// The reason of a failure, else the cause.
fn why(operation: &OperationView) -> String {
    let Some(extra) = &operation.extra else { return String::new() };
    let text = match (&extra.message, &extra.cause) {
        (Some(message), _) => headline(message).to_owned(),
        (None, Cause::Manifest { place }) => format!("declared at {place}"),
        (None, Cause::Commit { commit }) => format!("commit {}", commit.short()),
        (None, Cause::Manual { principal, reason: None }) => format!("by {principal}"),
        (None, Cause::Manual { principal, reason: Some(reason) }) => format!("by {principal}: {reason}"),
        (None, Cause::Rollback { principal, from }) => format!("by {principal}, from revision {from}"),
    };
    harmless(&text)
}

/// `deployment`, `pause`, …; a rollback is a deployment on the wire.
pub fn noun(operation: &OperationView) -> &'static str {
    let rollback = operation.extra.as_ref().is_some_and(|e| matches!(e.cause, Cause::Rollback { .. }));
    match operation.kind {
        OperationKind::StartDeployment if rollback => "rollback",
        OperationKind::StartDeployment => "deployment",
        OperationKind::CreateService => "creation",
        OperationKind::UpdateService => "update",
        OperationKind::PauseService => "pause",
        OperationKind::ResumeService => "resumption",
        OperationKind::DeleteService => "deletion",
    }
}

/// A status with the step that runs.
pub fn status_words(operation: &OperationView) -> String {
    let step = operation.extra.as_ref().and_then(|e| e.step).map(step_word);
    match (operation.status, step) {
        (OperationStatus::Pending, _) => "pending".into(),
        (OperationStatus::InProgress, Some(step)) => format!("in progress: {step}"),
        (OperationStatus::InProgress, None) => "in progress".into(),
        (OperationStatus::Failed, _) => "failed".into(),
        (OperationStatus::Succeeded, _) => "succeeded".into(),
        (OperationStatus::RollbackInProgress, _) => "failed, going back".into(),
        (OperationStatus::RollbackFailed, _) => "failed, going back failed".into(),
        (OperationStatus::RollbackSucceeded, _) => "failed, went back".into(),
    }
}

/// The colour of a status.
pub fn tone(status: OperationStatus) -> Tone {
    match status {
        OperationStatus::Succeeded => Tone::Good,
        OperationStatus::Pending | OperationStatus::InProgress => Tone::Notice,
        _ => Tone::Bad,
    }
}
