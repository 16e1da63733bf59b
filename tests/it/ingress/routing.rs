//! Which service answers, and what is said where none does.

use super::app::{App, nobody};
use super::world::*;
use towpath::link::EntryState;

#[tokio::test]
async fn each_host_is_answered_by_its_service_whatever_its_case_and_port() {
    let (shop, blog) = (App::named("shop").await, App::named("blog").await);
    let world = World::serving(vec![on("shop", &[&shop]), on("blog", &[&blog])]).await;
    for (host, name) in [("shop.localhost", "shop"), ("BLOG.localhost:99", "blog"), ("shop.localhost.", "shop")] {
        let answer = get(world.address(), host, "/").await;
        assert_eq!((status(&answer), body(&answer)), (200, name), "{host}");
    }
    let absolute = "GET http://blog.localhost/x?y HTTP/1.1\r\nhost: shop.localhost\r\nconnection: close\r\n\r\n";
    assert_eq!(body(&exchange(world.address(), absolute).await), "blog");
    assert!(blog.saw("GET /x?y"));
}

#[tokio::test]
async fn an_unknown_host_gets_a_page_with_a_request_id_and_nothing_else() {
    let world = World::serving(vec![]).await;
    let answer = get(world.address(), "nothing.localhost", "/").await;
    assert_eq!(status(&answer), 404);
    assert!(answer.contains("No service answers to this host name.") && answer.contains("x-request-id: "), "{answer}");
}

#[tokio::test]
async fn a_host_that_is_missing_doubled_or_invalid_is_a_bad_request() {
    let world = World::serving(vec![]).await;
    for head in ["", "host: a\r\nhost: a\r\n", "host: a b\r\n", "host: a/b\r\n", "host:\r\n"] {
        let answer = exchange(world.address(), format!("GET / HTTP/1.1\r\n{head}connection: close\r\n\r\n")).await;
        assert_eq!(status(&answer), 400, "{head:?} {answer}");
    }
}

#[tokio::test]
async fn a_service_that_does_not_run_says_why_and_when_to_try_again() {
    let mut paused = entry("shop", vec![]);
    paused.state = EntryState::Unavailable { message: "The service is paused.".into() };
    let world = World::serving(vec![paused, entry("blog", vec![])]).await;
    let html = "GET / HTTP/1.1\r\nhost: shop.localhost\r\naccept: text/html\r\nconnection: close\r\n\r\n";
    let answer = exchange(world.address(), html).await;
    assert_eq!(status(&answer), 503);
    for part in ["retry-after: 10", "text/html", "The service is paused.", "shop"] {
        assert!(answer.contains(part), "{part} in {answer}");
    }
    let none = get(world.address(), "blog.localhost", "/").await;
    assert_eq!(status(&none), 503);
    assert!(none.contains("retry-after: 2"), "{none}");
}

#[tokio::test]
async fn an_error_page_answers_a_head_request_without_a_body() {
    let world = World::serving(vec![]).await;
    let answer = request(world.address(), "HEAD", "nothing.localhost", "/").await;
    assert_eq!((status(&answer), body(&answer)), (404, ""));
}

#[tokio::test]
async fn requests_go_past_a_dead_instance_whatever_their_method_and_it_is_ejected() {
    let app = App::named("alive").await;
    let dead = nobody().await;
    let world = World::serving(vec![entry("shop", vec![dead.clone(), app.backend()])]).await;
    for method in ["GET", "POST"].iter().cycle().take(20) {
        let answer = request(world.address(), method, "shop.localhost", "/").await;
        assert_eq!(body(&answer), "alive", "{method}");
    }
    eventually("the ejection is reported", || {
        world.handle().take_ejections().iter().any(|e| e.instance == dead.instance && e.for_ms == 1000)
    })
    .await;
}

#[tokio::test]
async fn the_last_instance_is_tried_although_it_was_ejected() {
    let app = App::named("back").await;
    let address = app.address;
    let backend = app.backend();
    let world = World::serving(vec![entry("shop", vec![backend])]).await;
    drop(app);
    let refused = get(world.address(), "shop.localhost", "/").await;
    assert_eq!(status(&refused), 502);
    assert!(!refused.contains(&address.to_string()), "internals are not shown: {refused}");
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nback").await;
    });
    assert_eq!(body(&get(world.address(), "shop.localhost", "/").await), "back");
}

#[tokio::test]
async fn a_request_that_may_be_repeated_survives_an_instance_that_hangs_up() {
    let (bad, good) = (App::hanging_up().await, App::named("good").await);
    let world = World::serving(vec![on("shop", &[&bad, &good]), on("only", &[&bad])]).await;
    for _ in 0..20 {
        assert_eq!(body(&get(world.address(), "shop.localhost", "/").await), "good");
    }
    assert_eq!(status(&request(world.address(), "POST", "only.localhost", "/").await), 502);
}

#[tokio::test]
async fn connections_that_the_application_closes_after_each_answer_lose_no_request() {
    let app = App::closing().await;
    let world = World::serving(vec![on("shop", &[&app])]).await;
    for method in ["GET", "POST"].iter().cycle().take(200) {
        assert_eq!(body(&request(world.address(), method, "shop.localhost", "/").await), "ok", "{method}");
    }
}
