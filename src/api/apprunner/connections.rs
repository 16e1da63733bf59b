//! Connections to providers of code (row C1). They stay `PENDING_HANDSHAKE`: the handshake itself comes later.

use super::arns::{self, resource_arn};
use super::input::Input;
use super::revisions::{self, put};
use crate::api::control::Refusal;
use crate::api::facts::{Change, Facts};
use crate::model::{Resource, ResourceKind, ResourceType};
use serde_json::{Value, json};

const NAME: &str = "ConnectionName";
const TYPE: ResourceType = ResourceType::Connection;

type Decided = Result<(Vec<Change>, Value), Refusal>;

/// The status of every connection that is there.
pub(super) const PENDING: &str = "PENDING_HANDSHAKE";

pub(super) fn create(facts: &Facts<'_>, input: &Input, random: [u8; 16]) -> Decided {
    let name = input.required(NAME);
    revisions::free_name(facts, TYPE, name)?;
    let have = revisions::active(facts, TYPE).count();
    revisions::within_quota(have, facts.quotas.connections, "connections", "connections")?;
    let provider = input.required("ProviderType").to_owned();
    let made = revisions::made(facts, name, ResourceKind::Connection { provider }, random, input)?;
    Ok((vec![put(&made)], json!({ "Connection": shape(facts, &made, PENDING) })))
}

pub(super) fn delete(facts: &Facts<'_>, input: &Input, _random: [u8; 16]) -> Decided {
    let named = arns::active(facts, TYPE, input.required("ConnectionArn"))?;
    revisions::refuse_used(facts, named)?;
    let answer = json!({ "Connection": shape(facts, named, "DELETED") });
    // Nothing describes a connection that is gone.
    Ok((vec![Change::Remove(named.id.clone())], answer))
}

pub(super) fn list(facts: &Facts<'_>, input: &Input, secret: &[u8; 32]) -> Result<Value, Refusal> {
    let name = input.text(NAME);
    let connections = revisions::active(facts, TYPE).filter(|r| name.is_none_or(|name| r.name == name));
    let page = revisions::paged(secret, input, connections.collect())?;
    Ok(page.answer("ConnectionSummaryList", |r| shape(facts, r, PENDING)))
}

fn shape(facts: &Facts<'_>, resource: &Resource, status: &str) -> Value {
    let mut shape = json!({
        NAME: resource.name,
        "ConnectionArn": resource_arn(facts.installed, resource),
        "Status": status,
        "CreatedAt": resource.created_at.epoch_seconds(),
    });
    if let ResourceKind::Connection { provider } = &resource.kind {
        shape["ProviderType"] = provider.clone().into();
    }
    shape
}
