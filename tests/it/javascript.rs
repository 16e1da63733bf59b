//! AWS' SDK for JavaScript against the real server: `tests/support/app_runner.mjs`, with the packages of its registry.

use crate::conformance::Git;
use crate::installation::Installation;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The SDK, installed once per checkout below `target/`; `None` where its registry cannot be reached.
fn packages() -> Option<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/javascript");
    let done = directory.join("complete");
    if done.exists() {
        return Some(directory);
    }
    std::fs::create_dir_all(&directory).unwrap();
    let mut npm = Command::new("npm");
    npm.args(["install", "--silent", "--no-audit", "--no-fund", "--no-package-lock", "--prefix"]).arg(&directory);
    let installed = npm.args(["@aws-sdk/client-apprunner@3", "@aws-sdk/client-sts@3"]).status();
    if !installed.is_ok_and(|status| status.success()) {
        assert!(std::env::var_os("CI").is_none(), "the JavaScript SDK could not be installed");
        eprintln!("SKIPPED: the JavaScript SDK could not be installed");
        return None;
    }
    std::fs::write(done, "").unwrap();
    Some(directory)
}

#[test]
fn the_javascript_sdk_makes_changes_lists_and_deletes_a_service() {
    let Some(packages) = packages() else { return };
    let mut installation = Installation::new();
    installation.declare("services: {}\n");
    installation.repository("app").greet("one");
    installation.up();
    let git = Git::serve(installation.path());
    // Modules are looked for beside the script.
    let script = packages.join("app_runner.mjs");
    std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/app_runner.mjs"), &script).unwrap();
    let ran = Command::new("node")
        .arg(script)
        .arg(format!("http://127.0.0.1:{}", installation.api))
        .arg(git.url("app"))
        .env("AWS_SHARED_CREDENTIALS_FILE", installation.data().join("admin.credentials"))
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_REGION", "local-1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}\n{}", installation.log());
}
