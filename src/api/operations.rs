//! Operations (row D3): App Runner's list, ours with reasons, one of them, cancelling one.

use super::arn::{find, find_by_arn, parse_operation, service_arn};
use super::control::Refusal;
use super::dispatch::{Call, Context, output, required};
use super::errors::ApiError;
use super::paging::page;
use super::views::OperationView;
use crate::model::{Operation, ServiceId, ServiceName};
use serde::Deserialize;
use serde_json::{Value, json};

/// `ListOperationsMaxResults`.
const MAX_RESULTS: u32 = 20;

/// Members that are not ours to know are ignored, as AWS does.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListOperations {
    service_arn: Option<String>,
    next_token: Option<String>,
    max_results: Option<i64>,
}

pub(super) async fn list(context: &Context, input: ListOperations) -> Result<Value, ApiError> {
    let arn = required(input.service_arn, "ServiceArn")?;
    let (id, name) = find_by_arn(&*context.control, &arn).await?;
    let operations = context.control.operations(&id).await?;
    let page = page(operations, |o| o.id.to_string(), MAX_RESULTS, input.max_results, input.next_token.as_deref())?;
    let arn = service_arn(&context.control.snapshot(), &name, &id);
    let views: Vec<OperationView> = page.items.iter().map(|o| OperationView::summary(o, arn.clone())).collect();
    let mut answer = json!({ "OperationSummaryList": output(&views)? });
    if let Some(next) = page.next {
        answer["NextToken"] = next.into();
    }
    Ok(answer)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct ListDetailed {
    service: String,
}

pub(super) async fn list_detailed(context: &Context, input: ListDetailed) -> Result<Value, ApiError> {
    let (id, name) = find(&*context.control, &input.service).await?;
    let operations = context.control.operations(&id).await?;
    let views: Vec<OperationView> = operations.iter().map(|o| detailed(context, o, &name)).collect();
    Ok(json!({ "Operations": output(&views)? }))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct DescribeOperation {
    operation_id: String,
}

pub(super) async fn describe(context: &Context, input: DescribeOperation) -> Result<Value, ApiError> {
    let operation = context.control.operation(&parse_operation(&input.operation_id)?).await?;
    let name = name_of(context, &operation.service).await?;
    Ok(json!({ "Operation": output(&detailed(context, &operation, &name))? }))
}

async fn name_of(context: &Context, service: &ServiceId) -> Result<ServiceName, Refusal> {
    Ok(context.control.find_service(service.as_str()).await?.1)
}

fn detailed(context: &Context, operation: &Operation, name: &ServiceName) -> OperationView {
    let arn = service_arn(&context.control.snapshot(), name, &operation.service);
    OperationView::detailed(operation, arn, name.as_str())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct CancelOperation {
    operation_id: String,
    reason: Option<String>,
}

pub(super) async fn cancel(context: &Context, call: &Call) -> Result<Value, ApiError> {
    let input: CancelOperation = call.read()?;
    let id = parse_operation(&input.operation_id)?;
    context.control.cancel(&id, call.by(input.reason)).await?;
    Ok(json!({}))
}
