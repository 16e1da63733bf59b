//! Moving traffic between instances.

use super::app::App;
use super::world::*;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use towpath::link::Drained;

#[tokio::test]
async fn a_drain_waits_for_the_old_while_the_new_serves() {
    let (old, new) = (App::named("old").await, App::named("new").await);
    let world = World::serving(vec![on("shop", &[&old])]).await;
    let address = world.address();
    let running = tokio::spawn(async move { get(address, "shop.localhost", "/slow").await });
    eventually("it is in flight", || world.handle().in_flight(&old.instance) == Some(1)).await;
    world.put(on("shop", &[&new])).await;
    for _ in 0..10 {
        assert_eq!(body(&get(address, "shop.localhost", "/").await), "new");
    }
    let ids = [old.instance.clone()];
    assert_eq!(world.handle().drained(&ids, Duration::ZERO).await, Drained::Deadline { in_flight: Some(1) });
    assert_eq!(world.handle().drained(&ids, SOON).await, Drained::Empty);
    assert_eq!(body(&running.await.unwrap()), "old");
}

#[tokio::test]
async fn an_instance_that_is_still_routed_never_counts_as_drained() {
    let app = App::named("app").await;
    let world = World::serving(vec![on("shop", &[&app])]).await;
    let ids = [app.instance.clone()];
    let drained = world.handle().drained(&ids, Duration::from_millis(100)).await;
    assert_eq!(drained, Drained::Deadline { in_flight: Some(0) });
}

#[tokio::test]
async fn the_end_of_a_drain_is_reported_at_once() {
    let (old, new) = (App::named("old").await, App::named("new").await);
    let world = World::serving(vec![on("shop", &[&old])]).await;
    let address = world.address();
    let running = tokio::spawn(async move {
        get(address, "shop.localhost", "/slow").await;
        Instant::now()
    });
    eventually("it is in flight", || world.handle().in_flight(&old.instance) == Some(1)).await;
    world.put(on("shop", &[&new])).await;
    assert_eq!(world.handle().drained(std::slice::from_ref(&old.instance), SOON).await, Drained::Empty);
    let late = Instant::now().saturating_duration_since(running.await.unwrap());
    assert!(late < Duration::from_millis(200), "{late:?}");
}

/// Sends requests over one connection, opened again when the server closes it between requests, until told to stop.
async fn load(address: SocketAddr, stop: Arc<AtomicBool>, sent: Arc<AtomicU64>, method: &'static str) -> Vec<String> {
    let mut failures = Vec::new();
    'connection: while !stop.load(Relaxed) {
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        while !stop.load(Relaxed) {
            if sender.ready().await.is_err() {
                continue 'connection;
            }
            let request = Request::builder().method(method).uri("/").header("host", "shop.localhost");
            sent.fetch_add(1, Relaxed);
            match sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await {
                Ok(response) if response.status() == 200 => drop(response.into_body().collect().await),
                Ok(response) => failures.push(response.status().to_string()),
                Err(error) => failures.push(format!("{error:?}")),
            }
        }
    }
    failures
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_deployments_under_load_lose_no_request() {
    let mut old = App::named("old").await;
    let world = World::serving(vec![on("shop", &[&old])]).await;
    let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let methods = ["GET", "POST", "GET", "DELETE", "GET", "PATCH", "GET", "GET"];
    let clients: Vec<_> =
        methods.iter().map(|m| tokio::spawn(load(world.address(), stop.clone(), sent.clone(), m))).collect();
    for _ in 0..50 {
        let new = App::named("new").await;
        world.put(on("shop", &[&new])).await;
        assert_eq!(world.handle().drained(std::slice::from_ref(&old.instance), SOON).await, Drained::Empty);
        // Killed with everything it has, the moment it is drained.
        old = new;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stop.store(true, Relaxed);
    for client in clients {
        assert_eq!(client.await.unwrap(), Vec::<String>::new());
    }
    assert!(sent.load(Relaxed) > 1000, "only {} requests", sent.load(Relaxed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_loss_of_one_of_two_instances_fails_no_later_request() {
    let (one, other) = (App::named("one").await, App::named("other").await);
    let world = World::serving(vec![on("shop", &[&one, &other])]).await;
    for _ in 0..20 {
        assert_eq!(status(&get(world.address(), "shop.localhost", "/").await), 200);
    }
    one.lost().await;
    for method in ["GET", "POST"].iter().cycle().take(100) {
        assert_eq!(body(&request(world.address(), method, "shop.localhost", "/").await), "other");
    }
}

#[tokio::test]
async fn an_address_that_comes_back_with_another_instance_gets_no_old_connections() {
    let app = App::named("app").await;
    let world = World::serving(vec![on("shop", &[&app])]).await;
    get(world.address(), "shop.localhost", "/").await;
    let mut again = app.backend();
    again.instance = towpath::model::InstanceId::from_random([9; 16]);
    world.put(entry("shop", vec![again])).await;
    assert_eq!(world.handle().drained(std::slice::from_ref(&app.instance), SOON).await, Drained::Empty);
    assert_eq!(body(&get(world.address(), "shop.localhost", "/").await), "app");
}

#[tokio::test]
async fn a_websocket_outlives_the_switch_until_its_drain_is_over() {
    let (old, new) = (App::named("old").await, App::named("new").await);
    let world = World::serving(vec![on("shop", &[&old])]).await;
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    let head = "GET /ws HTTP/1.1\r\nhost: shop.localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    world.put(on("shop", &[&new])).await;
    assert_eq!(body(&get(world.address(), "shop.localhost", "/").await), "new");
    let instances = [old.instance.clone()];
    let drained = world.handle().drained(&instances, Duration::from_millis(700)).await;
    assert_eq!(drained, Drained::Deadline { in_flight: Some(1) });
    // It is not cut off by the switch: it ends with its client, or with its instance.
    stream.write_all(b"hello").await.unwrap();
    let mut back = [0; 5];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"hello");
    drop(stream);
    eventually("the drain is over", || world.handle().in_flight(&old.instance).is_none_or(|n| n == 0)).await;
}
