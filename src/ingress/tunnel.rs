//! Upgrades (RFC 9110 §7.8), WebSockets above all: after `101` bytes pass both ways until one side ends.

use super::client::Client;
use super::failure::Failure;
use super::forward;
use super::headers;
use super::instance::InFlight;
use super::proxy::{Job, Upgrade};
use super::reply::Reply;
use super::table::Route;
use super::upstream::{self, Upload};
use http::{Response, StatusCode};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::sync::Arc;

/// Sends a request that asks for another protocol. Over a connection of its own, which becomes the tunnel.
pub(super) async fn open(job: &mut Job, route: Arc<Route>, upgrade: Upgrade) -> Result<Response<Reply>, Failure> {
    let (mut sender, in_flight) = connect(job, route).await?;
    let mut request = job.request.take().ok_or(Failure::Broken)?;
    headers::add_upgrade(request.headers_mut(), upgrade.protocol);
    let broken = |error: hyper::Error| if error.is_user() { Failure::BadBody } else { Failure::Broken };
    let mut response = sender.send_request(request).await.map_err(broken)?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(forward::reply(response, None, in_flight));
    }
    in_flight.instance.ejection.succeed();
    let instance = hyper::upgrade::on(&mut response);
    tokio::spawn(pass(upgrade.client, instance, in_flight, Arc::clone(&job.client)));
    Ok(switched(response))
}

/// A connection to the first instance that takes one.
async fn connect(job: &Job, route: Arc<Route>) -> Result<(SendRequest<Upload>, InFlight), Failure> {
    let (mut tried, mut route) = (Vec::new(), Some(route));
    while let Some(in_flight) = forward::choose(job, &mut route, &tried)? {
        let instance = in_flight.instance();
        match forward::connect(&job.client.core, &instance, upstream::open(instance.address)).await {
            Some((sender, driver)) => {
                tokio::spawn(driver.with_upgrades());
                return Ok((sender, in_flight));
            }
            None => tried.push(instance),
        }
    }
    Err(Failure::Unreachable)
}

/// The tunnel counts as a request in flight, and as a connection of its core, until it ends.
async fn pass(client: OnUpgrade, instance: OnUpgrade, in_flight: InFlight, counted: Arc<Client>) {
    if let (Ok(client), Ok(instance)) = tokio::join!(client, instance) {
        let (mut client, mut instance) = (TokioIo::new(client), TokioIo::new(instance));
        // A tunnel that breaks has nobody to tell but its two ends, which see it.
        let _ = tokio::io::copy_bidirectional(&mut client, &mut instance).await;
    }
    drop((in_flight, counted));
}

fn switched(response: Response<Incoming>) -> Response<Reply> {
    let (mut parts, _) = response.into_parts();
    let protocol = parts.headers.get(http::header::UPGRADE).cloned();
    headers::strip_hop_by_hop(&mut parts.headers);
    if let Some(protocol) = protocol {
        headers::add_upgrade(&mut parts.headers, protocol);
    }
    Response::from_parts(parts, Reply::empty())
}
