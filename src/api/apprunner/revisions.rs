//! What is alike for everything that has a name and perhaps revisions: making the next one, telling the latest, listing.

use super::arns;
use super::input::Input;
use super::paging::{Page, page};
use crate::api::control::Refusal;
use crate::api::facts::{Change, Facts};
use crate::model::{Resource, ResourceId, ResourceKind, ResourceType};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Resources of a type that are there.
pub(super) fn active<'a>(facts: &Facts<'a>, of_type: ResourceType) -> impl Iterator<Item = &'a Resource> + use<'a> {
    facts.resources.values().filter(move |r| r.of_type() == of_type && r.is_active())
}

/// Makes a resource under a name, as its next revision where there are such.
pub(super) fn made(
    facts: &Facts<'_>,
    name: &str,
    kind: ResourceKind,
    random: [u8; 16],
    input: &Input,
) -> Result<Resource, Refusal> {
    let mut resource = Resource::made(ResourceId::from_random(random), name.to_owned(), kind, facts.now);
    let of_type = resource.of_type();
    // Revisions that are deleted count as well: a number is not given twice while it can be described.
    let known = facts.resources.values().filter(|r| r.of_type() == of_type && r.name == name);
    resource.revision = known.map(|r| r.revision).max().unwrap_or(0).saturating_add(1);
    resource.tags = super::tags::read(input.members(), facts.quotas.tags)?;
    Ok(resource)
}

/// Refuses one more than there may be.
pub(super) fn within_quota(have: usize, most: u32, what: &str, setting: &str) -> Result<(), Refusal> {
    if have < most as usize {
        return Ok(());
    }
    Err(Refusal::QuotaExceeded(format!(
        "there are {have} {what}, and the quota is {most}: delete one, or raise it with `towpath up --quota {setting}={}`",
        most.saturating_add(10)
    )))
}

/// Refuses what there may not be of a type with revisions: one name more, or one revision more.
pub(super) fn name_within_quota(
    facts: &Facts<'_>,
    of_type: ResourceType,
    name: &str,
    (names, setting): (u32, &str),
) -> Result<(), Refusal> {
    let title = of_type.title();
    let of_name = active(facts, of_type).filter(|r| r.name == name).count();
    if of_name > 0 {
        return within_quota(of_name, facts.quotas.revisions, &format!("revisions of `{name}`"), "revisions");
    }
    // The one that was there from the start is nobody's.
    let mine = active(facts, of_type).filter(|r| !r.is_first()).map(|r| r.name.as_str());
    within_quota(mine.collect::<BTreeSet<_>>().len(), names, &format!("{title}s by name"), setting)
}

/// Refuses a name that another has.
pub(super) fn free_name(facts: &Facts<'_>, of_type: ResourceType, name: &str) -> Result<(), Refusal> {
    if active(facts, of_type).any(|r| r.name == name) {
        return Err(Refusal::InvalidRequest(format!("there is a {} `{name}` already", of_type.title())));
    }
    Ok(())
}

/// Refuses to delete what a service is bound to.
pub(super) fn refuse_used(facts: &Facts<'_>, resource: &Resource) -> Result<(), Refusal> {
    let users: Vec<&str> = facts.live().filter(|r| facts.uses(r, &resource.id)).map(|r| r.name.as_str()).collect();
    if users.is_empty() {
        return Ok(());
    }
    let title = resource.of_type().title();
    Err(Refusal::InvalidRequest(format!("the {title} `{}` is used by {}", resource.name, users.join(", "))))
}

/// How a type of resource is called on the wire, and shown.
pub(super) struct Wire {
    /// The type.
    pub of_type: ResourceType,
    /// The member that an answer has it under, such as `VpcConnector`.
    pub word: &'static str,
    /// The member that a request names it by.
    pub arn: &'static str,
    /// Its structure.
    pub shape: fn(&Facts<'_>, &Resource) -> Value,
}

impl Wire {
    /// Deletes a resource that no service is bound to.
    pub fn delete(&self, facts: &Facts<'_>, input: &Input) -> Result<(Vec<Change>, Value), Refusal> {
        let named = arns::active(facts, self.of_type, input.required(self.arn))?;
        refuse_used(facts, named)?;
        let gone = deleted(facts, named);
        Ok((vec![put(&gone)], json!({ self.word: (self.shape)(facts, &gone) })))
    }

    /// Describes a resource.
    pub fn describe(&self, facts: &Facts<'_>, input: &Input) -> Result<Value, Refusal> {
        let named = arns::resource(facts, self.of_type, input.required(self.arn))?;
        Ok(json!({ self.word: (self.shape)(facts, named) }))
    }
}

/// Whether it is the newest that is there under its name.
pub(super) fn is_latest(facts: &Facts<'_>, resource: &Resource) -> bool {
    let newer = |r: &Resource| r.name == resource.name && r.revision > resource.revision;
    resource.is_active() && !active(facts, resource.of_type()).any(newer)
}

/// As it is after its deletion.
pub(super) fn deleted(facts: &Facts<'_>, resource: &Resource) -> Resource {
    let mut gone = resource.clone();
    gone.deleted_at = Some(facts.now);
    gone
}

/// The change that stores a resource.
pub(super) fn put(resource: &Resource) -> Change {
    Change::Put(Box::new(resource.clone()))
}

/// `ACTIVE` or `INACTIVE`.
pub(super) fn status(resource: &Resource) -> &'static str {
    if resource.is_active() { "ACTIVE" } else { "INACTIVE" }
}

/// The members that every resource has under its own names: `<X>Arn`, `<X>Name`.
pub(super) fn base(facts: &Facts<'_>, resource: &Resource, word: &str) -> Value {
    let mut shape = json!({});
    shape[format!("{word}Arn")] = arns::resource_arn(facts.installed, resource).into();
    shape[format!("{word}Name")] = resource.name.clone().into();
    shape
}

/// Adds when it was made and deleted.
pub(super) fn times(shape: &mut Value, resource: &Resource) {
    shape["CreatedAt"] = resource.created_at.epoch_seconds().into();
    if let Some(at) = resource.deleted_at {
        shape["DeletedAt"] = at.epoch_seconds().into();
    }
}

/// A page of resources, by name and revision.
pub(super) fn paged<'a>(
    secret: &[u8; 32],
    input: &Input,
    mut resources: Vec<&'a Resource>,
) -> Result<Page<&'a Resource>, Refusal> {
    // No name has a zero character: a name comes before those that begin with it.
    let key = |r: &&Resource| format!("{}\0{:010}\0{}", r.name, r.revision, r.id);
    resources.sort_by_cached_key(key);
    page(secret, input, resources, key)
}

/// The resources of a list that can be narrowed to a name and to the latest revisions, which it is by default.
pub(super) fn narrowed<'a>(facts: &Facts<'a>, of_type: ResourceType, input: &Input, name: &str) -> Vec<&'a Resource> {
    let (name, latest) = (input.text(name), input.boolean("LatestOnly").unwrap_or(true));
    let named = active(facts, of_type).filter(|r| name.is_none_or(|name| r.name == name));
    named.filter(|r| !latest || is_latest(facts, r)).collect()
}
