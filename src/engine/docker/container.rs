//! From an instance to be to a container to create. Pure.
//!
//! The environment, secrets included, stands in the container's configuration: whoever may run `docker inspect` on the
//! host (root, and members of the group `docker`, who are root in effect) can read it.

use super::labels::Labels;
use super::lease::Lease;
use crate::engine::EngineError;
use crate::model::{Artifact, Input, InstallationId, InstanceSpec, Memory, Purpose, StartCommand};
use bollard::models::{
    ContainerCreateBody, EndpointIpamConfig, EndpointSettings, HostConfig, HostConfigLogConfig, NetworkingConfig,
    PortBinding, RestartPolicy, RestartPolicyNameEnum,
};
use std::collections::HashMap;

/// The CPU quota's period in microseconds. Quota and period, unlike `NanoCpus`, may be more than the host has.
pub(super) const CPU_PERIOD: i64 = 100_000;

/// What is left of the capabilities of root: enough for programs that change to a user of their own, for package
/// managers in pre-run lines, and for ports below 1024. Not raw sockets: they could speak for a neighbour on the bridge.
const CAPABILITIES: [&str; 7] = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID"];

/// Processes and threads of one instance, against fork bombs.
const PIDS: i64 = 4096;

/// Runs `$1` pre-run lines, each in a shell of its own, then becomes the start command. Lines and words arrive as
/// arguments, so nothing of theirs is part of this text.
const PRE_RUN: &str = r#"n=$1; shift
while [ "$n" -gt 0 ]; do
  /bin/sh -c "$1" </dev/null || { code=$?; echo "pre-run command failed with exit code $code: $1" >&2; exit "$code"; }
  shift; n=$((n - 1))
done
exec "$@""#;

/// Everything but the instance itself that a container depends on.
#[derive(Clone, Debug)]
pub(super) struct Place<'a> {
    pub installation: &'a InstallationId,
    pub network: &'a str,
    pub lease: Lease,
    /// Whether Docker has its small init process here, which reaps and forwards signals.
    pub init: bool,
    /// What its files may take.
    pub storage: Memory,
    /// The same for the storage driver, where that has a limit.
    pub storage_option: Option<HashMap<String, String>>,
}

/// The container's name, for people.
pub(super) fn container_name(spec: &InstanceSpec) -> String {
    format!("towpath-{}-{}", spec.name, &spec.id.as_str()[..12])
}

/// The container to create.
pub(super) fn container(spec: &InstanceSpec, place: &Place<'_>) -> Result<ContainerCreateBody, EngineError> {
    let Artifact::Image { id: image } = &spec.artifact else {
        return Err(EngineError::Refused(
            "this build was made for the process engine; deploy the service again to build an image".into(),
        ));
    };
    let env = environment(spec);
    let labels = Labels::of(spec, image, place.lease.address(spec.port), place.storage, &env);
    let port = format!("{}/tcp", spec.port);
    let command = command(spec);
    let (open, terminal) = (spec.input != Input::Empty, matches!(spec.input, Input::Terminal(_)));
    Ok(ContainerCreateBody {
        // Closed with the connection of whoever writes to it.
        open_stdin: Some(open),
        stdin_once: Some(open),
        tty: Some(terminal),
        image: Some(image.clone()),
        // What is to run is all of it: an image's own entry point would get it as arguments.
        entrypoint: command.as_ref().map(|_| Vec::new()),
        cmd: command,
        env: Some(env),
        labels: Some(labels.to_map(place.installation)),
        exposed_ports: Some(vec![port.clone()]),
        host_config: Some(host_config(spec, place, port)),
        networking_config: Some(networking(place)),
        ..ContainerCreateBody::default()
    })
}

fn host_config(spec: &InstanceSpec, place: &Place<'_>, port: String) -> HostConfig {
    let memory = i64::try_from(spec.size.memory.0).unwrap_or(i64::MAX);
    HostConfig {
        memory: Some(memory),
        // Equal to the memory: no swap on top.
        memory_swap: Some(memory),
        cpu_period: Some(CPU_PERIOD),
        cpu_quota: Some(cpu_quota(spec.size.cpu.0)),
        pids_limit: Some(PIDS),
        storage_opt: place.storage_option.clone(),
        init: Some(place.init),
        cap_drop: Some(vec!["ALL".into()]),
        cap_add: Some(CAPABILITIES.map(String::from).into()),
        security_opt: Some(vec!["no-new-privileges:true".into()]),
        // Healing is the reconciler's.
        restart_policy: Some(RestartPolicy { name: Some(RestartPolicyNameEnum::NO), maximum_retry_count: None }),
        log_config: Some(HostConfigLogConfig {
            typ: Some("local".into()),
            config: Some([("max-size", "8m"), ("max-file", "2")].map(|(k, v)| (k.into(), v.into())).into()),
        }),
        network_mode: Some(place.network.to_owned()),
        port_bindings: published(place.lease, port).filter(|_| spec.purpose == Purpose::Serve),
        ..HostConfig::default()
    }
}

/// Thousandths of a vCPU as microseconds per period.
pub(super) fn cpu_quota(milli: u32) -> i64 {
    i64::from(milli) * CPU_PERIOD / 1000
}

fn published(lease: Lease, port: String) -> Option<HashMap<String, Option<Vec<PortBinding>>>> {
    let Lease::Published(host_port) = lease else { return None };
    let binding = PortBinding { host_ip: Some("127.0.0.1".into()), host_port: Some(host_port.to_string()) };
    Some(HashMap::from([(port, Some(vec![binding]))]))
}

fn networking(place: &Place<'_>) -> NetworkingConfig {
    let ipam = match place.lease {
        Lease::Direct(address) => {
            Some(EndpointIpamConfig { ipv4_address: Some(address.to_string()), ..EndpointIpamConfig::default() })
        }
        Lease::Published(_) => None,
    };
    let endpoint = EndpointSettings { ipam_config: ipam, ..EndpointSettings::default() };
    NetworkingConfig { endpoints_config: Some(HashMap::from([(place.network.to_owned(), endpoint)])) }
}

/// `NAME=value` lines; the port's variables win over everything (row S7).
fn environment(spec: &InstanceSpec) -> Vec<String> {
    let port = spec.port.to_string();
    let own = spec.env.iter().filter(|(name, _)| !spec.port_env.contains(name));
    let mut lines: Vec<String> = own.map(|(name, value)| format!("{name}={}", value.reveal())).collect();
    lines.extend(spec.port_env.iter().map(|name| format!("{name}={port}")));
    if matches!(spec.command, StartCommand::Shell(_)) {
        // A shell does not pass signals on; the init process then sends SIGTERM to the whole group.
        lines.push("TINI_KILL_PROCESS_GROUP=1".into());
    }
    lines
}

/// The argument vector, with the pre-run lines before it; `None` for the image's own command.
fn command(spec: &InstanceSpec) -> Option<Vec<String>> {
    let start: Vec<String> = match &spec.command {
        StartCommand::Words(words) => words.clone(),
        StartCommand::Shell(line) => ["/bin/sh", "-c", line].map(String::from).into(),
    };
    if spec.pre_run.is_empty() {
        return (!start.is_empty()).then_some(start);
    }
    let mut words: Vec<String> = ["/bin/sh", "-c", PRE_RUN, "pre-run"].map(String::from).into();
    words.push(spec.pre_run.len().to_string());
    words.extend(spec.pre_run.iter().cloned());
    words.extend(start);
    Some(words)
}

#[cfg(test)]
#[path = "container_tests.rs"]
mod tests;
