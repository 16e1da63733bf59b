//! The main path on a Docker engine: the real binary, real containers, and what people do to them by hand.

mod hands;
mod images;
mod lab;
mod one_offs;
mod own;
mod registry;
mod restart;
mod tokens;

use crate::installation::{Load, get, get_with};
pub use images::{an_image_of_a_private_registry_is_deployed, manifest as manifest_of_an_image};
pub use lab::DockerInstallation;
pub use lab::manifest;
pub use own::the_example_is_built_and_runs;
pub use registry::Registry;
use std::time::{Duration, Instant};

/// Generous: the machine may be busy.
const LIMIT: Duration = Duration::from_secs(90);

/// As where Docker runs in a virtual machine or without root: its proxy accepts before the application listens.
#[test]
fn a_service_behind_published_ports_is_deployed_checked_healed_and_replaced() {
    let Some(mut i) = DockerInstallation::with(&["--docker-reach", "published"]) else { return };
    i.deploy("shop", "one", "      startDeadline: 15s\n    health: { protocol: HTTP, path: /, interval: 1s }\n");
    i.repository("app").greet("two");
    i.until_answer("shop", "two");
    i.until_status("shop", "RUNNING");
    // Nothing listens any more, while Docker's proxy goes on accepting: only an answer says that.
    let before = i.containers();
    i.repository("app").commit("app.py", "import time\ntime.sleep(1000)\n");
    i.until("the deaf version failed", LIMIT, |i| i.json(&["operations", "shop"])[0]["Status"] == "FAILED");
    i.until("what serves is left alone", LIMIT, |i| i.containers() == before);
    assert_eq!(get(i.http, "shop").unwrap().body.trim(), "two");
    i.kill_by_hand(&before[0]);
    i.until("it is replaced", LIMIT, |i| {
        i.containers() != before && get(i.http, "shop").is_ok_and(|a| a.body.trim() == "two")
    });
    i.stop_for_good();
}

#[test]
fn five_commits_replace_each_other_under_load_without_losing_a_request() {
    let Some(mut installation) = DockerInstallation::running("shop", "one") else { return };
    let load = Load::start(installation.http, "shop", 8);
    for version in ["two", "three", "four", "five", "six"] {
        installation.repository("app").greet(version);
        installation.until_answer("shop", version);
        installation.until_status("shop", "RUNNING");
    }
    let tally = load.finish();
    assert!(tally.failures.is_empty(), "{tally:?}\n{}", installation.log());
    assert!(tally.good > 100, "{tally:?}");
    assert_eq!(installation.service("shop")["revision"], 6);
    assert_eq!(installation.containers().len(), 1, "the old ones are gone: {:?}", installation.containers());

    let log = installation.ok(&["logs", "shop"]);
    assert!(log.contains("listening"), "the container's output is there: {log}");
    let events = installation.ok(&["logs", "shop", "--events"]);
    assert!(events.contains("Deployment completed successfully"), "{events}");
    installation.stop_for_good();
}

#[test]
fn images_that_no_kept_revision_needs_are_shown_and_go() {
    let Some(mut installation) = DockerInstallation::running("shop", "one") else { return };
    for version in ["two", "three"] {
        installation.repository("app").greet(version);
        installation.until_answer("shop", version);
        installation.until_status("shop", "RUNNING");
    }
    let builds = |i: &DockerInstallation| {
        let collection = i.json(&["gc", "--dry-run"]);
        let removals = collection["removals"].as_array().unwrap().clone();
        removals.into_iter().filter(|r| r["kind"] == "build").collect::<Vec<_>>()
    };
    assert!(builds(&installation).is_empty(), "a rollback needs them");
    installation.kill();
    installation.set("TOWPATH_KEEP_REVISIONS", "1");
    installation.up();
    // What is in use at that moment is left for the next collection: asked for until nothing is left.
    installation.until("the older ones go with their images", Duration::from_secs(60), |i| {
        i.run(&["gc"]).status.success() && i.json(&["gc", "--dry-run"])["removals"] == serde_json::json!([])
    });
    let rollback = installation.run(&["rollback", "shop", "1"]);
    assert!(!rollback.status.success(), "the revision is gone");
    assert_eq!(get(installation.http, "shop").unwrap().body.trim(), "three");
    installation.stop_for_good();
}

#[test]
fn killing_the_control_plane_loses_no_request_and_containers_are_adopted() {
    let Some(mut installation) = DockerInstallation::running("shop", "one") else { return };
    let before = installation.containers();
    let load = Load::start(installation.http, "shop", 8);
    installation.kill();
    std::thread::sleep(Duration::from_secs(1));
    installation.up();
    assert_eq!(installation.containers(), before, "the container was adopted");
    // And in the middle of a deployment.
    installation.repository("app").greet("two");
    installation.until("a new container is there", Duration::from_secs(60), |i| i.containers().len() == 2);
    installation.kill();
    installation.up();
    installation.until_answer("shop", "two");
    installation.until_status("shop", "RUNNING");
    let tally = load.finish();
    assert!(tally.failures.is_empty(), "{tally:?}\n{}", installation.log());
    assert_eq!(installation.containers().len(), 1);
}

#[test]
fn a_build_or_a_start_that_fails_says_why_and_the_old_version_serves() {
    let Some(installation) = DockerInstallation::running("shop", "good") else { return };
    let before = installation.containers();
    let load = Load::start(installation.http, "shop", 4);
    let failed = |i: &DockerInstallation, number: usize| {
        let operations = i.json(&["operations", "shop"]);
        let operations = operations.as_array().unwrap();
        operations.len() == number && operations[0]["Status"] == "FAILED"
    };
    installation.declare(&manifest("shop", "      command: [\"echo building; no-such-tool --now\"]\n", ""));
    installation.until("the build failed", Duration::from_secs(60), |i| failed(i, 2));
    let log = last_deployment(&installation);
    assert!(log.contains("building") && log.contains("`echo building; no-such-tool --now`"), "{log}");
    assert!(log.contains("127") && log.contains("no-such-tool"), "{log}");

    installation.declare(&manifest("shop", "", ""));
    installation.repository("app").commit("app.py", "import sys\nprint('no such thing', flush=True)\nsys.exit(3)\n");
    installation.until("the start failed", Duration::from_secs(60), |i| failed(i, 3));
    let log = last_deployment(&installation);
    assert!(log.contains("no such thing") && log.contains("exited with code 3, 3 times"), "{log}");
    assert_eq!(installation.containers(), before, "what failed is gone, the old one was not touched");
    let tally = load.finish();
    assert!(tally.failures.is_empty(), "{tally:?}\n{}", installation.log());
}

fn last_deployment(installation: &DockerInstallation) -> String {
    let operations = installation.json(&["operations", "shop"]);
    installation.ok(&["logs", "shop", "--deployment", operations[0]["Id"].as_str().unwrap()])
}

#[test]
fn pause_resume_rollback_and_deletion_leave_what_they_should() {
    let Some(installation) = DockerInstallation::running("shop", "one") else { return };
    installation.repository("app").greet("two");
    installation.until_answer("shop", "two");
    installation.until_status("shop", "RUNNING");
    assert_eq!(installation.images(), 2);

    installation.ok(&["rollback", "shop", "--wait"]);
    assert_eq!(get(installation.http, "shop").unwrap().body.trim(), "one");
    installation.ok(&["pause", "shop", "--wait"]);
    assert_eq!(installation.service("shop")["status"], "PAUSED");
    assert_eq!(installation.containers().len(), 0);
    assert_eq!(get(installation.http, "shop").unwrap().status, 503);
    assert_eq!(installation.images(), 2, "a paused service keeps what a resume and a rollback need");
    installation.ok(&["resume", "shop", "--wait"]);
    assert_eq!(get(installation.http, "shop").unwrap().body.trim(), "one");

    installation.declare("services: {}\n");
    installation.until("it waits", Duration::from_secs(20), |i| {
        String::from_utf8_lossy(&i.run(&["plan"]).stdout).contains("mass-delete")
    });
    installation.ok(&["apply", "--allow-mass-delete", "--wait"]);
    installation.until("it is gone", Duration::from_secs(30), |i| i.service("shop").is_null());
    assert_eq!(installation.containers().len(), 0);
    installation.until("its images are gone", Duration::from_secs(10), |i| i.images() == 0);
}

#[test]
fn images_beyond_the_revisions_that_are_kept_are_collected() {
    let Some(installation) = DockerInstallation::running("shop", "v0") else { return };
    for version in 1..=11 {
        let version = format!("v{version}");
        installation.repository("app").greet(&version);
        installation.until_answer("shop", &version);
        installation.until_status("shop", "RUNNING");
    }
    // Twelve were made. The present one and nine to roll back to are kept.
    installation.until("old images are gone", Duration::from_secs(15), |i| i.images() == 10);
}

#[test]
fn down_removes_containers_and_network_with_and_without_a_control_plane() {
    let Some(mut installation) = DockerInstallation::running("shop", "one") else { return };
    assert_eq!(installation.networks(), 1);
    installation.kill();
    assert!(get(installation.http, "shop").is_ok(), "traffic goes on");
    installation.ok(&["down"]);
    assert_eq!((installation.containers().len(), installation.networks()), (0, 0));
    assert!(get(installation.http, "shop").is_err());

    installation.up();
    installation.until_answer("shop", "one");
    installation.ok(&["down"]);
    assert!(installation.ended(Duration::from_secs(30)).success());
    assert_eq!((installation.containers().len(), installation.networks()), (0, 0));
    assert_eq!(installation.processes(), []);
}

#[test]
fn variables_and_secrets_reach_the_application_and_no_output() {
    let Some(mut installation) = DockerInstallation::new() else { return };
    std::fs::write(installation.path().join("db"), "postgres://shop:hunter2@db\n").unwrap();
    installation.repository("app").greet("one");
    installation.declare(&manifest("shop", "", "    env: { LEVEL: info }\n    secrets: { DB: { file: db } }\n"));
    installation.up();
    installation.until_answer("shop", "one");
    installation.know();
    let env = get_with(installation.http, "shop", "/env", "").unwrap().body;
    assert!(env.contains("LEVEL=info") && env.contains("DB=postgres://shop:hunter2@db"), "{env}");
    assert!(env.contains("PORT=8080"), "{env}");
    for args in [&["status"][..], &["plan"], &["logs", "shop", "--events"], &["operations", "shop"]] {
        assert!(!installation.ok(args).contains("hunter2"), "{args:?}");
    }
    assert!(!last_deployment(&installation).contains("hunter2") && !installation.log().contains("hunter2"));
}

#[test]
fn two_installations_on_one_engine_do_not_touch_each_other() {
    let Some(mut left) = DockerInstallation::running("shop", "left") else { return };
    let Some(mut right) = DockerInstallation::running("shop", "left") else { return };
    let (ours, theirs) = (left.containers(), right.containers());
    assert!(ours.iter().all(|c| !theirs.contains(c)));
    right.repository("app").greet("right");
    right.until_answer("shop", "right");
    right.until_status("shop", "RUNNING");
    assert_eq!(get(left.http, "shop").unwrap().body.trim(), "left");
    assert_eq!(left.containers(), ours);
    assert!(left.names().iter().any(|n| n.contains(':')), "its image kept its name: {:?}", left.names());
    right.ok(&["down"]);
    right.ended(Duration::from_secs(30));
    let until = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until {
        assert_eq!(get(left.http, "shop").unwrap().body.trim(), "left");
    }
    assert_eq!((left.containers(), left.networks()), (ours, 1));
    left.stop_for_good();
}
