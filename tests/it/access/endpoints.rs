//! Private endpoints (row A10): what is called through one has to be in its policy and in the caller's.

use super::{Server, credentials};
use serde_json::json;
use towpath::access::Endpoint;
use towpath::access::audit::Filter;
use towpath::api::serve_endpoint;

const READ: &str = r#"{"Version":"2012-10-17","Statement":[
    {"Effect":"Allow","Principal":"*","Action":["apprunner:List*","apprunner:Describe*"],"Resource":"*"}]}"#;

impl Server {
    /// The same server by a private endpoint.
    async fn by_endpoint(&self, name: &str, policy: Option<&str>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (endpoint, stop) = (Endpoint::new(name, policy).unwrap(), self.stop.clone());
        let task = tokio::spawn(serve_endpoint(listener, self.door.clone(), endpoint, None, stop.clone()));
        Self {
            data: tempfile::tempdir().unwrap(),
            address,
            door: self.door.clone(),
            access: self.access.clone(),
            audit: self.audit.clone(),
            admin: credentials(&self.credentials_file()),
            stop,
            task,
        }
    }
}

#[tokio::test]
async fn an_endpoint_s_policy_bounds_the_administrator_too_and_gives_nobody_a_right() {
    let server = Server::start().await;
    let nobody = server.user("nobody", &[]).await;
    let reading = server.by_endpoint("vpce-reading", Some(READ)).await;
    let create = json!({ "ConnectionName": "conn", "ProviderType": "GITHUB" });
    assert_eq!(reading.call(&server.admin, "AppRunner.ListServices", json!({})).await.status, 200);
    let refused = reading.call(&server.admin, "AppRunner.CreateConnection", create).await;
    refused.assert_error(400, "AccessDeniedException");
    reading.call(&nobody, "AppRunner.ListServices", json!({})).await.assert_error(400, "AccessDeniedException");
    // By the listener beside it all is as before.
    server.call(&server.admin, "AppRunner.DeleteService", json!({})).await.assert_error(400, "InvalidRequestException");
    let who = reading.sts(&server.admin, "Action=GetCallerIdentity&Version=2011-06-15").await;
    assert_eq!(who.status, 200);
    let role = "arn:aws:iam::000000000000:role/any";
    let trust = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}}"#;
    server.access.put_role("any", trust, 3600, towpath::model::Timestamp::now()).await.unwrap();
    let assume = format!("Action=AssumeRole&Version=2011-06-15&RoleArn={role}&RoleSessionName=me");
    assert_eq!(server.sts(&server.admin, &assume).await.status, 200);
    assert_ne!(reading.sts(&server.admin, &assume).await.status, 200, "a role is no way around the endpoint");
}

#[tokio::test]
async fn policies_and_the_audit_trail_know_the_endpoint() {
    let server = Server::start().await;
    let me = server.user("me", &[]).await;
    let only = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"apprunner:ListServices","Resource":"*",
        "Condition":{"StringEquals":{"aws:SourceVpce":"vpce-1"}}}}"#;
    server.access.put_policy("only", only, towpath::model::Timestamp::now()).await.unwrap();
    server.access.attach(towpath::access::Attached::User, "me", "only").await.unwrap();
    let (one, two) = (server.by_endpoint("vpce-1", None).await, server.by_endpoint("vpce-2", None).await);
    assert_eq!(one.call(&me, "AppRunner.ListServices", json!({})).await.status, 200);
    for other in [&two, &server] {
        other.call(&me, "AppRunner.ListServices", json!({})).await.assert_error(400, "AccessDeniedException");
    }
    let records = server.audit.search(&Filter { user: Some("me".into()), limit: 9, ..Filter::default() }).unwrap();
    let by: Vec<Option<&str>> = records.records.iter().map(|(_, r)| r["vpcEndpointId"].as_str()).collect();
    assert_eq!(by, [None, Some("vpce-2"), Some("vpce-1")]);
}

#[test]
fn a_policy_that_is_none_makes_no_endpoint() {
    assert!(Endpoint::new("x", Some("{}")).is_err());
    assert!(Endpoint::new("x", None).unwrap().policy().is_none());
}
