//! Podman as root in Docker's place: what every engine promises, what instances and builds reach, and the main path.

use crate::docker::Lab as Laboratory;
use crate::docker_guard::{what_a_build_reaches, what_an_instance_reaches};
use crate::docker_spine::DockerInstallation;
use crate::engine_contract::{self as contract, Lab, ended, get_when_up, wait_for_log};
use crate::installation::{Load, get};
use crate::one_offs;
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use towpath::build::docker::Backend;
use towpath::engine::docker::{DockerEngine, Reach};
use towpath::engine::{Engine, EngineError};
use towpath::model::{
    Artifact, Cpu, Digest, DockerHost, InstanceId, InstanceSize, InstanceSpec, Memory, Purpose, RevisionNumber,
    ServiceId, StartCommand,
};

const LIMIT: Duration = Duration::from_secs(90);

/// A service of Podman that ends with the test. Its store is kept between runs, as it has the base image.
pub struct Service {
    child: Child,
    socket: tempfile::TempDir,
}

impl Service {
    /// `None` where there is no Podman; where `CI=true`, that is a failure.
    fn start() -> Option<Self> {
        let made = script(&["image"]).output().unwrap();
        let said = String::from_utf8_lossy(&made.stderr).trim().to_owned();
        match made.status.code() {
            Some(0) => {}
            Some(3) if std::env::var_os("CI").is_none_or(|ci| ci != "true") => {
                eprintln!("SKIPPED: tests of Podman: {said}");
                return None;
            }
            _ => panic!("no Podman: {said}"),
        }
        let socket = tempfile::tempdir().unwrap();
        let log = File::create(directory().join("tests.log")).unwrap();
        let mut command = script(&["serve"]);
        command.arg(socket.path().join("podman.sock")).stdout(Stdio::null()).stderr(log);
        let service = Self { child: command.spawn().unwrap(), socket };
        let end = Instant::now() + LIMIT;
        while std::os::unix::net::UnixStream::connect(service.path()).is_err() {
            assert!(Instant::now() < end, "podman does not listen");
            std::thread::sleep(Duration::from_millis(100));
        }
        Some(service)
    }

    fn path(&self) -> PathBuf {
        self.socket.path().join("podman.sock")
    }

    fn host(&self) -> DockerHost {
        DockerHost::Unix(self.path())
    }

    fn laboratory(&self) -> Laboratory {
        Laboratory::at(self.host(), File::create(self.socket.path().join("lock")).unwrap())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("test-podman")
}

fn script(words: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/podman.sh")).args(words).arg(directory());
    command
}

/// Dropped in this order: what is left of the installation goes while its engine is there.
pub struct PodmanLab {
    engine: Arc<DockerEngine>,
    other: Arc<DockerEngine>,
    image: String,
    laboratory: Laboratory,
    _service: Option<Service>,
}

impl PodmanLab {
    async fn new(reach: Reach) -> Option<Self> {
        let service = Service::start()?;
        Some(Self::on(service.laboratory(), reach, Some(service)).await)
    }

    /// On a service that somebody else ends, or on this one.
    pub async fn on(laboratory: Laboratory, reach: Reach, service: Option<Service>) -> Self {
        let open = || DockerEngine::connect(&laboratory.host, laboratory.installation.clone(), reach);
        let (engine, other) = (Arc::new(open().await.unwrap()), Arc::new(open().await.unwrap()));
        engine.examine_isolation().await.unwrap();
        let image = laboratory.image().await;
        Self { engine, other, image, laboratory, _service: service }
    }
}

fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

#[async_trait]
impl Lab for PodmanLab {
    fn engine(&self) -> Arc<dyn Engine> {
        self.engine.clone()
    }

    fn reopened(&self) -> Arc<dyn Engine> {
        self.other.clone()
    }

    async fn spec(&self, script: &str) -> InstanceSpec {
        let id = InstanceId::from_random(random());
        InstanceSpec {
            purpose: Purpose::Serve,
            log: self.laboratory.directory.path().join(format!("{id}.log")),
            id,
            service: ServiceId::from_random([7; 16]),
            name: "shop".parse().unwrap(),
            revision: RevisionNumber(3),
            config: Digest::of(&"config"),
            artifact: Artifact::Image { id: self.image.clone() },
            pre_run: Vec::new(),
            command: StartCommand::Words(["python3", "-c", script].map(String::from).into()),
            env: BTreeMap::new(),
            port: 8080,
            sole: true,
            port_env: vec!["PORT".parse().unwrap()],
            size: InstanceSize { cpu: Cpu(1000), memory: Memory(256 << 20), storage: None },
            input: towpath::model::Input::Empty,
        }
    }
}

/// The same with one control plane: two that live at once would both write an instance's log.
pub struct Alone<'a>(pub &'a PodmanLab);

#[async_trait]
impl Lab for Alone<'_> {
    fn engine(&self) -> Arc<dyn Engine> {
        self.0.engine()
    }

    fn reopened(&self) -> Arc<dyn Engine> {
        self.0.engine()
    }

    async fn spec(&self, script: &str) -> InstanceSpec {
        self.0.spec(script).await
    }
}

/// A command that is not there is found out by Podman's init process, which the contract of engines leaves open.
pub async fn a_command_that_does_not_exist_ends_at_once_and_the_log_says_why(lab: &dyn Lab) {
    let (engine, mut spec) = (lab.engine(), lab.spec("").await);
    spec.command = StartCommand::Words(vec!["gunicornn".into(), "app:app".into()]);
    match engine.start(&spec).await {
        Err(EngineError::Refused(message)) => assert!(message.contains("gunicornn"), "{message}"),
        started => {
            started.unwrap();
            assert_eq!(ended(&*engine, &spec.id).await.0, Some(1));
            wait_for_log(&spec, "No such file or directory").await;
        }
    }
    contract::clean_up(&*engine, &spec.id).await;
}

/// As on Docker, where the container's end says the code only.
pub async fn pre_run_lines_run_first_and_the_log_names_the_one_that_fails(lab: &dyn Lab) {
    let (engine, mut spec) = (lab.engine(), lab.spec("print('app', flush=True)").await);
    spec.pre_run = vec!["echo first".into(), "echo second; exit 7".into()];
    engine.start(&spec).await.unwrap();
    assert_eq!(ended(&*engine, &spec.id).await.0, Some(7));
    let log = wait_for_log(&spec, "pre-run command failed with exit code 7: echo second; exit 7").await;
    assert!(log.find(" first\n") < log.find(" second\n") && !log.contains(" app\n"), "{log}");
    contract::clean_up(&*engine, &spec.id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn podman_keeps_what_every_engine_promises() {
    let Some(whole) = PodmanLab::new(Reach::Auto).await else { return };
    let alone = Alone(&whole);
    let lab: &dyn Lab = &alone;
    let addresses = async {
        contract::a_started_instance_answers_at_its_address(lab).await;
        contract::an_id_that_is_started_again_runs_once(lab).await;
        contract::an_address_is_leased_until_its_instance_is_removed(lab).await;
        contract::the_port_that_an_application_listens_on_is_found(lab).await;
        contract::nothing_of_a_stopped_instance_is_left(lab).await;
        contract::a_frozen_instance_goes_on_where_it_was(lab).await;
        contract::a_frozen_instance_can_be_stopped(lab).await;
    };
    let ends = async {
        contract::an_application_that_exits_is_seen_with_its_code(lab).await;
        a_command_that_does_not_exist_ends_at_once_and_the_log_says_why(lab).await;
        contract::a_stop_lets_the_application_finish(lab).await;
        contract::an_application_that_ignores_sigterm_is_killed_after_its_grace(lab).await;
        contract::stopping_and_removing_nothing_is_success(lab).await;
        contract::usage_is_measured_while_an_instance_runs(lab).await;
        contract::the_environment_is_the_specs_own(lab).await;
        pre_run_lines_run_first_and_the_log_names_the_one_that_fails(lab).await;
        contract::output_is_logged_to_the_last_line_with_times(lab).await;
    };
    let once = async {
        contract::a_command_that_runs_once_gives_its_lines_and_its_code(lab).await;
        contract::a_command_that_runs_once_is_cut_by_deadline_stop_and_drop(lab).await;
    };
    tokio::join!(addresses, ends, once);
    contract::another_engine_adopts_what_runs(&whole).await;
    contract::a_command_that_a_crash_left_is_no_instance_and_is_swept(&whole).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_podman_publishes_ports_instances_answer_on_the_loopback() {
    let Some(lab) = PodmanLab::new(Reach::Published).await else { return };
    let (one, two) = (lab.spec(contract::SERVER).await, lab.spec(contract::SERVER).await);
    let (first, second) = (lab.engine.start(&one).await.unwrap(), lab.engine.start(&two).await.unwrap());
    assert!(first.ip().is_loopback() && first != second, "{first} {second}");
    assert_eq!((get_when_up(first).await, get_when_up(second).await), ("hello".into(), "hello".into()));
    // More than its memory is the end of it. Who ended it is known where Podman's monitor is told by the control groups.
    let hungry = lab.spec("x = bytearray(1 << 30)").await;
    lab.engine.start(&hungry).await.unwrap();
    let (code, message) = ended(&*lab.engine, &hungry.id).await;
    assert_eq!(code, Some(137), "{message}");
    for id in [&one.id, &two.id, &hungry.id] {
        contract::clean_up(&*lab.engine, id).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_podman_too_instances_and_builds_reach_the_internet_but_no_neighbour_no_host_and_no_metadata() {
    let Some(service) = Service::start() else { return };
    what_an_instance_reaches(&service.laboratory()).await;
    what_a_build_reaches(&service.laboratory(), &[Backend::Buildah]).await;
}

#[test]
fn a_service_on_podman_is_deployed_replaced_under_load_and_adopted_and_leaves_nothing() {
    let Some(service) = Service::start() else { return };
    let mut i = DockerInstallation::on(service.laboratory());
    i.deploy("shop", "one", "");
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
    let log = i.ok(&["logs", "shop"]);
    assert!(log.contains("listening"), "{log}");
    i.declare(&crate::docker_spine::manifest("shop", "      command: [\"echo building; no-such-tool --now\"]\n", ""));
    i.until("the build failed", LIMIT, |i| i.json(&["operations", "shop"])[0]["Status"] == "FAILED");
    let operation = i.json(&["operations", "shop"])[0]["Id"].as_str().unwrap().to_owned();
    let log = i.ok(&["logs", "shop", "--deployment", &operation]);
    assert!(log.contains("building") && log.contains("no-such-tool") && log.contains("127"), "{log}");
    assert_eq!(get(i.http, "shop").unwrap().body.trim(), "two");

    let script = "import os, sys; print(os.environ['PORT'], len(sys.stdin.read())); sys.exit(3)";
    let input = i.path().join("input");
    std::fs::write(&input, "x".repeat(200_000)).unwrap();
    let fed =
        one_offs::command(&i, &[], &["python3", "-c", script]).stdin(File::open(input).unwrap()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&fed.stdout), String::from_utf8_lossy(&fed.stderr));
    assert_eq!((fed.status.code(), &*out), (Some(3), "8080 200000\n"), "{err}");
    one_offs::assert_was_a_terminal(&one_offs::at_a_terminal(
        &i,
        &["sh", "-c", "PS1='ready$ ' exec sh -i"],
        one_offs::STEPS,
    ));
    let doctor = Command::new(env!("CARGO_BIN_EXE_towpath"))
        .args(["doctor", "--docker-host", &service.host().to_string(), "--http", "127.0.0.1:0", "--api", "127.0.0.1:0"])
        .env("TOWPATH_DATA_DIR", i.path().join("none"))
        .output()
        .unwrap();
    let doctor = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(doctor.contains("Podman ") && doctor.contains(", rootful, "), "{doctor}");

    i.stop_for_good();
    let tables = Command::new("nft").args(["list", "tables"]).output().unwrap();
    let name = format!("towpath-{}", &i.lab.installation.as_str()[..12]);
    assert!(!String::from_utf8_lossy(&tables.stdout).contains(&name), "no table is left");
    assert!(!PathBuf::from(format!("/sys/class/net/tp-{}", &i.lab.installation.as_str()[..12])).exists());
}
