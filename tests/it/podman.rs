//! Podman as root in Docker's place: what every engine promises, what instances and builds reach, and the main path.

use crate::docker::Lab as Laboratory;
use crate::docker_build as builds;
use crate::docker_guard::{what_a_build_reaches, what_an_instance_reaches};
use crate::docker_spine::{
    DockerInstallation, Registry, an_image_of_a_private_registry_is_deployed, manifest_of_an_image,
    the_example_is_built_and_runs,
};
use crate::engine_contract::{self as contract, Lab, ended, eventually, get_when_up, wait_for_log};
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
    Artifact, Class, Cpu, Digest, DockerHost, InstanceId, InstanceSize, InstanceSpec, InstanceState, Memory, Purpose,
    RevisionNumber, ServiceId, StartCommand,
};

const LIMIT: Duration = Duration::from_secs(90);

/// A service of Podman that ends with the test. Its store is kept between runs, as it has the base image.
struct Service {
    child: Option<Child>,
    /// Where its socket is, and its store if it has one of its own.
    place: tempfile::TempDir,
    apart: bool,
}

impl Service {
    /// `None` where there is no Podman; where `CI=true`, that is a failure.
    fn start() -> Option<Self> {
        Self::begin(false)
    }

    /// The same with a store of its own on top of that one's images.
    fn apart() -> Option<Self> {
        Self::begin(true)
    }

    fn begin(apart: bool) -> Option<Self> {
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
        let mut service = Self { child: None, place: tempfile::tempdir().unwrap(), apart };
        service.serve();
        Some(service)
    }

    fn serve(&mut self) {
        let log = File::create(directory().join("tests.log")).unwrap();
        let mut command = script(&["serve"]);
        command.arg(self.path()).stdout(Stdio::null()).stderr(log);
        if self.apart {
            command.arg(self.place.path());
        }
        self.child = Some(command.spawn().unwrap());
        let end = Instant::now() + LIMIT;
        while std::os::unix::net::UnixStream::connect(self.path()).is_err() {
            assert!(Instant::now() < end, "podman does not listen");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let pid = rustix::process::Pid::from_child(&child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = child.wait();
        let _ = std::fs::remove_file(self.path());
    }

    /// What is left of a store of its own when the machine goes down: processes, mounts, interfaces and what lies in memory are
    /// gone.
    fn lose_power(&mut self, interface: &str) {
        self.stop();
        self.kill_containers();
        let place = self.place.path().to_str().unwrap();
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        for point in mounts.lines().rev().filter_map(|l| l.split(' ').nth(1)).filter(|point| point.starts_with(place)) {
            assert!(Command::new("umount").arg(point).status().unwrap().success(), "{point}");
        }
        let _ = Command::new("ip").args(["link", "del", interface]).status();
        for directory in ["run", "tmp"] {
            std::fs::remove_dir_all(self.place.path().join(directory)).unwrap();
        }
    }

    /// Kills what runs in a store of its own, with its monitors.
    fn kill_containers(&self) {
        let place = self.place.path().to_str().unwrap();
        for monitor in processes(|words| words.contains(place) && words.contains("conmon")) {
            let of = format!("/proc/{0}/task/{0}/children", monitor.as_raw_nonzero());
            let children = std::fs::read_to_string(of).unwrap_or_default();
            let children = children.split(' ').filter_map(|pid| rustix::process::Pid::from_raw(pid.parse().ok()?));
            for pid in [monitor].into_iter().chain(children) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }

    fn path(&self) -> PathBuf {
        self.place.path().join("podman.sock")
    }

    fn host(&self) -> DockerHost {
        DockerHost::Unix(self.path())
    }

    fn laboratory(&self) -> Laboratory {
        Laboratory::at(self.host(), File::create(self.place.path().join("lock")).unwrap())
    }
}

/// The processes whose command line is such.
fn processes(wanted: impl Fn(&str) -> bool) -> Vec<rustix::process::Pid> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let words = |pid: &i32| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    pids.filter(|pid| wanted(&words(pid))).filter_map(rustix::process::Pid::from_raw).collect()
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop();
        if self.apart {
            self.kill_containers();
            // The store's own mount keeps its directory.
            let _ = Command::new("umount").arg(self.place.path().join("root/overlay")).stderr(Stdio::null()).status();
        }
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
    service: Service,
}

impl PodmanLab {
    async fn new(reach: Reach) -> Option<Self> {
        Some(Self::on(Service::start()?, reach).await)
    }

    async fn on(service: Service, reach: Reach) -> Self {
        let laboratory = service.laboratory();
        Self::at(laboratory, service, reach).await
    }

    /// On an engine that somebody else ends.
    pub async fn of_others(laboratory: Laboratory) -> Self {
        let none = Service { child: None, place: tempfile::tempdir().unwrap(), apart: false };
        Self::at(laboratory, none, Reach::Auto).await
    }

    async fn at(laboratory: Laboratory, service: Service, reach: Reach) -> Self {
        let open = || DockerEngine::connect(&laboratory.host, laboratory.installation.clone(), reach);
        let (engine, other) = (Arc::new(open().await.unwrap()), Arc::new(open().await.unwrap()));
        engine.examine_isolation().await.unwrap();
        let image = laboratory.image().await;
        Self { engine, other, image, laboratory, service }
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

/// The lines of a log without their times.
fn lines(log: &str) -> Vec<&str> {
    log.lines().map(|line| line.split_once("Z ").unwrap_or_else(|| panic!("{line:?} in {log}")).1).collect()
}

/// Podman's monitor reads pieces of a line, and tells each with a time of its own.
async fn a_line_is_one_line_however_it_is_written(lab: &dyn Lab) {
    let script = "import os, time\n\
        def say(text): os.write(1, text.encode()); time.sleep(0.2)\n\
        say('Load'); say('ing … '); say('done\\n'); say('x' * 10000 + '\\n'); say('the '); say('end')";
    let (engine, spec) = (lab.engine(), lab.spec(script).await);
    engine.start(&spec).await.unwrap();
    ended(&*engine, &spec.id).await;
    let log = wait_for_log(&spec, "the end").await;
    assert_eq!(lines(&log), ["Loading … done", &"x".repeat(10_000), "the end"], "{log}");
    contract::clean_up(&*engine, &spec.id).await;
    assert_eq!(std::fs::read_to_string(&spec.log).unwrap(), log, "nothing comes twice");
}

/// Podman says in the middle of a stream of output that its container went.
async fn the_log_of_one_that_somebody_removes_has_nothing_but_its_output(lab: &PodmanLab) {
    for _ in 0..6 {
        let spec = lab.spec("import time; print('here', flush=True); time.sleep(600)").await;
        lab.engine.start(&spec).await.unwrap();
        // At once: while the reading of its output begins.
        let force = bollard::query_parameters::RemoveContainerOptionsBuilder::default().force(true).build();
        let label = format!("io.towpath.instance={}", spec.id);
        let filters = std::collections::HashMap::from([("label", vec![label])]);
        let options = bollard::query_parameters::ListContainersOptionsBuilder::default().filters(&filters).build();
        for container in lab.laboratory.docker.list_containers(Some(options)).await.unwrap() {
            lab.laboratory.docker.remove_container(&container.id.unwrap(), Some(force.clone())).await.unwrap();
        }
        eventually("it is gone", || async { contract::observed(&*lab.engine, &spec.id).await.is_none().then_some(()) })
            .await;
        lab.engine.remove(&spec.id).await.unwrap();
        let log = std::fs::read_to_string(&spec.log).unwrap_or_default();
        assert!(lines(&log).iter().all(|line| *line == "here"), "{log}");
    }
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
        contract::connections_that_an_application_does_not_take_are_counted(lab).await;
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
        a_line_is_one_line_however_it_is_written(lab).await;
        the_log_of_one_that_somebody_removes_has_nothing_but_its_output(&whole).await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn podmans_builder_does_what_dockers_do() {
    let Some(service) = Service::start() else { return };
    let (lab, buildah) = (service.laboratory(), [Backend::Buildah]);
    builds::an_image_is_made_found_listed_run_and_removed(&lab, &buildah).await;
    builds::a_failing_command_is_named(&lab, &buildah).await;
    builds::a_cancelled_build_ends(&lab, &[(Backend::Buildah, "30190")]).await;
    builds::a_dockerfile_is_built_and_its_failures_named(&lab, &buildah).await;
    builds::a_dockerfile_gets_no_network_of_the_host(&lab, &buildah).await;
    builds::authorities_and_proxy_are_for_the_build_only(&lab, &buildah).await;
}

/// Counts, and answers.
const COUNTER: &str = "import threading, time\n\
    def count():\n    n = 0\n    while True:\n        print('n', n, flush=True); n += 1; time.sleep(0.02)\n\
    threading.Thread(target=count, daemon=True).start()\n";

/// Its numbers, of which none is twice and none is missing.
fn counted(spec: &InstanceSpec) -> usize {
    let log = std::fs::read_to_string(&spec.log).unwrap();
    let numbers: Vec<usize> = lines(&log).iter().map(|line| line[2..].parse().unwrap()).collect();
    assert!(numbers.iter().copied().eq(0..numbers.len()), "{log}");
    numbers.len()
}

async fn until_counted(spec: &InstanceSpec, number: usize) {
    wait_for_log(spec, &format!(" n {number}\n")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_outlive_a_restart_of_podman_with_their_output_and_are_known_after_one_of_the_machine() {
    let Some(service) = Service::apart() else { return };
    let mut lab = PodmanLab::on(service, Reach::Auto).await;
    let name = lab.laboratory.installation.to_string();
    let spec = lab.spec(&format!("# {name}\n{COUNTER}{}", contract::SERVER)).await;
    let address = lab.engine.start(&spec).await.unwrap();
    until_counted(&spec, 20).await;
    lab.service.stop();
    assert_eq!(lab.engine.observe().await.unwrap_err().class(), Class::Wait);
    assert_eq!(get_when_up(address).await, "hello");
    let before = counted(&spec);
    lab.service.serve();
    assert_eq!(contract::observed(&*lab.engine, &spec.id).await.unwrap().state, InstanceState::Running);
    until_counted(&spec, before + 100).await;
    counted(&spec);

    // One that ends while nobody can be asked.
    let before = counted(&spec);
    lab.service.stop();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let counting = processes(|words| words.starts_with("python3") && words.contains(&name));
    assert_eq!(counting.len(), 1);
    rustix::process::kill_process(counting[0], rustix::process::Signal::KILL).unwrap();
    lab.service.serve();
    assert_eq!(ended(&*lab.engine, &spec.id).await.0, Some(137));
    lab.engine.remove(&spec.id).await.unwrap();
    assert!(counted(&spec) > before + 10, "it was read to its end");

    let other = lab.spec(contract::SERVER).await;
    get_when_up(lab.engine.start(&other).await.unwrap()).await;
    lab.service.lose_power(&format!("tp-{}", &lab.laboratory.installation.as_str()[..12]));
    lab.service.serve();
    let (_, message) = ended(&*lab.engine, &other.id).await;
    assert!(message.contains("it ended with the machine"), "{message}");
    lab.engine.remove(&other.id).await.unwrap();
    let next = lab.spec(contract::SERVER).await;
    assert_eq!(get_when_up(lab.engine.start(&next).await.unwrap()).await, "hello");
    contract::clean_up(&*lab.engine, &next.id).await;
}

#[test]
fn where_nothing_keeps_instances_on_podman_apart_they_are_started_only_if_that_is_allowed() {
    let Some(service) = Service::start() else { return };
    let mut i = DockerInstallation::on(service.laboratory());
    i.through(&["unshare", "--mount", "sh", "-c", "mount --bind /dev/null /usr/sbin/nft && exec \"$@\"", "sh"]);
    i.declare("services: {}\n");
    i.start();
    assert!(!i.ended(LIMIT).success());
    let log = i.log();
    assert!(log.contains("does not keep instances from each other") && log.contains("`--allow-unisolated`"), "{log}");
    i.set("TOWPATH_ALLOW_UNISOLATED", "true");
    i.deploy("shop", "one", "");
    assert!(i.log().contains("only nftables keep instances on Podman apart"), "{}", i.log());
    i.stop_for_good();
}

#[test]
fn images_of_a_private_registry_and_dockerfiles_of_repositories_are_deployed_on_podman() {
    let Some(service) = Service::start() else { return };
    an_image_of_a_private_registry_is_deployed(DockerInstallation::on(service.laboratory()));
    the_example_is_built_and_runs(DockerInstallation::on(service.laboratory()));
}

/// Docker speaks HTTP with every registry of this machine, Podman has to be told.
#[test]
fn an_image_of_a_registry_without_tls_is_deployed_once_podman_knows_that_it_has_none() {
    let Some(mut service) = Service::apart() else { return };
    let (mut i, registry) = (DockerInstallation::on(service.laboratory()), Registry::new());
    let settings = service.place.path().join("registries.conf");
    let known = format!("[[registry]]\nlocation = \"{}\"\ninsecure = true\n", registry.address());
    let mut tell = |known: &str| {
        std::fs::write(&settings, known).unwrap();
        service.stop();
        service.serve();
    };
    tell(&known);
    registry.push(&i.lab.host, "live", "one");
    registry.push(&i.lab.host, "next", "two");
    tell("");
    i.declare(&manifest_of_an_image(&format!("{}:live", registry.name()), ""));
    i.up();
    let told = |i: &DockerInstallation| {
        i.try_json(&["operations", "orders"]).is_some_and(|o| o[0].to_string().contains("`insecure = true`"))
    };
    i.until("it says what to do", LIMIT, told);
    tell(&known);
    i.declare(&manifest_of_an_image(&format!("{}:next", registry.name()), ""));
    i.until_answer("orders", "two");
    i.until_status("orders", "RUNNING");
    i.know();
    i.stop_for_good();
}

#[test]
fn a_service_on_podman_is_deployed_replaced_under_load_and_adopted_and_leaves_nothing() {
    let Some(mut service) = Service::start() else { return };
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
    service.stop();
    i.until("the status says it", LIMIT, |i| i.ok(&["status"]).contains("engine does not answer"));
    service.serve();
    i.until("it answers again", LIMIT, |i| !i.ok(&["status"]).contains("does not answer"));
    assert_eq!(i.containers(), serving, "it lived on");
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
