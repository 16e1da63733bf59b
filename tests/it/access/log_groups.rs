//! CloudWatch Logs over the wire: groups, streams, lines in both directions, and who may read them.

use super::{Answer, Server};
use crate::cli::fixture::NOW;
use serde_json::{Value, json};
use towpath::model::InstanceId;

const SHOP: &str = "/aws/apprunner/shop/01010101010101010101010101010101/";

async fn ask(server: &Server, operation: &str, input: Value) -> Answer {
    server.call(&server.admin, &format!("Logs_20140328.{operation}"), input).await
}

fn group(part: &str) -> String {
    format!("{SHOP}{part}")
}

#[tokio::test]
async fn a_service_has_two_groups_with_streams_of_their_own() {
    let server = Server::start().await;
    let groups = ask(&server, "DescribeLogGroups", json!({ "logGroupNamePrefix": SHOP })).await.json();
    let names: Vec<&str> =
        groups["logGroups"].as_array().unwrap().iter().map(|g| g["logGroupName"].as_str().unwrap()).collect();
    assert_eq!(names, [group("application"), group("service")]);
    let arn = &groups["logGroups"][0]["logGroupArn"];
    let streams = ask(&server, "DescribeLogStreams", json!({ "logGroupIdentifier": arn })).await.json();
    let name = format!("instance/{}", InstanceId::from_random([1; 16]));
    assert_eq!(
        (&streams["logStreams"][0]["logStreamName"], streams["logStreams"][1].is_object()),
        (&json!(name), true)
    );
    let none = ask(&server, "DescribeLogStreams", json!({ "logGroupName": group("service") })).await.json();
    assert_eq!(none, json!({ "logStreams": [] }));
}

#[tokio::test]
async fn the_lines_of_all_streams_come_in_order_page_by_page_and_each_once() {
    let server = Server::start().await;
    let (mut seen, mut token) = (Vec::new(), Value::Null);
    loop {
        let asked = json!({ "logGroupName": group("application"), "limit": 999, "nextToken": token });
        let page = ask(&server, "FilterLogEvents", asked).await.json();
        seen.extend(page["events"].as_array().unwrap().clone());
        token = page["nextToken"].clone();
        if token.is_null() {
            break;
        }
    }
    // Two streams of 2,500 lines, one line a millisecond each.
    assert_eq!(seen.len(), 5000);
    let ids: std::collections::BTreeSet<&str> = seen.iter().map(|e| e["eventId"].as_str().unwrap()).collect();
    assert_eq!((ids.len(), ids.first().unwrap().len()), (5000, 56));
    assert!(seen.windows(2).all(|two| two[0]["timestamp"].as_i64() <= two[1]["timestamp"].as_i64()));
    let found = ask(
        &server,
        "FilterLogEvents",
        json!({ "logGroupName": group("application"), "filterPattern": "instance \" 77\"", "startTime": NOW.0 + 700,
                "endTime": NOW.0 + 775 }),
    );
    let found = found.await.json();
    assert_eq!(found["events"].as_array().unwrap().len(), 12, "{found}");
    assert_eq!(found.get("nextToken"), None, "a client would ask for ever");
}

#[tokio::test]
async fn a_stream_is_read_from_its_end_back_and_from_its_head_on() {
    let server = Server::start().await;
    let name = format!("instance/{}", InstanceId::from_random([1; 16]));
    let get = async |more: Value| {
        let mut asked = json!({ "logGroupName": group("application"), "logStreamName": name, "limit": 1000 });
        asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        ask(&server, "GetLogEvents", asked).await.json()
    };
    let times = |page: &Value| -> Vec<i64> {
        page["events"].as_array().unwrap().iter().map(|e| e["timestamp"].as_i64().unwrap() - NOW.0).collect()
    };
    for (head, token, expected) in [
        (false, "nextBackwardToken", [1500..2500, 500..1500, 0..500]),
        (true, "nextForwardToken", [0..1000, 1000..2000, 2000..2500]),
    ] {
        let mut page = get(json!({ "startFromHead": head })).await;
        for range in expected {
            assert_eq!(times(&page), range.collect::<Vec<i64>>());
            page = get(json!({ "nextToken": page[token] })).await;
        }
        assert_eq!(times(&page), Vec::<i64>::new());
        let again = get(json!({ "nextToken": page[token] })).await;
        assert_eq!((&again[token], times(&again)), (&page[token], Vec::new()), "the same token twice is the end");
    }
}

#[tokio::test]
async fn what_is_asked_wrongly_is_refused_as_cloudwatch_does() {
    let server = Server::start().await;
    let there = group("service");
    for (operation, input, code) in [
        ("FilterLogEvents", json!({ "logGroupName": "/aws/lambda/x" }), "ResourceNotFoundException"),
        ("FilterLogEvents", json!({}), "InvalidParameterException"),
        ("FilterLogEvents", json!({ "logGroupName": there, "limit": 0 }), "InvalidParameterException"),
        (
            "FilterLogEvents",
            json!({ "logGroupName": there, "filterPattern": "{ $.a = 1 }" }),
            "InvalidParameterException",
        ),
        ("FilterLogEvents", json!({ "logGroupName": there, "nextToken": "!" }), "InvalidParameterException"),
        ("FilterLogEvents", json!({ "logGroupName": 7 }), "SerializationException"),
        ("GetLogEvents", json!({ "logGroupName": there, "logStreamName": "x" }), "ResourceNotFoundException"),
        ("GetLogEvents", json!({ "logGroupName": there }), "InvalidParameterException"),
        ("DescribeLogStreams", json!({ "logGroupName": there, "orderBy": "Size" }), "InvalidParameterException"),
        ("DescribeLogGroups", json!({ "limit": 51 }), "InvalidParameterException"),
    ] {
        ask(&server, operation, input).await.assert_error(400, code);
    }
}

#[tokio::test]
async fn a_policy_on_a_group_lets_its_lines_be_read_and_no_others() {
    let server = Server::start().await;
    let me = server.user("me", &[]).await;
    let policy = format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":"logs:FilterLogEvents",
            "Resource":"arn:aws:logs:*:*:log-group:{SHOP}application:*"}}}}"#
    );
    server.access.put_policy("reader", &policy, towpath::model::Timestamp::now()).await.unwrap();
    server.access.attach(towpath::access::Attached::User, "me", "reader").await.unwrap();
    let target = "Logs_20140328.FilterLogEvents";
    let read = async |part: &str| server.call(&me, target, json!({ "logGroupName": group(part), "limit": 1 })).await;
    assert_eq!(read("application").await.status, 200);
    let refusal = read("service").await.assert_error(400, "AccessDeniedException");
    assert!(refusal.ends_with(&format!("on resource: arn:aws:logs:local-1:000000000000:log-group:{SHOP}service:*")));
}
