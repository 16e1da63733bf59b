//! One client connection: HTTP/1.1 on it until it ends. TLS and HTTP/2 will be decided here.
//!
//! Times are kept by the core, which looks at all its clients now and then: a timer per request costs more than it is
//! worth where limits are seconds.

use super::core::Core;
use super::headers::Sender;
use super::proxy;
use http::HeaderValue;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::task::{Poll, Waker};
use std::time::Instant;
use tokio::net::TcpStream;

/// hyper's own bound, which it can hold without allocating.
const BUILT_IN_HEADERS: usize = 100;
/// The least that hyper can work with.
const LEAST_BUFFER: usize = 8192;

/// What a client does, and with that, what its time limit is for.
const WAITING: u8 = 0;
const ASKING: u8 = 1;
const READING: u8 = 2;
/// It waited too long for itself, or for the application.
const GONE: u8 = 3;
const LATE: u8 = 4;

/// A client as its requests see it. Counted on its core while it, or a tunnel out of it, lives.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) core: Arc<Core>,
    pub(super) sender: Sender,
    /// All of these are used by one thread only; they are atomic because tasks must be `Send`.
    phase: AtomicU8,
    due: AtomicU64,
    waker: OnceLock<Waker>,
}

impl Client {
    fn new(core: &Arc<Core>, peer: SocketAddr) -> Arc<Self> {
        core.enter();
        let address = peer.ip().to_canonical();
        let text = HeaderValue::from_str(&address.to_string()).unwrap_or_else(|_| HeaderValue::from_static("unknown"));
        let scheme = HeaderValue::from_static("http");
        let sender = Sender { address: text, scheme, trusted: core.trusts(address) };
        let due = AtomicU64::new(core.read_clock(Instant::now()) + core.limits().head_ms);
        Arc::new(Self { core: Arc::clone(core), sender, phase: AtomicU8::new(WAITING), due, waker: OnceLock::new() })
    }

    fn enter(&self, phase: u8, due: u64) {
        self.phase.store(phase, Relaxed);
        self.due.store(due, Relaxed);
    }

    /// Ends the wait of a client whose time is over.
    pub(super) fn check(&self, now: u64) {
        if now < self.due.load(Relaxed) {
            return;
        }
        match self.phase.load(Relaxed) {
            WAITING => self.phase.store(GONE, Relaxed),
            ASKING => self.phase.store(LATE, Relaxed),
            _ => return,
        }
        self.wake();
    }

    /// Has its task look around.
    pub(super) fn wake(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    /// Whether the application took too long to answer it.
    pub(super) fn is_late(&self) -> bool {
        self.phase.load(Relaxed) == LATE
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.core.leave();
    }
}

/// One request of a client, from its head to the last byte of its answer: what the client's time is measured for.
#[derive(Debug)]
pub(super) struct Turn(Arc<Client>);

impl Turn {
    pub(super) fn begin(client: &Arc<Client>, now: Instant) -> Self {
        client.enter(ASKING, client.core.read_clock(now) + client.core.limits().request_ms);
        Self(Arc::clone(client))
    }

    /// The answer begins: it may take as long as it takes.
    pub(super) fn answer(&self) {
        self.0.enter(READING, u64::MAX);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let client = &self.0;
        client.enter(WAITING, client.core.clock() + client.core.limits().head_ms);
    }
}

/// Serves a connection in a task of its own.
pub(super) fn serve(core: &Arc<Core>, stream: TcpStream, peer: SocketAddr) {
    // Without it only latency is lost.
    let _ = stream.set_nodelay(true);
    let client = Client::new(core, peer);
    tokio::spawn(async move {
        let key = client.core.register(&client);
        let core = Arc::clone(&client.core);
        speak(client, stream).await;
        core.unregister(key);
    });
}

async fn speak(client: Arc<Client>, stream: TcpStream) {
    let limits = client.core.limits();
    let mut builder = http1::Builder::new();
    builder.header_read_timeout(None);
    builder.max_buf_size(limits.head_bytes.max(LEAST_BUFFER));
    if limits.headers != BUILT_IN_HEADERS {
        builder.max_headers(limits.headers);
    }
    let requester = Arc::clone(&client);
    let service = service_fn(move |request| proxy::answer(Arc::clone(&requester), request));
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service).with_upgrades());
    let mut ending = false;
    let ended = std::future::poll_fn(|cx| {
        client.waker.get_or_init(|| cx.waker().clone());
        if client.phase.load(Relaxed) == GONE {
            return Poll::Ready(Ok(()));
        }
        if client.core.is_closing() && !std::mem::replace(&mut ending, true) {
            connection.as_mut().graceful_shutdown();
        }
        connection.as_mut().poll(cx)
    });
    // A connection that ends with an error has told its client, or has no client to tell.
    if let Err(error) = ended.await {
        tracing::debug!(%error, "connection ended");
    }
}
