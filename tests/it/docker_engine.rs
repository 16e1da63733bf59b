//! What every engine promises, asked of a real Docker engine.

use crate::docker::{Lab, script};
use bollard::models::ContainerUpdateBody;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use towpath::engine::docker::{DockerEngine, Reach};
use towpath::engine::{Engine, EngineError};
use towpath::model::{
    Artifact, Class, Cpu, Digest, InstanceId, InstanceSize, InstanceSpec, InstanceState, Memory, ObservedInstance,
    RevisionNumber, Secret, ServiceId, StartCommand,
};

/// Answers every request with its environment; counts lines to its output; ends gracefully.
const SERVER: &str = r#"
import http.server, json, os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: (print("bye", flush=True), sys.exit(0)))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print("asked for", self.path, flush=True)
        body = json.dumps(dict(os.environ)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
"#;

async fn engine(lab: &Lab) -> DockerEngine {
    DockerEngine::connect(&lab.host, lab.installation.clone(), Reach::Auto).await.unwrap()
}

pub async fn spec(lab: &Lab, number: u8) -> InstanceSpec {
    // Tests share the engine, and its names of containers.
    let id: InstanceId = format!("{number:02x}{}", &lab.installation.as_str()[2..]).parse().unwrap();
    InstanceSpec {
        purpose: towpath::model::Purpose::Serve,
        log: lab.directory.path().join(format!("{id}.log")),
        id,
        service: ServiceId::from_random([7; 16]),
        name: "shop".parse().unwrap(),
        revision: RevisionNumber(3),
        config: Digest::of(&"config"),
        artifact: Artifact::Image { id: lab.image().await },
        pre_run: Vec::new(),
        command: words(&["python3", "-u", "-c", SERVER]),
        env: BTreeMap::from([("GREETING".parse().unwrap(), Secret::new("hello $HOME".into()))]),
        port: 8080,
        sole: true,
        port_env: vec!["PORT".parse().unwrap(), "WEB_PORT".parse().unwrap()],
        size: InstanceSize { cpu: Cpu(500), memory: Memory(128 << 20), storage: None },
        input: towpath::model::Input::Empty,
    }
}

pub fn words(words: &[&str]) -> StartCommand {
    StartCommand::Words(words.iter().map(|w| (*w).to_owned()).collect())
}

/// One request; the body, or what went wrong.
async fn ask(address: SocketAddr) -> Result<String, std::io::Error> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"GET /x HTTP/1.0\r\n\r\n").await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        Ok(text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
    };
    tokio::time::timeout(Duration::from_secs(2), exchange).await.map_err(std::io::Error::other)?
}

async fn ask_until_answered(address: SocketAddr) -> String {
    let end = Instant::now() + Duration::from_secs(15);
    loop {
        match ask(address).await {
            Ok(body) if !body.is_empty() => return body,
            other => assert!(Instant::now() < end, "no answer from {address}: {other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn observed(engine: &DockerEngine, id: &InstanceId) -> ObservedInstance {
    engine.observe().await.unwrap().into_iter().find(|i| &i.id == id).expect("the instance is on the engine")
}

/// Observes until the instance has ended, and says how.
async fn end_of(engine: &DockerEngine, id: &InstanceId) -> (Option<i32>, String) {
    for _ in 0..200 {
        if let InstanceState::Exited { code, message } = observed(engine, id).await.state {
            return (code, message);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the instance does not end")
}

/// Reads a log until it holds a text.
async fn log_with(path: &PathBuf, wanted: &str) -> String {
    for _ in 0..100 {
        let text = tokio::fs::read_to_string(path).await.unwrap_or_default();
        if text.contains(wanted) {
            return text;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{wanted:?} does not appear in {}", path.display())
}

fn container(spec: &InstanceSpec) -> String {
    format!("towpath-shop-{}", &spec.id.as_str()[..12])
}

#[tokio::test]
async fn an_instance_starts_answers_and_goes_without_a_trace() {
    let Some(lab) = Lab::open(false) else { return };
    let (engine, spec) = (engine(&lab).await, spec(&lab, 1).await);
    let address = engine.start(&spec).await.unwrap();
    let env: BTreeMap<String, String> = serde_json::from_str(&ask_until_answered(address).await).unwrap();
    assert_eq!(
        (env["PORT"].as_str(), env["WEB_PORT"].as_str(), env["GREETING"].as_str()),
        ("8080", "8080", "hello $HOME")
    );

    let seen = observed(&engine, &spec.id).await;
    assert_eq!((seen.state, seen.address), (InstanceState::Running, Some(address)));
    assert_eq!((seen.service, seen.revision, seen.config), (spec.service.clone(), spec.revision, spec.config.clone()));
    assert_eq!(seen.drift, Vec::<String>::new());
    assert_eq!(engine.listening_ports(&spec.id).await.unwrap(), [8080]);
    let usage = engine.usage(&spec.id).await.unwrap().unwrap();
    assert!(usage.memory > 1 << 20 && usage.cpu > Duration::ZERO, "{usage:?}");

    engine.stop(&spec.id, Duration::from_secs(5)).await.unwrap();
    assert_eq!(end_of(&engine, &spec.id).await.0, Some(0), "SIGTERM was heard");
    engine.stop(&spec.id, Duration::from_secs(5)).await.unwrap();
    assert_eq!(engine.usage(&spec.id).await.unwrap(), None);
    engine.remove(&spec.id).await.unwrap();
    engine.remove(&spec.id).await.unwrap();
    engine.stop(&spec.id, Duration::from_secs(5)).await.unwrap();
    assert_eq!(engine.observe().await.unwrap(), []);
    let log = tokio::fs::read_to_string(&spec.log).await.unwrap();
    let lines: Vec<&str> = log.lines().map(|line| line.split_once("Z ").unwrap().1).collect();
    assert!(lines.starts_with(&["asked for /x"]) && lines.ends_with(&["bye"]), "{log}");
}

#[tokio::test]
async fn starting_twice_starts_once_even_at_the_same_moment() {
    let Some(lab) = Lab::open(false) else { return };
    let (engine, spec) = (engine(&lab).await, spec(&lab, 1).await);
    let (a, b) = tokio::join!(engine.start(&spec), engine.start(&spec));
    let address = a.or(b).unwrap();
    assert_eq!(engine.start(&spec).await.unwrap(), address);
    assert_eq!(engine.observe().await.unwrap().len(), 1);
}

#[tokio::test]
async fn another_control_plane_adopts_what_runs_and_its_log_has_no_line_twice() {
    let Some(lab) = Lab::open(false) else { return };
    let spec = spec(&lab, 1).await;
    let first = engine(&lab).await;
    let address = first.start(&spec).await.unwrap();
    ask_until_answered(address).await;
    log_with(&spec.log, "asked for").await;
    let identity = first.identity().await.unwrap();
    drop(first);
    ask(address).await.unwrap();

    let second = engine(&lab).await;
    assert_eq!(second.identity().await.unwrap(), identity);
    assert_eq!(second.start(&spec).await.unwrap(), address);
    ask(address).await.unwrap();
    second.stop(&spec.id, Duration::from_secs(5)).await.unwrap();
    second.remove(&spec.id).await.unwrap();
    let log = tokio::fs::read_to_string(&spec.log).await.unwrap();
    assert_eq!((log.matches("asked for").count(), log.matches("bye").count()), (3, 1), "{log}");
}

#[tokio::test]
async fn an_instance_killed_by_hand_is_noticed_and_not_restarted() {
    let Some(lab) = Lab::open(false) else { return };
    let (engine, spec) = (engine(&lab).await, spec(&lab, 1).await);
    let address = engine.start(&spec).await.unwrap();
    ask_until_answered(address).await;
    let mut changes = engine.changes();
    // The start's own events first.
    while tokio::time::timeout(Duration::from_millis(500), changes.changed()).await.is_ok() {}
    lab.docker.kill_container(&container(&spec), None).await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), changes.changed()).await.expect("the engine says so").unwrap();
    assert_eq!(end_of(&engine, &spec.id).await, (Some(137), "killed by signal 9 (SIGKILL)".into()));
    assert_eq!(engine.start(&spec).await.unwrap(), address);
    end_of(&engine, &spec.id).await;
}

#[tokio::test]
async fn what_is_changed_by_hand_is_drift_field_by_field() {
    let Some(lab) = Lab::open(false) else { return };
    let (engine, spec) = (engine(&lab).await, spec(&lab, 1).await);
    engine.start(&spec).await.unwrap();
    let update = ContainerUpdateBody {
        memory: Some(256 << 20),
        memory_swap: Some(256 << 20),
        cpu_quota: Some(100_000),
        ..ContainerUpdateBody::default()
    };
    lab.docker.update_container(&container(&spec), update).await.unwrap();
    let drift = observed(&engine, &spec.id).await.drift;
    assert_eq!(drift, ["memory limit: 128 MB → 256 MB", "CPU limit: 0.5 vCPU → 1 vCPU"]);
    lab.docker.pause_container(&container(&spec)).await.unwrap();
    assert_eq!(observed(&engine, &spec.id).await.state, InstanceState::Frozen);
}

#[tokio::test]
async fn a_frozen_instance_answers_after_the_thaw_and_can_be_stopped_frozen() {
    let Some(lab) = Lab::open(false) else { return };
    let (engine, spec) = (engine(&lab).await, spec(&lab, 1).await);
    let address = engine.start(&spec).await.unwrap();
    ask_until_answered(address).await;
    engine.freeze(&spec.id).await.unwrap();
    engine.freeze(&spec.id).await.unwrap();
    assert_eq!(observed(&engine, &spec.id).await.state, InstanceState::Frozen);
    assert!(ask(address).await.is_err(), "a frozen instance does not answer");
    engine.thaw(&spec.id).await.unwrap();
    engine.thaw(&spec.id).await.unwrap();
    ask_until_answered(address).await;
    engine.freeze(&spec.id).await.unwrap();
    engine.stop(&spec.id, Duration::from_secs(5)).await.unwrap();
    assert_eq!(end_of(&engine, &spec.id).await.0, Some(0), "SIGTERM was heard after all");
    let missing = engine.freeze(&InstanceId::from_random([9; 16])).await.unwrap_err();
    assert_eq!(missing.class(), Class::Stalled);
}

#[tokio::test]
async fn an_address_is_not_given_again_before_its_instance_is_removed() {
    let Some(lab) = Lab::open(false) else { return };
    let first = engine(&lab).await;
    let mut addresses = Vec::new();
    for number in 1..=3 {
        let spec = spec(&lab, number).await;
        addresses.push(first.start(&spec).await.unwrap().ip());
        first.stop(&spec.id, Duration::ZERO).await.unwrap();
    }
    // Another engine begins its search elsewhere, and still finds none of them.
    let second = engine(&lab).await;
    let ours = second.start(&spec(&lab, 4).await).await.unwrap().ip();
    addresses.push(ours);
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), 4, "{addresses:?}");
}

#[tokio::test]
async fn instances_do_not_reach_each_other() {
    let Some(lab) = Lab::open(false) else { return };
    let engine = engine(&lab).await;
    let address = engine.start(&spec(&lab, 1).await).await.unwrap();
    ask_until_answered(address).await;
    let script = "import socket,sys\ntry:\n s=socket.create_connection((sys.argv[1],8080),3); print('reached')\nexcept OSError as e: print('no:',e)";
    let probe =
        InstanceSpec { command: words(&["python3", "-c", script, &address.ip().to_string()]), ..spec(&lab, 2).await };
    engine.start(&probe).await.unwrap();
    end_of(&engine, &probe.id).await;
    let log = log_with(&probe.log, ": ").await;
    // Its packets are dropped: a wrong address or a missing network would be told otherwise.
    assert!(log.contains("no: timed out") && !log.contains("reached"), "{log}");
}

#[tokio::test]
async fn an_instance_over_its_memory_is_killed_and_the_message_names_the_limit() {
    let Some(lab) = Lab::open(false) else { return };
    let engine = engine(&lab).await;
    let hungry = InstanceSpec { command: words(&["python3", "-c", "x = bytearray(1 << 30)"]), ..spec(&lab, 1).await };
    engine.start(&hungry).await.unwrap();
    assert_eq!(end_of(&engine, &hungry.id).await, (Some(137), "killed: out of memory (128 MB)".into()));
}

#[tokio::test]
async fn an_instance_may_have_more_cpus_than_the_host() {
    let Some(lab) = Lab::open(false) else { return };
    let engine = engine(&lab).await;
    let large = InstanceSize { cpu: Cpu(64_000), memory: Memory(128 << 20), storage: None };
    let large = InstanceSpec { size: large, ..spec(&lab, 1).await };
    engine.start(&large).await.unwrap();
    assert_eq!(observed(&engine, &large.id).await.drift, Vec::<String>::new());
}

#[tokio::test]
async fn pre_run_lines_run_before_the_start_command_and_a_failing_one_ends_the_instance() {
    let Some(lab) = Lab::open(false) else { return };
    let engine = engine(&lab).await;
    let good = InstanceSpec {
        pre_run: vec!["echo one \"$GREETING\"".into(), "cd /; X=1".into()],
        command: StartCommand::Shell("echo two $X && exit 4".into()),
        ..spec(&lab, 1).await
    };
    engine.start(&good).await.unwrap();
    assert_eq!(end_of(&engine, &good.id).await, (Some(4), "exited with code 4".into()));
    let log = log_with(&good.log, "two").await;
    assert!(log.contains(" one hello $HOME\n") && log.contains(" two\n"), "{log}");

    let bad = InstanceSpec { pre_run: vec!["echo before; exit 9".into()], ..spec(&lab, 2).await };
    engine.start(&bad).await.unwrap();
    assert_eq!(end_of(&engine, &bad.id).await.0, Some(9));
    log_with(&bad.log, "pre-run command failed with exit code 9").await;
}

#[tokio::test]
async fn a_command_that_is_not_there_is_refused_and_leaves_no_container() {
    let Some(lab) = Lab::open(false) else { return };
    let engine = engine(&lab).await;
    let bad = InstanceSpec { command: words(&["gunicorn", "app"]), ..spec(&lab, 1).await };
    match engine.start(&bad).await {
        Err(error @ EngineError::Refused(_)) => assert!(error.to_string().contains("gunicorn"), "{error}"),
        // With an init process, Docker starts that, and it finds out.
        Ok(_) => assert_eq!(end_of(&engine, &bad.id).await.0, Some(127)),
        other => panic!("{other:?}"),
    }
    let gone =
        InstanceSpec { artifact: Artifact::Image { id: format!("sha256:{}", "0".repeat(64)) }, ..spec(&lab, 2).await };
    let error = engine.start(&gone).await.unwrap_err();
    assert!(error.to_string().contains("deploy the service again"), "{error}");
}

#[tokio::test]
async fn where_the_host_cannot_route_a_published_port_answers() {
    let Some(lab) = Lab::open(false) else { return };
    let engine = DockerEngine::connect(&lab.host, lab.installation.clone(), Reach::Published).await.unwrap();
    assert!(engine.publishes().await.unwrap());
    let address = engine.start(&spec(&lab, 1).await).await.unwrap();
    assert!(address.ip().is_loopback());
    let other = engine.start(&spec(&lab, 2).await).await.unwrap();
    assert_ne!(address, other);
    assert!(ask_until_answered(address).await.contains("\"PORT\": \"8080\""));
}

#[tokio::test]
async fn docker_stopped_and_started_in_the_middle_is_waited_for() {
    let Some(lab) = Lab::open(true) else { return };
    let (engine, spec) = (engine(&lab).await, spec(&lab, 1).await);
    let address = engine.start(&spec).await.unwrap();
    ask_until_answered(address).await;
    let mut changes = engine.changes();
    let before = *changes.borrow_and_update();
    if !script("stop").status.success() || engine.identity().await.is_ok() {
        eprintln!("SKIPPED: the Docker engine in use was not started by the tests, and is not theirs to stop");
        return;
    }
    assert_eq!(engine.observe().await.unwrap_err().class(), Class::Wait);
    assert_eq!(engine.start(&spec).await.unwrap_err().class(), Class::Wait);
    assert!(script("start").status.success());

    end_of(&engine, &spec.id).await;
    tokio::time::timeout(Duration::from_secs(15), changes.wait_for(|n| *n > before)).await.expect("told").unwrap();
    let next = self::spec(&lab, 2).await;
    let new = engine.start(&next).await.unwrap();
    assert_ne!(new, address);
    ask_until_answered(new).await;
    engine.remove(&spec.id).await.unwrap();
    log_with(&spec.log, "bye").await;
    // Events come again as well.
    tokio::time::sleep(Duration::from_secs(2)).await;
    changes.borrow_and_update();
    lab.docker.kill_container(&container(&next), None).await.unwrap();
    tokio::time::timeout(Duration::from_secs(15), changes.changed()).await.expect("told").unwrap();
}

#[tokio::test]
async fn an_instance_that_takes_more_than_its_storage_is_ended_with_the_reason() {
    let Some(lab) = Lab::open(false) else { return };
    let engine = DockerEngine::connect(&lab.host, lab.installation.clone(), Reach::Auto).await.unwrap();
    let engine = engine.with_storage(Memory(64 << 20), Duration::from_millis(200));
    let writes = |megabytes: u32| {
        let script = format!(
            "f = open('/tmp/x', 'wb'); f.write(bytes({megabytes} << 20)); f.flush(); import time; time.sleep(600)"
        );
        words(&["python3", "-c", &script])
    };
    let small = InstanceSpec { command: writes(16), ..spec(&lab, 1).await };
    let large = InstanceSpec { command: writes(100), ..spec(&lab, 2).await };
    let mut roomy = InstanceSpec { command: writes(100), ..spec(&lab, 3).await };
    roomy.size.storage = Some(Memory(1 << 30));
    for spec in [&small, &large, &roomy] {
        engine.start(spec).await.unwrap();
    }
    let end = Instant::now() + Duration::from_secs(60);
    let state =
        |all: &[ObservedInstance], spec: &InstanceSpec| all.iter().find(|i| i.id == spec.id).unwrap().state.clone();
    loop {
        let all = engine.observe().await.unwrap();
        assert_eq!(state(&all, &small), InstanceState::Running);
        assert_eq!(state(&all, &roomy), InstanceState::Running);
        if matches!(state(&all, &large), InstanceState::Exited { .. }) {
            break;
        }
        assert!(Instant::now() < end, "{all:#?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let told = engine.take_notices();
    let message = "its files take more than its storage of 64 MB, and it is ended";
    assert_eq!(told, [(large.id.clone(), message.to_owned())]);
    let log = std::fs::read_to_string(&large.log).unwrap();
    assert!(log.contains(&format!("Z towpath: {message}\n")), "{log}");
    for spec in [&small, &large, &roomy] {
        engine.stop(&spec.id, Duration::ZERO).await.unwrap();
        engine.remove(&spec.id).await.unwrap();
    }
}
