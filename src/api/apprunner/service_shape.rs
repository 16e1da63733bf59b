//! App Runner's `Service` structure, made of what we know. Pure.

use super::arns::{prefix, resource_arn, service_arn};
use super::classes::{CPUS, MEMORIES};
use super::scalings;
use crate::api::facts::{Facts, Installed};
use crate::model::{
    AppSettings, BuildSource, Catalogue, HealthCheck, ImageName, Reference, RepositoryUrl, Resource, ResourceId,
    ResourceType, RuntimeName, Scaling, ServiceRecord, ServiceSpec, WireSettings,
};
use serde_json::{Map, Value, json};
use std::sync::LazyLock;

/// The id of `DefaultConfiguration` (row I6).
const DEFAULT_SCALING_ID: &str = "00000000000000000000000000000001";
/// The longest name of an autoscaling configuration.
const SCALING_NAME: usize = 32;

/// The managed runtimes.
pub(super) static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(Catalogue::builtin);

/// The host of the default domain with the port, as `ServiceUrl` carries it (without a scheme).
pub(super) fn url(installed: &Installed, record: &ServiceRecord) -> String {
    let Installed { region, base_domain, http_port, .. } = installed;
    let port = if *http_port == 80 { String::new() } else { format!(":{http_port}") };
    format!("{}.{region}.{base_domain}{port}", record.label)
}

/// What a list says of a service, and every description begins with.
pub(super) fn summary(facts: &Facts<'_>, record: &ServiceRecord) -> Value {
    json!({
        "ServiceName": record.name,
        "ServiceId": record.id,
        "ServiceArn": service_arn(facts.installed, record),
        "ServiceUrl": url(facts.installed, record),
        "CreatedAt": record.created_at.epoch_seconds(),
        "UpdatedAt": record.updated_at.epoch_seconds(),
        "Status": facts.status(record).as_str(),
    })
}

/// The whole structure. `ServiceUrl` and `NetworkConfiguration` are always there: one of the two models that clients
/// carry requires each.
pub(super) fn service_shape(facts: &Facts<'_>, record: &ServiceRecord) -> Value {
    // Looked up again, so that what is found lives as long as the facts.
    let spec = facts.services.get(&record.id).and_then(|record| facts.spec(record));
    let wire = spec.and_then(|s| s.wire.as_deref());
    let mut shape = summary(facts, record);
    shape["SourceConfiguration"] = spec.map_or_else(|| json!({}), |spec| source(facts, spec));
    shape["InstanceConfiguration"] = spec.map_or_else(|| json!({}), instance);
    shape["AutoScalingConfigurationSummary"] = scaling(facts, record, spec);
    shape["NetworkConfiguration"] = network(facts, wire);
    if let Some(deleted) = record.deleted_at {
        shape["DeletedAt"] = deleted.epoch_seconds().into();
    }
    if let Some(spec) = spec {
        shape["HealthCheckConfiguration"] = health(&spec.health);
    }
    if let Some(key) = wire.and_then(|w| w.kms_key.as_ref()) {
        shape["EncryptionConfiguration"] = json!({ "KmsKey": key });
    }
    if let Some(observing) = wire.and_then(|w| w.observing.as_ref()) {
        let mut configuration = json!({ "ObservabilityEnabled": observing.enabled });
        if let Some(arn) = observing.configuration.as_ref().and_then(|id| arn_of(facts, id)) {
            configuration["ObservabilityConfigurationArn"] = arn.into();
        }
        shape["ObservabilityConfiguration"] = configuration;
    }
    shape
}

fn arn_of(facts: &Facts<'_>, id: &ResourceId) -> Option<String> {
    facts.resources.get(id).map(|resource| resource_arn(facts.installed, resource))
}

fn network(facts: &Facts<'_>, wire: Option<&WireSettings>) -> Value {
    let mut egress = json!({ "EgressType": "DEFAULT" });
    if let Some(id) = wire.and_then(|w| w.vpc_connector.as_ref()) {
        egress["EgressType"] = "VPC".into();
        if let Some(arn) = arn_of(facts, id) {
            egress["VpcConnectorArn"] = arn.into();
        }
    }
    let dual_stack = wire.is_some_and(|w| w.dual_stack);
    json!({
        "EgressConfiguration": egress,
        "IngressConfiguration": { "IsPubliclyAccessible": !wire.is_some_and(|w| w.private) },
        "IpAddressType": if dual_stack { "DUAL_STACK" } else { "IPV4" },
    })
}

fn source(facts: &Facts<'_>, spec: &ServiceSpec) -> Value {
    if let RepositoryUrl::Image(image) = &spec.source.repository {
        let mut source = json!({
            "ImageRepository": image_repository(spec, image),
            "AutoDeploymentsEnabled": spec.source.auto_deploy,
        });
        if let Some(authentication) = authentication(facts, spec) {
            source["AuthenticationConfiguration"] = authentication;
        }
        return source;
    }
    // AWS has branches only, and typed clients refuse any other type. The default branch has no name until it was asked for:
    // git's own word for it is HEAD.
    let version = match &spec.source.track.reference {
        Reference::Default => "HEAD".to_owned(),
        Reference::Branch(branch) => branch.to_string(),
        Reference::Tag(tag) => format!("refs/tags/{tag}"),
        Reference::Commit(commit) => commit.to_string(),
    };
    let mut repository = json!({
        "RepositoryUrl": spec.source.repository,
        "SourceCodeVersion": { "Type": "BRANCH", "Value": version },
    });
    if let Some(directory) = &spec.source.track.directory {
        repository["SourceDirectory"] = directory.as_str().into();
    }
    repository["CodeConfiguration"] = match &spec.build {
        BuildSource::Repository => json!({ "ConfigurationSource": "REPOSITORY" }),
        BuildSource::Inline(settings) => match wire_runtime(&settings.runtime) {
            Some(runtime) => {
                json!({ "ConfigurationSource": "API", "CodeConfigurationValues": values(spec, settings, runtime) })
            }
            // The model requires a runtime of its own list: what is built otherwise has no values to show.
            None => json!({ "ConfigurationSource": "API" }),
        },
    };
    let mut source = json!({ "CodeRepository": repository, "AutoDeploymentsEnabled": spec.source.auto_deploy });
    if let Some(authentication) = authentication(facts, spec) {
        source["AuthenticationConfiguration"] = authentication;
    }
    source
}

/// AWS knows two kinds of registries: what was not said to be of either is told as its private one, unless its name says
/// that it is the public one.
fn image_repository(spec: &ServiceSpec, image: &ImageName) -> Value {
    let told = spec.wire.as_deref().and_then(|wire| wire.image_type.as_deref());
    let of_name = if image.registry() == "public.ecr.aws" { "ECR_PUBLIC" } else { "ECR" };
    let configuration = match &spec.build {
        BuildSource::Inline(settings) => of_instances(spec, settings),
        BuildSource::Repository => Map::new(),
    };
    json!({
        "ImageIdentifier": image.identifier(&spec.source.track.reference),
        "ImageConfiguration": configuration,
        "ImageRepositoryType": told.unwrap_or(of_name),
    })
}

fn authentication(facts: &Facts<'_>, spec: &ServiceSpec) -> Option<Value> {
    let wire = spec.wire.as_deref();
    let bound = wire.and_then(|wire| wire.connection.as_ref()).and_then(|id| arn_of(facts, id));
    let named = || spec.source.connection.as_ref().and_then(|name| arn_of_connection(facts, name.as_str()));
    let role = wire.and_then(|wire| wire.access_role.clone());
    let pairs = [("ConnectionArn", bound.or_else(named)), ("AccessRoleArn", role)];
    let given: Map<String, Value> =
        pairs.into_iter().filter_map(|(name, arn)| Some((name.into(), arn?.into()))).collect();
    (!given.is_empty()).then_some(Value::Object(given))
}

/// A connection that a manifest names is a resource too.
fn arn_of_connection(facts: &Facts<'_>, name: &str) -> Option<String> {
    let is_it = |r: &&Resource| r.of_type() == ResourceType::Connection && r.is_active() && r.name == name;
    facts.resources.values().find(is_it).map(|r| resource_arn(facts.installed, r))
}

fn values(spec: &ServiceSpec, settings: &AppSettings, runtime: &str) -> Value {
    let mut values = Map::new();
    values.insert("Runtime".into(), runtime.into());
    let phases = [&settings.pre_build, &settings.build, &settings.post_build];
    let lines: Vec<&str> = phases.into_iter().flatten().map(String::as_str).collect();
    if !lines.is_empty() {
        values.insert("BuildCommand".into(), one_line(&lines.join(" && ")).into());
    }
    values.extend(of_instances(spec, settings));
    Value::Object(values)
}

/// What code and images have in common.
fn of_instances(spec: &ServiceSpec, settings: &AppSettings) -> Map<String, Value> {
    let mut values = Map::new();
    // An image that brings its own command has none here.
    if !settings.start.is_empty() {
        values.insert("StartCommand".into(), one_line(&settings.start).into());
    }
    values.insert("Port".into(), settings.port.to_string().into());
    // The manifest's variables are laid over the settings', as instances get them.
    let mut env = settings.env.clone();
    env.extend(spec.env.clone());
    if !env.is_empty() {
        values.insert("RuntimeEnvironmentVariables".into(), json!(env));
    }
    let references = spec.secrets.iter().map(|(name, secret)| (name.to_string(), secret.to_string().into()));
    let wire = settings.secrets.iter().map(|(name, from)| (name.to_string(), from.as_str().into()));
    let secrets: Map<String, Value> = wire.chain(references).collect();
    if !secrets.is_empty() {
        values.insert("RuntimeEnvironmentSecrets".into(), secrets.into());
    }
    values
}

/// The model forbids line ends in commands.
fn one_line(command: &str) -> String {
    command.lines().map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join("; ")
}

/// `python3` → `PYTHON_3`; runtimes of ours have no name on the wire.
fn wire_runtime(name: &RuntimeName) -> Option<&'static str> {
    CATALOGUE.find(name)?.wire.as_deref()
}

/// Sizes that only the manifest can declare have no name on the wire.
fn instance(spec: &ServiceSpec) -> Value {
    let on_wire = |sizes: &[(&str, u32)], size: u64| sizes.iter().any(|(_, s)| u64::from(*s) == size);
    let (cpu, memory) = (spec.instance.cpu.wire_units(), spec.instance.memory.wire_megabytes());
    let mut shape = Map::new();
    if on_wire(CPUS, cpu.into()) {
        shape.insert("Cpu".into(), cpu.to_string().into());
    }
    if on_wire(MEMORIES, memory) {
        shape.insert("Memory".into(), memory.to_string().into());
    }
    if let Some(role) = spec.wire.as_ref().and_then(|w| w.instance_role.clone()) {
        shape.insert("InstanceRoleArn".into(), role.into());
    }
    Value::Object(shape)
}

fn health(check: &HealthCheck) -> Value {
    json!({
        "Protocol": check.protocol,
        "Path": check.path,
        "Interval": check.interval_seconds,
        "Timeout": check.timeout_seconds,
        "HealthyThreshold": check.healthy_threshold,
        "UnhealthyThreshold": check.unhealthy_threshold,
    })
}

/// What a service of the API is bound to. Settings in place have no resource of their own: their summary is named after the
/// service.
fn scaling(facts: &Facts<'_>, record: &ServiceRecord, spec: Option<&ServiceSpec>) -> Value {
    let bound = spec.and_then(|s| s.wire.as_ref()).map(|wire| &wire.auto_scaling);
    if let Some(resource) = bound.and_then(|id| facts.resources.get(id)) {
        return scalings::summary(facts, resource);
    }
    let in_place = spec.map(|s| s.scaling).unwrap_or_default();
    let (name, id) = if in_place == Scaling::default() {
        ("DefaultConfiguration".to_owned(), DEFAULT_SCALING_ID)
    } else {
        (record.name.as_str().chars().take(SCALING_NAME).collect(), record.id.as_str())
    };
    json!({
        "AutoScalingConfigurationArn": format!("{}autoscalingconfiguration/{name}/1/{id}", prefix(facts.installed)),
        "AutoScalingConfigurationName": name,
        "AutoScalingConfigurationRevision": 1,
    })
}
