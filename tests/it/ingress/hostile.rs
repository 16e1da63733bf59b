//! Clients that mean no good.

use super::app::App;
use super::world::*;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn no_ambiguous_framing_smuggles_a_request_to_the_application() {
    let app = App::named("shop").await;
    let world = World::serving(vec![on("shop", &[&app])]).await;
    let inner = "GET /smuggled HTTP/1.1\r\nhost: shop.localhost\r\n\r\n";
    let length = inner.len();
    // Each with a body that one reading takes for a body and another for the next request.
    let attempts = [
        format!("content-length: {length}\r\ncontent-length: 0\r\n\r\n{inner}"),
        format!("content-length: +{length}\r\n\r\n{inner}"),
        format!("content-length: {length}, {length}1\r\n\r\n{inner}"),
        format!("transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n{inner}"),
        format!("transfer-encoding: xchunked\r\n\r\n0\r\n\r\n{inner}"),
        format!("transfer-encoding : chunked\r\n\r\n0\r\n\r\n{inner}"),
        format!("x: y\r\n transfer-encoding: chunked\r\n\r\n0\r\n\r\n{inner}"),
        format!("transfer-encoding: chunked\r\n\r\n0x0\r\n\r\n{inner}"),
        format!("transfer-encoding: chunked\r\n\r\n-1\r\n\r\n{inner}"),
        format!("content-length: 0\r\nx: a\rb\r\n\r\n{inner}"),
    ];
    for attempt in &attempts {
        let bytes = format!("POST /outer HTTP/1.1\r\nhost: shop.localhost\r\n{attempt}");
        let answer = exchange(world.address(), bytes).await;
        assert!(matches!(status(&answer), 0 | 400 | 502), "{attempt:?}: {answer}");
    }
    assert!(!app.saw("GET /smuggled"), "{:?}", app.seen);
}

#[tokio::test]
async fn a_body_that_is_malformed_or_breaks_off_is_the_clients_fault() {
    let app = App::named("shop").await;
    let world = World::serving(vec![on("shop", &[&app])]).await;
    let head = "POST /echo HTTP/1.1\r\nhost: shop.localhost\r\n";
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\n";
    let chunks = "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n";
    for bytes in [format!("{head}{chunks}"), format!("{head}{upgrade}{chunks}")] {
        let answer = exchange(world.address(), bytes).await;
        assert_eq!(status(&answer), 400, "{answer}");
        assert!(body(&answer).contains("malformed or incomplete"), "{answer}");
    }
    let sound = format!("{head}connection: close\r\ncontent-length: 2\r\n\r\nhi");
    assert_eq!(body(&exchange(world.address(), sound).await), "hi");
}

/// A proxy before us may have read the request by its length, and then what we took for a second request was its body.
#[tokio::test]
async fn a_length_beside_chunks_does_not_reach_the_application_and_nothing_after_it_does() {
    let app = App::named("shop").await;
    let world = World::serving(vec![on("shop", &[&app])]).await;
    let inner = "GET /smuggled HTTP/1.1\r\nhost: shop.localhost\r\n\r\n";
    let chunks = format!("0\r\n\r\n{inner}");
    for (lines, path) in [
        (format!("content-length: {}\r\ntransfer-encoding: chunked\r\n", chunks.len()), "/headers"),
        (format!("transfer-encoding: chunked\r\ncontent-length: {}\r\n", chunks.len()), "/headers"),
        (format!("Transfer-Encoding: CHUNKED\r\nContent-Length: {}\r\n", chunks.len()), "/headers"),
        ("content-length: 4\r\ntransfer-encoding: chunked\r\n".to_owned(), "/status/204"),
    ] {
        let bytes = format!("POST {path} HTTP/1.1\r\nhost: shop.localhost\r\n{lines}\r\n{chunks}");
        let answer = exchange(world.address(), bytes).await;
        assert!(matches!(status(&answer), 200 | 204) && answer.contains("connection: close"), "{lines:?}: {answer}");
        assert!(!body(&answer).contains("content-length"), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "one answer: {answer}");
    }
    assert!(!app.saw("GET /smuggled"), "{:?}", app.seen);
    let old = "POST / HTTP/1.0\r\nhost: shop.localhost\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(status(&exchange(world.address(), old).await), 400);
}

#[tokio::test]
async fn line_ends_and_trailers_make_no_second_request() {
    let app = App::named("shop").await;
    let world = World::serving(vec![on("shop", &[&app])]).await;
    let inner = "GET /smuggled HTTP/1.1\r\nhost: shop.localhost\r\n\r\n";
    for rest in [
        format!("transfer-encoding: chunked\n\n0\n\n{inner}"),
        format!("transfer-encoding: chunked\r\n\r\n0\n\n{inner}"),
        format!("transfer-encoding: chunked\r\n\r\n5\nhello\n0\n\n{inner}"),
        format!("transfer-encoding: chunked\r\n\r\n0;a=\"\n\"\r\n\r\n{inner}"),
        format!("transfer-encoding: chunked\r\n\r\n0\r\ncontent-length: 5\r\nhost: other\r\n\r\n{inner}"),
        format!("transfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n{inner}"),
        format!("transfer-encoding:\x0bchunked\r\n\r\n0\r\n\r\n{inner}"),
        format!("x: a\0b\r\n\r\n{inner}"),
        format!("content-length: 0x10\r\n\r\n{inner}"),
        format!("content-length: -1\r\n\r\n{inner}"),
        format!("content-length: 18446744073709551616\r\n\r\n{inner}"),
    ] {
        let bytes = format!("POST /outer HTTP/1.1\r\nhost: shop.localhost\r\n{rest}");
        let answer = exchange(world.address(), bytes).await;
        assert!(matches!(status(&answer), 0 | 200 | 400 | 502), "{rest:?}: {answer}");
    }
    assert!(!app.saw("GET /smuggled"), "{:?}", app.seen);
}

#[tokio::test]
async fn trailers_do_not_become_headers() {
    let app = App::named("shop").await;
    let world = World::serving(vec![on("shop", &[&app])]).await;
    let head = "host: shop.localhost\r\ntransfer-encoding: chunked\r\ntrailer: x-forwarded-for\r\n\r\n";
    for path in ["/headers", "/echo"] {
        let bytes = format!("POST {path} HTTP/1.1\r\n{head}2\r\nhi\r\n0\r\nx-forwarded-for: 6.6.6.6\r\n\r\n");
        let answer = exchange(world.address(), bytes).await;
        assert!(status(&answer) == 200 && !answer.contains("6.6.6.6"), "{answer}");
    }
}

#[tokio::test]
async fn the_host_of_an_absolute_target_wins_and_is_the_one_that_the_application_gets() {
    let (shop, other) = (App::named("shop").await, App::named("other").await);
    let world = World::serving(vec![on("shop", &[&shop]), on("other", &[&other])]).await;
    let ask = |target: &str, host: &str| {
        exchange(world.address(), format!("GET {target} HTTP/1.1\r\n{host}connection: close\r\n\r\n"))
    };
    let both = ask("http://shop.localhost/headers", "host: other.localhost\r\n").await;
    assert!(both.contains("\nhost: shop.localhost\n") && !both.contains("other.localhost"), "{both}");
    assert!(shop.saw("GET /headers") && other.seen.lock().unwrap().is_empty());
    let with_user = ask("http://other.localhost@shop.localhost/headers", "host: other.localhost\r\n").await;
    assert!(with_user.contains("\nhost: shop.localhost\n"), "{with_user}");
    assert_eq!(body(&ask("http://shop.localhost", "host: shop.localhost\r\n").await), "shop");
    assert_eq!(status(&ask("http:///headers", "host: shop.localhost\r\n").await), 400);
}

#[tokio::test]
async fn a_target_that_is_too_long_is_refused() {
    let world = World::serving(vec![]).await;
    for (size, wanted) in [(60_000, &[404][..]), (66_000, &[0, 414, 431]), (200_000, &[0, 414, 431])] {
        let bytes = format!("GET /{} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", "y".repeat(size));
        let answer = exchange(world.address(), bytes).await;
        assert!(wanted.contains(&status(&answer)), "{size}: {}", &answer[..answer.len().min(200)]);
    }
}

#[tokio::test]
async fn a_body_that_trickles_in_is_cut_off() {
    let app = App::named("shop").await;
    let world = World::with(|config| config.limits.request_ms = 500).await;
    world.settle(vec![on("shop", &[&app])]).await;
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    let head = "POST /echo HTTP/1.1\r\nhost: shop.localhost\r\ncontent-length: 100000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let trickle = async {
        while write.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let mut answer = String::new();
    let heard = async { drop(read.read_to_string(&mut answer).await) };
    tokio::time::timeout(SOON, async { tokio::join!(trickle, heard) }).await.expect("it is never cut off");
    assert_eq!(status(&answer), 504, "{answer}");
}

#[tokio::test]
async fn a_head_that_is_too_large_or_has_too_many_lines_is_refused() {
    let world = World::serving(vec![]).await;
    for size in [66_000, 70_000, 140_000, 1_000_000] {
        let long = format!("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx: {}\r\n\r\n", "y".repeat(size));
        // 0: the answer was lost in the reset that follows bytes which nobody read.
        assert!(matches!(status(&exchange(world.address(), long).await), 0 | 431), "{size}");
    }
    let fits = format!("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx: {}\r\n\r\n", "y".repeat(60_000));
    assert_eq!(status(&exchange(world.address(), fits).await), 404);
    let many = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(101));
    assert_eq!(status(&exchange(world.address(), many).await), 431);
}

#[tokio::test]
async fn a_head_that_trickles_in_is_cut_off() {
    let world = World::with(|config| config.limits.head_ms = 400).await;
    world.settle(vec![]).await;
    let began = Instant::now();
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    let trickle = async {
        for byte in b"GET / HTTP/1.1\r\nx: ".iter().cycle() {
            if stream.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(SOON, trickle).await.expect("the connection is never cut off");
    assert!(began.elapsed() >= Duration::from_millis(400));
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let world = World::with(|config| config.limits.head_ms = 300).await;
    world.settle(vec![]).await;
    assert_eq!(exchange(world.address(), "").await, "");
    let kept = exchange(world.address(), "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(status(&kept), 404);
}

#[tokio::test]
async fn nonsense_is_a_bad_request() {
    let world = World::serving(vec![]).await;
    for bytes in [
        "\x16\x03\x01\x02\x00",
        "GET\r\n\r\n",
        "G@T / HTTP/1.1\r\n\r\n",
        "CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\nconnection: close\r\n\r\n",
    ] {
        let answer = exchange(world.address(), bytes.to_owned() + "\r\n\r\n").await;
        assert!(matches!(status(&answer), 400 | 404), "{bytes:?}: {answer}");
    }
    // And goes on.
    assert_eq!(status(&get(world.address(), "a", "/").await), 404);
}

#[tokio::test]
async fn connections_over_the_bound_wait_until_others_end() {
    let world = World::with(|config| (config.limits.connections, config.cores) = (2, 1)).await;
    world.settle(vec![]).await;
    let (a, b) = (TcpStream::connect(world.address()).await, TcpStream::connect(world.address()).await);
    let (mut a, b) = (a.unwrap(), b.unwrap());
    a.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert!(a.read(&mut [0; 100]).await.unwrap() > 0);
    let address = world.address();
    let third = tokio::spawn(async move { get(address, "a", "/").await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!third.is_finished());
    drop((a, b));
    assert_eq!(status(&third.await.unwrap()), 404);
}
