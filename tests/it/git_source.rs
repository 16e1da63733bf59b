//! Git on real parts: repositories made by the `git` command, served from paths and by git's own HTTP backend.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests are tests too; clippy knows `#[test]` functions only"
)]

mod connections;
mod figures;
mod hostile;
mod http;
mod local;
mod ls_refs;
mod mirror;
mod polling;
mod process;
mod repo;
pub mod ssh;
mod track;

/// Serves the repositories of a directory over HTTP.
pub fn served(root: &std::path::Path) -> repo::Server {
    repo::Server::new(root, None)
}
