//! What fails around towpath: sources, configuration files, secrets, ports, the store.

use super::node;
use super::site::{no_orphans, operations, plan_is_empty};
use crate::installation::{Installation, Load, Repository, get, get_with};
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

/// An installation whose `shop` serves `good` under load.
pub struct Serving {
    pub installation: Installation,
    pub app: Repository,
    load: Load,
}

impl Serving {
    /// With more lines for the service.
    pub fn new(more: &str) -> Self {
        let mut installation = Installation::new();
        let app = installation.repository("app");
        node::greet(&app, "good");
        installation.declare(&node::manifest("shop", more));
        installation.up();
        installation.until_status("shop", "RUNNING");
        let load = Load::start(installation.http, "shop", 4);
        Self { installation, app, load }
    }

    pub fn operations(&self) -> Vec<(String, String)> {
        operations(&self.installation, "shop")
    }

    pub fn log(&self) -> String {
        let id = self.installation.json(&["operations", "shop"])[0]["Id"].as_str().unwrap_or_default().to_owned();
        self.installation.ok(&["logs", "shop", "--deployment", &id])
    }

    pub fn deployment_log(&self) -> String {
        self.log()
    }

    pub fn finish(self) {
        let tally = self.load.finish();
        assert!(tally.failures.is_empty(), "{tally:?}\n{}", self.installation.log());
        assert!(tally.good > 50, "{tally:?}");
    }
}

/// What the newest operation of a service says.
pub fn message(i: &Installation, service: &str) -> String {
    i.json(&["operations", service])[0]["Message"].as_str().unwrap_or_default().to_owned()
}

fn waiting(i: &Installation, service: &str) -> String {
    i.service(service)["waiting"].to_string()
}

#[test]
fn a_source_or_configuration_file_that_is_missing_or_wrong_is_named_where_people_look() {
    let mut installation = Installation::new();
    let app = installation.repository("app");
    node::greet(&app, "good");
    let (named, broken) = (installation.repository("named"), installation.repository("broken"));
    named.commit("apprunner.yml", "version: 1.0\n");
    broken.commit("apprunner.yaml", "version: 1.0\nruntime: nodejs20\nrun:\n  comand: node server.js\n");
    let empty = installation.repository("empty");
    empty.commit("README", "nothing");
    let mut text = node::manifest("shop", "");
    for (name, repository) in
        [("gone", "./nothing"), ("named", "./named"), ("broken", "./broken"), ("empty", "./empty")]
    {
        let _ = write!(text, "  {name}:\n    source: {{ repository: {repository} }}\n    build: apprunner.yaml\n");
    }
    text += "  branch:\n    source: { repository: ./app, branch: nope }\n    build: apprunner.yaml\n";
    installation.declare(&text);
    installation.up();
    installation.until_status("shop", "RUNNING");
    let failed = |i: &Installation, s: &str| operations(i, s).first().is_some_and(|o| o.1 == "FAILED");
    for (service, words) in [
        ("named", &["apprunner.yml", "rename"][..]),
        ("broken", &["apprunner.yaml:4:3", "comand"]),
        ("empty", &["not found"]),
    ] {
        installation.until(&format!("{service} failed"), Duration::from_secs(30), |i| failed(i, service));
        let (said, id) =
            (message(&installation, service), installation.json(&["operations", service])[0]["Id"].clone());
        let log = installation.ok(&["logs", service, "--deployment", id.as_str().unwrap()]);
        for word in words {
            assert!(said.contains(word) && log.contains(word), "{service}: {said}\n{log}");
        }
    }
    for (service, words) in [("gone", &["nothing"][..]), ("branch", &["nope", "main"])] {
        let told = |i: &Installation| {
            let status = i.ok(&["status"])
                + &waiting(i, service)
                + &i.try_json(&["operations", service]).unwrap_or_default().to_string();
            words.iter().all(|w| status.contains(w)) && status.contains(service)
        };
        installation.until(&format!("{service} says {words:?}"), Duration::from_secs(30), told);
    }
    assert_eq!(get(installation.http, "shop").unwrap().status, 200);
}

#[test]
fn secrets_reach_the_application_and_nothing_else() {
    let mut installation = Installation::new();
    let app = installation.repository("app");
    node::greet(&app, "good");
    std::fs::write(installation.path().join("key.txt"), "hunter2-in-a-file\n").unwrap();
    installation.set("SHOP_TOKEN", "hunter2-in-the-environment");
    let secrets = "    secrets: { KEY: { file: ./key.txt }, TOKEN: { env: SHOP_TOKEN } }\n";
    let missing = "    secrets: { KEY: { file: ./no.txt }, TOKEN: { env: NO_TOKEN } }\n";
    installation.declare(&(node::manifest("shop", secrets) + &node::service("lack", missing)));
    installation.up();
    installation.until_status("shop", "RUNNING");
    let env = get_with(installation.http, "shop", "/env", "").unwrap().body;
    assert!(env.contains("hunter2-in-a-file") && env.contains("hunter2-in-the-environment"), "{env}");
    installation.until("the other fails", Duration::from_secs(30), |i| {
        operations(i, "lack").first().is_some_and(|o| o.1 == "FAILED")
    });
    let said = message(&installation, "lack");
    for word in ["KEY", "no.txt", "TOKEN", "NO_TOKEN"] {
        assert!(said.contains(word), "{said}");
    }
    installation.declare(&(node::manifest("shop", &secrets.replace("KEY", "OTHER")) + &node::service("lack", missing)));
    let plan = installation.run(&["plan", "-f", installation.manifest().to_str().unwrap()]);
    let told = String::from_utf8_lossy(&plan.stdout) + String::from_utf8_lossy(&plan.stderr);
    let told = told.into_owned()
        + &installation.ok(&["status"])
        + &installation.json(&["status"]).to_string()
        + &installation.log();
    assert!(!told.contains("hunter2"), "{told}");
    installation.kill();
    let found = files_with(&installation.data(), b"hunter2");
    // What the shim starts the application with, readable by nobody else, for as long as the instance is there.
    let specs = found.iter().filter(|p| p.ends_with("spec.json")).count();
    assert_eq!((found.len(), specs), (1, 1), "{found:?}");
    let mode = std::fs::metadata(&found[0]).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// Files under a directory that hold these bytes.
fn files_with(path: &std::path::Path, needle: &[u8]) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            found.extend(files_with(&path, needle));
        } else if kind.is_file() && std::fs::read(&path).is_ok_and(|b| b.windows(needle.len()).any(|w| w == needle)) {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_port_in_use_is_named_and_nothing_is_started() {
    let mut installation = Installation::new();
    installation.declare("services: {}\n");
    let taken = std::net::TcpListener::bind(("127.0.0.1", installation.http)).unwrap();
    installation.start();
    let status = installation.ended(Duration::from_secs(20));
    assert_eq!(status.code(), Some(1));
    let log = installation.log();
    assert!(log.contains(&installation.http.to_string()) && log.contains("in use"), "{log}");
    assert_eq!(installation.processes(), []);
    drop(taken);
    installation.up();
}

#[test]
fn a_damaged_store_is_restored_and_what_runs_is_taken_over() {
    let mut site = Serving::new("");
    let pid = |s: &Serving| get_with(s.installation.http, "shop", "/pid", "").unwrap().body;
    let before = pid(&site);
    // Every start makes a backup in its first pass.
    site.installation.kill();
    let backups = site.installation.data().join("store/backups");
    let count = |p: &std::path::Path| std::fs::read_dir(p).map_or(0, Iterator::count);
    let had = std::fs::read_dir(&backups).unwrap().flatten().map(|e| e.file_name()).max();
    site.installation.up();
    site.installation.until("a backup is made", Duration::from_secs(10), |_| {
        std::fs::read_dir(&backups).unwrap().flatten().map(|e| e.file_name()).max() != had && count(&backups) > 0
    });
    site.installation.kill();
    damage(&site.installation);
    site.installation.up();
    assert!(site.installation.log().contains("The store was damaged; the backup"), "{}", site.installation.log());
    site.installation.until("all is as declared", Duration::from_secs(20), |i| plan_is_empty(i) && no_orphans(i));
    assert_eq!(pid(&site), before, "it was adopted");

    site.installation.kill();
    std::fs::remove_dir_all(&backups).unwrap();
    damage(&site.installation);
    site.installation.start();
    assert_eq!(site.installation.ended(Duration::from_secs(20)).code(), Some(1));
    let log = site.installation.log();
    assert!(log.contains("damaged") && log.contains("hint:"), "{log}");
    assert_eq!(pid(&site), before, "traffic is untouched");
    let (installation, load) = (site.installation, site.load);
    let tally = load.finish();
    assert!(tally.failures.is_empty(), "{tally:?}\n{}", installation.log());
    // Nothing can be read of it any more: the store is made anew so that what is left can be stopped by its owner.
    drop(installation);
}

fn damage(installation: &Installation) {
    let path = installation.data().join("store/towpath.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let end = bytes.len().min(16384);
    bytes[..end].fill(0x5a);
    std::fs::write(&path, bytes).unwrap();
    for log in ["towpath.db-wal", "towpath.db-shm"] {
        let _ = std::fs::remove_file(installation.data().join("store").join(log));
    }
}

#[test]
fn a_terminated_control_plane_leaves_traffic_and_the_next_one_adopts_it() {
    let mut site = Serving::new("");
    let pid = |s: &Serving| get_with(s.installation.http, "shop", "/pid", "").unwrap().body;
    let (before, shims) = (pid(&site), site.installation.processes());
    site.installation.signal(rustix::process::Signal::TERM);
    assert!(site.installation.ended(Duration::from_secs(20)).success());
    assert_eq!(site.installation.processes(), shims);
    site.installation.up();
    site.installation.until("nothing is left to do", Duration::from_secs(20), plan_is_empty);
    assert_eq!(pid(&site), before);
    assert_eq!(site.installation.processes(), shims);
    assert_eq!(site.operations().len(), 1);
    site.finish();
}

#[test]
fn a_repository_or_a_manifest_that_vanishes_changes_nothing_and_coming_back_is_enough() {
    let site = Serving::new("");
    let (there, away) = (site.app.path().to_owned(), site.installation.path().join("away"));
    std::fs::rename(&there, &away).unwrap();
    let source = |i: &Installation| i.service("shop").to_string();
    site.installation
        .until("status says so", Duration::from_secs(20), |i| source(i).contains("could not be asked for commits"));
    std::fs::rename(&away, &there).unwrap();
    node::greet(&site.app, "back");
    // The poller backs off meanwhile.
    site.installation.until_answer("shop", "back");
    let kept = std::fs::read_to_string(site.installation.manifest()).unwrap();
    std::fs::remove_file(site.installation.manifest()).unwrap();
    site.installation.until("status says so", Duration::from_secs(20), |i| i.ok(&["status"]).contains("towpath.yaml"));
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(get(site.installation.http, "shop").unwrap().body.trim(), "back");
    site.installation.declare(&kept);
    site.installation.until("nothing is left to do", Duration::from_secs(20), plan_is_empty);
    site.finish();
}

#[test]
fn thirty_services_at_once_converge() {
    let mut installation = Installation::new();
    let app = installation.repository("app");
    node::greet(&app, "good");
    let mut text = String::from("services:\n");
    for n in 0..30 {
        text += &node::service(&format!("service-{n}"), "    instance: { cpu: 0.25 vCPU, memory: 0.5 GB }\n");
    }
    installation.declare(&text);
    let begun = Instant::now();
    installation.up();
    installation.until("all run", Duration::from_secs(120), |i| {
        let all = i.try_json(&["status"]).unwrap_or_default();
        let running = |s: &&serde_json::Value| s["status"] == "RUNNING";
        all.as_array().is_some_and(|a| a.iter().filter(running).count() == 30)
    });
    println!("thirty services ran after {:?}", begun.elapsed());
    installation.until("nothing is left over", Duration::from_secs(20), |i| plan_is_empty(i) && no_orphans(i));
}
