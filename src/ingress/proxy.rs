//! One request: from its head to the head of its answer. The one place where failures become pages.

use super::client::{Client, Turn};
use super::failure::Failure;
use super::reply::Reply;
use super::spare::Spare;
use super::table::Route;
use super::upstream::Upload;
use super::{forward, headers, host, page, tunnel};
use http::header::{ACCEPT, CONNECTION, TRANSFER_ENCODING};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::{Body as _, Incoming};
use hyper::upgrade::OnUpgrade;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

/// A request on its way. Boxed as a whole: what futures hold by value is copied from one to the next.
pub(super) struct Job {
    pub(super) client: Arc<Client>,
    /// The host as the client wrote it.
    pub(super) host: HeaderValue,
    /// As an instance gets it; `None` while it is being sent.
    pub(super) request: Option<Request<Upload>>,
    /// What makes it again, where that is allowed.
    pub(super) spare: Option<Spare>,
    upgrade: Option<Upgrade>,
    route: Arc<Route>,
    id: HeaderValue,
    accept: Option<HeaderValue>,
    turn: Turn,
    /// Whether the client's connection ends with the answer.
    last: bool,
    began: Instant,
}

/// A wanted change of protocol: which, and the client's end when it comes to that.
pub(super) struct Upgrade {
    pub(super) protocol: HeaderValue,
    pub(super) client: OnUpgrade,
}

/// Answers a request.
pub(super) fn answer(
    client: Arc<Client>,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<Reply>, Infallible>> {
    // All that needs no waiting is done here, outside of the future, which stays small for it.
    let taken = take(client, request);
    async move {
        match taken {
            Ok(job) => Ok(finish(job).await),
            Err(page) => Ok(*page),
        }
    }
}

fn take(client: Arc<Client>, request: Request<Incoming>) -> Result<Box<Job>, Box<Response<Reply>>> {
    let began = Instant::now();
    let turn = Turn::begin(&client, began);
    let id = headers::request_id(request.headers(), &client.sender, fresh_id);
    let accept = request.headers().get(ACCEPT).cloned();
    let last = is_last(&request);
    match find(&client, &request) {
        Ok((host, route)) => {
            let (request, upgrade) = outgoing(request, &client, &host, &id);
            Ok(Box::new(Job {
                client,
                host,
                request: Some(request),
                spare: None,
                upgrade,
                route,
                id,
                accept,
                turn,
                last,
                began,
            }))
        }
        Err(failure) => {
            let mut page = page::render(&failure, None, &id, accept.as_ref());
            page.body_mut().hold(turn);
            close_after(&mut page, last);
            Err(Box::new(page))
        }
    }
}

/// Whether nothing that follows a request on its connection may be taken for another request: RFC 9112 §6.1 wants that
/// for one with both a length and chunks, which a proxy before us may have read by its length. Our parser has removed the
/// length by now, so it holds for all that come in chunks.
fn is_last<B>(request: &Request<B>) -> bool {
    request.headers().contains_key(TRANSFER_ENCODING)
}

fn close_after(response: &mut Response<Reply>, last: bool) {
    if last && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

fn find(client: &Client, request: &Request<Incoming>) -> Result<(HeaderValue, Arc<Route>), Failure> {
    // hyper's own bound is checked between reads, each of which may double its buffer.
    if head_bytes(request) > client.core.limits().head_bytes {
        return Err(Failure::HeadTooLarge);
    }
    if request.method() == Method::CONNECT {
        return Err(Failure::BadRequest);
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

async fn finish(mut job: Box<Job>) -> Response<Reply> {
    let answered = pass_on(&mut job).await;
    let Job { client, route, id, accept, turn, last, began, .. } = *job;
    let mut response =
        answered.unwrap_or_else(|failure| page::render(&failure, Some(&route.name), &id, accept.as_ref()));
    route.counters.count(client.core.index, response.status(), began.elapsed());
    response.body_mut().hold(turn);
    close_after(&mut response, last);
    response
}

async fn pass_on(job: &mut Job) -> Result<Response<Reply>, Failure> {
    let (client, route) = (Arc::clone(&job.client), Arc::clone(&job.route));
    match job.upgrade.take() {
        None => in_time(&client, forward::forward(job, route)).await,
        // Boxed: seldom taken, and large.
        Some(upgrade) => in_time(&client, Box::pin(tunnel::open(job, route, upgrade))).await,
    }
}

/// Waits for an answer until the client's time is over.
async fn in_time<T>(client: &Client, answer: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let mut answer = std::pin::pin!(answer);
    std::future::poll_fn(|cx| match answer.as_mut().poll(cx) {
        Poll::Pending if client.is_late() => Poll::Ready(Err(Failure::Late)),
        polled => polled,
    })
    .await
}

/// The request as an instance gets it, and the change of protocol that it asks for.
fn outgoing(
    mut request: Request<Incoming>,
    client: &Client,
    host: &HeaderValue,
    id: &HeaderValue,
) -> (Request<Upload>, Option<Upgrade>) {
    let protocol = headers::wanted_upgrade(request.headers()).filter(|_| request.version() == Version::HTTP_11);
    let upgrade = protocol.map(|protocol| Upgrade { protocol, client: hyper::upgrade::on(&mut request) });
    headers::forward(request.headers_mut(), &client.sender, host, id);
    if request.uri().authority().is_some() {
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    }
    *request.version_mut() = Version::HTTP_11;
    (request.map(|body| if body.is_end_stream() { Upload::Empty } else { Upload::Client(body) }), upgrade)
}

/// 128 random bits in hex: unique without asking anybody.
fn fresh_id() -> HeaderValue {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let random = fastrand::u128(..);
    let text: [u8; 32] = std::array::from_fn(|i| DIGITS[usize::from((random >> (4 * i)) as u8 & 15)]);
    HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_output<A, B, R>(_: impl Fn(A, B) -> R) -> usize {
        size_of::<R>()
    }

    /// Every connection holds one, and every request moves one: cold cache lines are what proxying costs.
    #[test]
    fn the_state_of_a_request_stays_small() {
        let size = size_of_output(answer);
        assert!(size <= 2048, "{size} bytes");
    }
}
