//! The `towpath` command from afar: the real binary, signing with AWS credential files, over plain and over TLS.

use super::Server;
use crate::cli::{Ran, door, memory::Memory};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use towpath::api::{serve_api, tls};

/// Runs the binary with an environment of its own.
async fn towpath(variables: &[(&str, &str)], arguments: &[&str]) -> Ran {
    let here = tempfile::tempdir().unwrap();
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_towpath"));
    command.args(arguments).current_dir(here.path()).env_clear().env("HOME", here.path()).stdin(Stdio::null());
    command.envs(variables.iter().copied());
    let ran =
        tokio::time::timeout(Duration::from_secs(30), command.kill_on_drop(true).output()).await.unwrap().unwrap();
    Ran {
        code: ran.status.code().unwrap(),
        out: String::from_utf8(ran.stdout).unwrap(),
        err: String::from_utf8(ran.stderr).unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_signs_with_the_key_of_a_profile_and_may_what_its_user_may() {
    let server = Server::start().await;
    let url = format!("http://{}", server.address);
    let admin = server.credentials_file().display().to_string();
    let file = [("AWS_SHARED_CREDENTIALS_FILE", admin.as_str())];
    let status = towpath(&file, &["--server", &url, "status"]).await;
    assert!(status.code == 0 && status.out.contains("shop"), "{}{}", status.out, status.err);
    let made = towpath(&file, &["--server", &url, "users", "create", "ci", "--policy", "TowpathReadOnlyAccess"]).await;
    assert_eq!((made.code, made.err.as_str()), (0, ""));
    let out = server.data.path().join("ci.credentials").display().to_string();
    assert_eq!(towpath(&file, &["--server", &url, "keys", "create", "ci", "--out", &out]).await.code, 0);
    let ci = [("AWS_SHARED_CREDENTIALS_FILE", out.as_str()), ("TOWPATH_SERVER", url.as_str())];
    assert_eq!(towpath(&ci, &["--profile", "ci", "status"]).await.code, 0);
    let refused = towpath(&ci, &["--profile", "ci", "pause", "shop"]).await;
    assert_eq!(refused.code, 1);
    assert!(
        refused.err.contains("user/ci is not authorized to perform: apprunner:PauseService on resource"),
        "{}",
        refused.err
    );
    let audit = towpath(&file, &["--server", &url, "audit", "--user", "ci", "--failed"]).await;
    assert!(audit.out.contains("PauseService") && audit.out.contains("AccessDenied"), "{}{}", audit.out, audit.err);
    let verified = towpath(&file, &["--server", &url, "audit", "verify"]).await;
    assert!(verified.code == 0 && verified.out.contains("is whole"), "{}{}", verified.out, verified.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_go_from_afar_says_why() {
    let server = Server::start().await;
    let url = format!("http://{}", server.address);
    let admin = server.credentials_file().display().to_string();
    let file = [("AWS_SHARED_CREDENTIALS_FILE", admin.as_str())];
    for (arguments, words) in [
        (vec!["--server", "nowhere", "status"], "is no server"),
        (vec!["--server", "ftp://x", "status"], "is no server"),
        (vec!["--server", &url, "down"], "the server's own machine"),
        (vec!["--server", &url, "--profile", "none", "status"], "no access key in the AWS profile `none`"),
        (vec!["--server", "http://127.0.0.1:1", "status"], "failed to reach `http://127.0.0.1:1`"),
    ] {
        let ran = towpath(&file, &arguments).await;
        assert!(ran.code == 1 && ran.err.contains(words), "{arguments:?}: {}", ran.err);
    }
    let without_server = towpath(&file, &["--profile", "x", "status"]).await;
    assert_eq!(without_server.code, 64, "{}", without_server.err);
}

/// A certificate for `localhost` of its own making, and its key.
fn certificate(directory: &Path) -> (std::path::PathBuf, std::path::PathBuf) {
    let (certificate, key) = (directory.join("cert.pem"), directory.join("key.pem"));
    let ran = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    (certificate, key)
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_a_trusted_certificate_is_needed_and_old_versions_are_refused() {
    let data = tempfile::tempdir().unwrap();
    let (certificate, key) = certificate(data.path());
    let door = door(data.path(), Arc::new(Memory::new())).await;
    let credentials = data.path().join("admin.credentials");
    door.access.ensure_administrator(&credentials, towpath::model::Timestamp::now()).await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let stop = CancellationToken::new();
    let acceptor = tls::acceptor(&certificate, &key).unwrap();
    let serving = tokio::spawn(serve_api(listener, door, None, Some(acceptor), stop.clone()));
    let (url, file) = (format!("https://localhost:{port}"), credentials.display().to_string());
    let trusted = certificate.display().to_string();
    let variables = [("AWS_SHARED_CREDENTIALS_FILE", file.as_str()), ("SSL_CERT_FILE", trusted.as_str())];
    let status = towpath(&variables, &["--server", &url, "status"]).await;
    assert!(status.code == 0 && status.out.contains("shop"), "{}{}", status.out, status.err);
    let distrusted = towpath(&variables[..1], &["--server", &url, "status"]).await;
    assert!(distrusted.code == 1 && distrusted.err.contains("certificate verify failed"), "{}", distrusted.err);
    let shake = move |version: &'static str| {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-connect", &format!("localhost:{port}"), version]).stdin(Stdio::null());
        command.output().unwrap().status.success()
    };
    let shaken = tokio::task::spawn_blocking(move || ["-tls1_3", "-tls1_2", "-tls1_1"].map(shake)).await.unwrap();
    assert_eq!(shaken, [true, true, false]);
    assert!(tls::acceptor(&key, &key).is_err() && tls::acceptor(&certificate, &certificate).is_err());
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(10), serving).await.unwrap().unwrap();
}
