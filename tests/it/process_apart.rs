//! What keeps instances of the process engine apart, tried from inside: by programs that attempt what they must not.
//!
//! Where this machine lacks a part, its test says so loudly and checks nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails in a test fails the test")]

use crate::engine_contract::{self as contract, Lab, SERVER, get_when_up, wait_for_log};
use crate::process_engine::ProcessLab;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use towpath::engine::process::facts;
use towpath::model::{Artifact, InstanceSpec, Memory, ServiceId};

/// Whether a protection holds here; says so when not.
pub fn holds(name: &str) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let facts = facts::survey(Path::new(env!("CARGO_BIN_EXE_towpath")), dir.path()).unwrap();
    let fact = facts.into_iter().find(|fact| fact.name == name).unwrap_or_else(|| panic!("no fact `{name}`"));
    if !fact.holds {
        eprintln!("SKIPPED: {name} does not hold here: {}", fact.detail);
    }
    fact.holds
}

/// A spec of another service than the laboratory's usual one.
async fn spec_of(lab: &ProcessLab, name: &str, number: u8, script: &str) -> InstanceSpec {
    let mut spec = lab.spec(script).await;
    spec.name = name.parse().unwrap();
    spec.service = ServiceId::from_random([number; 16]);
    spec
}

/// A program that tries each of these acts and prints what came of it.
fn attempts(acts: &[(&str, &str)]) -> String {
    let mut script = String::from("import os, socket, sys, time\n");
    for (name, act) in acts {
        script += &format!(
            "try:\n    print('{name}:', {act}, flush=True)\nexcept Exception as e:\n    print('{name}: refused', e, flush=True)\n"
        );
    }
    script + "print('done', flush=True)\ntime.sleep(600)\n"
}

fn line<'l>(log: &'l str, name: &str) -> &'l str {
    let start = format!("Z {name}: ");
    log.lines().find_map(|line| line.split_once(&start)).unwrap_or_else(|| panic!("no `{name}` in {log}")).1
}

#[tokio::test]
async fn what_an_instance_writes_is_its_own_and_gone_with_it() {
    let lab = ProcessLab::new().await;
    let script = "import os, time\nprint('seen', sorted(os.listdir('.')), flush=True)\nopen('app.py', 'a').write('# mine')\n\
        open('new', 'w').write('x')\nopen('/tmp/new', 'w').write('x')\nprint('kept', sorted(os.listdir('.')), flush=True)\n\
        time.sleep(600)";
    let first = lab.spec(script).await;
    let mut second = lab.spec(script).await;
    second.artifact = first.artifact.clone();
    for spec in [&first, &second] {
        lab.engine().start(spec).await.unwrap();
        let log = wait_for_log(spec, "kept").await;
        assert!(log.contains("seen ['app.py']") && log.contains("kept ['app.py', 'new']"), "{log}");
    }
    let Artifact::Directory { path, .. } = &first.artifact else { unreachable!() };
    assert_eq!(std::fs::read_to_string(path.join("app.py")).unwrap(), script);
    assert_eq!(std::fs::read_dir(path).unwrap().count(), 1, "the build itself is as it was");
    for spec in [&first, &second] {
        contract::clean_up(&*lab.engine(), &spec.id).await;
        assert!(!lab.instance(&spec.id).exists());
    }
}

#[tokio::test]
async fn an_instance_runs_as_a_user_without_rights_and_sees_little() {
    if !holds("user per service") || !holds("view of the file system") {
        return;
    }
    let lab = ProcessLab::new().await;
    let secret = lab.instance(&lab.spec("").await.id);
    std::fs::write(lab.data().join("secret"), "hunter2").unwrap();
    let data = lab.data().display().to_string();
    let acts = [
        ("user", "os.getuid() == os.getgid() >= 65536 and os.getgroups() == []"),
        ("name", "__import__('pwd').getpwuid(os.getuid()).pw_name"),
        ("rights", "[l.split()[1] for l in open('/proc/self/status') if l[:6] in ('CapEff', 'CapBnd', 'NoNewP')]"),
        ("data", &format!("sorted(os.listdir('{data}'))")),
        ("secret", &format!("open('{data}/secret').read()")),
        ("others", "[p for p in os.listdir('/proc') if p.isdigit() and os.stat('/proc/' + p).st_uid != os.getuid()]"),
        ("root", "os.setuid(0)"),
        ("shadow", "open('/etc/shadow').read()"),
        ("build", "open('/usr/bin/mine', 'w')"),
        ("shared", "open('/dev/shm/mine', 'w').name"),
        ("out", "open('/dev/stdout', 'w').write('direct\\n')"),
    ];
    let spec = lab.spec(&attempts(&acts)).await;
    lab.engine().start(&spec).await.unwrap();
    let log = wait_for_log(&spec, " done").await;
    assert_eq!(line(&log, "user"), "True", "{log}");
    assert_eq!(line(&log, "name"), "towpath");
    assert_eq!(line(&log, "rights"), "['0000000000000000', '0000000000000000', '1']");
    assert_eq!(line(&log, "data"), "['apps']", "only the way to what is its own");
    assert_eq!(line(&log, "others"), "[]");
    for name in ["secret", "root", "shadow", "build"] {
        assert!(line(&log, name).starts_with("refused"), "{log}");
    }
    assert_eq!(line(&log, "shared"), "/dev/shm/mine");
    assert!(!Path::new("/dev/shm/mine").exists() && !secret.exists());
    assert!(log.contains("Z direct"), "{log}");
    contract::clean_up(&*lab.engine(), &spec.id).await;
}

#[tokio::test]
async fn services_have_different_users_and_a_service_keeps_its_own() {
    if !holds("user per service") {
        return;
    }
    let lab = ProcessLab::new().await;
    let script = attempts(&[("uid", "os.getuid()")]);
    let mut users = Vec::new();
    for (name, number) in [("shop", 1), ("blog", 2), ("shop", 1)] {
        let spec = spec_of(&lab, name, number, &script).await;
        lab.engine().start(&spec).await.unwrap();
        users.push(line(&wait_for_log(&spec, " done").await, "uid").to_owned());
        contract::clean_up(&*lab.engine(), &spec.id).await;
    }
    assert!(users[0] == users[2] && users[0] != users[1], "{users:?}");
}

#[tokio::test]
async fn landlock_keeps_what_permissions_would_give_away() {
    if !holds("Landlock") {
        return;
    }
    let lab = ProcessLab::new().await;
    // Readable and writable by everybody, outside of all that is hidden.
    let open = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    std::fs::set_permissions(open.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    std::fs::write(open.path().join("file"), "everybody's").unwrap();
    std::fs::set_permissions(open.path().join("file"), std::fs::Permissions::from_mode(0o666)).unwrap();
    let place = open.path().display().to_string();
    let acts = [
        ("read", &*format!("open('{place}/file').read()")),
        ("write", &*format!("open('{place}/new', 'w')")),
        ("system", "len(open('/etc/hosts').read()) > 0"),
    ];
    let spec = lab.spec(&attempts(&acts)).await;
    lab.engine().start(&spec).await.unwrap();
    let log = wait_for_log(&spec, " done").await;
    assert!(line(&log, "read").starts_with("refused") && line(&log, "write").starts_with("refused"), "{log}");
    assert_eq!(line(&log, "system"), "True");
    contract::clean_up(&*lab.engine(), &spec.id).await;
}

#[tokio::test]
async fn a_full_disk_is_the_instances_own_and_is_named() {
    if !holds("storage limit") {
        return;
    }
    let lab = ProcessLab::new().await;
    let script = "import time\nf = open('/tmp/big', 'wb')\ntry:\n    for i in range(200): f.write(b'x' * (1 << 20)); f.flush()\n\
        except OSError as e: print('refused', e.errno, i, flush=True)\ntime.sleep(600)";
    let (mut greedy, modest) = (lab.spec(script).await, spec_of(&lab, "blog", 2, SERVER).await);
    greedy.size.storage = Some(Memory(64 << 20));
    lab.engine().start(&greedy).await.unwrap();
    let address = lab.engine().start(&modest).await.unwrap();
    let log = wait_for_log(&greedy, "refused 28").await;
    let written: u32 = log.split("refused 28 ").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
    assert!((30..64).contains(&written), "{written} MB of 64");
    let log = wait_for_log(&greedy, "towpath: its storage of 64 MB is full").await;
    assert!(log.contains("instance.storage"), "{log}");
    contract::eventually("the notice", || async {
        lab.engine().observe().await.unwrap();
        let notices = lab.engine().take_notices();
        notices.iter().any(|(id, text)| *id == greedy.id && text.contains("is full")).then_some(())
    })
    .await;
    assert_eq!(get_when_up(address).await, "hello");
    assert!(lab.instance(&greedy.id).join("disk.img").exists());
    for spec in [&greedy, &modest] {
        contract::clean_up(&*lab.engine(), &spec.id).await;
    }
    let loops = std::fs::read_to_string("/proc/mounts").unwrap();
    assert!(!loops.contains(&lab.data().display().to_string()), "nothing stays mounted: {loops}");
}

#[tokio::test]
async fn an_application_that_ends_on_a_full_disk_says_so() {
    if !holds("storage limit") {
        return;
    }
    let lab = ProcessLab::new().await;
    let mut spec = lab.spec("f = open('big', 'wb')\nwhile True: f.write(b'x' * (1 << 20))").await;
    spec.size.storage = Some(Memory(32 << 20));
    lab.engine().start(&spec).await.unwrap();
    let (code, message) = contract::ended(&*lab.engine(), &spec.id).await;
    assert_eq!(code, Some(1));
    assert!(message.contains("exited with code 1; its storage of 32 MB is full"), "{message}");
    contract::clean_up(&*lab.engine(), &spec.id).await;
}

#[tokio::test]
async fn services_reach_neither_each_other_nor_metadata_nor_the_api() {
    if !holds("network rules") {
        return;
    }
    let lab = ProcessLab::with_private_port().await;
    let api = lab.private.as_ref().unwrap().local_addr().unwrap().port();
    let shop = spec_of(&lab, "shop", 1, SERVER).await;
    let address = lab.engine().start(&shop).await.unwrap();
    assert_eq!(get_when_up(address).await, "hello");
    let connect = |host: &str, port: u16| format!("socket.create_connection(('{host}', {port}), 3).getpeername()[1]");
    let (other, own, api, metadata) = (
        connect("127.0.0.1", address.port()),
        "(lambda l, c: (c.connect(l.getsockname()), c.getpeername() == l.getsockname())[1])(socket.create_server((\
         '127.0.0.1', int(os.environ['PORT']))), socket.socket())",
        connect("127.0.0.1", api),
        connect("169.254.169.254", 80),
    );
    let acts = [("other", &*other), ("own", own), ("api", &*api), ("metadata", &*metadata)];
    let blog = spec_of(&lab, "blog", 2, &attempts(&acts)).await;
    lab.engine().start(&blog).await.unwrap();
    let log = wait_for_log(&blog, " done").await;
    assert!(line(&log, "other").contains("Connection refused"), "{log}");
    assert!(line(&log, "api").contains("Connection refused"), "{log}");
    assert!(line(&log, "metadata").starts_with("refused"), "{log}");
    assert_eq!(line(&log, "own"), "True", "{log}");
    assert_eq!(get_when_up(address).await, "hello", "the machine itself, and so the ingress, still reaches it");
    for spec in [&shop, &blog] {
        contract::clean_up(&*lab.engine(), &spec.id).await;
    }
}

#[tokio::test]
async fn a_stranger_on_a_leased_port_is_not_heard() {
    if !holds("network rules") {
        return;
    }
    let lab = ProcessLab::new().await;
    // The service that has the lease does not listen.
    let shop = spec_of(&lab, "shop", 1, "import time\ntime.sleep(600)").await;
    let address = lab.engine().start(&shop).await.unwrap();
    // Kept in a variable, so that it goes on listening.
    let squat = format!(
        "(globals().__setitem__('s', socket.create_server(('127.0.0.1', {}))), s.getsockname()[1])[1]",
        address.port()
    );
    let script = attempts(&[("squat", &squat)]);
    let blog = spec_of(&lab, "blog", 2, &script).await;
    lab.engine().start(&blog).await.unwrap();
    let log = wait_for_log(&blog, " done").await;
    assert_eq!(line(&log, "squat"), address.port().to_string(), "{log}");
    let limit = std::time::Duration::from_millis(1500);
    let connected = tokio::task::spawn_blocking(move || std::net::TcpStream::connect_timeout(&address, limit)).await;
    assert!(connected.unwrap().is_err(), "the ingress would take the stranger for the service");
    for spec in [&shop, &blog] {
        contract::clean_up(&*lab.engine(), &spec.id).await;
    }
}

#[tokio::test]
async fn interpreters_below_a_closed_home_are_found() {
    let homes: Vec<PathBuf> = ["/root/.pyenv/versions"].iter().map(PathBuf::from).filter(|p| p.is_dir()).collect();
    let versions =
        homes.iter().flat_map(|home| std::fs::read_dir(home).unwrap()).map(|e| e.unwrap().path().join("bin"));
    let Some(bin) = versions.into_iter().find(|bin| bin.join("python3").exists()) else {
        eprintln!("SKIPPED: no interpreter below /root here");
        return;
    };
    let lab = ProcessLab::new().await;
    let mut spec = lab.spec("import json, sys\nprint('prefix', sys.prefix, flush=True)").await;
    let Artifact::Directory { path_prefix, .. } = &mut spec.artifact else { unreachable!() };
    path_prefix.push(bin.clone());
    spec.command = towpath::model::StartCommand::Words(vec!["python3".into(), "app.py".into()]);
    lab.engine().start(&spec).await.unwrap();
    let log = wait_for_log(&spec, "prefix ").await;
    let prefix = bin.parent().unwrap().display().to_string();
    assert!(log.contains(&format!("prefix {prefix}")), "{log}");
    contract::clean_up(&*lab.engine(), &spec.id).await;
}

#[tokio::test]
async fn starting_apart_takes_little_longer() {
    let lab = ProcessLab::new().await;
    let mut took = Vec::new();
    for _ in 0..5 {
        let spec = lab.spec(SERVER).await;
        let began = std::time::Instant::now();
        lab.engine().start(&spec).await.unwrap();
        took.push(began.elapsed());
        contract::clean_up(&*lab.engine(), &spec.id).await;
    }
    took.sort();
    println!("start, median of five: {:?}", took[2]);
    // A loaded machine and a debug build: this only catches what waits for something.
    assert!(took[2] < std::time::Duration::from_secs(3), "{took:?}");
}
