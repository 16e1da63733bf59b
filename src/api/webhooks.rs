//! Webhooks: what a git host says happened. A delivery is believed when it is signed, and is a hint even then: it names
//! repositories to look at now, and git is read again (law 1).
//!
//! `POST /webhooks/<provider>` on the API listener and on one of its own. Without a secret nothing is taken. Bodies, bodies
//! in memory and deliveries per second are bounded; ids of deliveries are remembered, across restarts too, so that one that
//! is sent again does nothing.

#[cfg(test)]
mod fuzz;
mod pace;
pub mod pages;
mod payload;
mod provider;
mod seen;

pub use pages::{Page, Visit};
pub use provider::Provider;

use self::pace::Pace;
use self::seen::Seen;
use super::server::BODY_TIME;
use crate::model::{RepositoryUrl, Secret};
use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, Response, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use openssl::ssl::SslAcceptor;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

/// Where they are posted to.
pub const PREFIX: &str = "/webhooks/";
/// The largest payload that GitHub sends (<https://docs.github.com/webhooks>: 25 MB).
const BODY_BYTES: usize = 25 << 20;
/// Bodies in memory at a time, in MiB.
const BODIES_MIB: u32 = 64;
/// How long a delivery waits for room for its body.
const ROOM_TIME: Duration = Duration::from_secs(5);

/// What a delivery leads to.
#[async_trait]
pub trait Hints: Send + Sync + 'static {
    /// Looks at these repositories now, as far as anything follows them; returns how many that are.
    fn look_at(&self, repositories: &[RepositoryUrl]) -> usize;
    /// What else deliveries of GitHub may be signed with: the secrets of our own Apps.
    fn secrets_of_apps(&self) -> Vec<Secret>;
    /// Answers a browser in the handshake of a connection.
    async fn visit(&self, visit: Visit) -> Page;
    /// The ids of deliveries that were kept last, oldest first.
    async fn deliveries(&self) -> Vec<String>;
    /// Keeps them instead of those before. What fails is tried again with the next ones.
    async fn keep_deliveries(&self, ids: Vec<String>);
}

/// Takes deliveries.
pub struct Webhooks {
    secrets: BTreeMap<Provider, Secret>,
    hints: Arc<dyn Hints>,
    seen: Seen,
    room: Semaphore,
    pace: Pace,
}

/// What is answered: a status and words.
type Reply = (StatusCode, String);

impl Webhooks {
    /// Takes deliveries of the providers that there is a secret for. Secrets are not empty: who reads them sees to it.
    pub async fn new(secrets: BTreeMap<Provider, Secret>, hints: Arc<dyn Hints>, stop: CancellationToken) -> Arc<Self> {
        let seen = Seen::new(hints.deliveries().await);
        let room = Semaphore::new(BODIES_MIB as usize);
        let webhooks = Arc::new(Self { secrets, hints, seen, room, pace: Pace::default() });
        tokio::spawn(seen::keep(webhooks.clone(), stop));
        webhooks
    }

    /// Answers one delivery, as JSON with a `message`.
    pub async fn deliver(&self, request: Request) -> Response<Body> {
        let (head, body) = request.into_parts();
        let (status, message) = match self.take(&head, body).await {
            Ok(reply) | Err(reply) => reply,
        };
        respond(status, &message)
    }

    async fn take(&self, head: &Parts, body: Body) -> Result<Reply, Reply> {
        let name = head.uri.path().strip_prefix(PREFIX).unwrap_or_default();
        let provider = Provider::named(name)
            .ok_or_else(|| (StatusCode::NOT_FOUND, format!("webhooks go to {}", Provider::paths())))?;
        if head.method != Method::POST {
            return Err((StatusCode::METHOD_NOT_ALLOWED, "webhooks are posted".into()));
        }
        let mut secrets: Vec<Secret> = self.secrets.get(&provider).cloned().into_iter().collect();
        if provider == Provider::GitHub {
            secrets.extend(self.hints.secrets_of_apps());
        }
        if secrets.is_empty() {
            let flag = provider.flag();
            let message = format!("webhooks of {name} are not taken: start `towpath up` with `{flag} FILE`");
            return Err((StatusCode::NOT_FOUND, message));
        }
        if !self.pace.admits() {
            return Err((StatusCode::TOO_MANY_REQUESTS, "too many deliveries; send it again".into()));
        }
        let (body, _room) = self.read(head, body).await?;
        if !secrets.iter().any(|secret| provider.admits(secret, &head.headers, &body)) {
            let message = format!("the delivery carries no valid `{}`", provider.signature_header());
            return Err((StatusCode::UNAUTHORIZED, message));
        }
        self.heed(provider, head, &body)
    }

    /// A delivery that is signed.
    fn heed(&self, provider: Provider, head: &Parts, body: &Bytes) -> Result<Reply, Reply> {
        let accepted = |message: String| Ok((StatusCode::ACCEPTED, message));
        let id = provider.delivery_id(&head.headers);
        if id.as_ref().is_some_and(|id| self.seen.has(id)) {
            return accepted("this delivery was taken before".into());
        }
        if !provider.concerns_sources(&head.headers) {
            self.seen.note(id);
            return accepted("nothing is to be done for this event".into());
        }
        let named = payload::repositories(&head.headers, body).map_err(|why| (StatusCode::BAD_REQUEST, why))?;
        let followed = self.hints.look_at(&named);
        self.seen.note(id);
        tracing::debug!(?provider, followed, "a webhook");
        accepted(match followed {
            0 => "nothing follows this repository".into(),
            _ => "it is looked at now".into(),
        })
    }

    /// The body, with the room that it takes.
    async fn read(&self, head: &Parts, body: Body) -> Result<(Bytes, SemaphorePermit<'_>), Reply> {
        let too_large = || (StatusCode::PAYLOAD_TOO_LARGE, format!("a delivery has at most {BODY_BYTES} bytes"));
        let announced = head.headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
        if announced.is_some_and(|length| length > BODY_BYTES) {
            return Err(too_large());
        }
        // One that does not say its length may have any.
        let mib = u32::try_from(announced.unwrap_or(BODY_BYTES) >> 20).unwrap_or(u32::MAX).saturating_add(1);
        let room = tokio::time::timeout(ROOM_TIME, self.room.acquire_many(mib.min(BODIES_MIB))).await;
        let Ok(Ok(room)) = room else {
            return Err((StatusCode::SERVICE_UNAVAILABLE, "too many deliveries at a time".into()));
        };
        match tokio::time::timeout(BODY_TIME, Limited::new(body, BODY_BYTES).collect()).await {
            Err(_) => Err((StatusCode::REQUEST_TIMEOUT, "the delivery's body did not come in time".into())),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
            Ok(Err(_)) => Err((StatusCode::BAD_REQUEST, "the delivery's body was cut off".into())),
            Ok(Ok(body)) => Ok((body.to_bytes(), room)),
        }
    }
}

fn respond(status: StatusCode, message: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(json!({ "message": message }).to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
    }
    response
}

/// Serves a listener that takes webhooks and nothing else.
pub async fn serve_webhooks(
    listener: TcpListener,
    webhooks: Arc<Webhooks>,
    tls: Option<SslAcceptor>,
    shutdown: CancellationToken,
) {
    let router = Router::new().fallback(only_webhooks).with_state(webhooks);
    super::network::serve_router(listener, router, tls, shutdown).await;
}

async fn only_webhooks(State(webhooks): State<Arc<Webhooks>>, request: Request) -> Response<Body> {
    if request.uri().path().starts_with(pages::PREFIX) {
        return webhooks.page(request).await;
    }
    webhooks.deliver(request).await
}
