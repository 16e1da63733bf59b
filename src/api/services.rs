//! Services on App Runner's wire: list, describe, and the acts on one; and stopping everything.

use super::arn::{find_by_arn, service_arn};
use super::control::{Act, Refusal, Snapshot};
use super::dispatch::{Call, Context, required};
use super::errors::ApiError;
use super::paging::page;
use super::service_shape::service_shape;
use super::urls::default_authority;
use crate::model::{OperationId, ServiceId, ServiceStatus};
use crate::observed::ServiceView;
use serde::Deserialize;
use serde_json::{Value, json};

/// `ServiceMaxResults`.
const MAX_RESULTS: u32 = 20;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListServices {
    next_token: Option<String>,
    max_results: Option<i64>,
}

pub(super) fn list(context: &Context, input: ListServices) -> Result<Value, ApiError> {
    let snapshot = context.control.snapshot();
    let mut services: Vec<&ServiceView> = snapshot.observed.services.iter().collect();
    services.sort_by(|a, b| a.record.name.cmp(&b.record.name));
    let page =
        page(services, |s| s.record.id.to_string(), MAX_RESULTS, input.max_results, input.next_token.as_deref())?;
    let summaries: Vec<Value> = page.items.iter().map(|view| summary(&snapshot, view)).collect();
    let mut answer = json!({ "ServiceSummaryList": summaries });
    if let Some(next) = page.next {
        answer["NextToken"] = next.into();
    }
    Ok(answer)
}

fn summary(snapshot: &Snapshot, view: &ServiceView) -> Value {
    let record = &view.record;
    json!({
        "ServiceName": record.name,
        "ServiceId": record.id,
        "ServiceArn": service_arn(snapshot, &record.name, &record.id),
        "ServiceUrl": default_authority(snapshot, &record.label),
        "CreatedAt": record.created_at.epoch_seconds(),
        "UpdatedAt": record.updated_at.epoch_seconds(),
        "Status": record.status(view.operation.as_ref()).as_str(),
    })
}

/// The input of everything whose only parameter is the service. `Reason` is ours; AWS' clients never send it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct OneService {
    service_arn: Option<String>,
    reason: Option<String>,
}

pub(super) async fn describe(context: &Context, input: OneService) -> Result<Value, ApiError> {
    let (id, _) = find(context, &input).await?;
    let view = context.control.describe(&id).await?;
    Ok(json!({ "Service": service_shape(&context.control.snapshot(), &view) }))
}

pub(super) async fn start_deployment(context: &Context, call: &Call) -> Result<Value, ApiError> {
    let (_, operation) = act(context, call, Act::Deploy).await?;
    Ok(json!({ "OperationId": operation }))
}

pub(super) async fn pause(context: &Context, call: &Call) -> Result<Value, ApiError> {
    change(context, call, Act::Pause).await
}

pub(super) async fn resume(context: &Context, call: &Call) -> Result<Value, ApiError> {
    change(context, call, Act::Resume).await
}

pub(super) async fn delete(context: &Context, call: &Call) -> Result<Value, ApiError> {
    change(context, call, Act::Delete).await
}

/// Answers with the service as App Runner does: in progress, because an operation was accepted (row D6), even where
/// the snapshot is older than it.
async fn change(context: &Context, call: &Call, what: Act) -> Result<Value, ApiError> {
    let (id, operation) = act(context, call, what).await?;
    let view = context.control.describe(&id).await?;
    let mut service = service_shape(&context.control.snapshot(), &view);
    service["Status"] = ServiceStatus::OperationInProgress.as_str().into();
    Ok(json!({ "Service": service, "OperationId": operation }))
}

async fn act(context: &Context, call: &Call, what: Act) -> Result<(ServiceId, OperationId), ApiError> {
    let input: OneService = call.read()?;
    let (id, _) = find(context, &input).await?;
    let operation = context.control.act(&id, what, call.by(input.reason)).await?;
    Ok((id, operation))
}

async fn find(context: &Context, input: &OneService) -> Result<(ServiceId, crate::model::ServiceName), Refusal> {
    let arn = required(input.service_arn.as_deref(), "ServiceArn")?;
    find_by_arn(&*context.control, arn).await
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ShutDown {
    reason: Option<String>,
}

pub(super) async fn shut_down(context: &Context, call: &Call) -> Result<Value, ApiError> {
    let input: ShutDown = call.read()?;
    context.control.shut_down(call.by(input.reason)).await?;
    Ok(json!({}))
}
