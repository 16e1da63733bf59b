//! Requests that are made to hurt, each answered 4xx in AWS' shape, with the server serving on.

use super::Server;
use super::wire::{call, request, send};
use hyper::header::HeaderValue;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn a_body_that_is_not_one_json_object_is_refused() {
    let server = Server::start().await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_object = format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
    for body in ["{", "[]", "7", "null", "\"x\"", "{} {}", "{\"a\":1,}", "\u{0}", &deep, &deep_object] {
        let answer = send(&server, request(&server, "AppRunner.ListServices", body)).await;
        answer.assert_error(400, "SerializationException");
    }
    assert_eq!(send(&server, request(&server, "AppRunner.ListServices", "")).await.status, 200);
}

#[tokio::test]
async fn a_target_that_there_is_not_is_refused_and_shown_harmless() {
    let server = Server::start().await;
    for target in ["", "AppRunner", "AppRunner.", "AppRunner.MakeCoffee", "Towpath.GetStatus.x", "S3.ListServices"] {
        call(&server, target, json!({})).await.assert_error(404, "UnknownOperationException");
    }
    call(&server, &"A".repeat(5000), json!({})).await.assert_error(404, "UnknownOperationException");
    let mut without = request(&server, "x", "{}");
    without.headers_mut().remove("x-amz-target");
    send(&server, without).await.assert_error(404, "UnknownOperationException");
}

#[tokio::test]
async fn a_request_without_this_servers_token_is_refused_whatever_it_asks() {
    let server = Server::start().await;
    let other = Server::start().await;
    let mut missing = request(&server, "Towpath.ShutDown", "{}");
    missing.headers_mut().remove("authorization");
    send(&server, missing).await.assert_error(403, "MissingAuthenticationTokenException");
    for wrong in
        [other.token.header(), "Bearer ".into(), "Basic cm9vdDpyb290".into(), server.token.header()[7..].into()]
    {
        let mut request = request(&server, "Towpath.ShutDown", "{}");
        request.headers_mut().insert("authorization", HeaderValue::from_str(&wrong).unwrap());
        send(&server, request).await.assert_error(403, "UnrecognizedClientException");
    }
    assert!(server.memory.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn other_methods_paths_and_content_types_are_refused() {
    let server = Server::start().await;
    for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let mut request = request(&server, "AppRunner.ListServices", "{}");
        *request.method_mut() = method.parse().unwrap();
        let answer = send(&server, request).await;
        answer.assert_error(405, "UnknownOperationException");
        assert_eq!(answer.headers["allow"], "POST");
    }
    let mut elsewhere = request(&server, "AppRunner.ListServices", "{}");
    *elsewhere.uri_mut() = "/../etc/passwd".parse().unwrap();
    send(&server, elsewhere).await.assert_error(404, "UnknownOperationException");
    for kind in ["application/json", "text/plain", "application/x-amz-json-1.1", ""] {
        let mut request = request(&server, "AppRunner.ListServices", "{}");
        request.headers_mut().insert("content-type", HeaderValue::from_static(kind));
        send(&server, request).await.assert_error(400, "SerializationException");
    }
    let mut with_charset = request(&server, "AppRunner.ListServices", "{}");
    let kind = HeaderValue::from_static("application/x-amz-json-1.0; charset=utf-8");
    with_charset.headers_mut().insert("content-type", kind);
    assert_eq!(send(&server, with_charset).await.status, 200);
}

/// Writes bytes and reads what comes back until the server closes or goes quiet.
async fn raw(server: &Server, bytes: &[u8]) -> String {
    let mut stream = tokio::net::UnixStream::connect(server.socket()).await.unwrap();
    // The server may answer and close before everything was written.
    let _ = stream.write_all(bytes).await;
    let mut answer = vec![0; 4096];
    let read = tokio::time::timeout(std::time::Duration::from_secs(5), stream.read(&mut answer)).await.unwrap();
    String::from_utf8_lossy(&answer[..read.unwrap_or(0)]).into_owned()
}

#[tokio::test]
async fn a_body_past_the_bound_is_refused_by_its_announcement_and_by_its_bytes() {
    let server = Server::start().await;
    let head = format!(
        "POST / HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nContent-Type: application/x-amz-json-1.0\r\n\
         X-Amz-Target: AppRunner.ListServices\r\n",
        server.token.header()
    );
    let announced = raw(&server, format!("{head}Content-Length: {}\r\n\r\n", 5 << 20).as_bytes()).await;
    assert!(announced.starts_with("HTTP/1.1 413") && announced.contains("RequestEntityTooLarge"), "{announced}");
    let mut chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    let piece = [b"10000\r\n".as_slice(), &vec![b' '; 0x10000], b"\r\n"].concat();
    (0..80).for_each(|_| chunked.extend_from_slice(&piece));
    let counted = raw(&server, &chunked).await;
    assert!(counted.starts_with("HTTP/1.1 413"), "{counted}");
    assert_eq!(call(&server, "AppRunner.ListServices", json!({})).await.status, 200);
}

#[tokio::test]
async fn bytes_that_are_not_http_do_not_disturb_others() {
    let server = Server::start().await;
    for bytes in [b"\x16\x03\x01\x02\x00".as_slice(), b"GET\r\n\r\n", b"\r\n\r\n\r\nX /\r\n\r\n", &[0xff; 70_000]] {
        let answer = raw(&server, bytes).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    let _quiet: Vec<_> =
        futures_util::future::join_all((0..20).map(|_| tokio::net::UnixStream::connect(server.socket()))).await;
    assert_eq!(call(&server, "AppRunner.ListServices", json!({})).await.status, 200);
}

#[tokio::test]
async fn members_that_ours_do_not_have_are_refused_by_name() {
    let server = Server::start().await;
    let answer = call(&server, "Towpath.Apply", json!({ "AllowMassDeletes": true })).await;
    answer.assert_error(400, "SerializationException");
    assert!(answer.body["Message"].as_str().unwrap().contains("AllowMassDeletes"));
    let two = json!({ "Service": "shop", "LogStreamName": "events", "Tail": 1, "NextToken": "1" });
    call(&server, "Towpath.GetLogEvents", two).await.assert_error(400, "InvalidRequestException");
    for stream in ["", "../../etc/passwd", "instance/../x", "deployment/", "event", "instance/ABC"] {
        let input = json!({ "Service": "shop", "LogStreamName": stream });
        call(&server, "Towpath.GetLogEvents", input).await.assert_error(400, "InvalidRequestException");
    }
}
