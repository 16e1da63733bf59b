//! Connections to providers of code (row C1). Made here they are `PENDING_HANDSHAKE` until their handshake is completed
//! ([`crate::api::handshake`]); those that the manifest declares with what they need are `AVAILABLE`.

use super::arns::{self, resource_arn};
use super::input::Input;
use super::revisions::{self, put};
use crate::api::control::Refusal;
use crate::api::facts::{Change, Facts};
use crate::desired::DeclaredConnection;
use crate::model::{HostUrl, Invalid, Resource, ResourceKind, ResourceType};
use serde_json::{Value, json};

const NAME: &str = "ConnectionName";
const TYPE: ResourceType = ResourceType::Connection;

type Decided = Result<(Vec<Change>, Value), Refusal>;

/// Until something can be read by it.
pub(super) const PENDING: &str = "PENDING_HANDSHAKE";
/// From then on.
pub(super) const AVAILABLE: &str = "AVAILABLE";

/// What is declared of a connection, if the manifest declares it.
pub(in crate::api) fn declared<'a>(facts: &Facts<'a>, resource: &Resource) -> Option<&'a DeclaredConnection> {
    facts.desired?.connections.iter().find(|declared| declared.name.as_str() == resource.name)
}

/// The status of a connection that is there.
pub(in crate::api) fn status(facts: &Facts<'_>, resource: &Resource) -> &'static str {
    let ResourceKind::Connection { handshake, .. } = &resource.kind else { return PENDING };
    let completed = handshake.as_ref().is_some_and(|handshake| handshake.completed_at.is_some());
    let given = declared(facts, resource).is_some_and(|declared| declared.spec.means.is_some());
    if completed || given { AVAILABLE } else { PENDING }
}

/// The server of a connection: the declared one, else what its handshake was made with, else the provider's own.
pub(in crate::api) fn host(facts: &Facts<'_>, resource: &Resource) -> Option<HostUrl> {
    let ResourceKind::Connection { provider, host, .. } = &resource.kind else { return None };
    let declared = declared(facts, resource).map(|declared| declared.spec.host.clone());
    declared.or_else(|| host.clone()).or_else(|| provider.host())
}

/// Refuses a name that is taken, and one connection more than there may be.
pub(in crate::api) fn may_be_made(facts: &Facts<'_>, name: &str) -> Result<(), Refusal> {
    revisions::free_name(facts, TYPE, name)?;
    // Those of the manifest do not count (row R2).
    let have = revisions::active(facts, TYPE).filter(|r| declared(facts, r).is_none()).count();
    revisions::within_quota(have, facts.quotas.connections, "connections", "connections")
}

pub(super) fn create(facts: &Facts<'_>, input: &Input, random: [u8; 16]) -> Decided {
    let name = input.required(NAME);
    may_be_made(facts, name)?;
    let provider = input.required("ProviderType").parse().map_err(|e: Invalid| Refusal::InvalidRequest(e.message))?;
    let kind = ResourceKind::Connection { provider, host: None, declared: false, handshake: None };
    let made = revisions::made(facts, name, kind, random, input)?;
    Ok((vec![put(&made)], json!({ "Connection": shape(facts, &made, PENDING) })))
}

pub(super) fn delete(facts: &Facts<'_>, input: &Input, _random: [u8; 16]) -> Decided {
    let named = arns::active(facts, TYPE, input.required("ConnectionArn"))?;
    if let (Some(declared), Some(desired)) = (declared(facts, named), facts.desired) {
        let (name, spot) = (&named.name, desired.manifest.spot(&declared.place));
        let message = format!("the connection `{name}` is declared at {spot}; remove it there, and towpath follows");
        return Err(Refusal::InvalidRequest(message));
    }
    revisions::refuse_used(facts, named)?;
    if facts.installed.manifest_connection.as_ref() == Some(&named.name) {
        let message = format!("the connection `{}` is used by the manifest's own repository", named.name);
        return Err(Refusal::InvalidRequest(message));
    }
    let answer = json!({ "Connection": shape(facts, named, "DELETED") });
    // Nothing describes a connection that is gone.
    Ok((vec![Change::Remove(named.id.clone())], answer))
}

pub(super) fn list(facts: &Facts<'_>, input: &Input, secret: &[u8; 32]) -> Result<Value, Refusal> {
    let name = input.text(NAME);
    let connections = revisions::active(facts, TYPE).filter(|r| name.is_none_or(|name| r.name == name));
    let page = revisions::paged(secret, input, connections.collect())?;
    Ok(page.answer("ConnectionSummaryList", |r| shape(facts, r, status(facts, r))))
}

/// What App Runner shows of a connection.
pub(in crate::api) fn shape(facts: &Facts<'_>, resource: &Resource, status: &str) -> Value {
    let mut shape = json!({
        NAME: resource.name,
        "ConnectionArn": resource_arn(facts.installed, resource),
        "Status": status,
        "CreatedAt": resource.created_at.epoch_seconds(),
    });
    if let ResourceKind::Connection { provider, .. } = &resource.kind {
        shape["ProviderType"] = provider.as_str().into();
    }
    shape
}
