//! Healing: what a plan says to start and stop of a service's instances, beside what goes on serving.

use super::await_healthy::{self, Outcome};
use super::contained::contained;
use super::core::Core;
use super::health::Record;
use super::rebuild;
use crate::model::{
    EventSeverity, Failure, InstanceId, InstanceRecord, InstanceRole, InstanceState, LineSink, LineSource, Revision,
    ServiceId, ServiceRecord, ServiceSpec,
};
use crate::store::{World, Write};
use futures_util::future::join_all;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How many healings of a service are remembered, for the backoff.
const HEALS_KEPT: usize = 10;

/// One healing, as the plan decided it.
pub struct Healing {
    /// The service.
    pub service: ServiceId,
    /// Instances to start.
    pub start: Vec<InstanceId>,
    /// Instances to take out after the new ones serve.
    pub stop: Vec<InstanceId>,
    /// Why, for the event.
    pub effect: String,
}

/// Starts a task that heals a service. A second one for the same service is not started.
pub fn spawn(core: &Arc<Core>, healing: Healing) {
    let token = CancellationToken::new();
    match core.state().healing.entry(healing.service.clone()) {
        Entry::Occupied(_) => return,
        Entry::Vacant(place) => drop(place.insert(token.clone())),
    }
    let core = core.clone();
    tokio::spawn(async move {
        let service = healing.service.clone();
        if let Err(panic) = contained(in_turn(&core, healing, token)).await {
            tracing::error!(%service, panic, "a healing failed by a bug of towpath, please report it; it is tried again");
        }
        core.state().healing.remove(&service);
    });
}

/// Heals if no operation has the service's turn: that changes the instances itself, and says *look again* when it ends.
/// To say so here in that case would make a loop of it.
async fn in_turn(core: &Arc<Core>, healing: Healing, token: CancellationToken) {
    let turn = core.turn_of(&healing.service);
    let Ok(_held) = turn.try_lock() else { return };
    remember(core, &healing.service);
    tokio::select! {
        biased;
        () = core.stopping.cancelled() => {}
        () = token.cancelled() => {}
        () = heal(core, healing) => {}
    }
    core.look_again();
}

/// Notes when the service was healed, for the backoff: only healings that really begin count.
fn remember(core: &Core, service: &ServiceId) {
    let (mut state, now) = (core.state(), core.now());
    let heals = state.heals.entry(service.clone()).or_default();
    heals.push(now);
    let excess = heals.len().saturating_sub(HEALS_KEPT);
    heals.drain(..excess);
}

/// Asks a healing of the service to give way to an operation that wants the turn. What it started or took out of routing
/// is recorded with its role; the operation's shift and retirement take care of it.
pub fn give_way(core: &Core, service: &ServiceId) {
    if let Some(token) = core.state().healing.get(service) {
        token.cancel();
    }
}

async fn heal(core: &Arc<Core>, healing: Healing) {
    let found = {
        let state = core.state();
        state.world.services.get(&healing.service).cloned().map(|record| {
            let current = record.current.and_then(|n| state.world.revisions.get(&(record.id.clone(), n)).cloned());
            (record, current)
        })
    };
    let Some((record, current)) = found else { return };
    core.publish(&record.id);
    core.emit_for(&record, "HealingStarted", EventSeverity::Warn, healing.effect.clone()).await;
    thaw(core, &healing.stop).await;
    let started = match &current {
        Some(revision) if !healing.start.is_empty() => {
            let token = CancellationToken::new();
            match rebuild::ensure(core, &record, revision, &Quiet, &token).await {
                Ok(revision) => start(core, &record, &revision, &healing.start).await,
                Err(failure) => vec![Err(failure)],
            }
        }
        _ => Vec::new(),
    };
    let (new, failures): (Vec<_>, Vec<_>) = started.into_iter().partition(Result::is_ok);
    match failures.into_iter().find_map(Result::err) {
        None => replace(core, &record, new.len(), &healing.stop).await,
        Some(failure) => {
            let message = format!("An instance could not be replaced: {}", failure.message);
            core.emit_for(&record, "HealingFailed", EventSeverity::Error, message).await;
            remove_ended(core, &healing.stop).await;
        }
    }
}

/// Lets instances that somebody froze go on until they are taken out: requests wait on them.
async fn thaw(core: &Core, ids: &[InstanceId]) {
    let frozen: Vec<InstanceId> = {
        let state = core.state();
        let is_frozen = |id: &&InstanceId| state.instances.get(*id).is_some_and(|o| o.state == InstanceState::Frozen);
        ids.iter().filter(is_frozen).cloned().collect()
    };
    for id in frozen {
        if let Err(error) = core.engine.thaw(&id).await {
            tracing::warn!(%id, error = %super::chain(&error), "a frozen instance could not be thawed");
        }
    }
}

/// Lines of a healing go to the service's events as they are; its waiting says little.
struct Quiet;

impl LineSink for Quiet {
    fn line(&self, _: LineSource, text: &str) {
        tracing::info!(text, "healing");
    }
}

/// Starts instances, each by itself: one that does not come to serve keeps none of the others from it.
async fn start(
    core: &Core,
    record: &ServiceRecord,
    revision: &Revision,
    ids: &[InstanceId],
) -> Vec<Result<(), Failure>> {
    let now = core.now();
    let starting =
        |id: &InstanceId| InstanceRecord::starting(id.clone(), record.id.clone(), revision.number, None, now);
    let records: Vec<Write> = ids.iter().map(|id| Write::PutInstance(starting(id))).collect();
    if core.transact_patiently(|_| (records.clone(), ())).await.is_none() {
        return Vec::new();
    }
    join_all(ids.iter().map(|id| bring_up(core, record, revision, id))).await
}

/// One instance from its start to serving.
async fn bring_up(core: &Core, record: &ServiceRecord, revision: &Revision, id: &InstanceId) -> Result<(), Failure> {
    let spec: &ServiceSpec = record.applied.as_ref().unwrap_or(&revision.spec);
    let result = match await_healthy::start(core, record, revision, id).await {
        Ok(()) => await_healthy::all(core, record, revision, spec, std::slice::from_ref(id), &Quiet).await,
        Err(failure) => Outcome::Failed { failure, ids: vec![id.clone()] },
    };
    match result {
        Outcome::Healthy(ids) => {
            serve(core, record, &ids).await;
            Ok(())
        }
        Outcome::Failed { failure, ids } => {
            join_all(ids.iter().map(|id| await_healthy::retire(core, id))).await;
            Err(failure)
        }
    }
}

/// Puts instances to serve.
async fn serve(core: &Core, record: &ServiceRecord, ids: &[InstanceId]) {
    if core.transact_patiently(|world| (roles(world, ids, InstanceRole::Serving), ())).await.is_none() {
        return;
    }
    {
        let mut state = core.state();
        for id in ids {
            state.health.insert(id.clone(), Record::healthy());
        }
    }
    core.publish(&record.id);
}

/// Takes the old instances out of routing, now that the new ones serve, then drains and removes them.
async fn replace(core: &Core, record: &ServiceRecord, started: usize, old: &[InstanceId]) {
    if core.transact_patiently(|world| (roles(world, old, InstanceRole::Retiring), ())).await.is_none() {
        return;
    }
    let generation = core.publish(&record.id);
    if core.ingress.acknowledged(generation, Duration::from_secs(25)).await.is_err() {
        // The roles say what holds; the next pass finds the retiring ones and removes them then.
        return;
    }
    let drain = record.applied.as_ref().map_or(Duration::from_secs(30), |s| s.deploy.drain);
    core.ingress.drained(old, drain).await;
    join_all(old.iter().map(|id| await_healthy::retire(core, id))).await;
    let message = match (started, old.len()) {
        (0, removed) => format!("{} removed.", instances(removed)),
        (started, 0) => format!("{} started.", instances(started)),
        (started, removed) => format!("{} started, {removed} removed.", instances(started)),
    };
    core.emit_for(record, "HealingCompleted", EventSeverity::Info, message).await;
}

/// `1 instance`, `3 instances`.
pub(super) fn instances(count: usize) -> String {
    if count == 1 { "1 instance".into() } else { format!("{count} instances") }
}

fn roles(world: &World, ids: &[InstanceId], role: InstanceRole) -> Vec<Write> {
    let known = ids.iter().filter_map(|id| world.instances.get(id));
    known.map(|i| Write::PutInstance(InstanceRecord { role, ..i.clone() })).collect()
}

/// Removes those that have ended anyway; what still runs goes on serving, for want of better.
async fn remove_ended(core: &Core, ids: &[InstanceId]) {
    let ended: Vec<InstanceId> = {
        let state = core.state();
        ids.iter().filter(|id| state.live.ended.contains(*id)).cloned().collect()
    };
    join_all(ended.iter().map(|id| await_healthy::retire(core, id))).await;
}

/// Removes instances that carry our label and that nothing knows.
pub async fn remove_strays(core: &Core, ids: &[InstanceId]) {
    for id in ids {
        let known = core.state().world.instances.contains_key(id);
        if known {
            continue;
        }
        match await_healthy::retire(core, id).await {
            Ok(()) => {
                let message = format!("Instance {id} carried this installation's label, but nothing knew it: removed.");
                core.emit_plain("StrayRemoved", EventSeverity::Warn, message).await;
            }
            Err(failure) => tracing::warn!(%id, message = %failure.message, "a stray could not be removed"),
        }
    }
}
