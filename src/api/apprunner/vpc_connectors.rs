//! VPC connectors (row L7): one revision per name. Stored and answered; outgoing traffic takes no other way for them.

use super::input::Input;
use super::revisions::{self, Wire, base, put, status, times};
use crate::api::control::Refusal;
use crate::api::facts::{Change, Facts};
use crate::model::{Resource, ResourceKind, ResourceType};
use serde_json::{Value, json};

const WORD: &str = "VpcConnector";
const TYPE: ResourceType = ResourceType::VpcConnector;

const WIRE: Wire = Wire { of_type: TYPE, word: WORD, arn: "VpcConnectorArn", shape };

type Decided = Result<(Vec<Change>, Value), Refusal>;

pub(super) fn create(facts: &Facts<'_>, input: &Input, random: [u8; 16]) -> Decided {
    let name = input.required("VpcConnectorName");
    let list = |name: &str| input.members().texts(name).unwrap_or_default();
    let (subnets, security_groups) = (list("Subnets"), list("SecurityGroups"));
    if subnets.is_empty() || subnets.iter().chain(&security_groups).any(String::is_empty) {
        let message = "`Subnets` names at least one subnet, and neither it nor `SecurityGroups` has empty entries";
        return Err(Refusal::InvalidRequest(message.into()));
    }
    revisions::free_name(facts, TYPE, name)?;
    let have = revisions::active(facts, TYPE).count();
    revisions::within_quota(have, facts.quotas.vpc_connectors, "VPC connectors", "vpc-connectors")?;
    let kind = ResourceKind::VpcConnector { subnets, security_groups };
    let mut made = revisions::made(facts, name, kind, random, input)?;
    // App Runner has one revision per name.
    made.revision = 1;
    Ok((vec![put(&made)], json!({ WORD: shape(facts, &made) })))
}

pub(super) fn delete(facts: &Facts<'_>, input: &Input, _random: [u8; 16]) -> Decided {
    WIRE.delete(facts, input)
}

pub(super) fn describe(facts: &Facts<'_>, input: &Input) -> Result<Value, Refusal> {
    WIRE.describe(facts, input)
}

pub(super) fn list(facts: &Facts<'_>, input: &Input, secret: &[u8; 32]) -> Result<Value, Refusal> {
    let page = revisions::paged(secret, input, revisions::active(facts, TYPE).collect())?;
    Ok(page.answer("VpcConnectors", |r| shape(facts, r)))
}

fn shape(facts: &Facts<'_>, resource: &Resource) -> Value {
    let mut shape = base(facts, resource, WORD);
    shape["VpcConnectorRevision"] = resource.revision.into();
    if let ResourceKind::VpcConnector { subnets, security_groups } = &resource.kind {
        shape["Subnets"] = json!(subnets);
        shape["SecurityGroups"] = json!(security_groups);
    }
    shape["Status"] = status(resource).into();
    times(&mut shape, resource);
    shape
}
