//! `towpath run` and release commands on Docker: as on the process engine, where they are tried in depth.

use super::lab::DockerInstallation;
use crate::installation::get;
use crate::one_offs::{STEPS, assert_was_a_terminal, at_a_terminal, begin, command, run};
use rustix::process::Signal;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
const HANG: &str = "import time; print('begun', flush=True); time.sleep(600)";

#[test]
fn a_command_runs_beside_the_service_in_its_image_and_leaves_nothing() {
    let Some(mut i) = DockerInstallation::new() else { return };
    i.deploy("shop", "good", "    env: { LEVEL: \"7\" }\n");
    let script = "import os, sys; print(os.environ['LEVEL'], os.path.exists('app.py')); sys.exit(3)";
    assert_eq!(run(&i, &[], &["python3", "-c", script]), (Some(3), "7 True\n".into(), String::new()));
    // As a shell says it: here it is the container's init process that cannot start it.
    let (code, out, err) = run(&i, &[], &["migrrate"]);
    assert!(code == Some(127) && out.contains("migrrate"), "{code:?} {out} {err}");
    assert_eq!(i.containers().len(), 1);

    let client = begin(&i, &[], &["python3", "-c", HANG], "begun");
    assert_eq!(i.containers().len(), 2);
    assert_eq!(i.service("shop")["instances"]["running"], 1, "it is no instance");
    client.signal(Signal::INT);
    assert_eq!(client.end().0, Some(130));
    i.until("its container is gone", LIMIT, |i| i.containers().len() == 1);

    let client = begin(&i, &[], &["python3", "-c", HANG], "begun");
    i.kill();
    i.up();
    i.until("its container is gone", LIMIT, |i| i.containers().len() == 1);
    assert_eq!(client.end().0, Some(125));
    assert_eq!(get(i.http, "shop").unwrap().body.trim(), "good");
    i.stop_for_good();
}

#[test]
fn a_release_command_runs_before_the_new_version_and_keeps_a_bad_one_out() {
    let Some(mut i) = DockerInstallation::running("shop", "one") else { return };
    let with = |release: &str| super::lab::manifest("shop", "", &format!("      release: {release}\n"));
    i.declare(&with("python3 -c \"print(open('app.py').read().count('two'))\""));
    i.repository("app").greet("two");
    i.until_answer("shop", "two");
    i.until_status("shop", "RUNNING");
    let log = i.ok(&["logs", "shop", "--deployment", "latest"]);
    assert!(log.contains("[Release] 1"), "it has the new version's files: {log}");
    i.declare(&with("python3 -c \"raise SystemExit(4)\""));
    i.repository("app").greet("three");
    i.until("it failed", LIMIT, |i| i.json(&["operations", "shop"])[0]["Status"] == "FAILED");
    let message = i.json(&["operations", "shop"])[0]["Message"].as_str().unwrap().to_owned();
    assert!(message.contains("release command") && message.contains("exited with code 4"), "{message}");
    assert_eq!(get(i.http, "shop").unwrap().body.trim(), "two");
    assert_eq!(i.containers().len(), 1);
    i.stop_for_good();
}

#[test]
fn a_command_in_a_container_reads_what_is_piped_to_it_and_has_a_terminal_on_demand() {
    let Some(mut i) = DockerInstallation::new() else { return };
    i.deploy("shop", "good", "");
    let file = i.path().join("input");
    let bytes: Vec<u8> = (0..3_000_001_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    std::fs::write(&file, &bytes).unwrap();
    let count = "import sys, hashlib; d = sys.stdin.buffer.read(); print(len(d), hashlib.sha256(d).hexdigest())";
    let digest: String = openssl::sha::sha256(&bytes).iter().map(|b| format!("{b:02x}")).collect();
    let mut client = command(&i, &[], &["python3", "-c", count]);
    let output = client.stdin(std::fs::File::open(&file).unwrap()).output().unwrap();
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!((output.status.code(), out), (Some(0), format!("{} {digest}\n", bytes.len())));
    let mut client = command(&i, &[], &["python3", "-c", "raise SystemExit(3)"]);
    let output = client.stdin(std::fs::File::open(&file).unwrap()).output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(3), &b""[..]));
    assert_was_a_terminal(&at_a_terminal(&i, &["sh", "-c", "PS1='ready$ ' exec sh -i"], STEPS));
    i.until("its container is gone", LIMIT, |i| i.containers().len() == 1);
    i.stop_for_good();
}
