//! The commands against a real server.

use super::fixture::COMMIT;
use super::{Server, towpath_in};
use serde_json::json;
use std::sync::atomic::Ordering;

#[tokio::test]
async fn status_as_json_has_the_members_of_the_contract() {
    let server = Server::start().await;
    let ran = server.towpath(&["status", "--output", "json"]).await;
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    let list = ran.json();
    let names: Vec<&str> = list.as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["broken", "orders", "shop"]);
    let shop = &list[2];
    assert_eq!(shop["status"], "RUNNING");
    assert_eq!(shop["url"], "http://shop.localhost:8080/");
    assert_eq!(shop["revision"], 3);
    assert_eq!(shop["version"], COMMIT);
    assert_eq!(shop["instances"], json!({ "desired": 2, "running": 1, "frozen": 1 }));
    assert_eq!(shop["source"]["repository"], "https://github.com/acme/shop");
    assert_eq!(shop["last_operation"], json!(null));
    assert_eq!(shop["waiting"], json!([]));
    assert_eq!(list[1]["status"], "NOT_CREATED");
    assert_eq!(list[1]["waiting"][0]["message"], "waits for `towpath apply`");
}

#[tokio::test]
async fn status_as_text_is_a_table_without_colour_that_says_what_waits() {
    let server = Server::start().await;
    let ran = server.towpath(&["status"]).await;
    assert_eq!(ran.code, 0);
    assert!(!ran.out.contains('\x1b'));
    let shop = ran.out.lines().find(|l| l.starts_with("shop ")).unwrap();
    let cells: Vec<&str> = shop.split("  ").map(str::trim).filter(|c| !c.is_empty()).collect();
    assert_eq!(cells, ["shop", "RUNNING", "3 (3f2a91c)", "1/2, 1 frozen", "-", "http://shop.localhost:8080/"]);
    assert!(ran.out.contains("Not done:\n  · orders  waits for `towpath apply`\n"), "{}", ran.out);
}

#[tokio::test]
async fn a_name_that_there_is_not_is_an_error_that_names_what_there_is() {
    let server = Server::start().await;
    for arguments in [["status", "shops"], ["deploy", "shops"], ["operations", "shops"], ["logs", "shops"]] {
        let ran = server.towpath(&arguments).await;
        assert_eq!(ran.code, 1, "{arguments:?}");
        assert_eq!(ran.err, "error: there is no service `shops`: there are `broken`, `shop`\n", "{arguments:?}");
    }
    let ran = server.towpath(&["deploy", "orders"]).await;
    assert!(ran.code == 1 && ran.err.contains("does not exist yet"), "{}", ran.err);
}

#[tokio::test]
async fn deploy_with_wait_shows_each_step_and_ends_with_success() {
    let server = Server::start().await;
    let ran = server.towpath(&["deploy", "shop", "--wait", "--reason", "try it"]).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(ran.err, "shop: queued\nshop: fetch\nshop: build\nshop: start\nshop: check\n");
    assert_eq!(ran.out, "shop: deployment succeeded, revision 4 serves\n");
    let asked = server.memory.asked.lock().unwrap();
    assert_eq!((asked[0].0.as_str(), asked[0].1.reason.as_deref()), ("Deploy(Obeyed)", Some("try it")));
}

#[tokio::test]
async fn a_failed_deployment_that_was_waited_for_exits_1_with_the_reason_and_the_last_log_lines() {
    let server = Server::start().await;
    let ran = server.towpath(&["deploy", "broken", "--wait"]).await;
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("error: deployment of `broken` failed: Failed to execute 'build' command.\n"),
        "{}",
        ran.err
    );
    assert!(ran.err.contains("  [Build] step 2499\n") && !ran.err.contains("step 2479\n"), "{}", ran.err);
    assert!(ran.err.contains("hint: the whole log: `towpath logs broken --deployment "));
    assert!(!ran.err.contains('\x1b') && ran.out.is_empty());
    let json = server.towpath(&["rollback", "broken", "2", "--wait", "--output", "json"]).await;
    assert_eq!((json.code, json.json()[0]["Status"].clone()), (1, json!("FAILED")));
    assert_eq!(json.json()[0]["Reason"], "BuildFailed");
}

#[tokio::test]
async fn operations_as_json_are_a_list_newest_first_with_app_runners_members() {
    let server = Server::start().await;
    assert_eq!(server.towpath(&["operations", "shop", "--output", "json"]).await.json(), json!([]));
    server.towpath(&["deploy", "shop", "--wait"]).await;
    server.towpath(&["pause", "shop"]).await;
    let list = server.towpath(&["operations", "shop", "--output", "json"]).await.json();
    assert_eq!((&list[0]["Type"], &list[1]["Type"]), (&json!("PAUSE_SERVICE"), &json!("START_DEPLOYMENT")));
    assert_eq!(list[1]["Status"], "SUCCEEDED");
    for member in ["Id", "TargetArn", "StartedAt", "EndedAt", "UpdatedAt"] {
        assert!(!list[1][member].is_null(), "{member}");
    }
    let text = server.towpath(&["operations", "shop"]).await.out;
    assert!(text.lines().nth(2).unwrap().contains("deployment  succeeded"), "{text}");
}

#[tokio::test]
async fn refusals_are_told_as_errors() {
    let server = Server::start().await;
    let resume = server.towpath(&["resume", "shop"]).await;
    assert_eq!((resume.code, resume.err.as_str()), (1, "error: the service is not paused\n"));
    let rollback = server.towpath(&["rollback", "shop", "7"]).await;
    assert_eq!((rollback.code, rollback.err.as_str()), (1, "error: revision 7 is not kept: there are 2, 3\n"));
    let cancel = server.towpath(&["cancel", "nonsense"]).await;
    assert_eq!(
        (cancel.code, cancel.err.as_str()),
        (1, "error: `nonsense` is not an operation id: `towpath operations SERVICE` lists them\n")
    );
}

#[tokio::test]
async fn delete_without_a_terminal_does_not_ask() {
    let server = Server::start().await;
    let ran = server.towpath(&["delete", "shop", "--output", "json"]).await;
    assert_eq!((ran.code, ran.json()[0]["Type"].clone()), (0, json!("DELETE_SERVICE")), "{}", ran.err);
}

#[tokio::test]
async fn plan_tells_changes_by_its_exit_code_and_apply_refuses_a_stale_one() {
    let server = Server::start().await;
    let here = tempfile::tempdir().unwrap();
    let data = server.data.path();
    let write = |text: &str| std::fs::write(here.path().join("towpath.yaml"), text).unwrap();
    let plan = |more: &'static [&'static str]| {
        let here = here.path();
        async move { towpath_in(here, Some(data), &[&["plan", "--detailed-exitcode"], more].concat()).await }
    };
    write("services: same");
    assert_eq!(plan(&[]).await.code, 0);
    write("services: {}");
    let changed = plan(&["--out", "p.json", "--output", "json"]).await;
    assert_eq!((changed.code, changed.json()["changes"][0]["service"].clone()), (2, json!("shop")), "{}", changed.err);
    write("bad");
    let bad = plan(&[]).await;
    assert_eq!(bad.code, 1);
    assert!(bad.err.contains("`services` must be a mapping"), "{}", bad.err);

    let applied = towpath_in(here.path(), Some(data), &["apply", "p.json", "--wait"]).await;
    assert_eq!((applied.code, applied.out.as_str()), (0, "shop: deletion succeeded, revision 4 serves\n"));
    let text = std::fs::read_to_string(here.path().join("p.json")).unwrap();
    let mut stale: serde_json::Value = serde_json::from_str(&text).unwrap();
    stale["changes"][0]["basis"] = json!("0".repeat(64));
    std::fs::write(here.path().join("p.json"), stale.to_string()).unwrap();
    let refused = towpath_in(here.path(), Some(data), &["apply", "p.json"]).await;
    assert_eq!(refused.code, 1);
    assert!(refused.err.starts_with("error: `shop` has moved since the plan was made"), "{}", refused.err);
    std::fs::write(here.path().join("p.json"), "{}").unwrap();
    let nonsense = towpath_in(here.path(), Some(data), &["apply", "p.json"]).await;
    assert!(nonsense.code == 1 && nonsense.err.contains("is not a plan\ncaused by: "), "{}", nonsense.err);
}

#[tokio::test]
async fn logs_combine_instances_in_order_and_take_their_bounds() {
    let server = Server::start().await;
    let ran = server.towpath(&["logs", "shop"]).await;
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines.len(), 100);
    assert!(lines[98].contains("01010101 instance 01 2499") && lines[99].contains("65656565 instance 65 2499"));
    let one = server.towpath(&["logs", "shop", "--instance", "65", "--tail", "3", "--output", "json"]).await;
    let messages: Vec<serde_json::Value> = one.out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(messages.len(), 3);
    assert_eq!(messages[2]["message"], "instance 65 2499");
    assert_eq!(server.towpath(&["logs", "shop", "--instance", "ff"]).await.code, 1);
    let whole = server.towpath(&["logs", "shop", "--events"]).await;
    assert_eq!(whole.out.lines().count(), 2500);
}

#[tokio::test]
async fn the_log_of_a_deployment_is_whole_clean_and_ends_when_it_is_complete() {
    let server = Server::start().await;
    server.towpath(&["deploy", "shop", "--wait"]).await;
    let ran = server.towpath(&["logs", "shop", "-f", "--deployment", "latest"]).await;
    assert_eq!((ran.code, ran.out.lines().count()), (0, 2500), "{}", ran.err);
    assert!(!ran.out.contains('\x1b') && ran.out.contains("[Build] step 0\n"));
}

#[tokio::test]
async fn events_are_the_newest_oldest_of_them_first() {
    let server = Server::start().await;
    let list = server.towpath(&["events", "shop", "--tail", "2", "--output", "json"]).await.json();
    assert_eq!((&list[0]["Sequence"], &list[1]["Sequence"]), (&json!(2499), &json!(2500)));
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_error() {
    let server = Server::start().await;
    let command = format!(
        "{} logs shop --events --data-dir {} | head -1; exit ${{PIPESTATUS[0]}}",
        env!("CARGO_BIN_EXE_towpath"),
        server.data.path().display()
    );
    let ran = tokio::process::Command::new("bash").arg("-c").arg(command).output().await.unwrap();
    assert_eq!((ran.status.code(), ran.stderr.as_slice()), (Some(0), b"".as_slice()));
}

#[tokio::test]
async fn an_invalid_manifest_is_said_by_status_in_both_forms() {
    let server = Server::start().await;
    server.memory.change(|snapshot| {
        let problem = towpath::model::Problem {
            class: "unknown-key".into(),
            severity: towpath::model::Severity::Error,
            place: towpath::model::Place { file: "towpath.yaml".into(), line: 4, column: 3 },
            length: 3,
            message: "`sorce` is not a key of a service".into(),
            hint: None,
            source_line: None,
        };
        snapshot.manifest = towpath::api::control::ManifestState::Invalid { problems: vec![problem], kept: None };
    });
    let text = server.towpath(&["status"]).await.out;
    assert!(text.contains("The manifest is invalid") && text.contains("`sorce` is not a key"), "{text}");
    let list = server.towpath(&["status", "--output", "json"]).await.json();
    let said = list[2]["waiting"][0]["message"].as_str().unwrap().to_owned();
    assert_eq!(said, "the manifest is invalid: towpath.yaml:4: `sorce` is not a key of a service");
}

#[tokio::test]
async fn down_stops_the_server_and_says_so() {
    let server = Server::start().await;
    let ran = server.towpath(&["down"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (0, "towpath stopped, with all instances.\n"), "{}", ran.err);
    server.task.await.unwrap();
    assert!(server.stop.is_cancelled());
    let again = super::towpath_on(Some(server.data.path()), &["down"]).await;
    assert!(again.code == 0 && again.out.starts_with("Nothing runs on data directory"), "{}", again.out);
}

#[tokio::test]
async fn waiting_goes_on_through_a_restart_of_the_server() {
    let server = Server::start().await;
    server.memory.held.store(true, Ordering::SeqCst);
    let (memory, data) = (server.memory.clone(), server.data.path().to_owned());
    let waiting = tokio::spawn(async move { super::towpath_on(Some(&data), &["deploy", "shop", "--wait"]).await });
    while memory.asked.lock().unwrap().is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let server = server.restart().await;
    server.memory.held.store(false, Ordering::SeqCst);
    let ran = waiting.await.unwrap();
    assert_eq!((ran.code, ran.out.as_str()), (0, "shop: deployment succeeded, revision 4 serves\n"), "{}", ran.err);
    assert_eq!(server.memory.asked.lock().unwrap().len(), 1, "an act is never sent twice");
}

#[tokio::test]
async fn a_plan_printed_as_json_can_be_applied() {
    let server = Server::start().await;
    let here = tempfile::tempdir().unwrap();
    std::fs::write(here.path().join("towpath.yaml"), "services: {}").unwrap();
    let printed = towpath_in(here.path(), Some(server.data.path()), &["plan", "--output", "json"]).await;
    assert_eq!(printed.json()["notes"][0]["message"], "waits for `towpath apply`");
    std::fs::write(here.path().join("p.json"), &printed.out).unwrap();
    let applied = towpath_in(here.path(), Some(server.data.path()), &["apply", "p.json"]).await;
    assert!(applied.code == 0 && applied.out.starts_with("shop: deletion "), "{}", applied.err);
    let nothing = towpath_in(here.path(), Some(server.data.path()), &["apply", "--allow-mass-delete"]).await;
    assert_eq!(nothing.out, "Nothing to do.\n");
    assert_eq!(server.memory.asked.lock().unwrap()[1].0, "apply mass=true");
}
