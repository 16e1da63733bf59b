//! `kill -9` of the processes beside the control plane, and of it in the middle of a healing.

use super::node;
use super::site::{no_orphans, plan_is_empty};
use crate::installation::{Installation, Load, get};
use std::time::{Duration, Instant};

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

/// The first process of the installation whose command says so.
fn process(i: &Installation, what: &str) -> u32 {
    i.processes().iter().find(|(_, c)| c.contains(what)).unwrap_or_else(|| panic!("{what} runs: {:?}", i.processes())).0
}

/// Two instances under load.
fn pair() -> (Installation, crate::installation::Repository) {
    let mut installation = Installation::new();
    let app = installation.repository("app");
    node::greet(&app, "one");
    installation.declare(&node::manifest("shop", "    autoscaling: { minSize: 2 }\n    deploy: { drain: 2s }\n"));
    installation.up();
    installation.until_status("shop", "RUNNING");
    installation.until("both run", Duration::from_secs(20), |i| i.service("shop")["instances"]["running"] == 2);
    (installation, app)
}

fn until_whole(i: &Installation) {
    i.until("two run, and nothing else", Duration::from_secs(40), |i| {
        i.service("shop")["instances"]["running"] == 2 && plan_is_empty(i) && no_orphans(i)
    });
}

#[test]
fn a_control_plane_killed_while_it_heals_goes_on_healing_after_its_restart() {
    let (mut installation, _app) = pair();
    let load = Load::start(installation.http, "shop", 4);
    for delay in [0, 50, 100, 200, 400] {
        let healed = installation.log().matches("drift:").count();
        kill(process(&installation, "server.js"));
        installation
            .until("the healing begins", Duration::from_secs(20), |i| i.log().matches("drift:").count() > healed);
        std::thread::sleep(Duration::from_millis(delay));
        installation.kill();
        installation.up();
        until_whole(&installation);
    }
    let tally = load.finish();
    // What was in flight on the five killed applications.
    assert!(tally.failures.len() <= 20 && tally.good > 500, "{tally:?}\n{}", installation.log());
}

#[test]
fn a_killed_shim_takes_its_application_with_it_and_both_are_replaced() {
    let (installation, _app) = pair();
    let load = Load::start(installation.http, "shop", 4);
    kill(process(&installation, " shim "));
    until_whole(&installation);
    let tally = load.finish();
    assert!(tally.failures.len() <= 4, "{tally:?}\n{}", installation.log());
}

#[test]
fn an_ingress_killed_during_a_deployment_serves_again_within_a_second_and_the_deployment_ends() {
    let (installation, app) = pair();
    for (round, step) in ["build", "health checks", "new version"].iter().enumerate() {
        node::greet(&app, &format!("round {round}"));
        let newest = |i: &Installation| i.json(&["operations", "shop"])[0].clone();
        installation.until(&format!("the {step}"), Duration::from_secs(20), |i| {
            newest(i)["Status"] == "IN_PROGRESS" || newest(i)["Status"] == "SUCCEEDED"
        });
        std::thread::sleep(Duration::from_millis(150 * u64::try_from(round).unwrap()));
        kill(process(&installation, " ingress "));
        let killed = Instant::now();
        installation
            .until("it serves again", Duration::from_secs(10), |i| get(i.http, "shop").is_ok_and(|a| a.status == 200));
        println!("served again after {:?}", killed.elapsed());
        assert!(killed.elapsed() < Duration::from_secs(3), "{:?}", killed.elapsed());
        installation.until_answer("shop", &format!("round {round}"));
        until_whole(&installation);
    }
}

#[test]
fn control_plane_and_ingress_killed_together_come_back_with_what_ran() {
    let (mut installation, _app) = pair();
    let instances =
        |i: &Installation| i.processes().into_iter().filter(|(_, c)| !c.contains(" ingress ")).collect::<Vec<_>>();
    let before = instances(&installation);
    kill(process(&installation, " ingress "));
    installation.kill();
    installation.up();
    installation.until("it serves", Duration::from_secs(5), |i| get(i.http, "shop").is_ok_and(|a| a.status == 200));
    until_whole(&installation);
    assert_eq!(instances(&installation), before, "adopted");
}

#[test]
fn towpath_s_own_processes_use_small_pages_and_the_application_what_the_kernel_gives() {
    let (installation, _app) = pair();
    let huge_pages = |what: &str| {
        let status = std::fs::read_to_string(format!("/proc/{}/status", process(&installation, what))).unwrap();
        status.lines().find_map(|line| line.strip_prefix("THP_enabled:")).map(|value| value.trim() == "1")
    };
    // Kernels before 5.0 do not say.
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    if !own.contains("THP_enabled:\t1") {
        eprintln!("SKIPPED: this kernel has no transparent huge pages");
        return;
    }
    for (what, expected) in [(" ingress ", false), (" shim ", false), ("server.js", true)] {
        assert_eq!(huge_pages(what), Some(expected), "{what}");
    }
}
