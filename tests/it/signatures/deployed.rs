//! What becomes of commits on an installation: signed ones are deployed, others are not, and it is said why.

use super::signer::{Gpg, SshSigner, commit_signed};
use crate::faults::node;
use crate::installation::{Installation, get};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);

/// A manifest of one service that trusts keys.
fn manifest(keys: &str, verify: &str) -> String {
    format!(
        "keys:\n  release-team:\n{keys}services:\n  shop:\n    source: {{ repository: ./app, verify: {verify} }}\n    \
         build: {{ runtime: nodejs20, start: node server.js }}\n"
    )
}

fn server(greeting: &str) -> String {
    // The application itself is `node::greet`'s; its text is taken from a commit of it.
    format!("const GREETING = {greeting:?};\n{}", node::SERVER)
}

#[test]
fn an_unsigned_commit_is_not_deployed_and_the_next_signed_one_is() {
    let mut installation = Installation::new();
    let app = installation.repository("app");
    let (ours, theirs) = (SshSigner::new("ed25519", "256"), SshSigner::new("ed25519", "256"));
    let first = commit_signed(&app, &ours.flags(), "server.js", &server("one"));
    installation.declare(&manifest(&format!("    - {}\n", ours.public()), "{ signedBy: [release-team] }"));
    installation.up();
    installation.until_status("shop", "RUNNING");
    let i = &installation;
    assert_eq!(i.service("shop")["version"], first.as_str());
    let by = i.service("shop")["signed_by"].to_string();
    assert!(by.contains("release-team: ssh key SHA256:") && by.contains("dev@example.com"), "{by}");

    let unsigned = node::greet(&app, "two");
    i.until("it is said why", SOON, |i| {
        i.ok(&["status"]).contains(&format!("commit {} is not deployed", &unsigned[..7]))
    });
    let status = i.ok(&["status"]);
    assert!(status.contains("it is not signed") && status.contains("`release-team`"), "{status}");
    assert!(i.ok(&["plan"]).contains("it is not signed"), "{}", i.ok(&["plan"]));
    let foreign = commit_signed(&app, &theirs.flags(), "server.js", &server("three"));
    i.until("the stranger is named", SOON, |i| i.ok(&["status"]).contains(&theirs.fingerprint()));
    assert!(i.ok(&["events"]).contains(&format!("Commit {} is not deployed", &foreign[..7])), "{}", i.ok(&["events"]));
    assert_eq!(get(i.http, "shop").unwrap().body.trim(), "one");
    // Nobody gets round it: whoever asks for it is told the same, and the old goes on.
    let asked = i.run(&["deploy", "shop", "--wait"]);
    let told = format!("{}{}", String::from_utf8_lossy(&asked.stdout), String::from_utf8_lossy(&asked.stderr));
    assert!(!asked.status.success() && told.contains("whose key is not among `release-team`"), "{told}");
    assert_eq!(get(i.http, "shop").unwrap().body.trim(), "one");

    let good = commit_signed(&app, &ours.flags(), "server.js", &server("four"));
    i.until_answer("shop", "four");
    assert_eq!(i.service("shop")["version"], good.as_str());
    assert!(!i.ok(&["status"]).contains("is not deployed"), "{}", i.ok(&["status"]));
}

#[test]
fn a_service_whose_first_commit_is_unsigned_is_not_created() {
    let mut installation = Installation::new();
    let (app, gpg) = (installation.repository("app"), Gpg::new());
    let key = gpg.key("Jane <jane@example.com>", "ed25519", "never");
    node::greet(&app, "one");
    std::fs::write(installation.manifest().with_file_name("jane.asc"), gpg.export(&key)).unwrap();
    installation.declare(&manifest("    file: jane.asc\n", "{ signedBy: release-team }"));
    installation.up();
    installation.until("it is said why", SOON, |i| i.ok(&["status"]).contains("it is not signed"));
    assert_eq!(installation.service("shop")["status"], "NOT_CREATED");
    commit_signed(&app, &gpg.flags(&key), "server.js", &server("two"));
    installation.until_answer("shop", "two");
    assert!(installation.service("shop")["signed_by"].to_string().contains("Jane <jane@example.com>"));
}

#[test]
fn an_unsigned_commit_of_the_manifest_changes_nothing_not_even_after_a_restart() {
    let mut installation = Installation::new();
    let (infra, app) = (installation.repository("infra"), installation.repository("app"));
    let ours = SshSigner::new("ed25519", "256");
    node::greet(&app, "hello");
    let shop = format!("services:\n{}", node::service("shop", "").replace("./app", &app.path().to_string_lossy()));
    let signed = commit_signed(&infra, &ours.flags(), "towpath.yaml", &shop);
    let keys = installation.path().join("allowed_signers");
    std::fs::write(&keys, format!("dev@example.com {}\n", ours.public())).unwrap();
    let (url, keys) = (infra.path().to_string_lossy().into_owned(), keys.to_string_lossy().into_owned());
    installation.pulls(&["--repo", &url, "--branch", "main", "--signed-by", &keys]);
    installation.up();
    installation.until_status("shop", "RUNNING");
    let in_force = |i: &Installation| i.service("shop")["manifest"]["commit"].as_str().unwrap_or_default().to_owned();
    assert_eq!(in_force(&installation), signed);
    let status = installation.ok(&["status"]);
    assert!(status.contains(&format!("signed by {keys}: ssh key SHA256:")), "{status}");
    installation.until("it is remembered", SOON, |i| i.service("shop")["manifest"]["converged_at"].is_number());

    let two = format!("{shop}{}", node::service("orders", "").replace("./app", &app.path().to_string_lossy()));
    let unsigned = infra.commit("towpath.yaml", &two);
    let said = format!("commit {}: it is not signed", &unsigned[..7]);
    installation.until("it is said why", SOON, |i| i.ok(&["status"]).contains(&said));
    installation.kill();
    installation.up();
    installation.until("it is said again", SOON, |i| i.ok(&["status"]).contains(&said));
    installation.until("what was in force is", SOON, |i| in_force(i) == signed);
    assert_eq!(installation.json(&["status"]).as_array().map(Vec::len), Some(1), "{}", installation.ok(&["status"]));

    let good = commit_signed(&infra, &ours.flags(), "towpath.yaml", &two);
    installation.until_status("orders", "RUNNING");
    assert_eq!(in_force(&installation), good);
    assert!(!installation.ok(&["status"]).contains("cannot be followed"));
}
