//! A connection to an instance, driven by the request that uses it: no task of its own, nothing to hand over.

use http::Request;
use http::Response;
use hyper::body::Incoming;
use hyper::body::{Body, Frame, SizeHint};
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

type Driver = http1::Connection<TokioIo<TcpStream>, Upload>;

/// The body of a request on its way to an instance.
#[derive(Debug)]
pub(super) enum Upload {
    /// None; the request can be made again.
    Empty,
    /// What the client sends.
    Client(Incoming),
}

impl Body for Upload {
    type Data = bytes::Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<bytes::Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Client(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Client(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Client(body) => body.size_hint(),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Connection {
    requests: SendRequest<Upload>,
    /// `None` once it ended: it must not be polled again.
    driver: Option<Box<Driver>>,
    used: Instant,
}

/// Connects, with what hyper needs to speak HTTP/1.1.
pub(super) async fn open(address: SocketAddr) -> std::io::Result<(SendRequest<Upload>, Driver)> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    http1::Builder::new().handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)
}

impl Connection {
    /// Connects.
    pub(super) async fn connect(address: SocketAddr) -> std::io::Result<Self> {
        let (requests, driver) = open(address).await?;
        Ok(Self { requests, driver: Some(Box::new(driver)), used: Instant::now() })
    }

    /// Sends a request and waits for the head of its answer. The error carries the request where nothing of it was
    /// written.
    pub(super) async fn send(
        &mut self,
        request: Request<Upload>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Upload>>> {
        let mut answer = std::pin::pin!(self.requests.try_send_request(request));
        let driver = &mut self.driver;
        std::future::poll_fn(|cx| {
            drive(driver, cx);
            answer.as_mut().poll(cx)
        })
        .await
    }

    /// Moves bytes. Must be called whenever the task of its request is woken.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) {
        drive(&mut self.driver, cx);
    }

    /// Whether it can take a request: an application that closed it meanwhile is noticed here.
    pub(super) fn is_open(&mut self) -> bool {
        // Nobody waits for it while it is idle, so there is nobody to wake.
        drive(&mut self.driver, &mut Context::from_waker(Waker::noop()));
        self.driver.is_some() && self.requests.is_ready()
    }

    /// Notes a use.
    pub(super) fn touch(&mut self, now: Instant) {
        self.used = now;
    }

    /// Since when it is idle.
    pub(super) fn idle_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.used)
    }
}

fn drive(driver: &mut Option<Box<Driver>>, cx: &mut Context<'_>) {
    let Some(running) = driver else { return };
    if Pin::new(running.as_mut()).poll(cx).is_ready() {
        *driver = None;
    }
}

use std::future::Future as _;
