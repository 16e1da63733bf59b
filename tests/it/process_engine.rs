//! The process engine: the contract, and what only processes can do wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails in a test fails the test")]

use crate::engine_contract::{self as contract, Lab, SERVER, eventually, get_when_up, observed, wait_for_log};
use async_trait::async_trait;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use towpath::engine::process::{ProcessEngine, ProcessOptions};
use towpath::engine::{Engine, EngineError};
use towpath::host::tree;
use towpath::model::{
    Artifact, Digest, InstallationId, InstanceId, InstanceSize, InstanceSpec, InstanceState, RevisionNumber, ServiceId,
    StartCommand,
};

pub struct ProcessLab {
    dir: tempfile::TempDir,
    engine: Arc<dyn Engine>,
    /// What listens on a port that no service may connect to.
    pub private: Option<std::net::TcpListener>,
}

impl ProcessLab {
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let engine = open(dir.path().join("instances"));
        Self { dir, engine, private: None }
    }

    /// With a listener of towpath's own.
    pub async fn with_private_port() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let private_ports = vec![listener.local_addr().unwrap().port()];
        let options = ProcessOptions { private_ports, ..ProcessOptions::default() };
        let engine = open_with(dir.path().join("instances"), options);
        Self { dir, engine, private: Some(listener) }
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().canonicalize().unwrap()
    }

    pub fn instance(&self, id: &InstanceId) -> PathBuf {
        self.dir.path().join("instances").join(id.as_str())
    }

    fn shim(&self, id: &InstanceId) -> i32 {
        let state = std::fs::read(self.instance(id).join("state.json")).unwrap();
        let state: serde_json::Value = serde_json::from_slice(&state).unwrap();
        i32::try_from(state["shim"].as_i64().unwrap()).unwrap()
    }
}

impl Drop for ProcessLab {
    /// A test that failed leaves nothing running either: a shim ends with its application.
    fn drop(&mut self) {
        for entry in std::fs::read_dir(self.dir.path().join("instances")).into_iter().flatten().flatten() {
            tree::signal(&tree::marked(&marker(&entry.file_name().to_string_lossy())), Signal::KILL);
        }
        let engine = Arc::clone(&self.engine);
        let dismantled = move || tokio::runtime::Runtime::new().unwrap().block_on(engine.dismantle());
        let _ = std::thread::spawn(dismantled).join();
    }
}

fn marker(id: &str) -> String {
    format!("TOWPATH_INSTANCE_ID={id}")
}

fn open(root: PathBuf) -> Arc<dyn Engine> {
    open_with(root, ProcessOptions::default())
}

fn open_with(root: PathBuf, options: ProcessOptions) -> Arc<dyn Engine> {
    // One of its own per laboratory: tests that run at once must not write each other's firewall rules.
    let mut id = [0; 16];
    id.copy_from_slice(&Digest::of(&root).as_str().as_bytes()[..16]);
    let installation = InstallationId::from_random(id);
    Arc::new(ProcessEngine::open(root, env!("CARGO_BIN_EXE_towpath").into(), installation, options).unwrap())
}

fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

#[async_trait]
impl Lab for ProcessLab {
    fn engine(&self) -> Arc<dyn Engine> {
        Arc::clone(&self.engine)
    }

    fn reopened(&self) -> Arc<dyn Engine> {
        open(self.dir.path().join("instances"))
    }

    async fn spec(&self, script: &str) -> InstanceSpec {
        let id = InstanceId::from_random(random());
        let app = self.dir.path().join("apps").join(id.as_str());
        std::fs::create_dir_all(&app).unwrap();
        std::fs::write(app.join("app.py"), script).unwrap();
        InstanceSpec {
            purpose: towpath::model::Purpose::Serve,
            service: ServiceId::from_random([1; 16]),
            name: "shop".parse().unwrap(),
            revision: serde_json::from_str::<RevisionNumber>("3").unwrap(),
            config: Digest::of(&script),
            artifact: Artifact::Directory { path: app, root: None, path_prefix: vec![], env: BTreeMap::new() },
            pre_run: vec![],
            command: StartCommand::Words(vec!["/usr/bin/python3".into(), "app.py".into()]),
            env: BTreeMap::new(),
            port: 8080,
            sole: false,
            port_env: vec!["PORT".parse().unwrap()],
            size: InstanceSize::default(),
            input: towpath::model::Input::Empty,
            log: self.dir.path().join("logs").join(format!("{id}.log")),
            id,
        }
    }
}

crate::engine_contract!(ProcessLab::new());

#[tokio::test]
async fn a_killed_shim_leaves_nothing_behind() {
    let lab = ProcessLab::new().await;
    let script = format!("import os\nif os.fork() == 0:\n    os.setsid(); import time; time.sleep(600)\n{SERVER}");
    let spec = lab.spec(&script).await;
    get_when_up(lab.engine.start(&spec).await.unwrap()).await;
    assert!(tree::marked(&marker(spec.id.as_str())).len() >= 2);
    kill_process(Pid::from_raw(lab.shim(&spec.id)).unwrap(), Signal::KILL).unwrap();
    let (code, message) = contract::ended(&*lab.engine, &spec.id).await;
    assert_eq!((code, message.as_str()), (None, "its keeper was killed"));
    assert_eq!(tree::marked(&marker(spec.id.as_str())), []);
    contract::clean_up(&*lab.engine, &spec.id).await;
}

#[tokio::test]
async fn an_instance_survives_the_death_of_the_control_plane_and_its_process_group() {
    let lab = ProcessLab::new().await;
    let spec = lab.spec(SERVER).await;
    lab.engine.start(&spec).await.unwrap();
    let shim = Pid::from_raw(lab.shim(&spec.id)).unwrap();
    let session = rustix::process::getsid(Some(shim)).unwrap();
    assert_eq!(session, shim, "a session of its own: no Ctrl-C and no hang-up reaches it");
    contract::clean_up(&*lab.engine, &spec.id).await;
}

#[tokio::test]
async fn a_hundred_megabytes_of_output_are_bounded_and_the_tail_is_kept() {
    let lab = ProcessLab::new().await;
    let script =
        "import sys\nfor i in range(1_000_000): sys.stdout.write('%d %s\\n' % (i, 'x' * 100))\nprint('the end')";
    let spec = lab.spec(script).await;
    lab.engine.start(&spec).await.unwrap();
    contract::ended(&*lab.engine, &spec.id).await;
    let log = std::fs::read_to_string(&spec.log).unwrap();
    assert!(log.contains("the end"), "{}", &log[log.len().saturating_sub(200)..]);
    let older = spec.log.with_extension("log.1").metadata().unwrap().len();
    assert!(log.len() as u64 + older < 34 << 20, "{} + {older}", log.len());
    contract::clean_up(&*lab.engine, &spec.id).await;
}

#[tokio::test]
async fn a_log_that_cannot_be_written_stops_no_application() {
    let lab = ProcessLab::new().await;
    let mut spec = lab.spec(SERVER).await;
    std::fs::write(lab.dir.path().join("file"), "").unwrap();
    spec.log = lab.dir.path().join("file/app.log");
    let address = lab.engine.start(&spec).await.unwrap();
    assert_eq!(get_when_up(address).await, "hello");
    contract::clean_up(&*lab.engine, &spec.id).await;
}

#[tokio::test]
async fn a_sole_instance_gets_the_configured_port_when_that_is_free() {
    let lab = ProcessLab::new().await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (mut first, mut second) = (lab.spec(SERVER).await, lab.spec(SERVER).await);
    (first.port, first.sole, second.port, second.sole) = (free, true, free, true);
    assert_eq!(lab.engine.start(&first).await.unwrap().port(), free);
    let other = lab.engine.start(&second).await.unwrap().port();
    assert!((20_000..30_000).contains(&other), "{other}");
    contract::clean_up(&*lab.engine, &first.id).await;
    contract::clean_up(&*lab.engine, &second.id).await;
}

#[tokio::test]
async fn damaged_and_foreign_directories_hide_nothing_and_can_be_removed() {
    let lab = ProcessLab::new().await;
    let (good, bad) = (lab.spec(SERVER).await, InstanceId::from_random(random()));
    std::fs::create_dir_all(lab.instance(&bad)).unwrap();
    std::fs::write(lab.instance(&bad).join("spec.json"), b"{ \"id\": 7, \xff").unwrap();
    std::fs::create_dir_all(lab.dir.path().join("instances/lost+found")).unwrap();
    lab.engine.start(&good).await.unwrap();
    let seen = lab.engine.observe().await.unwrap();
    assert_eq!(seen.iter().map(|i| &i.id).collect::<Vec<_>>(), [&good.id]);
    lab.engine.remove(&bad).await.unwrap();
    assert!(!lab.instance(&bad).exists());
    contract::clean_up(&*lab.engine, &good.id).await;
}

#[tokio::test]
async fn a_shim_with_a_damaged_spec_says_so_without_repeating_it() {
    let lab = ProcessLab::new().await;
    let id = InstanceId::from_random(random());
    std::fs::create_dir_all(lab.instance(&id)).unwrap();
    std::fs::write(lab.instance(&id).join("spec.json"), b"{ \"hunter2\" ").unwrap();
    let shim = tokio::process::Command::new(env!("CARGO_BIN_EXE_towpath")).arg("shim").arg(lab.instance(&id)).status();
    shim.await.unwrap();
    let exit = std::fs::read_to_string(lab.instance(&id).join("exit.json")).unwrap();
    assert!(exit.contains("damaged") && !exit.contains("hunter2"), "{exit}");
}

#[tokio::test]
async fn an_instance_from_before_a_restart_of_the_machine_has_ended() {
    let lab = ProcessLab::new().await;
    let spec = lab.spec(SERVER).await;
    lab.engine.start(&spec).await.unwrap();
    // As the disk looks after a reboot: a state of another boot, no end, no shim.
    let path = lab.instance(&spec.id).join("state.json");
    let mut state: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    kill_process(Pid::from_raw(lab.shim(&spec.id)).unwrap(), Signal::KILL).unwrap();
    state["boot"] = "another".into();
    std::fs::write(&path, state.to_string()).unwrap();
    let message = contract::ended(&*lab.engine, &spec.id).await.1;
    assert_eq!(message, "the machine was restarted");
    contract::clean_up(&*lab.engine, &spec.id).await;
}

#[tokio::test]
async fn an_edited_spec_is_drift() {
    let lab = ProcessLab::new().await;
    let spec = lab.spec(SERVER).await;
    lab.engine.start(&spec).await.unwrap();
    let path = lab.instance(&spec.id).join("spec.json");
    let text = std::fs::read_to_string(&path).unwrap().replace("app.py", "other.py");
    std::fs::write(&path, text).unwrap();
    let drift = observed(&*lab.engine, &spec.id).await.unwrap().drift;
    assert_eq!(drift, ["spec.json: edited since the instance was started"]);
    contract::clean_up(&*lab.engine, &spec.id).await;
}

#[tokio::test]
async fn a_running_instance_is_not_removed() {
    let lab = ProcessLab::new().await;
    let spec = lab.spec(SERVER).await;
    lab.engine.start(&spec).await.unwrap();
    assert!(matches!(lab.engine.remove(&spec.id).await, Err(EngineError::Refused(_))));
    contract::clean_up(&*lab.engine, &spec.id).await;
}

#[tokio::test]
async fn a_second_stop_shortens_the_grace_of_the_first() {
    let lab = ProcessLab::new().await;
    let script = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('ready', flush=True)\n\
        while True: time.sleep(1)";
    let spec = lab.spec(script).await;
    lab.engine.start(&spec).await.unwrap();
    wait_for_log(&spec, "ready").await;
    let (engine, id) = (lab.engine(), spec.id.clone());
    let patient = tokio::spawn(async move { engine.stop(&id, Duration::from_secs(60)).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let began = Instant::now();
    lab.engine.stop(&spec.id, Duration::from_millis(100)).await.unwrap();
    patient.await.unwrap().unwrap();
    assert!(began.elapsed() < Duration::from_secs(10));
    contract::clean_up(&*lab.engine, &spec.id).await;
}

#[tokio::test]
async fn an_instance_that_was_written_but_not_started_is_started_once_or_stopped_for_good() {
    let lab = ProcessLab::new().await;
    let spec = lab.spec(SERVER).await;
    lab.engine.start(&spec).await.unwrap();
    contract::clean_up(&*lab.engine, &spec.id).await;
    // A crash between the intent and the shim, made from a real spec.
    let other = lab.spec(SERVER).await;
    lab.engine.start(&other).await.unwrap();
    lab.engine.stop(&other.id, Duration::ZERO).await.unwrap();
    for file in ["state.json", "exit.json", "grace"] {
        std::fs::remove_file(lab.instance(&other.id).join(file)).unwrap();
    }
    assert_eq!(observed(&*lab.engine, &other.id).await.unwrap().state, InstanceState::Starting);
    lab.engine.stop(&other.id, Duration::ZERO).await.unwrap();
    let refused = lab.engine.start(&other).await;
    assert!(matches!(&refused, Err(EngineError::Refused(m)) if m.contains("stopped")), "{refused:?}");
    contract::clean_up(&*lab.engine, &other.id).await;
}

#[tokio::test]
async fn scripts_that_cannot_be_executed_are_refused_with_the_reason() {
    let lab = ProcessLab::new().await;
    let cases = [
        (0o644, "#!/bin/sh\n", "not executable"),
        (0o755, "#!/no/such\n", "does not exist: `/no/such`"),
        (0o755, "#!/bin/sh\r\nexec python3 app.py\r\n", "Windows line ends"),
        (0o755, "exec python3 app.py\n", "first line like"),
    ];
    for (mode, content, reason) in cases {
        let mut spec = lab.spec(SERVER).await;
        let Artifact::Directory { path, .. } = &spec.artifact else { unreachable!() };
        let script = path.join("run.sh");
        std::fs::write(&script, content).unwrap();
        std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        spec.command = StartCommand::Words(vec!["./run.sh".into()]);
        match lab.engine.start(&spec).await {
            Err(EngineError::Refused(message)) => assert!(message.contains(reason), "{message}"),
            other => panic!("{other:?}"),
        }
        contract::clean_up(&*lab.engine, &spec.id).await;
    }
}

#[tokio::test]
async fn an_application_beyond_its_memory_is_killed_and_says_why() {
    if !towpath::engine::process::limits_enforced() {
        eprintln!("no control group can be written here: nothing to test");
        return;
    }
    let lab = ProcessLab::new().await;
    let mut spec = lab.spec("print('go', flush=True)\ndata = bytearray(400 << 20)\nimport time; time.sleep(600)").await;
    spec.size.memory = "128 MB".parse().unwrap();
    lab.engine.start(&spec).await.unwrap();
    let (code, message) = contract::ended(&*lab.engine, &spec.id).await;
    assert_eq!((code, message.as_str()), (Some(137), "killed: out of memory (128 MB)"));
    contract::clean_up(&*lab.engine, &spec.id).await;
}

#[tokio::test]
async fn fifty_instances_start_at_once_on_different_ports() {
    let lab = ProcessLab::new().await;
    let mut specs = Vec::new();
    for _ in 0..50 {
        specs.push(lab.spec("import time; time.sleep(600)").await);
    }
    let starts = specs.iter().map(|spec| lab.engine.start(spec));
    let addresses = futures_util::future::join_all(starts).await;
    let ports: std::collections::BTreeSet<u16> = addresses.into_iter().map(|a| a.unwrap().port()).collect();
    assert_eq!(ports.len(), 50);
    let stops = specs.iter().map(|spec| contract::clean_up(&*lab.engine, &spec.id));
    futures_util::future::join_all(stops).await;
    eventually("all gone", || async { lab.engine.observe().await.unwrap().is_empty().then_some(()) }).await;
}
