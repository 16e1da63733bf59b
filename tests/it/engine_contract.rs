//! What every engine promises, a function per clause. An engine's own tests make a [`Lab`] and call them all.
//!
//! Applications are Python scripts of the standard library, started as `python3 app.py` in the artifact's directory.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails in a test fails the test")]

use async_trait::async_trait;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use towpath::engine::once::{Ended, OneOffs};
use towpath::engine::{Engine, EngineError};
use towpath::model::{InstanceId, InstanceSpec, InstanceState, ObservedInstance, Purpose, Secret, StartCommand};

/// A place with an engine of its own.
#[async_trait]
pub trait Lab: Send + Sync {
    /// The engine.
    fn engine(&self) -> Arc<dyn Engine>;
    /// A second engine of the same installation, as after a restart of the control plane.
    fn reopened(&self) -> Arc<dyn Engine>;
    /// A spec with a new id that runs this Python script as `python3 app.py`.
    async fn spec(&self, script: &str) -> InstanceSpec;
}

/// Answers every request with 200 and the variable `GREETING`, or `hello`.
pub const SERVER: &str = r#"
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = os.environ.get("GREETING", "hello").encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
"#;

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// One GET; the body, or nothing when nobody answers within two seconds.
pub fn get(address: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text.split_once("\r\n\r\n")?.1.to_owned())
}

/// Whether nobody takes a connection within two seconds.
async fn is_closed(address: SocketAddr) -> bool {
    let connect = move || TcpStream::connect_timeout(&address, Duration::from_secs(2)).is_err();
    tokio::task::spawn_blocking(connect).await.unwrap()
}

/// Asks until somebody answers.
pub async fn get_when_up(address: SocketAddr) -> String {
    eventually("an answer", || async { tokio::task::spawn_blocking(move || get(address)).await.unwrap() }).await
}

/// Looks until something is there.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The instance as the engine sees it.
pub async fn observed(engine: &dyn Engine, id: &InstanceId) -> Option<ObservedInstance> {
    engine.observe().await.unwrap().into_iter().find(|i| &i.id == id)
}

/// Waits for the end; its code and message.
pub async fn ended(engine: &dyn Engine, id: &InstanceId) -> (Option<i32>, String) {
    eventually("the end of the instance", || async {
        match observed(engine, id).await?.state {
            InstanceState::Exited { code, message } => Some((code, message)),
            _ => None,
        }
    })
    .await
}

/// Stops and removes.
pub async fn clean_up(engine: &dyn Engine, id: &InstanceId) {
    engine.stop(id, Duration::ZERO).await.unwrap();
    engine.remove(id).await.unwrap();
}

/// A started instance runs, carries its labels, and answers where `start` said.
pub async fn a_started_instance_answers_at_its_address(lab: &dyn Lab) {
    let (engine, spec) = (lab.engine(), lab.spec(SERVER).await);
    let address = engine.start(&spec).await.unwrap();
    assert_eq!(get_when_up(address).await, "hello");
    let seen = observed(&*engine, &spec.id).await.unwrap();
    assert_eq!(seen.state, InstanceState::Running);
    assert_eq!((seen.service, seen.revision, seen.config), (spec.service, spec.revision, spec.config));
    assert_eq!((seen.address, seen.drift), (Some(address), vec![]));
    clean_up(&*engine, &spec.id).await;
    assert!(observed(&*engine, &spec.id).await.is_none());
}

/// The same id started twice, one after the other and at once, runs once.
pub async fn an_id_that_is_started_again_runs_once(lab: &dyn Lab) {
    let script = format!("print('started', flush=True)\n{SERVER}");
    let (engine, spec) = (lab.engine(), lab.spec(&script).await);
    let (first, second) = tokio::join!(engine.start(&spec), engine.start(&spec));
    let third = lab.reopened().start(&spec).await.unwrap();
    assert_eq!(first.unwrap(), third);
    assert_eq!(second.unwrap(), third);
    get_when_up(third).await;
    engine.stop(&spec.id, Duration::ZERO).await.unwrap();
    let log = wait_for_log(&spec, "started").await;
    assert_eq!(log.matches("started").count(), 1, "{log}");
    assert_eq!(engine.start(&spec).await.unwrap(), third, "an ended instance is not started again");
    assert!(matches!(observed(&*engine, &spec.id).await.unwrap().state, InstanceState::Exited { .. }));
    engine.remove(&spec.id).await.unwrap();
}

/// Instances that are there at the same time have different addresses, also when one has ended but was not removed.
pub async fn an_address_is_leased_until_its_instance_is_removed(lab: &dyn Lab) {
    let (engine, one, two) = (lab.engine(), lab.spec(SERVER).await, lab.spec(SERVER).await);
    let first = engine.start(&one).await.unwrap();
    engine.stop(&one.id, Duration::ZERO).await.unwrap();
    let second = engine.start(&two).await.unwrap();
    assert_ne!(first, second);
    clean_up(&*engine, &one.id).await;
    clean_up(&*engine, &two.id).await;
}

/// An application that ends by itself is seen with its exit code, and somebody who waits for changes is told.
pub async fn an_application_that_exits_is_seen_with_its_code(lab: &dyn Lab) {
    let (engine, spec) = (lab.engine(), lab.spec("import time, sys; time.sleep(1); sys.exit(3)").await);
    let mut changes = engine.changes();
    engine.start(&spec).await.unwrap();
    changes.mark_unchanged();
    tokio::time::timeout(PATIENCE, changes.changed()).await.expect("a change is announced").unwrap();
    let (code, message) = ended(&*engine, &spec.id).await;
    assert_eq!((code, message.as_str()), (Some(3), "exited with code 3"));
    clean_up(&*engine, &spec.id).await;
}

/// A start command that does not exist is refused with its name, and refused again.
pub async fn a_command_that_does_not_exist_is_refused_by_name(lab: &dyn Lab) {
    let (engine, mut spec) = (lab.engine(), lab.spec(SERVER).await);
    spec.command = StartCommand::Words(vec!["gunicornn".into(), "app:app".into()]);
    for _ in 0..2 {
        match engine.start(&spec).await {
            Err(EngineError::Refused(message)) => assert!(message.contains("gunicornn"), "{message}"),
            other => panic!("{other:?}"),
        }
    }
    clean_up(&*engine, &spec.id).await;
}

/// SIGTERM is delivered and its handler may finish within the grace.
pub async fn a_stop_lets_the_application_finish(lab: &dyn Lab) {
    let script = "import signal, time, sys\n\
        def bye(*a): time.sleep(0.5); print('finished', flush=True); sys.exit(0)\n\
        signal.signal(signal.SIGTERM, bye); print('ready', flush=True)\nwhile True: time.sleep(1)";
    let (engine, spec) = (lab.engine(), lab.spec(script).await);
    engine.start(&spec).await.unwrap();
    wait_for_log(&spec, "ready").await;
    engine.stop(&spec.id, Duration::from_secs(10)).await.unwrap();
    wait_for_log(&spec, "finished").await;
    assert!(matches!(observed(&*engine, &spec.id).await.unwrap().state, InstanceState::Exited { .. }));
    clean_up(&*engine, &spec.id).await;
}

/// What ignores SIGTERM is killed after its grace.
pub async fn an_application_that_ignores_sigterm_is_killed_after_its_grace(lab: &dyn Lab) {
    let script = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('ready', flush=True)\n\
        while True: time.sleep(1)";
    let (engine, spec) = (lab.engine(), lab.spec(script).await);
    engine.start(&spec).await.unwrap();
    wait_for_log(&spec, "ready").await;
    let began = Instant::now();
    engine.stop(&spec.id, Duration::from_secs(1)).await.unwrap();
    let took = began.elapsed();
    assert!((Duration::from_millis(900)..Duration::from_secs(10)).contains(&took), "{took:?}");
    assert_eq!(ended(&*engine, &spec.id).await.0, Some(137));
    clean_up(&*engine, &spec.id).await;
}

/// Stopping and removing what is not there is success, and so is doing it twice.
pub async fn stopping_and_removing_nothing_is_success(lab: &dyn Lab) {
    let (engine, spec) = (lab.engine(), lab.spec(SERVER).await);
    clean_up(&*engine, &spec.id).await;
    engine.start(&spec).await.unwrap();
    clean_up(&*engine, &spec.id).await;
    clean_up(&*engine, &spec.id).await;
    assert!(observed(&*engine, &spec.id).await.is_none());
}

/// A frozen instance answers nobody and keeps its memory; thawed it goes on where it was.
pub async fn a_frozen_instance_goes_on_where_it_was(lab: &dyn Lab) {
    let script = SERVER.replace("os.environ.get(\"GREETING\", \"hello\")", "str(os.getpid())");
    let (engine, spec) = (lab.engine(), lab.spec(&script).await);
    let address = engine.start(&spec).await.unwrap();
    let before = get_when_up(address).await;
    for _ in 0..2 {
        engine.freeze(&spec.id).await.unwrap();
    }
    assert_eq!(observed(&*engine, &spec.id).await.unwrap().state, InstanceState::Frozen);
    assert_eq!(tokio::task::spawn_blocking(move || get(address)).await.unwrap(), None);
    for _ in 0..2 {
        engine.thaw(&spec.id).await.unwrap();
    }
    assert_eq!(observed(&*engine, &spec.id).await.unwrap().state, InstanceState::Running);
    assert_eq!(get_when_up(address).await, before);
    clean_up(&*engine, &spec.id).await;
}

/// A frozen instance can be stopped, and its SIGTERM handler runs.
pub async fn a_frozen_instance_can_be_stopped(lab: &dyn Lab) {
    let (engine, spec) = (lab.engine(), lab.spec(SERVER).await);
    get_when_up(engine.start(&spec).await.unwrap()).await;
    engine.freeze(&spec.id).await.unwrap();
    let began = Instant::now();
    engine.stop(&spec.id, Duration::from_secs(15)).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(10), "it went on and heard SIGTERM");
    clean_up(&*engine, &spec.id).await;
}

/// Usage is there while an instance runs, and grows with its work.
pub async fn usage_is_measured_while_an_instance_runs(lab: &dyn Lab) {
    let (engine, spec) = (lab.engine(), lab.spec("data = bytearray(50 << 20)\nwhile True: pass").await);
    assert_eq!(engine.usage(&spec.id).await.unwrap(), None);
    engine.start(&spec).await.unwrap();
    eventually("CPU time and memory", || async {
        let usage = engine.usage(&spec.id).await.unwrap().unwrap();
        (usage.cpu >= Duration::from_millis(200) && usage.memory >= 50 << 20).then_some(())
    })
    .await;
    engine.stop(&spec.id, Duration::ZERO).await.unwrap();
    assert_eq!(engine.usage(&spec.id).await.unwrap(), None);
    clean_up(&*engine, &spec.id).await;
}

/// An application that listens on a port of its own choice is found out.
pub async fn the_port_that_an_application_listens_on_is_found(lab: &dyn Lab) {
    let script = "import socket, time\ns = socket.socket(); s.bind(('0.0.0.0', 0)); s.listen()\n\
        print('port', s.getsockname()[1], flush=True)\ntime.sleep(600)";
    let (engine, spec) = (lab.engine(), lab.spec(script).await);
    engine.start(&spec).await.unwrap();
    let log = wait_for_log(&spec, "port ").await;
    let port: u16 = log.lines().find_map(|l| l.split("port ").nth(1)?.trim().parse().ok()).unwrap();
    assert_eq!(engine.listening_ports(&spec.id).await.unwrap(), [port]);
    clean_up(&*engine, &spec.id).await;
}

/// What the kernel took and the application did not is told apart from what it serves.
pub async fn connections_that_an_application_does_not_take_are_counted(lab: &dyn Lab) {
    let script = "import os, socket, time\ns = socket.socket(); s.bind(('0.0.0.0', int(os.environ['PORT']))); s.listen(8)\n\
        print('bound', flush=True); time.sleep(2); s.accept(); print('taken', flush=True); time.sleep(600)";
    let (engine, spec) = (lab.engine(), lab.spec(script).await);
    let address = engine.start(&spec).await.unwrap();
    wait_for_log(&spec, "bound").await;
    if engine.is_proxied() {
        assert_eq!(
            engine.unaccepted(&spec.id, address.port()).await.unwrap(),
            None,
            "that is not the application's port"
        );
        return clean_up(&*engine, &spec.id).await;
    }
    let _waiting = tokio::net::TcpStream::connect(address).await.unwrap();
    assert_eq!(engine.unaccepted(&spec.id, address.port()).await.unwrap(), Some(1));
    wait_for_log(&spec, "taken").await;
    assert_eq!(engine.unaccepted(&spec.id, address.port()).await.unwrap(), Some(0));
    clean_up(&*engine, &spec.id).await;
}

/// The environment is the spec's and nothing of towpath's own; both port variables carry the port it must listen on.
pub async fn the_environment_is_the_specs_own(lab: &dyn Lab) {
    let script = "import os\nfor n in ('PORT', 'MY_PORT', 'TOKEN', 'CARGO'): print(n, os.environ.get(n), flush=True)";
    let (engine, mut spec) = (lab.engine(), lab.spec(script).await);
    spec.port_env = vec!["PORT".parse().unwrap(), "MY_PORT".parse().unwrap()];
    spec.env.insert("TOKEN".parse().unwrap(), Secret::new("it's $HOME \"quoted\"\nand two lines".into()));
    engine.start(&spec).await.unwrap();
    let log = wait_for_log(&spec, "CARGO ").await;
    let value = |name: &str| log.lines().find_map(|l| l.split(&format!("{name} ")).nth(1)).unwrap_or("").to_owned();
    assert_eq!(value("Z PORT"), value("MY_PORT"));
    assert!(value("MY_PORT").parse::<u16>().is_ok(), "{log}");
    assert_eq!(value("TOKEN"), "it's $HOME \"quoted\"");
    assert_eq!(value("CARGO"), "None", "towpath's own environment is not handed on");
    clean_up(&*engine, &spec.id).await;
}

/// `pre-run` lines run before the start command; one that fails ends the instance and is named.
pub async fn pre_run_lines_run_first_and_may_fail(lab: &dyn Lab) {
    let (engine, mut spec) = (lab.engine(), lab.spec("print('app', flush=True)").await);
    spec.pre_run = vec!["echo first $PORT".into(), "cd / && echo second".into()];
    engine.start(&spec).await.unwrap();
    let log = wait_for_log(&spec, " app").await;
    let order: Vec<usize> = ["first", "second", " app"].iter().map(|w| log.find(w).unwrap()).collect();
    assert!(order.is_sorted(), "{log}");
    clean_up(&*engine, &spec.id).await;

    let mut failing = lab.spec("print('app', flush=True)").await;
    failing.pre_run = vec!["true".into(), "exit 7".into()];
    engine.start(&failing).await.unwrap();
    let (code, message) = ended(&*engine, &failing.id).await;
    assert_eq!(code, Some(7));
    assert!(message.contains("exit 7"), "{message}");
    assert!(!std::fs::read_to_string(&failing.log).unwrap().contains(" app\n"));
    clean_up(&*engine, &failing.id).await;
}

/// Every line of output is in the log with its time; the last ones of an application that dies too.
pub async fn output_is_logged_to_the_last_line_with_times(lab: &dyn Lab) {
    let script = "import os, sys\nprint('out'); sys.stdout.flush()\nprint('err', file=sys.stderr)\n\
        os.write(1, b'no line end'); os.kill(os.getpid(), 9)";
    let (engine, spec) = (lab.engine(), lab.spec(script).await);
    engine.start(&spec).await.unwrap();
    ended(&*engine, &spec.id).await;
    let log = wait_for_log(&spec, "no line end").await;
    for word in ["out", "err", "no line end"] {
        let line = log.lines().find(|l| l.ends_with(&format!("Z {word}"))).unwrap_or_else(|| panic!("{word}: {log}"));
        line.split(' ').next().unwrap().parse::<jiff::Timestamp>().unwrap();
    }
    clean_up(&*engine, &spec.id).await;
}

/// Another control plane finds what runs and can do everything with it.
pub async fn another_engine_adopts_what_runs(lab: &dyn Lab) {
    let spec = lab.spec(SERVER).await;
    let address = lab.engine().start(&spec).await.unwrap();
    get_when_up(address).await;
    let other = lab.reopened();
    assert_eq!(other.identity().await.unwrap(), lab.engine().identity().await.unwrap());
    let seen = observed(&*other, &spec.id).await.unwrap();
    assert_eq!((seen.state, seen.address), (InstanceState::Running, Some(address)));
    let mut changes = other.changes();
    changes.mark_unchanged();
    lab.engine().stop(&spec.id, Duration::from_secs(5)).await.unwrap();
    tokio::time::timeout(PATIENCE, changes.changed()).await.expect("an adopted end is announced").unwrap();
    clean_up(&*other, &spec.id).await;
}

/// What the application forked is gone when it is stopped, daemons too.
pub async fn nothing_of_a_stopped_instance_is_left(lab: &dyn Lab) {
    let script = format!(
        "import os, time, socket\n\
        if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        \
        s = socket.socket(); s.bind(('0.0.0.0', 0)); s.listen()\n        \
        print('daemon', s.getsockname()[1], flush=True); time.sleep(600)\n    os._exit(0)\n{SERVER}"
    );
    let (engine, spec) = (lab.engine(), lab.spec(&script).await);
    let address = engine.start(&spec).await.unwrap();
    get_when_up(address).await;
    let log = wait_for_log(&spec, "daemon ").await;
    let port: u16 = log.lines().find_map(|l| l.split("daemon ").nth(1)?.trim().parse().ok()).unwrap();
    let ports = engine.listening_ports(&spec.id).await.unwrap();
    assert!(ports.len() == 2 && ports.contains(&port), "{ports:?} has {port}");
    engine.stop(&spec.id, Duration::from_secs(5)).await.unwrap();
    assert!(is_closed(SocketAddr::new(address.ip(), port)).await && is_closed(address).await);
    clean_up(&*engine, &spec.id).await;
}

/// A command that runs once, and its lines.
async fn once(
    one_offs: &OneOffs,
    spec: InstanceSpec,
    limit: Duration,
    stop: CancellationToken,
) -> (Result<Ended, EngineError>, Vec<String>) {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(16);
    let read = async {
        let mut lines = Vec::new();
        while let Some(line) = receiver.recv().await {
            lines.push(line);
        }
        lines
    };
    let spec = InstanceSpec { purpose: Purpose::Once, log: one_offs.log_path(&spec.id), ..spec };
    tokio::join!(one_offs.run(spec, limit, stop, sender), read)
}

fn one_offs(engine: Arc<dyn Engine>, spec: &InstanceSpec) -> OneOffs {
    OneOffs::new(engine, spec.log.parent().unwrap().join("one-offs"))
}

async fn nothing_left(engine: &dyn Engine, one_offs: &OneOffs, id: &InstanceId) {
    assert_eq!(engine.one_offs().await.unwrap(), []);
    assert!(!one_offs.log_path(id).exists());
}

/// A command that runs once has its service's variables; its lines and its exit code come back, and nothing is left.
pub async fn a_command_that_runs_once_gives_its_lines_and_its_code(lab: &dyn Lab) {
    let script = "import os, sys\nprint('db', os.environ['TOKEN'])\nprint('no', file=sys.stderr, flush=True)\n\
        print('x' * 20000)\nsys.stdout.write('end')\nsys.stdout.flush()\nsys.exit(3)";
    let (engine, mut spec) = (lab.engine(), lab.spec(script).await);
    spec.env.insert("TOKEN".parse().unwrap(), Secret::new("s3".into()));
    let (one_offs, id) = (one_offs(engine.clone(), &spec), spec.id.clone());
    let (ended, lines) = once(&one_offs, spec, PATIENCE, CancellationToken::new()).await;
    let Ended::Exited { code, message } = ended.unwrap() else { panic!() };
    assert_eq!((code, message.as_str()), (Some(3), "exited with code 3"));
    for line in ["db s3", "no", "end"] {
        assert!(lines.iter().any(|l| l == line), "{line}: {lines:?}");
    }
    assert_eq!(lines.concat().matches('x').count(), 20_000, "{lines:?}");
    nothing_left(&*engine, &one_offs, &id).await;
}

/// One that hangs is cut at its deadline, one that is stopped or that nobody waits for any more at once.
pub async fn a_command_that_runs_once_is_cut_by_deadline_stop_and_drop(lab: &dyn Lab) {
    const HANG: &str = "import time\nprint('begun', flush=True)\ntime.sleep(600)";
    let (engine, spec) = (lab.engine(), lab.spec(HANG).await);
    let (one_offs, id) = (one_offs(engine.clone(), &spec), spec.id.clone());
    let (ended, lines) = once(&one_offs, spec, Duration::from_secs(3), CancellationToken::new()).await;
    assert_eq!((ended.unwrap(), lines), (Ended::Overdue, vec!["begun".to_owned()]));
    nothing_left(&*engine, &one_offs, &id).await;

    let (spec, stop) = (lab.spec(HANG).await, CancellationToken::new());
    let begun = async {
        eventually("the command", || async { engine.one_offs().await.unwrap().pop() }).await;
        stop.cancel();
    };
    let ((ended, _), ()) = tokio::join!(once(&one_offs, spec, Duration::from_secs(600), stop.clone()), begun);
    assert_eq!(ended.unwrap(), Ended::Stopped);

    let dropped = once(&one_offs, lab.spec(HANG).await, Duration::from_secs(600), CancellationToken::new());
    tokio::select! {
        _ = dropped => panic!("it hangs"),
        _ = eventually("the command", || async { engine.one_offs().await.unwrap().pop() }) => {}
    }
    eventually("its end", || async { engine.one_offs().await.unwrap().is_empty().then_some(()) }).await;
}

/// One that cannot be started is refused by its name, and leaves nothing.
pub async fn a_command_that_runs_once_and_is_not_there_is_refused_by_name(lab: &dyn Lab) {
    let (engine, mut spec) = (lab.engine(), lab.spec("").await);
    spec.command = StartCommand::Words(vec!["migrrate".into()]);
    let (one_offs, id) = (one_offs(engine.clone(), &spec), spec.id.clone());
    let (ended, _) = once(&one_offs, spec, PATIENCE, CancellationToken::new()).await;
    match ended {
        Err(EngineError::Refused(message)) => assert!(message.contains("migrrate"), "{message}"),
        other => panic!("{other:?}"),
    }
    nothing_left(&*engine, &one_offs, &id).await;
}

/// What a crash left is no instance of the service, is found by its label, and goes.
pub async fn a_command_that_a_crash_left_is_no_instance_and_is_swept(lab: &dyn Lab) {
    let (engine, spec) = (lab.engine(), lab.spec("import time; time.sleep(600)").await);
    let spec = InstanceSpec { purpose: Purpose::Once, ..spec };
    engine.start(&spec).await.unwrap();
    let other = lab.reopened();
    assert_eq!(observed(&*other, &spec.id).await, None);
    assert_eq!(
        other.one_offs().await.unwrap().into_iter().map(|i| i.id).collect::<Vec<_>>(),
        std::slice::from_ref(&spec.id)
    );
    let one_offs = one_offs(other.clone(), &spec);
    assert_eq!(one_offs.sweep().await.unwrap(), 1);
    assert_eq!(one_offs.sweep().await.unwrap(), 0);
    nothing_left(&*other, &one_offs, &spec.id).await;
}

/// Waits until the log holds this text; the whole log.
pub async fn wait_for_log(spec: &InstanceSpec, text: &str) -> String {
    eventually(&format!("`{text}` in the log"), || async {
        std::fs::read_to_string(&spec.log).ok().filter(|log| log.contains(text))
    })
    .await
}

/// Makes a test of every clause for a lab that `$lab` makes.
#[macro_export]
macro_rules! engine_contract {
    ($lab:expr) => {
        $crate::engine_contract!(@each $lab,
            a_started_instance_answers_at_its_address
            an_id_that_is_started_again_runs_once
            an_address_is_leased_until_its_instance_is_removed
            an_application_that_exits_is_seen_with_its_code
            a_command_that_does_not_exist_is_refused_by_name
            a_stop_lets_the_application_finish
            an_application_that_ignores_sigterm_is_killed_after_its_grace
            stopping_and_removing_nothing_is_success
            a_frozen_instance_goes_on_where_it_was
            a_frozen_instance_can_be_stopped
            usage_is_measured_while_an_instance_runs
            the_port_that_an_application_listens_on_is_found
            connections_that_an_application_does_not_take_are_counted
            the_environment_is_the_specs_own
            pre_run_lines_run_first_and_may_fail
            output_is_logged_to_the_last_line_with_times
            another_engine_adopts_what_runs
            nothing_of_a_stopped_instance_is_left
            a_command_that_runs_once_gives_its_lines_and_its_code
            a_command_that_runs_once_is_cut_by_deadline_stop_and_drop
            a_command_that_runs_once_and_is_not_there_is_refused_by_name
            a_command_that_a_crash_left_is_no_instance_and_is_swept
        );
    };
    (@each $lab:expr, $($clause:ident)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $clause() {
            $crate::engine_contract::$clause(&$lab.await).await;
        })*
    };
}
