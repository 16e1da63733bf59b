//! `requireChecks`: a commit waits until GitHub says that it is good.

use super::{SOON, Shop};
use crate::faults::node;
use crate::github_stand_in::Answer;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

/// What the stand-in says of commits: check runs and statuses, by what a test sets.
struct Checks(Arc<Mutex<Value>>);

impl Checks {
    fn of(shop: &Shop) -> Self {
        let said = Arc::new(Mutex::new(json!({})));
        let (runs, statuses) = (said.clone(), said.clone());
        shop.hub.github.route("GET", "/repos/acme/shop/commits/*/check-runs", move |asked| {
            let known = runs.lock().unwrap()[asked.part(4)].clone();
            let list: Vec<Value> = known.as_str().map(run).into_iter().collect();
            Answer::new(200, json!({ "total_count": list.len(), "check_runs": list }))
        });
        shop.hub.github.route("GET", "/repos/acme/shop/commits/*/status", move |_| {
            let _ = &statuses;
            // Ours is there, and pending: nothing waits for itself.
            let ours = json!({ "context": "towpath/shop", "state": "pending" });
            Answer::new(200, json!({ "state": "pending", "statuses": [ours] }))
        });
        Self(said)
    }

    fn say(&self, commit: &str, conclusion: &str) {
        self.0.lock().unwrap()[commit] = conclusion.into();
    }
}

fn run(conclusion: &str) -> Value {
    match conclusion {
        "running" => json!({ "name": "test", "status": "in_progress", "conclusion": null }),
        conclusion => json!({ "name": "test", "status": "completed", "conclusion": conclusion }),
    }
}

fn waiting(shop: &Shop) -> String {
    shop.installation.service("shop")["waiting"].to_string()
}

#[test]
fn a_commit_is_deployed_once_its_checks_have_passed_and_not_before() {
    let mut shop = Shop::new();
    let checks = Checks::of(&shop);
    let first = node::greet(&shop.app, "one");
    checks.say(&first, "success");
    shop.declare(", requireChecks: true", "");
    shop.installation.up();
    shop.installation.until_answer("shop", "one");
    let second = node::greet(&shop.app, "two");
    shop.installation.until("it waits for its first check", SOON, |_| waiting(&shop).contains("first check"));
    checks.say(&second, "running");
    shop.installation.until("it waits for the check", SOON, |_| waiting(&shop).contains("check `test`"));
    let plan = shop.installation.ok(&["plan"]);
    assert!(plan.contains("it waits for check `test`"), "{plan}");
    assert_eq!(crate::installation::get(shop.installation.http, "shop").unwrap().body.trim(), "one");
    checks.say(&second, "failure");
    shop.installation.until("the failure is said", SOON, |_| waiting(&shop).contains("check `test` failed"));
    assert_eq!(shop.installation.json(&["operations", "shop"]).as_array().map(Vec::len), Some(1));
    // Run again, and good.
    checks.say(&second, "success");
    shop.installation.until_answer("shop", "two");
}

#[test]
fn a_person_may_deploy_what_did_not_pass() {
    let mut shop = Shop::new();
    let checks = Checks::of(&shop);
    let first = node::greet(&shop.app, "one");
    checks.say(&first, "success");
    shop.declare(", requireChecks: [test]", "");
    shop.installation.up();
    shop.installation.until_answer("shop", "one");
    let second = node::greet(&shop.app, "two");
    checks.say(&second, "failure");
    shop.installation.until("the failure is said", SOON, |_| waiting(&shop).contains("check `test` failed"));
    shop.installation.ok(&["deploy", "shop", "--wait"]);
    shop.installation.until_answer("shop", "two");
}

#[test]
fn a_new_service_waits_for_its_checks_too() {
    let mut shop = Shop::new();
    let checks = Checks::of(&shop);
    let first = node::greet(&shop.app, "one");
    checks.say(&first, "running");
    shop.declare(", requireChecks: [test]", "");
    shop.installation.up();
    let waits = |shop: &Shop| shop.installation.ok(&["plan"]).contains("it waits for check `test`");
    shop.installation.until("it waits", SOON, |_| waits(&shop));
    assert_eq!(shop.installation.service("shop")["status"], "NOT_CREATED");
    checks.say(&first, "success");
    shop.installation.until_answer("shop", "one");
}
