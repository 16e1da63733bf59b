//! Small applications to put behind the ingress.

use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use towpath::link::Backend;
use towpath::model::InstanceId;

type Body = http_body_util::combinators::BoxBody<Bytes, Infallible>;

/// A running application; dropped, it is gone with all its connections, as if killed.
pub struct App {
    pub instance: InstanceId,
    pub address: SocketAddr,
    /// Heads of the requests that it saw.
    pub seen: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
    killed: CancellationToken,
    /// Held by each of its tasks.
    alive: Arc<()>,
}

impl Drop for App {
    fn drop(&mut self) {
        self.task.abort();
        self.killed.cancel();
    }
}

impl App {
    /// Answers with its name; `/slow` after 500 ms, `/echo` the body, `/headers` the headers, and so on.
    pub async fn named(name: &'static str) -> Self {
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = Arc::clone(&seen);
        let mut app = Self::raw(move |stream| {
            let seen = Arc::clone(&seen);
            async move {
                let service = service_fn(move |request: Request<Incoming>| {
                    seen.lock().unwrap().push(format!("{} {}", request.method(), request.uri()));
                    answer(name, request)
                });
                let server = hyper::server::conn::http1::Builder::new();
                let _ = server.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
            }
        })
        .await;
        app.seen = kept;
        app
    }

    /// Does with a connection what it is told.
    pub async fn raw<F: Future<Output = ()> + Send + 'static>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let killed = CancellationToken::new();
        let (token, alive) = (killed.clone(), Arc::new(()));
        let held = alive.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (held, served) = (held.clone(), token.clone().run_until_cancelled_owned(serve(stream)));
                tokio::spawn(async move {
                    served.await;
                    drop(held);
                });
            }
        });
        Self {
            instance: InstanceId::from_random(fastrand::u128(..).to_ne_bytes()),
            address,
            seen: Arc::default(),
            task,
            killed,
            alive,
        }
    }

    /// Ends it; once this returns it answers nothing any more.
    pub async fn lost(self) {
        self.task.abort();
        self.killed.cancel();
        while Arc::strong_count(&self.alive) > 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Reads a request's head, then closes without an answer.
    pub async fn hanging_up() -> Self {
        Self::raw(|mut stream| async move {
            let _ = stream.read(&mut [0; 4096]).await;
        })
        .await
    }

    /// Answers one request per connection and closes it without saying so.
    pub async fn closing() -> Self {
        Self::raw(|mut stream| async move {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        })
        .await
    }

    /// It as the routing table names it.
    pub fn backend(&self) -> Backend {
        Backend { instance: self.instance.clone(), address: self.address }
    }

    /// Whether it saw a request.
    pub fn saw(&self, head: &str) -> bool {
        self.seen.lock().unwrap().iter().any(|seen| seen == head)
    }
}

/// An address where nobody listens.
pub async fn nobody() -> Backend {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    Backend { instance: InstanceId::from_random(fastrand::u128(..).to_ne_bytes()), address }
}

async fn answer(name: &'static str, mut request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let text = match request.uri().path() {
        "/slow" => {
            tokio::time::sleep(Duration::from_millis(500)).await;
            name.to_owned()
        }
        "/never" => std::future::pending().await,
        "/headers" => request.headers().iter().map(|(n, v)| format!("{n}: {}\n", v.to_str().unwrap())).collect(),
        "/echo" => String::from_utf8(request.into_body().collect().await.unwrap().to_bytes().into()).unwrap(),
        "/status/204" => return Ok(status(204)),
        "/status/304" => return Ok(status(304)),
        "/drip" => return Ok(drip()),
        "/ws" => return Ok(echo_tunnel(&mut request)),
        _ => name.to_owned(),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)).boxed());
    response.headers_mut().insert("connection", "keep-alive, x-hop".parse().unwrap());
    response.headers_mut().insert("x-hop", "1".parse().unwrap());
    Ok(response)
}

fn status(code: u16) -> Response<Body> {
    Response::builder().status(code).body(Full::new(Bytes::new()).boxed()).unwrap()
}

/// A piece at once, another one 500 ms later.
fn drip() -> Response<Body> {
    let pieces = futures_util::stream::unfold(0, |n| async move {
        match n {
            0 => {}
            1 => tokio::time::sleep(Duration::from_millis(500)).await,
            _ => return None,
        }
        Some((Ok(Frame::data(Bytes::from(format!("piece{n}")))), n + 1))
    });
    Response::new(BodyExt::boxed(StreamBody::new(Box::pin(SyncStream(Mutex::new(Box::pin(pieces)))))))
}

struct SyncStream<S>(Mutex<S>);

impl<S: futures_util::Stream + Unpin> futures_util::Stream for SyncStream<S> {
    type Item = S::Item;
    fn poll_next(self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<Option<S::Item>> {
        std::pin::Pin::new(&mut *self.0.lock().unwrap()).poll_next(cx)
    }
}

fn echo_tunnel(request: &mut Request<Incoming>) -> Response<Body> {
    if !request.headers().contains_key("upgrade") {
        return status(400);
    }
    let upgrade = hyper::upgrade::on(request);
    tokio::spawn(async move {
        let stream = TokioIo::new(upgrade.await.unwrap());
        let (mut read, mut write) = tokio::io::split(stream);
        let _ = tokio::io::copy(&mut read, &mut write).await;
    });
    let head = Response::builder().status(101).header("connection", "upgrade").header("upgrade", "websocket");
    head.body(Full::new(Bytes::new()).boxed()).unwrap()
}
