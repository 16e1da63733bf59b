//! Bugs of towpath itself: a panic in the middle of an operation ends that operation, and nothing else.

use super::node;
use super::outside::message;
use super::site::{no_orphans, operations, plan_is_empty};
use crate::installation::{Installation, Load, get};
use std::time::Duration;

/// How an operation ends whose task panics at a step.
fn panic_at(step: &str, status: &str, serves: &str) {
    let mut installation = Installation::new();
    let app = installation.repository("app");
    node::greet(&app, "good");
    installation.declare(&node::manifest("shop", "    deploy: { drain: 2s }\n"));
    installation.set("TOWPATH_PANIC_AT", &format!("START_DEPLOYMENT/{step}/entered"));
    installation.up();
    installation.until_status("shop", "RUNNING");
    let load = Load::start(installation.http, "shop", 4);
    node::greet(&app, "new");
    installation.until(&format!("a panic at {step} ends the operation as {status}"), Duration::from_secs(40), |i| {
        operations(i, "shop").first().is_some_and(|o| o.0 == "START_DEPLOYMENT" && o.1 == status)
    });
    assert_eq!(get(installation.http, "shop").unwrap().body.trim(), serves, "{step}");
    if status != "SUCCEEDED" {
        let said = message(&installation, "shop");
        assert!(said.contains("bug of its own") && said.contains(step), "{said}");
        let failure = &installation.json(&["operations", "shop"])[0];
        assert!(failure.to_string().contains("Internal"), "{failure}");
    }
    // The service is not stuck: an update, which no panic was asked for, goes through.
    installation.declare(&node::manifest("shop", "    env: { A: b }\n    deploy: { drain: 2s }\n"));
    installation.until("an update goes through", Duration::from_secs(40), |i| {
        operations(i, "shop").iter().any(|o| o.0 == "UPDATE_SERVICE" && o.1 == "SUCCEEDED")
    });
    installation.until("nothing is left over", Duration::from_secs(30), |i| plan_is_empty(i) && no_orphans(i));
    let tally = load.finish();
    assert!(tally.failures.is_empty(), "{step}: {tally:?}\n{}", installation.log());
}

#[test]
fn a_panic_before_traffic_shifts_fails_the_operation_and_the_old_version_serves() {
    panic_at("build", "FAILED", "good");
    panic_at("check", "FAILED", "good");
}

#[test]
fn a_panic_while_traffic_shifts_puts_it_back() {
    panic_at("shift", "ROLLBACK_SUCCEEDED", "good");
}

#[test]
fn a_panic_after_traffic_shifted_leaves_it_there_and_what_is_left_over_is_healed() {
    panic_at("drain", "SUCCEEDED", "new");
    panic_at("retire", "SUCCEEDED", "new");
}
