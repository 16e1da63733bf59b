//! The shift step: one transaction, the routing entry, the ingress' acknowledgement; and the way back.

use super::shifted::{shifted, unshifted};
use super::{failure, interrupted};
use crate::model::{Class, CommitId, Failure, Reason, ServiceRecord, Step, Undo};
use crate::reconcile::chain;
use crate::reconcile::health::Record;
use crate::reconcile::operation::Run;
use std::time::Duration;

pub(super) async fn shift(run: &mut Run) -> Result<(), Failure> {
    remember(run);
    let (operation, now) = (run.operation.clone(), run.core.now());
    let head = head_of(run);
    run.save_with(move |world| shifted(world, &operation, head.as_ref(), now))
        .await
        .ok_or_else(|| interrupted(Step::Shift))?;
    mark_healthy(run);
    let generation = run.core.publish(&run.service.id);
    let deadline = Duration::from_secs(25);
    run.core.ingress.acknowledged(generation, deadline).await.map_err(|e| {
        let message = format!("the ingress did not take the new routing: {}", chain(&e));
        failure(Step::Shift, Reason::ShiftFailed, Class::Retry, message)
    })?;
    if !run.operation.instances.is_empty() {
        run.say("Traffic goes to the new version.");
    }
    Ok(())
}

/// What passed its checks a moment ago is healthy: whoever depends on it need not wait for the next check.
fn mark_healthy(run: &Run) {
    let mut state = run.core.state();
    for id in &run.operation.instances {
        state.health.insert(id.clone(), Record::healthy());
    }
}

/// Notes what the shift replaces, once: executed again after a crash, the shift has replaced it already.
fn remember(run: &mut Run) {
    let record = run.core.state().world.services.get(&run.service.id).cloned();
    if let (None, Some(record)) = (&run.operation.before, record) {
        let ServiceRecord { applied, current, paused, held, create_failed, .. } = record;
        run.operation.before = Some(Box::new(Undo { applied, current, paused, held, create_failed }));
    }
}

/// The newest commit that polling knows of the service's branch.
fn head_of(run: &Run) -> Option<CommitId> {
    let record = run.core.state().world.services.get(&run.service.id).cloned()?;
    let source = record.applied?.source;
    run.core.poller.heads().into_iter().find(|h| h.repository == source.repository && h.track == source.track)?.commit
}

/// Undoes a shift that the ingress did not take. `Some(false)` when going back was not acknowledged either.
pub async fn put_back(run: &mut Run) -> Option<bool> {
    let (operation, now) = (run.operation.clone(), run.core.now());
    run.save_with(move |world| unshifted(world, &operation, now)).await?;
    let generation = run.core.publish(&run.service.id);
    Some(run.core.ingress.acknowledged(generation, Duration::from_secs(25)).await.is_ok())
}
