//! The systemd units: what they say is understood by systemd, and an ingress of its own carries traffic through restarts.

use crate::faults::node;
use crate::installation::{Installation, Load, get};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// An ingress as a service manager starts it.
struct Ingress(Child);

impl Ingress {
    fn start(installation: &Installation) -> Self {
        let log =
            std::fs::OpenOptions::new().create(true).append(true).open(installation.path().join("in.log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_towpath"));
        command.arg("ingress").arg("--dir").arg(installation.data().join("ingress")).args(["--cores", "2"]);
        if rustix::process::geteuid().is_root() {
            command.args(["--uid", "61584", "--gid", "61584"]);
        }
        Self(command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap())
    }
}

impl Drop for Ingress {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The directory as the unit makes it before the ingress starts.
fn prepare(installation: &Installation) {
    let directory = installation.data().join("ingress");
    let mut command = Command::new("install");
    command.args(["-d", "-m", "0711"]).arg(installation.data());
    assert!(command.status().unwrap().success());
    let mut command = Command::new("install");
    command.args(["-d", "-m", "0700"]);
    if rustix::process::geteuid().is_root() {
        command.args(["-o", "61584", "-g", "61584"]);
    }
    assert!(command.arg(directory).status().unwrap().success());
}

#[test]
fn an_ingress_of_a_service_manager_is_awaited_and_carries_traffic_through_restarts() {
    let mut installation = Installation::new().option("--ingress", "await");
    let app = installation.repository("app");
    node::greet(&app, "one");
    installation.declare(&node::manifest("shop", ""));
    prepare(&installation);
    installation.start();
    std::thread::sleep(Duration::from_secs(1));
    assert!(installation.try_json(&["status"]).is_none(), "without an ingress it waits");
    let ingress = Ingress::start(&installation);
    installation.until_status("shop", "RUNNING");
    installation.until_answer("shop", "one");

    let load = Load::start(installation.http, "shop", 4);
    for _ in 0..2 {
        installation.signal(rustix::process::Signal::TERM);
        assert!(installation.ended(Duration::from_secs(30)).success());
        installation.up();
    }
    node::greet(&app, "two");
    installation.until_answer("shop", "two");
    let tally = load.finish();
    assert!(tally.failures.is_empty() && tally.good > 50, "{tally:?}\n{}", installation.log());

    // Killed, it is not started by the control plane, but by whoever keeps it.
    drop(ingress);
    std::thread::sleep(Duration::from_secs(3));
    assert!(get(installation.http, "shop").is_err(), "nobody carries traffic");
    let _again = Ingress::start(&installation);
    installation.until_answer("shop", "two");
}

#[test]
fn systemd_understands_the_units() {
    let directory = tempfile::tempdir().unwrap();
    let print = |more: &[&str]| {
        let ran = Command::new(env!("CARGO_BIN_EXE_towpath"))
            .args(["install-service", "--dry-run", "--data-dir", "/var/lib/towpath"])
            .args(more)
            .output()
            .unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).unwrap()
    };
    let shown = print(&["--", "--http", "0.0.0.0:80", "--base-domain", "apps.example.com"]);
    assert!(shown.contains("--ingress await --http 0.0.0.0:80 --base-domain apps.example.com\n"), "{shown}");
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        eprintln!("skipped: there is no systemd-analyze here, so nobody verifies the units");
        return;
    }
    for more in [&[][..], &["--user", "daemon"]] {
        let shown = print(more);
        let files: Vec<_> = shown
            .split("# /etc/systemd/system/")
            .skip(1)
            .map(|unit| {
                let (name, text) = unit.split_once('\n').unwrap();
                let path = directory.path().join(name);
                std::fs::write(&path, text).unwrap();
                path
            })
            .collect();
        assert_eq!(files.len(), 2);
        let ran = Command::new("systemd-analyze").arg("verify").args(&files).output().unwrap();
        let told = String::from_utf8_lossy(&ran.stderr).into_owned();
        let ours: Vec<&str> = told.lines().filter(|line| line.contains("towpath")).collect();
        assert!(ours.is_empty(), "{ours:?}");
    }
}
