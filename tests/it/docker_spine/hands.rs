//! What people do to containers by hand is drift: shown, and put right.

use super::lab::DockerInstallation;
use crate::installation::{Load, get};
use std::time::Duration;

/// Two instances; `act` does something to one of them, and both run again without it.
fn healed_after(act: impl Fn(&DockerInstallation, &str), told: &str) -> Option<(DockerInstallation, Vec<String>)> {
    let mut installation = DockerInstallation::new()?;
    installation.deploy("shop", "one", "    autoscaling: { minSize: 2 }\n");
    installation.until("two run", Duration::from_secs(20), |i| i.moving().len() == 2);
    let load = Load::start(installation.http, "shop", 4);
    std::thread::sleep(Duration::from_millis(300));
    let before = installation.moving();
    act(&installation, &before[0]);
    installation.until("it is replaced", Duration::from_secs(30), |i| {
        let now = i.moving();
        now.len() == 2 && !now.contains(&before[0]) && now.contains(&before[1]) && i.containers() == now
    });
    let tally = load.finish();
    assert!(installation.log().contains(told), "{told}\n{}", installation.log());
    assert_eq!(get(installation.http, "shop").unwrap().status, 200);
    Some((installation, tally.failures))
}

// Requests that were in flight on an instance that is killed may be lost, one per client; none that arrives later.

#[test]
fn a_container_that_is_killed_is_replaced() {
    let Some((installation, lost)) = healed_after(DockerInstallation::kill_by_hand, "killed by signal 9") else {
        return;
    };
    assert!(lost.len() <= 4, "{lost:?}\n{}", installation.log());
}

#[test]
fn a_container_that_is_removed_is_replaced() {
    let told = "drift: 1 of 2 instances";
    let Some((installation, lost)) = healed_after(DockerInstallation::remove_by_hand, told) else { return };
    assert!(lost.len() <= 4, "{lost:?}\n{}", installation.log());
}

#[test]
fn a_container_that_is_paused_goes_on_and_is_replaced_without_losing_a_request() {
    let told = "frozen: it was paused by hand";
    let Some((installation, lost)) = healed_after(DockerInstallation::pause_by_hand, told) else { return };
    assert!(lost.is_empty(), "{lost:?}\n{}", installation.log());
}

#[test]
fn a_container_whose_limits_are_changed_is_replaced_without_losing_a_request() {
    let enlarge = |i: &DockerInstallation, id: &str| i.enlarge_by_hand(id, 768 << 20);
    let Some((installation, lost)) = healed_after(enlarge, "memory limit: 512 MB → 768 MB") else { return };
    assert!(lost.is_empty(), "{lost:?}\n{}", installation.log());
}

#[test]
fn drift_that_was_made_while_no_control_plane_ran_is_planned_field_by_field() {
    let Some(mut installation) = DockerInstallation::running("shop", "one") else { return };
    let before = installation.moving();
    installation.kill();
    installation.enlarge_by_hand(&before[0], 768 << 20);
    installation.up();
    installation.until("the plan shows it, or it is healed", Duration::from_secs(30), |i| {
        let plan = i.ok(&["plan"]);
        plan.contains("memory limit  768 MB → 512 MB") || i.log().contains("memory limit: 512 MB → 768 MB")
    });
    installation.until("it is healed", Duration::from_secs(30), |i| i.moving().len() == 1 && i.moving() != before);
    installation.until("nothing is left to do", Duration::from_secs(10), |i| {
        i.run(&["plan", "--detailed-exitcode"]).status.code() == Some(0)
    });
}
