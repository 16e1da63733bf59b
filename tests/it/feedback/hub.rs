//! GitHub with one organisation, `acme`: deployments, commit statuses, checks, pull requests and comments that are kept and
//! given back, each request held against what GitHub's documentation says of it.

use crate::github_stand_in::{Answer, Asked, StandIn};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What GitHub keeps.
#[derive(Default)]
pub struct Kept {
    /// Every status as it came, with its commit.
    pub statuses: Vec<Value>,
    pub deployments: Vec<Value>,
    /// Every status of a deployment, with its deployment.
    pub deployed: Vec<Value>,
    pub runs: Vec<Value>,
    pub pulls: Vec<Value>,
    pub comments: Vec<Value>,
    faults: Vec<String>,
    next: u64,
}

/// The hub.
pub struct Hub {
    pub github: StandIn,
    kept: Arc<Mutex<Kept>>,
}

type Rule = (&'static str, fn(&Value) -> bool);

fn short(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.chars().count() <= 140)
}

fn url(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(|text| text.starts_with("http"))
}

fn flag(value: &Value) -> bool {
    value.is_null() || value.is_boolean()
}

fn text(value: &Value) -> bool {
    value.is_null() || value.is_string()
}

/// `POST /repos/{owner}/{repo}/statuses/{sha}`.
const STATUS: &[Rule] = &[
    ("state", |v| ["error", "failure", "pending", "success"].iter().any(|s| v == s)),
    ("context", |v| v.is_string()),
    ("description", short),
    ("target_url", url),
];
/// `POST /repos/{owner}/{repo}/deployments`.
const DEPLOYMENT: &[Rule] = &[
    ("ref", |v| v.is_string()),
    ("task", text),
    ("auto_merge", flag),
    ("required_contexts", |v| v.is_array() || v.is_null()),
    ("payload", |v| v.is_object() || v.is_string() || v.is_null()),
    ("environment", text),
    ("description", |v| v.is_null() || short(v)),
    ("transient_environment", flag),
    ("production_environment", flag),
];
/// `POST /repos/{owner}/{repo}/deployments/{id}/statuses`.
const DEPLOYED: &[Rule] = &[
    ("state", |v| {
        ["error", "failure", "inactive", "in_progress", "queued", "pending", "success"].iter().any(|s| v == s)
    }),
    ("description", short),
    ("environment", text),
    ("environment_url", url),
    ("log_url", url),
    ("auto_inactive", flag),
];
/// `POST /repos/{owner}/{repo}/check-runs`.
const RUN: &[Rule] = &[
    ("name", |v| v.is_string()),
    ("head_sha", |v| v.as_str().is_some_and(|sha| sha.len() == 40)),
    ("status", |v| ["queued", "in_progress", "completed"].iter().any(|s| v == s)),
    ("conclusion", |v| ["success", "failure", "neutral", "action_required"].iter().any(|s| v == s)),
    ("output", |v| v["title"].is_string() && v["summary"].as_str().is_some_and(|summary| summary.len() <= 65_535)),
];
/// `POST /repos/{owner}/{repo}/issues/{number}/comments`.
const COMMENT: &[Rule] = &[("body", |v| v.as_str().is_some_and(|body| body.chars().count() <= 65_536))];

impl Hub {
    pub fn new() -> Self {
        let hub = Self { github: StandIn::start(), kept: Arc::default() };
        hub.github.personal_token(super::TOKEN);
        // Whose token it is, as a handshake asks.
        hub.route("GET", "/user", |_, _| Answer::new(200, json!({ "login": "dev", "id": 1 })));
        hub.serves_statuses();
        hub.serves_deployments();
        hub
    }

    pub fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a repository of this machine as `acme/NAME`; its URL.
    pub fn repository(&self, name: &str, work_tree: &Path) -> String {
        self.github.repository(&format!("acme/{name}"), work_tree)
    }

    fn route(
        &self,
        method: &'static str,
        pattern: &str,
        answer: impl Fn(&mut Kept, &Asked) -> Answer + Send + 'static,
    ) {
        let kept = self.kept.clone();
        let handler = move |asked: &Asked| {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            answer(&mut kept, asked)
        };
        self.github.route(method, pattern, handler);
    }

    fn serves_statuses(&self) {
        self.route("POST", "/repos/acme/*/statuses/*", |kept, asked| {
            kept.hold(asked, STATUS);
            let made = kept.made(asked, &[("sha", asked.part(4).into())]);
            kept.statuses.push(made.clone());
            Answer::new(201, made)
        });
        self.route("GET", "/repos/acme/*/commits/*/statuses", |kept, asked| {
            let of = |s: &&Value| s["sha"] == asked.part(4);
            Answer::new(200, kept.statuses.iter().rev().filter(of).cloned().collect())
        });
    }

    fn serves_deployments(&self) {
        self.route("POST", "/repos/acme/*/deployments", |kept, asked| {
            kept.hold(asked, DEPLOYMENT);
            let made = kept.made(asked, &[("sha", asked.body["ref"].clone())]);
            kept.deployments.push(made.clone());
            Answer::new(201, made)
        });
        self.route("GET", "/repos/acme/*/deployments", |kept, asked| {
            let of = |d: &&Value| asked.query.contains(d["sha"].as_str().unwrap_or("?"));
            Answer::new(200, kept.deployments.iter().rev().filter(of).cloned().collect())
        });
        self.route("POST", "/repos/acme/*/deployments/*/statuses", |kept, asked| {
            kept.hold(asked, DEPLOYED);
            let id: u64 = asked.part(4).parse().unwrap_or_default();
            if !kept.deployments.iter().any(|d| d["id"] == id) {
                return Answer::refusal(404, "Not Found");
            }
            let made = kept.made(asked, &[("deployment", id.into())]);
            kept.deployed.push(made.clone());
            Answer::new(201, made)
        });
        self.route("GET", "/repos/acme/*/deployments/*/statuses", |kept, asked| {
            let id: u64 = asked.part(4).parse().unwrap_or_default();
            Answer::new(200, kept.deployed.iter().rev().filter(|s| s["deployment"] == id).cloned().collect())
        });
    }

    /// Has pull requests, comments and checks too.
    pub fn with_pulls(self) -> Self {
        self.route("GET", "/repos/acme/*/pulls", |kept, asked| {
            assert!(asked.query.contains("state=open"), "{}", asked.query);
            let first = asked.query.split('&').any(|part| part == "page=1");
            let open = kept.pulls.iter().filter(|p| p["state"] == "open" && first);
            Answer::new(200, open.cloned().collect())
        });
        self.route("GET", "/repos/acme/*/pulls/*", |kept, asked| {
            match kept.pulls.iter().find(|p| p["number"].as_u64() == asked.part(4).parse().ok()) {
                Some(pull) => Answer::new(200, pull.clone()),
                None => Answer::refusal(404, "Not Found"),
            }
        });
        self.route("GET", "/repos/acme/*/issues/*/comments", |kept, asked| {
            let number = asked.part(4).to_owned();
            Answer::new(200, kept.comments.iter().filter(|c| c["issue"] == number.as_str()).cloned().collect())
        });
        self.route("POST", "/repos/acme/*/issues/*/comments", |kept, asked| {
            kept.hold(asked, COMMENT);
            let made = kept.made(asked, &[("issue", asked.part(4).into())]);
            kept.comments.push(made.clone());
            Answer::new(201, made)
        });
        self.route("PATCH", "/repos/acme/*/issues/comments/*", |kept, asked| {
            kept.hold(asked, COMMENT);
            let id: u64 = asked.part(5).parse().unwrap_or_default();
            let body = asked.body["body"].clone();
            match kept.comments.iter_mut().find(|c| c["id"] == id) {
                Some(comment) => {
                    comment["body"] = body;
                    comment["edits"] = (comment["edits"].as_u64().unwrap_or_default() + 1).into();
                    Answer::new(200, comment.clone())
                }
                None => Answer::refusal(404, "Not Found"),
            }
        });
        self.serves_runs();
        self
    }

    fn serves_runs(&self) {
        self.route("POST", "/repos/acme/*/check-runs", |kept, asked| {
            kept.hold(asked, RUN);
            let made = kept.made(asked, &[]);
            kept.runs.push(made.clone());
            Answer::new(201, made)
        });
        self.route("PATCH", "/repos/acme/*/check-runs/*", |kept, asked| {
            kept.hold(asked, RUN);
            let id: u64 = asked.part(4).parse().unwrap_or_default();
            let Some(run) = kept.runs.iter_mut().find(|r| r["id"] == id) else {
                return Answer::refusal(404, "Not Found");
            };
            for (name, value) in asked.body.as_object().into_iter().flatten() {
                run[name] = value.clone();
            }
            Answer::new(200, run.clone())
        });
    }

    /// A pull request of a branch that was pushed to `refs/pull/N/head`.
    pub fn pull(&self, number: u64, head: &str, fork: bool) {
        let repository = |id: u64| json!({ "id": id, "full_name": "acme/x" });
        let pull = json!({
            "number": number, "title": format!("Change {number}"), "state": "open", "draft": false, "merged_at": null,
            "merge_commit_sha": null, "user": { "login": "dev" },
            "head": { "ref": "topic", "sha": head, "repo": repository(if fork { 2 } else { 1 }) },
            "base": { "ref": "main", "sha": "0".repeat(40), "repo": repository(1) },
        });
        let mut kept = self.kept();
        kept.pulls.retain(|p| p["number"] != number);
        kept.pulls.push(pull);
    }

    /// Closes a pull request, merged as a commit or not.
    pub fn close(&self, number: u64, merged: Option<&str>) {
        let mut kept = self.kept();
        let pull = kept.pulls.iter_mut().find(|p| p["number"] == number).unwrap();
        pull["state"] = "closed".into();
        if let Some(commit) = merged {
            pull["merge_commit_sha"] = commit.into();
            pull["merged_at"] = "2026-11-26T18:00:00Z".into();
        }
    }

    /// The states that were said of a commit under a context, in order.
    pub fn said(&self, commit: &str, context: &str) -> Vec<String> {
        let kept = self.kept();
        let of = |s: &&Value| s["sha"] == commit && s["context"] == context;
        kept.statuses.iter().filter(of).map(|s| s["state"].as_str().unwrap().to_owned()).collect()
    }

    /// The last status of a commit under a context.
    pub fn last(&self, commit: &str, context: &str) -> Value {
        let kept = self.kept();
        let of = |s: &&Value| s["sha"] == commit && s["context"] == context;
        kept.statuses.iter().rev().find(of).cloned().unwrap_or_default()
    }

    /// The states of the deployments of a commit, deployment by deployment.
    pub fn deployed(&self, commit: &str) -> Vec<Vec<String>> {
        let kept = self.kept();
        let of = kept.deployments.iter().filter(|d| d["sha"] == commit);
        of.map(|d| {
            let statuses = kept.deployed.iter().filter(|s| s["deployment"] == d["id"]);
            statuses.map(|s| s["state"].as_str().unwrap().to_owned()).collect()
        })
        .collect()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let faults = self.kept().faults.clone();
        if !std::thread::panicking() {
            assert!(faults.is_empty(), "GitHub was told what it does not take:\n{}", faults.join("\n"));
        }
    }
}

impl Kept {
    /// Holds a body against what GitHub takes: each member by its rule, and no other member.
    fn hold(&mut self, asked: &Asked, rules: &[Rule]) {
        let Some(members) = asked.body.as_object() else {
            return self.faults.push(format!("{} {}: no body", asked.method, asked.path));
        };
        for (name, value) in members {
            let rule = rules.iter().find(|(known, _)| known == name);
            if !rule.is_some_and(|(_, takes)| takes(value)) {
                self.faults.push(format!("{} {}: `{name}` is {value}", asked.method, asked.path));
            }
        }
        for (name, takes) in rules {
            if !members.contains_key(*name) && !takes(&Value::Null) {
                self.faults.push(format!("{} {}: `{name}` is missing", asked.method, asked.path));
            }
        }
    }

    /// What a request makes: its body, an id, and more.
    fn made(&mut self, asked: &Asked, more: &[(&str, Value)]) -> Value {
        self.next += 1;
        let mut made = asked.body.clone();
        made["id"] = (1000 + self.next).into();
        more.iter().for_each(|(name, value)| made[*name] = value.clone());
        made
    }
}

impl Asked {
    /// One part of the path: `/repos/acme/shop/…` has `acme` at 1.
    pub fn part(&self, at: usize) -> &str {
        self.path.trim_start_matches('/').split('/').nth(at).unwrap_or_default()
    }
}
