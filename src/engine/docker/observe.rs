//! From what Docker says of a container to an observed instance, with what was changed on it by hand. Pure.

use super::container::{CPU_PERIOD, cpu_quota};
use super::labels::{Labels, environment_digest};
use crate::model::{Cpu, InstanceState, Memory, ObservedInstance, Purpose, Timestamp};
use bollard::models::{ContainerInspectResponse, ContainerState, ContainerStateStatusEnum, RestartPolicyNameEnum};
use std::collections::BTreeSet;

/// The labels of a container of ours.
pub(super) fn labels(inspect: &ContainerInspectResponse) -> Option<Labels> {
    Labels::read(inspect.config.as_ref()?.labels.as_ref()?)
}

/// One instance; `None` when the container is not ours, or not of this purpose.
pub(super) fn instance(
    inspect: &ContainerInspectResponse,
    network: &str,
    purpose: Purpose,
) -> Option<ObservedInstance> {
    let labels = labels(inspect).filter(|l| l.purpose == purpose)?;
    let state = inspect.state.clone().unwrap_or_default();
    Some(ObservedInstance {
        state: instance_state(&state, labels.memory),
        drift: drift(inspect, &labels, network),
        started_at: started_at(inspect, &state),
        address: Some(labels.address),
        id: labels.instance,
        service: labels.service,
        revision: labels.revision,
        config: labels.config,
    })
}

/// Whether the container was ever started; one that never was can be replaced without anybody noticing.
pub(super) fn was_started(inspect: &ContainerInspectResponse) -> bool {
    let status = inspect.state.as_ref().and_then(|s| s.status);
    !matches!(status, Some(ContainerStateStatusEnum::CREATED | ContainerStateStatusEnum::EMPTY) | None)
}

/// Whether its processes are there, moving or frozen.
pub(super) fn is_alive(inspect: &ContainerInspectResponse) -> bool {
    inspect.state.as_ref().is_some_and(|s| s.running == Some(true))
}

/// Whether it is stopped in its tracks.
pub(super) fn is_frozen(inspect: &ContainerInspectResponse) -> bool {
    inspect.state.as_ref().is_some_and(|s| s.paused == Some(true))
}

fn instance_state(state: &ContainerState, memory: u64) -> InstanceState {
    match state.status {
        Some(ContainerStateStatusEnum::RUNNING) => InstanceState::Running,
        Some(ContainerStateStatusEnum::PAUSED) => InstanceState::Frozen,
        Some(ContainerStateStatusEnum::CREATED | ContainerStateStatusEnum::RESTARTING) => InstanceState::Starting,
        _ => exited(state, memory),
    }
}

fn exited(state: &ContainerState, memory: u64) -> InstanceState {
    let code = state.exit_code.and_then(|code| i32::try_from(code).ok());
    let message = match code {
        _ if state.oom_killed == Some(true) => format!("killed: out of memory ({})", Memory(memory)),
        Some(127) => "exited with code 127 (command not found)".into(),
        Some(126) => "exited with code 126 (command cannot be executed)".into(),
        Some(code @ 129..=192) => format!("killed by signal {}{}", code - 128, signal_name(code - 128)),
        Some(code) => format!("exited with code {code}"),
        None => "ended; Docker does not say how".into(),
    };
    match state.error.as_deref().map(str::trim) {
        Some(error) if !error.is_empty() => InstanceState::Exited { code, message: format!("{message}: {error}") },
        _ => InstanceState::Exited { code, message },
    }
}

fn signal_name(number: i32) -> &'static str {
    match number {
        6 => " (SIGABRT)",
        9 => " (SIGKILL)",
        11 => " (SIGSEGV)",
        15 => " (SIGTERM)",
        _ => "",
    }
}

fn started_at(inspect: &ContainerInspectResponse, state: &ContainerState) -> Timestamp {
    let parse = |text: &str| text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond);
    let started = state.started_at.as_deref().and_then(parse).filter(|ms| *ms > 0);
    Timestamp(started.or_else(|| inspect.created.as_deref().and_then(parse)).unwrap_or(0))
}

/// What differs from what the labels say was meant, field by field.
fn drift(inspect: &ContainerInspectResponse, labels: &Labels, network: &str) -> Vec<String> {
    let mut found = limits_drift(inspect, labels);
    let host = inspect.host_config.clone().unwrap_or_default();
    let policy = host.restart_policy.and_then(|p| p.name);
    if let Some(policy) = policy.filter(|p| !matches!(p, RestartPolicyNameEnum::NO | RestartPolicyNameEnum::EMPTY)) {
        found.push(format!("restart policy: no → {policy}"));
    }
    if let Some(image) = inspect.image.as_deref().filter(|image| *image != labels.image) {
        found.push(format!("image: {} → {}", short(&labels.image), short(image)));
    }
    let env = inspect.config.as_ref().and_then(|c| c.env.clone()).unwrap_or_default();
    if !environment_is(&env, labels) {
        found.push("environment: changed".into());
    }
    found.extend(network_drift(inspect, network));
    found
}

fn limits_drift(inspect: &ContainerInspectResponse, labels: &Labels) -> Vec<String> {
    let mut found = Vec::new();
    let host = inspect.host_config.clone().unwrap_or_default();
    let memory = u64::try_from(host.memory.unwrap_or(0)).unwrap_or(0);
    if memory != labels.memory {
        let now = if memory == 0 { "none".into() } else { Memory(memory).to_string() };
        found.push(format!("memory limit: {} → {now}", Memory(labels.memory)));
    }
    let quota = match host.nano_cpus.unwrap_or(0) {
        0 => host.cpu_quota.unwrap_or(0).saturating_mul(CPU_PERIOD) / host.cpu_period.unwrap_or(0).max(1),
        nano => nano / (1_000_000_000 / CPU_PERIOD),
    };
    if quota != cpu_quota(labels.cpu) {
        let milli = u32::try_from(quota.saturating_mul(1000) / CPU_PERIOD).unwrap_or(0);
        let now = if milli == 0 { "none".into() } else { Cpu(milli).to_string() };
        found.push(format!("CPU limit: {} → {now}", Cpu(labels.cpu)));
    }
    found
}

/// The image adds variables of its own after ours, so ours are the first ones, as many as there were. Where there is no such
/// order, ours are told by their names.
fn environment_is(env: &[String], labels: &Labels) -> bool {
    if let Some(names) = &labels.variables {
        let is_ours = |line: &&String| names.iter().any(|name| line.split('=').next() == Some(name));
        let ours: Vec<String> = env.iter().filter(is_ours).cloned().collect();
        return environment_digest(&ours) == labels.environment;
    }
    (0..=env.len()).rev().any(|count| environment_digest(&env[..count]) == labels.environment)
}

fn network_drift(inspect: &ContainerInspectResponse, network: &str) -> Vec<String> {
    let networks = inspect.network_settings.as_ref().and_then(|s| s.networks.as_ref());
    let names: BTreeSet<&str> = networks.into_iter().flat_map(|n| n.keys().map(String::as_str)).collect();
    let mut found: Vec<String> =
        names.iter().filter(|name| **name != network).map(|name| format!("network: + {name}")).collect();
    if !names.contains(network) {
        found.push(format!("network: − {network}"));
    }
    found
}

fn short(image: &str) -> &str {
    let digits = image.strip_prefix("sha256:").unwrap_or(image);
    digits.get(..12).unwrap_or(digits)
}

#[cfg(test)]
#[path = "observe_tests.rs"]
mod tests;
