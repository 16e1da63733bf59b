//! The AWS JSON wire: dispatch by target, errors in one table.
//!
//! In comes `POST /` with the operation in `X-Amz-Target`, over a Unix socket in the data directory ([`serve_control`]) or
//! signed over TCP ([`serve_api`]); out goes AWS JSON 1.0. App Runner's operations go by their own names and shapes, ours
//! by `Towpath.*`, CloudWatch Logs and CloudTrail by theirs. STS is spoken in AWS Query. The wire knows the control plane by [`control::ControlPlane`] and log
//! files by [`logs::LogReader`], and decides nothing itself.

mod apprunner;
pub mod arn;
pub mod audit;
mod cloud_logs;
pub mod collection;
pub mod commands;
pub mod control;
mod crowd;
pub mod dispatch;
mod door;
pub mod errors;
mod events;
pub mod export;
pub mod facts;
#[cfg(test)]
mod fuzz;
pub mod handshake;
pub mod identities;
pub mod logs;
mod network;
mod once;
mod operations;
mod plans;
mod protocol;
mod revisions;
pub mod server;
mod socket;
mod status;
mod strangers;
mod sts;
mod subjects;
pub mod tls;
pub mod token;
pub mod urls;
pub mod views;
pub mod webhooks;

pub use door::Door;
pub use errors::{ApiError, Fault};
pub use network::{serve_api, serve_endpoint};
pub use server::serve_control;
pub use socket::ServeError;
pub use subjects::targets;
pub use token::Token;
pub use webhooks::{Webhooks, serve_webhooks};
