//! The steps of operations: fetch, build, release, start, check, shift, drain, retire, clean. Each is safe to execute again.

pub mod details;
mod fetch;
mod make;
mod node;
mod release;
mod retire;
mod shift;
mod shifted;
mod start;
mod words;

pub(super) use fetch::source_failure;
pub(super) use make::{Making, Unmade, build_failure};
pub(super) use node::lock as node_lock;
pub use retire::{GRACE, discard_new_instances, on_success};
pub use shift::put_back;
pub use start::instance_spec;
pub use words::words;

use super::operation::Run;
use crate::model::{Class, Failure, Reason, ServiceSpec, Step};

/// Executes one step of an operation.
pub async fn execute(run: &mut Run, step: Step) -> Result<(), Failure> {
    match step {
        Step::Fetch => fetch::fetch(run).await,
        Step::Build => make::build(run).await,
        Step::Release => release::release(run).await,
        Step::Start => start::start(run).await,
        Step::Check => start::check(run).await,
        Step::Shift => shift::shift(run).await,
        Step::Drain => retire::drain(run).await,
        Step::Retire => retire::retire(run).await,
        Step::Clean => retire::clean(run).await,
    }
}

fn failure(step: Step, reason: Reason, class: Class, message: impl Into<String>) -> Failure {
    Failure { reason, class, message: message.into(), step: Some(step) }
}

fn stalled(step: Step, reason: Reason, message: impl Into<String>) -> Failure {
    failure(step, reason, Class::Stalled, message)
}

/// The store did not take a write and the control plane stops: the step is executed again after the next start.
pub(super) fn interrupted(step: Step) -> Failure {
    failure(step, Reason::Internal, Class::Retry, "the control plane stops")
}

fn spec_of(run: &Run, step: Step) -> Result<ServiceSpec, Failure> {
    run.operation
        .target
        .spec
        .clone()
        .ok_or_else(|| stalled(step, Reason::Internal, "the operation has no declared configuration"))
}
