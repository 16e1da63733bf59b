//! Performs operations: writes a step's intent, executes it, writes its result; after a crash the same step goes on.

use super::collect;
use super::contained::contained;
use super::core::{Core, Running, StopReason};
use super::deploy;
use super::fault::{self, Moment};
use super::heal;
use super::steps::{self, AfterFailure};
use crate::model::{
    Class, CommitId, Event, EventSeverity, Failure, Held, HeldReason, LineSink, LineSource, Operation, OperationId,
    OperationKind, OperationStatus, Reason, Reference, Revision, ServiceRecord, Step,
};
use crate::store::{World, Write};
use crate::telemetry::{LogWriter, Stream};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// One operation that a task works on.
pub struct Run {
    /// Everything else.
    pub core: Arc<Core>,
    /// The operation as it was last written.
    pub operation: Operation,
    /// The service as it was when the operation began; its name and id do not change.
    pub service: Arc<ServiceRecord>,
    /// Cancelled when it should stop.
    pub token: CancellationToken,
    /// The operation's own log.
    pub log: LogWriter,
}

/// Starts a task that works on an operation that is stored. A second task for the same operation is not started.
pub fn spawn(core: &Arc<Core>, id: &OperationId) {
    let token = CancellationToken::new();
    {
        let mut state = core.state();
        if state.running.contains_key(id) {
            return;
        }
        state.running.insert(id.clone(), Running { token: token.clone(), reason: None });
    }
    let (core, id) = (core.clone(), id.clone());
    tokio::spawn(async move {
        if let Some(run) = Run::load(&core, &id, token) {
            run.live().await;
        }
        core.state().running.remove(&id);
        core.look_again();
    });
}

/// Starts a task for every operation that is not final and has none: after a crash, or when whoever began it was dropped
/// before it could (a client that went away).
pub fn spawn_open(core: &Arc<Core>) {
    let open: Vec<_> = {
        let state = core.state();
        let open = state.world.open_operations();
        open.filter(|o| !state.running.contains_key(&o.id)).map(|o| o.id.clone()).collect()
    };
    for id in open {
        spawn(core, &id);
    }
}

/// Asks the task of an operation to stop. It does where its step allows that.
pub fn stop(core: &Core, id: &OperationId, reason: StopReason) {
    let mut state = core.state();
    if let Some(running) = state.running.get_mut(id) {
        running.reason.get_or_insert(reason);
        running.token.cancel();
    }
}

impl Run {
    fn load(core: &Arc<Core>, id: &OperationId, token: CancellationToken) -> Option<Self> {
        let (operation, service) = {
            let state = core.state();
            let operation = state.world.operations.get(id)?.clone();
            let service = state.world.services.get(&operation.service)?.clone();
            (operation, service)
        };
        if operation.cancel_requested {
            stop(core, id, StopReason::Cancelled("asked for before the restart".into()));
        }
        let stream = Stream::of(&operation);
        let log = core.logs.writer(&service.id, &stream);
        Some(Self { core: core.clone(), operation, service, token, log })
    }

    /// Writes a line of ours to the operation's log.
    pub fn say(&self, text: &str) {
        self.log.line(LineSource::AppRunner, text);
    }

    /// [`Run::drive`], whatever happens in it: an operation whose task panics fails, so that its service is not stuck.
    async fn live(mut self) {
        let Err(panic) = contained(self.drive()).await else { return };
        let failure = panicked(&panic, self.operation.step);
        tracing::error!(operation = %self.operation.id, message = %failure.message, "a bug");
        // As for any failed step: what was started goes, traffic stays or goes back. If that panics too, it is written down.
        if contained(self.fail_where_it_stands(failure.clone())).await.is_err() {
            let _ = contained(self.conclude(OperationStatus::Failed, failure)).await;
        }
    }

    async fn fail_where_it_stands(&mut self, failure: Failure) {
        // The panic may have left this copy half changed: what is stored holds.
        let stored = self.core.state().world.operations.get(&self.operation.id).cloned();
        self.operation = stored.unwrap_or_else(|| self.operation.clone());
        if self.operation.status == OperationStatus::RollbackInProgress {
            let _ = self.conclude(OperationStatus::RollbackFailed, failure).await;
            return;
        }
        let Some(step) = self.operation.step else { return };
        let turn = self.core.turn_of(&self.service.id);
        let held = if step >= Step::Shift { Some(turn.lock().await) } else { None };
        let went_on = self.failed(step, failure).await;
        drop(held);
        if went_on.is_some() {
            self.drive().await;
        }
    }

    /// Works from the present step to the end, or until the control plane stops: the next start goes on there.
    async fn drive(&mut self) {
        if self.operation.started_at.is_none() {
            self.begin().await;
        }
        // From its shift on an operation has the service's turn, so that no healing changes what serves beside it. Until
        // then what serves is healed, however long the new set takes; a healing that hangs must not hold up its cure.
        let turn = self.core.turn_of(&self.service.id);
        let mut held = None;
        self.start_over_without_instances().await;
        if self.operation.status == OperationStatus::RollbackInProgress {
            let _held = turn.lock().await;
            self.go_on_putting_back().await;
            return;
        }
        while let Some(step) = self.operation.step {
            if held.is_none() && step >= Step::Shift {
                heal::give_way(&self.core, &self.service.id);
                held = Some(turn.lock().await);
            }
            if self.enter(step).await.is_none() {
                return;
            }
            let went_on = match self.attempt(step).await {
                Some(Ok(())) => self.advance(step).await,
                Some(Err(failure)) => self.failed(step, failure).await,
                None => None,
            };
            if went_on.is_none() {
                return;
            }
        }
    }

    /// The settings that hold for the service's deployments: those declared, else those in force.
    fn deploy_settings(&self) -> crate::model::DeploySettings {
        let applied = || self.core.state().world.services.get(&self.service.id)?.applied.clone();
        self.operation.target.spec.clone().or_else(applied).map(|s| s.deploy).unwrap_or_default()
    }

    /// Instances that were started for this operation and stopped since by `towpath down`: it starts new ones.
    async fn start_over_without_instances(&mut self) {
        let lost = {
            let state = self.core.state();
            self.operation.instances.iter().any(|i| !state.world.instances.contains_key(i))
        };
        if lost && matches!(self.operation.step, Some(Step::Start | Step::Check)) {
            deploy::discard_new_instances(self).await;
            self.operation.instances.clear();
            self.operation.step = Some(Step::Start);
        }
    }

    /// Goes on going back, where a crash cut that off.
    async fn go_on_putting_back(&mut self) {
        let unknown = || Failure {
            reason: Reason::ShiftFailed,
            class: Class::Retry,
            message: "the shift failed".into(),
            step: Some(Step::Shift),
        };
        let failure = self.operation.failure.clone().unwrap_or_else(unknown);
        let _ = self.put_back(failure).await;
    }

    async fn begin(&mut self) {
        let now = self.core.now();
        self.operation.started_at = Some(now);
        self.operation.status = OperationStatus::InProgress;
        let (kind, message) = deploy::words(&self.operation).started();
        let detail =
            deploy::details::started(&self.operation, self.reference().as_ref(), self.previous_commit().as_ref());
        self.announce(&kind, EventSeverity::Info, message, detail).await;
        self.say(deploy::words(&self.operation).first_line);
    }

    /// Writes that a step is about to be executed: after a crash it is executed again.
    async fn enter(&mut self, step: Step) -> Option<()> {
        self.operation.step = Some(step);
        self.operation.step_started_at = Some(self.core.now());
        self.save(Vec::new()).await?;
        fault::here(&self.core, self.operation.kind, step, Moment::Entered);
        Some(())
    }

    /// Executes a step within its deadline. `None` when the control plane stops.
    async fn attempt(&mut self, step: Step) -> Option<Result<(), Failure>> {
        let (core, token) = (self.core.clone(), self.token.clone());
        let limit = steps::deadline(step, &self.deploy_settings());
        // A build and a release command end themselves when they are cancelled; every other step can be let go.
        let by_drop = steps::can_be_cancelled(step) && !matches!(step, Step::Build | Step::Release);
        tokio::select! {
            result = within(limit, step, deploy::execute(self, step)) => {
                // Asked to stop at the last moment: after this step it might be too late.
                let asked = steps::can_be_cancelled(step) && token.is_cancelled();
                Some(result.and_then(|()| if asked { Err(self.stopped(step)) } else { Ok(()) }))
            }
            () = token.cancelled(), if by_drop => Some(Err(self.stopped(step))),
            () = core.stopping.cancelled() => None,
        }
    }

    /// The failure of an operation that was asked to stop.
    pub fn stopped(&self, step: Step) -> Failure {
        let reason = self.core.state().running.get(&self.operation.id).and_then(|r| r.reason.clone());
        let (reason, message) = match reason {
            Some(StopReason::Superseded(what)) => (Reason::Superseded, format!("superseded: {what}")),
            Some(StopReason::Cancelled(who)) => (Reason::Cancelled, format!("cancelled by {who}")),
            None => (Reason::Cancelled, "cancelled".into()),
        };
        Failure { reason, class: Class::Wait, message, step: Some(step) }
    }

    async fn advance(&mut self, step: Step) -> Option<()> {
        fault::here(&self.core, self.operation.kind, step, Moment::Done);
        self.operation.step = steps::after(self.operation.kind, &self.operation.target, step);
        match self.operation.step {
            Some(_) => self.save(Vec::new()).await,
            None => self.succeed().await,
        }
    }

    async fn succeed(&mut self) -> Option<()> {
        self.operation.status = OperationStatus::Succeeded;
        self.operation.ended_at = Some(self.core.now());
        let words = deploy::words(&self.operation);
        self.say(words.done_line);
        let keep = self.core.config.keep.keep_revisions as usize;
        let collects = !collect::excess_revisions(&self.core.state().world, &self.service.id, keep).is_empty();
        let extra = deploy::on_success(self);
        self.save_with(extra).await?;
        let (kind, message) = words.succeeded(&self.operation);
        let detail = self.success();
        self.announce(&kind, EventSeverity::Info, message, detail).await;
        if collects {
            let core = self.core.clone();
            tokio::spawn(async move { collect::collect(&core).await });
        }
        Some(())
    }

    /// What a failed step means: the operation ends, or goes on where traffic has moved. `None` when the control plane
    /// stops, here as below: what is written then says where the next start goes on.
    async fn failed(&mut self, step: Step, failure: Failure) -> Option<()> {
        self.say(&failure.message);
        match steps::after_failure(self.operation.kind, step) {
            AfterFailure::GoOn => {
                tracing::warn!(operation = %self.operation.id, ?step, message = %failure.message, "left to healing");
                self.advance(step).await
            }
            AfterFailure::PutBack => self.put_back(failure).await,
            AfterFailure::Stop => self.conclude(OperationStatus::Failed, failure).await,
            AfterFailure::Discard => self.discard(failure).await,
        }
    }

    async fn discard(&mut self, failure: Failure) -> Option<()> {
        deploy::discard_new_instances(self).await;
        self.conclude(OperationStatus::Failed, failure).await
    }

    async fn put_back(&mut self, failure: Failure) -> Option<()> {
        self.operation.status = OperationStatus::RollbackInProgress;
        self.operation.failure = Some(failure.clone());
        self.say("Traffic goes back to what served before.");
        if deploy::put_back(self).await? {
            deploy::discard_new_instances(self).await;
            self.conclude(OperationStatus::RollbackSucceeded, failure).await
        } else {
            // The ingress may still send requests to the new instances: healing removes them once it has acknowledged.
            self.conclude(OperationStatus::RollbackFailed, failure).await
        }
    }

    /// Writes the final status of a failed operation, and what it means for the version that was tried.
    async fn conclude(&mut self, status: OperationStatus, failure: Failure) -> Option<()> {
        self.operation.status = status;
        self.operation.step = None;
        self.operation.ended_at = Some(self.core.now());
        self.operation.failure = Some(failure.clone());
        let words = deploy::words(&self.operation);
        self.say(words.failed_line);
        let (operation, now) = (self.operation.clone(), self.core.now());
        self.save_with(move |world| after_failure(world, &operation, &failure, now)).await?;
        self.core.publish(&self.service.id);
        let (kind, message) = words.failed();
        let severity = match self.operation.failure.as_ref().map(|f| f.reason) {
            Some(Reason::Superseded | Reason::Cancelled) => EventSeverity::Warn,
            _ => EventSeverity::Error,
        };
        let detail = deploy::details::failed(&self.operation);
        self.announce(&kind, severity, message, detail).await;
        Some(())
    }

    /// Writes the operation with further writes in one transaction, waiting for the store.
    pub async fn save(&mut self, more: Vec<Write>) -> Option<()> {
        self.save_with(move |_| more.clone()).await
    }

    /// [`Run::save`] with writes computed from the world as it is then.
    pub async fn save_with(&mut self, more: impl Fn(&World) -> Vec<Write>) -> Option<()> {
        self.operation.updated_at = self.core.now();
        let operation = self.operation.clone();
        let cancel = self.core.clone();
        cancel
            .transact_patiently(|world| {
                let mut operation = operation.clone();
                // A person may have asked to cancel it meanwhile; that must not be overwritten.
                operation.cancel_requested |= world.operations.get(&operation.id).is_some_and(|o| o.cancel_requested);
                let mut writes = vec![Write::PutOperation(Box::new(operation))];
                writes.extend(more(world));
                (writes, ())
            })
            .await
    }

    /// What is followed.
    fn reference(&self) -> Option<Reference> {
        let spec = self.operation.target.spec.as_ref().or(self.service.applied.as_ref())?;
        Some(spec.source.track.reference.clone())
    }

    /// The commit that serves while this operation begins.
    fn previous_commit(&self) -> Option<CommitId> {
        let state = self.core.state();
        let revision = state.world.revisions.get(&(self.service.id.clone(), self.operation.previous?))?;
        Some(revision.commit.id.clone())
    }

    /// What is new after a success, for people.
    fn success(&self) -> String {
        let url = self.core.url(&self.service.name);
        let state = self.core.state();
        let revision = self.operation.revision.or(self.operation.target.revision);
        let revision = revision.and_then(|n| state.world.revisions.get(&(self.service.id.clone(), n)));
        deploy::details::succeeded(&self.operation, revision.map(Arc::as_ref), &url)
    }

    async fn announce(&self, kind: &str, severity: EventSeverity, message: String, detail: String) {
        let event = Event {
            at: self.core.now(),
            service: Some(self.service.id.clone()),
            name: Some(self.service.name.clone()),
            operation: Some(self.operation.id.clone()),
            kind: kind.into(),
            severity,
            message,
            detail: Some(detail),
        };
        self.core.emit(event).await;
    }
}

/// A step within its deadline, if it has one.
async fn within(
    limit: Option<Duration>,
    step: Step,
    work: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    match limit {
        None => work.await,
        Some(limit) => tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(overdue(step, limit))),
    }
}

/// The failure of an operation whose task panicked. It would again: a person has to look.
fn panicked(panic: &str, step: Option<Step>) -> Failure {
    let message = format!("towpath failed at this by a bug of its own, please report it: {panic}");
    Failure { reason: Reason::Internal, class: Class::Stalled, message, step }
}

fn overdue(step: Step, deadline: Duration) -> Failure {
    Failure {
        reason: Reason::DeadlineExceeded,
        // What only took too long may be faster the next time; a check is slow by the application's doing.
        class: if step == Step::Check { Class::Stalled } else { Class::Retry },
        message: format!("the {step:?} step did not end within {} s", deadline.as_secs()),
        step: Some(step),
    }
}

/// What a failed operation changes in its service: the version is held, a creation is marked failed (row R5).
fn after_failure(world: &World, operation: &Operation, failure: &Failure, now: crate::model::Timestamp) -> Vec<Write> {
    let Some(mut record) = world.draft(&operation.service) else { return Vec::new() };
    record.updated_at = now;
    if record.current.is_none() && operation.target.spec.is_some() {
        record.create_failed = Some(failure.clone());
    }
    if operation.kind == OperationKind::DeleteService {
        record.delete_failed = Some(failure.clone());
    }
    if let Some(held) = held_by(operation, failure, now) {
        hold(&mut record, held);
    }
    let mut writes: Vec<Write> = abandoned_revision(world, operation, &record).into_iter().collect();
    writes.push(Write::PutService(Box::new(record)));
    writes
}

/// A revision that never served is not kept, so that what is kept can be gone back to. It stays while an instance of it
/// could not be removed yet.
fn abandoned_revision(world: &World, operation: &Operation, record: &ServiceRecord) -> Option<Write> {
    let number = operation.revision.filter(|n| operation.target.revision.is_none() && record.current != Some(*n))?;
    let used = world.instances.values().any(|i| i.service == record.id && i.revision == number);
    (!used).then(|| Write::DeleteRevision(record.id.clone(), number))
}

/// The version that a failed operation holds back, if any: a superseded one needs no holding.
fn held_by(operation: &Operation, failure: &Failure, now: crate::model::Timestamp) -> Option<Held> {
    let commit = operation.target.commit.clone()?;
    let spec = operation.target.spec.as_ref()?;
    let why = match failure.reason {
        Reason::Superseded => return None,
        Reason::Cancelled => HeldReason::Cancelled,
        _ if failure.class != Class::Stalled => HeldReason::Transient,
        _ => HeldReason::Failed,
    };
    let spec = Some(crate::model::Digest::of(spec));
    Some(Held { commit, spec, why, message: failure.headline().to_owned(), at: now })
}

/// How many held versions a service remembers.
const HELD_KEPT: usize = 20;

/// Adds a held version, replacing an equal one, forgetting the oldest beyond the bound.
pub fn hold(record: &mut ServiceRecord, held: Held) {
    record.held.retain(|h| h.commit != held.commit || h.spec != held.spec);
    record.held.push(held);
    let excess = record.held.len().saturating_sub(HELD_KEPT);
    record.held.drain(..excess);
}

/// Whether a rollback left this revision behind.
pub fn was_left(record: &ServiceRecord, revision: &Revision) -> bool {
    let same = |held: &Held| {
        let spec = held.spec.as_ref().is_none_or(|s| *s == crate::model::Digest::of(&revision.spec));
        held.commit == revision.commit.id && spec
    };
    record.held.iter().any(|held| held.why == HeldReason::RolledBack && same(held))
}
