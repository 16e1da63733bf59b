//! Signatures over the wire: what is taken, and the code of everything that is not.

use super::{Draft, Server};
use serde_json::json;
use towpath::access::signature::{Credentials, stamp};
use towpath::model::{Secret, Timestamp};

fn later(minutes: i64) -> Timestamp {
    Timestamp(Timestamp::now().0 + minutes * 60_000)
}

fn draft(server: &Server) -> Draft {
    let mut draft = Draft::new(server.address, "{}");
    draft.headers.insert("content-type", "application/x-amz-json-1.0".parse().unwrap());
    draft.headers.insert("x-amz-target", "AppRunner.ListServices".parse().unwrap());
    draft
}

#[tokio::test]
async fn a_signed_call_is_answered_and_an_unsigned_one_is_not() {
    let server = Server::start().await;
    let answer = server.call(&server.admin, "AppRunner.ListServices", json!({})).await;
    assert_eq!((answer.status, answer.json()["ServiceSummaryList"].as_array().unwrap().len()), (200, 2));
    server.send(draft(&server).unsigned()).await.assert_error(403, "MissingAuthenticationTokenException");
    server.stop().await;
}

#[tokio::test]
async fn a_signature_by_another_secret_or_of_another_request_is_refused() {
    let server = Server::start().await;
    let wrong = Credentials { secret: Secret::new("wrong".into()), ..server.admin.clone() };
    let message =
        server.call(&wrong, "AppRunner.ListServices", json!({})).await.assert_error(403, "InvalidSignatureException");
    assert!(message.starts_with("The request signature we calculated does not match"), "{message}");
    let unknown = Credentials { key_id: "AKIANOBODYKNOWSTHIS0".into(), ..server.admin.clone() };
    server.call(&unknown, "AppRunner.ListServices", json!({})).await.assert_error(400, "UnrecognizedClientException");
    let with_token = Credentials { token: Some("x".into()), ..server.admin.clone() };
    server
        .call(&with_token, "AppRunner.ListServices", json!({}))
        .await
        .assert_error(400, "UnrecognizedClientException");
    for (header, value) in [("x-amz-target", "AppRunner.DeleteService"), ("host", "elsewhere"), ("content-type", "x/y")]
    {
        let mut changed = server.signed(&server.admin, "AppRunner.ListServices", "{}");
        changed.headers_mut().insert(header, value.parse().unwrap());
        server.send(changed).await.assert_error(403, "InvalidSignatureException");
    }
    let (head, _) = server.signed(&server.admin, "AppRunner.ListServices", "{}").into_parts();
    let other_body = hyper::Request::from_parts(head, http_body_util::Full::from("{ }"));
    server.send(other_body).await.assert_error(403, "InvalidSignatureException");
    assert_eq!(server.call(&server.admin, "AppRunner.ListServices", json!({})).await.status, 200);
}

#[tokio::test]
async fn clocks_may_differ_by_less_than_five_minutes() {
    let server = Server::start().await;
    for minutes in [-4, 4] {
        let request = draft(&server).sign(&server.admin, "apprunner", later(minutes));
        assert_eq!(server.send(request).await.status, 200, "{minutes}");
    }
    for (minutes, words) in [(-6, "Signature expired"), (6, "Signature not yet current")] {
        let request = draft(&server).sign(&server.admin, "apprunner", later(minutes));
        let message = server.send(request).await.assert_error(403, "InvalidSignatureException");
        assert!(message.starts_with(words), "{message}");
    }
}

#[tokio::test]
async fn a_signature_counts_in_its_region_and_service_only() {
    let server = Server::start().await;
    let request = draft(&server).sign(&server.admin, "ecs", Timestamp::now());
    let message = server.send(request).await.assert_error(403, "InvalidSignatureException");
    assert_eq!(message, "Credential should be scoped to correct service: 'apprunner'.");
    let mut elsewhere = draft(&server);
    elsewhere.region = "us-east-1";
    let answer = server.send(elsewhere.sign(&server.admin, "apprunner", Timestamp::now())).await;
    let message = answer.assert_error(403, "InvalidSignatureException");
    assert!(message.contains("'us-east-1'") && message.contains("'local-1'"), "{message}");
}

#[tokio::test]
async fn what_decides_a_request_has_to_be_signed() {
    let server = Server::start().await;
    let mut request = server.signed(&server.admin, "AppRunner.ListServices", "{}");
    request.headers_mut().insert("x-amz-extra", "1".parse().unwrap());
    let message = server.send(request).await.assert_error(403, "InvalidSignatureException");
    assert_eq!(message, "'x-amz-extra' must be a 'SignedHeader' in the AWS Authorization.");
    let mut unsigned_payload = draft(&server);
    unsigned_payload.headers.insert("x-amz-content-sha256", "UNSIGNED-PAYLOAD".parse().unwrap());
    let request = unsigned_payload.sign(&server.admin, "apprunner", Timestamp::now());
    server.send(request).await.assert_error(403, "InvalidSignatureException");
}

#[tokio::test]
async fn a_signature_with_a_part_missing_or_malformed_says_which() {
    let server = Server::start().await;
    let scope = format!("{}/{}/local-1/apprunner/aws4_request", server.admin.key_id, &stamp(Timestamp::now())[..8]);
    let signature = "0".repeat(64);
    for (header, words) in [
        ("Bearer x".to_owned(), "Unsupported AWS 'algorithm': 'Bearer'"),
        ("AWS4-HMAC-SHA256".into(), "requires 'Credential' parameter. Authorization header requires 'Signature'"),
        ("AWS4-HMAC-SHA256 Credential".into(), "missing equal-sign"),
        (format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host"), "requires 'Signature' parameter"),
        (format!("AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature={signature}"), "exactly 5"),
        (format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;host, Signature={signature}"), "in order"),
        (format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=Host, Signature={signature}"), "lower case"),
        (format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"), "64 lower-case hex"),
        (
            format!(
                "AWS4-HMAC-SHA256 Credential={scope}, Credential={scope}, SignedHeaders=host, Signature={signature}"
            ),
            "twice",
        ),
    ] {
        let mut draft = draft(&server);
        draft.headers.insert("x-amz-date", stamp(Timestamp::now()).parse().unwrap());
        draft.headers.insert("authorization", header.parse().unwrap());
        let message = server.send(draft.unsigned()).await.assert_error(400, "IncompleteSignatureException");
        assert!(message.contains(words), "{header}: {message}");
    }
    for date in ["", "yesterday", "20261326T000000Z", "2026-11-26T00:00:00Z"] {
        let mut request = server.signed(&server.admin, "AppRunner.ListServices", "{}");
        request.headers_mut().insert("x-amz-date", date.parse().unwrap());
        server.send(request).await.assert_error(400, "IncompleteSignatureException");
    }
    let mut twice = server.signed(&server.admin, "AppRunner.ListServices", "{}");
    twice.headers_mut().append("authorization", "x".parse().unwrap());
    server.send(twice).await.assert_error(400, "IncompleteSignatureException");
}
