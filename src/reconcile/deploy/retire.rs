//! The last steps: requests on the old instances end, the old instances go, and what a deleted service had.

use super::interrupted;
use crate::link::handle::Drained;
use crate::model::{Failure, InstanceId, InstanceRecord, InstanceRole, Step};
use crate::reconcile::operation::Run;
use crate::reconcile::{await_healthy, collect};
use crate::store::{World, Write};
use futures_util::future::join_all;
use std::time::Duration;

/// How long an instance may take to end after SIGTERM (architecture: acknowledged switching).
pub const GRACE: Duration = Duration::from_secs(10);

fn retiring(run: &Run) -> Vec<InstanceRecord> {
    let state = run.core.state();
    let of_service = state.world.instances.values().filter(|i| i.service == run.service.id);
    of_service.filter(|i| i.role == InstanceRole::Retiring).cloned().collect()
}

pub(super) async fn drain(run: &mut Run) -> Result<(), Failure> {
    let ids: Vec<InstanceId> = retiring(run).into_iter().map(|i| i.id).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let longest = drain_time(run);
    let drained = run.core.ingress.drained(&ids, longest).await;
    if let Drained::Deadline { in_flight } = drained {
        let what = match in_flight {
            Some(1) => "1 request or open connection is".into(),
            Some(count) => format!("{count} requests or open connections are"),
            None => "Requests or open connections are perhaps".to_owned(),
        };
        run.say(&format!("{what} still there after the drain time of {} s and cut off now.", longest.as_secs()));
    }
    Ok(())
}

fn drain_time(run: &Run) -> Duration {
    let applied = run.core.state().world.services.get(&run.service.id).and_then(|r| r.applied.clone());
    applied.map_or(Duration::from_secs(30), |s| s.deploy.drain)
}

pub(super) async fn retire(run: &mut Run) -> Result<(), Failure> {
    let ids: Vec<InstanceId> = retiring(run).into_iter().map(|i| i.id).collect();
    let results = join_all(ids.iter().map(|id| await_healthy::retire(&run.core, id))).await;
    results.into_iter().collect::<Result<(), Failure>>().map_err(|f| Failure { step: Some(Step::Retire), ..f })
}

pub(super) async fn clean(run: &mut Run) -> Result<(), Failure> {
    run.core.commands.end_of(&run.service.id).await;
    let (id, now) = (run.service.id.clone(), run.core.now());
    run.save_with(move |world| {
        let Some(mut record) = world.draft(&id) else { return Vec::new() };
        record.deleted_at.get_or_insert(now);
        record.updated_at = now;
        record.current = None;
        record.delete_failed = None;
        let kept = world.revisions.keys().filter(|(s, _)| *s == id);
        let mut writes: Vec<Write> = kept.map(|(s, n)| Write::DeleteRevision(s.clone(), *n)).collect();
        writes.push(Write::PutService(Box::new(record)));
        writes
    })
    .await
    .ok_or_else(|| interrupted(Step::Clean))?;
    run.core.publish(&run.service.id);
    collect::collect(&run.core).await;
    Ok(())
}

/// Stops and removes what a failed operation had started. What cannot be removed now is left to healing.
pub async fn discard_new_instances(run: &mut Run) {
    let operation = run.operation.id.clone();
    let ids: Vec<InstanceId> = {
        let state = run.core.state();
        let ours = state.world.instances.values().filter(|i| i.operation.as_ref() == Some(&operation));
        ours.filter(|i| i.role == InstanceRole::Starting).map(|i| i.id.clone()).collect()
    };
    join_all(ids.iter().map(|id| await_healthy::retire(&run.core, id))).await;
}

/// Writes beyond the operation's own at its success: instances lose their link to it, old revisions go.
pub fn on_success(run: &Run) -> impl Fn(&World) -> Vec<Write> + use<> {
    let (service, operation) = (run.service.id.clone(), run.operation.id.clone());
    let keep = run.core.config.keep.keep_revisions as usize;
    move |world| {
        let mut writes = collect::excess_revisions(world, &service, keep);
        let ours = world.instances.values().filter(|i| i.operation.as_ref() == Some(&operation));
        writes.extend(ours.map(|i| Write::PutInstance(InstanceRecord { operation: None, ..i.clone() })));
        writes
    }
}
