//! All integration tests in one binary, so that they are linked once: a module per room, and the whole in `spine`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "clippy exempts test functions only, not what they call")]

mod applications;
mod arrows;
mod cases;
mod cli;
mod collection;
mod desired;
mod docker;
mod docker_build;
mod docker_engine;
mod docker_guard;
mod docker_spine;
mod docs;
mod engine_contract;
mod faults;
mod git_source;
mod ingress;
mod installation;
mod logs;
mod manifest_directory;
mod newcomer;
mod plan_builders;
mod plan_checker;
mod plan_diff;
mod plan_scripts;
mod plan_speed;
mod plan_stale;
mod process_build;
mod process_engine;
mod sealed;
mod simulation;
mod sources;
mod spine;
mod store;
mod systemd;
mod tutorial;
