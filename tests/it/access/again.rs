//! A client that got no answer sends its call again: nothing is done twice, and the answer is the first one.

use super::{Answer, Draft, Server};
use http_body_util::Full;
use hyper::Request;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use towpath::access::audit::Filter;
use towpath::access::signature::Credentials;
use towpath::model::Timestamp;

const SHOP: &str = "arn:aws:apprunner:local-1:000000000000:service/shop";

fn attempt(server: &Server, by: &Credentials, name: &str, target: &str) -> Request<Full<bytes::Bytes>> {
    let mut draft = Draft::new(server.address, &json!({ "ServiceArn": SHOP }).to_string());
    draft.headers.insert("content-type", "application/x-amz-json-1.0".parse().unwrap());
    draft.headers.insert("x-amz-target", target.parse().unwrap());
    let mut request = draft.sign(by, "apprunner", Timestamp::now());
    // Botocore does not sign it.
    request.headers_mut().insert("amz-sdk-invocation-id", name.parse().unwrap());
    request
}

async fn send(server: &Server, by: &Credentials, name: &str) -> Answer {
    server.send(attempt(server, by, name, "AppRunner.StartDeployment")).await
}

#[tokio::test]
async fn a_call_that_is_sent_again_is_answered_again_and_done_once() {
    let server = Server::start().await;
    let first = send(&server, &server.admin, "one").await;
    assert_eq!(first.status, 200, "{}", first.text);
    for _ in 0..3 {
        assert_eq!(send(&server, &server.admin, "one").await.text, first.text);
    }
    assert_ne!(send(&server, &server.admin, "two").await.text, first.text, "another call");
    let other = server.user("other", &["AWSAppRunnerFullAccess"]).await;
    assert_ne!(send(&server, &other, "one").await.text, first.text, "another caller's");
    let nobody = server.user("nobody", &[]).await;
    send(&server, &nobody, "one").await.assert_error(400, "AccessDeniedException");
}

#[tokio::test]
async fn attempts_at_the_same_time_are_one_call() {
    let server = Server::start().await;
    let attempts = (0..16).map(|_| send(&server, &server.admin, "together"));
    let answers = futures_util::future::join_all(attempts).await;
    assert!(answers.iter().all(|a| a.status == 200 && a.text == answers[0].text));
}

#[tokio::test]
async fn who_hangs_up_is_recorded_all_the_same_and_hears_the_answer_when_they_ask_again() {
    let server = Server::start().await;
    let request = attempt(&server, &server.admin, "cut", "AppRunner.StartDeployment");
    let (head, body) = request.into_parts();
    let body = http_body_util::BodyExt::collect(body).await.unwrap().to_bytes();
    let mut text = format!("POST / HTTP/1.1\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in &head.headers {
        text += &format!("{name}: {}\r\n", value.to_str().unwrap());
    }
    let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.write_all(b"\r\n").await.unwrap();
    stream.write_all(&body).await.unwrap();
    drop(stream);
    let named = Filter { event_name: Some("StartDeployment".into()), limit: 9, ..Filter::default() };
    let begun = std::time::Instant::now();
    while server.audit.search(&named).unwrap().records.is_empty() {
        assert!(begun.elapsed().as_secs() < 20, "the call of who hung up is not in the trail");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let told = server.audit.search(&named).unwrap().records.pop().unwrap().1;
    let operation = told["responseElements"]["operationId"].as_str().unwrap().to_owned();
    assert_eq!(send(&server, &server.admin, "cut").await.json()["OperationId"], operation.as_str());
}
