//! Builds values of every stored type from a seed, so that a failure names the seed that makes it again.

use crate::model::*;

/// A source of small random choices.
pub(super) struct Seeded(pub(super) fastrand::Rng);

impl Seeded {
    pub(super) fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    fn bytes(&mut self) -> [u8; 16] {
        self.0.u128(..).to_le_bytes()
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.0.bool() { Some(make(self)) } else { None }
    }

    fn many<T>(&mut self, make: impl Fn(&mut Self) -> T) -> Vec<T> {
        (0..self.0.usize(..4)).map(|_| make(self)).collect()
    }

    /// Text as people and attackers write it.
    pub(super) fn text(&mut self) -> String {
        const ALPHABET: [char; 12] = ['a', 'Z', ' ', '\'', '"', '\\', '\n', '\0', 'é', '漢', '😀', '$'];
        (0..self.0.usize(..12)).map(|_| ALPHABET[self.0.usize(..ALPHABET.len())]).collect()
    }

    fn time(&mut self) -> Timestamp {
        Timestamp(self.0.i64(0..4_102_444_800_000))
    }

    fn commit_id(&mut self) -> CommitId {
        format!("{:032x}{:08x}", self.0.u128(..), self.0.u32(..)).parse().unwrap()
    }

    fn digest(&mut self) -> Digest {
        Digest::of(&self.0.u64(..))
    }

    fn env(&mut self) -> std::collections::BTreeMap<EnvName, String> {
        self.many(|s| (format!("V{}", s.0.u16(..)).parse().unwrap(), s.text())).into_iter().collect()
    }

    fn settings(&mut self) -> AppSettings {
        AppSettings {
            runtime: "python3".parse().unwrap(),
            runtime_version: self.maybe(|s| VersionLock(vec![3, s.0.u32(..20)])),
            pre_build: self.many(Self::text),
            build: self.many(Self::text),
            post_build: self.many(Self::text),
            build_env: self.env(),
            pre_run: self.many(Self::text),
            start: self.text(),
            port: self.0.u16(..),
            port_env: self.maybe(|_| "APP_PORT".parse().unwrap()),
            env: self.env(),
            secrets: self.env(),
            dockerfile: self.maybe(|s| {
                Box::new(crate::model::DockerfileBuild {
                    path: "docker/Dockerfile".parse().unwrap(),
                    context: s.maybe(|_| "web".parse().unwrap()),
                    target: s.maybe(|_| "final".into()),
                    args: s.env(),
                })
            }),
        }
    }

    fn track(&mut self) -> Track {
        let reference = match self.0.u8(..4) {
            0 => Reference::Default,
            1 => Reference::Branch("main".parse().unwrap()),
            2 => Reference::Tag("v1.2".parse().unwrap()),
            _ => Reference::Commit("3f2a91c".parse().unwrap()),
        };
        Track { reference, directory: self.maybe(|_| "services/web".parse().unwrap()) }
    }

    pub(super) fn spec(&mut self) -> ServiceSpec {
        ServiceSpec {
            restraint: crate::model::Restraint::default(),
            name: format!("shop-{}", self.0.u16(..)).parse().unwrap(),
            source: CodeSource {
                repository: "https://github.com/acme/hello".parse().unwrap(),
                track: self.track(),
                key: self.maybe(|_| "/etc/key".into()),
                credentials: self.maybe(|s| {
                    let password = SecretRef::Env("PULL".into());
                    Box::new(RegistryCredentials { username: s.text(), password })
                }),
                connection: self.maybe(|_| "acme-github".parse().unwrap()),
                auto_deploy: self.0.bool(),
                host: Default::default(),
                verify: None,
                poll: None,
            },
            build: match self.0.bool() {
                true => BuildSource::Repository,
                false => BuildSource::Inline(Box::new(self.settings())),
            },
            instance: InstanceSize { cpu: Cpu(self.0.u32(..4000)), memory: Memory(self.0.u64(..)), storage: None },
            env: self.env(),
            secrets: [("KEY".parse().unwrap(), SecretRef::Env(self.text()))].into(),
            health: HealthCheck::default(),
            scaling: Scaling::default(),
            deploy: DeploySettings::default(),
            tags: [(self.text(), self.text())].into(),
            wire: self.maybe(|s| Box::new(WireSettings::bound_to(s.resource_id()))),
            preview: None,
        }
    }

    fn resource_id(&mut self) -> ResourceId {
        ResourceId::from_random(self.bytes())
    }

    pub(super) fn resource(&mut self) -> Resource {
        let service = ServiceId::from_random(self.bytes());
        let kind = match self.0.u8(..6) {
            0 => ResourceKind::Connection {
                provider: Provider::GitHub,
                host: self.maybe(|_| "https://git.example.com".parse().unwrap()),
                declared: self.0.bool(),
                handshake: self.maybe(|b| Handshake {
                    entrance: Entrance::Token,
                    sealed: b.text(),
                    sealed_webhook: None,
                    completed_at: None,
                }),
            },
            1 => ResourceKind::AutoScaling { scaling: Scaling::default(), default: self.0.bool() },
            2 => ResourceKind::Observability { vendor: self.maybe(Self::text) },
            3 => ResourceKind::VpcConnector { subnets: self.many(Self::text), security_groups: self.many(Self::text) },
            4 => {
                let (vpc, endpoint) = (self.maybe(Self::text), self.maybe(Self::text));
                ResourceKind::VpcIngress { service, vpc, endpoint, label: HostLabel::from_random([self.0.u8(..); 10]) }
            }
            _ => {
                let record = |s: &mut Self| ValidationRecord { name: s.text(), value: s.text() };
                ResourceKind::Domain { service, www: self.0.bool(), records: self.many(record) }
            }
        };
        let tags = self.many(|s| (s.text(), s.text())).into_iter().collect();
        let made = Resource::made(self.resource_id(), self.text(), kind, self.time());
        Resource { revision: self.0.u32(..), deleted_at: self.maybe(Self::time), tags, ..made }
    }

    fn failure(&mut self) -> Failure {
        Failure {
            reason: Reason::BuildFailed,
            class: Class::Stalled,
            message: self.text(),
            step: self.maybe(|_| Step::Build),
        }
    }

    pub(super) fn service(&mut self) -> ServiceRecord {
        let spec = self.spec();
        ServiceRecord {
            id: ServiceId::from_random(self.bytes()),
            name: spec.name.clone(),
            label: HostLabel::from_random([self.0.u8(..); 10]),
            owner: if self.0.bool() { Owner::Declared } else { Owner::Managed },
            created_at: self.time(),
            updated_at: self.time(),
            applied: Some(spec),
            current: self.maybe(|s| RevisionNumber(s.0.u32(..))),
            next_revision: self.0.u32(..),
            paused: self.maybe(|s| Pause { principal: s.text(), reason: s.maybe(Self::text), at: s.time() }),
            held: self.many(|s| Held {
                commit: s.commit_id(),
                spec: s.maybe(Self::digest),
                why: HeldReason::RolledBack,
                message: s.text(),
                at: s.time(),
            }),
            create_failed: self.maybe(Self::failure),
            delete_failed: self.maybe(Self::failure),
            deleted_at: self.maybe(Self::time),
            requested: self.maybe(|s| Box::new(s.spec())),
            tags: self.many(|s| (s.text(), s.text())).into_iter().collect(),
        }
    }

    pub(super) fn revision(&mut self, number: u32) -> Revision {
        Revision {
            number: RevisionNumber(number),
            contents: self.maybe(|_| Contents::Tree("4b825dc".into())),
            commit: Commit {
                id: self.commit_id(),
                tree: self.commit_id().to_string(),
                author: self.text(),
                summary: self.text(),
                time: self.time(),
                signed_by: None,
            },
            spec: self.spec(),
            settings: self.settings(),
            build: self.digest(),
            artifact: Artifact::Directory {
                path: format!("/builds/{}", self.0.u64(..)).into(),
                root: self.0.bool().then(|| "/builds".into()),
                path_prefix: self.many(|s| format!("/x/{}", s.0.u8(..)).into()),
                env: self.env(),
            },
            created_at: self.time(),
        }
    }

    pub(super) fn operation(&mut self, service: &ServiceId) -> Operation {
        Operation {
            id: OperationId::from_random(self.bytes()),
            service: service.clone(),
            kind: OperationKind::StartDeployment,
            cause: Cause::Manual { principal: self.text(), reason: self.maybe(Self::text) },
            status: if self.0.bool() { OperationStatus::Succeeded } else { OperationStatus::InProgress },
            target: OperationTarget {
                spec: self.maybe(Self::spec),
                commit: self.maybe(Self::commit_id),
                revision: self.maybe(|s| RevisionNumber(s.0.u32(..))),
                in_place: self.0.bool(),
            },
            step: self.maybe(|_| Step::Drain),
            step_started_at: self.maybe(Self::time),
            revision: self.maybe(|s| RevisionNumber(s.0.u32(..))),
            previous: self.maybe(|s| RevisionNumber(s.0.u32(..))),
            instances: self.many(|s| InstanceId::from_random(s.bytes())),
            release: self.maybe(|_| ReleaseProgress::Begun),
            before: None,
            cancel_requested: self.0.bool(),
            failure: self.maybe(Self::failure),
            number: u64::from(self.0.u32(..)),
            created_at: self.time(),
            started_at: self.maybe(Self::time),
            ended_at: self.maybe(Self::time),
            updated_at: self.time(),
        }
    }

    pub(super) fn instance(&mut self, service: &ServiceId) -> InstanceRecord {
        InstanceRecord {
            id: InstanceId::from_random(self.bytes()),
            service: service.clone(),
            revision: RevisionNumber(self.0.u32(..)),
            operation: self.maybe(|s| OperationId::from_random(s.bytes())),
            role: InstanceRole::Serving,
            address: self.maybe(|s| ([127, 0, 0, 1], s.0.u16(..)).into()),
            created_at: self.time(),
        }
    }

    pub(super) fn event(&mut self, service: Option<&ServiceRecord>) -> Event {
        Event {
            at: self.time(),
            service: service.map(|s| s.id.clone()),
            name: service.map(|s| s.name.clone()),
            operation: self.maybe(|s| OperationId::from_random(s.bytes())),
            kind: "DeploymentStarted".into(),
            severity: EventSeverity::Warn,
            message: self.text(),
            detail: None,
        }
    }
}
