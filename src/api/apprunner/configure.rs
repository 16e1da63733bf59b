//! From a request to a service's whole configuration: what is given is laid over what is in force, or over the defaults;
//! what it names is looked up. Pure.

use super::arns;
use super::classes::{CPUS, MEMORIES};
use super::input::Members;
use super::{scalings, source, vpc_ingress};
use crate::api::control::Refusal;
use crate::api::facts::Facts;
use crate::model::{
    BuildSource, Cpu, DeploySettings, HealthCheck, HealthProtocol, InstanceSize, Memory, Observing, ResourceType,
    Restraint, Scaling, ServiceName, ServiceRecord, ServiceSpec, WireSettings,
};
use std::collections::BTreeMap;

/// The configuration of a new service, or of `record` after an update.
///
/// # Errors
/// `InvalidRequest` saying what cannot be; `NotFound` for what the request names and is not there.
pub(super) fn configure(
    facts: &Facts<'_>,
    input: Members<'_>,
    name: &ServiceName,
    record: Option<&ServiceRecord>,
) -> Result<ServiceSpec, Refusal> {
    let old = record.and_then(|record| record.applied.as_ref().or(record.requested.as_deref()));
    let (scaling, mut wire) = bound(facts, input, old)?;
    let (code, build) = source::source(facts, input, old, &mut wire)?;
    let failed = record.is_some_and(|r| r.current.is_none());
    if old.is_some_and(|old| failed && std::mem::discriminant(&old.build) != std::mem::discriminant(&build)) {
        let message = "the `ConfigurationSource` of a service whose creation failed cannot be changed: delete it and create it anew";
        return Err(Refusal::InvalidRequest(message.into()));
    }
    let (size, role) = instance(input.structure_or_empty("InstanceConfiguration"), old)?;
    wire.instance_role = role.or(wire.instance_role);
    refuse_secrets_without_role(&build, &wire)?;
    network(facts, input.structure_or_empty("NetworkConfiguration"), record, &mut wire)?;
    observing(facts, input, &mut wire)?;
    if let Some(encryption) = input.structure("EncryptionConfiguration") {
        wire.kms_key = encryption.text("KmsKey").map(str::to_owned);
    }
    Ok(ServiceSpec {
        name: name.clone(),
        source: code,
        build,
        instance: size,
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
        health: health(input.structure_or_empty("HealthCheckConfiguration"), old),
        scaling,
        deploy: old.map_or_else(DeploySettings::default, |old| old.deploy.clone()),
        tags: BTreeMap::new(),
        restraint: old.map_or_else(Restraint::default, |old| old.restraint.clone()),
        wire: Some(Box::new(wire)),
        preview: None,
    })
}

/// Secrets are read with the rights of the instance role (row L2).
fn refuse_secrets_without_role(build: &BuildSource, wire: &WireSettings) -> Result<(), Refusal> {
    match build {
        BuildSource::Inline(settings) if !settings.secrets.is_empty() && wire.instance_role.is_none() => {
            let message = "`RuntimeEnvironmentSecrets` are read with the rights of a role: name it in \
                           `InstanceConfiguration.InstanceRoleArn`";
            Err(Refusal::InvalidRequest(message.into()))
        }
        _ => Ok(()),
    }
}

/// The autoscaling configuration: the one that is named, else what the service is bound to, else the default (row L5).
fn bound(facts: &Facts<'_>, input: Members<'_>, old: Option<&ServiceSpec>) -> Result<(Scaling, WireSettings), Refusal> {
    let before = old.and_then(|old| Some((old.scaling, (**old.wire.as_ref()?).clone())));
    let named = input.text("AutoScalingConfigurationArn");
    let named = named.map(|arn| arns::active(facts, ResourceType::AutoScaling, arn)).transpose();
    let named = named.map_err(|refusal| Refusal::InvalidRequest(refusal.to_string()))?;
    let default = || facts.resources.values().find(|r| r.is_default() && r.is_active());
    match (named, before) {
        (Some(named), Some((_, wire))) => {
            Ok((scalings::scaling_of(named), WireSettings { auto_scaling: named.id.clone(), ..wire }))
        }
        (None, Some(before)) => Ok(before),
        (named, None) => {
            let found = named.or_else(default);
            let found =
                found.ok_or_else(|| Refusal::Internal("there is no default autoscaling configuration".into()))?;
            Ok((scalings::scaling_of(found), WireSettings::bound_to(found.id.clone())))
        }
    }
}

/// Memory that goes with each CPU, in MB (row I1).
const PAIRS: &[(u32, &[u32])] = &[
    (256, &[512, 1024]),
    (512, &[1024]),
    (1024, &[2048, 3072, 4096]),
    (2048, &[4096, 6144]),
    (4096, &[8192, 10240, 12288]),
];

fn instance(given: Members<'_>, old: Option<&ServiceSpec>) -> Result<(InstanceSize, Option<String>), Refusal> {
    let before = old.map(|old| old.instance).unwrap_or_default();
    let size =
        |sizes: &[(&str, u32)], text: &str| sizes.iter().find(|(written, _)| *written == text).map(|(_, size)| *size);
    let cpu = given.text("Cpu").and_then(|text| size(CPUS, text)).unwrap_or_else(|| before.cpu.wire_units());
    let memory = given.text("Memory").and_then(|text| size(MEMORIES, text));
    let memory = memory.unwrap_or_else(|| u32::try_from(before.memory.wire_megabytes()).unwrap_or(u32::MAX));
    let allowed = PAIRS.iter().find(|(c, _)| *c == cpu).map_or(&[][..], |(_, memories)| memories);
    if !allowed.contains(&memory) {
        let fitting: Vec<String> = allowed.iter().map(|mb| format!("{} GB", f64::from(*mb) / 1024.0)).collect();
        let message = format!(
            "`InstanceConfiguration`: {} vCPU goes with {}, not with {} GB of memory",
            f64::from(cpu) / 1024.0,
            fitting.join(", "),
            f64::from(memory) / 1024.0
        );
        return Err(Refusal::InvalidRequest(message));
    }
    let size =
        InstanceSize { cpu: Cpu(cpu * 1000 / 1024), memory: Memory(u64::from(memory) << 20), storage: before.storage };
    Ok((size, given.text("InstanceRoleArn").map(str::to_owned)))
}

/// Ranges were checked by the model.
fn health(given: Members<'_>, old: Option<&ServiceSpec>) -> HealthCheck {
    let before = old.map(|old| old.health.clone()).unwrap_or_default();
    let number = |name: &str, before: u32| given.integer(name).and_then(|n| u32::try_from(n).ok()).unwrap_or(before);
    HealthCheck {
        protocol: match given.text("Protocol") {
            Some("HTTP") => HealthProtocol::Http,
            Some(_) => HealthProtocol::Tcp,
            None => before.protocol,
        },
        path: given.text("Path").map_or(before.path, str::to_owned),
        interval_seconds: number("Interval", before.interval_seconds),
        timeout_seconds: number("Timeout", before.timeout_seconds),
        healthy_threshold: number("HealthyThreshold", before.healthy_threshold),
        unhealthy_threshold: number("UnhealthyThreshold", before.unhealthy_threshold),
    }
}

fn network(
    facts: &Facts<'_>,
    given: Members<'_>,
    record: Option<&ServiceRecord>,
    wire: &mut WireSettings,
) -> Result<(), Refusal> {
    let egress = given.structure_or_empty("EgressConfiguration");
    match (egress.text("EgressType"), egress.text("VpcConnectorArn")) {
        (Some("VPC"), None) => {
            let message =
                "`NetworkConfiguration.EgressConfiguration.VpcConnectorArn` is required where `EgressType` is VPC";
            return Err(Refusal::InvalidRequest(message.into()));
        }
        (Some("VPC") | None, Some(arn)) => {
            wire.vpc_connector = Some(arns::active(facts, ResourceType::VpcConnector, arn)?.id.clone());
        }
        (Some(_), Some(_)) => {
            let message = "`NetworkConfiguration.EgressConfiguration.VpcConnectorArn` goes with `EgressType` VPC only";
            return Err(Refusal::InvalidRequest(message.into()));
        }
        (Some(_), None) => wire.vpc_connector = None,
        (None, None) => {}
    }
    if let Some(public) = given.structure_or_empty("IngressConfiguration").boolean("IsPubliclyAccessible") {
        let ways = record.map(|record| vpc_ingress::of_service(facts, &record.id)).unwrap_or_default();
        if public && !ways.is_empty() {
            let message = "the service has VPC ingress connections: delete them before it is made public";
            return Err(Refusal::InvalidRequest(message.into()));
        }
        wire.private = !public;
    }
    if let Some(addresses) = given.text("IpAddressType") {
        wire.dual_stack = addresses == "DUAL_STACK";
    }
    Ok(())
}

fn observing(facts: &Facts<'_>, input: Members<'_>, wire: &mut WireSettings) -> Result<(), Refusal> {
    let Some(given) = input.structure("ObservabilityConfiguration") else { return Ok(()) };
    let named = given.text("ObservabilityConfigurationArn");
    let named = named.map(|arn| arns::active(facts, ResourceType::Observability, arn)).transpose()?;
    wire.observing = Some(Observing {
        enabled: given.boolean("ObservabilityEnabled").unwrap_or(false),
        configuration: named.map(|resource| resource.id.clone()),
    });
    Ok(())
}
