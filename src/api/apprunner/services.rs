//! Services: list, describe, create, update, and the acts on one.

use super::arns;
use super::configure;
use super::input::Input;
use super::paging::page_by_name;
use super::service_shape::{service_shape, summary};
use super::validate::OVERRIDE;
use super::{tags, vpc_ingress};
use crate::api::control::{Act, Refusal, Windows};
use crate::api::dispatch::{Call, Context};
use crate::api::errors::ApiError;
use crate::api::facts::{Configured, Facts, looked};
use crate::model::{OperationId, ServiceId, ServiceName, ServiceRecord, ServiceStatus};
use serde_json::{Value, json};

pub(super) fn list(facts: &Facts<'_>, input: &Input, secret: &[u8; 32]) -> Result<Value, Refusal> {
    let page = page_by_name(
        secret,
        input,
        |last, most| facts.live_after(last).take(most).collect(),
        |record: &&ServiceRecord| record.name.as_str(),
    )?;
    Ok(page.answer("ServiceSummaryList", |record| summary(facts, record)))
}

pub(super) fn describe(facts: &Facts<'_>, input: &Input) -> Result<Value, Refusal> {
    let record = arns::service(facts, input.required("ServiceArn"))?;
    Ok(json!({ "Service": service_shape(facts, record) }))
}

pub(super) async fn start_deployment(context: &Context, call: &Call, input: &Input) -> Result<Value, ApiError> {
    let windows = match input.boolean(OVERRIDE) {
        Some(true) if input.reason().is_none_or(|reason| reason.trim().is_empty()) => {
            return Err(Refusal::InvalidRequest(format!("`{OVERRIDE}` needs a `Reason`")).into());
        }
        Some(true) => Windows::Overridden,
        _ => Windows::Obeyed,
    };
    let (_, operation) = act(context, call, input, Act::Deploy(windows)).await?;
    Ok(json!({ "OperationId": operation }))
}

pub(super) async fn pause(context: &Context, call: &Call, input: &Input) -> Result<Value, ApiError> {
    let (id, operation) = act(context, call, input, Act::Pause).await?;
    accepted(context, &id, &operation)
}

pub(super) async fn resume(context: &Context, call: &Call, input: &Input) -> Result<Value, ApiError> {
    let (id, operation) = act(context, call, input, Act::Resume).await?;
    accepted(context, &id, &operation)
}

pub(super) async fn delete(context: &Context, call: &Call, input: &Input) -> Result<Value, ApiError> {
    look(context, |facts| {
        let record = arns::live_service(facts, input.required("ServiceArn"))?;
        let ways: Vec<&str> = vpc_ingress::of_service(facts, &record.id).iter().map(|r| r.name.as_str()).collect();
        if ways.is_empty() {
            return Ok(());
        }
        let message =
            format!("service `{}` has VPC ingress connections: delete {} first", record.name, ways.join(", "));
        Err(Refusal::InvalidState(message))
    })?;
    let (id, operation) = act(context, call, input, Act::Delete).await?;
    accepted(context, &id, &operation)
}

pub(super) async fn create(context: &Context, call: &Call, input: Input) -> Result<Value, ApiError> {
    let by = call.by(None);
    let make = move |facts: &Facts<'_>, _: Option<&ServiceRecord>| {
        let name: ServiceName = input
            .required("ServiceName")
            .parse()
            .map_err(|e: crate::model::Invalid| Refusal::InvalidRequest(e.message))?;
        refuse_taken(facts, &name)?;
        let tags = tags::read(input.members(), facts.quotas.tags)?;
        let spec = configure::configure(facts, input.members(), &name, None)?;
        Ok(Configured { spec, tags })
    };
    let (id, operation) = context.control.configure(None, Box::new(make), by).await?;
    accepted(context, &id, &operation)
}

/// Names are unique, and so are the hosts made of them; a name that is declared is the manifest's (law 3).
fn refuse_taken(facts: &Facts<'_>, name: &ServiceName) -> Result<(), Refusal> {
    if let Some(spot) = facts.spot_of(name) {
        let message = format!("service `{name}` is declared at {spot}: choose another name, or change it there");
        return Err(Refusal::InvalidRequest(message));
    }
    let label = name.host_label();
    match facts.live().find(|r| &r.name == name || r.name.host_label() == label) {
        None => Ok(()),
        Some(other) if &other.name == name => Err(Refusal::InvalidRequest(format!(
            "there is a service `{name}` already: choose another name, or delete it first"
        ))),
        Some(other) => Err(Refusal::InvalidRequest(format!(
            "service `{}` has the host name `{label}` already: choose another name",
            other.name
        ))),
    }
}

pub(super) async fn update(context: &Context, call: &Call, input: Input) -> Result<Value, ApiError> {
    let by = call.by(None);
    let id = look(context, |facts| Ok(arns::live_service(facts, input.required("ServiceArn"))?.id.clone()))?;
    let make = move |facts: &Facts<'_>, record: Option<&ServiceRecord>| {
        let record = record.ok_or_else(|| Refusal::NotFound("the service is deleted".into()))?;
        facts.refuse_declared(record)?;
        let spec = configure::configure(facts, input.members(), &record.name, Some(record))?;
        Ok(Configured { spec, tags: record.tags.clone() })
    };
    let (id, operation) = context.control.configure(Some(&id), Box::new(make), by).await?;
    accepted(context, &id, &operation)
}

/// Answers with the service as App Runner does: in progress, because an operation was accepted (row D6), even where it ended
/// meanwhile.
fn accepted(context: &Context, id: &ServiceId, operation: &OperationId) -> Result<Value, ApiError> {
    let mut service = look(context, |facts| {
        let record = facts.services.get(id).ok_or_else(|| Refusal::Internal("the service is gone".into()))?;
        Ok(service_shape(facts, record))
    })?;
    service["Status"] = ServiceStatus::OperationInProgress.as_str().into();
    Ok(json!({ "Service": service, "OperationId": operation }))
}

async fn act(context: &Context, call: &Call, input: &Input, what: Act) -> Result<(ServiceId, OperationId), ApiError> {
    let id = look(context, |facts| Ok(arns::service(facts, input.required("ServiceArn"))?.id.clone()))?;
    let reason = input.reason().map(str::to_owned);
    let operation = context.control.act(&id, what, call.by(reason)).await?;
    Ok((id, operation))
}

fn look<T>(context: &Context, look: impl FnOnce(&Facts<'_>) -> Result<T, Refusal>) -> Result<T, Refusal> {
    looked(&*context.control, look).unwrap_or_else(|| Err(Refusal::Internal("the control plane showed nothing".into())))
}
