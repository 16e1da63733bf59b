//! App Runner's `Service` structure, made of what we know. Pure.

use super::arn::{prefix, service_arn};
use super::control::Snapshot;
use super::urls::default_authority;
use crate::model::{
    AppSettings, BuildSource, Catalogue, HealthCheck, ImageName, Reference, RepositoryUrl, RuntimeName, Scaling,
    ServiceRecord, ServiceSpec,
};
use crate::observed::ServiceView;
use serde_json::{Map, Value, json};
use std::sync::LazyLock;

/// The id of `DefaultConfiguration` (row I6).
const DEFAULT_SCALING_ID: &str = "00000000000000000000000000000001";
/// The longest name of an autoscaling configuration.
const SCALING_NAME: usize = 32;

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(Catalogue::builtin);

/// The whole structure. `ServiceUrl` and `NetworkConfiguration` are always there: one of the two models that clients
/// carry requires each.
pub(super) fn service_shape(snapshot: &Snapshot, view: &ServiceView) -> Value {
    let record = &view.record;
    let spec = known_spec(snapshot, view);
    let mut shape = json!({
        "ServiceName": record.name,
        "ServiceId": record.id,
        "ServiceArn": service_arn(snapshot, &record.name, &record.id),
        "ServiceUrl": default_authority(snapshot, &record.label),
        "CreatedAt": record.created_at.epoch_seconds(),
        "UpdatedAt": record.updated_at.epoch_seconds(),
        "Status": record.status(view.operation.as_ref()).as_str(),
        "SourceConfiguration": spec.map_or_else(|| json!({}), source),
        "InstanceConfiguration": spec.map_or_else(|| json!({}), instance),
        "AutoScalingConfigurationSummary": scaling(snapshot, record, spec.map(|s| s.scaling).unwrap_or_default()),
        "NetworkConfiguration": {
            "EgressConfiguration": { "EgressType": "DEFAULT" },
            "IngressConfiguration": { "IsPubliclyAccessible": true },
            "IpAddressType": "IPV4",
        },
    });
    if let Some(deleted) = record.deleted_at {
        shape["DeletedAt"] = deleted.epoch_seconds().into();
    }
    if let Some(spec) = spec {
        shape["HealthCheckConfiguration"] = health(&spec.health);
    }
    shape
}

/// What is in force; else what the running creation works towards; else what is declared. A service whose creation
/// failed and that is not declared any more has none.
fn known_spec<'a>(snapshot: &'a Snapshot, view: &'a ServiceView) -> Option<&'a ServiceSpec> {
    let operation = || view.operation.as_ref()?.target.spec.as_ref();
    let declared = || {
        let services = &snapshot.desired.as_ref()?.services;
        services.iter().map(|d| &d.spec).find(|s| s.name == view.record.name)
    };
    view.record.applied.as_ref().or_else(operation).or_else(declared)
}

fn source(spec: &ServiceSpec) -> Value {
    if let RepositoryUrl::Image(image) = &spec.source.repository {
        return json!({
            "ImageRepository": image_repository(spec, image),
            "AutoDeploymentsEnabled": spec.source.auto_deploy,
        });
    }
    // The default branch has no name until it was asked for; git's own word for it is HEAD. AWS has branches only.
    let (kind, version) = match &spec.source.track.reference {
        Reference::Default => ("BRANCH", "HEAD"),
        Reference::Branch(branch) => ("BRANCH", branch.as_str()),
        Reference::Tag(tag) => ("TAG", tag.as_str()),
        Reference::Commit(commit) => ("COMMIT", commit.as_str()),
    };
    let mut repository = json!({
        "RepositoryUrl": spec.source.repository,
        "SourceCodeVersion": { "Type": kind, "Value": version },
    });
    if let Some(directory) = &spec.source.track.directory {
        repository["SourceDirectory"] = directory.as_str().into();
    }
    repository["CodeConfiguration"] = match &spec.build {
        BuildSource::Repository => json!({ "ConfigurationSource": "REPOSITORY" }),
        BuildSource::Inline(settings) => json!({
            "ConfigurationSource": "API",
            "CodeConfigurationValues": values(spec, settings),
        }),
    };
    json!({ "CodeRepository": repository, "AutoDeploymentsEnabled": spec.source.auto_deploy })
}

/// AWS knows two kinds of registries; whatever is not its public one is told as the other.
fn image_repository(spec: &ServiceSpec, image: &ImageName) -> Value {
    let public = image.registry() == "public.ecr.aws";
    let configuration = match &spec.build {
        BuildSource::Inline(settings) => of_instances(spec, settings),
        BuildSource::Repository => Map::new(),
    };
    json!({
        "ImageIdentifier": image.identifier(&spec.source.track.reference),
        "ImageConfiguration": configuration,
        "ImageRepositoryType": if public { "ECR_PUBLIC" } else { "ECR" },
    })
}

fn values(spec: &ServiceSpec, settings: &AppSettings) -> Value {
    let mut values = Map::new();
    values.insert("Runtime".into(), wire_runtime(&settings.runtime).into());
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
    let secrets: Map<String, Value> = references.collect();
    if !secrets.is_empty() {
        values.insert("RuntimeEnvironmentSecrets".into(), secrets.into());
    }
    values
}

/// The model forbids line ends in commands.
fn one_line(command: &str) -> String {
    command.lines().map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join("; ")
}

/// `python3` → `PYTHON_3`; names of ours by the same rule.
fn wire_runtime(name: &RuntimeName) -> String {
    if let Some(wire) = CATALOGUE.find(name).and_then(|r| r.wire.clone()) {
        return wire;
    }
    let text = name.as_str();
    let digits = text.find(|c: char| c.is_ascii_digit()).unwrap_or(text.len());
    let (language, version) = text.split_at(digits);
    let joined = if version.is_empty() { language.to_owned() } else { format!("{language}_{version}") };
    joined.to_ascii_uppercase()
}

fn instance(spec: &ServiceSpec) -> Value {
    json!({
        "Cpu": spec.instance.cpu.wire_units().to_string(),
        "Memory": spec.instance.memory.wire_megabytes().to_string(),
    })
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

/// Settings in place have no resource of their own: their summary is named after the service.
fn scaling(snapshot: &Snapshot, record: &ServiceRecord, scaling: Scaling) -> Value {
    let (name, id) = if scaling == Scaling::default() {
        ("DefaultConfiguration".to_owned(), DEFAULT_SCALING_ID)
    } else {
        (record.name.as_str().chars().take(SCALING_NAME).collect(), record.id.as_str())
    };
    json!({
        "AutoScalingConfigurationArn": format!("{}autoscalingconfiguration/{name}/1/{id}", prefix(snapshot)),
        "AutoScalingConfigurationName": name,
        "AutoScalingConfigurationRevision": 1,
    })
}
