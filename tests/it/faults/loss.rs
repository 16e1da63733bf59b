//! The loss of instances under load.

use super::node;
use super::site::no_orphans;
use crate::installation::{Installation, Load, get, get_with};
use std::time::{Duration, Instant};

fn kill(pid: &str) {
    let pid = rustix::process::Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

fn pid(i: &Installation) -> String {
    get_with(i.http, "shop", "/pid", "").unwrap().body
}

#[test]
fn the_loss_of_one_of_two_instances_fails_no_request_that_arrives_later() {
    let mut installation = Installation::new();
    node::greet(&installation.repository("app"), "good");
    installation.declare(&node::manifest("shop", "    autoscaling: { minSize: 2 }\n"));
    installation.up();
    installation.until("both serve", Duration::from_secs(60), |i| i.service("shop")["instances"]["running"] == 2);
    for round in 0..3 {
        kill(&pid(&installation));
        // One after the other, each begun after the loss: none may fail, although nobody has told the ingress yet.
        let begun = Instant::now();
        let mut asked = 0;
        while begun.elapsed() < Duration::from_secs(2) {
            let answer = get(installation.http, "shop");
            assert!(answer.as_ref().is_ok_and(|a| a.status == 200), "{round}/{asked}: {answer:?}");
            asked += 1;
        }
        assert!(asked > 20, "{asked}");
        installation.until("two serve again", Duration::from_secs(40), |i| {
            i.service("shop")["instances"]["running"] == 2 && no_orphans(i)
        });
    }
    // Under load only what was in flight on the lost one may be lost: a request of each of its clients at most.
    let load = Load::start(installation.http, "shop", 8);
    std::thread::sleep(Duration::from_millis(500));
    kill(&pid(&installation));
    std::thread::sleep(Duration::from_secs(2));
    let tally = load.finish();
    assert!(tally.failures.len() <= 8 && tally.good > 50, "{tally:?}");
}

/// Of several missing instances each that becomes healthy serves, whatever becomes of the others.
#[test]
fn an_instance_that_cannot_be_started_keeps_no_other_from_being_healed() {
    let mut installation = Installation::new();
    let app = installation.repository("app");
    node::greet(&app, "good");
    // From a moment on only one of them comes up: the one that gets the lock, which is a UDP port.
    let lock = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let after = std::time::SystemTime::now() + Duration::from_secs(25);
    let millis = after.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let program = std::fs::read_to_string(app.path().join("server.js")).unwrap();
    node::program(
        &app,
        &format!(
            "const lock = require('node:dgram').createSocket('udp4');\n\
             lock.on('error', () => {{ if (Date.now() > {millis}) process.exit(5); else run(); }});\n\
             lock.bind({lock}, '127.0.0.1', () => run());\n\
             function run() {{\n{program}}}\n"
        ),
    );
    installation.declare(&node::manifest("shop", "    autoscaling: { minSize: 2 }\n"));
    installation.up();
    installation.until("both serve", Duration::from_secs(20), |i| i.service("shop")["instances"]["running"] == 2);
    std::thread::sleep(after.duration_since(std::time::SystemTime::now()).unwrap_or_default());

    for (process, _) in installation.processes().into_iter().filter(|(_, c)| c.contains("server.js")) {
        kill(&process.to_string());
    }
    installation
        .until("one serves", Duration::from_secs(20), |i| get(i.http, "shop").is_ok_and(|a| a.body.trim() == "good"));
    installation.until("the other's failure is said", Duration::from_secs(30), |i| {
        i.log().contains("could not be replaced") && i.log().contains("code 5")
    });
    assert_eq!(get(installation.http, "shop").unwrap().status, 200, "the healthy one was not taken away");
}
