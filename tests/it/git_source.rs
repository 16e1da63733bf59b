//! Git on real parts: repositories made by the `git` command, served from paths and by git's own HTTP backend.

mod figures;
mod hostile;
mod http;
mod local;
mod mirror;
mod polling;
mod repo;
