//! `towpath gc` and the watermarks, in a whole installation on each engine.

use crate::faults::node;
use crate::installation::{Installation, get};
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(60);

/// What a collection removes, as `kind name`.
fn removals(installation: &Installation, args: &[&str]) -> Vec<String> {
    let collection = installation.json(&[&["gc"], args].concat());
    let removals = collection["removals"].as_array().unwrap().iter();
    removals.map(|r| format!("{} {}", r["kind"].as_str().unwrap(), r["name"].as_str().unwrap())).collect()
}

fn of_kind(removals: &[String], kind: &str) -> usize {
    removals.iter().filter(|r| r.starts_with(kind)).count()
}

fn collects(installation: Installation) {
    let mut installation = installation.option("--keep-unused", "0s");
    let (app, other) = (installation.repository("app"), installation.repository("other"));
    node::greet(&app, "one");
    node::greet(&other, "other");
    let one = node::manifest("shop", "");
    let two = one.clone() + &node::service("spare", "").replace("./app", "./other");
    installation.declare(&two);
    installation.up();
    for name in ["shop", "spare"] {
        installation.until_status(name, "RUNNING");
    }
    for version in ["two", "three"] {
        node::greet(&app, version);
        installation.until_answer("shop", version);
        installation.until_status("shop", "RUNNING");
    }
    let nothing = removals(&installation, &["--dry-run"]);
    assert_eq!(
        (of_kind(&nothing, "build"), of_kind(&nothing, "mirror"), of_kind(&nothing, "revision")),
        (0, 0, 0),
        "{nothing:?}"
    );

    installation.declare(&one);
    installation.until("spare is gone", WAIT, |i| i.service("spare").is_null());
    installation.until("its mirror can go", WAIT, |i| of_kind(&removals(i, &["--dry-run"]), "mirror") == 1);
    let text = installation.ok(&["gc", "--dry-run"]);
    assert!(text.contains("no service has this repository") && text.contains("Would remove"), "{text}");
    assert_eq!(of_kind(&removals(&installation, &[]), "mirror"), 1, "it removes what it showed");
    assert_eq!(of_kind(&removals(&installation, &["--dry-run"]), "mirror"), 0);
    // What a rollback needs is still there.
    installation.ok(&["rollback", "shop", "1", "--wait"]);
    assert_eq!(get(installation.http, "shop").unwrap().body.trim(), "one");

    // Fewer revisions, and a disk that is too full for builds.
    installation.signal(rustix::process::Signal::TERM);
    assert!(installation.ended(WAIT).success());
    for (name, value) in [("KEEP_REVISIONS", "1"), ("DISK_HIGH", "1%"), ("DISK_CRITICAL", "1%")] {
        installation.set(&format!("TOWPATH_{name}"), value);
    }
    installation.up();
    installation.until("revisions beyond one go by themselves", WAIT, |i| {
        of_kind(&removals(i, &["--dry-run"]), "revision") == 0 && of_kind(&removals(i, &["--dry-run"]), "build") == 0
    });
    installation
        .until("it is said that room was made", WAIT, |i| i.ok(&["events"]).contains("above its high watermark"));
    node::greet(&app, "four");
    let refused = |i: &Installation| i.ok(&["operations", "shop"]).contains("nothing is built");
    installation.until("the build is refused", WAIT, refused);
    assert_eq!(get(installation.http, "shop").unwrap().body.trim(), "one", "what serves goes on");
}

#[test]
fn a_collection_shows_and_removes_what_nothing_needs_on_the_process_engine() {
    collects(Installation::new());
}
