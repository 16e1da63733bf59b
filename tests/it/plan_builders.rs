//! Values of the model for tests of planning: short names in, whole values out.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;
use towpath::desired::{DeclaredService, Desired, ManifestVersion};
use towpath::model::{
    AppSettings, Artifact, BuildSource, CodeSource, Commit, CommitId, DeploySettings, Digest, HealthCheck, HostLabel,
    InstanceId, InstanceRecord, InstanceRole, InstanceSize, InstanceState, ObservedInstance, Operation, OperationId,
    OperationKind, OperationStatus, OperationTarget, Owner, Place, Revision, RevisionNumber, Scaling, ServiceId,
    ServiceRecord, ServiceSpec, Step, Timestamp,
};
use towpath::model::{Cause, RepositoryUrl, Track};
use towpath::observed::{HeadView, Health, InstanceView, ServiceView};
use towpath::plan::Policy;

/// The moment that tests plan at: 2026-01-01T12:00:00Z.
pub const NOON: Timestamp = Timestamp(1_767_268_800_000);

/// A value that a test wrote, so that it can be read.
pub fn parse<T: FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Display,
{
    text.parse().unwrap_or_else(|e| panic!("`{text}`: {e}"))
}

/// A commit by its first hex digits.
pub fn commit(short: &str) -> CommitId {
    parse(&format!("{short:0<40}"))
}

pub fn repository(name: &str) -> RepositoryUrl {
    parse(&format!("https://git.example/{name}"))
}

/// The declaration of a service with every default.
pub fn spec(name: &str) -> ServiceSpec {
    ServiceSpec {
        restraint: towpath::model::Restraint::default(),
        name: parse(name),
        source: CodeSource {
            repository: repository(name),
            track: Track::default(),
            key: None,
            credentials: None,
            connection: None,
            auto_deploy: true,
            host: Default::default(),
            verify: None,
            poll: None,
        },
        build: BuildSource::Inline(Box::new(settings())),
        instance: InstanceSize::default(),
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
        health: HealthCheck::default(),
        scaling: Scaling::default(),
        deploy: DeploySettings::default(),
        tags: BTreeMap::new(),
        wire: None,
        preview: None,
    }
}

pub fn settings() -> AppSettings {
    AppSettings {
        runtime: parse("python3"),
        runtime_version: None,
        pre_build: Vec::new(),
        build: vec!["pip install -r requirements.txt".into()],
        post_build: Vec::new(),
        build_env: BTreeMap::new(),
        pre_run: Vec::new(),
        start: "python server.py".into(),
        port: 8080,
        port_env: None,
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
        dockerfile: None,
    }
}

pub fn declared(spec: ServiceSpec, line: u32) -> DeclaredService {
    DeclaredService { spec, place: Place { file: "towpath.yaml".into(), line, column: 3 }, previews: None }
}

pub fn desired(services: Vec<DeclaredService>) -> Desired {
    let digest = Digest::of(&services.iter().map(|s| &s.spec).collect::<Vec<_>>());
    Desired {
        manifest: ManifestVersion { file: "towpath.yaml".into(), digest, commit: None },
        services,
        secrets: vec![],
        windows: vec![],
        identities: Default::default(),
        connections: vec![],
    }
}

pub fn policy(seed: u8) -> Policy {
    Policy {
        seed: [seed; 32],
        mass_delete_allowed: None,
        overcommit_percent: 100,
        apply_automatically: true,
        windows: vec![],
    }
}

pub fn service_id(name: &str) -> ServiceId {
    ServiceId::from_random(bytes_of("service", name))
}

pub fn instance_id(service: &str, index: usize) -> InstanceId {
    InstanceId::from_random(bytes_of("instance", &format!("{service}-{index}")))
}

pub fn operation_id(service: &str, which: &str) -> OperationId {
    OperationId::from_random(bytes_of("operation", &format!("{service}-{which}")))
}

fn bytes_of(what: &str, name: &str) -> [u8; 16] {
    let digest = Digest::of(&(what, name));
    std::array::from_fn(|i| digest.as_str().as_bytes()[i])
}

/// A service that serves nothing yet.
pub fn record(spec: &ServiceSpec, at: Timestamp) -> ServiceRecord {
    let label = bytes_of("label", spec.name.as_str());
    let label = HostLabel::from_random(std::array::from_fn(|i| label[i]));
    ServiceRecord::created(service_id(spec.name.as_str()), spec.name.clone(), label, Owner::Declared, at)
}

pub fn revision(number: u32, spec: &ServiceSpec, commit: CommitId, at: Timestamp) -> Revision {
    let settings = match &spec.build {
        BuildSource::Inline(settings) => (**settings).clone(),
        BuildSource::Repository => settings(),
    };
    let (author, summary) = ("Jane".into(), "Work".into());
    let details = Commit { id: commit, tree: "0".repeat(40), author, summary, time: at, signed_by: None };
    Revision {
        number: RevisionNumber(number),
        build: Digest::of(&(&details.id, &settings)),
        commit: details,
        contents: None,
        spec: spec.clone(),
        settings,
        artifact: Artifact::Directory {
            path: PathBuf::from("/b"),
            root: None,
            path_prefix: Vec::new(),
            env: BTreeMap::new(),
        },
        created_at: at,
    }
}

/// An instance of a revision that serves as it should.
pub fn serving(id: InstanceId, service: &ServiceId, revision: &Revision, port: u16, at: Timestamp) -> InstanceView {
    let address = Some(([127, 0, 0, 1], port).into());
    InstanceView {
        record: InstanceRecord {
            id: id.clone(),
            service: service.clone(),
            revision: revision.number,
            operation: None,
            role: InstanceRole::Serving,
            address,
            created_at: at,
        },
        observed: Some(ObservedInstance {
            id,
            service: service.clone(),
            revision: revision.number,
            config: revision.config_digest(),
            state: InstanceState::Running,
            address,
            started_at: at,
            drift: Vec::new(),
        }),
        health: Health::Healthy,
    }
}

/// A service that serves a revision with some instances.
pub fn running_view(spec: &ServiceSpec, number: u32, at_commit: CommitId, instances: u16, port: u16) -> ServiceView {
    let at = Timestamp(NOON.0 - 3_600_000);
    let current = revision(number, spec, at_commit, at);
    let mut record = record(spec, at);
    record.applied = Some(spec.clone());
    record.current = Some(current.number);
    record.next_revision = number + 1;
    let id = record.id.clone();
    let name = spec.name.as_str();
    let instances =
        (0..instances).map(|i| serving(instance_id(name, usize::from(i)), &id, &current, port + i, at)).collect();
    let target_size = spec.scaling.min_size;
    ServiceView { record, current: Some(current), operation: None, instances, target_size, heals: Vec::new() }
}

pub fn head(spec: &ServiceSpec, at: Option<CommitId>) -> HeadView {
    HeadView {
        repository: spec.source.repository.clone(),
        track: spec.source.track.clone(),
        seen_at: at.as_ref().map(|_| NOON),
        commit: at,
        contents: None,
        alike: Vec::new(),
        details: None,
        error: None,
        checks: None,
        rewritten: None,
    }
}

pub fn operation(view: &ServiceView, kind: OperationKind, step: Option<Step>, target: OperationTarget) -> Operation {
    let (id, service) = (operation_id(view.record.name.as_str(), "running"), view.record.id.clone());
    let cause = Cause::Manifest { place: "towpath.yaml:1".into() };
    let accepted = Operation::accepted(id, service, kind, cause, target, NOON);
    let (step_started_at, started_at) = (Some(NOON), Some(NOON));
    let (status, previous) = (OperationStatus::InProgress, view.record.current);
    Operation { status, step, previous, step_started_at, started_at, ..accepted }
}
