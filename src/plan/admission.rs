//! Whether new instances fit the host's memory. What does not fit waits, with both numbers.

use super::Policy;
use super::words::count;
use crate::model::{
    InstanceRole, InstanceState, Memory, Operation, OperationKind, OperationStatus, ServiceId, ServiceSpec, Step,
};
use crate::observed::{InstanceView, Observed, ServiceView};

/// Instances that something needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Need {
    pub(super) instances: usize,
    pub(super) each: Memory,
}

impl Need {
    /// What a new set of instances takes (row D2): as many as serve now, or as the declaration asks for at least.
    pub(super) fn of_new_set(spec: &ServiceSpec, view: Option<&ServiceView>) -> Self {
        let serving = view.filter(|v| v.current.is_some()).map_or(0, |v| v.target_size);
        Self { instances: serving.max(spec.scaling.min_size) as usize, each: spec.instance.memory }
    }

    fn bytes(self) -> u64 {
        self.each.0.saturating_mul(self.instances as u64)
    }
}

/// Whether a new set of instances of a service fits the host's memory, for what is begun without a plan: a person's
/// deployment, rollback or resume.
///
/// # Errors
/// What it needs and what is free, in words.
pub fn admit(observed: &Observed, policy: &Policy, service: &ServiceId, spec: &ServiceSpec) -> Result<(), String> {
    let view = observed.services.iter().find(|v| &v.record.id == service);
    Budget::new(observed, policy).take_all(Need::of_new_set(spec, view))
}

/// Whether a command that runs once fits the host's memory, beside `taken` bytes of other commands.
///
/// # Errors
/// As [`admit`].
pub fn admit_command(observed: &Observed, policy: &Policy, memory: Memory, taken: u64) -> Result<(), String> {
    let mut budget = Budget::new(observed, policy);
    budget.used = budget.used.saturating_add(taken);
    budget.take_all(Need { instances: 1, each: memory })
}

/// What is left of the host's memory while a plan is made.
pub(super) struct Budget {
    /// `None`: it could not be read, and nothing is held back.
    host: Option<Memory>,
    overcommit_percent: u32,
    used: u64,
}

impl Budget {
    pub(super) fn new(observed: &Observed, policy: &Policy) -> Self {
        let used = observed.services.iter().map(used).fold(0, u64::saturating_add);
        Self { host: observed.host_memory, overcommit_percent: policy.overcommit_percent, used }
    }

    /// Takes as many of the instances as fit, and says how many those are.
    pub(super) fn take_some(&mut self, need: Need) -> usize {
        let fits = match (self.limit(), need.each.0) {
            (None, _) | (_, 0) => need.instances,
            (Some(limit), each) => {
                let free = limit.saturating_sub(self.used) / each;
                need.instances.min(usize::try_from(free).unwrap_or(usize::MAX))
            }
        };
        self.take(Need { instances: fits, ..need });
        fits
    }

    /// Takes all of the instances, or none and says what is missing.
    pub(super) fn take_all(&mut self, need: Need) -> Result<(), String> {
        if self.limit().is_some_and(|limit| self.used.saturating_add(need.bytes()) > limit) {
            return Err(self.refusal(need));
        }
        self.take(need);
        Ok(())
    }

    /// Gives back what an operation has kept for itself that is superseded now.
    pub(super) fn release(&mut self, view: &ServiceView) {
        self.used = self.used.saturating_sub(reserved(view));
    }

    /// `needs 4 GB for 2 instances; 1 GB of 8 GB are free`.
    pub(super) fn refusal(&self, need: Need) -> String {
        let limit = self.limit().unwrap_or(0);
        let free = Memory(limit.saturating_sub(self.used));
        let of = match self.overcommit_percent {
            100 => Memory(limit).to_string(),
            percent => format!("{} ({percent}% of {})", Memory(limit), self.host.unwrap_or(Memory(0))),
        };
        let what = count(need.instances, "new instance");
        let never = if need.bytes() > limit { "; that is more than there is: lower `instance.memory`" } else { "" };
        format!("needs {} for {what}, {free} of {of} are free{never}", Memory(need.bytes()))
    }

    fn take(&mut self, need: Need) {
        self.used = self.used.saturating_add(need.bytes());
    }

    fn limit(&self) -> Option<u64> {
        let host = u128::from(self.host?.0) * u128::from(self.overcommit_percent) / 100;
        Some(u64::try_from(host).unwrap_or(u64::MAX))
    }
}

/// What a service takes: instances that are there or being started, and what its operation has yet to start.
fn used(view: &ServiceView) -> u64 {
    let there = view.instances.iter().filter(|i| takes_memory(i));
    there.map(|i| memory_of(view, i).0).fold(reserved(view), u64::saturating_add)
}

fn takes_memory(instance: &InstanceView) -> bool {
    match &instance.observed {
        Some(observed) => !matches!(observed.state, InstanceState::Exited { .. }),
        None => instance.record.role == InstanceRole::Starting,
    }
}

fn memory_of(view: &ServiceView, instance: &InstanceView) -> Memory {
    let owner = view.operation.as_ref().filter(|o| instance.record.operation.as_ref() == Some(&o.id));
    let target = owner.and_then(|o| o.target.spec.as_ref());
    let running = view.current.as_ref().map(|r| &r.spec).or(view.record.applied.as_ref());
    target.or(running).map_or(Memory(0), |spec| spec.instance.memory)
}

/// What an operation in flight has still to start.
fn reserved(view: &ServiceView) -> u64 {
    let Some(operation) = view.operation.as_ref().filter(|o| has_to_start(o)) else { return 0 };
    let running = view.current.as_ref().map(|r| &r.spec).or(view.record.applied.as_ref());
    let Some(spec) = operation.target.spec.as_ref().or(running) else { return 0 };
    let need = Need::of_new_set(spec, Some(view));
    let started = view.instances.iter().filter(|i| i.record.operation.as_ref() == Some(&operation.id)).count();
    Need { instances: need.instances.saturating_sub(started), ..need }.bytes()
}

fn has_to_start(operation: &Operation) -> bool {
    let goes = matches!(operation.status, OperationStatus::Pending | OperationStatus::InProgress);
    let kind = !matches!(operation.kind, OperationKind::PauseService | OperationKind::DeleteService);
    let step = matches!(operation.step, None | Some(Step::Fetch | Step::Build | Step::Release | Step::Start));
    goes && kind && step && !operation.target.in_place
}
