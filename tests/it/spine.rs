//! The main path on real parts: manifest, git, builds, the process engine, the ingress.

use crate::installation::{Installation, Load, Repository, get, get_with};
use std::time::{Duration, Instant};

/// A manifest with one service of the repository `app`.
pub fn manifest(name: &str, more: &str) -> String {
    format!(
        "services:\n  {name}:\n    source:\n      repository: ./app\n    build:\n      runtime: python3\n      \
         start: python app.py\n    deploy:\n      drain: 5s\n{more}"
    )
}

/// A control plane with the service `shop`, which serves the greeting `one`; its repository too. `more` are further lines
/// of the service.
fn serving(more: &str) -> (Installation, Repository) {
    let mut installation = Installation::new();
    let app = installation.repository("app");
    app.greet("one");
    installation.declare(&manifest("shop", more));
    installation.up();
    installation.until_answer("shop", "one");
    installation.until_status("shop", "RUNNING");
    (installation, app)
}

#[test]
fn a_commit_replaces_the_running_version_without_losing_a_request() {
    let (installation, app) = serving("");

    let load = Load::start(installation.http, "shop", 8);
    for version in ["two", "three", "four"] {
        app.greet(version);
        installation.until_answer("shop", version);
        installation.until_status("shop", "RUNNING");
    }
    let tally = load.finish();
    assert!(tally.failures.is_empty(), "{tally:?}\n{}", installation.log());
    assert!(tally.good > 100, "{tally:?}");
    let operations = installation.json(&["operations", "shop"]);
    let types: Vec<&str> = operations.as_array().unwrap().iter().map(|o| o["Type"].as_str().unwrap()).collect();
    assert_eq!(types, ["START_DEPLOYMENT", "START_DEPLOYMENT", "START_DEPLOYMENT", "CREATE_SERVICE"]);
    assert_eq!(installation.service("shop")["revision"], 4);
}

#[test]
fn killing_the_control_plane_loses_no_request_and_the_next_one_takes_over() {
    let (mut installation, app) = serving("");
    let pid = get_with(installation.http, "shop", "/pid", "").unwrap().body;

    let load = Load::start(installation.http, "shop", 8);
    installation.kill();
    std::thread::sleep(Duration::from_secs(1));
    installation.up();
    assert_eq!(get_with(installation.http, "shop", "/pid", "").unwrap().body, pid, "the instance was adopted");
    app.greet("two");
    installation.until_answer("shop", "two");
    let tally = load.finish();
    assert!(tally.failures.is_empty(), "{tally:?}\n{}", installation.log());
}

#[test]
fn killing_the_ingress_is_healed_within_a_second() {
    let (installation, _app) = serving("");
    let processes = installation.processes();
    let (pid, _) = processes.iter().find(|(_, c)| c.contains(" ingress ")).expect("an ingress runs");
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    let killed = Instant::now();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    installation.until("the service answers again", Duration::from_secs(5), |i| {
        get(i.http, "shop").is_ok_and(|a| a.status == 200)
    });
    assert!(killed.elapsed() < Duration::from_secs(1), "{:?}", killed.elapsed());
}

#[test]
fn a_commit_that_fails_leaves_the_old_version_serving_and_is_not_tried_again() {
    let (installation, app) = serving("");
    let load = Load::start(installation.http, "shop", 4);

    app.commit("app.py", "import sys\nprint('no such thing', flush=True)\nsys.exit(3)\n");
    let failed = |i: &Installation| i.json(&["operations", "shop"])[0]["Status"] == "FAILED";
    installation.until("the deployment failed", Duration::from_secs(30), failed);
    std::thread::sleep(Duration::from_secs(3));
    let operations = installation.json(&["operations", "shop"]);
    assert_eq!(operations.as_array().unwrap().len(), 2, "it is not tried again: {operations}");
    let log = installation.ok(&["logs", "shop", "--deployment", operations[0]["Id"].as_str().unwrap()]);
    assert!(log.contains("no such thing") && log.contains("code 3"), "{log}");
    let waiting = installation.service("shop")["waiting"].to_string();
    assert!(waiting.contains("held"), "the status says why: {waiting}");

    app.greet("better");
    installation.until_answer("shop", "better");
    let tally = load.finish();
    assert!(tally.failures.is_empty(), "{tally:?}\n{}", installation.log());
}

#[test]
fn an_instance_that_dies_is_replaced() {
    let (installation, _app) = serving("    autoscaling: { minSize: 2 }\n");
    installation.until("both run", Duration::from_secs(20), |i| i.service("shop")["instances"]["running"] == 2);

    let load = Load::start(installation.http, "shop", 4);
    let pid: i32 = get_with(installation.http, "shop", "/pid", "").unwrap().body.trim().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    installation.until("it is replaced", Duration::from_secs(30), |i| {
        let pid = pid.as_raw_nonzero().get().to_string();
        i.log().contains("HealingCompleted") || {
            let service = i.service("shop");
            service["instances"]["running"] == 2 && !i.processes().iter().any(|(p, _)| p.to_string() == pid)
        }
    });
    installation.until("two run again", Duration::from_secs(30), |i| i.service("shop")["instances"]["running"] == 2);
    let tally = load.finish();
    // Requests that were in flight on the killed instance may be lost; none that arrives later.
    assert!(tally.failures.len() <= 4, "{tally:?}\n{}", installation.log());
}

#[test]
fn an_invalid_manifest_changes_nothing_and_the_status_says_so() {
    let (installation, _app) = serving("");
    installation.declare("services:\n  shop:\n    sorce: {}\n");
    installation.until("the invalid manifest is noticed", Duration::from_secs(10), |i| i.log().contains("sorce"));
    assert_eq!(get(installation.http, "shop").unwrap().body.trim(), "one");
    let status = installation.ok(&["status"]);
    assert!(status.contains("towpath.yaml"), "{status}");
}

#[test]
fn a_manifest_that_deletes_everything_waits_for_a_person() {
    let (installation, _app) = serving("");
    installation.declare("services: {}\n");
    installation.until("it waits", Duration::from_secs(10), |i| {
        String::from_utf8_lossy(&i.run(&["plan", "-f", i.manifest().to_str().unwrap()]).stdout).contains("mass-delete")
    });
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(get(installation.http, "shop").unwrap().body.trim(), "one");
    installation.ok(&["apply", "--allow-mass-delete", "--wait"]);
    installation.until("it is gone", Duration::from_secs(30), |i| i.service("shop").is_null());
    assert_eq!(get(installation.http, "shop").unwrap().status, 404);
    installation
        .until("nothing runs", Duration::from_secs(10), |i| !i.processes().iter().any(|(_, c)| c.contains(" shim ")));
}

#[test]
fn pause_resume_rollback_and_deploy_do_what_they_say() {
    let (installation, app) = serving("");
    app.greet("two");
    installation.until_answer("shop", "two");
    installation.until_status("shop", "RUNNING");

    installation.ok(&["rollback", "shop", "--wait"]);
    assert_eq!(get(installation.http, "shop").unwrap().body.trim(), "one");
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(get(installation.http, "shop").unwrap().body.trim(), "one", "the commit rolled back from stays away");

    installation.ok(&["pause", "shop", "--wait"]);
    assert_eq!(installation.service("shop")["status"], "PAUSED");
    let answer = get(installation.http, "shop").unwrap();
    assert_eq!((answer.status, answer.body.contains("paused")), (503, true), "{answer:?}");
    let refused = installation.run(&["deploy", "shop"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("resume"), "{refused:?}");

    installation.ok(&["resume", "shop", "--wait"]);
    assert_eq!(get(installation.http, "shop").unwrap().body.trim(), "one");
    installation.ok(&["deploy", "shop", "--wait"]);
    assert_eq!(get(installation.http, "shop").unwrap().body.trim(), "two", "a person says so: it is deployed");

    let declared = installation.run(&["delete", "shop", "--yes"]);
    assert_eq!(declared.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&declared.stderr).contains("towpath.yaml:2"), "{declared:?}");
}

#[test]
fn a_changed_environment_makes_a_new_revision_and_a_changed_check_does_not() {
    let (installation, _app) = serving("    env: { LEVEL: info }\n");
    let env = |i: &Installation| get_with(i.http, "shop", "/env", "").map(|a| a.body).unwrap_or_default();
    assert!(env(&installation).contains("LEVEL=info"));
    let pid = get_with(installation.http, "shop", "/pid", "").unwrap().body;

    installation.declare(&manifest("shop", "    env: { LEVEL: info }\n    health: { interval: 2s }\n"));
    let updated = |i: &Installation| {
        let operations = i.json(&["operations", "shop"]);
        operations[0]["Type"] == "UPDATE_SERVICE" && operations[0]["Status"] == "SUCCEEDED"
    };
    installation.until("it is updated in place", Duration::from_secs(20), updated);
    assert_eq!(get_with(installation.http, "shop", "/pid", "").unwrap().body, pid, "no restart");

    installation.declare(&manifest("shop", "    env: { LEVEL: debug }\n    health: { interval: 2s }\n"));
    installation.until("it has the new environment", Duration::from_secs(20), |i| env(i).contains("LEVEL=debug"));
    assert_eq!(installation.service("shop")["revision"], 2);
}

#[test]
fn down_stops_everything_also_without_a_control_plane() {
    let (mut installation, _app) = serving("");
    installation.kill();
    assert!(get(installation.http, "shop").is_ok(), "traffic goes on");
    installation.ok(&["down"]);
    installation.until("nothing is left", Duration::from_secs(10), |i| i.processes().is_empty());
    assert!(get(installation.http, "shop").is_err());

    installation.up();
    installation.until_answer("shop", "one");
    installation.ok(&["down"]);
    assert!(installation.ended(Duration::from_secs(30)).success());
    assert_eq!(installation.processes(), []);
}

/// Root's home lets nobody else through, and the ingress is not root.
#[test]
fn a_data_directory_below_a_private_one_works() {
    use std::os::unix::fs::PermissionsExt;
    let mut installation = Installation::new();
    std::fs::set_permissions(installation.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    installation.repository("app").greet("one");
    installation.declare(&manifest("shop", ""));
    installation.up();
    installation.until_answer("shop", "one");
    installation.kill();
    installation.up();
    installation.ok(&["down"]);
    assert!(get(installation.http, "shop").is_err());
}

#[test]
fn two_towpaths_on_one_data_directory_are_refused() {
    let mut installation = Installation::new();
    installation.declare("services: {}\n");
    installation.up();
    let second = installation.run(&["up", "-f", installation.manifest().to_str().unwrap(), "--api", "127.0.0.1:0"]);
    assert_eq!(second.status.code(), Some(1));
    let message = String::from_utf8_lossy(&second.stderr);
    assert!(message.contains("another towpath") && message.contains("hint:"), "{message}");
}
