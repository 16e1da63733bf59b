//! `towpath doctor` on this machine: whatever is found, it says what to do, and the exit code fits.

use serde_json::Value;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

fn doctor(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_towpath"));
    command.arg("doctor").args(arguments).current_dir(directory).env_remove("TOWPATH_OUTPUT");
    command.env("TOWPATH_DATA_DIR", directory.join("data")).output().unwrap()
}

fn findings(ran: &Output) -> Vec<Value> {
    let found: Vec<Value> = serde_json::from_slice(&ran.stdout).unwrap();
    for finding in &found {
        assert_eq!(finding["verdict"] == "ok", finding["mend"].is_null(), "{finding}");
    }
    found
}

fn of<'v>(findings: &'v [Value], check: &str) -> Vec<&'v Value> {
    findings.iter().filter(|f| f["check"] == check).collect()
}

#[test]
fn doctor_finds_a_port_in_use_and_says_how_to_mend_it() {
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ran = doctor(directory.path(), &["--http", "127.0.0.1:0", "--api", &address, "--output", "json"]);
    assert_eq!(ran.status.code(), Some(1), "{}", String::from_utf8_lossy(&ran.stderr));
    let found = findings(&ran);
    let ports = of(&found, "port");
    assert_eq!(ports.iter().map(|p| p["verdict"].as_str().unwrap()).collect::<Vec<_>>(), ["ok", "problem"]);
    assert!(ports[1]["mend"].as_str().unwrap().contains("ss -ltnp"), "{}", ports[1]);
}

#[test]
fn doctor_looks_at_everything_and_fails_only_on_problems() {
    let directory = tempfile::tempdir().unwrap();
    let plain = ["--http", "127.0.0.1:0", "--api", "127.0.0.1:0"];
    let ran = doctor(directory.path(), &[&plain[..], &["--output", "json"]].concat());
    let found = findings(&ran);
    for check in ["docker", "cgroups", "landlock", "git", "disk", "inotify", "files", "clock", "port", "data", "server"]
    {
        assert!(!of(&found, check).is_empty(), "{check}: {found:#?}");
    }
    let problems = found.iter().any(|f| f["verdict"] == "problem");
    assert_eq!(ran.status.code(), Some(i32::from(problems)));
    assert!(!directory.path().join("data").exists(), "doctor only looks");

    let text = String::from_utf8(doctor(directory.path(), &plain).stdout).unwrap();
    assert!(text.contains("looked at: ") && !text.contains('\x1b'), "{text}");
    let exposed = doctor(directory.path(), &["--http", "0.0.0.0:0", "--api", "127.0.0.1:0", "--output", "json"]);
    assert_eq!(of(&findings(&exposed), "exposure").len(), 1);
}

#[test]
fn doctor_names_a_docker_engine_that_does_not_answer() {
    let directory = tempfile::tempdir().unwrap();
    let ran = doctor(directory.path(), &["--docker-host", "unix:///nonexistent/docker.sock", "--output", "json"]);
    let found = findings(&ran);
    let docker = of(&found, "docker")[0];
    assert!(docker["verdict"] == "warn" && docker["found"].as_str().unwrap().contains("/nonexistent"), "{docker}");
}
