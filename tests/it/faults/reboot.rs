//! A reboot: every process is gone at once, and the kernel has a new boot id. The id is a file that is mounted over the
//! kernel's, in a mount namespace of the control plane's own; everything that it starts sees the same.

use super::node;
use super::site::{no_orphans, plan_is_empty};
use crate::docker_spine::DockerInstallation;
use crate::installation::{Installation, get};
use std::process::Command;
use std::time::Duration;

/// Gives the next control planes this boot id. `false`, loudly, where mounting is not possible.
fn boot(installation: &mut Installation, id: &str) -> bool {
    let file = installation.path().join("boot-id");
    std::fs::write(&file, format!("{id}\n")).unwrap();
    let script = format!("mount --bind '{}' /proc/sys/kernel/random/boot_id && exec \"$@\"", file.display());
    let words = ["unshare", "--mount", "sh", "-c", &script, "sh"];
    installation.through(&words);
    let tried = Command::new(words[0]).args(&words[1..]).arg("true").output();
    let possible = tried.as_ref().is_ok_and(|o| o.status.success());
    if !possible {
        eprintln!("SKIPPED: a reboot cannot be simulated here, mounting over the boot id failed: {tried:?}");
    }
    possible
}

/// Power off: whatever belongs to the installation dies without a chance to say anything.
fn power_off(installation: &mut Installation) {
    installation.kill();
    let limit = std::time::Instant::now() + Duration::from_secs(10);
    loop {
        let left = installation.processes();
        if left.is_empty() {
            return;
        }
        assert!(std::time::Instant::now() < limit, "{left:?}");
        for (pid, _) in left {
            let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

const FIRST: &str = "11111111-1111-4111-8111-111111111111";
const SECOND: &str = "22222222-2222-4222-8222-222222222222";

#[test]
fn after_a_reboot_all_instances_are_started_again_as_they_were() {
    let mut installation = Installation::new();
    if !boot(&mut installation, FIRST) {
        return;
    }
    let app = installation.repository("app");
    node::greet(&app, "good");
    let two = node::service("shop", "    autoscaling: { minSize: 2 }\n") + &node::service("rest", "");
    installation.declare(&format!("services:\n{two}"));
    installation.up();
    installation.until_status("shop", "RUNNING");
    installation.until_status("rest", "RUNNING");
    installation.ok(&["pause", "rest", "--wait"]);
    let before = installation.json(&["operations", "shop"]);

    power_off(&mut installation);
    assert!(boot(&mut installation, SECOND));
    installation.up();
    installation.until("it serves again", Duration::from_secs(30), |i| {
        get(i.http, "shop").is_ok_and(|a| a.body.trim() == "good")
    });
    installation.until("as declared", Duration::from_secs(30), |i| {
        i.service("shop")["instances"]["running"] == 2 && plan_is_empty(i) && no_orphans(i)
    });
    assert!(installation.log().contains("The machine or its engine was restarted"), "{}", installation.log());
    assert_eq!(installation.json(&["operations", "shop"]), before, "nothing is deployed for it");
    assert_eq!(installation.service("rest")["status"], "PAUSED", "a pause survives");
}

/// Containers do not start by themselves (`restart: no`); their addresses may have new owners.
#[test]
fn after_a_reboot_containers_are_started_again_as_they_were() {
    let Some(mut installation) = DockerInstallation::new() else { return };
    if !boot(&mut installation, FIRST) {
        return;
    }
    installation.deploy("shop", "one", "");
    let before = installation.containers();
    power_off(&mut installation);
    for container in &before {
        installation.kill_by_hand(container);
    }
    assert!(boot(&mut installation, SECOND));
    installation.up();
    installation.until_answer("shop", "one");
    installation.until("one new container is there", Duration::from_secs(40), |i| {
        i.moving().len() == 1 && i.containers().len() == 1 && i.containers() != before
    });
    assert!(installation.log().contains("The machine or its engine was restarted"), "{}", installation.log());
    installation.stop_for_good();
}
