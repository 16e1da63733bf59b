//! One binary for all integration tests: linking once.
mod docker;
mod docker_build;
mod docker_engine;
