//! `Towpath.Export`: what is in force, for a manifest that declares it.

use super::apprunner::connections::{declared, host};
use super::dispatch::{Context, output};
use super::errors::ApiError;
use super::facts::{Facts, looked};
use crate::desired::ConnectionSpec;
use crate::desired::export::{Connections, SealedTexts};
use crate::model::{ConnectionName, Owner, ResourceId, ResourceKind, ServiceName, ServiceRecord, ServiceSpec};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportInput {}

/// What is in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ExportAnswer {
    /// The services, in the order of their names.
    pub services: Vec<ExportedService>,
    /// The encrypted texts of the secrets that they use. Values are never part of an answer.
    pub sealed: SealedTexts,
    /// The connections that they are read by.
    #[serde(default)]
    pub connections: Connections,
}

/// One service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ExportedService {
    /// Its name.
    pub name: String,
    /// What is in force; of what never came to serve, what is declared.
    pub spec: Option<ServiceSpec>,
    /// Whether it ever came to serve.
    pub served: bool,
    /// Who may change it.
    pub owner: Owner,
    /// Whether it is paused.
    pub paused: bool,
}

/// What is in force, with the tags that the API keeps beside it.
fn in_force(record: &ServiceRecord) -> Option<ServiceSpec> {
    let mut spec = record.applied.clone()?;
    spec.tags.extend(record.tags.clone());
    Some(spec)
}

pub(super) async fn export(context: &Context, _input: ExportInput) -> Result<Value, ApiError> {
    let snapshot = context.control.snapshot();
    // Previews come from pull requests, and go with them.
    let is_preview = |record: &&ServiceRecord| record.applied.as_ref().is_some_and(|spec| spec.preview.is_some());
    let records =
        snapshot.observed.services.iter().map(|view| view.record.as_ref()).filter(|record| !is_preview(record));
    // Left out, it would be deleted where the export is applied.
    let declared = |name: &ServiceName| {
        let services = snapshot.desired.iter().flat_map(|desired| &desired.services);
        services.map(|service| &service.spec).find(|spec| &spec.name == name).cloned()
    };
    let services = records.map(|record| ExportedService {
        name: record.name.to_string(),
        spec: in_force(record).or_else(|| record.requested.as_deref().cloned()).or_else(|| declared(&record.name)),
        served: record.applied.is_some(),
        owner: record.owner,
        paused: record.paused.is_some(),
    });
    let mut services: Vec<ExportedService> = services.collect();
    services.sort_by(|a, b| a.name.cmp(&b.name));
    let known = looked(&*context.control, connections).unwrap_or_default();
    for spec in services.iter_mut().filter_map(|s| s.spec.as_mut()) {
        let bound = spec.wire.as_ref().and_then(|wire| wire.connection.as_ref());
        let named = bound.and_then(|id| known.iter().find(|(known, ..)| known == id)).map(|(_, name, _)| name.clone());
        spec.source.connection = spec.source.connection.take().or(named);
    }
    let specs: Vec<&ServiceSpec> = services.iter().filter_map(|s| s.spec.as_ref()).collect();
    let sealed = context.control.sealed_texts(&specs).await;
    let used = |name: &ConnectionName| specs.iter().any(|spec| spec.source.connection.as_ref() == Some(name));
    let connections = known.into_iter().filter(|(_, name, _)| used(name)).map(|(_, name, spec)| (name, spec)).collect();
    output(&ExportAnswer { services, sealed, connections })
}

/// All connections: as they are declared, else as one whose handshake was completed.
fn connections(facts: &Facts<'_>) -> Vec<(ResourceId, ConnectionName, ConnectionSpec)> {
    let all = facts.resources.values().filter(|resource| resource.is_active());
    let known = all.filter_map(|resource| {
        let ResourceKind::Connection { provider, .. } = &resource.kind else { return None };
        let made = || Some(ConnectionSpec { provider: *provider, host: host(facts, resource)?, means: None });
        let spec = declared(facts, resource).map(|declared| declared.spec.clone()).or_else(made)?;
        Some((resource.id.clone(), resource.name.parse().ok()?, spec))
    });
    known.collect()
}
