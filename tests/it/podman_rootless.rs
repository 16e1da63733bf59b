//! Podman without root in Docker's place. `podman_rootless.sh` makes an ordinary user with a service of his own, who runs the tests of
//! `of_the_user`, towpath as himself, and all with one start of the service.

use crate::docker::Lab as Laboratory;
use crate::docker_build::{guarded_builder, run, runs, settings, unique, wait_until};
use crate::docker_engine::{spec, words};
use crate::docker_guard::{ASK, PROBE, reaches, start};
use crate::docker_spine::DockerInstallation;
use crate::engine_contract::{self as contract, Lab, ended};
use crate::installation::{Installation, Load, get};
use crate::podman::{self, PodmanLab};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use towpath::build::docker::Backend;
use towpath::engine::Engine;
use towpath::engine::docker::{DockerEngine, Isolation, Reach};
use towpath::model::{BuildNetwork, InstanceSpec};

const LIMIT: Duration = Duration::from_secs(90);
/// How many tests the user has.
const TESTS: usize = 4;

#[test]
fn podman_without_root_serves_an_ordinary_user() {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("test-podman-rootless");
    let ran = Command::new("sh")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/podman_rootless.sh"))
        .arg("run")
        .arg(directory)
        .arg(env!("CARGO_MANIFEST_DIR"))
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--test-threads", "4", "podman_rootless::of_the_user::"])
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    if ran.status.code() == Some(3) && std::env::var_os("CI").is_none_or(|ci| ci != "true") {
        eprintln!("SKIPPED: tests of Podman without root: {err}");
        return;
    }
    assert!(ran.status.success() && out.contains(&format!(" {TESTS} passed; 0 failed")), "{out}\n{err}");
}

mod of_the_user {
    use super::*;

    fn laboratory() -> Laboratory {
        let host = std::env::var_os("TOWPATH_TEST_PODMAN").expect("it is run by the test above");
        Laboratory::at(host.to_str().unwrap().parse().unwrap(), tempfile::tempfile().unwrap())
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "run by `podman_without_root_serves_an_ordinary_user`"]
    async fn it_keeps_what_every_engine_promises() {
        let whole = PodmanLab::of_others(laboratory()).await;
        let alone = podman::Alone(&whole);
        let lab: &dyn Lab = &alone;
        let addresses = async {
            contract::a_started_instance_answers_at_its_address(lab).await;
            contract::an_id_that_is_started_again_runs_once(lab).await;
            contract::an_address_is_leased_until_its_instance_is_removed(lab).await;
            contract::the_port_that_an_application_listens_on_is_found(lab).await;
            contract::connections_that_an_application_does_not_take_are_counted(lab).await;
            contract::nothing_of_a_stopped_instance_is_left(lab).await;
        };
        let ends = async {
            contract::an_application_that_exits_is_seen_with_its_code(lab).await;
            podman::a_command_that_does_not_exist_ends_at_once_and_the_log_says_why(lab).await;
            contract::a_stop_lets_the_application_finish(lab).await;
            contract::an_application_that_ignores_sigterm_is_killed_after_its_grace(lab).await;
            contract::stopping_and_removing_nothing_is_success(lab).await;
            contract::the_environment_is_the_specs_own(lab).await;
            podman::pre_run_lines_run_first_and_the_log_names_the_one_that_fails(lab).await;
            contract::output_is_logged_to_the_last_line_with_times(lab).await;
            contract::a_command_that_runs_once_gives_its_lines_and_its_code(lab).await;
        };
        tokio::join!(addresses, ends);
        contract::another_engine_adopts_what_runs(&whole).await;
        contract::a_command_that_a_crash_left_is_no_instance_and_is_swept(&whole).await;
        no_limit_is_claimed_that_is_not_held(&whole).await;
        whole.engine().dismantle().await.unwrap();
    }

    /// The service of these tests has no control groups to limit with, here and wherever systemd does not manage them.
    async fn no_limit_is_claimed_that_is_not_held(lab: &PodmanLab) {
        let engine = lab.engine();
        let hungry = lab.spec("x = bytearray(300 << 20)\nprint('more than 256 MB', flush=True)").await;
        engine.start(&hungry).await.unwrap();
        assert_eq!(ended(&*engine, &hungry.id).await.0, Some(0));
        contract::wait_for_log(&hungry, "more than 256 MB").await;
        contract::clean_up(&*engine, &hungry.id).await;
        // What the whole service uses is not said to be an instance's.
        let idle = lab.spec(contract::SERVER).await;
        contract::get_when_up(engine.start(&idle).await.unwrap()).await;
        assert_eq!(engine.usage(&idle.id).await.unwrap(), None);
        assert_eq!(contract::observed(&*engine, &idle.id).await.unwrap().drift, Vec::<String>::new());
        contract::clean_up(&*engine, &idle.id).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "run by `podman_without_root_serves_an_ordinary_user`"]
    async fn instances_and_builds_reach_the_internet_but_no_neighbour_no_host_and_no_metadata() {
        let lab = laboratory();
        let (listener, open) = (TcpListener::bind("0.0.0.0:0").unwrap(), TcpListener::bind("0.0.0.0:0").unwrap());
        let (closed, open) = (listener.local_addr().unwrap().port(), open.local_addr().unwrap().port());
        let engine = DockerEngine::connect(&lab.host, lab.installation.clone(), Reach::Auto).await.unwrap();
        let host = Ipv4Addr::new(198, 18, 0, 1);
        let engine = Arc::new(engine.with_open_ports(vec![open]));
        engine.examine_isolation().await.unwrap();
        let probe = |spec: InstanceSpec| InstanceSpec {
            command: words(&["python3", "-u", "-c", PROBE]),
            env: BTreeMap::new(),
            ..spec
        };
        let (one, two) = (probe(spec(&lab, 1).await), probe(spec(&lab, 2).await));
        let (first, second) = (start(&engine, &one).await, start(&engine, &two).await);
        assert!(first.ip().is_loopback() && first != second, "{first} {second}");
        assert_eq!(engine.isolation(), Some(Isolation::Guarded("nftables")));

        let at = |address: [u8; 4], port| SocketAddr::from((address, port));
        let (metadata, neighbour) = (at([169, 254, 169, 254], 80), address_of(&lab, &two).await);
        let cases = [
            ("the internet", at([203, 0, 113, 1], 80), "open"),
            ("the ingress", SocketAddr::from((host, open)), "open"),
            ("a neighbour", neighbour, "closed"),
            ("a port of the host", SocketAddr::from((host, closed)), "closed"),
            ("a port of the host's loopback", at([10, 0, 2, 2], closed), "closed"),
            ("a neighbour's published port", SocketAddr::from((host, second.port())), "closed"),
            ("a metadata address", metadata, "closed"),
        ];
        for (what, target, wanted) in cases {
            assert_eq!(reaches(first, target, wanted).await, wanted, "{what}, {target}");
        }
        let targets = [
            ("203.0.113.1:80".to_owned(), "open"),
            (format!("{host}:{closed}"), "closed"),
            (format!("GATEWAY:{closed}"), "closed"),
            (neighbour.to_string(), "closed"),
            (metadata.to_string(), "closed"),
        ];
        let asked: Vec<&str> = targets.iter().map(|(target, _)| target.as_str()).collect();
        let line = format!("python3 -c '{ASK}' {}", asked.join(" "));
        let network: Arc<dyn BuildNetwork> = engine.clone();
        let builder = guarded_builder(&lab, Backend::BuildKit, Some(network)).await;
        let (built, log, _) = run(&lab, &builder, settings(&[&unique(), &line])).await;
        built.unwrap();
        for (target, wanted) in &targets {
            assert!(log.contains(&format!("[Build] {target} {wanted}")), "{target} {wanted} in {log:#?}");
        }
        // One that is given up ends with all that it runs.
        tokio::select! {
            (built, log, _) = run(&lab, &builder, settings(&["sleep 30193"])) => panic!("{built:?} {log:?}"),
            () = wait_until("the build runs", || runs("30193")) => {}
        }
        wait_until("the command ended", || !runs("30193")).await;
        // Without the rules the same questions are answered otherwise: it is them that close.
        engine.dismantle().await.unwrap();
        for target in [SocketAddr::from((host, closed)), metadata, neighbour] {
            assert_eq!(reaches(first, target, "open").await, "open", "{target} without rules");
        }
        for spec in [&one, &two] {
            engine.remove(&spec.id).await.unwrap();
        }
        engine.dismantle().await.unwrap();
    }

    /// Where an instance is on the bridge, in the network that its user alone can enter.
    async fn address_of(lab: &Laboratory, spec: &InstanceSpec) -> SocketAddr {
        let container = format!("towpath-{}-{}", spec.name, &spec.id.as_str()[..12]);
        let found = lab.docker.inspect_container(&container, None).await.unwrap();
        let networks = found.network_settings.unwrap().networks.unwrap();
        let address = networks.into_values().find_map(|network| network.ip_address).unwrap();
        SocketAddr::new(address.parse().unwrap(), spec.port)
    }

    #[test]
    #[ignore = "run by `podman_without_root_serves_an_ordinary_user`"]
    fn a_service_is_deployed_replaced_under_load_and_adopted_and_leaves_nothing() {
        let mut i = DockerInstallation::on(laboratory());
        i.deploy("shop", "one", "    health: { protocol: HTTP, path: /, interval: 1s }\n");
        let said = i.log();
        assert!(said.contains("holds instances and builds to no limit of memory, CPU"), "{said}");
        let load = Load::start(i.http, "shop", 4);
        i.repository("app").greet("two");
        i.until_answer("shop", "two");
        i.until_status("shop", "RUNNING");
        let serving = i.containers();
        assert_eq!(serving.len(), 1, "{serving:?}");
        i.kill();
        i.up();
        assert_eq!(i.containers(), serving, "it was adopted");
        let tally = load.finish();
        assert!(tally.failures.is_empty() && tally.good > 100, "{tally:?}\n{}", i.log());
        i.kill_by_hand(&serving[0]);
        i.until("it is healed", LIMIT, |i| {
            let now = i.moving();
            now.len() == 1 && now != serving && get(i.http, "shop").is_ok_and(|a| a.body.trim() == "two")
        });
        assert!(i.ok(&["logs", "shop"]).contains("listening"));
        let doctor = Command::new(env!("CARGO_BIN_EXE_towpath"))
            .args(["doctor", "--docker-host", &i.lab.host.to_string(), "--http", "127.0.0.1:0", "--api", "127.0.0.1:0"])
            .env("TOWPATH_DATA_DIR", i.path().join("none"))
            .output()
            .unwrap();
        let doctor = String::from_utf8_lossy(&doctor.stdout).into_owned();
        assert!(doctor.contains("Podman ") && doctor.contains(", rootless, "), "{doctor}");
        assert!(doctor.contains("no limit of memory, CPU") && doctor.contains("in the user's network"), "{doctor}");
        i.stop_for_good();
        let pods = Command::new("podman").args(["pod", "ps", "--format", "{{.Name}}"]).output().unwrap();
        let name = format!("towpath-{}", &i.lab.installation.as_str()[..12]);
        assert!(!String::from_utf8_lossy(&pods.stdout).contains(&name), "{pods:?}");
    }

    #[test]
    #[ignore = "run by `podman_without_root_serves_an_ordinary_user`"]
    fn where_nothing_could_keep_instances_apart_it_is_refused_with_its_mend() {
        let lab = laboratory();
        let mut i = Installation::with_engine("docker").option("--docker-host", &lab.host.to_string());
        i.declare("services: {}\n");
        // Without `podman` nobody enters the network of its containers.
        i.set("PATH", "/usr/local/sbin:/usr/sbin:/sbin");
        i.start();
        assert!(!i.ended(LIMIT).success());
        let said = i.log();
        assert!(said.contains("does not keep instances from each other and from this machine"), "{said}");
        assert!(said.contains("podman: not found") && said.contains("`podman` in its `PATH`"), "{said}");
        assert!(said.contains("--allow-unisolated"), "{said}");
    }
}
