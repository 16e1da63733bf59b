//! `towpath audit`: who did what, and whether the trail is whole.

use super::client::Client;
use super::failure::Failure;
use super::screen::{Cell, Screen, Tone, cell, harmless, table};
use crate::access::audit::Verified;
use crate::api::audit::{LookupAudit, Records};
use crate::model::Timestamp;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::time::Duration;

/// `audit`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct AuditArgs {
    /// Only what this one did: a user's or a session's name, or an ARN
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// Only this operation: DeleteService
    #[arg(long, value_name = "NAME")]
    pub event: Option<String>,
    /// Only what was done to this: a service's name, or an ARN
    #[arg(long, value_name = "NAME")]
    pub resource: Option<String>,
    /// Only the last while: 30s, 10m, 2h
    #[arg(long, value_name = "DURATION", value_parser = super::args::parse_duration)]
    pub since: Option<Duration>,
    /// Only what was refused or failed
    #[arg(long)]
    pub failed: bool,
    /// Leave out what only looked
    #[arg(long)]
    pub changes: bool,
    /// So many of the newest
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub tail: usize,
    /// What else is done with the trail.
    #[command(subcommand)]
    pub command: Option<AuditCommand>,
}

/// What else is done with the trail.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Check that no record is missing or altered
    Verify,
}

/// Shows records, or checks them.
pub async fn audit(screen: &Screen, client: &Client, args: &AuditArgs) -> Result<(), Failure> {
    if let Some(AuditCommand::Verify) = args.command {
        return verify(screen, client).await;
    }
    let since =
        args.since.map(|span| Timestamp(Timestamp::now().0 - i64::try_from(span.as_millis()).unwrap_or(i64::MAX)));
    let asked = LookupAudit {
        user: args.user.clone(),
        event: args.event.clone(),
        resource: args.resource.clone(),
        failed: args.failed.then_some(true),
        read_only: args.changes.then_some(false),
        since,
        limit: args.tail,
    };
    let found: Records = client.call("Towpath.LookupAudit", &json!(asked)).await?;
    if screen.is_json() {
        return screen.print_json(&found.records);
    }
    let rows: Vec<Vec<Cell>> = found.records.iter().rev().map(row).collect();
    screen.print(&table(screen, &["TIME", "WHO", "FROM", "WHAT", "ON", "OUTCOME"], &rows))
}

fn row(record: &Value) -> Vec<Cell> {
    let text = |value: &Value| harmless(value.as_str().unwrap_or("-"));
    let identity = &record["userIdentity"];
    let who = identity["userName"].as_str().or_else(|| identity["arn"].as_str()?.rsplit(":assumed-role/").next());
    let on = record["resources"][0]["ARN"].as_str().and_then(|arn| arn.splitn(6, ':').nth(5)).unwrap_or("-");
    let outcome = match record["errorCode"].as_str() {
        Some(code) => (Tone::Bad, harmless(code)),
        None => (Tone::Good, "done".into()),
    };
    vec![
        (Tone::Quiet, text(&record["eventTime"])),
        cell(harmless(who.unwrap_or("-"))),
        cell(text(&record["sourceIPAddress"])),
        cell(text(&record["eventName"])),
        cell(harmless(on)),
        outcome,
    ]
}

async fn verify(screen: &Screen, client: &Client) -> Result<(), Failure> {
    let found: Verified = client.call("Towpath.VerifyAudit", &json!({})).await?;
    if screen.is_json() {
        screen.print_json(&found)?;
    } else {
        for problem in &found.problems {
            screen.print(&format!("{}\n", screen.tone(Tone::Bad, &harmless(problem))))?;
        }
        let (records, first, last) = (found.records, found.first, found.last);
        let whole = if found.problems.is_empty() { "is whole" } else { "is NOT whole" };
        screen.print(&format!(
            "The audit trail {whole}: {records} records, {first} to {last}, the last with hash {}.\n",
            found.hash
        ))?;
    }
    if found.problems.is_empty() { Ok(()) } else { Err(Failure::Silent) }
}
