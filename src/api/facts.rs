//! What App Runner's operations are decided on: the present state, looked at in place, and the changes that they ask for.

use super::control::{Refusal, Snapshot};
use crate::desired::{DeclaredService, Desired};
use crate::model::{
    HostLabel, Operation, OperationKind, Owner, Quotas, RepositoryUrl, Resource, ResourceId, ServiceId, ServiceName,
    ServiceRecord, ServiceSpec, ServiceStatus, Timestamp,
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// How an installation is called in ARNs and domains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Its region.
    pub region: String,
    /// Its account, 12 digits.
    pub account: String,
    /// The domain that services get their hosts under.
    pub base_domain: String,
    /// The port that they answer at.
    pub http_port: u16,
    /// Whether its engine runs images.
    pub runs_images: bool,
    /// The connection that the manifest's own repository is read by.
    pub manifest_connection: Option<String>,
}

impl Installed {
    /// As a snapshot says it.
    pub fn of(snapshot: &Snapshot) -> Self {
        Self {
            region: snapshot.region.clone(),
            account: snapshot.account.clone(),
            base_domain: snapshot.base_domain.clone(),
            http_port: snapshot.http_port,
            // Of no interest to what is only looked at.
            runs_images: false,
            manifest_connection: None,
        }
    }
}

/// The present state.
pub struct Facts<'a> {
    /// The present moment.
    pub now: Timestamp,
    /// The installation.
    pub installed: &'a Installed,
    /// All services, deleted ones that are still describable too.
    pub services: &'a BTreeMap<ServiceId, ServiceRecord>,
    /// Those that are not deleted, by name.
    pub by_name: &'a BTreeSet<(ServiceName, ServiceId)>,
    /// The operations that have not ended, by service.
    pub open: BTreeMap<&'a ServiceId, &'a Operation>,
    /// What the API made beside services.
    pub resources: &'a BTreeMap<ResourceId, Resource>,
    /// What the manifest declares.
    pub desired: Option<&'a Desired>,
    /// How many of each there may be.
    pub quotas: Quotas,
}

/// A change of what the API made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Inserts or replaces a resource.
    Put(Box<Resource>),
    /// Removes one for good.
    Remove(ResourceId),
    /// Replaces a service's record.
    PutService(Box<ServiceRecord>),
}

/// Decides on changes, and on what is answered.
pub type Edit = Box<dyn FnOnce(&Facts<'_>) -> Result<(Vec<Change>, Value), Refusal> + Send>;

/// What a service is to be, and its tags where it is new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configured {
    /// The whole configuration.
    pub spec: ServiceSpec,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// Makes a service's configuration of a request and what there is: of the service that is updated, if one is.
pub type Configure = Box<dyn FnOnce(&Facts<'_>, Option<&ServiceRecord>) -> Result<Configured, Refusal> + Send>;

impl<'a> Facts<'a> {
    /// Services that are not deleted.
    pub fn live(&self) -> impl Iterator<Item = &'a ServiceRecord> + use<'a> {
        self.services.values().filter(|r| r.deleted_at.is_none())
    }

    /// The services that are not deleted, in the order of their names, from the one after `last`.
    pub fn live_after<'l>(&self, last: Option<&'l str>) -> impl Iterator<Item = &'a ServiceRecord> + use<'a, 'l> {
        let from =
            last.and_then(|last| last.parse::<ServiceName>().ok()).map(|last| (last, ServiceId::from_random([0; 16])));
        let range = match from {
            Some(from) => self.by_name.range(from..),
            None => self.by_name.range(..),
        };
        let services = self.services;
        let after = range.skip_while(move |(name, _)| last.is_some_and(|last| name.as_str() <= last));
        after.filter_map(move |(_, id)| services.get(id))
    }

    /// The operation of a service that has not ended.
    pub fn operation(&self, service: &ServiceId) -> Option<&'a Operation> {
        self.open.get(service).copied()
    }

    /// A service's status.
    pub fn status(&self, record: &ServiceRecord) -> ServiceStatus {
        record.status(self.operation(&record.id))
    }

    /// The service's declaration, where the manifest is its owner.
    pub fn declaration(&self, record: &ServiceRecord) -> Option<&'a DeclaredService> {
        if record.owner == Owner::Managed { None } else { self.declared(&record.name) }
    }

    /// What the manifest declares under a name.
    pub fn declared(&self, name: &ServiceName) -> Option<&'a DeclaredService> {
        self.desired?.services.iter().find(|d| &d.spec.name == name)
    }

    /// Where the manifest that is in force declares a service, with its commit.
    pub fn spot_of(&self, name: &ServiceName) -> Option<String> {
        self.desired?.spot_of(name)
    }

    /// Refuses to change what the manifest declares (law 3), naming where it stands.
    ///
    /// # Errors
    /// `InvalidState` with file, line and commit.
    pub fn refuse_declared(&self, record: &ServiceRecord) -> Result<(), Refusal> {
        if record.owner == Owner::Managed {
            return Ok(());
        }
        let stands = match self.spot_of(&record.name) {
            Some(spot) => format!("is declared at {spot}"),
            None => "belongs to the manifest".into(),
        };
        Err(Refusal::InvalidState(format!("service `{}` {stands}; change it there, and towpath follows", record.name)))
    }

    /// The configuration of a service as it is shown: what a running change of the API works towards, what is in force, what
    /// was asked for last, or what is declared.
    pub fn spec(&self, record: &'a ServiceRecord) -> Option<&'a ServiceSpec> {
        let works = self.operation(&record.id).filter(|o| record.applied.is_none() || updates(record, o));
        let target = works.and_then(|o| o.target.spec.as_ref());
        let asked = || record.requested.as_deref();
        target.or(record.applied.as_ref()).or_else(asked).or_else(|| Some(&self.declaration(record)?.spec))
    }

    /// What an ARN of App Runner, or a service's name or id, names: its whole ARN and its tags, if it names anything. What
    /// access control asks for.
    pub fn resolve(&self, text: &str) -> Option<(String, BTreeMap<String, String>)> {
        super::apprunner::resolved(self, text)
    }

    /// Whether a service that is not deleted is bound to a resource, now or after its running operation.
    pub fn is_used(&self, id: &ResourceId) -> bool {
        self.live().any(|record| self.uses(record, id))
    }

    /// Whether this service is bound to a resource, now or after its running operation.
    pub fn uses(&self, record: &ServiceRecord, id: &ResourceId) -> bool {
        let target = self.operation(&record.id).and_then(|o| o.target.spec.as_ref());
        let asked = record.requested.as_deref().filter(|_| record.applied.is_none());
        let specs = [record.applied.as_ref(), target, asked];
        specs.into_iter().flatten().any(|spec| spec.wire.as_ref().is_some_and(|wire| wire.names(id)))
    }

    /// A service that reads a repository by a connection, if one does.
    pub fn reader_by_connection(&self, repository: &RepositoryUrl) -> Option<&'a ServiceName> {
        let reads = |spec: &ServiceSpec| {
            let named = spec.source.connection.is_some() || spec.wire.as_ref().is_some_and(|w| w.connection.is_some());
            named && spec.source.repository.same_place(repository)
        };
        let declared = self.desired.into_iter().flat_map(|d| &d.services).map(|d| &d.spec);
        let live = self.live().filter_map(|record| Some((&record.name, self.spec(record)?)));
        let mut all = declared.map(|spec| (&spec.name, spec)).chain(live);
        all.find(|(_, spec)| reads(spec)).map(|(name, _)| name)
    }

    /// A host label for a service, or for a way into one, which no other has.
    pub fn label(&self, random: [u8; 16]) -> HostLabel {
        let mut bytes = [0; 10];
        bytes.copy_from_slice(&random[..10]);
        loop {
            let label = HostLabel::from_random(bytes);
            if !self.services.values().any(|r| r.label == label) {
                return label;
            }
            // Of 36^10 labels one was met twice: the next one.
            bytes[0] = bytes[0].wrapping_add(1);
        }
    }
}

fn updates(record: &ServiceRecord, operation: &Operation) -> bool {
    record.owner == Owner::Managed && operation.kind == OperationKind::UpdateService
}

/// A copy of the state that [`Facts`] can be made of, where nothing better is at hand.
pub struct Owned {
    installed: Installed,
    services: BTreeMap<ServiceId, ServiceRecord>,
    by_name: BTreeSet<(ServiceName, ServiceId)>,
    operations: Vec<Operation>,
    resources: BTreeMap<ResourceId, Resource>,
    desired: Option<Desired>,
}

impl Owned {
    /// Of a snapshot, which has no resources.
    pub fn of(snapshot: &Snapshot) -> Self {
        let views = &snapshot.observed.services;
        let live = views.iter().filter(|v| v.record.deleted_at.is_none());
        Self {
            installed: Installed::of(snapshot),
            services: views.iter().map(|v| (v.record.id.clone(), v.record.clone())).collect(),
            by_name: live.map(|v| (v.record.name.clone(), v.record.id.clone())).collect(),
            operations: views.iter().filter_map(|v| v.operation.clone()).collect(),
            resources: BTreeMap::new(),
            desired: snapshot.desired.clone(),
        }
    }

    /// The facts.
    pub fn facts(&self) -> Facts<'_> {
        Facts {
            now: Timestamp::now(),
            installed: &self.installed,
            services: &self.services,
            by_name: &self.by_name,
            open: self.operations.iter().map(|o| (&o.service, o)).collect(),
            resources: &self.resources,
            desired: self.desired.as_ref(),
            quotas: Quotas::default(),
        }
    }
}

/// Looks, and takes something out.
pub fn looked<T>(control: &dyn super::control::ControlPlane, look: impl FnOnce(&Facts<'_>) -> T) -> Option<T> {
    let (mut look, mut found) = (Some(look), None);
    control.look(&mut |facts| found = look.take().map(|look| look(facts)));
    found
}
