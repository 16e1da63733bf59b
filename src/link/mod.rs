//! What control plane and ingress say to each other: routing entries, reports, the framed protocol.
//!
//! Imports `model` only. Down go whole *service* entries, each with a generation; up come the generation that all the
//! ingress' cores apply, requests in flight per instance as gauges, and totals.
//!
//! - [`frame`]: bytes to frames and back. Pure.
//! - [`message`]: what the frames say.
//! - [`channel`]: frames and file descriptors over a Unix socket.
//! - [`listen`]: binding the listeners, *port in use* seen.
//! - [`handle`]: the control plane's end: adopts or spawns the ingress, keeps it alive, publishes, waits for drains.

pub mod channel;
pub mod error;
pub mod frame;
pub mod handle;
mod ledger;
pub mod listen;
pub mod message;
mod session;
mod spawn;
mod stop;

/// The name of the socket in the ingress' directory.
pub const SOCKET: &str = "link.sock";

pub use error::LinkError;
pub use handle::{Drained, IngressConfig, IngressHandle, IngressStatus, Keeper};
pub use message::{Ejection, Limits, Settings, Subnet, Totals};
pub use stop::stop_running;

use crate::model::{InstanceId, ServiceId, ServiceName};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// One state of the routing table. Monotonic, also across restarts of the control plane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

/// All that the ingress knows of one service. Sent whole; there are no partial changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceEntry {
    /// The service.
    pub service: ServiceId,
    /// Its name, for error pages and logs.
    pub name: ServiceName,
    /// The hosts it answers to: lower case, without port.
    pub hosts: Vec<String>,
    /// What the ingress does with its requests.
    pub state: EntryState,
}

/// What the ingress does with requests of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EntryState {
    /// Sends them to one of these.
    Serving {
        /// The instances, all of which passed their checks.
        backends: Vec<Backend>,
    },
    /// Answers 503 with `Retry-After` and this text, which says why (paused, being created, failed).
    Unavailable {
        /// For the error page, one sentence.
        message: String,
    },
}

/// One instance as the ingress sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backend {
    /// The instance.
    pub instance: InstanceId,
    /// Where it answers.
    pub address: SocketAddr,
}
