//! The data plane: listeners, routing table, balancing, connection handling. Imports `model` and `link` only.
//!
//! The life of a request: [`client`] accepts its connection on one core and reads its head, [`proxy`] finds the service by
//! [`host`] and prepares the [`headers`], [`forward`] sends it to the instance that [`choice`] names over an [`upstream`]
//! connection of that core, [`reply`] streams the answer back; what fails becomes a [`page`]. Upgrades go through a
//! [`tunnel`].
//!
//! The control thread ([`control`]) takes entries from the control plane into the [`board`], which makes the [`table`] that
//! every [`core`] swaps in as a whole, and reports back what cores apply and have in flight.

mod board;
mod choice;
mod client;
mod control;
mod core;
mod ejection;
mod failure;
mod forward;
mod headers;
mod host;
mod instance;
mod page;
mod process;
mod proxy;
mod reply;
mod reports;
mod snapshot;
mod spare;
mod table;
mod totals;
mod tunnel;
mod upstream;

use crate::link::LinkError;
use std::path::PathBuf;

/// What `towpath ingress` is told on its command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngressArgs {
    /// `--dir`: socket, lock and snapshot are in it.
    pub dir: PathBuf,
    /// `--cores`: threads that carry traffic, 1 to 64.
    pub cores: usize,
    /// `--uid` and `--gid`: whom to become, where started as root.
    pub user: Option<(u32, u32)>,
}

/// Runs an ingress until it is told to stop: `towpath ingress`.
///
/// Must be called before the process has other threads. The caller sets up `tracing` to stderr before.
///
/// # Errors
/// Another ingress runs on the directory; the directory, the user or the system refuses something.
pub fn run(args: &IngressArgs) -> Result<(), LinkError> {
    process::run(args)
}
