//! Collection: old revisions, builds and logs go; never what runs, what may be rolled back to, or what is being made.

use super::core::Core;
use super::operation::was_left;
use crate::model::{BuildId, RevisionNumber, ServiceId, Timestamp};
use crate::store::{World, Write};
use crate::telemetry::{InUse, Retention};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// How many revisions of a service are kept for rollbacks, the current one included.
const REVISIONS_KEPT: usize = 10;
/// How long a deleted service can still be described (row D6).
const DELETED_KEPT: Duration = Duration::from_secs(3600);
/// How many operations of a service are kept, with their logs.
const OPERATIONS_KEPT: usize = 100;
/// How long events are kept.
const EVENTS_KEPT: Duration = Duration::from_secs(90 * 24 * 3600);
/// How many events are kept in any case.
const EVENTS_AT_LEAST: u32 = 1000;
/// How many instances' logs of a service are kept.
const INSTANCE_LOGS_KEPT: usize = 50;
/// How long logs of ended operations and instances are kept.
const LOGS_KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// Removals of a service's oldest revisions beyond what is kept. The current one and those of instances always stay; those
/// that were rolled back from are counted by themselves, so that bad ones never push out the good one to go back to.
pub fn excess_revisions(world: &World, service: &ServiceId) -> Vec<Write> {
    let record = world.services.get(service);
    let current = record.and_then(|r| r.current);
    let in_use: BTreeSet<RevisionNumber> =
        world.instances.values().filter(|i| &i.service == service).map(|i| i.revision).collect();
    let all = world.revisions.iter().rev().filter(|((s, _), _)| s == service).map(|(_, r)| r);
    let (left, good): (Vec<_>, Vec<_>) = all.partition(|r| record.is_some_and(|record| was_left(record, r)));
    let old = left.iter().skip(REVISIONS_KEPT).chain(good.iter().skip(REVISIONS_KEPT)).map(|r| r.number);
    old.filter(|n| Some(*n) != current && !in_use.contains(n))
        .map(|n| Write::DeleteRevision(service.clone(), n))
        .collect()
}

/// Removes builds that no kept revision needs. Nothing is removed while any operation may be making one; the next
/// collection will.
pub async fn collect(core: &Core) {
    let Ok(_none_is_being_made) = core.artifacts.try_write() else { return };
    let needed: BTreeSet<BuildId> = core.state().world.revisions.values().map(|r| r.build.clone()).collect();
    let there = match core.builder.list().await {
        Ok(there) => there,
        Err(error) => {
            tracing::warn!(error = %super::chain(&error), "builds could not be listed");
            return;
        }
    };
    for build in there.iter().filter(|b| !needed.contains(*b)) {
        if let Err(error) = core.builder.remove(build).await {
            tracing::warn!(error = %super::chain(&error), %build, "a build could not be removed");
        }
    }
}

/// What is done once an hour: builds, deleted services, old events, old logs, a backup of the store.
pub async fn hourly(core: &Arc<Core>) {
    let now = core.now();
    collect(core).await;
    let forgotten: Vec<Write> = {
        let state = core.state();
        let deleted =
            state.world.services.values().filter(|r| r.deleted_at.is_some_and(|at| now.since(at) > DELETED_KEPT));
        deleted.map(|r| Write::ForgetService(r.id.clone())).collect()
    };
    if let Err(error) = core.transact(|_| (forgotten, ())).await {
        tracing::warn!(error = %super::chain(&error), "deleted services could not be forgotten");
    }
    let before = crate::model::Timestamp(now.0 - i64::try_from(EVENTS_KEPT.as_millis()).unwrap_or(i64::MAX));
    if let Err(error) = core.store.prune_events(before, EVENTS_AT_LEAST).await {
        tracing::warn!(error = %super::chain(&error), "old events could not be removed");
    }
    prune_operations(core, now).await;
    if let Err(error) = core.store.back_up(now).await {
        tracing::warn!(error = %super::chain(&error), "the store could not be backed up");
    }
    collect_logs(core).await;
}

/// Old operations go from the store, and beyond their number from memory.
async fn prune_operations(core: &Core, now: Timestamp) {
    if let Err(error) = core.store.prune_operations(now, u32::try_from(OPERATIONS_KEPT).unwrap_or(u32::MAX)).await {
        tracing::warn!(error = %super::chain(&error), "old operations could not be removed");
        return;
    }
    core.state().world.prune_operations(OPERATIONS_KEPT);
}

async fn collect_logs(core: &Core) {
    let in_use = {
        let state = core.state();
        InUse {
            operations: state.world.open_operations().map(|o| o.id.clone()).collect(),
            instances: state.world.instances.keys().cloned().collect(),
        }
    };
    let retention = Retention { operations: OPERATIONS_KEPT, instances: INSTANCE_LOGS_KEPT, max_age: LOGS_KEPT };
    if let Err(error) = core.logs.collect(retention, in_use, core.now()).await {
        tracing::warn!(error = %super::chain(&error), "old logs could not be removed");
    }
}
