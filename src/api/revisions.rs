//! Kept revisions, and going back to one.

use super::arn::{find, parse_operation};
use super::control::{Act, Refusal};
use super::dispatch::{Call, Context, output};
use super::errors::ApiError;
use super::views::RevisionView;
use crate::model::RevisionNumber;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct ListRevisions {
    service: String,
}

pub(super) async fn list(context: &Context, input: ListRevisions) -> Result<Value, ApiError> {
    let (id, _) = find(&*context.control, &input.service).await?;
    let snapshot = context.control.snapshot();
    let current = snapshot.observed.services.iter().find(|s| s.record.id == id).and_then(|s| s.record.current);
    let revisions = context.control.revisions(&id).await?;
    let views: Vec<RevisionView> = revisions.iter().map(|r| RevisionView::of(r, Some(r.number) == current)).collect();
    Ok(json!({ "Revisions": output(&views)? }))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Rollback {
    service: String,
    revision: Option<u32>,
    reason: Option<String>,
}

pub(super) async fn rollback(context: &Context, call: &Call) -> Result<Value, ApiError> {
    let input: Rollback = call.read()?;
    let (id, _) = find(&*context.control, &input.service).await?;
    let act = Act::Rollback(input.revision.map(RevisionNumber));
    let operation = context.control.act(&id, act, call.by(input.reason)).await?;
    Ok(json!({ "OperationId": operation }))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ProposeRevert {
    service: String,
    operation_id: String,
}

/// Opens the pull request that belongs to a rollback of the service.
pub(super) async fn propose_revert(context: &Context, call: &Call) -> Result<Value, ApiError> {
    let input: ProposeRevert = call.read()?;
    let (id, name) = find(&*context.control, &input.service).await?;
    let rollback = context.control.operation(&parse_operation(&input.operation_id)?).await?;
    if rollback.service != id {
        return Err(Refusal::NotFound(format!("service `{name}` has no operation `{}`", rollback.id)).into());
    }
    let url = context.control.propose_revert(&rollback.id, call.by(None)).await?;
    Ok(json!({ "Url": url }))
}
