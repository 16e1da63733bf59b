//! Executing a plan as the reconciler does: each write is idempotent; some are done twice, some half and then again.

use super::world::{Healing, Service, World};
use crate::plan_builders::operation_id;
use towpath::model::{
    Cause, InstanceId, InstanceRecord, InstanceRole, Operation, OperationId, OperationKind, OperationStatus,
    OperationTarget, Owner, ServiceId, ServiceRecord, Step, Timestamp,
};
use towpath::plan::{Action, Change, Plan};

/// An operation that begins now.
pub fn begun(
    record: &ServiceRecord,
    kind: OperationKind,
    step: Option<Step>,
    target: OperationTarget,
    now: Timestamp,
) -> Operation {
    let (id, service) = (operation_id(record.name.as_str(), "new"), record.id.clone());
    let cause = Cause::Manifest { place: "towpath.yaml:3".into() };
    let accepted = Operation::accepted(id, service, kind, cause, target, now);
    let (step_started_at, started_at) = (Some(now), Some(now));
    let (status, previous) = (OperationStatus::InProgress, record.current);
    Operation { status, step, previous, step_started_at, started_at, ..accepted }
}

impl World {
    /// Executes what is planned; sometimes not all of it. Says whether all was done.
    pub fn execute(&mut self, plan: &Plan) -> bool {
        let mut all = true;
        for change in &plan.changes {
            if self.failing && self.chance(10) {
                all = false;
                continue;
            }
            if self.failing && self.chance(4) {
                let cut = self.rng.usize(..3);
                self.execute_change(change, cut);
            }
            self.execute_change(change, usize::MAX);
            if self.failing && self.chance(4) {
                self.execute_change(change, usize::MAX);
            }
        }
        all
    }

    /// Does the first `cut` writes of a change.
    fn execute_change(&mut self, change: &Change, cut: usize) {
        match &change.action {
            Action::Create { .. } if cut > 0 => self.create(&change.action),
            Action::Deploy { id, operation, spec, commit } if cut > 0 => {
                let target = OperationTarget::deploying((**spec).clone(), Some(commit.clone()));
                self.begin(id, operation, OperationKind::StartDeployment, target);
            }
            Action::Update { id, operation, spec, commit, in_place } if cut > 0 => {
                let in_place = *in_place;
                let target =
                    OperationTarget { in_place, ..OperationTarget::deploying((**spec).clone(), commit.clone()) };
                self.begin(id, operation, OperationKind::UpdateService, target);
            }
            Action::Delete { id, operation } if cut > 0 => {
                self.begin(id, operation, OperationKind::DeleteService, OperationTarget::nothing());
            }
            Action::Heal { id, start, stop } => self.heal(id, start, stop, cut),
            Action::RemoveStrays { instances } => {
                instances.iter().take(cut).for_each(|i| drop(self.engine.remove(i)));
            }
            _ => {}
        }
    }

    fn create(&mut self, action: &Action) {
        let Action::Create { id, label, operation, spec, commit } = action else { return };
        if !self.begun.insert(operation.clone()) {
            return;
        }
        let record = ServiceRecord::created(id.clone(), spec.name.clone(), label.clone(), Owner::Declared, self.now);
        let target = OperationTarget::deploying((**spec).clone(), commit.clone());
        let first = begun(&record, OperationKind::CreateService, Some(Step::Fetch), target, self.now);
        let operation = Some(Operation { id: operation.clone(), ..first });
        let service = Service {
            record,
            revisions: Default::default(),
            operation,
            instances: Default::default(),
            heals: Vec::new(),
        };
        self.services.insert(id.clone(), service);
    }

    /// Begins an operation; one that is superseded has started nothing, so it just ends.
    fn begin(&mut self, id: &ServiceId, operation: &OperationId, kind: OperationKind, target: OperationTarget) {
        if !self.begun.insert(operation.clone()) {
            return;
        }
        let now = self.now;
        let Some(service) = self.services.get_mut(id) else { return };
        let first = if kind == OperationKind::DeleteService { Step::Shift } else { Step::Fetch };
        let first = begun(&service.record, kind, Some(first), target, now);
        service.operation = Some(Operation { id: operation.clone(), ..first });
    }

    fn heal(&mut self, id: &ServiceId, start: &[InstanceId], stop: &[InstanceId], cut: usize) {
        let now = self.now;
        let Some(service) = self.services.get_mut(id) else { return };
        let Some(current) = service.record.current.or(service.instances.values().map(|i| i.revision).next()) else {
            return;
        };
        if service.heals.last() != Some(&now) {
            service.heals.push(now);
            service.heals.drain(..service.heals.len().saturating_sub(10));
        }
        for instance in start.iter().take(cut) {
            if self.recorded.insert(instance.clone()) {
                let record = InstanceRecord::starting(instance.clone(), id.clone(), current, None, now);
                service.instances.insert(instance.clone(), record);
            }
        }
        if start.is_empty() {
            self.retire(id, &stop[..stop.len().min(cut)]);
        }
        let known = self.healings.iter().any(|h| h.service == *id && h.start == start && h.stop == stop);
        if cut == usize::MAX && !known {
            self.healings.push(Healing { service: id.clone(), start: start.to_vec(), stop: stop.to_vec() });
        }
    }

    /// Takes instances out of routing.
    pub fn retire(&mut self, id: &ServiceId, instances: &[InstanceId]) {
        let Some(service) = self.services.get_mut(id) else { return };
        for instance in instances {
            if let Some(record) = service.instances.get_mut(instance) {
                record.role = InstanceRole::Retiring;
            }
        }
    }

    /// Stops and removes instances, from the engine and from the records.
    pub fn remove(&mut self, id: &ServiceId, instances: &[InstanceId]) {
        let Some(service) = self.services.get_mut(id) else { return };
        for instance in instances {
            self.engine.remove(instance);
            self.health.remove(instance);
            service.instances.remove(instance);
        }
    }
}
