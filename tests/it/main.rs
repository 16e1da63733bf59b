//! All integration tests, in one binary so that linking does not eat the day.

mod plan_builders;
mod plan_scripts;
mod simulation;
