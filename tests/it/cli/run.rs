//! `towpath run` and the operations below it, against a control plane in memory.

use super::Server;
use super::wire::call;
use serde_json::{Value, json};

#[tokio::test]
async fn run_prints_the_commands_lines_and_exits_with_its_code() {
    let server = Server::start().await;
    let ran =
        server.towpath(&["run", "shop", "--timeout", "5m", "--reason", "a fix", "--", "say", "--output", "x"]).await;
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (7, "line 0\nline 1\n", ""));
    let asked = server.memory.asked.lock().unwrap();
    assert_eq!(asked[0].0, "run [\"say\", \"--output\", \"x\"] for 300s", "what follows `--` is the command's");
    assert_eq!(asked[0].1.reason.as_deref(), Some("a fix"));
    assert!(asked[0].1.name.starts_with("local:"), "{}", asked[0].1.name);
}

#[tokio::test]
async fn run_as_json_prints_an_object_per_line_and_how_it_ended() {
    let server = Server::start().await;
    let ran = server.towpath(&["run", "--output", "json", "shop", "--", "say"]).await;
    assert_eq!(ran.code, 7, "{}", ran.err);
    let objects: Vec<Value> = ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let end = json!({ "service": "shop", "command_id": "01".repeat(16), "revision": 3, "outcome": "EXITED",
        "exit_code": 7, "message": "exited with code 7" });
    assert_eq!(objects, [json!({ "line": "line 0" }), json!({ "line": "line 1" }), end]);
}

#[tokio::test]
async fn what_is_no_exit_code_of_the_command_is_none_that_it_could_have_by_chance() {
    let server = Server::start().await;
    let ran = server.towpath(&["run", "shops", "--", "say"]).await;
    assert_eq!((ran.code, ran.err.as_str()), (125, "error: there is no service `shops`: there are `broken`, `shop`\n"));
    for wrong in [&["run", "shop"][..], &["run", "shop", "say"], &["run", "shop", "--timeout", "25h", "--", "say"]] {
        assert_eq!(server.towpath(wrong).await.code, 64, "{wrong:?}");
    }
}

#[tokio::test]
async fn a_command_is_asked_for_with_bounded_members() {
    let server = Server::start().await;
    let good = call(&server, "Towpath.RunCommand", json!({ "Service": "shop", "Command": ["say"] })).await;
    assert_eq!((good.status, &good.body), (200, &json!({ "CommandId": "01".repeat(16), "Revision": 3 })));
    for (input, member) in [
        (json!({ "Service": "shop", "Command": [] }), "`Command`"),
        (json!({ "Service": "shop", "Command": ["say"], "TimeoutSeconds": 0 }), "`TimeoutSeconds`"),
        (json!({ "Service": "shop", "Command": ["a\u{0}b"] }), "NUL"),
    ] {
        let answer = call(&server, "Towpath.RunCommand", input).await;
        answer.assert_error(400, "InvalidRequestException");
        assert!(answer.body["Message"].as_str().unwrap().contains(member), "{}", answer.body);
    }
    let unknown =
        call(&server, "Towpath.RunCommand", json!({ "Service": "shop", "Command": ["x"], "User": "root" })).await;
    unknown.assert_error(400, "SerializationException");
    let id = call(&server, "Towpath.GetCommandOutput", json!({ "CommandId": "../x" })).await;
    id.assert_error(400, "InvalidRequestException");
    let output = call(&server, "Towpath.GetCommandOutput", json!({ "CommandId": "01".repeat(16), "After": 1 })).await;
    let end = json!({ "Outcome": "EXITED", "ExitCode": 7, "Message": "exited with code 7" });
    assert_eq!(output.body, json!({ "Lines": ["line 1"], "Next": 2, "End": end }));
}
