//! Active health checks of serving instances: a task per instance, a verdict each, routing told when one changes.

use super::core::Core;
use super::health::{self, Record};
use crate::model::{EventSeverity, HealthCheck, InstanceId, InstanceRole, ServiceId};
use crate::observed::Health;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// The checking tasks that there are.
#[derive(Default)]
pub struct Monitor {
    watched: BTreeMap<InstanceId, JoinHandle<()>>,
}

impl Monitor {
    /// Starts a task for each serving instance that has none. Tasks end by themselves with their instance.
    pub fn follow(&mut self, core: &Arc<Core>) {
        let serving: BTreeSet<InstanceId> = {
            let state = core.state();
            let serving = state.world.instances.values().filter(|i| i.role == InstanceRole::Serving);
            serving.map(|i| i.id.clone()).collect()
        };
        // One whose task has ended while it serves is checked again: it serves again, or its task panicked.
        self.watched.retain(|id, task| serving.contains(id) && !task.is_finished());
        for id in serving {
            self.watched.entry(id).or_insert_with_key(|id| tokio::spawn(watch(core.clone(), id.clone())));
        }
    }
}

/// What a check needs, as it holds now; `None` once the instance does not serve any more.
fn target(core: &Core, id: &InstanceId) -> Option<(ServiceId, SocketAddr, HealthCheck)> {
    let state = core.state();
    let instance = state.world.instances.get(id).filter(|i| i.role == InstanceRole::Serving)?;
    let record = state.world.services.get(&instance.service)?;
    let check = record.applied.as_ref()?.health.clone();
    Some((instance.service.clone(), instance.address?, check))
}

async fn watch(core: Arc<Core>, id: InstanceId) {
    // Spread over the interval: a thousand instances must not all be asked at the same moment.
    let mut first = fastrand::f64();
    while let Some((service, address, check)) = target(&core, &id) {
        let interval = Duration::from_secs(u64::from(check.interval_seconds)).mul_f64(first);
        first = 1.0;
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = core.stopping.cancelled() => return,
        }
        let timeout = Duration::from_secs(u64::from(check.timeout_seconds));
        let result = health::probe(address, &check, health::Way::to(&*core.engine), timeout).await;
        note(&core, &service, &id, result, &check).await;
    }
}

async fn note(core: &Arc<Core>, service: &ServiceId, id: &InstanceId, result: Result<(), String>, check: &HealthCheck) {
    let (was, is, record) = {
        let mut state = core.state();
        let before = state.health.get(id).cloned().unwrap_or_else(Record::healthy);
        let after = before.with(result, check);
        state.health.insert(id.clone(), after.clone());
        state.live.health.insert(id.clone(), after.verdict.clone());
        (before.verdict, after.verdict, state.world.services.get(service).cloned())
    };
    if std::mem::discriminant(&was) == std::mem::discriminant(&is) {
        return;
    }
    core.publish(service);
    core.look_again();
    let Some(record) = record else { return };
    match is {
        Health::Unhealthy { message } => {
            let message = format!("Instance {id} is unhealthy: {message}.");
            core.emit_for(&record, "InstanceUnhealthy", EventSeverity::Warn, message).await;
        }
        _ => {
            let message = format!("Instance {id} is healthy again.");
            core.emit_for(&record, "InstanceHealthy", EventSeverity::Info, message).await;
        }
    }
}
