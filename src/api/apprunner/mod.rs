//! App Runner's API of 2020-05-15: every operation by its own name and shapes.
//!
//! In comes a call whose target begins with `AppRunner.`; the model's table says whether its input is one ([`validate`]);
//! a function per operation answers, deciding on [`Facts`] only; what it refuses is said with an error that the model
//! declares for the operation. Nothing here stores: changes are handed to the control plane, which decides on them in the
//! transaction that stores them.

mod arns;
mod classes;
mod configure;
pub(super) mod connections;
mod domains;
#[cfg(test)]
mod fuzz;
mod input;
mod model;
mod observability;
mod operations;
mod paging;
mod revisions;
mod scalings;
mod service_shape;
mod services;
mod source;
mod tags;
mod validate;
mod vpc_connectors;
mod vpc_ingress;

use super::control::Refusal;
use super::dispatch::{Call, Context, unknown};
use super::errors::ApiError;
use super::facts::{Change, Facts, looked};
use crate::model::{Resource, Timestamp};
use arns::Named;
use input::Input;
use model::{MODEL, Operation};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long what was deleted can still be described (rows D6, I6: *for a while*).
const DESCRIBABLE: Duration = Duration::from_secs(3600);

/// What an ARN, or a service's name or id, names: its whole ARN and its tags, if it names anything.
pub(super) fn resolved(facts: &Facts<'_>, text: &str) -> Option<(String, BTreeMap<String, String>)> {
    let service = || facts.live().find(|r| r.name.as_str() == text || r.id.as_str() == text).map(Named::Service);
    let named = if text.starts_with("arn:") { arns::any(facts, text).ok() } else { service() }?;
    let arn = match &named {
        Named::Service(record) => arns::service_arn(facts.installed, record),
        Named::Resource(resource) => arns::resource_arn(facts.installed, resource),
    };
    Some((arn, tags::of(facts, &named)))
}

/// Answers a call of an operation.
pub(super) async fn answer(context: &Context, call: &Call, operation: &str) -> Result<Value, ApiError> {
    let operation = MODEL.operation(operation).ok_or_else(|| unknown(&call.target))?;
    let input = validate::validate(operation, &call.input)?;
    let answered = route(context, call, operation.name, input).await;
    answered.map_err(|error| declared(operation, error))
}

async fn route(context: &Context, call: &Call, operation: &str, input: Input) -> Result<Value, ApiError> {
    match operation {
        "CreateService" => services::create(context, call, input).await,
        "UpdateService" => services::update(context, call, input).await,
        "DeleteService" => services::delete(context, call, &input).await,
        "PauseService" => services::pause(context, call, &input).await,
        "ResumeService" => services::resume(context, call, &input).await,
        "StartDeployment" => services::start_deployment(context, call, &input).await,
        "ListOperations" => operations::list(context, &input).await,
        "CreateAutoScalingConfiguration" => edit(context, input, scalings::create).await,
        "DeleteAutoScalingConfiguration" => edit(context, input, scalings::delete).await,
        "UpdateDefaultAutoScalingConfiguration" => edit(context, input, scalings::make_default).await,
        "CreateObservabilityConfiguration" => edit(context, input, observability::create).await,
        "DeleteObservabilityConfiguration" => edit(context, input, observability::delete).await,
        "CreateConnection" => edit(context, input, connections::create).await,
        "DeleteConnection" => edit(context, input, connections::delete).await,
        "CreateVpcConnector" => edit(context, input, vpc_connectors::create).await,
        "DeleteVpcConnector" => edit(context, input, vpc_connectors::delete).await,
        "CreateVpcIngressConnection" => edit(context, input, vpc_ingress::create).await,
        "UpdateVpcIngressConnection" => edit(context, input, vpc_ingress::update).await,
        "DeleteVpcIngressConnection" => edit(context, input, vpc_ingress::delete).await,
        "AssociateCustomDomain" => edit(context, input, domains::associate).await,
        "DisassociateCustomDomain" => edit(context, input, domains::disassociate).await,
        "TagResource" => edit(context, input, tags::tag).await,
        "UntagResource" => edit(context, input, tags::untag).await,
        _ => read(context, operation, &input),
    }
}

/// What only looks.
fn read(context: &Context, operation: &str, input: &Input) -> Result<Value, ApiError> {
    let control = &*context.control;
    let secret = control.token_key();
    let look = |facts: &Facts<'_>| match operation {
        "DescribeService" => services::describe(facts, input),
        "ListServices" => services::list(facts, input, &secret),
        "DescribeAutoScalingConfiguration" => scalings::describe(facts, input),
        "ListAutoScalingConfigurations" => scalings::list(facts, input, &secret),
        "ListServicesForAutoScalingConfiguration" => scalings::services(facts, input, &secret),
        "DescribeObservabilityConfiguration" => observability::describe(facts, input),
        "ListObservabilityConfigurations" => observability::list(facts, input, &secret),
        "ListConnections" => connections::list(facts, input, &secret),
        "DescribeVpcConnector" => vpc_connectors::describe(facts, input),
        "ListVpcConnectors" => vpc_connectors::list(facts, input, &secret),
        "DescribeVpcIngressConnection" => vpc_ingress::describe(facts, input),
        "ListVpcIngressConnections" => vpc_ingress::list(facts, input, &secret),
        "DescribeCustomDomains" => domains::describe(facts, input, &secret),
        "ListTagsForResource" => tags::list(facts, input),
        other => Err(Refusal::Internal(format!("nothing answers `{other}`"))),
    };
    let nothing = || Refusal::Internal("the control plane showed nothing".into());
    Ok(looked(control, look).ok_or_else(nothing)??)
}

/// What decides on changes: facts, input and random bytes in, changes and an answer out.
type Decide = fn(&Facts<'_>, &Input, [u8; 16]) -> Result<(Vec<Change>, Value), Refusal>;

async fn edit(context: &Context, input: Input, decide: Decide) -> Result<Value, ApiError> {
    let random = context.control.random();
    let edit = move |facts: &Facts<'_>| {
        let (mut changes, answer) = decide(facts, &input, random)?;
        changes.extend(sweep(facts));
        Ok((changes, answer))
    };
    Ok(context.control.edit(Box::new(edit)).await?)
}

/// Removes what was deleted so long ago that it need not be described any more, and what belonged to a service that is
/// gone.
fn sweep(facts: &Facts<'_>) -> Vec<Change> {
    let old = |deleted: Timestamp| facts.now.since(deleted) > DESCRIBABLE;
    let orphaned = |r: &Resource| {
        let service = |id| facts.services.get(id).is_some_and(|s| s.deleted_at.is_none());
        r.service().is_some_and(|id| !service(id))
    };
    let gone = facts.resources.values().filter(|r| !r.is_first() && (r.deleted_at.is_some_and(old) || orphaned(r)));
    gone.map(|r| Change::Remove(r.id.clone())).collect()
}

/// Says a refusal with an error that the model declares for the operation: `InvalidRequestException` is declared for all.
fn declared(operation: &Operation, error: ApiError) -> ApiError {
    let undeclared = match &error {
        ApiError::Refused(Refusal::NotFound(message)) if !operation.errors.contains(&"missing") => message,
        ApiError::Refused(Refusal::InvalidState(message)) if !operation.errors.contains(&"state") => message,
        ApiError::Refused(Refusal::QuotaExceeded(message)) if !operation.errors.contains(&"quota") => message,
        _ => return error,
    };
    Refusal::InvalidRequest(undeclared.clone()).into()
}
