//! Webhooks against the real binary: real payload shapes, signed as git hosts sign, and git read again for each.

use crate::faults::node;
use crate::installation::{Installation, Repository};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

pub const SECRET: &str = "a secret of some length";

fn signature(body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(body);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Posts a body; the status and the message.
pub fn post(port: u16, path: &str, headers: &str, body: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // A server that refuses a body early may close before all of it is sent.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.get(9..12).and_then(|s| s.parse().ok()).unwrap_or_else(|| panic!("{answer:?}"));
    let json: Value = answer.split("\r\n\r\n").nth(1).and_then(|b| serde_json::from_str(b).ok()).unwrap_or_default();
    (status, json["message"].as_str().unwrap_or_default().to_owned())
}

pub fn github(event: &str, delivery: &str, body: &[u8]) -> String {
    format!(
        "Content-Type: application/json\r\nX-GitHub-Event: {event}\r\nX-GitHub-Delivery: {delivery}\r\n\
         X-Hub-Signature-256: sha256={}\r\n",
        signature(body)
    )
}

/// A push as GitHub tells of it, cut to what identifies the repository, by its path here.
fn push(app: &Repository) -> Vec<u8> {
    let url = app.path().to_string_lossy();
    json!({
        "ref": "refs/heads/main", "before": "0".repeat(40), "after": "1".repeat(40), "forced": false,
        "repository": { "id": 1, "full_name": "acme/app", "private": true, "clone_url": url, "default_branch": "main" },
        "pusher": { "name": "dev" }, "commits": [],
    })
    .to_string()
    .into_bytes()
}

/// An installation that asks its sources once an hour, so that only a webhook can tell it of a commit.
fn deaf() -> (Installation, Repository) {
    let installation = Installation::new();
    let secret = installation.path().join("secret");
    std::fs::write(&secret, format!("{SECRET}\n")).unwrap();
    let file = secret.to_string_lossy().into_owned();
    let mut installation = installation
        .option("--github-webhook-secret-file", &file)
        .option("--gitlab-webhook-secret-file", &file)
        .polling("1h");
    let app = installation.repository("app");
    node::greet(&app, "one");
    installation.declare(&node::manifest("shop", ""));
    installation.up();
    installation.until_status("shop", "RUNNING");
    (installation, app)
}

fn operations(i: &Installation) -> usize {
    i.json(&["operations", "shop"]).as_array().map_or(0, Vec::len)
}

#[test]
fn a_signed_push_is_deployed_at_once_and_once() {
    let (mut i, app) = deaf();
    node::greet(&app, "two");
    let body = push(&app);
    let headers = github("push", "72d3162e-cc78-11e3-81ab-4c9367dc0958", &body);
    assert_eq!(post(i.api, "/webhooks/github", &headers, &body).0, 202);
    i.until_answer("shop", "two");
    // Sent again, also after a restart: harmless, and said.
    assert_eq!(post(i.api, "/webhooks/github", &headers, &body), (202, "this delivery was taken before".into()));
    std::thread::sleep(Duration::from_secs(1));
    i.kill();
    i.up();
    assert_eq!(post(i.api, "/webhooks/github", &headers, &body), (202, "this delivery was taken before".into()));
    assert_eq!(operations(&i), 2);
    // GitLab's way, of the same repository.
    node::greet(&app, "three");
    let body = json!({ "project": { "git_http_url": app.path().to_string_lossy() } }).to_string().into_bytes();
    let headers =
        format!("Content-Type: application/json\r\nX-Gitlab-Event: Push Hook\r\nX-Gitlab-Token: {SECRET}\r\n");
    assert_eq!(post(i.api, "/webhooks/gitlab", &headers, &body).0, 202);
    i.until_answer("shop", "three");
}

#[test]
fn what_is_forged_broken_or_not_for_us_changes_nothing_and_is_told_apart() {
    let (i, app) = deaf();
    node::greet(&app, "never deployed by these");
    let body = push(&app);
    let signed = |event: &str, body: &[u8]| github(event, "", body).replace("X-GitHub-Delivery: \r\n", "");
    let to = |path: &str, headers: &str, body: &[u8]| post(i.api, path, headers, body).0;
    let json = "Content-Type: application/json\r\nX-GitHub-Event: push\r\n";
    assert_eq!(to("/webhooks/github", json, &body), 401);
    let forged = format!("{json}X-Hub-Signature-256: sha256={}\r\n", "0".repeat(64));
    assert_eq!(to("/webhooks/github", &forged, &body), 401);
    let altered = signed("push", &body);
    assert_eq!(to("/webhooks/github", &altered, &[&body[..], b" "].concat()), 401);
    assert_eq!(to("/webhooks/gitea", json, &body), 404);
    assert_eq!(to("/webhooks/nobody", json, &body), 404);
    for broken in [&b"{"[..], b"[]", b"{}", br#"{"repository":{"clone_url":"--upload-pack=x"}}"#, b"\xff"] {
        assert_eq!(to("/webhooks/github", &signed("push", broken), broken), 400, "{broken:?}");
    }
    let text = signed("push", &body).replace("application/json", "text/plain");
    assert_eq!(to("/webhooks/github", &text, &body), 400);
    let huge = vec![b' '; (25 << 20) + 1];
    assert_eq!(to("/webhooks/github", json, &huge), 413);
    // Signed, and not about a version of anything here.
    for (event, body) in [("ping", b"{\"zen\":\"x\"}".to_vec()), ("issues", body.clone())] {
        assert_eq!(to("/webhooks/github", &signed(event, &body), &body), 202, "{event}");
    }
    let other = json!({ "repository": { "clone_url": "https://git.example.com/acme/other" } }).to_string().into_bytes();
    let told = post(i.api, "/webhooks/github", &signed("push", &other), &other);
    assert_eq!(told, (202, "nothing follows this repository".into()));
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(operations(&i), 1, "{}", i.log());
}

#[test]
fn ten_thousand_deliveries_half_of_them_forged_bring_one_deployment_and_bounded_memory() {
    let (i, app) = deaf();
    node::greet(&app, "after the burst");
    let body = push(&app);
    let forged = github("push", "forged", b"another body");
    let memory = || -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", i.server_pid())).unwrap();
        let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let before = memory();
    let begun = Instant::now();
    let counts: Vec<[usize; 2]> = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..4)
            .map(|sender| {
                let (body, forged) = (&body, &forged);
                let api = i.api;
                scope.spawn(move || {
                    let mut counts = [0, 0];
                    for n in 0..1250 {
                        // A tenth is sent again.
                        let id = format!("{sender}-{}", if n % 10 == 9 { n - 1 } else { n });
                        let (status, _) = post(api, "/webhooks/github", &github("push", &id, body), body);
                        counts[0] += usize::from(status == 202);
                        let (status, _) = post(api, "/webhooks/github", forged, body);
                        counts[1] += usize::from(status == 401);
                    }
                    counts
                })
            })
            .collect();
        senders.into_iter().map(|s| s.join().unwrap()).collect()
    });
    let took = begun.elapsed();
    let total = counts.iter().fold([0, 0], |all, one| [all[0] + one[0], all[1] + one[1]]);
    assert_eq!(total, [5000, 5000], "{took:?}");
    i.until_answer("shop", "after the burst");
    i.until("one deployment", Duration::from_secs(30), |i| operations(i) == 2);
    assert!(memory() < before + 32 * 1024, "{} kB before, {} kB after", before, memory());
}
