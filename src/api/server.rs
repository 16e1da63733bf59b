//! The control socket: peers by credentials, a bearer token, AWS JSON; and how any connection is served.
//!
//! Bounds: connections at a time, header and body time, body size, time to answer. Nothing here knows an operation.

use super::door::Door;
use super::errors::{ApiError, CONTENT_TYPE, Fault, answer};
use super::network::read_object as read_json;
use super::socket::Peer;
pub use super::socket::{ServeError, bind_control};
use super::token::Token;
use crate::access::{Caller, RequestFacts};
use crate::model::Timestamp;
use crate::model::ids::uuid4;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, Response, StatusCode, header};
use axum::{Extension, Router};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// The largest request body.
pub const BODY_BYTES: usize = 4 << 20;
/// Connections served at a time; more wait to be accepted.
const CONNECTIONS: usize = 64;
pub(super) const HEADER_TIME: Duration = Duration::from_secs(10);
pub(super) const BODY_TIME: Duration = Duration::from_secs(15);
/// Below the client's own limit of 30 s, so that it hears why.
pub(super) const ANSWER_TIME: Duration = Duration::from_secs(25);
/// How long answers that are under way may take once a stop began.
pub(super) const STOP_TIME: Duration = Duration::from_secs(5);

/// Serves the control socket until `shutdown`; answers under way get five seconds more. The socket's directory is made
/// (0700) if it is not there; a stale socket is removed after nobody was found listening. The token is what
/// [`Token::create`] wrote.
///
/// # Errors
/// When the socket cannot be had. Once it listens, only `shutdown` ends it.
pub async fn serve_control(
    socket: &Path,
    token: Token,
    door: Arc<Door>,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let listener = bind_control(socket).await?;
    serve_control_on(listener, socket, token, door, shutdown).await;
    Ok(())
}

/// [`serve_control`] on a listener that [`bind_control`] gave.
pub async fn serve_control_on(
    listener: UnixListener,
    socket: &Path,
    token: Token,
    door: Arc<Door>,
    shutdown: CancellationToken,
) {
    let router = Router::new().fallback(control_call).with_state(Arc::new(Control { token, door }));
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    while let Some((stream, permit)) = next(&shutdown, &permits, || async { listener.accept().await }).await {
        let (router, shutdown) = (router.clone(), shutdown.clone());
        tokio::spawn(async move {
            let peer = Peer::of(&stream.0).await;
            serve_connection(stream.0, router.layer(Extension(peer)), shutdown).await;
            drop(permit);
        });
    }
    finish(&permits).await;
    // Best effort: a socket that is left is found stale by the next start.
    let _ = tokio::fs::remove_file(socket).await;
}

/// The next connection with its permit; `None` once `shutdown` came. A failed accept (out of descriptors) waits a
/// moment: a listener does not end for it.
async fn next<T, F>(
    shutdown: &CancellationToken,
    permits: &Arc<Semaphore>,
    accept: impl Fn() -> F,
) -> Option<(T, tokio::sync::OwnedSemaphorePermit)>
where
    F: Future<Output = io::Result<T>>,
{
    let taken = async {
        let permit = permits.clone().acquire_owned().await.ok()?;
        loop {
            match accept().await {
                Ok(stream) => return Some((stream, permit)),
                Err(error) => {
                    tracing::warn!(%error, "failed to accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => None,
        taken = taken => taken,
    }
}

/// Waits for the connections that are open: all permits are back once all have ended.
async fn finish(permits: &Semaphore) {
    let all = permits.acquire_many(CONNECTIONS as u32);
    let _ = tokio::time::timeout(STOP_TIME, all).await;
}

pub(super) async fn serve_connection<S>(stream: S, router: Router, shutdown: CancellationToken)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + 'static,
{
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_buf_size(64 << 10)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// What the control socket's calls share.
struct Control {
    token: Token,
    door: Arc<Door>,
}

async fn control_call(
    State(shared): State<Arc<Control>>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Response<Body> {
    let id = uuid4(fastrand::u128(..).to_le_bytes());
    match control_answer(&shared, peer, request, &id).await {
        Ok(value) => answer(StatusCode::OK, &value, &id),
        Err(error) => error.respond(&id),
    }
}

async fn control_answer(
    shared: &Control,
    peer: Peer,
    request: Request,
    id: &str,
) -> Result<serde_json::Value, ApiError> {
    admit(&shared.token, &peer, request.headers())?;
    let target = target(request.method(), request.uri().path(), request.headers())?;
    let user_agent = super::network::text_of(request.headers(), "user-agent");
    let input = read_object(request).await?;
    tracing::debug!(request_id = id, target, principal = peer.name, "a call");
    // A Unix socket carries nothing off this machine.
    let facts = RequestFacts { user_agent, ..RequestFacts::local(id, Timestamp::now()) };
    shared.door.call(&Caller::local(&peer.name), &facts, target, input).await
}

fn admit(token: &Token, peer: &Peer, headers: &HeaderMap) -> Result<(), Fault> {
    if !peer.admitted {
        return Err(Fault::Stranger(format!("`{}` is neither this server's user nor root", peer.name)));
    }
    let given = headers.get(header::AUTHORIZATION).ok_or(Fault::TokenMissing)?;
    if given.to_str().is_ok_and(|given| token.admits(given)) { Ok(()) } else { Err(Fault::TokenWrong) }
}

fn target(method: &Method, path: &str, headers: &HeaderMap) -> Result<String, Fault> {
    if method != Method::POST {
        return Err(Fault::Method);
    }
    if path != "/" {
        return Err(Fault::UnknownOperation("only `POST /` is answered here".into()));
    }
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let kind = text("content-type").split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if kind != CONTENT_TYPE {
        return Err(Fault::Serialization(format!("the content type must be `{CONTENT_TYPE}`")));
    }
    match text("x-amz-target") {
        "" => Err(Fault::UnknownOperation("the request carries no `X-Amz-Target`".into())),
        target => Ok(target.to_owned()),
    }
}

/// The body as one JSON object; nothing at all is an empty one.
async fn read_object(request: Request) -> Result<serde_json::Value, Fault> {
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > BODY_BYTES as u64) {
        return Err(Fault::TooLarge(BODY_BYTES));
    }
    let body = Limited::new(request.into_body(), BODY_BYTES).collect();
    let bytes = match tokio::time::timeout(BODY_TIME, body).await {
        Err(_) => return Err(Fault::BodyTimeout),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(Fault::TooLarge(BODY_BYTES)),
        Ok(Err(_)) => return Err(Fault::Serialization("the request's body was cut off".into())),
        Ok(Ok(body)) => body.to_bytes(),
    };
    read_json(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_is_not_admitted_is_denied_before_its_token_is_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        let token = Token::create(&dir.path().join("token")).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, token.header().parse().unwrap());
        let stranger = Peer { admitted: false, name: "local:mallory".into() };
        assert!(matches!(admit(&token, &stranger, &headers), Err(Fault::Stranger(_))));
        assert_eq!(admit(&token, &Peer { admitted: true, name: "local:me".into() }, &headers), Ok(()));
    }
}
