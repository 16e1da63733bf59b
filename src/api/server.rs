//! The two listeners: the control socket (peers by credentials, a bearer token, AWS JSON) and the API's TCP port.
//!
//! Bounds: connections at a time, header and body time, body size, time to answer. Nothing here knows an operation.

use super::control::ControlPlane;
use super::dispatch::{self, Call, Context};
use super::errors::{ApiError, CONTENT_TYPE, Fault, answer};
use super::logs::LogReader;
use super::socket::Peer;
pub use super::socket::{ServeError, bind_control};
use super::token::Token;
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
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// The largest request body.
pub const BODY_BYTES: usize = 4 << 20;
/// Connections served at a time; more wait to be accepted.
const CONNECTIONS: usize = 64;
const HEADER_TIME: Duration = Duration::from_secs(10);
const BODY_TIME: Duration = Duration::from_secs(15);
/// Below the client's own limit of 30 s, so that it hears why.
const ANSWER_TIME: Duration = Duration::from_secs(25);
/// How long answers that are under way may take once a stop began.
const STOP_TIME: Duration = Duration::from_secs(5);

/// Serves the control socket until `shutdown`; answers under way get five seconds more. The socket's directory is made
/// (0700) if it is not there; a stale socket is removed after nobody was found listening. The token is what
/// [`Token::create`] wrote.
///
/// # Errors
/// When the socket cannot be had. Once it listens, only `shutdown` ends it.
pub async fn serve_control(
    socket: &Path,
    token: Token,
    control: Arc<dyn ControlPlane>,
    logs: Arc<dyn LogReader>,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let listener = bind_control(socket).await?;
    serve_control_on(listener, socket, token, control, logs, shutdown).await;
    Ok(())
}

/// [`serve_control`] on a listener that [`bind_control`] gave.
pub async fn serve_control_on(
    listener: UnixListener,
    socket: &Path,
    token: Token,
    control: Arc<dyn ControlPlane>,
    logs: Arc<dyn LogReader>,
    shutdown: CancellationToken,
) {
    let router = Router::new().fallback(control_call).with_state(Arc::new(Control { token, control, logs }));
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

/// Serves the API's TCP listener until `shutdown`: `GET /healthz` answers 200, everything else 403.
pub async fn serve_api(listener: TcpListener, shutdown: CancellationToken) {
    let router = Router::new().fallback(api_call);
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    while let Some((stream, permit)) = next(&shutdown, &permits, || async { listener.accept().await }).await {
        let (router, shutdown) = (router.clone(), shutdown.clone());
        tokio::spawn(async move {
            serve_connection(stream.0, router, shutdown).await;
            drop(permit);
        });
    }
    finish(&permits).await;
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

async fn serve_connection<S>(stream: S, router: Router, shutdown: CancellationToken)
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
    control: Arc<dyn ControlPlane>,
    logs: Arc<dyn LogReader>,
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
    let input = read_object(request).await?;
    tracing::debug!(request_id = id, target, principal = peer.name, "a call");
    let context = Context { control: shared.control.clone(), logs: shared.logs.clone() };
    let call = Call { target, input, principal: peer.name };
    // A task of its own: an act that has begun is not cut off half-way when the caller goes or the time is over.
    let answer = tokio::spawn(async move { dispatch::dispatch(&context, call).await });
    match tokio::time::timeout(ANSWER_TIME, answer).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(panic)) => Err(super::control::Refusal::Internal(panic.to_string()).into()),
        Err(_) => Err(Fault::AnswerTimeout.into()),
    }
}

fn admit(token: &Token, peer: &Peer, headers: &HeaderMap) -> Result<(), Fault> {
    if !peer.admitted {
        return Err(Fault::Denied(format!("`{}` is neither this server's user nor root", peer.name)));
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
    if bytes.is_empty() {
        return Ok(serde_json::Value::Object(serde_json::Map::new()));
    }
    match serde_json::from_slice(&bytes) {
        Ok(value @ serde_json::Value::Object(_)) => Ok(value),
        Ok(_) => Err(Fault::Serialization("the request's body must be one JSON object".into())),
        Err(error) => Err(Fault::Serialization(format!("the request's body is not JSON: {error}"))),
    }
}

async fn api_call(request: Request) -> Response<Body> {
    let id = uuid4(fastrand::u128(..).to_le_bytes());
    if matches!(*request.method(), Method::GET | Method::HEAD) && request.uri().path() == "/healthz" {
        let mut response = answer(StatusCode::OK, &serde_json::json!({ "status": "ok" }), &id);
        response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        return response;
    }
    let denied = "this listener answers `GET /healthz` only: use the `towpath` command on the server's machine";
    ApiError::from(Fault::Denied(denied.into())).respond(&id)
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
        assert!(matches!(admit(&token, &stranger, &headers), Err(Fault::Denied(_))));
        assert_eq!(admit(&token, &Peer { admitted: true, name: "local:me".into() }, &headers), Ok(()));
    }
}
