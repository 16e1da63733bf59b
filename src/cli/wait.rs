//! `--wait`: follows operations to their end, through restarts of the server, and says how they ended.

use super::client::{CallError, Client};
use super::failure::Failure;
use super::operations::{noun, status_words};
use super::progress::step_word;
use super::screen::{Screen, Tone, harmless};
use crate::api::views::{LogAnswer, OperationView};
use crate::model::{OperationStatus, Reason, headline};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) const PAUSE: Duration = Duration::from_millis(300);
/// Lines of a failed deployment's log that are shown with the failure.
const LAST_LINES: usize = 20;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    operation: OperationView,
}

/// One operation as it is now.
pub async fn describe(client: &Client, id: &str) -> Result<OperationView, CallError> {
    let Answer { operation } =
        client.call_patiently("Towpath.DescribeOperation", &json!({ "OperationId": id })).await?;
    Ok(operation)
}

/// What is printed of an operation that is not waited for.
pub fn print_begun(screen: &Screen, operation: &OperationView) -> Result<(), Failure> {
    let name = name_of(operation);
    let id = &operation.id;
    screen.print(&format!(
        "{name}: {} {id} {}; follow it with `towpath logs {name} -f --deployment {id}`\n",
        noun(operation),
        status_words(operation)
    ))
}

/// Follows operations until all have ended: on a terminal by a live view, elsewhere a line for each step as it begins. As
/// JSON it prints the list of them.
///
/// # Errors
/// When one did not succeed: everything was told by then.
pub async fn follow(screen: &Screen, client: &Client, ids: &[String]) -> Result<(), Failure> {
    let ended = match screen.is_live() {
        true => super::watching::watch(screen, client, ids).await?,
        false => tell_each_step(screen, client, ids).await?,
    };
    conclude(screen, client, ended).await
}

async fn tell_each_step(screen: &Screen, client: &Client, ids: &[String]) -> Result<Vec<OperationView>, Failure> {
    let mut shown: BTreeMap<&str, String> = BTreeMap::new();
    let mut ended = Vec::new();
    let mut open: Vec<&str> = ids.iter().map(String::as_str).collect();
    while !open.is_empty() {
        let mut still = Vec::new();
        for id in open {
            let operation = describe(client, id).await?;
            tell_progress(screen, &operation, shown.entry(id).or_default());
            if operation.status.is_final() { ended.push(operation) } else { still.push(id) }
        }
        open = still;
        if !open.is_empty() {
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(ended)
}

fn tell_progress(screen: &Screen, operation: &OperationView, shown: &mut String) {
    let step = operation.extra.as_ref().and_then(|e| e.step);
    let now = match (operation.status, step) {
        (OperationStatus::InProgress, Some(step)) => step_word(step).to_owned(),
        (OperationStatus::Pending, _) => "queued".to_owned(),
        (OperationStatus::RollbackInProgress, _) => "goes back".to_owned(),
        _ => return,
    };
    if *shown != now {
        screen.note(&format!("{}: {now}", name_of(operation)));
        *shown = now;
    }
}

async fn conclude(screen: &Screen, client: &Client, ended: Vec<OperationView>) -> Result<(), Failure> {
    let mut failed = false;
    for operation in &ended {
        if operation.status == OperationStatus::Succeeded {
            tell_success(screen, operation)?;
        } else {
            failed = true;
            tell_failure(screen, client, operation).await;
        }
    }
    if screen.is_json() {
        screen.print_json(&ended)?;
    }
    if failed { Err(Failure::Silent) } else { Ok(()) }
}

fn tell_success(screen: &Screen, operation: &OperationView) -> Result<(), Failure> {
    if screen.is_json() {
        return Ok(());
    }
    let serves = operation.extra.as_ref().and_then(|e| {
        let commit = e.commit.as_deref().map(|c| format!(" ({})", &c[..c.len().min(7)])).unwrap_or_default();
        Some(format!(", revision {}{commit} serves", e.revision?))
    });
    let line = format!("{}: {} succeeded", name_of(operation), noun(operation));
    screen.print(&format!("{}{}\n", screen.tone(Tone::Good, &line), serves.unwrap_or_default()))
}

/// The failure as every failure is told, with the last lines of its log before it.
async fn tell_failure(screen: &Screen, client: &Client, operation: &OperationView) {
    let (name, id) = (name_of(operation), &operation.id);
    for line in last_lines(client, name, id, LAST_LINES).await {
        screen.note(&format!("  {}", harmless(&line)));
    }
    let extra = operation.extra.as_ref();
    let reason = extra.and_then(|e| e.reason);
    let what = match (operation.status, reason) {
        (_, Some(Reason::Cancelled)) => "was cancelled",
        (_, Some(Reason::Superseded)) => "was superseded",
        (OperationStatus::RollbackSucceeded, _) => "failed and went back to the old version",
        (OperationStatus::RollbackFailed, _) => "failed, and going back failed too",
        _ => "failed",
    };
    let why =
        extra.and_then(|e| e.message.as_deref()).map(|m| format!(": {}", harmless(headline(m)))).unwrap_or_default();
    Failure::new(format!("{} of `{name}` {what}{why}", noun(operation)))
        .hint(format!("the whole log: `towpath logs {name} --deployment {id}`"))
        .print(screen);
}

/// No log is no further failure: a deployment may have failed before its first line.
pub(super) async fn last_lines(client: &Client, service: &str, id: &str, count: usize) -> Vec<String> {
    let input = json!({ "Service": service, "LogStreamName": format!("deployment/{id}"), "Tail": count });
    let answer: Result<LogAnswer, CallError> = client.call("Towpath.GetLogEvents", &input).await;
    answer.map(|a| a.events.into_iter().map(|e| e.message).collect()).unwrap_or_default()
}

pub(super) fn name_of(operation: &OperationView) -> &str {
    operation.extra.as_ref().map_or("?", |e| e.service_name.as_str())
}
