//! GitHub's own examples of webhooks (npm `@octokit/webhooks-examples`, fetched, never copied in), each signed and sent to the
//! real endpoint: what each selects, and that none of them hurts.

use crate::installation::Installation;
use crate::webhooks::{SECRET, github, post};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const PACKAGE: &str = "@octokit/webhooks-examples@7.6.1";
/// The repository that most of the examples are about.
const FOLLOWED: &str = "https://github.com/Codertocat/Hello-World";
/// Events that say that there may be something new.
const SELECTING: &[&str] = &["push", "create", "delete", "check_run", "check_suite", "workflow_run", "status"];

/// The examples by event, fetched once per checkout; `None` where npm's registry cannot be reached.
fn examples() -> Option<BTreeMap<String, Vec<Value>>> {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/webhooks-examples");
    let index = kept.join("package/api.github.com/index.json");
    if !index.exists() {
        std::fs::create_dir_all(&kept).unwrap();
        let packed = Command::new("npm").args(["pack", "--silent", PACKAGE]).current_dir(&kept).output().unwrap();
        if !packed.status.success() {
            assert!(std::env::var_os("CI").is_none(), "{PACKAGE}: {}", String::from_utf8_lossy(&packed.stderr));
            eprintln!("SKIPPED: {PACKAGE} could not be fetched");
            return None;
        }
        let archive: PathBuf = kept.join(String::from_utf8_lossy(&packed.stdout).trim());
        let unpacked = Command::new("tar").arg("-xzf").arg(archive).current_dir(&kept).status().unwrap();
        assert!(unpacked.success());
    }
    let all: Vec<Value> = serde_json::from_slice(&std::fs::read(index).unwrap()).unwrap();
    let named = all.into_iter().map(|event| {
        let examples = event["examples"].as_array().unwrap().clone();
        (event["name"].as_str().unwrap().to_owned(), examples)
    });
    Some(named.collect())
}

/// A server that follows the examples' repository. It cannot be reached; that it is asked is what a webhook brings about.
fn follower() -> Installation {
    let installation = Installation::new();
    let secret = installation.path().join("secret");
    std::fs::write(&secret, SECRET).unwrap();
    let file = secret.to_string_lossy().into_owned();
    let mut installation = installation.option("--github-webhook-secret-file", &file).polling("1h");
    installation.declare(&format!(
        "services:\n  hello:\n    source: {{ repository: {FOLLOWED} }}\n    build: apprunner.yaml\n"
    ));
    installation.up();
    // The control socket answers before the manifest is in force.
    let told = |i: &Installation| !i.service("hello")["waiting"].is_null();
    installation.until("the repository is followed", Duration::from_secs(30), told);
    installation
}

#[test]
fn every_example_of_github_is_taken_and_selects_what_it_is_about() {
    let Some(examples) = examples() else { return };
    let installation = follower();
    let (mut sent, mut selected) = (0, 0);
    for (event, bodies) in &examples {
        for (number, body) in bodies.iter().enumerate() {
            let bytes = serde_json::to_vec(body).unwrap();
            let headers = github(event, &format!("{event}-{number}"), &bytes);
            let (status, message) = post(installation.api, "/webhooks/github", &headers, &bytes);
            assert_eq!(status, 202, "{event} {number}: {message}");
            sent += 1;
            let is_followed = body["repository"]["clone_url"] == format!("{FOLLOWED}.git");
            let expected = match (SELECTING.contains(&event.as_str()), is_followed) {
                (true, true) => "it is looked at now",
                (true, false) => "nothing follows this repository",
                // Whether pull requests and releases are of interest depends on what is declared.
                _ if matches!(event.as_str(), "pull_request" | "release") => continue,
                _ => "nothing is to be done for this event",
            };
            assert_eq!(message, expected, "{event} {number}: {}", body["repository"]["clone_url"]);
            selected += usize::from(expected == "it is looked at now");
        }
    }
    let of = |event: &str| examples.get(event).map_or(0, Vec::len);
    assert!(SELECTING.iter().chain(&["ping", "pull_request"]).all(|event| of(event) > 0));
    assert!(examples.len() > 50 && sent > 250 && selected >= 15, "{} events, {sent} sent, {selected}", examples.len());
    // As a form, too, which is GitHub's default.
    for (number, body) in examples["push"].iter().enumerate() {
        let escape = |byte: u8| match byte {
            b if b.is_ascii_alphanumeric() => char::from(b).to_string(),
            b => format!("%{b:02X}"),
        };
        let form: String = serde_json::to_vec(body).unwrap().into_iter().map(escape).collect();
        let form = format!("payload={form}").into_bytes();
        let headers = github("push", &format!("form-{number}"), &form);
        let headers = headers.replace("application/json", "application/x-www-form-urlencoded");
        assert_eq!(post(installation.api, "/webhooks/github", &headers, &form).0, 202, "push {number} as a form");
    }
    // What was taken is not taken again.
    let body = serde_json::to_vec(&examples["push"][0]).unwrap();
    let again = post(installation.api, "/webhooks/github", &github("push", "push-0", &body), &body);
    assert_eq!(again, (202, "this delivery was taken before".into()));
}
