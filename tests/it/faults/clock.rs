//! A wall clock that is set while everything runs, by a day forward and by days back: the real binary, whose clock alone is
//! moved by a preloaded library.

use super::node;
use super::outside::message;
use super::site::{no_orphans, operations, plan_is_empty};
use crate::installation::{Installation, Load, Repository, get};
use std::process::Command;
use std::time::Duration;

const DAY: i64 = 86_400;

/// An installation whose clock can be set.
struct Clocked(Installation);

impl Clocked {
    fn new() -> Self {
        let mut installation = Installation::new();
        let (library, file) = (installation.path().join("clock.so"), installation.path().join("clock"));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/clock.c");
        let built = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).output();
        let built = built.expect("cc is there, as it builds the program's own C parts");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        installation.set("LD_PRELOAD", library.to_str().unwrap());
        installation.set("TOWPATH_TEST_CLOCK", file.to_str().unwrap());
        let clocked = Self(installation);
        clocked.set(0);
        clocked
    }

    /// Moves it to so many seconds from the true time.
    fn set(&self, seconds: i64) {
        let (new, file) = (self.0.path().join("clock.new"), self.0.path().join("clock"));
        std::fs::write(&new, seconds.to_string()).unwrap();
        std::fs::rename(new, file).unwrap();
    }
}

fn deploys(i: &Installation, app: &Repository, greeting: &str) {
    let before = operations(i, "shop").len();
    node::greet(app, greeting);
    i.until_answer("shop", greeting);
    i.until("it succeeded", Duration::from_secs(30), |i| {
        let now = operations(i, "shop");
        now.len() == before + 1 && now.iter().all(|o| o.1 == "SUCCEEDED")
    });
}

/// The application's process, if one runs.
fn application(i: &Installation) -> Option<u32> {
    i.processes().into_iter().find(|(_, c)| c.contains("server.js") && !c.contains("shim")).map(|(pid, _)| pid)
}

/// An instance that died is replaced soon, whatever the clock says of the healings before.
fn heals(i: &Installation) {
    let dies = application(i).expect("the application runs");
    let pid = rustix::process::Pid::from_raw(dies.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    i.until("it is healed", Duration::from_secs(20), |i| {
        application(i).is_some_and(|pid| pid != dies) && get(i.http, "shop").is_ok_and(|a| a.status == 200)
    });
    i.until("all is as declared", Duration::from_secs(20), |i| plan_is_empty(i) && no_orphans(i));
}

#[test]
fn a_clock_that_is_set_forward_or_back_loses_no_request_and_stops_nothing() {
    let mut clocked = Clocked::new();
    let app = clocked.0.repository("app");
    node::greet(&app, "zero");
    clocked.0.declare(&node::manifest("shop", ""));
    clocked.0.up();
    clocked.0.until_status("shop", "RUNNING");
    let load = Load::start(clocked.0.http, "shop", 4);
    deploys(&clocked.0, &app, "one");
    clocked.set(DAY);
    deploys(&clocked.0, &app, "a day later");
    clocked.set(-3 * DAY);
    deploys(&clocked.0, &app, "days before");
    clocked.set(0);
    deploys(&clocked.0, &app, "now");
    let tally = load.finish();
    assert!(tally.failures.is_empty() && tally.good > 50, "{tally:?}\n{}", clocked.0.log());

    heals(&clocked.0);
    clocked.set(-DAY);
    heals(&clocked.0);
    // A bad commit fails by its own clock, and is held.
    node::program(&app, "process.exit(4);");
    clocked.0.until("it failed", Duration::from_secs(30), |i| operations(i, "shop")[0].1 == "FAILED");
    assert!(message(&clocked.0, "shop").contains("code 4"));
    assert_eq!(get(clocked.0.http, "shop").unwrap().body.trim(), "now");
}
