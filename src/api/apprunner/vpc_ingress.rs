//! VPC ingress connections (row L7): ways into private services. Stored and answered; nothing is routed by them yet.

use super::arns::{self, resource_arn, service_arn};
use super::input::{Input, Members};
use super::revisions::{self, base, deleted, put, times};
use crate::api::control::Refusal;
use crate::api::facts::{Change, Facts};
use crate::model::{Resource, ResourceKind, ResourceType, ServiceId, ServiceRecord};
use serde_json::{Value, json};

const WORD: &str = "VpcIngressConnection";
const ARN: &str = "VpcIngressConnectionArn";
const TYPE: ResourceType = ResourceType::VpcIngress;

type Decided = Result<(Vec<Change>, Value), Refusal>;

pub(super) fn create(facts: &Facts<'_>, input: &Input, random: [u8; 16]) -> Decided {
    let name = input.required("VpcIngressConnectionName");
    let (vpc, endpoint) = network(input)?;
    let record = arns::live_service(facts, input.required("ServiceArn"))?;
    let private = facts.spec(record).and_then(|s| s.wire.as_ref()).is_some_and(|wire| wire.private);
    if !private {
        let message = format!(
            "service `{}` is public: make it private first (NetworkConfiguration.IngressConfiguration.\
             IsPubliclyAccessible: false)",
            record.name
        );
        return Err(Refusal::InvalidState(message));
    }
    revisions::free_name(facts, TYPE, name)?;
    let have = revisions::active(facts, TYPE).count();
    revisions::within_quota(have, facts.quotas.vpc_ingress, "VPC ingress connections", "vpc-ingress")?;
    let (service, label) = (record.id.clone(), facts.label(random));
    let kind = ResourceKind::VpcIngress { service, vpc: Some(vpc), endpoint: Some(endpoint), label };
    let made = revisions::made(facts, name, kind, random, input)?;
    Ok((vec![put(&made)], json!({ WORD: shape(facts, &made) })))
}

/// Both parts are needed, though the model requires neither.
fn network(input: &Input) -> Result<(String, String), Refusal> {
    let given = input.members().structure_or_empty("IngressVpcConfiguration");
    let part = |name: &str| {
        let text = given.text(name).filter(|text| !text.is_empty());
        text.map(str::to_owned)
            .ok_or_else(|| Refusal::InvalidRequest(format!("`IngressVpcConfiguration.{name}` is required")))
    };
    Ok((part("VpcId")?, part("VpcEndpointId")?))
}

pub(super) fn update(facts: &Facts<'_>, input: &Input, _random: [u8; 16]) -> Decided {
    let mut named = arns::active(facts, TYPE, input.required(ARN))?.clone();
    let (new_vpc, new_endpoint) = network(input)?;
    if let ResourceKind::VpcIngress { vpc, endpoint, .. } = &mut named.kind {
        (*vpc, *endpoint) = (Some(new_vpc), Some(new_endpoint));
    }
    Ok((vec![put(&named)], json!({ WORD: shape(facts, &named) })))
}

pub(super) fn delete(facts: &Facts<'_>, input: &Input, _random: [u8; 16]) -> Decided {
    let named = arns::active(facts, TYPE, input.required(ARN))?;
    let gone = deleted(facts, named);
    Ok((vec![put(&gone)], json!({ WORD: shape(facts, &gone) })))
}

pub(super) fn describe(facts: &Facts<'_>, input: &Input) -> Result<Value, Refusal> {
    Ok(json!({ WORD: shape(facts, arns::resource(facts, TYPE, input.required(ARN))?) }))
}

pub(super) fn list(facts: &Facts<'_>, input: &Input, secret: &[u8; 32]) -> Result<Value, Refusal> {
    let filter = input.members().structure_or_empty("Filter");
    let service = filter.text("ServiceArn").map(|arn| arns::service(facts, arn)).transpose()?;
    let all = revisions::active(facts, TYPE).filter(|r| wanted(r, service, filter));
    let page = revisions::paged(secret, input, all.collect())?;
    Ok(page.answer("VpcIngressConnectionSummaryList", |r| {
        let mut summary = json!({ ARN: resource_arn(facts.installed, r) });
        if let Some(record) = r.service().and_then(|id| facts.services.get(id)) {
            summary["ServiceArn"] = service_arn(facts.installed, record).into();
        }
        summary
    }))
}

fn wanted(resource: &Resource, service: Option<&ServiceRecord>, filter: Members<'_>) -> bool {
    let ResourceKind::VpcIngress { endpoint, .. } = &resource.kind else { return false };
    service.is_none_or(|s| resource.service() == Some(&s.id))
        && filter.text("VpcEndpointId").is_none_or(|id| endpoint.as_deref() == Some(id))
}

/// Those of a service that are there.
pub(super) fn of_service<'a>(facts: &Facts<'a>, service: &ServiceId) -> Vec<&'a Resource> {
    revisions::active(facts, TYPE).filter(|r| r.service() == Some(service)).collect()
}

/// `VpcDNSTargets` of a service.
pub(super) fn dns_targets(facts: &Facts<'_>, service: &ServiceId) -> Vec<Value> {
    let shapes = of_service(facts, service).into_iter().map(|r| shape(facts, r));
    let targets = shapes.map(|shape| {
        let vpc = shape["IngressVpcConfiguration"]["VpcId"].clone();
        json!({ ARN: shape[ARN], "VpcId": vpc, "DomainName": shape["DomainName"] })
    });
    targets.collect()
}

fn shape(facts: &Facts<'_>, resource: &Resource) -> Value {
    let mut shape = base(facts, resource, WORD);
    let ResourceKind::VpcIngress { service, vpc, endpoint, label } = &resource.kind else { return shape };
    if let Some(record) = facts.services.get(service) {
        shape["ServiceArn"] = service_arn(facts.installed, record).into();
    }
    let installed = facts.installed;
    shape["Status"] = if resource.is_active() { "AVAILABLE" } else { "DELETED" }.into();
    shape["AccountId"] = installed.account.clone().into();
    shape["DomainName"] = format!("{label}.vpc.{}.{}", installed.region, installed.base_domain).into();
    shape["IngressVpcConfiguration"] = json!({ "VpcId": vpc, "VpcEndpointId": endpoint });
    times(&mut shape, resource);
    shape
}
