//! `towpath export`: a running installation written as a manifest that, planned where it was written, changes nothing.

use crate::installation::Installation;
use crate::spine::manifest;
use std::fs;

/// The manifest of two services that serve, one of them with everything that a manifest can say, and one that fails.
fn declared() -> String {
    manifest("shop", "    env: { LEVEL: \"info: #1\", EMPTY: \"\", NUMBER: 3.10 }\n    tags: { team: web }\n")
        + "  bills:\n    source: { repository: ./app, autoDeploy: false }\n    port: 9000\n    instance: { cpu: 0.5 vCPU, memory: 300 MB }\n    \
           build: { runtime: python3, command: [\"true\", \"echo 'a: b' > /dev/null\"], start: python app.py }\n    \
           secrets: { KEY: { file: key }, OTHER: { env: HOME } }\n    health: { protocol: HTTP, path: /, interval: 1s }\n    \
           autoscaling: { minSize: 2, maxSize: 3 }\n    deploy: { drain: 1s, startDeadline: 1m30s }\n  \
           never:\n    source: { repository: ./app }\n    build: { runtime: python3, command: exit 3, start: python app.py }\n"
}

#[test]
fn a_running_installation_is_exported_and_planning_the_export_changes_nothing() {
    let mut installation = Installation::new();
    installation.repository("app").greet("one");
    fs::write(installation.path().join("key"), "hunter2").unwrap();
    installation.declare(&declared());
    installation.up();
    installation.until_status("shop", "RUNNING");
    installation.until_status("bills", "RUNNING");
    installation.until_status("never", "CREATE_FAILED");

    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("towpath.yaml");
    let name = file.to_str().unwrap();
    let told = installation.run(&["export", "-o", name]);
    assert!(told.status.success(), "{told:?}");
    assert!(String::from_utf8_lossy(&told.stderr).starts_with("3 services written to "), "{told:?}");
    let text = fs::read_to_string(&file).unwrap();
    assert!(!text.contains("hunter2") && text.contains("/key\n"), "{text}");
    assert!(text.contains("  # never came to serve: this is what is declared\n  never:\n"), "{text}");
    assert_eq!(installation.ok(&["export"]), text, "the same state gives the same text");
    assert!(installation.ok(&["validate", name]).contains("no problems"), "{text}");
    let plan = installation.run(&["plan", "-f", name, "--detailed-exitcode"]);
    assert_eq!(plan.status.code(), Some(0), "{}\n{text}", String::from_utf8_lossy(&plan.stdout));

    let again = installation.run(&["export", "-o", name]);
    assert!(again.status.code() == Some(1) && String::from_utf8_lossy(&again.stderr).contains("--force"), "{again:?}");
    installation.ok(&["export", "shop", "-o", name, "--force"]);
    let one = fs::read_to_string(&file).unwrap();
    assert!(one.contains("  shop:\n") && !one.contains("bills"), "{one}");
    let unknown = installation.run(&["export", "shp"]);
    let unknown = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert_eq!(unknown, "error: there is no service `shp`; there are: bills, never, shop\n");

    installation.ok(&["pause", "shop", "--wait"]);
    let paused = installation.ok(&["export"]);
    assert!(paused.contains("\n  # paused: `towpath resume shop` brings it back\n  shop:\n"), "{paused}");
    // Applied for real: the export takes the manifest's place, and nothing begins.
    let before = installation.json(&["operations", "bills"]).as_array().unwrap().len();
    installation.declare(&paused);
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(installation.json(&["operations", "bills"]).as_array().unwrap().len(), before, "{}", installation.log());
}

#[test]
fn encrypted_secrets_are_exported_as_they_stand_in_git() {
    let mut installation = Installation::new();
    installation.repository("app").greet("one");
    let data = installation.data();
    let sealed = encrypt(&data, "hunter2");
    fs::write(installation.path().join("db.age"), sealed).unwrap();
    let text = manifest("shop", "    secrets: { URL: { secret: shop-db } }\n");
    installation.declare(&format!("secrets: {{ shop-db: {{ file: db.age }} }}\n{text}"));
    installation.up();
    installation.until_status("shop", "RUNNING");
    let exported = installation.ok(&["export"]);
    assert!(exported.contains("secrets:\n  shop-db: |\n    -----BEGIN AGE ENCRYPTED FILE-----\n"), "{exported}");
    assert!(!exported.contains("hunter2"));
    let file = installation.path().join("exported.yaml");
    fs::write(&file, &exported).unwrap();
    let plan = installation.run(&["plan", "-f", file.to_str().unwrap(), "--detailed-exitcode"]);
    assert_eq!(plan.status.code(), Some(0), "{}", String::from_utf8_lossy(&plan.stdout));
}

fn encrypt(data: &std::path::Path, value: &str) -> Vec<u8> {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let mut command = Command::new(env!("CARGO_BIN_EXE_towpath"));
    command.args(["secrets", "encrypt", "--data-dir"]).arg(data).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(value.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    output.stdout
}
