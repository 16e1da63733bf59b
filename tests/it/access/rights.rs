//! Rights over the wire: nothing without one, and exactly what a policy gives.

use super::{ACCOUNT, Server};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use towpath::access::{Attached, Caller, RequestFacts};
use towpath::model::Timestamp;

const SHOP: &str = "arn:aws:apprunner:local-1:000000000000:service/shop";
const SHOP_ID: &str = "01010101010101010101010101010101";

#[tokio::test]
async fn every_operation_is_refused_to_who_has_no_right() {
    let server = Server::start().await;
    let nobody = server.user("nobody", &[]).await;
    for target in towpath::api::targets() {
        let message = server.call(&nobody, target, json!({})).await.assert_error(400, "AccessDeniedException");
        let words = format!("User: arn:aws:iam::{ACCOUNT}:user/nobody is not authorized to perform: ");
        assert!(message.starts_with(&words) && message.contains(" on resource: "), "{target}: {message}");
    }
}

/// All targets that stand as text in the sources of a directory.
fn targets_in(directory: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            found.extend(targets_in(&entry.path()));
            continue;
        }
        let text = fs::read_to_string(entry.path()).unwrap();
        for prefix in ["\"AppRunner.", "\"Towpath."] {
            for rest in text.split(prefix).skip(1) {
                let name: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
                found.insert(format!("{}{name}", &prefix[1..]));
            }
        }
    }
    found.retain(|target| !target.ends_with('.'));
    found
}

#[test]
fn whatever_is_called_anywhere_stands_in_the_table_of_operations() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let table: BTreeSet<String> = towpath::api::targets().map(str::to_owned).collect();
    let named: BTreeSet<String> =
        targets_in(&root.join("api")).union(&targets_in(&root.join("cli"))).cloned().collect();
    assert!(named.len() > 40 && named.is_subset(&table), "{:?}", named.difference(&table));
}

#[tokio::test]
async fn what_is_not_in_the_table_is_no_operation_for_the_administrator_either() {
    let server = Server::start().await;
    server.call(&server.admin, "Towpath.Anything", json!({})).await.assert_error(404, "UnknownOperationException");
}

#[tokio::test]
async fn a_refusal_names_user_action_and_resource() {
    let server = Server::start().await;
    let reader = server.user("reader", &["AWSAppRunnerReadOnlyAccess"]).await;
    assert_eq!(server.call(&reader, "AppRunner.ListServices", json!({})).await.status, 200);
    assert_eq!(server.call(&reader, "AppRunner.DescribeService", json!({ "ServiceArn": SHOP })).await.status, 200);
    for arn in [SHOP.to_owned(), format!("{SHOP}/{SHOP_ID}"), SHOP.replace("arn:aws:", "arn:aws-x:")] {
        let answer = server.call(&reader, "AppRunner.DeleteService", json!({ "ServiceArn": arn })).await;
        assert_eq!(
            answer.assert_error(400, "AccessDeniedException"),
            format!(
                "User: arn:aws:iam::{ACCOUNT}:user/reader is not authorized to perform: apprunner:DeleteService on \
                 resource: {SHOP}/{SHOP_ID}"
            )
        );
    }
}

#[tokio::test]
async fn rights_come_by_policies_of_ones_own_and_of_ones_groups_and_go_with_them() {
    let server = Server::start().await;
    let me = server.user("me", &[]).await;
    let list = async || server.call(&me, "AppRunner.ListServices", json!({})).await.status;
    let access = &server.access;
    access.create_group("readers", Timestamp::now()).await.unwrap();
    access.attach(Attached::Group, "readers", "AWSAppRunnerReadOnlyAccess").await.unwrap();
    assert_eq!(list().await, 400);
    access.join("me", "readers").await.unwrap();
    assert_eq!(list().await, 200);
    assert!(access.delete_group("readers").await.is_err());
    let deny = r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"apprunner:List*","Resource":"*"}}"#;
    access.put_policy("no-lists", deny, Timestamp::now()).await.unwrap();
    access.attach(Attached::User, "me", "no-lists").await.unwrap();
    assert_eq!(list().await, 400);
    assert!(access.delete_policy("no-lists").await.unwrap_err().to_string().contains("user `me`"));
    access.detach(Attached::User, "me", "no-lists").await.unwrap();
    assert_eq!(list().await, 200);
    access.bound(Attached::User, "me", Some("no-lists")).await.unwrap();
    assert_eq!(list().await, 400);
    access.bound(Attached::User, "me", None).await.unwrap();
    access.leave("me", "readers").await.unwrap();
    assert_eq!(list().await, 400);
}

#[tokio::test]
async fn a_key_counts_until_it_is_disabled_or_its_user_goes() {
    let server = Server::start().await;
    let me = server.user("me", &["AWSAppRunnerFullAccess"]).await;
    let list = async || server.call(&me, "AppRunner.ListServices", json!({})).await;
    assert_eq!(list().await.status, 200);
    server.access.set_key_status(&me.key_id, towpath::access::KeyStatus::Inactive).await.unwrap();
    list().await.assert_error(400, "UnrecognizedClientException");
    server.access.set_key_status(&me.key_id, towpath::access::KeyStatus::Active).await.unwrap();
    assert_eq!(list().await.status, 200);
    server.access.delete_user("me").await.unwrap();
    list().await.assert_error(400, "UnrecognizedClientException");
    // A new user of the old name gets nothing of the old one's.
    let again = server.user("me", &[]).await;
    server.call(&again, "AppRunner.ListServices", json!({})).await.assert_error(400, "AccessDeniedException");
    list().await.assert_error(400, "UnrecognizedClientException");
}

#[tokio::test]
async fn conditions_see_parameters_tags_and_where_a_call_comes_from() {
    let server = Server::start().await;
    let allow = |action: &str, condition: Value| {
        json!({ "Version": "2012-10-17", "Statement": { "Effect": "Allow", "Action": action, "Resource": "*", "Condition": condition } })
            .to_string()
    };
    let prod = json!({ "ArnNotLike": { "apprunner:ConnectionArn": "arn:aws:apprunner:*:*:connection/prod/*" } });
    for (name, document) in [
        ("here", allow("apprunner:ListServices", json!({ "IpAddress": { "aws:SourceIp": "127.0.0.0/8" } }))),
        ("elsewhere", allow("apprunner:ListConnections", json!({ "IpAddress": { "aws:SourceIp": "192.0.2.0/24" } }))),
        (
            "tagged",
            allow(
                "apprunner:CreateConnection",
                json!({ "StringEquals": { "aws:RequestTag/Owner": "${aws:username}" } }),
            ),
        ),
        (
            "keys",
            allow("apprunner:UntagResource", json!({ "ForAllValues:StringEquals": { "aws:TagKeys": ["a", "b"] } })),
        ),
        ("no-prod", allow("apprunner:CreateService", prod)),
    ] {
        server.access.put_policy(name, &document, Timestamp::now()).await.unwrap();
    }
    let me = server.user("me", &["here", "elsewhere", "tagged", "keys", "no-prod"]).await;
    let denied = async |target: &str, input: Value| {
        let answer = server.call(&me, target, input).await;
        answer.status == 400 && answer.json()["__type"] == "AccessDeniedException"
    };
    assert!(!denied("AppRunner.ListServices", json!({})).await);
    assert!(denied("AppRunner.ListConnections", json!({})).await);
    let tags = |owner: &str| json!({ "ConnectionName": "mine", "Tags": [{ "Key": "owner", "Value": owner }] });
    assert!(!denied("AppRunner.CreateConnection", tags("me")).await);
    assert!(denied("AppRunner.CreateConnection", tags("you")).await);
    assert!(!denied("AppRunner.UntagResource", json!({ "ResourceArn": SHOP, "TagKeys": ["b"] })).await);
    assert!(denied("AppRunner.UntagResource", json!({ "ResourceArn": SHOP, "TagKeys": ["b", "c"] })).await);
    let create = |connection: &str| {
        let arn = format!("arn:aws:apprunner:local-1:{ACCOUNT}:connection/{connection}");
        json!({ "ServiceName": "new-one", "SourceConfiguration": { "AuthenticationConfiguration": { "ConnectionArn": arn } } })
    };
    assert!(!denied("AppRunner.CreateService", create("dev")).await);
    // A member that an operation does not have decides nothing about it.
    let with_bait = json!({
        "ServiceName": "new-one",
        "ConnectionArn": format!("arn:aws:apprunner:local-1:{ACCOUNT}:connection/dev"),
        "SourceConfiguration": create("prod")["SourceConfiguration"],
    });
    assert!(denied("AppRunner.CreateService", with_bait).await);
    let bait = json!({ "ResourceArn": SHOP, "TagKeys": ["c"], "Tags": [{ "Key": "a", "Value": "" }] });
    assert!(denied("AppRunner.UntagResource", bait).await);
    // Leaving out the id (row R6) does not lead past the policy.
    assert!(denied("AppRunner.CreateService", create("prod")).await);
    assert!(denied("AppRunner.CreateService", create(&format!("prod/{SHOP_ID}"))).await);
}

#[tokio::test]
async fn naming_a_role_in_a_service_needs_the_right_to_pass_it() {
    let server = Server::start().await;
    let create = r#"{"Statement":{"Effect":"Allow","Action":"apprunner:CreateService","Resource":"*"}}"#;
    server.access.put_policy("create", create, Timestamp::now()).await.unwrap();
    let me = server.user("me", &["create"]).await;
    let role = format!("arn:aws:iam::{ACCOUNT}:role/runtime");
    let input = json!({ "ServiceName": "new-one", "InstanceConfiguration": { "InstanceRoleArn": role } });
    let message =
        server.call(&me, "AppRunner.CreateService", input.clone()).await.assert_error(400, "AccessDeniedException");
    assert!(message.ends_with(&format!("perform: iam:PassRole on resource: {role}")), "{message}");
    server.access.attach(Attached::User, "me", "AWSAppRunnerFullAccess").await.unwrap();
    let answer = server.call(&me, "AppRunner.CreateService", input).await;
    assert_ne!(answer.json()["__type"], "AccessDeniedException", "{}", answer.text);
}

#[tokio::test]
async fn an_administrator_of_access_makes_users_over_the_wire_and_nobody_else_does() {
    let server = Server::start().await;
    let made = server.call(&server.admin, "Towpath.CreateUser", json!({ "Name": "new" })).await;
    assert_eq!(made.status, 200, "{}", made.text);
    server
        .call(&server.admin, "Towpath.CreateUser", json!({ "Name": "new" }))
        .await
        .assert_error(400, "InvalidStateException");
    server
        .call(&server.admin, "Towpath.CreateUser", json!({ "Name": "a/b" }))
        .await
        .assert_error(400, "InvalidRequestException");
    let full = server.user("full", &["AWSAppRunnerFullAccess", "TowpathFullAccess"]).await;
    server
        .call(&full, "Towpath.CreateAccessKey", json!({ "User": "admin" }))
        .await
        .assert_error(400, "AccessDeniedException");
    let key = server.call(&server.admin, "Towpath.CreateAccessKey", json!({ "User": "new" })).await.json();
    assert!(key["Id"].as_str().unwrap().starts_with("AKIA") && key["Secret"].as_str().unwrap().len() == 40);
    let listed = server.call(&server.admin, "Towpath.ListAccessKeys", json!({})).await.text;
    assert!(!listed.contains(key["Secret"].as_str().unwrap()), "{listed}");
}

#[tokio::test]
async fn the_control_socket_is_the_administrator_by_the_machines_word() {
    let server = Server::start().await;
    let facts = RequestFacts::local("x", Timestamp::now());
    let keys = towpath::access::policy::Context::default();
    let decision = server.access.may(&Caller::local("local:root"), "iam:CreateUser", "*", &keys, &facts);
    assert_eq!(decision, towpath::access::policy::Decision::Allowed);
}
