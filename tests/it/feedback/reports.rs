//! Commit statuses and deployments.

use super::{SOON, Shop, TOKEN};
use crate::faults::node;
use crate::github_stand_in::{Answer, Pace};
use std::time::Duration;

fn events(shop: &Shop, kind: &str) -> Vec<String> {
    let all = shop.installation.json(&["events"]);
    let ours = all.as_array().into_iter().flatten().filter(|e| e["Kind"] == kind);
    ours.map(|e| e["Message"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_deployment_is_said_where_its_commit_came_from() {
    let mut shop = Shop::new();
    let first = node::greet(&shop.app, "one");
    shop.declare("", "");
    shop.installation.up();
    shop.until_said(&first, "success");
    shop.until("the deployment is done", |hub| {
        hub.deployed(&first).first().is_some_and(|d| d.ends_with(&["success".into()]))
    });
    let status = shop.hub.last(&first, "towpath/shop");
    let url = shop.installation.service("shop")["url"].as_str().unwrap().to_owned();
    assert_eq!(status["target_url"], url.as_str());
    assert!(status["description"].as_str().unwrap().contains("revision 1 serves"), "{status}");
    let (deployment, said) = {
        let kept = shop.hub.kept();
        (kept.deployments[0].clone(), kept.deployed.last().unwrap().clone())
    };
    assert_eq!((deployment["environment"].as_str(), said["environment_url"].as_str()), (Some("shop"), Some(&*url)));
    assert_eq!(deployment["production_environment"], true);

    // The next one: said from its beginning, each thing once.
    let second = node::greet(&shop.app, "two");
    shop.until_said(&second, "success");
    shop.until("its deployment is done", |hub| {
        hub.deployed(&second).first().is_some_and(|d| d.ends_with(&["success".into()]))
    });
    std::thread::sleep(Duration::from_secs(3));
    let said = shop.hub.said(&second, "towpath/shop");
    assert!(said == ["pending", "success"] || said == ["success"], "{said:?}");
    assert_eq!(shop.hub.kept().deployments.len(), 2);
    assert_eq!(events(&shop, "ReportFailed"), Vec::<String>::new());
}

#[test]
fn a_failure_is_said_with_its_cause_and_without_secrets() {
    let mut shop = Shop::new();
    let good = node::greet(&shop.app, "one");
    std::fs::write(shop.installation.path().join("secret"), "hunter2-hunter2").unwrap();
    shop.declare("", "    secrets: { DB_PASSWORD: { file: ./secret } }\n    deploy: { startDeadline: 20s }\n");
    shop.installation.up();
    shop.until_said(&good, "success");
    let bad = node::program(&shop.app, "console.log('it is ' + process.env.DB_PASSWORD);\nprocess.exit(3);\n");
    shop.until_said(&bad, "failure");
    let status = shop.hub.last(&bad, "towpath/shop");
    let said = status["description"].as_str().unwrap();
    assert!(said.starts_with("Deployment failed: ") && said.contains("3"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
    shop.until("the deployment failed", |hub| {
        hub.deployed(&bad).first().is_some_and(|d| d.ends_with(&["failure".into()]))
    });
    assert!(!format!("{:?}", shop.hub.kept().deployed).contains("hunter2"));
    // What served before goes on, and is said to.
    assert_eq!(shop.hub.last(&good, "towpath/shop")["state"], "success");
    assert_eq!(crate::installation::get(shop.installation.http, "shop").unwrap().body.trim(), "one");
}

#[test]
fn nothing_is_said_twice_after_a_crash_and_an_answer_that_was_lost() {
    let mut shop = Shop::new();
    // The first deployment is made, and its answer is lost.
    shop.hub.github.once("POST", "/repos/acme/shop/deployments", Answer::refusal(502, "Bad Gateway"));
    let first = node::greet(&shop.app, "one");
    shop.declare("", "");
    shop.installation.up();
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(700));
        shop.installation.kill();
        shop.installation.up();
    }
    shop.until_said(&first, "success");
    shop.until("the deployment is done", |hub| hub.deployed(&first).iter().any(|d| d.ends_with(&["success".into()])));
    shop.installation.kill();
    shop.installation.up();
    std::thread::sleep(Duration::from_secs(4));
    let said = shop.hub.said(&first, "towpath/shop");
    let mut once = said.clone();
    once.dedup();
    assert_eq!(said, once);
    let deployed = shop.hub.deployed(&first);
    assert_eq!(deployed.len(), 1, "{deployed:?}");
    assert_eq!(deployed[0].iter().filter(|s| *s == "success").count(), 1, "{deployed:?}");
}

#[test]
fn a_github_that_is_not_well_holds_nothing_up_and_hears_of_it_later() {
    let mut shop = Shop::new();
    for answer in [
        Answer::refusal(500, "Server Error"),
        Answer::new(201, serde_json::json!({ "id": 1 })).pace(Pace::BreakOff),
        Answer::refusal(403, "You have exceeded a secondary rate limit.").header("retry-after", 2),
        Answer::refusal(429, "Too Many Requests").header("retry-after", 1),
    ] {
        shop.hub.github.once("POST", "/repos/acme/shop/statuses/*", answer);
    }
    let first = node::greet(&shop.app, "one");
    shop.declare("", "");
    shop.installation.up();
    shop.installation.until_answer("shop", "one");
    shop.until_said(&first, "success");
    assert_eq!(shop.hub.said(&first, "towpath/shop").iter().filter(|s| *s == "success").count(), 1);
    assert_eq!(events(&shop, "ReportFailed"), Vec::<String>::new());
}

#[test]
fn what_github_refuses_is_told_once_and_the_other_way_goes_on() {
    let mut shop = Shop::new();
    let refused = Answer::refusal(403, "Resource not accessible by personal access token");
    shop.hub.github.once("POST", "/repos/acme/shop/deployments", refused);
    let first = node::greet(&shop.app, "one");
    shop.declare("", "");
    shop.installation.up();
    shop.until_said(&first, "success");
    shop.installation.until("the refusal is told", SOON, |_| events(&shop, "ReportFailed").len() == 1);
    let told = events(&shop, "ReportFailed").remove(0);
    assert!(told.contains("acme/shop") && told.contains("acme-github") && told.contains("permission"), "{told}");
    assert!(!told.contains(TOKEN), "{told}");
    assert_eq!(shop.hub.kept().deployments.len(), 0);
}

#[test]
fn a_service_that_does_not_report_says_nothing() {
    let mut shop = Shop::new();
    node::greet(&shop.app, "one");
    shop.declare(", report: false", "");
    shop.installation.up();
    shop.installation.until_answer("shop", "one");
    std::thread::sleep(Duration::from_secs(3));
    let kept = shop.hub.kept();
    assert!(kept.statuses.is_empty() && kept.deployments.is_empty());
}

#[test]
fn a_rollback_is_said_at_the_commit_that_serves_again() {
    let mut shop = Shop::new();
    let first = node::greet(&shop.app, "one");
    shop.declare("", "");
    shop.installation.up();
    shop.until_said(&first, "success");
    let second = node::greet(&shop.app, "two");
    shop.until_said(&second, "success");
    shop.installation.until_status("shop", "RUNNING");
    shop.installation.ok(&["rollback", "shop", "--wait"]);
    shop.until("the rollback is said", |hub| {
        hub.last(&first, "towpath/shop")["description"].as_str().is_some_and(|d| d.starts_with("Rollback: revision 1"))
    });
    shop.until("its deployment is done", |hub| hub.deployed(&first).len() == 2);
}
