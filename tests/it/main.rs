//! The integration tests: one binary, a module per room.

mod desired;
mod git_source;
//! All integration tests, in one binary so that linking does not eat the day.

mod plan_builders;
mod plan_checker;
mod plan_diff;
mod plan_scripts;
mod plan_speed;
mod plan_stale;
mod simulation;
//! One test binary: a module per room.

mod engine_contract;
mod process_build;
mod process_engine;
//! One binary for all integration tests: linking once.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics has failed, as it should")]

mod docker;
mod docker_build;
mod docker_engine;
//! One test binary: linking does not eat the day.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should stop, in its helpers too")]

mod ingress;
//! Integration tests: one binary, a module per room.

mod logs;
mod store;
mod cli;
mod desired;
mod plan_builders;
mod plan_scripts;
mod simulation;
