use super::*;
use crate::model::{Cpu, Digest, InstanceId, InstanceSize, Memory, RevisionNumber, Secret, ServiceId};
use std::net::Ipv4Addr;

fn spec() -> InstanceSpec {
    InstanceSpec {
        purpose: crate::model::Purpose::Serve,
        id: InstanceId::from_random([1; 16]),
        service: ServiceId::from_random([2; 16]),
        name: "shop".parse().unwrap(),
        revision: RevisionNumber(1),
        config: Digest::of(&"c"),
        artifact: Artifact::Image { id: "sha256:abc".into() },
        pre_run: Vec::new(),
        command: StartCommand::Words(vec!["python3".into(), "app.py".into()]),
        env: [("PORT".parse().unwrap(), Secret::new("1".into())), ("A".parse().unwrap(), Secret::new("b=c".into()))]
            .into(),
        port: 8080,
        sole: true,
        port_env: vec!["PORT".parse().unwrap(), "WEB_PORT".parse().unwrap()],
        size: InstanceSize { cpu: Cpu(250), memory: Memory(512 << 20), storage: None },
        input: crate::model::Input::Empty,
        log: "/tmp/x.log".into(),
    }
}

fn made(spec: &InstanceSpec, lease: Lease) -> ContainerCreateBody {
    let installation = InstallationId::from_random([3; 16]);
    container(
        spec,
        &Place {
            installation: &installation,
            network: "towpath-x",
            lease,
            init: true,
            storage: Memory(3 << 30),
            storage_option: None,
        },
    )
    .unwrap()
}

#[test]
fn the_port_setting_wins_over_a_port_variable_of_the_user() {
    let body = made(&spec(), Lease::Direct(Ipv4Addr::new(10, 201, 0, 2)));
    assert_eq!(body.env.unwrap(), ["A=b=c", "PORT=8080", "WEB_PORT=8080"]);
}

#[test]
fn an_instance_gets_its_size_and_no_privileges() {
    let host = made(&spec(), Lease::Direct(Ipv4Addr::new(10, 201, 0, 2))).host_config.unwrap();
    assert_eq!((host.memory, host.memory_swap), (Some(512 << 20), Some(512 << 20)));
    assert_eq!((host.cpu_quota, host.cpu_period, host.nano_cpus), (Some(25_000), Some(100_000), None));
    assert_eq!(host.cap_drop.unwrap(), ["ALL"]);
    assert!(!host.cap_add.unwrap().contains(&"NET_RAW".to_owned()));
    assert_eq!(host.security_opt.unwrap(), ["no-new-privileges:true"]);
    assert!(host.binds.is_none() && host.mounts.is_none() && host.privileged.is_none());
}

#[test]
fn only_the_fallback_publishes_a_port_and_only_on_loopback() {
    assert!(made(&spec(), Lease::Direct(Ipv4Addr::new(10, 201, 0, 2))).host_config.unwrap().port_bindings.is_none());
    let bindings = made(&spec(), Lease::Published(20_001)).host_config.unwrap().port_bindings.unwrap();
    let binding = bindings["8080/tcp"].clone().unwrap().remove(0);
    assert_eq!((binding.host_ip.as_deref(), binding.host_port.as_deref()), (Some("127.0.0.1"), Some("20001")));
}

#[test]
fn pre_run_lines_are_arguments_and_never_part_of_a_script() {
    let mut spec = spec();
    spec.pre_run = vec!["echo \"$HOME\"; '".into()];
    let words = made(&spec, Lease::Published(1)).cmd.unwrap();
    assert_eq!(words[..4], ["/bin/sh", "-c", PRE_RUN, "pre-run"]);
    assert_eq!(words[4..], ["1", "echo \"$HOME\"; '", "python3", "app.py"]);
}

#[test]
fn a_shell_command_gets_its_signals_passed_on() {
    let mut spec = spec();
    spec.command = StartCommand::Shell("a && b".into());
    let body = made(&spec, Lease::Published(1));
    assert_eq!(body.cmd.unwrap(), ["/bin/sh", "-c", "a && b"]);
    assert!(body.env.unwrap().contains(&"TINI_KILL_PROCESS_GROUP=1".to_owned()));
}

#[test]
fn an_artifact_of_the_process_engine_is_refused_with_a_way_out() {
    let mut spec = spec();
    spec.artifact = Artifact::Directory { path: "/x".into(), root: None, path_prefix: Vec::new(), env: [].into() };
    let installation = InstallationId::from_random([3; 16]);
    let place = Place {
        installation: &installation,
        network: "n",
        lease: Lease::Published(1),
        init: true,
        storage: Memory(3 << 30),
        storage_option: None,
    };
    assert!(container(&spec, &place).unwrap_err().to_string().contains("deploy the service again"));
}
