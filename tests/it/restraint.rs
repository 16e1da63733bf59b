//! Services that are held back: deploy windows, suspensions, and what waits for others.

use crate::faults::node;
use crate::installation::{Installation, get};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);
/// A window that never opens.
const CLOSED: &str = "windows:\n  - { deny: \"0 0 * * *\", for: 25h, zone: UTC, services: [shop] }\n";

fn pid(i: &Installation) -> String {
    get_path(i, "/pid")
}

fn get_path(i: &Installation, path: &str) -> String {
    crate::installation::get_with(i.http, "shop", path, "")
        .ok()
        .filter(|answer| answer.status == 200)
        .map(|answer| answer.body.trim().to_owned())
        .unwrap_or_default()
}

#[test]
fn a_closed_window_holds_a_deployment_but_no_healing_until_a_person_says_why() {
    let mut installation = Installation::new();
    let app = installation.repository("app");
    node::greet(&app, "one");
    installation.declare(&node::manifest("shop", ""));
    installation.up();
    installation.until_answer("shop", "one");
    let open = node::manifest("shop", "");
    installation.declare(&format!("{CLOSED}{open}"));
    let i = &installation;
    i.until("the window is in force", SOON, |i| i.log().matches("is in force").count() >= 2);
    node::greet(&app, "two");
    i.until("it waits", SOON, |i| {
        let status = i.ok(&["status"]);
        status.contains("deploy window closed until further notice (") && status.contains("towpath.yaml:2)")
    });
    assert!(i.ok(&["plan"]).contains("deploy window closed"), "{}", i.ok(&["plan"]));

    let before = pid(i);
    let process = rustix::process::Pid::from_raw(before.parse().unwrap()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
    i.until("it is healed", SOON, |i| !pid(i).is_empty() && pid(i) != before);
    assert_eq!(get(i.http, "shop").unwrap().body.trim(), "one");

    let refused = i.run(&["deploy", "shop"]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && told.contains("--override-window --reason"), "{told}");
    let unexplained = i.run(&["deploy", "shop", "--override-window"]);
    assert_eq!(unexplained.status.code(), Some(64), "{}", String::from_utf8_lossy(&unexplained.stderr));
    i.ok(&["deploy", "shop", "--override-window", "--reason", "the certificate ends tonight", "--wait"]);
    i.until_answer("shop", "two");
    let newest = i.json(&["operations", "shop"])[0].to_string();
    assert!(newest.contains("the certificate ends tonight"), "{newest}");
    assert!(i.ok(&["audit", "--output", "json"]).contains("the certificate ends tonight"), "{}", i.ok(&["audit"]));

    node::greet(&app, "three");
    i.until("the next one waits again", SOON, |i| i.ok(&["status"]).contains("deploy window closed"));
    installation.declare(&open);
    installation.until_answer("shop", "three");
}

#[test]
fn a_window_holds_after_a_restart_whatever_the_manifest_is_like_then() {
    let mut installation = Installation::new();
    let app = installation.repository("app");
    node::greet(&app, "one");
    installation.declare(&node::manifest("shop", ""));
    installation.up();
    installation.until_answer("shop", "one");
    installation.declare(&format!("{CLOSED}{}", node::manifest("shop", "")));
    installation.until("the window is in force", SOON, |i| i.log().matches("is in force").count() >= 2);
    installation.kill();
    installation.declare("services: [");
    node::greet(&app, "two");
    installation.up();
    installation.until("it waits", SOON, |i| i.ok(&["status"]).contains("deploy window closed"));
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(get(installation.http, "shop").unwrap().body.trim(), "one");
}

#[test]
fn a_suspension_says_why_and_ends_by_itself() {
    let mut installation = Installation::new();
    let app = installation.repository("app");
    node::greet(&app, "one");
    installation.declare(&node::manifest("shop", ""));
    installation.up();
    installation.until_answer("shop", "one");
    let until = towpath::model::Timestamp::now().plus(Duration::from_secs(15));
    let suspend = format!("    suspend: {{ until: {until}, reason: stocktaking }}\n");
    installation.declare(&node::manifest("shop", &suspend));
    installation.until("it is in force", SOON, |i| i.log().matches("is in force").count() >= 2);
    node::greet(&app, "two");
    installation.until("it waits", SOON, |i| i.ok(&["status"]).contains("(stocktaking)"));
    let refused = installation.run(&["deploy", "shop"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is suspended until"), "{refused:?}");
    installation.until_answer("shop", "two");
    assert!(towpath::model::Timestamp::now() >= until);
}

#[test]
fn a_service_waits_for_one_that_it_depends_on_and_goes_after_it_is_deleted_before_it() {
    let mut installation = Installation::new();
    let (app, base) = (installation.repository("app"), installation.repository("base"));
    node::greet(&app, "shop");
    node::program(&base, "process.exit(3);");
    let orders = |more: &str| node::service("orders", more).replace("./app", "./base");
    let both = format!("services:\n{}{}", node::service("shop", "    dependsOn: [orders]\n"), orders(""));
    installation.declare(&both);
    installation.up();
    let i = &installation;
    i.until("it says why", Duration::from_secs(60), |i| {
        let status = i.ok(&["status"]);
        status.contains("its creation waits for `orders`, which failed:")
    });
    assert_eq!(i.service("shop")["status"], "NOT_CREATED");
    node::greet(&base, "orders");
    i.until_answer("orders", "orders");
    i.until_answer("shop", "shop");
    // Both go, with a third that keeps the deletion from being one of everything.
    let others = ["one-a", "two-b", "three-c"].map(|name| node::service(name, "")).concat();
    installation.declare(&format!("{both}{others}"));
    installation.until_status("three-c", "RUNNING");
    installation.declare(&format!("services:\n{others}"));
    installation.until("both are deleted", Duration::from_secs(60), |i| {
        let names = i.json(&["status"]);
        names.as_array().is_some_and(|all| all.iter().all(|s| s["name"] != "shop" && s["name"] != "orders"))
    });
    let events = installation.json(&["events"]);
    let happened = |name: &str, kind: &str| {
        let is_it = |event: &&serde_json::Value| event["Service"] == name && event["Kind"] == kind;
        let event = events.as_array().unwrap().iter().find(is_it);
        event.and_then(|event| event["Sequence"].as_u64()).unwrap_or_else(|| panic!("{name}: {kind} in {events}"))
    };
    // What is told of an end may be told a moment after what it lets begin.
    for kind in ["DeleteServiceStarted", "DeleteServiceCompletedSuccessfully"] {
        assert!(happened("shop", kind) < happened("orders", kind), "{events}");
    }
}

#[test]
fn what_is_changed_by_hand_is_only_reported_where_the_service_says_so_and_healed_otherwise() {
    let mut installation = Installation::new();
    let app = installation.repository("app");
    node::greet(&app, "one");
    let reporting = node::manifest("shop", "    drift: report\n");
    installation.declare(&reporting);
    installation.up();
    installation.until_answer("shop", "one");
    let i = &installation;
    let before = pid(i);
    let instances: Vec<_> = std::fs::read_dir(i.data().join("instances")).unwrap().flatten().collect();
    assert_eq!(instances.len(), 1);
    let file = instances[0].path().join("spec.json");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{text} ")).unwrap();
    i.until("it is said", SOON, |i| i.ok(&["status"]).contains("changed by hand, and left so"));
    i.until("it is told", SOON, |i| {
        i.ok(&["events", "shop"]).contains("was changed by hand, and is left so: spec.json")
    });
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(pid(i), before, "more than one pass later");
    installation.declare(&reporting.replace("report", "heal"));
    installation.until("it is healed", SOON, |i| !pid(i).is_empty() && pid(i) != before);
}
