//! ARNs of services and resources: made, and resolved, with or without their trailing parts (rows R1, R6, I6).

use crate::api::control::Refusal;
use crate::api::facts::{Facts, Installed};
use crate::model::{Resource, ResourceId, ResourceType, ServiceId, ServiceName, ServiceRecord};
use std::sync::Arc;

/// The ARN of a service.
pub(super) fn service_arn(installed: &Installed, record: &ServiceRecord) -> String {
    format!("{}service/{}/{}", prefix(installed), record.name, record.id)
}

/// The ARN of a resource.
pub(super) fn resource_arn(installed: &Installed, resource: &Resource) -> String {
    let Resource { id, name, revision, .. } = resource;
    let (prefix, word) = (prefix(installed), resource.of_type().word());
    match resource.of_type().has_revisions() {
        true => format!("{prefix}{word}/{name}/{revision}/{id}"),
        false => format!("{prefix}{word}/{name}/{id}"),
    }
}

/// The ARN of anything of ours up to its type.
pub(super) fn prefix(installed: &Installed) -> String {
    format!("arn:aws:apprunner:{}:{}:", installed.region, installed.account)
}

/// What an ARN names.
pub(super) enum Named<'a> {
    /// A service.
    Service(&'a ServiceRecord),
    /// Another resource.
    Resource(&'a Resource),
}

/// An ARN's type and the parts of its path.
struct Parts<'a> {
    kind: &'a str,
    path: Vec<&'a str>,
}

/// Finds a service; with its id deleted ones too.
pub(super) fn service<'a>(facts: &Facts<'a>, arn: &str) -> Result<&'a ServiceRecord, Refusal> {
    let Parts { kind, path } = parse(facts, arn, "a service")?;
    let wrong = || not_of(arn, "a service");
    if kind != "service" {
        return Err(wrong());
    }
    let (name, id) = match path[..] {
        [name] => (name, None),
        [name, id] => (name, Some(id.parse::<ServiceId>().map_err(|_| wrong())?)),
        _ => return Err(wrong()),
    };
    name.parse::<ServiceName>().map_err(|_| wrong())?;
    let found = match id {
        // An id finds deleted services too; the name beside it must be that service's.
        Some(id) => facts.services.get(&id).map(Arc::as_ref).filter(|r| r.name.as_str() == name),
        None => facts.live().find(|r| r.name.as_str() == name),
    };
    found.ok_or_else(|| Refusal::NotFound(format!("no service has the ARN `{}`", shortened(arn))))
}

/// Finds a service that is not deleted.
pub(super) fn live_service<'a>(facts: &Facts<'a>, arn: &str) -> Result<&'a ServiceRecord, Refusal> {
    let record = service(facts, arn)?;
    match record.deleted_at {
        None => Ok(record),
        Some(_) => Err(Refusal::NotFound(format!("service `{}` is deleted", record.name))),
    }
}

/// Finds a resource. Without its id an ARN names the newest revision that is there, or the revision that it says; with it
/// also one that was deleted a while ago.
pub(super) fn resource<'a>(facts: &Facts<'a>, of_type: ResourceType, arn: &str) -> Result<&'a Resource, Refusal> {
    let title = format!("{} {}", article(of_type), of_type.title());
    let Parts { kind, path } = parse(facts, arn, &title)?;
    if kind != of_type.word() {
        return Err(not_of(arn, &title));
    }
    let found = find(facts, of_type, &path).ok_or_else(|| not_of(arn, &title))?;
    found.ok_or_else(|| Refusal::NotFound(format!("no {} has the ARN `{}`", of_type.title(), shortened(arn))))
}

/// Finds a resource that is not deleted.
pub(super) fn active<'a>(facts: &Facts<'a>, of_type: ResourceType, arn: &str) -> Result<&'a Resource, Refusal> {
    let found = resource(facts, of_type, arn)?;
    if found.is_active() {
        return Ok(found);
    }
    Err(Refusal::NotFound(format!("the {} `{}` is deleted", of_type.title(), found.name)))
}

/// Whether an ARN ends with the name, without revision and id.
pub(super) fn is_bare(facts: &Facts<'_>, arn: &str) -> bool {
    parse(facts, arn, "").is_ok_and(|parts| parts.path.len() == 1)
}

/// Finds whatever an ARN names.
pub(super) fn any<'a>(facts: &Facts<'a>, arn: &str) -> Result<Named<'a>, Refusal> {
    const TYPES: [ResourceType; 5] = [
        ResourceType::Connection,
        ResourceType::AutoScaling,
        ResourceType::Observability,
        ResourceType::VpcConnector,
        ResourceType::VpcIngress,
    ];
    let kind = parse(facts, arn, "a resource")?.kind;
    match TYPES.into_iter().find(|t| t.word() == kind) {
        Some(of_type) => active(facts, of_type, arn).map(Named::Resource),
        None if kind == "service" => live_service(facts, arn).map(Named::Service),
        None => Err(not_of(arn, "a resource of App Runner")),
    }
}

/// `None` where the path cannot be one; `Some(None)` where nothing is there.
fn find<'a>(facts: &Facts<'a>, of_type: ResourceType, path: &[&str]) -> Option<Option<&'a Resource>> {
    let (name, revision, id) = match (of_type.has_revisions(), path) {
        (_, [name]) => (*name, None, None),
        (true, [name, revision]) => (*name, Some(*revision), None),
        (true, [name, revision, id]) => (*name, Some(*revision), Some(*id)),
        (false, [name, id]) => (*name, None, Some(*id)),
        _ => return None,
    };
    let revision = revision.map(str::parse::<u32>).transpose().ok()?;
    let id = id.map(str::parse::<ResourceId>).transpose().ok()?;
    let fits = |r: &&Resource| r.of_type() == of_type && r.name == name && revision.is_none_or(|n| r.revision == n);
    Some(match id {
        Some(id) => facts.resources.get(&id).filter(fits),
        None => facts.resources.values().filter(|r| r.is_active()).filter(fits).max_by_key(|r| r.revision),
    })
}

fn parse<'a>(facts: &Facts<'_>, arn: &'a str, title: &str) -> Result<Parts<'a>, Refusal> {
    let mut parts = arn.splitn(6, ':').skip(3);
    let (Some(region), Some(account), Some(resource)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(not_of(arn, title));
    };
    if !arn.starts_with("arn:aws") || arn.split(':').nth(2) != Some("apprunner") {
        return Err(not_of(arn, title));
    }
    let Installed { region: ours, account: our_account, .. } = facts.installed;
    if region != ours || account != our_account {
        let message = format!(
            "`{}` is not of this installation, which is region `{ours}`, account `{our_account}`",
            shortened(arn)
        );
        return Err(Refusal::NotFound(message));
    }
    let mut path = resource.split('/');
    let kind = path.next().unwrap_or_default();
    Ok(Parts { kind, path: path.collect() })
}

fn article(of_type: ResourceType) -> &'static str {
    match of_type {
        ResourceType::AutoScaling | ResourceType::Observability => "an",
        _ => "a",
    }
}

fn not_of(arn: &str, title: &str) -> Refusal {
    Refusal::InvalidRequest(format!("`{}` is not the ARN of {title}", shortened(arn)))
}

fn shortened(text: &str) -> String {
    text.chars().take(200).flat_map(char::escape_debug).collect()
}
