//! What was changed by hand on instances whose service says that it is only reported: an event for each change, once.
//! Where it is healed, the healing's own event names it.

use super::core::Core;
use crate::model::{Drift, EventSeverity, InstanceId, ServiceRecord};
use crate::observed::Observed;
use std::collections::BTreeMap;

/// What was told of each instance.
pub type Told = BTreeMap<InstanceId, Vec<String>>;

/// Tells what is new.
pub async fn tell(core: &Core, observed: &Observed) {
    let mut found = Told::new();
    let mut events: Vec<(ServiceRecord, String)> = Vec::new();
    let told = core.state().drift_told.clone();
    let left =
        |record: &ServiceRecord| record.applied.as_ref().is_some_and(|spec| spec.restraint.drift == Drift::Report);
    for view in observed.services.iter().filter(|view| left(&view.record)) {
        for instance in &view.instances {
            let drift = instance.observed.as_ref().map_or(&[][..], |observed| &observed.drift);
            if drift.is_empty() {
                continue;
            }
            let id = instance.record.id.clone();
            if told.get(&id).map(Vec::as_slice) != Some(drift) {
                let message = format!("Instance {id} was changed by hand, and is left so: {}.", drift.join("; "));
                events.push((view.record.clone(), message));
            }
            found.insert(id, drift.to_vec());
        }
    }
    core.state().drift_told = found;
    for (record, message) in events {
        core.emit_for(&record, "InstanceDrifted", EventSeverity::Warn, message).await;
    }
}
