//! The audit trail over the wire: every call is in it before its answer, refusals too, and nothing secret.

use super::{ACCOUNT, Answer, Draft, Server};
use serde_json::{Value, json};
use towpath::access::audit::Filter;
use towpath::access::signature::Credentials;
use towpath::model::Timestamp;

const LOOKUP: &str = "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents";
const SHOP: &str = "arn:aws:apprunner:local-1:000000000000:service/shop";

async fn lookup(server: &Server, by: &Credentials, input: Value) -> Answer {
    let mut draft = Draft::new(server.address, &input.to_string());
    draft.headers.insert("content-type", "application/x-amz-json-1.1".parse().unwrap());
    draft.headers.insert("x-amz-target", LOOKUP.parse().unwrap());
    server.send(draft.sign(by, "cloudtrail", Timestamp::now())).await
}

fn newest(server: &Server) -> Value {
    let found = server.audit.search(&Filter { limit: 1, ..Filter::default() }).unwrap();
    found.records.into_iter().next().unwrap().1
}

#[tokio::test]
async fn a_call_is_recorded_before_it_is_answered() {
    let server = Server::start().await;
    for n in 1..=20 {
        let answer = server.call(&server.admin, "AppRunner.DescribeService", json!({ "ServiceArn": SHOP })).await;
        let record = newest(&server);
        assert_eq!(record["requestID"], answer.headers["x-amzn-requestid"].to_str().unwrap());
        assert_eq!(server.audit.verify().unwrap().records, n);
    }
    let record = newest(&server);
    assert_eq!(record["userIdentity"]["arn"], format!("arn:aws:iam::{ACCOUNT}:user/admin"));
    assert_eq!(record["userIdentity"]["accessKeyId"], server.admin.key_id.as_str());
    assert_eq!((&record["eventName"], &record["readOnly"]), (&json!("DescribeService"), &json!(true)));
    assert_eq!(record["requestParameters"], json!({ "serviceArn": SHOP }));
    assert_eq!(record["responseElements"], Value::Null);
    assert_eq!(record["sourceIPAddress"], "127.0.0.1");
}

#[tokio::test]
async fn refusals_and_sessions_are_recorded_and_secrets_are_not() {
    let server = Server::start().await;
    let me = server.user("me", &[]).await;
    server
        .call(&me, "AppRunner.DeleteService", json!({ "ServiceArn": SHOP }))
        .await
        .assert_error(400, "AccessDeniedException");
    let record = newest(&server);
    assert_eq!(record["errorCode"], "AccessDenied");
    assert!(record["errorMessage"].as_str().unwrap().contains("apprunner:DeleteService on resource"));
    let made = server.call(&server.admin, "Towpath.CreateAccessKey", json!({ "User": "me" })).await.json();
    let text = newest(&server).to_string();
    assert!(
        text.contains("HIDDEN_DUE_TO_SECURITY_REASONS") && !text.contains(made["Secret"].as_str().unwrap()),
        "{text}"
    );
    let trust = r#"{"Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:user/me"},"Action":"sts:AssumeRole"}}"#;
    server.access.put_role("reader", trust, 3600, Timestamp::now()).await.unwrap();
    let form = "Action=AssumeRole&Version=2011-06-15&RoleArn=arn:aws:iam::000000000000:role/reader&RoleSessionName=ci";
    let answer = server.sts(&me, form).await;
    let record = newest(&server);
    assert_eq!((&record["eventName"], &record["eventSource"]), (&json!("AssumeRole"), &json!("sts.amazonaws.com")));
    let credentials = &record["responseElements"]["credentials"];
    assert_eq!(credentials["secretAccessKey"], "HIDDEN_DUE_TO_SECURITY_REASONS");
    assert_eq!(credentials["sessionToken"], "HIDDEN_DUE_TO_SECURITY_REASONS");
    assert!(answer.text.contains(credentials["accessKeyId"].as_str().unwrap()));
}

#[tokio::test]
async fn cloudtrails_lookup_finds_records_page_by_page() {
    let server = Server::start().await;
    let me = server.user("me", &["AWSAppRunnerReadOnlyAccess"]).await;
    for _ in 0..5 {
        server.call(&me, "AppRunner.ListServices", json!({})).await;
    }
    lookup(&server, &me, json!({})).await.assert_error_of("application/x-amz-json-1.1", 400, "AccessDeniedException");
    let by_me = json!([{ "AttributeKey": "Username", "AttributeValue": "me" }]);
    let (mut token, mut names) = (None, Vec::new());
    loop {
        let mut input = json!({ "LookupAttributes": by_me, "MaxResults": 4 });
        if let Some(token) = &token {
            input["NextToken"] = Value::clone(token);
        }
        let answer = lookup(&server, &server.admin, input).await;
        assert_eq!(
            (answer.status, &answer.headers["content-type"]),
            (200, &"application/x-amz-json-1.1".parse().unwrap())
        );
        let body = answer.json();
        names.extend(body["Events"].as_array().unwrap().iter().map(|e| e["EventName"].as_str().unwrap().to_owned()));
        token = body.get("NextToken").cloned();
        if token.is_none() {
            break;
        }
    }
    assert_eq!(names, [vec!["LookupEvents"], vec!["ListServices"; 5]].concat());
    let answer = lookup(&server, &server.admin, json!({ "LookupAttributes": by_me, "MaxResults": 1 })).await.json();
    let event = &answer["Events"][0];
    let record: Value = serde_json::from_str(event["CloudTrailEvent"].as_str().unwrap()).unwrap();
    assert_eq!((&event["EventId"], &event["ReadOnly"]), (&record["eventID"], &json!("true")));
    assert!(event["EventTime"].is_number() && event["AccessKeyId"] == me.key_id.as_str());
    let now = Timestamp::now().epoch_seconds();
    let none = lookup(&server, &server.admin, json!({ "StartTime": now + 60.0 })).await.json();
    assert_eq!(none["Events"], json!([]));
    for (input, code) in [
        (json!({ "MaxResults": 51 }), "InvalidMaxResultsException"),
        (json!({ "NextToken": "x" }), "InvalidNextTokenException"),
        (json!({ "StartTime": now, "EndTime": now - 1.0 }), "InvalidTimeRangeException"),
        (
            json!({ "LookupAttributes": [{ "AttributeKey": "Colour", "AttributeValue": "x" }] }),
            "InvalidLookupAttributesException",
        ),
    ] {
        lookup(&server, &server.admin, input).await.assert_error_of("application/x-amz-json-1.1", 400, code);
    }
}

#[tokio::test]
async fn requests_of_strangers_are_recorded_and_a_flood_of_them_only_counted() {
    let server = Server::start().await;
    let forged = Credentials { secret: towpath::model::Secret::new("wrong".into()), ..server.admin.clone() };
    for _ in 0..200 {
        let answer = server.call(&forged, "AppRunner.DeleteService", json!({ "ServiceArn": SHOP })).await;
        answer.assert_error(403, "InvalidSignatureException");
    }
    let all = server.audit.search(&Filter { limit: 1000, ..Filter::default() }).unwrap().records;
    assert!((60..100).contains(&all.len()), "{}", all.len());
    let record = &all.last().unwrap().1;
    assert_eq!((&record["eventName"], &record["errorCode"]), (&json!("DeleteService"), &json!("InvalidSignature")));
    let identity = json!({ "type": "Unknown", "accessKeyId": server.admin.key_id });
    assert_eq!((&record["userIdentity"], &record["sourceIPAddress"]), (&identity, &json!("127.0.0.1")));
    assert!(!record.to_string().contains(SHOP), "what a stranger says is not taken down");
    assert!(server.audit.verify().unwrap().problems.is_empty());
}
