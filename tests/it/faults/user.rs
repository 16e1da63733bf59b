//! `towpath up` as a user without privileges.

use super::node;
use super::site::{no_orphans, plan_is_empty};
use crate::installation::{Installation, get};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const NOBODY: &str = "65534";

fn give(path: &Path, user: &str) {
    assert!(Command::new("chown").args(["-R", user]).arg(path).status().unwrap().success());
}

#[test]
fn a_user_without_privileges_deploys_with_the_process_engine() {
    if !rustix::process::geteuid().is_root() {
        // Then all other tests ran as such a user.
        return;
    }
    let mut installation = Installation::new();
    let app = installation.repository("app");
    node::greet(&app, "good");
    installation.declare(&node::manifest("shop", ""));
    give(installation.path(), NOBODY);
    let user = format!("--reuid={NOBODY}");
    installation.through(&["setpriv", &user, "--regid=65534", "--clear-groups", "--no-new-privs"]);
    installation.up();
    installation.until_status("shop", "RUNNING");
    assert_eq!(get(installation.http, "shop").unwrap().body.trim(), "good");
    for (pid, command) in installation.processes() {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let user = status.lines().find(|l| l.starts_with("Uid:")).unwrap_or_default().to_owned();
        assert!(user.split_whitespace().skip(1).all(|id| id == NOBODY), "{command}: {user}");
    }
    give(app.path(), "0");
    node::greet(&app, "better");
    give(app.path(), NOBODY);
    installation.until_answer("shop", "better");
    installation.until("all is as declared", Duration::from_secs(30), |i| plan_is_empty(i) && no_orphans(i));
    let mut down = Command::new("setpriv");
    down.args([&user, "--regid=65534", "--clear-groups", env!("CARGO_BIN_EXE_towpath"), "down", "--data-dir"]);
    assert!(down.arg(installation.data()).status().unwrap().success());
    assert!(installation.ended(Duration::from_secs(30)).success());
}
