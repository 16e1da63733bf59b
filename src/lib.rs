//! towpath: a team's own AWS App Runner, pulled from git. The rooms, in the order of the path of data:
//!
//! - [`model`]: the domain in types.
//! - [`trust`]: whether a commit is signed by a key that is trusted. Pure.
//! - [`source`]: the newest version of a source and its contents.
//! - [`desired`]: what should run.
//! - [`observed`]: what runs.
//! - [`plan`]: the difference of the two, with reasons. Pure.
//! - [`build`]: from a commit to an artifact.
//! - [`engine`]: what runs instances.
//! - [`host`]: this machine's processes and files, for the embedded engine and its builder.
//! - [`link`]: what control plane and ingress say to each other.
//! - [`ingress`]: the data plane.
//! - [`store`]: what must survive a restart.
//! - [`telemetry`]: logs and events.
//! - [`secrets`]: values that stand encrypted in git.
//! - [`reconcile`]: the loop that wakes, plans and executes.
//! - [`access`]: who may do what.
//! - [`api`]: the wire.
//! - [`settings`]: the installation's settings.
//! - [`cli`]: commands and how they print.

#![deny(unsafe_code)]

pub mod access;
pub mod api;
pub mod build;
pub mod cli;
pub mod desired;
pub mod engine;
#[cfg(test)]
mod fuzzing;
pub mod host;
pub mod ingress;
pub mod link;
pub mod model;
pub mod observed;
pub mod plan;
pub mod reconcile;
pub mod secrets;
pub mod settings;
pub mod source;
pub mod store;
pub mod telemetry;
pub mod trust;
