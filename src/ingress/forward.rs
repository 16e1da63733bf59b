//! Sends a request to an instance, and to another where that is safe.
//!
//! Safe is: any request of which nothing was written; a request that is idempotent (RFC 9110 §9.2.2) and has no body,
//! until its answer begins.

use super::core::Core;
use super::failure::Failure;
use super::headers;
use super::instance::{InFlight, Instance};
use super::proxy::Job;
use super::reply::Reply;
use super::spare::Spare;
use super::table::Route;
use super::upstream::Connection;
use http::{Response, StatusCode, Version};
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

/// How an attempt failed.
enum Missed {
    /// Nothing was written; the request is back in its job.
    Refused(Arc<Instance>),
    /// Perhaps it arrived. `reused`: over a connection that may have been closing.
    Lost { reused: bool, instance: Arc<Instance> },
    /// The client's body failed, which is no fault of an instance.
    BadBody,
}

/// Sends a request until it is answered or it is no use.
pub(super) async fn forward(job: &mut Job, route: Arc<Route>) -> Result<Response<Reply>, Failure> {
    job.spare = job.request.as_ref().and_then(Spare::of);
    let mut reuse = if job.spare.is_some() { Some(job.client.core.limits().idle()) } else { Some(SURELY_OPEN) };
    let (mut tried, mut failure, mut route) = (Vec::new(), Failure::NoInstance, Some(route));
    for _ in 0..MOST_ATTEMPTS {
        let Some(in_flight) = choose(job, &mut route, &tried)? else { break };
        match attempt(job, in_flight, reuse).await {
            Ok(response) => return Ok(response),
            Err(Missed::Refused(instance)) => {
                failure = Failure::Unreachable;
                tried.push(instance);
            }
            Err(Missed::BadBody) => return Err(Failure::BadBody),
            Err(Missed::Lost { reused, instance }) => {
                let Some(again) = job.spare.as_ref().map(Spare::request) else { return Err(Failure::Broken) };
                (job.request, failure) = (Some(again), Failure::Broken);
                if reused { reuse = None } else { tried.push(instance) }
            }
        }
    }
    Err(failure)
}

/// Chooses an instance by the route given, and from then on by the one found anew: the table may have changed while the
/// last attempt waited.
pub(super) fn choose(
    job: &Job,
    route: &mut Option<Arc<Route>>,
    tried: &[Arc<Instance>],
) -> Result<Option<InFlight>, Failure> {
    let core = &job.client.core;
    let route = match route.take() {
        Some(route) => route,
        None => core.find(&job.host)?,
    };
    core.pick(&route, tried)
}

async fn attempt(job: &mut Job, in_flight: InFlight, reuse: Option<Duration>) -> Result<Response<Reply>, Missed> {
    let mut reusable = idle(job, &in_flight, reuse);
    loop {
        let reused = reusable.is_some();
        let mut connection = match reusable {
            Some(connection) => connection,
            // Boxed: seldom needed, and large.
            None => match Box::pin(open(job, &in_flight.instance)).await {
                Some(connection) => connection,
                None => return Err(Missed::Refused(in_flight.instance())),
            },
        };
        // There is a request: it is taken here, and put back below where another turn follows.
        let Some(request) = job.request.take() else { return Err(Missed::Refused(in_flight.instance())) };
        let mut error = match connection.send(request).await {
            Ok(response) => return Ok(reply(response, Some(connection), in_flight)),
            Err(error) => error,
        };
        // Of all that is ours to give, only the body can fail once the request was taken.
        if error.error().is_user() {
            return Err(Missed::BadBody);
        }
        job.request = error.take_message();
        match (&job.request, reused) {
            (None, reused) => return Err(Missed::Lost { reused, instance: in_flight.instance() }),
            (Some(_), false) => return Err(Missed::Refused(in_flight.instance())),
            (Some(_), true) => reusable = idle(job, &in_flight, reuse),
        }
    }
}

/// An idle connection that is open still.
fn idle(job: &Job, in_flight: &InFlight, reuse: Option<Duration>) -> Option<Connection> {
    let core = job.client.core.index;
    let mut connection = in_flight.instance.check_out(core, reuse?)?;
    while !connection.is_open() {
        connection = in_flight.instance.check_out(core, reuse?)?;
    }
    Some(connection)
}

async fn open(job: &Job, instance: &Instance) -> Option<Connection> {
    connect(&job.client.core, instance, Connection::connect(instance.address)).await
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
    mut response: Response<Incoming>,
    connection: Option<Connection>,
    in_flight: InFlight,
) -> Response<Reply> {
    in_flight.instance.ejection.succeed();
    headers::strip_hop_by_hop(response.headers_mut());
    *response.version_mut() = Version::HTTP_11;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        // Nobody asked for it here, and what follows is no HTTP: the connection is dropped.
        let mut refused = Response::new(Reply::page("the service switched protocols unasked\n".to_owned()));
        *refused.status_mut() = StatusCode::BAD_GATEWAY;
        return refused;
    }
    response.map(|body| Reply::stream(body, connection, in_flight))
}
