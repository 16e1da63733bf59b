//! One pass: look at everything, plan, execute what happens by itself. Wake-ups carry no input (law 1).

use super::contained::contained;
use super::core::{Core, FirstPlan, StopReason};
use super::heal::{self, Healing};
use super::monitor::Monitor;
use super::{drift, manifest, operation, retry, rewritten, snapshot, steps, vetting};
use crate::model::{
    Cause, CodeSource, EventSeverity, Held, HeldReason, InstanceId, InstanceState, Operation, OperationId,
    OperationKind, OperationTarget, Owner, Place, Poll, RepositoryUrl, ServiceId, ServiceRecord, ServiceSpec,
    Timestamp,
};
use crate::observed::{EngineView, Observed};
use crate::plan::{Action, Change, Plan};
use crate::settings::ManifestSource;
use crate::source::Logins;
use crate::source::schedule::Pace;
use crate::store::{StoreError, World, Write};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long nothing may wake the loop: lost wake-ups cost this much time, never correctness.
const RESYNC: Duration = Duration::from_secs(5);
/// How often the disk is collected.
const HOUR: Duration = Duration::from_secs(3600);
/// How often while it is above its high watermark.
const TIGHT_REST: Duration = Duration::from_secs(600);
/// How many wake-ups are folded into one pass.
const SETTLE: Duration = Duration::from_millis(10);

/// Passes until the control plane stops.
pub async fn run(core: Arc<Core>) {
    let mut monitor = Monitor::default();
    // By the clock that only goes forward: the other one may be set.
    let (mut collected, mut relieved): (Option<Instant>, Option<Instant>) = (None, None);
    let over = |since: Option<Instant>, span: Duration| since.is_none_or(|at| at.elapsed() > span);
    while !core.stopping.is_cancelled() {
        tokio::select! {
            // A pass can be let go anywhere: what it begins is stored whole or not at all.
            () = core.stopping.cancelled() => return,
            passed = contained(pass(&core)) => {
                if let Err(panic) = passed {
                    tracing::error!(panic, "a pass failed by a bug of towpath, please report it; the next one comes");
                }
            }
        }
        monitor.follow(&core);
        if over(relieved, TIGHT_REST) && !over(collected, HOUR) && super::collect::is_tight(&core) {
            relieved = Some(Instant::now());
            let core = core.clone();
            tokio::spawn(async move { super::collect::make_room(&core).await });
        }
        if over(collected, HOUR) {
            collected = Some(Instant::now());
            let core = core.clone();
            tokio::spawn(async move { super::collect::hourly(&core).await });
        }
        tokio::select! {
            () = core.wake.notified() => tokio::time::sleep(SETTLE).await,
            () = tokio::time::sleep(RESYNC) => {}
            () = core.stopping.cancelled() => {}
        }
    }
}

/// Looks, plans, executes.
pub async fn pass(core: &Arc<Core>) {
    manifest::reload(core).await;
    observe(core).await;
    super::connections::refresh(core).await;
    follow_sources(core).await;
    let_go_of_transient(core).await;
    operation::spawn_open(core);
    let observed = snapshot::observed(core);
    vetting::look(core, &observed);
    rewritten::look(core, &observed);
    vetting::tell(core, &observed).await;
    drift::tell(core, &observed).await;
    let desired = core.state().desired.clone();
    let policy = core.policy();
    let now = core.now();
    let (plan, report) = crate::plan::plan(desired.as_ref(), &observed, &policy, now);
    note_first_plan(core, &plan, &report);
    note_convergence(core, &plan);
    snapshot::store(core, observed.clone(), plan.clone(), report);
    let planned = Planned { plan, observed };
    for change in &planned.plan.changes {
        if !change.happens_by_itself(&policy) {
            continue;
        }
        if let Err(error) = execute(core, change, &planned, None).await {
            tracing::warn!(error = %super::chain(&error), "a change could not be begun; the next pass looks again");
        }
    }
}

/// Keeps what is planned first with a commit of the manifest: what a review had planned is compared with it.
fn note_first_plan(core: &Core, plan: &Plan, report: &crate::plan::Report) {
    let Some(commit) = plan.manifest.as_ref().and_then(|m| m.commit.as_ref()).map(|c| c.id.clone()) else { return };
    let mut state = core.state();
    if state.manifest_planned.as_ref() != Some(&commit) {
        state.manifest_planned = Some(commit.clone());
        let first = FirstPlan { commit, plan: plan.clone(), report: report.clone() };
        state.manifest_first_plan = Some(Arc::new(first));
    }
}

/// Notes when everything was as the manifest in force declares for the first time.
fn note_convergence(core: &Core, plan: &Plan) {
    let mut state = core.state();
    let done = state.desired.is_some() && plan.changes.is_empty() && state.world.open_operations().next().is_none();
    if done && state.manifest_converged.is_none() {
        state.manifest_converged = Some(core.now());
    }
}

/// Makes events of what instances were refused: a full disk, a process killed for want of memory.
async fn tell_notices(core: &Core) {
    for (id, text) in core.engine.take_notices() {
        let record = {
            let state = core.state();
            let service = state.world.instances.get(&id).map(|i| i.service.clone());
            service.and_then(|service| state.world.services.get(&service).cloned())
        };
        if let Some(record) = record {
            let message = format!("Instance {id}: {text}.");
            core.emit_for(&record, "InstanceLimited", EventSeverity::Warn, message).await;
        }
    }
}

/// Asks the engine what runs, and tells routing what has ended.
pub async fn observe(core: &Arc<Core>) {
    let asked = Instant::now();
    let answer = core.engine.observe().await;
    let (changed, exited) = {
        let mut state = core.state();
        match answer {
            Ok(instances) => {
                state.engine = EngineView::Answered { name: core.engine.name().into() };
                state.take_list(instances, asked);
            }
            Err(error) => {
                state.engine = EngineView::Unreachable { message: super::chain(&error) };
                return;
            }
        }
        let ended: BTreeSet<InstanceId> = state
            .world
            .instances
            .values()
            .filter(|i| i.role == crate::model::InstanceRole::Serving)
            .map(|i| &i.id)
            .filter(|id| state.instances.get(*id).is_none_or(|o| matches!(o.state, InstanceState::Exited { .. })))
            .cloned()
            .collect();
        let fresh: Vec<InstanceId> = ended.difference(&state.live.ended).cloned().collect();
        let exited: Vec<(Arc<ServiceRecord>, InstanceId, String)> =
            fresh.iter().filter_map(|id| exit_of(&state, id)).collect();
        let changed: BTreeSet<ServiceId> = ended
            .symmetric_difference(&state.live.ended)
            .filter_map(|id| state.world.instances.get(id).map(|i| i.service.clone()))
            .collect();
        state.live.ended = ended;
        (changed, exited)
    };
    for service in changed {
        core.publish(&service);
    }
    tell_notices(core).await;
    for (record, id, message) in exited {
        let message = format!("Instance {id} {message}; `towpath logs {}` shows what it printed.", record.name);
        core.emit_for(&record, "InstanceExited", EventSeverity::Warn, message).await;
    }
}

/// A serving instance that has ended since the last look.
fn exit_of(state: &super::core::State, id: &InstanceId) -> Option<(Arc<ServiceRecord>, InstanceId, String)> {
    let instance = state.world.instances.get(id).filter(|i| i.role == crate::model::InstanceRole::Serving)?;
    let record = state.world.services.get(&instance.service)?.clone();
    let message = match state.instances.get(id).map(|o| o.state.clone()) {
        Some(InstanceState::Exited { message, .. }) => message,
        _ => "is gone: it was removed by hand".into(),
    };
    Some((record, id.clone(), message))
}

/// Tells the poller which sources matter now.
async fn follow_sources(core: &Core) {
    let (sources, keys, private) = {
        let state = core.state();
        let declared = state.desired.iter().flat_map(|d| d.services.iter().map(|s| s.spec.source.clone()));
        let applied = state.world.services.values().filter(|r| r.deleted_at.is_none());
        let applied = applied.filter_map(|r| r.applied.as_ref().map(|s| s.source.clone()));
        let all: Vec<CodeSource> = declared.chain(applied).collect();
        // What is declared comes first, and wins.
        let keys = all.iter().rev().filter_map(|s| Some((s.repository.clone(), s.key.clone()?))).collect();
        let manifest = match &core.config.manifest {
            ManifestSource::Repository(repository) => Some((repository.url.clone(), repository.track())),
            ManifestSource::Path(_) => None,
        };
        let private: Vec<CodeSource> = all.iter().rev().filter(|s| s.credentials.is_some()).cloned().collect();
        (all.into_iter().map(|s| (s.repository, s.track)).chain(manifest).collect::<BTreeSet<_>>(), keys, private)
    };
    core.git.set_logins(logins(core, &private).await);
    core.git.set_keys(keys);
    core.poller.watch(sources.into_iter().collect());
    core.poller.pace(&paces(core));
}

/// Who pulls which image, or why that is not known.
async fn logins(core: &Core, private: &[CodeSource]) -> Logins {
    let mut logins = Logins::new();
    for source in private {
        let RepositoryUrl::Image(image) = &source.repository else { continue };
        if let Some(login) = super::secrets::login(source, core).await.transpose() {
            logins.insert(image.clone(), login);
        }
    }
    logins
}

/// The paces of repositories whose services say how often they are asked.
fn paces(core: &Core) -> BTreeMap<RepositoryUrl, Pace> {
    let state = core.state();
    let declared = state.desired.iter().flat_map(|d| &d.services).map(|s| &s.spec);
    let applied = state.world.services.values().filter(|r| r.deleted_at.is_none() && state.desired.is_none());
    let specs = declared.chain(applied.filter_map(|r| r.applied.as_ref()));
    let mut polls: BTreeMap<RepositoryUrl, Vec<Poll>> = BTreeMap::new();
    for (repository, poll) in specs.filter_map(|s| Some((&s.source.repository, s.source.poll.as_deref()?))) {
        polls.entry(repository.clone()).or_default().push(poll.clone());
    }
    polls.into_iter().filter_map(|(repository, polls)| Some((repository, Pace::of(&polls)?))).collect()
}

/// What failed for a reason that passes by itself is tried again after a while, which grows with each try.
async fn let_go_of_transient(core: &Core) {
    let now = core.now();
    let any = core.state().world.services.values().any(|r| r.held.iter().any(|h| h.why == HeldReason::Transient));
    if !any {
        return;
    }
    let released = core.transact(|world| {
        let mut writes = Vec::new();
        for record in world.services.values() {
            let kept: Vec<Held> =
                record.held.iter().filter(|h| !retry::is_due(world, record, h, now)).cloned().collect();
            if kept.len() < record.held.len() {
                writes.push(Write::PutService(Box::new(ServiceRecord { held: kept, ..ServiceRecord::clone(record) })));
            }
        }
        (writes, ())
    });
    if let Err(error) = released.await {
        tracing::warn!(error = %super::chain(&error), "a version could not be released; the next pass tries again");
    }
}

/// A plan, with the state that it was computed from.
pub struct Planned {
    /// The plan.
    pub plan: Plan,
    /// The state.
    pub observed: Observed,
}

impl Planned {
    /// A service as it was then.
    fn record(&self, service: &ServiceId) -> Option<&ServiceRecord> {
        self.observed.services.iter().map(|v| v.record.as_ref()).find(|r| &r.id == service)
    }
}

/// Executes one change of a plan: begins its operation, or heals. `by` is the person who applied it, if one did.
pub async fn execute(
    core: &Arc<Core>,
    change: &Change,
    planned: &Planned,
    by: Option<&str>,
) -> Result<Option<OperationId>, StoreError> {
    match &change.action {
        Action::Heal { id, start, stop } => {
            let effect = healing_words(change);
            heal::spawn(core, Healing { service: id.clone(), start: start.clone(), stop: stop.clone(), effect });
            Ok(None)
        }
        Action::RemoveStrays { instances } => {
            let (core, instances) = (core.clone(), instances.clone());
            // Beside the pass: one that does not go must not keep the others from being healed.
            tokio::spawn(async move {
                if let Ok(_alone) = core.sweeping.try_lock() {
                    heal::remove_strays(&core, &instances).await;
                }
            });
            Ok(None)
        }
        _ => begin(core, change, planned, by).await,
    }
}

/// What a healing does, and what was found on each instance: its event is what is left of a drift once it is healed.
fn healing_words(change: &Change) -> String {
    // What it was meant to be comes first here: the event says what happened, the plan what is to be done about it.
    let found = change.fields.iter().filter_map(|f| match (&f.from, &f.to) {
        (Some(found), Some(meant)) => Some(format!("{}: {meant} → {found}", f.field)),
        (found, _) => Some(format!("{}: {}", f.field, found.as_ref()?)),
    });
    let found: Vec<String> = found.collect();
    match found.is_empty() {
        true => change.effect.clone(),
        false => format!("{} ({})", change.effect, found.join("; ")),
    }
}

async fn begin(
    core: &Arc<Core>,
    change: &Change,
    planned: &Planned,
    by: Option<&str>,
) -> Result<Option<OperationId>, StoreError> {
    let now = core.now();
    let Some((service, operation)) = operation_of(change, &planned.plan, by, now) else { return Ok(None) };
    let id = operation.id.clone();
    let then = planned.record(&service);
    let begun = core.transact(|world| begin_writes(world, change, operation, then)).await?;
    match begun {
        Begun::Accepted => {
            // From now on its hosts are known: whoever asks is told that it is being created.
            core.publish(&service);
            if by.is_none() {
                super::recorded::begun(core, &id).await;
            }
            operation::spawn(core, &id);
            Ok(Some(id))
        }
        Begun::Supersedes(running) => {
            let what = superseding(change);
            operation::stop(core, &running, StopReason::Superseded(what));
            Ok(None)
        }
        Begun::Refused => {
            tracing::debug!(%service, "another operation was begun meanwhile");
            Ok(None)
        }
    }
}

fn superseding(change: &Change) -> String {
    match &change.action {
        Action::Deploy { commit, .. } => format!("commit {} is newer", commit.short()),
        Action::Update { commit: Some(commit), .. } => {
            format!("what is declared now, with commit {}, takes its place", commit.short())
        }
        _ => "the declaration changed".into(),
    }
}

enum Begun {
    Accepted,
    Supersedes(OperationId),
    Refused,
}

/// `then` is the service as it was when the change was planned.
fn begin_writes(
    world: &World,
    change: &Change,
    operation: Operation,
    then: Option<&ServiceRecord>,
) -> (Vec<Write>, Begun) {
    let now = operation.created_at;
    let mut writes = Vec::new();
    let mut operation = operation;
    operation.number = world.next_operation_number(&operation.service);
    if let Action::Create { id, label, spec, .. } = &change.action {
        let named = world.services.values().any(|r| r.deleted_at.is_none() && r.name == spec.name);
        if named {
            return (Vec::new(), Begun::Refused);
        }
        let record = ServiceRecord::created(id.clone(), spec.name.clone(), label.clone(), Owner::Declared, now);
        writes.push(Write::PutService(Box::new(record)));
    } else {
        if let Some(running) = world.open_operation(&operation.service) {
            // One that works towards the same is what this change wants: planned twice, begun once.
            let same = running.target == operation.target;
            let early = !same && running.step.is_none_or(steps::can_be_superseded) && deploys(running.kind);
            let begun = if early { Begun::Supersedes(running.id.clone()) } else { Begun::Refused };
            return (Vec::new(), begun);
        }
        let Some(record) = world.services.get(&operation.service).filter(|r| r.deleted_at.is_none()) else {
            return (Vec::new(), Begun::Refused);
        };
        // Something happened to the service since this was planned: the next pass plans again. Compared as a whole, since
        // times say nothing when the clock is set back.
        if then != Some(record) {
            return (Vec::new(), Begun::Refused);
        }
        operation.previous = record.current;
    }
    writes.push(Write::PutOperation(Box::new(operation)));
    (writes, Begun::Accepted)
}

fn deploys(kind: OperationKind) -> bool {
    matches!(kind, OperationKind::CreateService | OperationKind::StartDeployment | OperationKind::UpdateService)
}

/// The operation that a change begins.
fn operation_of(change: &Change, plan: &Plan, by: Option<&str>, now: Timestamp) -> Option<(ServiceId, Operation)> {
    let place = change.place.as_ref().map(|place| at_commit(place, plan));
    let place = place.or_else(|| plan.manifest.as_ref().map(|m| m.file.clone())).unwrap_or_default();
    let manifest = || match by {
        Some(principal) => Cause::Manual { principal: principal.into(), reason: Some(format!("apply of {place}")) },
        None => Cause::Manifest { place: place.clone() },
    };
    let target = |spec: &ServiceSpec, commit, in_place| OperationTarget {
        in_place,
        ..OperationTarget::deploying(spec.clone(), commit)
    };
    let (service, id, kind, cause, target) = match &change.action {
        Action::Create { id, operation, spec, commit, .. } => {
            (id, operation, OperationKind::CreateService, manifest(), target(spec, commit.clone(), false))
        }
        Action::Deploy { id, operation, spec, commit } => {
            let cause = Cause::Commit { commit: commit.clone() };
            (id, operation, OperationKind::StartDeployment, cause, target(spec, Some(commit.clone()), false))
        }
        Action::Update { id, operation, spec, commit, in_place } => {
            (id, operation, OperationKind::UpdateService, manifest(), target(spec, commit.clone(), *in_place))
        }
        Action::Delete { id, operation } => {
            (id, operation, OperationKind::DeleteService, manifest(), OperationTarget::nothing())
        }
        Action::Heal { .. } | Action::RemoveStrays { .. } => return None,
    };
    Some((service.clone(), new_operation(id.clone(), service.clone(), kind, cause, target, now)))
}

/// A place in a manifest that is pulled from git is one of a commit: `prod/towpath.yaml:14 at 3f2a91c`.
fn at_commit(place: &Place, plan: &Plan) -> String {
    match plan.manifest.as_ref().and_then(|m| m.commit.as_ref()) {
        Some(commit) => format!("{place} at {}", commit.id.short()),
        None => place.to_string(),
    }
}

/// An operation as it is accepted, at its first step.
pub fn new_operation(
    id: OperationId,
    service: ServiceId,
    kind: OperationKind,
    cause: Cause,
    target: OperationTarget,
    now: Timestamp,
) -> Operation {
    let step = steps::sequence(kind, &target).first().copied();
    Operation { step, ..Operation::accepted(id, service, kind, cause, target, now) }
}
