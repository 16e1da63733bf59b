//! The AWS JSON wire: dispatch by target, errors in one table.
//!
//! In comes `POST /` with the operation in `X-Amz-Target`, over a Unix socket in the data directory ([`serve_control`]);
//! out goes AWS JSON 1.0. App Runner's operations go by their own names and shapes, ours by `Towpath.*`. The TCP
//! listener ([`serve_api`]) answers `GET /healthz` only. The wire knows the control plane by [`control::ControlPlane`]
//! and log files by [`logs::LogReader`], and decides nothing itself.

pub mod arn;
pub mod collection;
pub mod commands;
pub mod control;
pub mod dispatch;
pub mod errors;
mod events;
pub mod logs;
mod operations;
mod paging;
mod plans;
mod revisions;
pub mod server;
mod service_shape;
mod services;
mod socket;
mod status;
pub mod token;
pub mod urls;
pub mod views;

pub use errors::{ApiError, Fault};
pub use server::{serve_api, serve_control};
pub use socket::ServeError;
pub use token::Token;
