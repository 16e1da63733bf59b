//! `towpath events`.

use super::client::Client;
use super::failure::Failure;
use super::screen::{Cell, Screen, Tone, cell, harmless, table};
use crate::api::views::EventView;
use crate::model::{EventSeverity, Timestamp, headline};
use serde::Deserialize;
use serde_json::json;
use std::collections::VecDeque;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    events: Vec<EventView>,
}

/// Lists the newest events, oldest of them first.
pub async fn events(screen: &Screen, client: &Client, service: Option<&str>, tail: usize) -> Result<(), Failure> {
    let newest = collect(client, service, tail).await?;
    if screen.is_json() {
        return screen.print_json(&newest);
    }
    if newest.is_empty() {
        return screen.print("No events.\n");
    }
    let rows: Vec<Vec<Cell>> = newest.iter().map(row).collect();
    screen.print(&table(screen, &["TIME", "SERVICE", "KIND", "MESSAGE"], &rows))
}

/// Walks through all events that are kept and holds on to the last `tail`.
async fn collect(client: &Client, service: Option<&str>, tail: usize) -> Result<VecDeque<EventView>, Failure> {
    let (mut newest, mut after) = (VecDeque::new(), 0);
    loop {
        let mut input = json!({ "After": after });
        if let Some(service) = service {
            input["Service"] = service.into();
        }
        let Answer { events } = client.call("Towpath.ListEvents", &input).await?;
        let Some(last) = events.last().map(|e| e.sequence).filter(|last| *last > after) else { return Ok(newest) };
        after = last;
        newest.extend(events);
        newest.drain(..newest.len().saturating_sub(tail));
    }
}

fn row(event: &EventView) -> Vec<Cell> {
    let tone = match event.severity {
        EventSeverity::Info => Tone::Plain,
        EventSeverity::Warn => Tone::Notice,
        EventSeverity::Error => Tone::Bad,
    };
    vec![
        (Tone::Quiet, Timestamp::from(event.at).to_string()),
        cell(event.service.clone().unwrap_or_default()),
        cell(event.kind.clone()),
        (tone, harmless(headline(event.detail.as_deref().unwrap_or(&event.message)))),
    ]
}
