//! The state of a simulated world, and how it is observed and judged.

use crate::plan_builders::{NOON, desired, policy};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use towpath::desired::{DeclaredService, Desired};
use towpath::model::{
    CommitId, InstanceId, InstanceRecord, InstanceRole, InstanceState, Memory, ObservedInstance, Operation,
    OperationId, OperationKind, Owner, Revision, ServiceId, ServiceRecord, ServiceSpec, Timestamp,
};
use towpath::observed::{EngineView, HeadView, Health, InstanceView, Observed, ServiceView};
use towpath::plan::Policy;

/// A service with everything that the store would keep of it.
pub struct Service {
    pub record: ServiceRecord,
    pub revisions: BTreeMap<u32, Revision>,
    pub operation: Option<Operation>,
    pub instances: BTreeMap<InstanceId, InstanceRecord>,
    pub heals: Vec<Timestamp>,
}

/// A healing in progress, as long as the process that does it lives.
pub struct Healing {
    pub service: ServiceId,
    pub start: Vec<InstanceId>,
    pub stop: Vec<InstanceId>,
}

pub struct World {
    pub rng: fastrand::Rng,
    pub now: Timestamp,
    pub desired: Option<Desired>,
    pub policy: Policy,
    pub services: BTreeMap<ServiceId, Service>,
    pub heads: BTreeMap<(String, Option<String>), HeadView>,
    /// What is really on the engine.
    pub engine: BTreeMap<InstanceId, ObservedInstance>,
    pub engine_answers: bool,
    pub health: BTreeMap<InstanceId, Health>,
    pub healings: Vec<Healing>,
    /// Operations that were begun once: beginning one again does nothing.
    pub begun: BTreeSet<OperationId>,
    /// Instances that were recorded once.
    pub recorded: BTreeSet<InstanceId>,
    pub host_memory: Memory,
    pub next_port: u16,
    pub next_commit: u64,
    /// Whether builds, starts and checks fail at random.
    pub failing: bool,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let host_memory = if rng.u8(..4) == 0 { Memory(12 << 30) } else { Memory(256 << 30) };
        Self {
            desired: None,
            policy: policy(rng.u8(..)),
            rng,
            now: NOON,
            services: BTreeMap::new(),
            heads: BTreeMap::new(),
            engine: BTreeMap::new(),
            engine_answers: true,
            health: BTreeMap::new(),
            healings: Vec::new(),
            begun: BTreeSet::new(),
            recorded: BTreeSet::new(),
            host_memory,
            next_port: 10_000,
            next_commit: 1,
            failing: true,
        }
    }

    /// One time in `of`.
    pub fn chance(&mut self, of: u32) -> bool {
        self.rng.u32(..of) == 0
    }

    pub fn declare(&mut self, services: Vec<DeclaredService>) {
        self.desired = Some(desired(services));
    }

    pub fn spec(&self, name: &str) -> Option<&ServiceSpec> {
        self.desired.iter().flat_map(|d| &d.services).map(|d| &d.spec).find(|s| s.name.as_str() == name)
    }

    pub fn declared_names(&self) -> Vec<String> {
        self.desired.iter().flat_map(|d| &d.services).map(|d| d.spec.name.to_string()).collect()
    }

    pub fn head_of(&self, spec: &ServiceSpec) -> Option<&CommitId> {
        let branch = spec.source.track.reference.branch().map(ToString::to_string);
        self.heads.get(&(spec.source.repository.to_string(), branch)).and_then(|h| h.commit.as_ref())
    }

    pub fn observe(&self) -> Observed {
        let recorded: BTreeSet<&InstanceId> = self.services.values().flat_map(|s| s.instances.keys()).collect();
        let engine = match self.engine_answers {
            true => EngineView::Answered { name: "process".into() },
            false => EngineView::Unreachable { message: "connection refused".into() },
        };
        Observed {
            services: self.services.values().map(|s| self.view(s)).collect(),
            heads: self.heads.values().cloned().collect(),
            engine,
            strays: self.engine.values().filter(|o| !recorded.contains(&o.id)).cloned().collect(),
            host_memory: Some(self.host_memory),
            vetted: Vec::new(),
        }
    }

    fn view(&self, service: &Service) -> ServiceView {
        let record = &service.record;
        let minimum = record.applied.as_ref().map_or(0, |s| s.scaling.min_size);
        ServiceView {
            record: Arc::new(record.clone()),
            current: service.current().cloned().map(Arc::new),
            operation: service.operation.clone(),
            instances: service.instances.values().map(|i| self.instance_view(i)).collect(),
            target_size: if record.paused.is_some() { 0 } else { minimum },
            heals: service.heals.clone(),
        }
    }

    fn instance_view(&self, record: &InstanceRecord) -> InstanceView {
        InstanceView {
            record: record.clone(),
            observed: self.engine.get(&record.id).cloned(),
            health: self.health.get(&record.id).cloned().unwrap_or(Health::Unknown),
        }
    }

    /// Whether an instance answers requests.
    pub fn answers(&self, record: &InstanceRecord) -> bool {
        let runs = self.engine.get(&record.id).is_some_and(|o| o.state == InstanceState::Running);
        runs && record.role == InstanceRole::Serving && self.health.get(&record.id) == Some(&Health::Healthy)
    }

    /// The services that answer requests.
    pub fn served(&self) -> BTreeSet<String> {
        let served = self.services.values().filter(|s| s.instances.values().any(|i| self.answers(i)));
        served.map(|s| s.record.name.to_string()).collect()
    }

    /// Whether nothing is in progress.
    pub fn is_idle(&self) -> bool {
        self.healings.is_empty() && self.services.values().all(|s| s.operation.is_none())
    }

    /// Whether nobody asked for the service to end.
    pub fn should_serve(&self, name: &str) -> bool {
        let Some(service) = self.named(name) else { return false };
        let ends = service
            .operation
            .as_ref()
            .is_some_and(|o| matches!(o.kind, OperationKind::PauseService | OperationKind::DeleteService));
        service.record.paused.is_none() && !ends
    }

    pub fn named(&self, name: &str) -> Option<&Service> {
        self.services.values().find(|s| s.record.name.as_str() == name)
    }

    /// Whether a declared service is exactly what the manifest says, at the head of its branch.
    pub fn is_as_declared(&self, name: &str) -> Result<(), String> {
        let spec = self.spec(name).ok_or("not declared")?;
        let service = self.named(name).ok_or("does not exist")?;
        if service.operation.is_some() {
            return Err("its operation does not end".into());
        }
        if service.record.applied.as_ref() != Some(spec) {
            return Err("another declaration is applied".into());
        }
        let commit = service.current().map(|r| &r.commit.id);
        if spec.source.auto_deploy && commit != self.head_of(spec) {
            return Err("another commit runs".into());
        }
        let answering = service.instances.values().filter(|i| self.answers(i)).count();
        if answering != spec.scaling.min_size as usize || service.instances.len() != answering {
            return Err(format!("{answering} of {} instances serve", service.instances.len()));
        }
        Ok(())
    }

    /// Whether something a person has to see to keeps a service from being as declared.
    pub fn has_excuse(&self, name: &str) -> bool {
        let tight = self.host_memory < Memory(64 << 30);
        let guarded = self.policy.mass_delete_allowed.is_none() && !self.undeclared().is_empty();
        let Some(service) = self.named(name) else { return tight || guarded };
        let record = &service.record;
        tight || record.paused.is_some() || !record.held.is_empty() || record.owner == Owner::Managed
    }

    /// What is there and not declared, made by a manifest once.
    pub fn undeclared(&self) -> Vec<String> {
        let names = self.declared_names();
        let ours = self.services.values().filter(|s| s.record.owner == Owner::Declared);
        ours.map(|s| s.record.name.to_string()).filter(|n| !names.contains(n)).collect()
    }
}

impl Service {
    pub fn current(&self) -> Option<&Revision> {
        self.record.current.and_then(|number| self.revisions.get(&number.0))
    }
}
