//! After a backup of the store was restored: what runs is taken over by its labels, so that nothing that works is stopped.

use super::core::Core;
use crate::model::{
    EventSeverity, InstanceRecord, InstanceRole, InstanceState, ObservedInstance, ServiceId, ServiceRecord, Timestamp,
};
use crate::store::{World, Write};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Records the instances of known services that run and that the restored store does not know. Those of a revision that
/// was made after the backup serve on as they are, until a deployment replaces them; its number is not given again.
pub async fn adopt(core: &Arc<Core>) {
    let observed = match core.engine.observe().await {
        Ok(observed) => observed,
        Err(error) => {
            tracing::warn!(error = %super::chain(&error), "what runs could not be taken over");
            return;
        }
    };
    let now = core.now();
    let adopted = core.transact_patiently(|world| taken_over(world, &observed, now)).await.unwrap_or(0);
    if adopted > 0 {
        let message = format!("{} that the restored store did not know: taken over.", super::heal::instances(adopted));
        core.emit_plain("InstancesAdopted", EventSeverity::Warn, message).await;
    }
}

fn taken_over(world: &World, observed: &[ObservedInstance], now: Timestamp) -> (Vec<Write>, usize) {
    let unknown = |o: &&ObservedInstance| {
        !world.instances.contains_key(&o.id) && !matches!(o.state, InstanceState::Exited { .. })
    };
    let mut records: BTreeMap<&ServiceId, ServiceRecord> = BTreeMap::new();
    let mut writes = Vec::new();
    for instance in observed.iter().filter(unknown) {
        let Some(service) = world.services.get(&instance.service).filter(|r| serves_on(world, r, instance)) else {
            continue;
        };
        let record = records.entry(&service.id).or_insert_with(|| ServiceRecord::clone(service));
        record.next_revision = record.next_revision.max(instance.revision.0 + 1);
        writes.push(Write::PutInstance(serving(instance, now)));
    }
    let adopted = writes.len();
    writes.extend(records.into_values().map(|r| Write::PutService(Box::new(r))));
    (writes, adopted)
}

/// Whether an instance is worth more than being started again: of what is current as far as the backup knows, or of
/// something newer. What is older was being retired.
fn serves_on(world: &World, service: &ServiceRecord, instance: &ObservedInstance) -> bool {
    let Some(current) = service.current.filter(|_| service.deleted_at.is_none() && service.paused.is_none()) else {
        return false;
    };
    let revision = world.revisions.get(&(service.id.clone(), instance.revision));
    match revision {
        Some(revision) => revision.number == current && revision.config_digest() == instance.config,
        None => instance.revision > current,
    }
}

fn serving(observed: &ObservedInstance, now: Timestamp) -> InstanceRecord {
    let (id, service) = (observed.id.clone(), observed.service.clone());
    let starting = InstanceRecord::starting(id, service, observed.revision, None, now);
    InstanceRecord { role: InstanceRole::Serving, address: observed.address, ..starting }
}
