//! After a backup of the store was restored: what runs is taken over by its labels, so that nothing that works is stopped.

use super::core::Core;
use crate::model::{EventSeverity, InstanceRecord, InstanceRole, InstanceState, ObservedInstance};
use crate::store::{World, Write};
use std::sync::Arc;

/// Records the instances that run a kept revision of a known service and that the restored store does not know.
pub async fn adopt(core: &Arc<Core>) {
    let observed = match core.engine.observe().await {
        Ok(observed) => observed,
        Err(error) => {
            tracing::warn!(error = %super::chain(&error), "what runs could not be taken over");
            return;
        }
    };
    let now = core.now();
    let adopted = core
        .transact_patiently(|world| {
            let writes: Vec<Write> = observed.iter().filter_map(|o| record(world, o, now)).collect();
            let count = writes.len();
            (writes, count)
        })
        .await
        .unwrap_or(0);
    if adopted > 0 {
        let message = format!("{} that the restored store did not know: taken over.", super::heal::instances(adopted));
        core.emit_plain("InstancesAdopted", EventSeverity::Warn, message).await;
    }
}

fn record(world: &World, observed: &ObservedInstance, now: crate::model::Timestamp) -> Option<Write> {
    if world.instances.contains_key(&observed.id) || matches!(observed.state, InstanceState::Exited { .. }) {
        return None;
    }
    let service = world.services.get(&observed.service).filter(|r| r.deleted_at.is_none())?;
    let revision = world.revisions.get(&(service.id.clone(), observed.revision))?;
    if service.current != Some(revision.number) || revision.config_digest() != observed.config {
        return None;
    }
    Some(Write::PutInstance(InstanceRecord {
        id: observed.id.clone(),
        service: service.id.clone(),
        revision: observed.revision,
        operation: None,
        role: InstanceRole::Serving,
        address: observed.address,
        created_at: now,
    }))
}
