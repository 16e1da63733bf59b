//! The service below octocrab: puts the credentials on a request, and sends it.

use super::wire::{Asked, Wire};
use super::{ApiBase, Credentials, GitHubError};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HOST, HeaderMap, HeaderValue, USER_AGENT};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use octocrab::OctoBody;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tower_service::Service;

const KIND: HeaderValue = HeaderValue::from_static("application/vnd.github+json");
const US: HeaderValue = HeaderValue::from_static(concat!("towpath/", env!("CARGO_PKG_VERSION")));

/// Sends what octocrab asks.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    wire: Wire,
    base: ApiBase,
    credentials: Credentials,
}

impl Sender {
    pub(super) fn new(wire: Wire, base: ApiBase, credentials: Credentials) -> Self {
        Self { wire, base, credentials }
    }

    async fn send(self, request: Request<OctoBody>) -> Result<Response<Full<Bytes>>, GitHubError> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(|error| GitHubError::unexpected(&error.to_string()))?.to_bytes();
        let target = self.base.target(&parts.uri).ok_or_else(|| {
            GitHubError::unexpected("an answer leads to another server, which is not asked with these credentials")
        })?;
        let headers = self.headers(parts.headers)?;
        let mut asked = Asked { method: parts.method, target, headers, body };
        let shown = self.show(&mut asked).await?;
        let answer = self.wire.exchange(&self.base, asked.clone()).await?;
        let Some(shown) = shown.filter(|_| answer.status() == StatusCode::UNAUTHORIZED) else { return Ok(answer) };
        if !self.credentials.refused(&shown).await {
            return Ok(answer);
        }
        self.show(&mut asked).await?;
        self.wire.exchange(&self.base, asked).await
    }

    /// octocrab's headers with ours.
    fn headers(&self, mut headers: HeaderMap) -> Result<HeaderMap, GitHubError> {
        let host = HeaderValue::from_str(&self.base.origin.authority());
        headers.insert(HOST, host.map_err(|error| GitHubError::unexpected(&error.to_string()))?);
        headers.insert(USER_AGENT, US);
        headers.entry(ACCEPT).or_insert(KIND);
        Ok(headers)
    }

    /// Puts the credentials on a request.
    async fn show(&self, asked: &mut Asked) -> Result<Option<HeaderValue>, GitHubError> {
        let shown = self.credentials.authorization().await?;
        if let Some(shown) = &shown {
            asked.headers.insert(AUTHORIZATION, shown.clone());
        }
        Ok(shown)
    }
}

impl Service<Request<OctoBody>> for Sender {
    type Response = Response<Full<Bytes>>;
    type Error = GitHubError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, GitHubError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), GitHubError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<OctoBody>) -> Self::Future {
        Box::pin(self.clone().send(request))
    }
}
