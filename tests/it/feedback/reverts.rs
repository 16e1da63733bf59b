//! `rollback --revert-pr`: GitHub makes the commit that was computed here.

use super::Shop;
use super::hub::Hub;
use crate::faults::node;
use crate::github_stand_in::Answer;
use serde_json::{Value, json};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// git in a repository, with something to read; its output.
fn git(at: &PathBuf, arguments: &[&str], input: &[u8]) -> String {
    let mut child = Command::new("git")
        .arg("-C")
        .arg(at)
        .args(["-c", "user.name=GitHub", "-c", "user.email=noreply@github.com"])
        .args(arguments)
        .env("GIT_INDEX_FILE", at.join(".git/hub-index"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "git {arguments:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// GitHub's Git data API on a real repository, by git.
fn serve_objects(shop: &Shop) {
    let at = shop.app.path().to_owned();
    let route = |method, pattern: &str, answer: fn(&PathBuf, &Value, &str) -> Answer| {
        let at = at.clone();
        shop.hub.github.route(method, pattern, move |asked| answer(&at, &asked.body, &asked.query));
    };
    route("POST", "/repos/acme/shop/git/blobs", |at, body, _| {
        assert_eq!(body["encoding"], "base64");
        use base64::Engine;
        let bytes = base64::engine::general_purpose::STANDARD.decode(body["content"].as_str().unwrap()).unwrap();
        Answer::new(201, json!({ "sha": git(at, &["hash-object", "-w", "--stdin"], &bytes) }))
    });
    route("POST", "/repos/acme/shop/git/trees", |at, body, _| {
        git(at, &["read-tree", body["base_tree"].as_str().unwrap()], b"");
        for entry in body["tree"].as_array().unwrap() {
            let path = entry["path"].as_str().unwrap();
            match entry["sha"].as_str() {
                Some(sha) => {
                    let info = format!("{},{sha},{path}", entry["mode"].as_str().unwrap());
                    git(at, &["update-index", "--add", "--cacheinfo", &info], b"");
                }
                None => drop(git(at, &["update-index", "--force-remove", "--", path], b"")),
            }
        }
        Answer::new(201, json!({ "sha": git(at, &["write-tree"], b"") }))
    });
    route("POST", "/repos/acme/shop/git/commits", |at, body, _| {
        let (tree, parent) = (body["tree"].as_str().unwrap(), body["parents"][0].as_str().unwrap());
        let message = body["message"].as_str().unwrap();
        Answer::new(201, json!({ "sha": git(at, &["commit-tree", tree, "-p", parent], message.as_bytes()) }))
    });
    route("POST", "/repos/acme/shop/git/refs", |at, body, _| {
        let (name, sha) = (body["ref"].as_str().unwrap(), body["sha"].as_str().unwrap());
        assert!(name.starts_with("refs/heads/towpath/revert-shop-"), "{name}");
        git(at, &["update-ref", name, sha], b"");
        Answer::new(201, json!({ "ref": name }))
    });
}

/// Pull requests that are opened; every one that was.
fn serve_pulls(shop: &Shop) -> std::sync::Arc<std::sync::Mutex<Vec<Value>>> {
    let opened: std::sync::Arc<std::sync::Mutex<Vec<Value>>> = std::sync::Arc::default();
    let (listed, made) = (opened.clone(), opened.clone());
    shop.hub.github.route("GET", "/repos/acme/shop/pulls", move |asked| {
        assert!(asked.query.contains("state=all&head=acme:towpath/revert-shop-"), "{}", asked.query);
        Answer::new(200, listed.lock().unwrap().clone().into())
    });
    shop.hub.github.route("POST", "/repos/acme/shop/pulls", move |asked| {
        let mut pull = asked.body.clone();
        pull["html_url"] = "https://github.example/acme/shop/pull/5".into();
        made.lock().unwrap().push(pull.clone());
        Answer::new(201, pull)
    });
    opened
}

#[test]
fn a_rollback_opens_one_pull_request_that_reverts_what_it_left() {
    let mut shop = Shop::at(Hub::new());
    serve_objects(&shop);
    let opened = serve_pulls(&shop);
    shop.app.commit("kept.txt", "a\nb\nc\n");
    let good = node::greet(&shop.app, "one");
    shop.declare(", report: false", "");
    shop.installation.up();
    shop.installation.until_answer("shop", "one");
    // Two commits at once.
    shop.app.git(&["checkout", "-q", "-b", "work"]);
    shop.app.commit("added.txt", "new");
    let bad = node::greet(&shop.app, "two");
    shop.app.git(&["checkout", "-q", "main"]);
    shop.app.git(&["merge", "-q", "--ff-only", "work"]);
    shop.installation.until_answer("shop", "two");
    shop.installation.until_status("shop", "RUNNING");
    let said = shop.installation.ok(&["rollback", "shop", "--revert-pr", "--wait"]);
    assert!(said.contains("Pull request https://github.example/acme/shop/pull/5"), "{said}");
    shop.installation.until_answer("shop", "one");
    let pull = opened.lock().unwrap().first().cloned().unwrap();
    assert_eq!(pull["base"], "main");
    assert_eq!(pull["title"], format!("Revert 2 commits up to {}", &bad[..7]).as_str());
    let branch = pull["head"].as_str().unwrap();
    // The branch has what was good, and nothing of what was not.
    assert_eq!(shop.app.git(&["diff", "--stat", &good, branch]), "");
    assert_eq!(shop.app.git(&["rev-parse", &format!("{branch}^")]).trim(), bad);
    // The bad commit stays skipped until a newer one comes.
    let waiting = shop.installation.service("shop")["waiting"].to_string();
    assert!(waiting.contains(&bad[..7]) && waiting.contains("rolled back"), "{waiting}");
    // Merged: the branch has a newer commit, which is deployed.
    shop.app.git(&["merge", "-q", "--no-ff", "-m", "Merge the revert", branch]);
    let merge = shop.app.git(&["rev-parse", "HEAD"]).trim().to_owned();
    shop.installation.until("the merge runs", super::SOON, |i| {
        i.service("shop")["commit"]["id"].to_string().contains(&merge[..7]) || i.ok(&["status"]).contains(&merge[..7])
    });
    assert_eq!(opened.lock().unwrap().len(), 1);
}

#[test]
fn without_a_connection_the_rollback_goes_on_and_the_rest_is_refused_in_words() {
    let mut installation = crate::installation::Installation::new();
    let app = installation.repository("app");
    node::greet(&app, "one");
    installation.declare(&node::manifest("shop", ""));
    installation.up();
    installation.until_answer("shop", "one");
    node::greet(&app, "two");
    installation.until_answer("shop", "two");
    installation.until_status("shop", "RUNNING");
    let output = installation.run(&["rollback", "shop", "--revert-pr", "--wait"]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("no connection to GitHub"), "{error}");
    installation.until_answer("shop", "one");
}
