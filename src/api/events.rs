//! `Towpath.ListEvents`.

use super::arn;
use super::dispatch::{Context, output};
use super::errors::ApiError;
use super::views::EventView;
use serde::Deserialize;
use serde_json::{Value, json};

/// The most events in one answer.
const EVENTS: usize = 1_000;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct ListEvents {
    service: Option<String>,
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
}

pub(super) async fn list(context: &Context, input: ListEvents) -> Result<Value, ApiError> {
    let service = match &input.service {
        Some(text) => Some(arn::find(&*context.control, text).await?.0),
        None => None,
    };
    let limit = input.limit.unwrap_or(EVENTS).clamp(1, EVENTS);
    let events = context.control.events(service.as_ref(), input.after, limit).await?;
    let views: Vec<EventView> = events.into_iter().map(|(n, event)| EventView::of(n, event)).collect();
    Ok(json!({ "Events": output(&views)? }))
}
