//! Docker stopped and started again in the middle: containers die with it, and come back by themselves.

use super::lab::DockerInstallation;
use crate::docker::script;
use crate::installation::get;
use std::time::Duration;

/// Stops the engine. `false` where it is not the tests' to stop.
fn stopped(installation: &DockerInstallation) -> bool {
    let stopped = script("stop").status.success();
    let socket = installation.lab.host.to_string();
    let gone = std::os::unix::net::UnixStream::connect(socket.trim_start_matches("unix://")).is_err();
    if !(stopped && gone) {
        eprintln!("SKIPPED: the Docker engine in use was not started by the tests, and is not theirs to stop");
    }
    stopped && gone
}

#[test]
fn docker_stopped_in_the_middle_is_said_and_waited_for_and_services_come_back() {
    let Some(mut installation) = DockerInstallation::alone() else { return };
    installation.deploy("shop", "one", "");
    if !stopped(&installation) {
        return;
    }
    installation.until("the status says it", Duration::from_secs(20), |i| {
        i.ok(&["status"]).contains("docker engine does not answer")
    });
    let service = installation.service("shop");
    assert!(!service.is_null(), "it stays declared");
    // A commit that arrives meanwhile waits.
    installation.repository("app").greet("two");
    std::thread::sleep(Duration::from_secs(3));
    let answer = get(installation.http, "shop").unwrap();
    assert!((500..=504).contains(&answer.status), "{answer:?}");

    assert!(script("start").status.success());
    installation.until_answer("shop", "two");
    installation.until_status("shop", "RUNNING");
    installation.until("one container is left", Duration::from_secs(30), |i| i.containers().len() == 1);
    assert!(!installation.ok(&["status"]).contains("does not answer"));
}

#[test]
fn a_control_plane_that_starts_before_docker_waits_for_it() {
    let Some(mut installation) = DockerInstallation::alone() else { return };
    installation.deploy("shop", "one", "");
    installation.kill();
    if !stopped(&installation) {
        return;
    }
    installation.start();
    installation.until("it says that it waits", Duration::from_secs(20), |i| i.log().contains("waiting for"));
    assert!(script("start").status.success());
    installation.until_answer("shop", "one");
    installation.until_status("shop", "RUNNING");
}
