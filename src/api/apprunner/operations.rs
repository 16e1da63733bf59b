//! `ListOperations` (row D3): newest first.

use super::arns::{self, service_arn};
use super::input::Input;
use super::paging::page;
use crate::api::control::Refusal;
use crate::api::dispatch::{Context, output};
use crate::api::errors::ApiError;
use crate::api::facts::looked;
use crate::model::Operation;
use serde_json::{Value, json};

pub(super) async fn list(context: &Context, input: &Input) -> Result<Value, ApiError> {
    let control = &*context.control;
    let found = looked(control, |facts| {
        let record = arns::service(facts, input.required("ServiceArn"))?;
        Ok::<_, Refusal>((record.id.clone(), service_arn(facts.installed, record)))
    });
    let (id, arn) = found.ok_or_else(|| Refusal::Internal("the control plane showed nothing".into()))??;
    let mut operations = control.operations(&id).await?;
    operations.sort_by_cached_key(key);
    let page = page(&control.token_key(), input, operations, key)?;
    let shapes = page.items.iter().map(|o| shape(o, &arn)).collect::<Result<Vec<_>, _>>()?;
    let mut answer = json!({ "OperationSummaryList": shapes });
    if let Some(next) = page.next {
        answer["NextToken"] = next.into();
    }
    Ok(answer)
}

/// Newest first: by the number that each got when it was accepted, which no clock that is set back changes.
fn key(operation: &Operation) -> String {
    let down = |at: i64| i64::MAX.saturating_sub(at);
    format!("{:020}{:020}{}", u64::MAX - operation.number, down(operation.created_at.0), operation.id)
}

fn shape(operation: &Operation, arn: &str) -> Result<Value, ApiError> {
    let mut shape = json!({
        "Id": operation.id,
        "Type": output(&operation.kind)?,
        "Status": output(&operation.status)?,
        "TargetArn": arn,
        // An operation that was accepted has started for whoever asked for it.
        "StartedAt": operation.started_at.unwrap_or(operation.created_at).epoch_seconds(),
        "UpdatedAt": operation.updated_at.epoch_seconds(),
    });
    if let Some(ended) = operation.ended_at {
        shape["EndedAt"] = ended.epoch_seconds().into();
    }
    Ok(shape)
}
