//! Tags on every resource (row R3). What the manifest declares carries a marker that says where, and takes no others here.

use super::arns::{Named, any};
use super::input::{Input, Members};
use super::revisions::put;
use crate::api::control::Refusal;
use crate::api::facts::{Change, Facts};
use crate::model::{Owner, ServiceRecord};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The beginning of keys that are ours.
const OURS: &str = "towpath:";
/// Carries where a service is declared.
const DECLARED: &str = "towpath:declared-at";

type Decided = Result<(Vec<Change>, Value), Refusal>;
type Tags = BTreeMap<String, String>;

/// The tags that a request gives.
pub(super) fn read(input: Members<'_>, most: u32) -> Result<Tags, Refusal> {
    let mut tags = Tags::new();
    for tag in input.structures("Tags").unwrap_or_default() {
        let key = tag.text("Key").ok_or_else(|| Refusal::InvalidRequest("every tag has a `Key`".into()))?;
        if key.starts_with(OURS) {
            return Err(Refusal::InvalidRequest(format!("keys of tags that begin with `{OURS}` are towpath's own")));
        }
        let value = tag.text("Value").unwrap_or_default().to_owned();
        if tags.insert(key.to_owned(), value).is_some() {
            return Err(Refusal::InvalidRequest("two tags have the same `Key`".into()));
        }
    }
    within(&tags, most)?;
    Ok(tags)
}

fn within(tags: &Tags, most: u32) -> Result<(), Refusal> {
    if tags.len() <= most as usize {
        return Ok(());
    }
    Err(Refusal::InvalidRequest(format!(
        "a resource has at most {most} tags (`towpath up --quota tags=N` allows more)"
    )))
}

pub(super) fn tag(facts: &Facts<'_>, input: &Input, _random: [u8; 16]) -> Decided {
    let given = read(input.members(), u32::MAX)?;
    change(facts, input, |tags| {
        tags.extend(given);
        within(tags, facts.quotas.tags)
    })
}

pub(super) fn untag(facts: &Facts<'_>, input: &Input, _random: [u8; 16]) -> Decided {
    let keys = input.members().texts("TagKeys").unwrap_or_default();
    change(facts, input, |tags| {
        tags.retain(|key, _| !keys.contains(key));
        Ok(())
    })
}

fn change(facts: &Facts<'_>, input: &Input, change: impl FnOnce(&mut Tags) -> Result<(), Refusal>) -> Decided {
    let changed = match any(facts, input.required("ResourceArn"))? {
        Named::Service(record) => {
            facts.refuse_declared(record)?;
            let mut record = record.clone();
            change(&mut record.tags)?;
            Change::PutService(Box::new(record))
        }
        Named::Resource(resource) => {
            let mut resource = resource.clone();
            change(&mut resource.tags)?;
            put(&resource)
        }
    };
    Ok((vec![changed], json!({})))
}

pub(super) fn list(facts: &Facts<'_>, input: &Input) -> Result<Value, Refusal> {
    let tags = of(facts, &any(facts, input.required("ResourceArn"))?);
    let tags: Vec<Value> = tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect();
    Ok(json!({ "Tags": tags }))
}

/// The tags of what an ARN names.
pub(super) fn of(facts: &Facts<'_>, named: &Named<'_>) -> Tags {
    match named {
        Named::Service(record) => of_service(facts, record),
        Named::Resource(resource) => resource.tags.clone(),
    }
}

fn of_service(facts: &Facts<'_>, record: &ServiceRecord) -> Tags {
    if record.owner == Owner::Managed {
        return record.tags.clone();
    }
    let mut tags = facts.spec(record).map(|s| s.tags.clone()).unwrap_or_default();
    if let Some(spot) = facts.spot_of(&record.name) {
        tags.insert(DECLARED.into(), spot);
    }
    tags
}
