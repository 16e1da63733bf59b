//! Autoscaling configurations: shared, with revisions that never change, one of them the default (rows I6, L5).

use super::arns::{self, resource_arn, service_arn};
use super::input::Input;
use super::paging::page_by_name;
use super::revisions::{self, base, deleted, is_latest, put, status, times};
use crate::api::control::Refusal;
use crate::api::facts::{Change, Facts};
use crate::model::{Resource, ResourceKind, ResourceType, Scaling, ServiceRecord};
use serde_json::{Value, json};

const WORD: &str = "AutoScalingConfiguration";
const ARN: &str = "AutoScalingConfigurationArn";
const NAME: &str = "AutoScalingConfigurationName";
const TYPE: ResourceType = ResourceType::AutoScaling;

type Decided = Result<(Vec<Change>, Value), Refusal>;

pub(super) fn create(facts: &Facts<'_>, input: &Input, random: [u8; 16]) -> Decided {
    let name = input.required(NAME);
    let scaling = numbers(input)?;
    revisions::name_within_quota(facts, TYPE, name, (facts.quotas.autoscaling, "autoscaling"))?;
    let made = revisions::made(facts, name, ResourceKind::AutoScaling { scaling, default: false }, random, input)?;
    let mut shape = shape(facts, &made);
    shape["Latest"] = true.into();
    Ok((vec![put(&made)], json!({ WORD: shape })))
}

fn numbers(input: &Input) -> Result<Scaling, Refusal> {
    let Scaling { max_concurrency, min_size, max_size } = Scaling::default();
    let number = |name: &str, default: u32| match input.integer(name).map(u32::try_from) {
        None => Ok(default),
        Some(Ok(number)) => Ok(number),
        Some(Err(_)) => Err(Refusal::InvalidRequest(format!("`{name}` is too large"))),
    };
    let scaling = Scaling {
        max_concurrency: number("MaxConcurrency", max_concurrency)?,
        min_size: number("MinSize", min_size)?,
        max_size: number("MaxSize", max_size)?,
    };
    if scaling.min_size > scaling.max_size {
        let Scaling { min_size, max_size, .. } = scaling;
        return Err(Refusal::InvalidRequest(format!("`MinSize` ({min_size}) is larger than `MaxSize` ({max_size})")));
    }
    Ok(scaling)
}

pub(super) fn delete(facts: &Facts<'_>, input: &Input, _random: [u8; 16]) -> Decided {
    let arn = input.required(ARN);
    let named = arns::active(facts, TYPE, arn)?;
    let all = input.boolean("DeleteAllRevisions").unwrap_or(false);
    if all && !arns::is_bare(facts, arn) {
        let message = "`DeleteAllRevisions` takes an ARN that ends with the configuration's name, without a revision";
        return Err(Refusal::InvalidRequest(message.into()));
    }
    let of_name = revisions::active(facts, TYPE).filter(|r| if all { r.name == named.name } else { r.id == named.id });
    let mut changes = Vec::new();
    for resource in of_name {
        refuse_default(resource)?;
        revisions::refuse_used(facts, resource)?;
        changes.push(put(&deleted(facts, resource)));
    }
    Ok((changes, json!({ WORD: shape(facts, &deleted(facts, named)) })))
}

fn refuse_default(resource: &Resource) -> Result<(), Refusal> {
    if !resource.is_default() {
        return Ok(());
    }
    let message = format!(
        "revision {} of `{}` is the default autoscaling configuration: make another the default first \
         (UpdateDefaultAutoScalingConfiguration)",
        resource.revision, resource.name
    );
    Err(Refusal::InvalidRequest(message))
}

pub(super) fn make_default(facts: &Facts<'_>, input: &Input, _random: [u8; 16]) -> Decided {
    let named = arns::active(facts, TYPE, input.required(ARN))?;
    let with = |resource: &Resource, default: bool| {
        let mut resource = resource.clone();
        if let ResourceKind::AutoScaling { default: is, .. } = &mut resource.kind {
            *is = default;
        }
        resource
    };
    let before = facts.resources.values().filter(|r| r.is_default() && r.id != named.id);
    let mut changes: Vec<Change> = before.map(|r| put(&with(r, false))).collect();
    let chosen = with(named, true);
    changes.push(put(&chosen));
    Ok((changes, json!({ WORD: shape(facts, &chosen) })))
}

pub(super) fn describe(facts: &Facts<'_>, input: &Input) -> Result<Value, Refusal> {
    Ok(json!({ WORD: shape(facts, arns::resource(facts, TYPE, input.required(ARN))?) }))
}

pub(super) fn list(facts: &Facts<'_>, input: &Input, secret: &[u8; 32]) -> Result<Value, Refusal> {
    let resources = revisions::narrowed(facts, TYPE, input, NAME);
    let page = revisions::paged(secret, input, resources)?;
    Ok(page.answer("AutoScalingConfigurationSummaryList", |r| summary(facts, r)))
}

/// `ListServicesForAutoScalingConfiguration`.
pub(super) fn services(facts: &Facts<'_>, input: &Input, secret: &[u8; 32]) -> Result<Value, Refusal> {
    let resource = arns::active(facts, TYPE, input.required(ARN))?;
    let users = |last: Option<&str>, most: usize| {
        facts.live_after(last).filter(|r| facts.uses(r, &resource.id)).take(most).collect()
    };
    let page = page_by_name(secret, input, users, |r: &&ServiceRecord| r.name.as_str())?;
    Ok(page.answer("ServiceArnList", |r| service_arn(facts.installed, r).into()))
}

fn shape(facts: &Facts<'_>, resource: &Resource) -> Value {
    let mut shape = base(facts, resource, WORD);
    let ResourceKind::AutoScaling { scaling, default } = &resource.kind else { return shape };
    shape["AutoScalingConfigurationRevision"] = resource.revision.into();
    shape["Latest"] = is_latest(facts, resource).into();
    shape["Status"] = status(resource).into();
    shape["MaxConcurrency"] = scaling.max_concurrency.into();
    shape["MinSize"] = scaling.min_size.into();
    shape["MaxSize"] = scaling.max_size.into();
    shape["HasAssociatedService"] = facts.is_used(&resource.id).into();
    shape["IsDefault"] = (*default).into();
    times(&mut shape, resource);
    shape
}

/// As lists and services show it.
pub(super) fn summary(facts: &Facts<'_>, resource: &Resource) -> Value {
    json!({
        ARN: resource_arn(facts.installed, resource),
        NAME: resource.name,
        "AutoScalingConfigurationRevision": resource.revision,
        "Status": status(resource),
        "CreatedAt": resource.created_at.epoch_seconds(),
        "HasAssociatedService": facts.is_used(&resource.id),
        "IsDefault": resource.is_default(),
    })
}

/// The numbers of a configuration.
pub(super) fn scaling_of(resource: &Resource) -> Scaling {
    match &resource.kind {
        ResourceKind::AutoScaling { scaling, .. } => *scaling,
        _ => Scaling::default(),
    }
}
