//! What happens to a request and its answer on the way.

use super::app::App;
use super::world::*;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const FORGED: &str = "GET /headers HTTP/1.1\r\nhost: shop.localhost:7\r\nx-forwarded-for: 10.0.0.1\r\n\
                      x-request-id: theirs\r\nconnection: close, x-drop\r\nx-drop: 1\r\nte: trailers\r\n\r\n";

#[tokio::test]
async fn a_stranger_cannot_forge_where_it_comes_from() {
    let app = App::named("shop").await;
    let world = World::serving(vec![on("shop", &[&app])]).await;
    let answer = exchange(world.address(), FORGED).await;
    let seen = body(&answer);
    for part in ["x-forwarded-for: 127.0.0.1\n", "x-forwarded-proto: http\n", "x-forwarded-host: shop.localhost:7\n"] {
        assert!(seen.contains(part), "{part:?} in {seen}");
    }
    for gone in ["10.0.0.1", "theirs", "x-drop", "te:"] {
        assert!(!seen.contains(gone), "{gone:?} in {seen}");
    }
    assert!(!answer.contains("x-hop"), "the answer's hop-by-hop headers go too: {answer}");
}

#[tokio::test]
async fn a_trusted_proxy_is_believed() {
    let app = App::named("shop").await;
    let world = World::with(|config| config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()]).await;
    world.settle(vec![on("shop", &[&app])]).await;
    let answer = exchange(world.address(), FORGED).await;
    assert!(answer.contains("x-forwarded-for: 10.0.0.1, 127.0.0.1\n") && answer.contains("x-request-id: theirs\n"));
}

#[tokio::test]
async fn an_answer_streams_as_it_comes() {
    let app = App::named("shop").await;
    let world = World::serving(vec![on("shop", &[&app])]).await;
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    stream.write_all(b"GET /drip HTTP/1.1\r\nhost: shop.localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    let (mut text, began) = (String::new(), std::time::Instant::now());
    while !text.contains("piece0") {
        let mut bytes = [0; 512];
        let read = stream.read(&mut bytes).await.unwrap();
        text.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
    }
    assert!(!text.contains("piece1") && began.elapsed() < Duration::from_millis(450), "{text}");
    stream.read_to_string(&mut text).await.unwrap();
    assert!(text.contains("transfer-encoding: chunked") && text.contains("piece1"), "{text}");
}

#[tokio::test]
async fn bodies_go_through_by_length_and_in_chunks_and_with_an_expectation() {
    let app = App::named("shop").await;
    let world = World::serving(vec![on("shop", &[&app])]).await;
    let head = "POST /echo HTTP/1.1\r\nhost: shop.localhost\r\nconnection: close\r\n";
    let big = "x".repeat(300_000);
    let by_length = format!("{head}content-length: {}\r\n\r\n{big}", big.len());
    assert_eq!(body(&exchange(world.address(), by_length).await), big);
    let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    assert_eq!(body(&exchange(world.address(), chunked).await), "abcde");
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    stream.write_all(format!("{head}content-length: 2\r\nexpect: 100-continue\r\n\r\n").as_bytes()).await.unwrap();
    let mut first = [0; 25];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"hi").await.unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    assert_eq!((status(&rest), body(&rest)), (200, "hi"));
}

#[tokio::test]
async fn answers_without_a_body_keep_their_heads_and_the_connection() {
    let app = App::named("shop").await;
    let world = World::serving(vec![on("shop", &[&app])]).await;
    let one = |method: &str, path: &str| format!("{method} {path} HTTP/1.1\r\nhost: shop.localhost\r\n\r\n");
    let last = "GET / HTTP/1.1\r\nhost: shop.localhost\r\nconnection: close\r\n\r\n";
    let all = [one("HEAD", "/"), one("GET", "/status/204"), one("GET", "/status/304"), last.into()].concat();
    let answer = exchange(world.address(), all).await;
    let statuses: Vec<&str> = answer.matches("HTTP/1.1 ").collect();
    assert_eq!(statuses.len(), 4, "{answer}");
    assert!(answer.contains("204 No Content") && answer.contains("304 Not Modified") && answer.ends_with("shop"));
    assert_eq!(answer.matches("content-length: 4").count(), 2, "HEAD says the length of GET: {answer}");
}

#[tokio::test]
async fn an_application_that_does_not_answer_in_time_is_a_gateway_timeout() {
    let app = App::named("shop").await;
    let world = World::with(|config| config.limits.request_ms = 200).await;
    world.settle(vec![on("shop", &[&app])]).await;
    let answer = get(world.address(), "shop.localhost", "/never").await;
    assert_eq!(status(&answer), 504);
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_request_with_it() {
    let app = App::named("shop").await;
    let world = World::serving(vec![on("shop", &[&app])]).await;
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    stream.write_all(b"GET /never HTTP/1.1\r\nhost: shop.localhost\r\n\r\n").await.unwrap();
    eventually("it is in flight", || world.handle().in_flight(&app.instance) == Some(1)).await;
    drop(stream);
    eventually("it is cancelled", || world.handle().in_flight(&app.instance) == Some(0)).await;
}

#[tokio::test]
async fn a_websocket_passes_both_ways_and_counts_as_in_flight_until_it_closes() {
    let app = App::named("shop").await;
    let world = World::serving(vec![on("shop", &[&app])]).await;
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    let head = "GET /ws HTTP/1.1\r\nhost: shop.localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 101") && answer.contains("upgrade: websocket"), "{answer}");
    for word in [b"hello", b"again"] {
        stream.write_all(word).await.unwrap();
        let mut back = [0; 5];
        stream.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, word);
    }
    eventually("it is in flight", || world.handle().in_flight(&app.instance) == Some(1)).await;
    drop(stream);
    eventually("it is closed", || world.handle().in_flight(&app.instance) == Some(0)).await;
}

#[tokio::test]
async fn an_upgrade_to_cleartext_http2_is_not_passed_on() {
    let app = App::named("shop").await;
    let world = World::serving(vec![on("shop", &[&app])]).await;
    let head = "GET /headers HTTP/1.1\r\nhost: shop.localhost\r\nconnection: Upgrade, HTTP2-Settings, close\r\n\
                upgrade: h2c\r\nhttp2-settings: AAA\r\n\r\n";
    let answer = exchange(world.address(), head).await;
    assert_eq!(status(&answer), 200);
    assert!(!answer.contains("h2c") && !answer.contains("http2-settings"), "{answer}");
}

#[tokio::test]
async fn totals_count_answers_by_class() {
    let app = App::named("shop").await;
    let world = World::serving(vec![on("shop", &[&app])]).await;
    for _ in 0..3 {
        get(world.address(), "shop.localhost", "/").await;
    }
    let service = on("shop", &[]).service;
    eventually("the totals arrive", || {
        world.handle().totals(&service).is_some_and(|(_, t)| t.requests == 3 && t.classes == [0, 3, 0, 0, 0])
    })
    .await;
}
