//! One client connection: HTTP/1.1 on it until it ends. TLS and HTTP/2 will be decided here.

use super::core::Core;
use super::headers::Sender;
use super::proxy;
use http::HeaderValue;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;

/// hyper's own bound, which it can hold without allocating.
const BUILT_IN_HEADERS: usize = 100;
/// The least that hyper can work with.
const LEAST_BUFFER: usize = 8192;

/// A client as its requests see it. Counted on its core while it, or a tunnel out of it, lives.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) core: Arc<Core>,
    pub(super) sender: Sender,
}

impl Client {
    fn new(core: &Arc<Core>, peer: SocketAddr) -> Arc<Self> {
        core.enter();
        let address = peer.ip().to_canonical();
        let text = HeaderValue::from_str(&address.to_string()).unwrap_or_else(|_| HeaderValue::from_static("unknown"));
        let sender = Sender { address: text, scheme: HeaderValue::from_static("http"), trusted: core.trusts(address) };
        Arc::new(Self { core: Arc::clone(core), sender })
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.core.leave();
    }
}

/// Serves a connection in a task of its own.
pub(super) fn serve(core: &Arc<Core>, stream: TcpStream, peer: SocketAddr) {
    // Without it only latency is lost.
    let _ = stream.set_nodelay(true);
    let client = Client::new(core, peer);
    tokio::spawn(speak(client, stream));
}

async fn speak(client: Arc<Client>, stream: TcpStream) {
    let core = Arc::clone(&client.core);
    let limits = core.limits();
    let mut builder = http1::Builder::new();
    // Covers a slow head and an idle connection alike: the clock starts when the connection waits for a request.
    builder.timer(TokioTimer::new()).header_read_timeout(limits.head());
    builder.max_buf_size(limits.head_bytes.max(LEAST_BUFFER));
    if limits.headers != BUILT_IN_HEADERS {
        builder.max_headers(limits.headers);
    }
    let service = service_fn(move |request| proxy::answer(Arc::clone(&client), request));
    let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let mut closing = core.closing();
    // A connection that ends with an error has told its client, or has no client to tell.
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = async { drop(closing.wait_for(|closing| *closing).await) } => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}
