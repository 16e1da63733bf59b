//! The state that the control plane in memory begins with: two services that run, one that is declared only.

use std::collections::BTreeMap;
use towpath::api::control::{Following, ManifestState, Snapshot};
use towpath::desired::{DeclaredService, Desired, ManifestVersion};
use towpath::model::*;
use towpath::observed::{EngineView, Health, InstanceView, Observed, ServiceView};
use towpath::plan::{Note, NoteKind, Plan, Report};

pub const COMMIT: &str = "3f2a91c0d9e8f7a6b5c4d3e2f1a0b9c8d7e6f5a4";
pub const NOW: Timestamp = Timestamp(1_795_000_000_123);

pub fn spec(name: &str) -> ServiceSpec {
    ServiceSpec {
        restraint: towpath::model::Restraint::default(),
        name: name.parse().unwrap(),
        source: CodeSource {
            repository: "https://github.com/acme/shop".parse().unwrap(),
            track: Reference::Branch("main".parse().unwrap()).into(),
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
        env: BTreeMap::from([("LOG_LEVEL".parse().unwrap(), "info".into())]),
        secrets: BTreeMap::from([("KEY".parse().unwrap(), SecretRef::File("/etc/key".into()))]),
        health: HealthCheck::default(),
        scaling: Scaling::default(),
        deploy: DeploySettings::default(),
        tags: BTreeMap::new(),
        wire: None,
        preview: None,
    }
}

fn settings() -> AppSettings {
    AppSettings {
        runtime: "python3".parse().unwrap(),
        runtime_version: None,
        pre_build: vec![],
        build: vec!["pip install -r requirements.txt".into(), "make".into()],
        post_build: vec![],
        build_env: BTreeMap::new(),
        pre_run: vec![],
        start: "python server.py".into(),
        port: 8080,
        port_env: None,
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
        dockerfile: None,
    }
}

fn service(name: &str, seed: u8) -> ServiceView {
    let id = ServiceId::from_random([seed; 16]);
    let commit = Commit {
        id: COMMIT.parse().unwrap(),
        tree: "t".into(),
        author: "Ann".into(),
        summary: "Sell".into(),
        time: NOW,
        signed_by: None,
    };
    let revision = Revision {
        number: RevisionNumber(3),
        commit,
        contents: None,
        spec: spec(name),
        settings: settings(),
        build: Digest::of(&name),
        artifact: Artifact::Image { id: "sha256:00".into() },
        created_at: NOW,
    };
    let label = HostLabel::from_random([seed; 10]);
    let created = ServiceRecord::created(id.clone(), name.parse().unwrap(), label, Owner::Declared, NOW);
    let (applied, current) = (Some(spec(name)), Some(RevisionNumber(3)));
    let record = ServiceRecord { applied, current, next_revision: 4, ..created };
    let instances = vec![instance(&id, seed, InstanceState::Running), instance(&id, seed + 100, InstanceState::Frozen)];
    ServiceView { record, current: Some(revision), operation: None, instances, target_size: 2, heals: vec![] }
}

fn instance(service: &ServiceId, seed: u8, state: InstanceState) -> InstanceView {
    let id = InstanceId::from_random([seed; 16]);
    let record = InstanceRecord {
        id: id.clone(),
        service: service.clone(),
        revision: RevisionNumber(3),
        operation: None,
        role: InstanceRole::Serving,
        address: None,
        created_at: NOW,
    };
    let observed = ObservedInstance {
        id,
        service: service.clone(),
        revision: RevisionNumber(3),
        config: Digest::of(&1),
        state,
        address: None,
        started_at: NOW,
        drift: vec![],
    };
    InstanceView { record, observed: Some(observed), health: Health::Healthy }
}

pub fn snapshot() -> Snapshot {
    let declared = |name: &str| DeclaredService {
        spec: spec(name),
        place: Place { file: "towpath.yaml".into(), line: 2, column: 3 },
        previews: None,
    };
    let version = ManifestVersion { file: "towpath.yaml".into(), digest: Digest::of(&"m"), commit: None };
    let waits = Note {
        service: Some("orders".parse().unwrap()),
        place: None,
        kind: NoteKind::NeedsPerson,
        message: "waits for `towpath apply`".into(),
        until: None,
    };
    Snapshot {
        observed: Observed {
            services: vec![service("shop", 1), service("broken", 2)],
            heads: vec![],
            engine: EngineView::Answered { name: "process".into() },
            strays: vec![],
            host_memory: None,
            vetted: vec![],
        },
        desired: Some(Desired {
            manifest: version.clone(),
            services: vec![declared("shop"), declared("broken"), declared("orders")],
            secrets: vec![],
            windows: vec![],
            identities: Default::default(),
            connections: vec![],
        }),
        manifest: ManifestState::InForce { version, warnings: vec![] },
        following: Following::default(),
        plan: Plan { manifest: None, at: NOW, changes: vec![] },
        report: Report { notes: vec![waits] },
        http_port: 8080,
        base_domain: "localhost".into(),
        region: "local-1".into(),
        account: "000000000000".into(),
    }
}
