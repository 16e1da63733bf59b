use super::*;
use crate::model::{Digest, InstallationId, InstanceId, RevisionNumber, ServiceId};
use bollard::models::{ContainerConfig, EndpointSettings, HostConfig, NetworkSettings, RestartPolicy};
use std::collections::HashMap;

fn inspected() -> ContainerInspectResponse {
    let labels = Labels {
        instance: InstanceId::from_random([1; 16]),
        purpose: Purpose::Serve,
        service: ServiceId::from_random([2; 16]),
        service_name: "shop".into(),
        revision: RevisionNumber(1),
        config: Digest::of(&"c"),
        log: "/x".into(),
        address: "10.201.0.2:80".parse().unwrap(),
        image: "sha256:aaaaaaaaaaaabbbb".into(),
        memory: 512 << 20,
        cpu: 250,
        storage: None,
        environment: environment_digest(&["A=1".into()]),
        variables: None,
    };
    ContainerInspectResponse {
        image: Some(labels.image.clone()),
        config: Some(ContainerConfig {
            labels: Some(labels.to_map(&InstallationId::from_random([3; 16]))),
            env: Some(vec!["A=1".into(), "PATH=/opt/venv/bin".into()]),
            ..ContainerConfig::default()
        }),
        host_config: Some(HostConfig {
            memory: Some(512 << 20),
            cpu_period: Some(100_000),
            cpu_quota: Some(25_000),
            ..HostConfig::default()
        }),
        network_settings: Some(NetworkSettings {
            networks: Some(HashMap::from([("ours".into(), EndpointSettings::default())])),
            ..NetworkSettings::default()
        }),
        state: Some(ContainerState {
            status: Some(ContainerStateStatusEnum::RUNNING),
            started_at: Some("2026-11-22T13:06:13.513325559Z".into()),
            ..ContainerState::default()
        }),
        ..ContainerInspectResponse::default()
    }
}

fn drift_after(change: impl FnOnce(&mut ContainerInspectResponse)) -> Vec<String> {
    let mut inspect = inspected();
    change(&mut inspect);
    instance(&inspect, "ours", Purpose::Serve).unwrap().drift
}

fn end(oom: bool, code: i64) -> InstanceState {
    let state = ContainerState {
        status: Some(ContainerStateStatusEnum::EXITED),
        oom_killed: Some(oom),
        exit_code: Some(code),
        ..ContainerState::default()
    };
    instance_state(&state, 512 << 20)
}

#[test]
fn a_container_as_it_was_made_has_no_drift() {
    let observed = instance(&inspected(), "ours", Purpose::Serve).unwrap();
    assert_eq!((observed.drift, observed.state), (vec![], InstanceState::Running));
    assert_eq!(observed.started_at.to_string(), "2026-11-22T13:06:13.513Z");
}

#[test]
fn each_field_changed_by_hand_is_named_with_both_values() {
    let host = |change: fn(&mut HostConfig)| drift_after(|i| change(i.host_config.as_mut().unwrap()));
    assert_eq!(host(|h| h.memory = Some(1 << 30)), ["memory limit: 512 MB → 1 GB"]);
    assert_eq!(host(|h| h.memory = Some(0)), ["memory limit: 512 MB → none"]);
    assert_eq!(host(|h| h.cpu_quota = Some(50_000)), ["CPU limit: 0.25 vCPU → 0.5 vCPU"]);
    assert_eq!(host(|h| h.nano_cpus = Some(2_000_000_000)), ["CPU limit: 0.25 vCPU → 2 vCPU"]);
    let always = |h: &mut HostConfig| {
        h.restart_policy = Some(RestartPolicy { name: Some(RestartPolicyNameEnum::ALWAYS), maximum_retry_count: None });
    };
    assert_eq!(host(always), ["restart policy: no → always"]);
}

#[test]
fn another_image_environment_or_network_is_drift() {
    assert_eq!(drift_after(|i| i.image = Some("sha256:cccccccccccc".into())), ["image: aaaaaaaaaaaa → cccccccccccc"]);
    let env = drift_after(|i| i.config.as_mut().unwrap().env = Some(vec!["A=2".into(), "PATH=/opt/venv/bin".into()]));
    assert_eq!(env, ["environment: changed"]);
    // Podman keeps no order.
    let unordered = |value: &str| {
        drift_after(|i| {
            let config = i.config.as_mut().unwrap();
            let labels = config.labels.as_mut().unwrap();
            labels.insert(crate::engine::docker::labels::VARIABLES.into(), r#"["A"]"#.into());
            config.env = Some(vec!["PATH=/opt/venv/bin".into(), format!("A={value}"), "HOME=/root".into()]);
        })
    };
    assert_eq!((unordered("1"), unordered("2")), (vec![], vec!["environment: changed".to_owned()]));
    let network = |i: &mut ContainerInspectResponse| {
        i.network_settings.as_mut().unwrap().networks =
            Some(HashMap::from([("bridge".into(), EndpointSettings::default())]));
    };
    assert_eq!(drift_after(network), ["network: + bridge", "network: − ours"]);
}

#[test]
fn ends_are_told_in_words() {
    let message = |state| match state {
        InstanceState::Exited { message, .. } => message,
        other => panic!("{other:?}"),
    };
    assert_eq!(message(end(true, 137)), "killed: out of memory (512 MB)");
    assert_eq!(message(end(false, 137)), "killed by signal 9 (SIGKILL)");
    assert_eq!(message(end(false, 1)), "exited with code 1");
    assert_eq!(message(end(false, 127)), "exited with code 127 (command not found)");
}
