//! Temporary credentials: who gets them, what they may, and when they end.

use super::{ACCOUNT, Server};
use serde_json::json;
use towpath::access::Attached;
use towpath::access::signature::Credentials;
use towpath::model::{Secret, Timestamp};

fn element(xml: &str, name: &str) -> String {
    let rest = xml.split(&format!("<{name}>")).nth(1).unwrap_or_else(|| panic!("no {name} in {xml}"));
    rest.split(&format!("</{name}>")).next().unwrap().to_owned()
}

fn form(role: &str, more: &str) -> String {
    format!(
        "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A{ACCOUNT}%3Arole%2F{role}&RoleSessionName=ci-1{more}"
    )
}

fn trust(principal: &str, condition: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":{{"AWS":"{principal}"}},"Action":"sts:AssumeRole"{condition}}}}}"#
    )
}

async fn assume(server: &Server, by: &Credentials, role: &str, more: &str) -> Result<Credentials, String> {
    let answer = server.sts(by, &form(role, more)).await;
    if answer.status != 200 {
        return Err(format!("{} {}", element(&answer.text, "Code"), element(&answer.text, "Message")));
    }
    let text = &answer.text;
    assert_eq!(element(text, "Arn"), format!("arn:aws:sts::{ACCOUNT}:assumed-role/{role}/ci-1"));
    let secret = Secret::new(element(text, "SecretAccessKey"));
    Ok(Credentials { key_id: element(text, "AccessKeyId"), secret, token: Some(element(text, "SessionToken")) })
}

async fn role(server: &Server, name: &str, trust: &str) {
    server.access.put_role(name, trust, 3600, Timestamp::now()).await.unwrap();
    server.access.attach(Attached::Role, name, "AWSAppRunnerReadOnlyAccess").await.unwrap();
}

#[tokio::test]
async fn a_trusted_user_gets_credentials_that_may_what_the_role_may() {
    let server = Server::start().await;
    let (me, you) = (server.user("me", &[]).await, server.user("you", &[]).await);
    role(&server, "reader", &trust(&format!("arn:aws:iam::{ACCOUNT}:user/me"), "")).await;
    let session = assume(&server, &me, "reader", "").await.unwrap();
    assert!(session.key_id.starts_with("ASIA"));
    assert_eq!(server.call(&session, "AppRunner.ListServices", json!({})).await.status, 200);
    let message = server.call(&session, "Towpath.Apply", json!({})).await.assert_error(400, "AccessDeniedException");
    assert!(message.starts_with(&format!("User: arn:aws:sts::{ACCOUNT}:assumed-role/reader/ci-1 is not")), "{message}");
    let who = server.sts(&session, "Action=GetCallerIdentity&Version=2011-06-15").await.text;
    assert!(element(&who, "UserId").starts_with("AROA") && element(&who, "UserId").ends_with(":ci-1"), "{who}");
    let refused = assume(&server, &you, "reader", "").await.unwrap_err();
    let words = "is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::000000000000:role/reader";
    assert!(refused.starts_with("AccessDenied ") && refused.ends_with(words), "{refused}");
    // A role that there is not reads the same: names of roles are not given away.
    assert!(assume(&server, &me, "nothing", "").await.unwrap_err().starts_with("AccessDenied "));
}

#[tokio::test]
async fn a_role_that_trusts_the_account_leaves_it_to_the_callers_policies() {
    let server = Server::start().await;
    let me = server.user("me", &[]).await;
    role(&server, "reader", &trust(ACCOUNT, "")).await;
    assert!(assume(&server, &me, "reader", "").await.is_err());
    let may = format!(
        r#"{{"Statement":{{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"arn:aws:iam::{ACCOUNT}:role/reader"}}}}"#
    );
    server.access.put_policy("assume", &may, Timestamp::now()).await.unwrap();
    server.access.attach(Attached::User, "me", "assume").await.unwrap();
    assert!(assume(&server, &me, "reader", "").await.is_ok());
    let external = r#","Condition":{"StringEquals":{"sts:ExternalId":"word"}}"#;
    role(&server, "reader", &trust(ACCOUNT, external)).await;
    assert!(assume(&server, &me, "reader", "").await.is_err());
    assert!(assume(&server, &me, "reader", "&ExternalId=word").await.is_ok());
}

#[tokio::test]
async fn a_session_policy_takes_rights_away_and_gives_none() {
    let server = Server::start().await;
    let me = server.user("me", &[]).await;
    role(&server, "reader", &trust(&format!("arn:aws:iam::{ACCOUNT}:user/me"), "")).await;
    let policy = |action: &str| {
        let text = format!(r#"{{"Statement":{{"Effect":"Allow","Action":"{action}","Resource":"*"}}}}"#);
        format!("&Policy={}", text.bytes().map(|b| format!("%{b:02X}")).collect::<String>())
    };
    let lists = assume(&server, &me, "reader", &policy("apprunner:ListConnections")).await.unwrap();
    server.call(&lists, "AppRunner.ListServices", json!({})).await.assert_error(400, "AccessDeniedException");
    let all = assume(&server, &me, "reader", &policy("*")).await.unwrap();
    assert_eq!(server.call(&all, "AppRunner.ListServices", json!({})).await.status, 200);
    server.call(&all, "Towpath.Apply", json!({})).await.assert_error(400, "AccessDeniedException");
    assert!(assume(&server, &me, "reader", "&Policy=%7B").await.unwrap_err().starts_with("ValidationError "));
}

#[tokio::test]
async fn a_session_outlives_a_restart_and_ends_with_its_role() {
    let server = Server::start().await;
    let me = server.user("me", &[]).await;
    role(&server, "reader", &trust(&format!("arn:aws:iam::{ACCOUNT}:user/me"), "")).await;
    let session = assume(&server, &me, "reader", "").await.unwrap();
    let again = Server::start_on(server.stop().await).await;
    assert_eq!(again.call(&session, "AppRunner.ListServices", json!({})).await.status, 200);
    again.access.delete_role("reader").await.unwrap();
    again.call(&session, "AppRunner.ListServices", json!({})).await.assert_error(400, "UnrecognizedClientException");
    role(&again, "reader", &trust(&format!("arn:aws:iam::{ACCOUNT}:user/me"), "")).await;
    again.call(&session, "AppRunner.ListServices", json!({})).await.assert_error(400, "UnrecognizedClientException");
}

#[tokio::test]
async fn a_token_counts_with_its_own_key_only_and_unchanged() {
    let server = Server::start().await;
    let me = server.user("me", &[]).await;
    role(&server, "reader", &trust(&format!("arn:aws:iam::{ACCOUNT}:user/me"), "")).await;
    let one = assume(&server, &me, "reader", "").await.unwrap();
    let two = assume(&server, &me, "reader", "").await.unwrap();
    let list = async |credentials: Credentials| server.call(&credentials, "AppRunner.ListServices", json!({})).await;
    let swapped = Credentials { token: two.token.clone(), ..one.clone() };
    list(swapped).await.assert_error(400, "UnrecognizedClientException");
    let mut token = one.token.clone().unwrap();
    let last = token.pop().unwrap();
    token.insert(20, if last == 'A' { 'B' } else { 'A' });
    list(Credentials { token: Some(token), ..one.clone() }).await.assert_error(400, "UnrecognizedClientException");
    list(Credentials { token: None, ..one.clone() }).await.assert_error(400, "UnrecognizedClientException");
    list(Credentials { secret: two.secret, ..one }).await.assert_error(403, "InvalidSignatureException");
}

#[tokio::test]
async fn sessions_are_as_long_as_their_role_lets_them() {
    let server = Server::start().await;
    let me = server.user("me", &[]).await;
    role(&server, "reader", &trust(&format!("arn:aws:iam::{ACCOUNT}:user/me"), "")).await;
    assert!(assume(&server, &me, "reader", "&DurationSeconds=900").await.is_ok());
    for seconds in ["899", "3601", "-1", "x"] {
        let refused = assume(&server, &me, "reader", &format!("&DurationSeconds={seconds}")).await.unwrap_err();
        assert!(refused.starts_with("ValidationError "), "{refused}");
    }
}

#[tokio::test]
async fn what_has_ended_is_said_to_have_expired() {
    let server = Server::start().await;
    let me = server.user("me", &[]).await;
    role(&server, "reader", &trust(&format!("arn:aws:iam::{ACCOUNT}:user/me"), "")).await;
    let earlier = Timestamp(Timestamp::now().0 - 4_000_000);
    let facts = towpath::access::RequestFacts { secure: false, ..towpath::access::RequestFacts::local("x", earlier) };
    let asked = towpath::access::AssumeRole {
        role_arn: format!("arn:aws:iam::{ACCOUNT}:role/reader"),
        session_name: "old".into(),
        ..Default::default()
    };
    let user = &server.access.directory().users["me"];
    let identity = towpath::access::Identity::User { name: "me".into(), id: user.id.clone(), account: ACCOUNT.into() };
    let caller = towpath::access::Caller { identity, key_id: Some(me.key_id) };
    let old = server.access.assume_role(&caller, &asked, &facts).unwrap();
    let old = Credentials { key_id: old.key_id, secret: old.secret, token: Some(old.token) };
    server.call(&old, "AppRunner.ListServices", json!({})).await.assert_error(403, "ExpiredTokenException");
    let answer = server.sts(&old, "Action=GetCallerIdentity&Version=2011-06-15").await;
    assert!(answer.text.contains("<Code>ExpiredToken</Code>"), "{}", answer.text);
}
