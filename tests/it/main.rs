//! The integration tests: one binary, a module per room.

mod cli;
mod desired;
mod plan_builders;
mod plan_scripts;
mod simulation;
