//! The API on the network: signed AWS JSON and AWS Query over TCP, `GET /healthz` for everybody, and
//! [webhooks] with signatures of their own.
//!
//! A request is read whole within bounds, its signature verified, and only then looked into. Answers and refusals come in the
//! caller's own protocol, never as HTML.

use super::crowd::{Crowd, Seat};
use super::door::Door;
use super::errors::{ApiError, Fault, answer};
use super::protocol::{self, Protocol, Wanted};
use super::server::{BODY_TIME, HEADER_TIME, STOP_TIME, serve_connection};
use super::sts;
use super::webhooks::{self, Webhooks};
use crate::access::signature::{Presented, Request as Signed};
use crate::access::{Endpoint, RequestFacts, SignatureFault};
use crate::model::Timestamp;
use crate::model::ids::uuid4;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Response, StatusCode, header};
use axum::{Extension, Router};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use openssl::ssl::{Ssl, SslAcceptor};
use serde_json::Value;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_openssl::SslStream;
use tokio_util::sync::CancellationToken;

/// The largest request body, as AWS JSON services have it.
const BODY_BYTES: usize = 1 << 20;
/// Connections at a time.
const CONNECTIONS: usize = 1024;

/// Where a connection comes from.
#[derive(Clone, Copy, Debug)]
struct Origin {
    address: IpAddr,
    secure: bool,
}

/// What the calls of the listener share.
struct Network {
    door: Arc<Door>,
    webhooks: Option<Arc<Webhooks>>,
    endpoint: Option<Arc<Endpoint>>,
}

/// Serves the API's TCP listener until `shutdown`.
pub async fn serve_api(
    listener: TcpListener,
    door: Arc<Door>,
    webhooks: Option<Arc<Webhooks>>,
    tls: Option<SslAcceptor>,
    shutdown: CancellationToken,
) {
    let network = Network { door, webhooks, endpoint: None };
    serve_router(listener, Router::new().fallback(network_call).with_state(Arc::new(network)), tls, shutdown).await;
}

/// Serves a private endpoint of the API until `shutdown` (row A10).
pub async fn serve_endpoint(
    listener: TcpListener,
    door: Arc<Door>,
    endpoint: Endpoint,
    tls: Option<SslAcceptor>,
    shutdown: CancellationToken,
) {
    let network = Network { door, webhooks: None, endpoint: Some(Arc::new(endpoint)) };
    serve_router(listener, Router::new().fallback(network_call).with_state(Arc::new(network)), tls, shutdown).await;
}

/// Serves what a router answers, within the bounds of a listener that strangers reach.
pub(super) async fn serve_router(
    listener: TcpListener,
    router: Router,
    tls: Option<SslAcceptor>,
    shutdown: CancellationToken,
) {
    let crowd = Crowd::new(CONNECTIONS);
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let origin = Origin { address: peer.ip(), secure: tls.is_some() };
                spawn((stream, tls.clone()), origin, &router, &crowd, &shutdown);
            }
            Err(error) => {
                // Out of descriptors: a listener does not end for it.
                tracing::warn!(%error, "failed to accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    finish(&crowd).await;
}

/// Serves one connection in a task of its own. Where nobody can give way, the connection is closed unheard.
fn spawn(
    (stream, tls): (TcpStream, Option<SslAcceptor>),
    origin: Origin,
    router: &Router,
    crowd: &Arc<Crowd>,
    shutdown: &CancellationToken,
) {
    let Some(seat) = crowd.enter() else { return };
    let (seat, shutdown) = (Arc::new(seat), shutdown.clone());
    let router = router.clone().layer(Extension(seat.clone())).layer(Extension(origin));
    tokio::spawn(async move {
        let closed = seat.closed();
        tokio::select! {
            () = serve(stream, tls, router, shutdown) => {}
            () = closed.cancelled() => {}
        }
    });
}

async fn serve(stream: TcpStream, tls: Option<SslAcceptor>, router: Router, shutdown: CancellationToken) {
    let Some(acceptor) = tls else { return serve_connection(stream, router, shutdown).await };
    match tokio::time::timeout(HEADER_TIME, shake_hands(&acceptor, stream)).await {
        Ok(Ok(stream)) => serve_connection(stream, router, shutdown).await,
        Ok(Err(error)) => tracing::debug!(error, "a TLS connection did not come about"),
        Err(_) => tracing::debug!("a TLS connection did not come about in time"),
    }
}

async fn shake_hands(acceptor: &SslAcceptor, stream: TcpStream) -> Result<SslStream<TcpStream>, String> {
    let ssl = Ssl::new(acceptor.context()).map_err(|e| e.to_string())?;
    let mut stream = SslStream::new(ssl, stream).map_err(|e| e.to_string())?;
    Pin::new(&mut stream).accept().await.map_err(|e| e.to_string())?;
    Ok(stream)
}

/// Waits for answers under way.
async fn finish(crowd: &Crowd) {
    let empty = async {
        while crowd.size() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let _ = tokio::time::timeout(STOP_TIME, empty).await;
}

async fn network_call(
    State(network): State<Arc<Network>>,
    Extension(seat): Extension<Arc<Seat>>,
    Extension(origin): Extension<Origin>,
    request: Request,
) -> Response<Body> {
    let id = uuid4(fastrand::u128(..).to_le_bytes());
    if matches!(*request.method(), Method::GET | Method::HEAD) && request.uri().path() == "/healthz" {
        let mut response = answer(StatusCode::OK, &serde_json::json!({ "status": "ok" }), &id);
        response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        return response;
    }
    if let Some(webhooks) = network.webhooks.as_ref().filter(|_| request.uri().path().starts_with(webhooks::PREFIX)) {
        return webhooks.deliver(request).await;
    }
    let pages = webhooks::pages::PREFIX;
    if let Some(webhooks) = network.webhooks.as_ref().filter(|_| request.uri().path().starts_with(pages)) {
        return webhooks.page(request).await;
    }
    let (head, body) = request.into_parts();
    let protocol = Protocol::of(&head);
    match network_answer(&network, &seat, origin, (&head, body), (protocol, &id)).await {
        Ok(Answer::Json(value)) => protocol::in_type_of(&head, answer(StatusCode::OK, &value, &id)),
        Ok(Answer::Query(result)) => result.respond(&id),
        Err(error) => protocol::in_type_of(&head, protocol.refuse(&error, &id)),
    }
}

/// An answer in its protocol.
enum Answer {
    Json(Value),
    Query(sts::Answer),
}

async fn network_answer(
    Network { door, endpoint, .. }: &Network,
    seat: &Arc<Seat>,
    origin: Origin,
    (head, body): (&Parts, Body),
    (protocol, id): (Protocol, &str),
) -> Result<Answer, ApiError> {
    protocol.check(head)?;
    let body = read_body(head, body).await?;
    let wanted = Wanted::read(protocol, head, &body);
    let facts = RequestFacts {
        request_id: id.to_owned(),
        now: Timestamp::now(),
        source: Some(origin.address),
        secure: origin.secure,
        user_agent: text_of(&head.headers, "user-agent"),
        invocation: text_of(&head.headers, "amz-sdk-invocation-id"),
        endpoint: endpoint.clone(),
    };
    let request = signed(head, &body);
    let caller = match door.access.authenticate(&request, wanted.services(), facts.now) {
        Ok(caller) => caller,
        Err(fault) => return Err(refuse_stranger(door, &facts, &request, &wanted, fault).await),
    };
    let _work = seat.work();
    protocol.check_content(head)?;
    match wanted {
        Wanted::Target(target) => door.call(&caller, &facts, target, read_object(&body)?).await.map(Answer::Json),
        Wanted::Sts(parameters) => sts::call(door, &caller, &facts, &parameters).await.map(Answer::Query),
        Wanted::Nothing(why) => Err(Fault::UnknownOperation(why).into()),
    }
}

/// A header that is text, cut where nobody reads on.
pub(super) fn text_of(headers: &HeaderMap, name: &str) -> Option<String> {
    let text = headers.get(name)?.to_str().ok()?;
    Some(text.chars().take(256).collect())
}

fn signed<'a>(head: &'a Parts, body: &'a [u8]) -> Signed<'a> {
    Signed {
        method: head.method.as_str(),
        path: head.uri.path(),
        query: head.uri.query().unwrap_or_default(),
        headers: &head.headers,
        body,
    }
}

/// Records a request whose signature does not hold, and says so to whoever sent it.
async fn refuse_stranger(
    door: &Door,
    facts: &RequestFacts,
    request: &Signed<'_>,
    wanted: &Wanted,
    fault: SignatureFault,
) -> ApiError {
    let target = match wanted {
        Wanted::Target(target) => Some(target.as_str()),
        Wanted::Sts(_) | Wanted::Nothing(_) => None,
    };
    let key_id = Presented::read(request).ok().map(|presented| presented.key_id);
    let error = Fault::Signature(fault).into();
    door.record_stranger(facts, key_id.as_deref(), target, &error).await;
    error
}

async fn read_body(head: &Parts, body: Body) -> Result<Bytes, Fault> {
    let announced = head.headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > BODY_BYTES as u64) {
        return Err(Fault::TooLarge(BODY_BYTES));
    }
    match tokio::time::timeout(BODY_TIME, Limited::new(body, BODY_BYTES).collect()).await {
        Err(_) => Err(Fault::BodyTimeout),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Fault::TooLarge(BODY_BYTES)),
        Ok(Err(_)) => Err(Fault::Serialization("the request's body was cut off".into())),
        Ok(Ok(body)) => Ok(body.to_bytes()),
    }
}

/// A body as one JSON object; nothing at all is an empty one.
pub(super) fn read_object(bytes: &[u8]) -> Result<Value, Fault> {
    if bytes.is_empty() {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    match serde_json::from_slice(bytes) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err(Fault::Serialization("the request's body must be one JSON object".into())),
        Err(error) => Err(Fault::Serialization(format!("the request's body is not JSON: {error}"))),
    }
}
