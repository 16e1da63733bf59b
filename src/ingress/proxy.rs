//! One request: from its head to the head of its answer. The one place where failures become pages.

use super::client::Client;
use super::failure::Failure;
use super::forward;
use super::headers;
use super::host;
use super::page;
use super::reply::Reply;
use super::table::Route;
use super::tunnel;
use super::upstream::Upload;
use http::header::ACCEPT;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Response, Uri, Version};
use hyper::body::Body as _;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;
use tokio::time::timeout;

/// Answers a request.
pub(super) async fn answer(client: Arc<Client>, request: Request<Incoming>) -> Result<Response<Reply>, Infallible> {
    let began = Instant::now();
    let id = headers::request_id(request.headers(), &client.sender, fresh_id);
    let accept = request.headers().get(ACCEPT).cloned();
    let found =
        host::of(&request).ok_or(Failure::BadHost).and_then(|host| client.core.find(&host).map(|route| (host, route)));
    let (host, route) = match found {
        Ok(found) => found,
        Err(failure) => return Ok(page::render(&failure, None, &id, accept.as_ref())),
    };
    let answered = pass_on(&client, &route, host, &id, request).await;
    let response = answered.unwrap_or_else(|failure| page::render(&failure, Some(&route.name), &id, accept.as_ref()));
    route.counters.count(client.core.index, response.status(), began.elapsed());
    Ok(response)
}

fn find(client: &Client, request: &Request<Incoming>) -> Result<(HeaderValue, Arc<Route>), Failure> {
    // hyper's own bound is checked between reads, each of which may double its buffer.
    if head_bytes(request) > client.core.limits().head_bytes {
        return Err(Failure::HeadTooLarge);
    }
    let host = host::of(request).ok_or(Failure::BadHost)?;
    let route = client.core.find(&host)?;
    Ok((host, route))
}

fn head_bytes(request: &Request<Incoming>) -> usize {
    const SEPARATORS: usize = ": \r\n".len();
    let path = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    let lines = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + SEPARATORS);
    path + lines.sum::<usize>()
}

async fn pass_on(
    client: &Arc<Client>,
    route: &Arc<Route>,
    host: HeaderValue,
    id: &HeaderValue,
    mut request: Request<Incoming>,
) -> Result<Response<Reply>, Failure> {
    if request.method() == Method::CONNECT {
        return Err(Failure::BadRequest);
    }
    let core = &client.core;
    let limit = core.limits().request();
    let upgrade = take_upgrade(&mut request);
    let request = outgoing(request, client, &host, id);
    // Boxed: seldom taken, and large.
    let late = match upgrade {
        None => timeout(limit, forward::forward(core, Arc::clone(route), &host, request)).await,
        Some(upgrade) => {
            timeout(limit, Box::pin(tunnel::open(client, Arc::clone(route), &host, request, upgrade))).await
        }
    };
    late.unwrap_or(Err(Failure::Late))
}

/// A wanted change of protocol: which, and the client's end when it comes to that.
pub(super) struct Upgrade {
    pub(super) protocol: HeaderValue,
    pub(super) client: OnUpgrade,
}

fn take_upgrade(request: &mut Request<Incoming>) -> Option<Upgrade> {
    let protocol = headers::wanted_upgrade(request.headers()).filter(|_| request.version() == Version::HTTP_11)?;
    Some(Upgrade { protocol, client: hyper::upgrade::on(request) })
}

/// The request as an instance gets it.
fn outgoing(request: Request<Incoming>, client: &Client, host: &HeaderValue, id: &HeaderValue) -> Request<Upload> {
    let (mut parts, body) = request.into_parts();
    headers::forward(&mut parts.headers, &client.sender, host, id);
    if parts.uri.authority().is_some() {
        let path = parts.uri.path_and_query().cloned();
        parts.uri = Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    }
    parts.version = Version::HTTP_11;
    let body = if body.is_end_stream() { Upload::Empty } else { Upload::Client(body) };
    Request::from_parts(parts, body)
}

/// 128 random bits in hex: unique without asking anybody.
fn fresh_id() -> HeaderValue {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let random = fastrand::u128(..);
    let text: [u8; 32] = std::array::from_fn(|i| DIGITS[usize::from((random >> (4 * i)) as u8 & 15)]);
    HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static("-"))
}
