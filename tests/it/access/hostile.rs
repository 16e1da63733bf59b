//! Requests that are made to hurt: each answered 4xx in AWS' shape or not at all, with the server serving on.

use super::{Draft, Server};
use serde_json::json;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use towpath::model::Timestamp;

/// Writes bytes and reads what comes back until the server closes or goes quiet.
async fn raw(server: &Server, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    // The server may answer and close before everything was written.
    let _ = stream.write_all(bytes).await;
    let mut answer = vec![0; 4096];
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut answer)).await;
    String::from_utf8_lossy(&answer[..read.ok().and_then(Result::ok).unwrap_or(0)]).into_owned()
}

#[tokio::test]
async fn health_is_open_and_nothing_else() {
    let server = Server::start().await;
    let healthz = raw(&server, b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(healthz.starts_with("HTTP/1.1 200") && healthz.ends_with("{\"status\":\"ok\"}"), "{healthz}");
    for (line, status) in [
        ("POST / ", 403),
        ("GET / ", 405),
        ("PUT / ", 405),
        ("OPTIONS / ", 405),
        ("POST /healthz ", 404),
        ("GET /healthz/.. ", 404),
        ("GET /?Action=GetCallerIdentity ", 403),
        ("GET /index.html ", 404),
        ("POST /service/X/operation/Y ", 404),
        ("GET http://169.254.169.254/latest ", 404),
    ] {
        let answer = raw(&server, format!("{line}HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{line}: {answer}");
        assert!(!answer.to_ascii_lowercase().contains("html"), "{answer}");
    }
}

#[tokio::test]
async fn bytes_that_are_not_http_do_not_disturb_others() {
    let server = Server::start().await;
    for bytes in [b"\x16\x03\x01\x02\x00".as_slice(), b"GET\r\n\r\n", b"POST / HTTP/9\r\n\r\n", &[0xff; 70_000]] {
        let answer = raw(&server, bytes).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    assert_eq!(server.call(&server.admin, "AppRunner.ListServices", json!({})).await.status, 200);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_before_it_is_read() {
    let server = Server::start().await;
    let announced = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2000000\r\n\r\n";
    let answer = raw(&server, announced).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("RequestEntityTooLarge"), "{answer}");
    let mut chunked = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    let piece = [b"10000\r\n".as_slice(), &vec![b' '; 0x10000], b"\r\n"].concat();
    (0..20).for_each(|_| chunked.extend_from_slice(&piece));
    assert!(raw(&server, &chunked).await.starts_with("HTTP/1.1 413"));
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let server = Server::start().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{").await.unwrap();
    let mut answer = vec![0; 4096];
    let read = tokio::time::timeout(Duration::from_secs(60), stream.read(&mut answer)).await;
    let answer = String::from_utf8_lossy(&answer[..read.expect("an answer in time").unwrap()]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("RequestTimeoutException"), "{answer}");
}

#[tokio::test]
async fn a_signed_request_for_nonsense_is_refused_by_its_kind() {
    let server = Server::start().await;
    for target in ["AppRunner.MakeCoffee", "Logs_19990101.ListServices", "x", "Towpath."] {
        server.call(&server.admin, target, json!({})).await.assert_error(404, "UnknownOperationException");
    }
    for body in ["{", "[]", "\"x\"", "{\"MaxResults\":", "{\"MaxResults\":\"ten\"}"] {
        let request = server.signed(&server.admin, "AppRunner.ListServices", body);
        server.send(request).await.assert_error(400, "SerializationException");
    }
    let mut html = Draft::new(server.address, "{}");
    html.headers.insert("content-type", "text/html".parse().unwrap());
    html.headers.insert("x-amz-target", "AppRunner.ListServices".parse().unwrap());
    let request = html.sign(&server.admin, "apprunner", Timestamp::now());
    server.send(request).await.assert_error(400, "SerializationException");
}

#[tokio::test]
async fn connections_that_only_wait_shut_nobody_out() {
    let server = Server::start().await;
    let mut quiet = Vec::new();
    for _ in 0..1500 {
        let Ok(mut stream) = TcpStream::connect(server.address).await else { break };
        let _ = stream.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{").await;
        quiet.push(stream);
    }
    assert!(quiet.len() > 1100, "{} connections: more are needed than the server takes", quiet.len());
    assert_eq!(server.call(&server.admin, "AppRunner.ListServices", json!({})).await.status, 200);
}
