//! Time passes in a simulated world: operations take a step, healings go on, instances come up or do not.

use super::world::{Healing, World};
use crate::plan_builders::revision;
use towpath::model::{
    Class, Digest, Failure, Held, HeldReason, InstanceId, InstanceRecord, InstanceRole, InstanceState,
    ObservedInstance, Operation, OperationKind, Pause, Reason, RevisionNumber, ServiceId, Step,
};
use towpath::observed::Health;

impl World {
    /// One step of everything that is in progress.
    pub fn operate(&mut self) {
        if !self.engine_answers {
            return;
        }
        let services: Vec<ServiceId> = self.services.keys().cloned().collect();
        for id in &services {
            if self.services[id].operation.is_some() && !(self.failing && self.chance(3)) {
                self.step(id);
            }
        }
        for id in &services {
            self.bring_up(id);
        }
        let healings = std::mem::take(&mut self.healings);
        let rest: Vec<Healing> = healings.into_iter().filter(|h| !self.finish_healing(h)).collect();
        self.healings.extend(rest);
    }

    fn step(&mut self, id: &ServiceId) {
        let Some(operation) = self.services[id].operation.clone() else { return };
        match operation.kind {
            OperationKind::DeleteService => self.delete_step(id),
            OperationKind::PauseService => self.pause_step(id, &operation),
            _ if operation.cancel_requested && operation.step.is_none_or(|s| s < Step::Shift) => {
                self.fail(id, &operation, HeldReason::Cancelled, Class::Stalled);
            }
            _ if operation.target.in_place => self.apply_in_place(id, &operation),
            _ => self.deployment_step(id, &operation),
        }
    }

    fn deployment_step(&mut self, id: &ServiceId, operation: &Operation) {
        match operation.step {
            None | Some(Step::Fetch) => self.fetch(id, operation),
            Some(Step::Build) => self.build(id, operation),
            Some(Step::Start) => self.start(id, operation),
            Some(Step::Check) => self.check(id, operation),
            Some(Step::Shift) => self.shift(id, operation),
            _ => self.end_deployment(id),
        }
    }

    fn set_step(&mut self, id: &ServiceId, step: Step) {
        if let Some(operation) = self.services.get_mut(id).and_then(|s| s.operation.as_mut()) {
            operation.step = Some(step);
        }
    }

    fn fetch(&mut self, id: &ServiceId, operation: &Operation) {
        let head = operation.target.spec.as_ref().and_then(|s| self.head_of(s).cloned());
        let commit = operation.target.commit.clone().or(head);
        let Some(commit) = commit else { return self.fail(id, operation, HeldReason::Failed, Class::Stalled) };
        if let Some(operation) = self.services.get_mut(id).and_then(|s| s.operation.as_mut()) {
            operation.target.commit = Some(commit);
        }
        self.set_step(id, Step::Build);
    }

    fn build(&mut self, id: &ServiceId, operation: &Operation) {
        if self.failing && self.chance(6) {
            return self.fail(id, operation, HeldReason::Failed, Class::Stalled);
        }
        let now = self.now;
        let Some(service) = self.services.get_mut(id) else { return };
        let (Some(spec), Some(commit)) = (&operation.target.spec, &operation.target.commit) else { return };
        let number = service.record.next_revision;
        service.record.next_revision += 1;
        service.revisions.insert(number, revision(number, spec, commit.clone(), now));
        if let Some(operation) = &mut service.operation {
            operation.revision = Some(RevisionNumber(number));
        }
        self.set_step(id, Step::Start);
    }

    fn start(&mut self, id: &ServiceId, operation: &Operation) {
        let now = self.now;
        let bytes: Vec<[u8; 16]> = (0..4).map(|_| self.rng.u128(..).to_be_bytes()).collect();
        let Some(service) = self.services.get_mut(id) else { return };
        let spec = operation.target.spec.as_ref().or(service.record.applied.as_ref());
        let size = spec.map_or(1, |s| s.scaling.min_size) as usize;
        let number = operation.revision.or(operation.target.revision).unwrap_or(RevisionNumber(1));
        for bytes in bytes.into_iter().take(size) {
            let instance = InstanceId::from_random(bytes);
            let record =
                InstanceRecord::starting(instance.clone(), id.clone(), number, Some(operation.id.clone()), now);
            service.instances.insert(instance.clone(), record);
            service.operation.iter_mut().for_each(|o| o.instances.push(instance.clone()));
        }
        self.set_step(id, Step::Check);
    }

    fn check(&mut self, id: &ServiceId, operation: &Operation) {
        if self.failing && self.chance(6) {
            return self.fail(id, operation, HeldReason::Failed, Class::Stalled);
        }
        let service = &self.services[id];
        let own = service.instances.values().filter(|i| i.operation.as_ref() == Some(&operation.id));
        let states: Vec<bool> =
            own.map(|i| self.health.get(&i.id) == Some(&Health::Healthy) && self.runs(&i.id)).collect();
        if states.iter().all(|up| *up) {
            self.set_step(id, Step::Shift);
        } else if !self.chance(3) {
            self.fail(id, operation, HeldReason::Failed, Class::Stalled);
        }
    }

    fn runs(&self, id: &InstanceId) -> bool {
        self.engine.get(id).is_some_and(|o| o.state == InstanceState::Running)
    }

    /// Traffic moves: new ones serve, all others retire, and the declaration is applied, in one write.
    fn shift(&mut self, id: &ServiceId, operation: &Operation) {
        let now = self.now;
        let own: Vec<InstanceId> = operation.instances.clone();
        // What passed its check may have ended since: traffic never moves to that.
        if !own.iter().all(|i| self.runs(i) && self.health.get(i) == Some(&Health::Healthy)) {
            return self.fail(id, operation, HeldReason::Failed, Class::Stalled);
        }
        for instance in &own {
            self.serve(id, instance);
        }
        let Some(service) = self.services.get_mut(id) else { return };
        for record in service.instances.values_mut().filter(|i| !own.contains(&i.id)) {
            record.role = InstanceRole::Retiring;
        }
        let record = &mut service.record;
        if operation.kind == OperationKind::ResumeService {
            record.paused = None;
        } else {
            record.current = operation.revision;
            record.applied = operation.target.spec.clone();
        }
        record.create_failed = None;
        record.updated_at = now;
        self.set_step(id, Step::Retire);
    }

    fn end_deployment(&mut self, id: &ServiceId) {
        let service = &self.services[id];
        let retiring = service.instances.values().filter(|i| i.role == InstanceRole::Retiring);
        let retiring: Vec<InstanceId> = retiring.map(|i| i.id.clone()).collect();
        // Sometimes a crash comes between the two: what is left over is found again.
        if !(self.failing && self.chance(5)) {
            self.remove(id, &retiring);
        }
        self.end(id);
    }

    fn end(&mut self, id: &ServiceId) {
        if let Some(service) = self.services.get_mut(id) {
            service.operation = None;
        }
    }

    fn apply_in_place(&mut self, id: &ServiceId, operation: &Operation) {
        let now = self.now;
        if let Some(service) = self.services.get_mut(id) {
            service.record.applied = operation.target.spec.clone();
            service.record.updated_at = now;
        }
        self.end(id);
    }

    fn fail(&mut self, id: &ServiceId, operation: &Operation, why: HeldReason, class: Class) {
        let now = self.now;
        let leave = self.failing && self.chance(4);
        if !leave {
            self.remove(id, &operation.instances);
        }
        let Some(service) = self.services.get_mut(id) else { return };
        let message = "it failed".to_owned();
        if let (Some(commit), Some(spec)) = (&operation.target.commit, &operation.target.spec) {
            let spec = Some(Digest::of(spec));
            service.record.held.push(Held { commit: commit.clone(), spec, why, message: message.clone(), at: now });
        }
        if service.record.current.is_none() {
            let failure = Failure { reason: Reason::BuildFailed, class, message, step: operation.step };
            service.record.create_failed = Some(failure);
        }
        service.record.updated_at = now;
        service.operation = None;
    }

    fn pause_step(&mut self, id: &ServiceId, operation: &Operation) {
        let all: Vec<InstanceId> = self.services[id].instances.keys().cloned().collect();
        let now = self.now;
        if operation.step == Some(Step::Shift) {
            self.retire(id, &all);
            return self.set_step(id, Step::Retire);
        }
        if !(self.failing && self.chance(4)) {
            self.remove(id, &all);
        }
        if let Some(service) = self.services.get_mut(id) {
            service.record.paused = Some(Pause { principal: "alice".into(), reason: None, at: now });
        }
        self.end(id);
    }

    fn delete_step(&mut self, id: &ServiceId) {
        let all: Vec<InstanceId> = self.services[id].instances.keys().cloned().collect();
        if self.failing && self.chance(5) {
            let now = self.now;
            let message = "the engine refused".to_owned();
            let failure = Failure { reason: Reason::Internal, class: Class::Retry, message, step: Some(Step::Retire) };
            if let Some(service) = self.services.get_mut(id) {
                service.record.delete_failed = Some(failure);
                service.record.updated_at = now;
            }
            return self.end(id);
        }
        self.remove(id, &all);
        self.services.remove(id);
    }

    /// Recorded instances come up on the engine, and are healthy a step later; those of healings then serve.
    fn bring_up(&mut self, id: &ServiceId) {
        let starting: Vec<InstanceRecord> = self
            .services
            .get(id)
            .into_iter()
            .flat_map(|s| s.instances.values())
            .filter(|i| i.role == InstanceRole::Starting)
            .cloned()
            .collect();
        for record in starting {
            let ends = self.failing && self.chance(8);
            let Some(there) = self.engine.get_mut(&record.id) else {
                if !(self.failing && self.chance(5)) {
                    self.start_on_engine(&record);
                }
                continue;
            };
            if ends {
                there.state = InstanceState::Exited { code: Some(1), message: "exited with code 1".into() };
            }
            if there.state == InstanceState::Running && !(self.failing && self.chance(8)) {
                self.health.entry(record.id.clone()).or_insert(Health::Healthy);
            }
            if record.operation.is_none()
                && self.health.get(&record.id) == Some(&Health::Healthy)
                && self.runs(&record.id)
            {
                self.serve(id, &record.id);
            }
        }
    }

    fn start_on_engine(&mut self, record: &InstanceRecord) {
        let Some(revision) = self.services[&record.service].revisions.get(&record.revision.0) else { return };
        self.next_port += 1;
        let observed = ObservedInstance {
            id: record.id.clone(),
            service: record.service.clone(),
            revision: record.revision,
            config: revision.config_digest(),
            state: InstanceState::Running,
            address: Some(([127, 0, 0, 1], self.next_port).into()),
            started_at: self.now,
            drift: Vec::new(),
        };
        self.engine.insert(record.id.clone(), observed);
    }

    fn serve(&mut self, id: &ServiceId, instance: &InstanceId) {
        let address = self.engine.get(instance).and_then(|o| o.address);
        let record = self.services.get_mut(id).and_then(|s| s.instances.get_mut(instance));
        if let (Some(record), Some(address)) = (record, address) {
            record.role = InstanceRole::Serving;
            record.address = Some(address);
        }
    }

    /// A healing ends once what it started serves (or is gone): then what it replaces goes.
    fn finish_healing(&mut self, healing: &Healing) -> bool {
        let Some(service) = self.services.get(&healing.service) else { return true };
        let role = |i: &InstanceId| service.instances.get(i).map(|r| r.role);
        if healing.start.iter().any(|i| role(i) == Some(InstanceRole::Starting)) {
            return false;
        }
        let serves = healing.start.iter().all(|i| service.instances.get(i).is_some_and(|r| self.answers(r)));
        if serves {
            self.remove(&healing.service, &healing.stop);
        }
        true
    }
}
