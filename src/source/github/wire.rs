//! One request to an API and its whole answer, on connections that are kept, within bounds.

use super::{ApiBase, GitHubError};
use crate::source::git::connection::Connections;
use bytes::Bytes;
use http::header::LOCATION;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// One exchange, from connecting to the end of the answer, redirects included.
const DEADLINE: Duration = Duration::from_secs(30);
/// More than any answer that we ask for: a page of a hundred things has some hundred kilobytes.
const LONGEST_ANSWER: usize = 8 << 20;
/// How often a repository may have been renamed.
const MOST_REDIRECTS: usize = 3;

/// Connections to GitHub's servers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Wire(Arc<Connections>);

/// A request.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    /// Path and query, from the root of the server.
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Wire {
    /// With the system's certificate authorities, or with those of a PEM file.
    ///
    /// # Errors
    /// When OpenSSL cannot be set up with them.
    pub fn new(authorities: Option<&Path>) -> Result<Self, String> {
        let connections = authorities.map_or_else(Connections::new, Connections::trusting)?;
        Ok(Self(Arc::new(connections)))
    }

    /// Sends a request, and reads the whole answer, whatever its status.
    pub(super) async fn exchange(&self, base: &ApiBase, asked: Asked) -> Result<Response<Full<Bytes>>, GitHubError> {
        let slow = || GitHubError::transport(base, &format!("no whole answer within {} s", DEADLINE.as_secs()));
        let answered = tokio::time::timeout(DEADLINE, self.follow(base, asked)).await;
        answered.unwrap_or_else(|_| Err(slow()))
    }

    async fn follow(&self, base: &ApiBase, mut asked: Asked) -> Result<Response<Full<Bytes>>, GitHubError> {
        for _ in 0..=MOST_REDIRECTS {
            let answer = self.once(base, &asked).await?;
            if !leads_on(answer.status(), &asked.method) {
                return Ok(answer);
            }
            let next = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            asked.target = next.and_then(|location| target(base, location)).ok_or_else(|| {
                GitHubError::unexpected("it redirects to another server, which is not asked with these credentials")
            })?;
        }
        Err(GitHubError::unexpected(&format!("it redirects more than {MOST_REDIRECTS} times")))
    }

    /// One request; on a kept connection that turns out closed before it was sent, once more on a new one.
    async fn once(&self, base: &ApiBase, asked: &Asked) -> Result<Response<Full<Bytes>>, GitHubError> {
        let failed = |message: String| GitHubError::transport(base, &message);
        let mut unsent = Some(request(asked).map_err(failed)?);
        let mut answered = None;
        if let Some(mut kept) = self.0.take(&base.origin)
            && let Some(request) = unsent.take()
        {
            match kept.try_send(request).await {
                Ok(response) => answered = Some((response, kept)),
                Err((_, Some(request))) => unsent = Some(*request),
                Err((error, None)) => return Err(failed(error)),
            }
        }
        let (response, connection) = match (answered, unsent) {
            (Some(answered), _) => answered,
            (None, Some(request)) => {
                let mut fresh = self.0.open(&base.origin).await.map_err(failed)?;
                (fresh.send(request).await.map_err(failed)?, fresh)
            }
            (None, None) => return Err(failed("the request was not sent".into())),
        };
        let whole = read(base, response).await?;
        self.0.give_back(base.origin.clone(), connection);
        Ok(whole)
    }
}

fn request(asked: &Asked) -> Result<Request<Full<Bytes>>, String> {
    let request = Request::builder().method(asked.method.clone()).uri(&asked.target);
    let mut request = request.body(Full::new(asked.body.clone())).map_err(|error| error.to_string())?;
    *request.headers_mut() = asked.headers.clone();
    Ok(request)
}

/// Where a redirect leads, if that is on the same server.
fn target(base: &ApiBase, location: &str) -> Option<String> {
    match location.starts_with('/') && !location.starts_with("//") {
        true => Some(location.to_owned()),
        false => {
            location.parse().ok().filter(|uri: &http::Uri| uri.authority().is_some()).and_then(|uri| base.target(&uri))
        }
    }
}

/// Whether an answer redirects a request as it is. 301 and 302 make other requests of those that change something.
fn leads_on(status: StatusCode, method: &Method) -> bool {
    match status {
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => true,
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => method.is_safe(),
        _ => false,
    }
}

async fn read(base: &ApiBase, response: Response<Incoming>) -> Result<Response<Full<Bytes>>, GitHubError> {
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, LONGEST_ANSWER).collect().await.map_err(|error| {
        let long = error.is::<http_body_util::LengthLimitError>();
        let longer = || GitHubError::unexpected(&format!("an answer has more than {LONGEST_ANSWER} bytes"));
        if long { longer() } else { GitHubError::transport(base, &format!("an answer broke off: {error}")) }
    })?;
    Ok(Response::from_parts(parts, Full::new(body.to_bytes())))
}
