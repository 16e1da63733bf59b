//! What the API makes: resources, and services that it creates and updates (law 3: owner `managed`). Decisions come from
//! the wire as functions over [`Facts`]; they are run in the transaction that stores what they decide, so that of two calls
//! that cannot both be right exactly one is.

use super::core::{Config, Core};
use super::{control, operation, pass, snapshot};
use crate::api::control::{Principal, Refusal};
use crate::api::facts::{Change, Configure, Configured, Edit, Facts, Installed};
use crate::desired::Desired;
use crate::model::ids::hex;
use crate::model::{
    Cause, OperationId, OperationKind, OperationTarget, Owner, Resource, ServiceId, ServiceRecord, Timestamp,
};
use crate::observed::Observed;
use crate::plan::Policy;
use crate::settings::ManifestSource;
use crate::store::{Store, StoreError, World, Write};
use serde_json::Value;
use std::sync::Arc;

/// How the installation is called.
pub fn installed(config: &Config, engine: &str) -> Installed {
    Installed {
        region: config.region.clone(),
        account: config.account.clone(),
        base_domain: config.base_domain.clone(),
        http_port: config.http_port,
        runs_images: engine == "docker",
        manifest_connection: match &config.manifest {
            ManifestSource::Repository(repository) => repository.connection.as_ref().map(ToString::to_string),
            ManifestSource::Path(_) => None,
        },
    }
}

/// Stores what every installation has: the default autoscaling configuration (row I6) and the key of page tokens.
///
/// # Errors
/// When the store does not take it.
pub async fn ensure(store: &Store, world: &mut World, now: Timestamp) -> Result<(), StoreError> {
    let mut writes = Vec::new();
    if !world.resources.values().any(Resource::is_first) {
        writes.push(Write::PutResource(Box::new(Resource::default_scaling(now))));
    }
    if token_key(world).is_none() {
        let key: [u8; 32] = super::random();
        writes.push(Write::PutMeta(super::META_TOKEN_KEY.into(), hex(&key).into()));
    }
    store.write(writes.clone()).await?;
    world.apply(writes);
    Ok(())
}

/// The key of page tokens, once there is one.
pub fn token_key(world: &World) -> Option<[u8; 32]> {
    let text = world.meta.get(super::META_TOKEN_KEY)?.as_str().filter(|text| text.len() == 64 && text.is_ascii())?;
    let mut key = [0; 32];
    for (at, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(key)
}

/// The present state as decisions see it.
pub fn facts<'a>(core: &'a Core, world: &'a World, desired: Option<&'a Desired>) -> Facts<'a> {
    Facts {
        now: core.now(),
        installed: &core.installed,
        services: &world.services,
        by_name: world.live_by_name(),
        open: world.open_operations().map(|o| (&o.service, o)).collect(),
        resources: &world.resources,
        desired,
        quotas: core.config.quotas,
    }
}

/// Decides on changes of resources and stores them.
pub async fn edit(core: &Core, edit: Edit) -> Result<Value, Refusal> {
    let desired = core.state().desired.clone();
    let edited = core.transact(|world| match edit(&facts(core, world, desired.as_ref())) {
        Ok((changes, answer)) => (changes.into_iter().map(write).collect(), Ok(answer)),
        Err(refusal) => (Vec::new(), Err(refusal)),
    });
    edited.await.map_err(|e| control::internal(&e))?
}

fn write(change: Change) -> Write {
    match change {
        Change::Put(resource) => Write::PutResource(resource),
        Change::Remove(id) => Write::DeleteResource(id),
        Change::PutService(record) => Write::PutService(record),
    }
}

/// Begins to create a service, or to update one.
pub async fn configure(
    core: &Arc<Core>,
    service: Option<&ServiceId>,
    make: Configure,
    by: Principal,
) -> Result<(ServiceId, OperationId), Refusal> {
    // Until it is stored, so that two do not take the same memory.
    let _one_at_a_time = core.admitting.lock().await;
    // On its own: a lock taken within the literal below would be held to its end, beyond the next taking.
    let desired = core.state().desired.clone();
    let beginning = Beginning {
        core,
        operation: OperationId::from_random(core.random()),
        service: service.cloned(),
        by,
        desired,
        observed: snapshot::observed(core),
        policy: core.policy(),
    };
    let begun = core.transact(|world| match beginning.decide(world, make) {
        Ok((id, writes)) => (writes, Ok(id)),
        Err(refusal) => (Vec::new(), Err(refusal)),
    });
    let id = begun.await.map_err(|e| control::internal(&e))??;
    // From now on its hosts are known: whoever asks is told that it is being created.
    core.publish(&id);
    operation::spawn(core, &beginning.operation);
    core.look_again();
    Ok((id, beginning.operation))
}

/// A creation or an update, with all that decides it.
struct Beginning<'a> {
    core: &'a Core,
    operation: OperationId,
    /// The service that is updated.
    service: Option<ServiceId>,
    by: Principal,
    desired: Option<Desired>,
    observed: Observed,
    policy: Policy,
}

impl Beginning<'_> {
    fn decide(&self, world: &World, make: Configure) -> Result<(ServiceId, Vec<Write>), Refusal> {
        let facts = facts(self.core, world, self.desired.as_ref());
        match &self.service {
            None => self.create(&facts, make),
            Some(id) => self.update(&facts, world, id, make),
        }
    }

    fn create(&self, facts: &Facts<'_>, make: Configure) -> Result<(ServiceId, Vec<Write>), Refusal> {
        let Configured { spec, tags } = make(facts, None)?;
        let most = facts.quotas.services;
        // Failed ones count, those of the manifest do not (row R2).
        let have = facts.live().filter(|r| r.owner == Owner::Managed).count();
        if have >= most as usize {
            let more = most.saturating_add(10);
            return Err(Refusal::QuotaExceeded(format!(
                "there are {have} services made by the API, and the quota is {most}: delete one, or raise it with \
                 `towpath up --quota services={more}`"
            )));
        }
        let id = ServiceId::from_random(self.core.random());
        crate::plan::admit(&self.observed, &self.policy, &id, &spec).map_err(|why| {
            let todo = "pause or delete another service, or allow more with `towpath up --overcommit`";
            Refusal::QuotaExceeded(format!("the service {why}; {todo}"))
        })?;
        let label = facts.label(self.core.random());
        let made = ServiceRecord::created(id.clone(), spec.name.clone(), label, Owner::Managed, facts.now);
        let record = ServiceRecord { requested: Some(Box::new(spec.clone())), tags, ..made };
        let target = OperationTarget::deploying(spec, None);
        let operation = self.operation((&record, 1), OperationKind::CreateService, target, facts.now);
        Ok((id, vec![Write::PutService(Box::new(record)), operation]))
    }

    fn update(
        &self,
        facts: &Facts<'_>,
        world: &World,
        id: &ServiceId,
        make: Configure,
    ) -> Result<(ServiceId, Vec<Write>), Refusal> {
        let record = world.services.get(id).filter(|r| r.deleted_at.is_none());
        let record = record.ok_or_else(|| Refusal::NotFound("the service is deleted".into()))?;
        let Configured { spec, .. } = make(facts, Some(record))?;
        control::refuse_while_running(world, record)?;
        if record.paused.is_some() {
            let todo = format!("resume it with `towpath resume {}`", record.name);
            return Err(control::state_error(record, "is paused", &todo));
        }
        if record.delete_failed.is_some() {
            return Err(control::state_error(record, "could not be deleted", "delete it again"));
        }
        let target = update_target(world, record, spec);
        if let Some(spec) = target.spec.as_ref().filter(|_| !target.in_place) {
            crate::plan::admit(&self.observed, &self.policy, id, spec).map_err(|why| {
                let todo = "pause or delete another service, or allow more with `towpath up --overcommit`";
                control::state_error(record, &why, todo)
            })?;
        }
        let mut writes = Vec::new();
        if record.applied.is_none() {
            let requested = target.spec.clone().map(Box::new);
            writes.push(Write::PutService(Box::new(ServiceRecord { requested, ..record.clone() })));
        }
        let number = world.next_operation_number(id);
        writes.push(self.operation((record, number), OperationKind::UpdateService, target, facts.now));
        Ok((id.clone(), writes))
    }

    /// A service's operation with its number.
    fn operation(
        &self,
        (record, number): (&ServiceRecord, u64),
        kind: OperationKind,
        target: OperationTarget,
        now: Timestamp,
    ) -> Write {
        let Principal { name: principal, reason } = self.by.clone();
        let cause = Cause::Manual { principal, reason };
        let mut operation = pass::new_operation(self.operation.clone(), record.id.clone(), kind, cause, target, now);
        operation.previous = record.current;
        operation.number = number;
        Write::PutOperation(Box::new(operation))
    }
}

/// With an unchanged source the deployed commit stays (row D4); of another one the fetch step takes the head.
fn update_target(world: &World, record: &ServiceRecord, spec: crate::model::ServiceSpec) -> OperationTarget {
    let current = record.current.and_then(|n| world.revisions.get(&(record.id.clone(), n)));
    let Some(current) = current else { return OperationTarget::deploying(spec, None) };
    let applied = record.applied.as_ref().unwrap_or(&current.spec);
    let moved = (&applied.source.repository, &applied.source.track) != (&spec.source.repository, &spec.source.track);
    if moved {
        return OperationTarget::deploying(spec, None);
    }
    let in_place = !crate::plan::replaces(applied, &spec);
    OperationTarget { in_place, ..OperationTarget::deploying(spec, Some(current.commit.id.clone())) }
}
