//! The wire as a client sees it: App Runner's shapes, paging, ours.

use super::Server;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request};
use serde_json::{Value, json};

/// One answer.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    /// Asserts that it is an error in AWS' shape.
    pub fn assert_error(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.body["__type"].as_str()), (status, Some(code)), "{}", self.body);
        assert_eq!(self.headers["x-amzn-errortype"], code);
        assert!(self.body["Message"].is_string());
        assert!(self.headers.contains_key("x-amzn-requestid"));
    }
}

/// Sends a request as it is.
pub async fn send(server: &Server, request: Request<Full<Bytes>>) -> Answer {
    let stream = tokio::net::UnixStream::connect(server.socket()).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    Answer {
        status: head.status.as_u16(),
        headers: head.headers,
        body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
    }
}

/// A whole request for a target.
pub fn request(server: &Server, target: &str, body: impl Into<String>) -> Request<Full<Bytes>> {
    Request::post("/")
        .header("host", "towpath")
        .header("authorization", server.token.header())
        .header("content-type", "application/x-amz-json-1.0")
        .header("x-amz-target", target)
        .body(Full::new(Bytes::from(body.into())))
        .unwrap()
}

pub async fn call(server: &Server, target: &str, input: Value) -> Answer {
    send(server, request(server, target, input.to_string())).await
}

const SHOP: &str = "arn:aws:apprunner:local-1:000000000000:service/shop";
const SHOP_ID: &str = "01010101010101010101010101010101";

#[tokio::test]
async fn describe_service_has_app_runners_shape() {
    let server = Server::start().await;
    let answer = call(&server, "AppRunner.DescribeService", json!({ "ServiceArn": SHOP })).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.headers["content-type"], "application/x-amz-json-1.0");
    assert_eq!(answer.headers["x-amzn-requestid"].len(), 36);
    let label = "bbbbbbbbbb";
    let expected = json!({ "Service": {
        "ServiceName": "shop",
        "ServiceId": SHOP_ID,
        "ServiceArn": format!("{SHOP}/{SHOP_ID}"),
        "ServiceUrl": format!("{label}.local-1.localhost:8080"),
        "CreatedAt": 1_795_000_000.123,
        "UpdatedAt": 1_795_000_000.123,
        "Status": "RUNNING",
        "SourceConfiguration": {
            "CodeRepository": {
                "RepositoryUrl": "https://github.com/acme/shop",
                "SourceCodeVersion": { "Type": "BRANCH", "Value": "main" },
                "CodeConfiguration": {
                    "ConfigurationSource": "API",
                    "CodeConfigurationValues": {
                        "Runtime": "PYTHON_3",
                        "BuildCommand": "pip install -r requirements.txt && make",
                        "StartCommand": "python server.py",
                        "Port": "8080",
                        "RuntimeEnvironmentVariables": { "LOG_LEVEL": "info" },
                        "RuntimeEnvironmentSecrets": { "KEY": "file /etc/key" },
                    },
                },
            },
            "AutoDeploymentsEnabled": true,
        },
        "InstanceConfiguration": { "Cpu": "1024", "Memory": "2048" },
        "HealthCheckConfiguration": {
            "Protocol": "TCP", "Path": "/", "Interval": 5, "Timeout": 2, "HealthyThreshold": 1, "UnhealthyThreshold": 5,
        },
        "AutoScalingConfigurationSummary": {
            "AutoScalingConfigurationArn": "arn:aws:apprunner:local-1:000000000000:autoscalingconfiguration/\
                DefaultConfiguration/1/00000000000000000000000000000001",
            "AutoScalingConfigurationName": "DefaultConfiguration",
            "AutoScalingConfigurationRevision": 1,
        },
        "NetworkConfiguration": {
            "EgressConfiguration": { "EgressType": "DEFAULT" },
            "IngressConfiguration": { "IsPubliclyAccessible": true },
            "IpAddressType": "IPV4",
        },
    }});
    assert_eq!(answer.body, expected);
}

#[tokio::test]
async fn an_arn_names_its_service_with_and_without_the_id_and_no_other() {
    let server = Server::start().await;
    let describe = |arn: String| {
        let server = &server;
        async move { call(server, "AppRunner.DescribeService", json!({ "ServiceArn": arn })).await }
    };
    assert_eq!(describe(format!("{SHOP}/{SHOP_ID}")).await.status, 200);
    let other_name = format!("arn:aws:apprunner:local-1:000000000000:service/broken/{SHOP_ID}");
    describe(other_name).await.assert_error(400, "ResourceNotFoundException");
    describe(SHOP.replace("local-1", "eu-west-1")).await.assert_error(400, "ResourceNotFoundException");
    describe(SHOP.replace("000000000000", "000000000001")).await.assert_error(400, "ResourceNotFoundException");
    describe(SHOP.replace("shop", "none")).await.assert_error(400, "ResourceNotFoundException");
    for bad in ["shop", "", "arn:aws:s3:::x", &format!("{SHOP}/xyz"), &format!("{SHOP}/{SHOP_ID}/x"), &"a".repeat(2000)]
    {
        describe(bad.to_owned()).await.assert_error(400, "InvalidRequestException");
    }
    call(&server, "AppRunner.DescribeService", json!({})).await.assert_error(400, "InvalidRequestException");
    call(&server, "AppRunner.DescribeService", json!({ "ServiceArn": 7 }))
        .await
        .assert_error(400, "SerializationException");
}

#[tokio::test]
async fn lists_are_paged_and_the_last_page_has_no_token() {
    let server = Server::start().await;
    let all = call(&server, "AppRunner.ListServices", json!({})).await.body;
    assert_eq!(all["ServiceSummaryList"].as_array().unwrap().len(), 2);
    assert!(all.get("NextToken").is_none());
    let first = call(&server, "AppRunner.ListServices", json!({ "MaxResults": 1 })).await.body;
    assert_eq!(first["ServiceSummaryList"][0]["ServiceName"], "broken");
    let next = json!({ "MaxResults": 1, "NextToken": first["NextToken"] });
    let second = call(&server, "AppRunner.ListServices", next).await.body;
    assert_eq!(second["ServiceSummaryList"][0]["ServiceName"], "shop");
    assert!(second.get("NextToken").is_none());
    for bad in [json!({ "MaxResults": 0 }), json!({ "MaxResults": 21 }), json!({ "NextToken": "x" })] {
        call(&server, "AppRunner.ListServices", bad).await.assert_error(400, "InvalidRequestException");
    }
}

#[tokio::test]
async fn acts_answer_with_their_operation_and_are_refused_while_one_runs() {
    let server = Server::start().await;
    let paused = call(&server, "AppRunner.PauseService", json!({ "ServiceArn": SHOP })).await.body;
    assert_eq!(paused["Service"]["Status"], "OPERATION_IN_PROGRESS");
    let id = paused["OperationId"].as_str().unwrap();
    call(&server, "AppRunner.DeleteService", json!({ "ServiceArn": SHOP }))
        .await
        .assert_error(400, "InvalidStateException");
    let list = call(&server, "AppRunner.ListOperations", json!({ "ServiceArn": SHOP })).await.body;
    let expected = json!([{
        "Id": id, "Type": "PAUSE_SERVICE", "Status": "PENDING", "TargetArn": format!("{SHOP}/{SHOP_ID}"),
        "StartedAt": 1_795_000_000.123, "UpdatedAt": 1_795_000_000.123,
    }]);
    assert_eq!(list["OperationSummaryList"], expected);
    let undashed = id.replace('-', "");
    let ours = call(&server, "Towpath.DescribeOperation", json!({ "OperationId": undashed })).await.body;
    assert_eq!(ours["Operation"]["ServiceName"], "shop");
    assert_eq!(ours["Operation"]["Cause"]["type"], "manual");
}

#[tokio::test]
async fn who_asks_is_the_peer_of_the_socket_and_not_what_the_request_says() {
    let server = Server::start().await;
    let input = json!({ "ServiceArn": SHOP, "Reason": "a\nb", "Principal": "mallory" });
    assert_eq!(call(&server, "AppRunner.StartDeployment", input).await.status, 200);
    let asked = server.memory.asked.lock().unwrap();
    assert!(asked[0].1.name.starts_with("local:") && !asked[0].1.name.contains("mallory"), "{asked:?}");
    assert_eq!(asked[0].1.reason.as_deref(), Some("ab"));
}

#[tokio::test]
async fn a_failure_of_ours_is_answered_without_its_internals() {
    let server = Server::start().await;
    for text in ["secret", "panic"] {
        let file = json!({ "file": "x", "directory": "/", "text": text });
        let manifest = json!({ "name": "x", "files": [file] });
        let answer = call(&server, "Towpath.Plan", json!({ "Manifest": manifest })).await;
        answer.assert_error(500, "InternalServiceErrorException");
        let shown = answer.body.to_string();
        assert!(!shown.contains("hunter2") && !shown.contains("defect"), "{shown}");
        assert!(shown.contains(answer.headers["x-amzn-requestid"].to_str().unwrap()));
    }
}

#[tokio::test]
async fn two_servers_do_not_share_a_socket_and_a_stale_one_is_replaced() {
    let server = Server::start().await;
    let taken = server.socket();
    let door = super::door(tempfile::tempdir().unwrap().path(), server.memory.clone()).await;
    let second = towpath::api::serve_control(&taken, server.token.clone(), door, server.stop.clone());
    assert!(matches!(second.await, Err(towpath::api::ServeError::InUse(_))));
    assert_eq!(call(&server, "AppRunner.ListServices", json!({})).await.status, 200);

    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("run/control.sock");
    std::fs::create_dir(socket.parent().unwrap()).unwrap();
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let stop = tokio_util::sync::CancellationToken::new();
    let serving = tokio::spawn({
        let (socket, token, stop) = (socket.clone(), server.token.clone(), stop.clone());
        let door = super::door(dir.path(), server.memory.clone()).await;
        async move { towpath::api::serve_control(&socket, token, door, stop).await }
    });
    while tokio::net::UnixStream::connect(&socket).await.is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&socket), mode(socket.parent().unwrap())), (0o600, 0o700));
    stop.cancel();
    assert!(serving.await.unwrap().is_ok());
    assert!(!socket.exists());
}
