//! One binary for all integration tests: linking once.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics has failed, as it should")]

mod docker;
mod docker_build;
mod docker_engine;
