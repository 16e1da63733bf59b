//! Operations (row D3) as our own calls show them: with reasons, one of them, cancelling one.

use super::arn::{find, parse_operation, service_arn};
use super::control::Refusal;
use super::dispatch::{Call, Context, output};
use super::errors::ApiError;
use super::facts::looked;
use super::views::OperationView;
use crate::model::{Operation, ServiceId, ServiceName};
use serde::Deserialize;
use serde_json::{Value, json};

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
    // Looked up, not copied: a list does this for each of its operations.
    let arn = looked(&*context.control, |facts| service_arn(facts.installed, name, &operation.service));
    let arn = arn.unwrap_or_default();
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
