//! What happens to a simulated world from outside: people, git, the engine, time, the machine.

use super::world::World;
use crate::plan_builders::{commit, declared, head, operation_id, parse, spec};
use std::time::Duration;
use towpath::model::{
    Digest, InstanceId, InstanceState, Memory, ObservedInstance, Operation, OperationKind, OperationTarget, Owner,
    Reference, RevisionNumber, ServiceId, ServiceSpec, Step, Timestamp,
};
use towpath::observed::Health;

const NAMES: [&str; 6] = ["alpha", "beta-1", "gamma", "delta", "epsilon", "zeta-2"];

impl World {
    /// A few random things.
    pub fn disturb(&mut self) {
        let pass = if self.rng.bool() { self.rng.u64(5..800) } else { self.rng.u64(800..20_000) };
        self.now = self.now.plus(Duration::from_millis(pass));
        if self.chance(12) {
            self.now = self.now.plus(Duration::from_secs(400));
        }
        if self.chance(25) {
            // The clock is set, forward or back by days.
            let days = self.rng.i64(-3..=3);
            self.now = Timestamp(self.now.0 + days * 86_400_000);
        }
        for _ in 0..self.rng.usize(0..3) {
            self.one_thing();
        }
    }

    /// Nothing fails any more; a person looks after what waits for one, half of the time.
    pub fn calm(&mut self) {
        self.failing = false;
        self.engine_answers = true;
        for head in self.heads.values_mut() {
            head.error = None;
        }
        let unread: Vec<ServiceSpec> = self.desired.iter().flat_map(|d| &d.services).map(|d| d.spec.clone()).collect();
        for spec in unread.iter() {
            if self.head_of(spec).is_none() {
                self.push_to(spec);
            }
        }
        if self.rng.bool() {
            self.policy.mass_delete_allowed = self.desired.as_ref().map(|d| d.manifest.digest.clone());
        }
    }

    fn one_thing(&mut self) {
        match self.rng.u8(..16) {
            0..3 => self.edit_manifest(),
            3..6 => self.push_commit(),
            6 => self.engine_answers = !self.engine_answers,
            7..10 => self.harm_instance(),
            10 => self.pause_or_resume(),
            11 => self.healings.clear(),
            12 => self.add_stray(),
            13 => self.fail_poll(),
            14 => self.adopt_by_api(),
            _ => self.cancel(),
        }
    }

    fn edit_manifest(&mut self) {
        let mut services: Vec<ServiceSpec> =
            self.desired.iter().flat_map(|d| &d.services).map(|d| d.spec.clone()).collect();
        let name = NAMES[self.rng.usize(..NAMES.len())];
        match services.iter().position(|s| s.name.as_str() == name) {
            Some(at) if self.chance(5) => drop(services.remove(at)),
            Some(at) => self.edit(&mut services[at]),
            None => services.push(spec(name)),
        }
        if self.chance(60) {
            services.truncate(1);
        }
        self.declare(services.into_iter().zip(3..).map(|(spec, line)| declared(spec, line)).collect());
    }

    fn edit(&mut self, spec: &mut ServiceSpec) {
        match self.rng.u8(..6) {
            0 => spec.scaling.min_size = self.rng.u32(1..4),
            1 => spec.health.interval_seconds = self.rng.u32(1..20),
            2 => spec.source.track.reference = Reference::Branch(parse(["main", "release"][self.rng.usize(..2)])),
            3 => spec.source.auto_deploy = !spec.source.auto_deploy || self.rng.bool(),
            4 => spec.instance.memory = Memory(self.rng.u64(1..4) << 30),
            _ => drop(spec.env.insert(parse("LEVEL"), self.rng.u8(..5).to_string())),
        }
    }

    fn push_commit(&mut self) {
        let name = NAMES[self.rng.usize(..NAMES.len())];
        let mut of = self.spec(name).cloned().unwrap_or_else(|| spec(name));
        if self.chance(4) {
            of.source.track.reference = Reference::Default;
        }
        self.push_to(&of);
    }

    fn push_to(&mut self, of: &ServiceSpec) {
        self.next_commit += 1;
        let id = commit(&format!("{:x}f", self.next_commit));
        let key = (of.source.repository.to_string(), of.source.track.reference.branch().map(ToString::to_string));
        self.heads.insert(key, head(of, Some(id)));
    }

    fn any_instance(&mut self) -> Option<InstanceId> {
        let all: Vec<InstanceId> = self.engine.keys().cloned().collect();
        (!all.is_empty()).then(|| all[self.rng.usize(..all.len())].clone())
    }

    fn harm_instance(&mut self) {
        let Some(id) = self.any_instance() else { return };
        let harm = self.rng.u8(..5);
        let Some(there) = self.engine.get_mut(&id) else { return };
        match harm {
            0 => drop(self.engine.remove(&id)),
            1 => there.state = InstanceState::Exited { code: Some(1), message: "exited with code 1".into() },
            2 => drop(self.health.insert(id, Health::Unhealthy { message: "timeout".into() })),
            3 => there.drift.push("memory limit: 2 GB → 4 GB".into()),
            _ => there.config = Digest::of(&"by hand"),
        }
    }

    fn any_idle_service(&mut self) -> Option<ServiceId> {
        let idle = |s: &&super::world::Service| s.operation.is_none() && s.record.current.is_some();
        let all: Vec<ServiceId> = self.services.values().filter(idle).map(|s| s.record.id.clone()).collect();
        (!all.is_empty()).then(|| all[self.rng.usize(..all.len())].clone())
    }

    fn pause_or_resume(&mut self) {
        let Some(id) = self.any_idle_service() else { return };
        let operation = operation_id(id.as_str(), &self.now.to_string());
        let now = self.now;
        let Some(service) = self.services.get_mut(&id) else { return };
        let kind =
            if service.record.paused.is_some() { OperationKind::ResumeService } else { OperationKind::PauseService };
        let first = if kind == OperationKind::ResumeService { Step::Start } else { Step::Shift };
        let target = OperationTarget { spec: None, commit: None, revision: service.record.current, in_place: false };
        let begun =
            Operation { id: operation, ..super::execute::begun(&service.record, kind, Some(first), target, now) };
        self.begun.insert(begun.id.clone());
        service.operation = Some(begun);
    }

    fn add_stray(&mut self) {
        let id = InstanceId::from_random(self.rng.u128(..).to_be_bytes());
        let stray = ObservedInstance {
            id: id.clone(),
            service: ServiceId::from_random([1; 16]),
            revision: RevisionNumber(1),
            config: Digest::of(&"stray"),
            state: InstanceState::Running,
            address: None,
            started_at: self.now,
            drift: Vec::new(),
        };
        self.engine.insert(id, stray);
    }

    fn fail_poll(&mut self) {
        let heads: Vec<_> = self.heads.keys().cloned().collect();
        if heads.is_empty() {
            return;
        }
        let key = heads[self.rng.usize(..heads.len())].clone();
        if let Some(head) = self.heads.get_mut(&key) {
            head.error = head.error.is_none().then(|| "timed out".to_owned());
        }
    }

    /// Rarely a service is one that the API made.
    fn adopt_by_api(&mut self) {
        if let Some(id) = self.any_idle_service().filter(|_| self.rng.u8(..4) == 0)
            && let Some(service) = self.services.get_mut(&id)
        {
            service.record.owner = Owner::Managed;
        }
    }

    fn cancel(&mut self) {
        let running: Vec<ServiceId> =
            self.services.values().filter(|s| s.operation.is_some()).map(|s| s.record.id.clone()).collect();
        if running.is_empty() {
            return;
        }
        let id = running[self.rng.usize(..running.len())].clone();
        let operation = self.services.get_mut(&id).and_then(|s| s.operation.as_mut());
        if let Some(operation) = operation.filter(|o| o.step.is_none_or(|s| s < Step::Shift)) {
            operation.cancel_requested = true;
        }
    }
}
