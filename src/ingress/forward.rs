//! Sends a request to an instance, and to another where that is safe.
//!
//! Safe is: any request of which nothing was written; a request that is idempotent (RFC 9110 §9.2.2) and has no body,
//! until its answer begins.

use super::core::Core;
use super::failure::Failure;
use super::headers;
use super::instance::{InFlight, Instance};
use super::reply::Reply;
use super::table::Route;
use super::upstream::{Connection, Upload};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// A request that is refused or lost that often is given up.
const MOST_ATTEMPTS: usize = 4;
/// A request that cannot be repeated takes no connection that was idle for longer. Applications close idle connections
/// after 2 s (gunicorn), 5 s (Node, uvicorn) or more, and a request that crosses such a close is lost.
const SURELY_OPEN: Duration = Duration::from_secs(1);

/// What it takes to make a request without body again.
struct Spare {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
}

impl Spare {
    fn of(request: &Request<Upload>) -> Option<Self> {
        let repeatable = request.method().is_idempotent() && matches!(request.body(), Upload::Empty);
        repeatable.then(|| Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            headers: request.headers().clone(),
        })
    }

    fn request(&self) -> Request<Upload> {
        let mut request = Request::new(Upload::Empty);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

/// How an attempt failed.
enum Missed {
    /// Nothing was written; here is the request.
    Refused(Box<Request<Upload>>, Arc<Instance>),
    /// Perhaps it arrived. `reused`: over a connection that may have been closing.
    Lost { reused: bool, instance: Arc<Instance> },
}

/// Sends a request until it is answered or it is no use.
pub(super) async fn forward(
    core: &Arc<Core>,
    route: Arc<Route>,
    host: &HeaderValue,
    mut request: Request<Upload>,
) -> Result<Response<Reply>, Failure> {
    let spare = Spare::of(&request);
    let mut reuse = if spare.is_some() { Some(core.limits().idle()) } else { Some(SURELY_OPEN) };
    let (mut tried, mut failure, mut route) = (Vec::new(), Failure::NoInstance, Some(route));
    for _ in 0..MOST_ATTEMPTS {
        // Found anew for every attempt: the table may have changed while the last one waited.
        let found = match route.take() {
            Some(route) => route,
            None => core.find(host)?,
        };
        let Some(in_flight) = core.pick(&found, &tried)? else { break };
        match attempt(core, in_flight, request, reuse).await {
            Ok(response) => return Ok(response),
            Err(Missed::Refused(back, instance)) => {
                (request, failure) = (*back, Failure::Unreachable);
                tried.push(instance);
            }
            Err(Missed::Lost { reused, instance }) => {
                let Some(spare) = &spare else { return Err(Failure::Broken) };
                (request, failure) = (spare.request(), Failure::Broken);
                if reused { reuse = None } else { tried.push(instance) }
            }
        }
    }
    Err(failure)
}

async fn attempt(
    core: &Arc<Core>,
    in_flight: InFlight,
    mut request: Request<Upload>,
    reuse: Option<Duration>,
) -> Result<Response<Reply>, Missed> {
    let instance = &in_flight.instance;
    while let Some(mut connection) = reuse.and_then(|fresh| instance.check_out(core.index, fresh)) {
        if !connection.is_open() {
            continue;
        }
        match connection.send(request).await {
            Ok(response) => return Ok(reply(response, Some(connection), in_flight)),
            Err(mut error) => match error.take_message() {
                Some(back) => request = back,
                None => return Err(Missed::Lost { reused: true, instance: Arc::clone(instance) }),
            },
        }
    }
    let Some(mut connection) = connect(core, instance, Connection::connect(instance.address)).await else {
        return Err(Missed::Refused(Box::new(request), Arc::clone(instance)));
    };
    match connection.send(request).await {
        Ok(response) => Ok(reply(response, Some(connection), in_flight)),
        Err(mut error) => Err(match error.take_message() {
            Some(back) => Missed::Refused(Box::new(back), Arc::clone(instance)),
            None => Missed::Lost { reused: false, instance: Arc::clone(instance) },
        }),
    }
}

/// Connects within the limit; ejects the instance if it is the one to blame.
pub(super) async fn connect<T>(
    core: &Core,
    instance: &Instance,
    connecting: impl Future<Output = io::Result<T>>,
) -> Option<T> {
    let error = match timeout(core.limits().connect(), connecting).await {
        Ok(Ok(connected)) => return Some(connected),
        Ok(Err(error)) => error,
        Err(_) => io::Error::from(io::ErrorKind::TimedOut),
    };
    if is_theirs(&error) {
        core.eject(instance, &error);
    } else {
        tracing::error!(%error, address = %instance.address, "failed to open a connection to an instance");
    }
    None
}

/// Whether an error of `connect` tells of the instance, not of us (descriptors, local ports).
fn is_theirs(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionRefused
            | Kind::ConnectionReset
            | Kind::ConnectionAborted
            | Kind::TimedOut
            | Kind::HostUnreachable
            | Kind::NetworkUnreachable
    )
}

/// The answer as the client gets it.
pub(super) fn reply(
    response: Response<Incoming>,
    connection: Option<Connection>,
    in_flight: InFlight,
) -> Response<Reply> {
    in_flight.instance.ejection.succeed();
    let (mut parts, body) = response.into_parts();
    headers::strip_hop_by_hop(&mut parts.headers);
    parts.version = Version::HTTP_11;
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        // Nobody asked for it here, and what follows is no HTTP: the connection is dropped.
        let mut refused = Response::new(Reply::page("the service switched protocols unasked\n".to_owned()));
        *refused.status_mut() = StatusCode::BAD_GATEWAY;
        return refused;
    }
    Response::from_parts(parts, Reply::stream(body, connection, in_flight))
}
