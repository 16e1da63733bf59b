//! What people ask of the control plane: acts on services, plans, applies. Refusals say what to do instead.

use super::core::{Core, StopReason};
use super::{commands, managed, operation, pass, snapshot, steps};
use crate::api::collection::{Collection, Extent};
use crate::api::commands::{CommandBegun, CommandInput, CommandInputTaken, CommandOutput, CommandRequest};
use crate::api::control::{Act, ControlPlane, PlanAnswer, Principal, Refusal, Snapshot, Windows};
use crate::api::facts::{Configure, Edit, Facts};
use crate::api::handshake::{AppWanted, Given};
use crate::desired::ManifestFiles;
use crate::desired::export::SealedTexts;
use crate::model::HostUrl;
use crate::model::record::refused_while_paused;
use crate::model::{
    Cause, Event, InstanceId, Operation, OperationId, OperationKind, OperationTarget, Owner, Revision, RevisionNumber,
    ServiceId, ServiceName, ServiceRecord, ServiceSpec, Severity, TerminalSize,
};
use crate::observed::{HeadView, Observed};
use crate::plan::{Plan, Policy};
use crate::store::{StoreError, World, Write};
use async_trait::async_trait;
use serde_json::Value;
use std::sync::Arc;

/// The reconciler as the wire sees it.
pub struct Control(pub Arc<Core>);

/// A failure of the store, which is logged and not told.
pub(super) fn internal(error: &StoreError) -> Refusal {
    tracing::error!(error = %super::chain(error), "the store failed");
    Refusal::Internal("towpath could not store this; its log says why. Nothing was changed".into())
}

#[async_trait]
impl ControlPlane for Control {
    fn snapshot(&self) -> Arc<Snapshot> {
        // Taken fresh, so that an act is visible at once; the plan in it is that of the last pass.
        let observed = snapshot::observed(&self.0);
        let mut fresh = (*self.0.state().snapshot).clone();
        fresh.observed = observed;
        Arc::new(fresh)
    }

    fn look(&self, look: &mut dyn FnMut(&Facts<'_>)) {
        let state = self.0.state();
        look(&managed::facts(&self.0, &state.world, state.desired.as_ref()));
    }

    async fn edit(&self, edit: Edit) -> Result<Value, Refusal> {
        managed::edit(&self.0, edit).await
    }

    async fn configure(
        &self,
        service: Option<&ServiceId>,
        make: Configure,
        by: Principal,
    ) -> Result<(ServiceId, OperationId), Refusal> {
        managed::configure(&self.0, service, make, by).await
    }

    fn token_key(&self) -> [u8; 32] {
        self.0.token_key
    }

    fn random(&self) -> [u8; 16] {
        self.0.random()
    }

    async fn find_service(&self, name_or_id: &str) -> Result<(ServiceId, ServiceName), Refusal> {
        let state = self.0.state();
        let live = state.world.services.values().filter(|r| r.deleted_at.is_none());
        let named = live.clone().find(|r| r.name.as_str() == name_or_id);
        let found = named.or_else(|| state.world.services.values().find(|r| r.id.as_str() == name_or_id));
        match found {
            Some(record) => Ok((record.id.clone(), record.name.clone())),
            None => {
                let names: Vec<&str> = live.map(|r| r.name.as_str()).collect();
                Err(Refusal::NotFound(no_service(name_or_id, &names)))
            }
        }
    }

    async fn act(&self, service: &ServiceId, act: Act, by: Principal) -> Result<OperationId, Refusal> {
        if matches!(act, Act::Deploy(_)) {
            self.refresh_source(service).await;
        }
        let core = &self.0;
        let id = OperationId::from_random(core.random());
        // Until it is stored, so that two acts do not take the same memory.
        let _one_at_a_time = core.admitting.lock().await;
        let (observed, policy, now) = (snapshot::observed(core), core.policy(), core.now());
        let desired = core.state().desired.clone();
        let prepared = Prepared { id: id.clone(), service: service.clone(), act, by, desired, observed, policy, now };
        core.transact(|world| prepared.writes(world)).await.map_err(|e| internal(&e))??;
        operation::spawn(core, &id);
        core.look_again();
        Ok(id)
    }

    async fn propose_revert(&self, rollback: &OperationId, by: Principal) -> Result<String, Refusal> {
        super::feedback::revert::propose(&self.0, rollback, &by).await
    }

    async fn cancel(&self, id: &OperationId, by: Principal) -> Result<(), Refusal> {
        let core = &self.0;
        let asked = core.transact(|world| request_cancel(world, id)).await.map_err(|e| internal(&e))?;
        asked?;
        operation::stop(core, id, StopReason::Cancelled(by.name));
        Ok(())
    }

    async fn describe(&self, service: &ServiceId) -> Result<crate::observed::ServiceView, Refusal> {
        let view = snapshot::describe(&self.0, service);
        view.ok_or_else(|| Refusal::NotFound(format!("there is no service `{service}`")))
    }

    async fn operations(&self, service: &ServiceId) -> Result<Vec<Operation>, Refusal> {
        self.0.store.operations(service, 1000).await.map_err(|e| internal(&e))
    }

    async fn operation(&self, id: &OperationId) -> Result<Operation, Refusal> {
        if let Some(operation) = self.0.state().world.operations.get(id) {
            return Ok(operation.clone());
        }
        let stored = self.0.store.operation(id).await.map_err(|e| internal(&e))?;
        stored.ok_or_else(|| Refusal::NotFound(format!("there is no operation `{id}`")))
    }

    async fn revisions(&self, service: &ServiceId) -> Result<Vec<Revision>, Refusal> {
        let state = self.0.state();
        let ours = state.world.revisions.iter().filter(|((s, _), _)| s == service);
        Ok(ours.rev().map(|(_, r)| r.clone()).collect())
    }

    async fn events(
        &self,
        service: Option<&ServiceId>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Event)>, Refusal> {
        self.0.store.events(service, after, u32::try_from(limit).unwrap_or(u32::MAX)).await.map_err(|e| internal(&e))
    }

    fn manifest_directory(&self) -> Option<std::path::PathBuf> {
        super::manifest::directory(&self.0)
    }

    async fn plan(&self, manifest: Option<ManifestFiles>) -> Result<PlanAnswer, Refusal> {
        let core = self.0.clone();
        let (desired, problems) = match manifest {
            None => (core.state().desired.clone(), Vec::new()),
            Some(files) => {
                let parsed = crate::desired::parse_manifest_files(&files, &core.config.catalogue);
                let parsed = super::identities::check(&core, parsed);
                let parsed = super::manifest::resolve(&core, parsed).await;
                (parsed.value, parsed.problems)
            }
        };
        let observed = snapshot::observed(&core);
        let invalid = problems.iter().any(|p| p.severity == Severity::Error);
        let (plan, report) = match invalid {
            true => (Plan { manifest: None, at: core.now(), changes: Vec::new() }, crate::plan::Report::default()),
            false => crate::plan::plan(desired.as_ref(), &observed, &core.policy(), core.now()),
        };
        let access = desired.filter(|_| !invalid).map(|desired| super::identities::planned(&core, &desired));
        Ok(PlanAnswer { plan, report, problems, access: access.unwrap_or_default() })
    }

    async fn apply(
        &self,
        plan: Option<Plan>,
        allow_mass_delete: bool,
        by: Principal,
    ) -> Result<Vec<OperationId>, Refusal> {
        let core = &self.0;
        super::manifest::reload(core).await;
        super::identities::converge(core).await;
        if allow_mass_delete {
            self.allow_mass_delete().await?;
        }
        let observed = snapshot::observed(core);
        let desired = core.state().desired.clone();
        let fresh = crate::plan::plan(desired.as_ref(), &observed, &core.policy(), core.now()).0;
        let plan = match plan {
            Some(plan) => {
                self.refuse_stale(&plan).await?;
                // It was found to fit the state that this moment's plan was computed from.
                Plan { at: fresh.at, ..plan }
            }
            None => fresh,
        };
        let planned = pass::Planned { plan, observed };
        let mut begun = Vec::new();
        // Healing happens by itself, from facts that are fresher than any plan.
        for change in planned.plan.changes.iter().filter(|c| c.action.operation().is_some()) {
            let id = pass::execute(core, change, &planned, Some(&by.name)).await.map_err(|e| internal(&e))?;
            begun.extend(id);
        }
        core.look_again();
        Ok(begun)
    }

    async fn sealed_texts(&self, specs: &[&ServiceSpec]) -> SealedTexts {
        super::sealed::texts_of(&self.0, specs)
    }

    async fn collect(&self, extent: Extent, _by: Principal) -> Result<Collection, Refusal> {
        Ok(super::collect::gc(&self.0, extent).await)
    }

    async fn run_command(
        &self,
        service: &ServiceId,
        request: CommandRequest,
        by: Principal,
    ) -> Result<CommandBegun, Refusal> {
        commands::begin(&self.0, service, request, by).await
    }

    async fn command_output(&self, id: &InstanceId, after: u64) -> Result<CommandOutput, Refusal> {
        commands::output(&self.0, id, after).await
    }

    async fn write_to_command(&self, id: &InstanceId, piece: CommandInput) -> Result<CommandInputTaken, Refusal> {
        commands::write(&self.0, id, piece).await
    }

    async fn resize_command(&self, id: &InstanceId, size: TerminalSize) -> Result<(), Refusal> {
        commands::resize(&self.0, id, size).await
    }

    async fn stop_command(&self, id: &InstanceId, by: Principal) -> Result<(), Refusal> {
        commands::stop(&self.0, id, &by)
    }

    async fn complete_handshake(&self, given: Given) -> Result<(), Refusal> {
        super::handshake::complete(&self.0, given).await
    }

    async fn make_key(&self, connection: &str, host: Option<HostUrl>) -> Result<String, Refusal> {
        super::handshake::make_key(&self.0, connection, host).await
    }

    async fn begin_app(&self, wanted: AppWanted) -> Result<String, Refusal> {
        super::app_handshake::begin(&self.0, wanted)
    }

    async fn shut_down(&self, by: Principal) -> Result<(), Refusal> {
        tracing::info!(by = %by.name, "asked to stop everything");
        self.0.down.cancel();
        Ok(())
    }
}

impl Control {
    /// Asks the source now, so that `deploy` takes what is newest this moment.
    async fn refresh_source(&self, service: &ServiceId) {
        let record = self.0.state().world.services.get(service).cloned();
        let source = record.and_then(|r| spec_to_deploy(&r, self.0.state().desired.as_ref())).map(|s| s.source);
        if let Some(source) = source {
            self.0.poller.poll_now(&source.repository, &source.track).await;
        }
    }

    async fn allow_mass_delete(&self) -> Result<(), Refusal> {
        let digest = self.0.state().desired.as_ref().map(|d| d.manifest.digest.clone());
        let Some(digest) = digest else {
            return Err(Refusal::InvalidState("no valid manifest is in force".into()));
        };
        let value = serde_json::Value::String(digest.as_str().to_owned());
        let write = Write::PutMeta(super::META_MASS_DELETE.into(), value);
        self.0.transact(|_| (vec![write], ())).await.map_err(|e| internal(&e))
    }

    /// A plan that was made from another state is refused with what moved (rule of issue: bound to a hash per service).
    async fn refuse_stale(&self, plan: &Plan) -> Result<(), Refusal> {
        let fresh = self.plan(None).await?;
        crate::plan::check_stale(plan, &fresh.plan, &fresh.report).map_err(|stale| {
            let moved: Vec<String> = stale.iter().map(ToString::to_string).collect();
            Refusal::Stale(format!("the plan is stale: {}; plan again", moved.join("; ")))
        })
    }
}

fn no_service(wanted: &str, names: &[&str]) -> String {
    let wanted = wanted.escape_debug();
    match names {
        [] => format!("there is no service `{wanted}`; none is there yet"),
        names => format!("there is no service `{wanted}`; there are: {}", names.join(", ")),
    }
}

fn request_cancel(world: &World, id: &OperationId) -> (Vec<Write>, Result<(), Refusal>) {
    let Some(operation) = world.operations.get(id) else {
        return (Vec::new(), Err(Refusal::NotFound(format!("there is no operation `{id}`"))));
    };
    if operation.status.is_final() {
        return (Vec::new(), Err(Refusal::InvalidState(format!("operation `{id}` has ended already"))));
    }
    if operation.step.is_some_and(|s| !steps::can_be_cancelled(s)) {
        let message = format!("traffic of operation `{id}` has shifted already; use `towpath rollback` to go back");
        return (Vec::new(), Err(Refusal::InvalidState(message)));
    }
    let asked = Operation { cancel_requested: true, ..operation.clone() };
    (vec![Write::PutOperation(Box::new(asked))], Ok(()))
}

/// What a deployment that a person asks for deploys: what is in force, else what is declared.
fn spec_to_deploy(record: &ServiceRecord, desired: Option<&crate::desired::Desired>) -> Option<ServiceSpec> {
    let declared = || desired?.services.iter().find(|s| s.spec.name == record.name).map(|s| s.spec.clone());
    let asked = || record.requested.as_deref().cloned();
    record.applied.clone().or_else(asked).or_else(declared)
}

/// An act with all that decides it, so that it is computed within the transaction.
struct Prepared {
    id: OperationId,
    service: ServiceId,
    act: Act,
    by: Principal,
    desired: Option<crate::desired::Desired>,
    observed: Observed,
    policy: Policy,
    now: crate::model::Timestamp,
}

impl Prepared {
    fn writes(&self, world: &World) -> (Vec<Write>, Result<(), Refusal>) {
        match self.decide(world) {
            Ok(writes) => (writes, Ok(())),
            Err(refusal) => (Vec::new(), Err(refusal)),
        }
    }

    fn decide(&self, world: &World) -> Result<Vec<Write>, Refusal> {
        let record = world.services.get(&self.service).filter(|r| r.deleted_at.is_none());
        let record = record.ok_or_else(|| Refusal::NotFound("the service is deleted".into()))?;
        refuse_while_running(world, record)?;
        let kind = self.kind();
        if record.paused.is_some() && refused_while_paused(kind) {
            return Err(state_error(record, "is paused", &format!("resume it with `towpath resume {}`", record.name)));
        }
        self.refuse_what_is_held(record)?;
        let target = self.target(world, record)?;
        self.refuse_what_does_not_fit(record, &target)?;
        let cause = self.cause(record);
        let mut operation = pass::new_operation(self.id.clone(), record.id.clone(), kind, cause, target, self.now);
        operation.previous = record.current;
        operation.number = world.next_operation_number(&record.id);
        let mut writes = vec![Write::PutOperation(Box::new(operation.clone()))];
        if matches!(self.act, Act::Deploy(_)) {
            writes.extend(let_go(record, &operation));
        }
        Ok(writes)
    }

    /// A closed window and a suspension hold a person's deployment too, unless they say that it has to be.
    fn refuse_what_is_held(&self, record: &ServiceRecord) -> Result<(), Refusal> {
        if self.act != Act::Deploy(Windows::Obeyed) {
            return Ok(());
        }
        let declared = self.desired.iter().flat_map(|d| &d.services).find(|s| s.spec.name == record.name);
        let wanted = declared.map(|declared| &declared.spec).or(record.applied.as_ref());
        let windows = self.desired.as_ref().map_or(&self.policy.windows, |desired| &desired.windows);
        crate::plan::may_deploy(&record.name, wanted, windows, self.now).map_err(|why| {
            let todo = format!(
                "wait, or deploy it all the same with `towpath deploy {} --override-window --reason TEXT`",
                record.name
            );
            state_error(record, &why, &todo)
        })
    }

    /// Old and new instances run beside each other for a while: what has no memory for that would fail half-way.
    fn refuse_what_does_not_fit(&self, record: &ServiceRecord, target: &OperationTarget) -> Result<(), Refusal> {
        let Some(spec) = &target.spec else { return Ok(()) };
        crate::plan::admit(&self.observed, &self.policy, &record.id, spec).map_err(|why| {
            let todo = "pause or delete another service, or allow more with `towpath up --overcommit`";
            state_error(record, &why, todo)
        })
    }

    fn kind(&self) -> OperationKind {
        match self.act {
            Act::Deploy(_) | Act::Rollback(_) => OperationKind::StartDeployment,
            Act::Pause => OperationKind::PauseService,
            Act::Resume => OperationKind::ResumeService,
            Act::Delete => OperationKind::DeleteService,
        }
    }

    fn cause(&self, record: &ServiceRecord) -> Cause {
        let principal = self.by.name.clone();
        match (&self.act, record.current) {
            (Act::Rollback(_), Some(from)) => Cause::Rollback { principal, from },
            _ => Cause::Manual { principal, reason: self.by.reason.clone() },
        }
    }

    fn target(&self, world: &World, record: &ServiceRecord) -> Result<OperationTarget, Refusal> {
        match &self.act {
            Act::Deploy(_) => self.deployment(record),
            Act::Pause if record.current.is_none() => {
                Err(state_error(record, "was never deployed", "there is nothing to pause"))
            }
            Act::Pause => Ok(OperationTarget::nothing()),
            Act::Resume => resumption(record),
            Act::Delete => self.deletion(record),
            Act::Rollback(wanted) => rollback(world, record, *wanted),
        }
    }

    fn deployment(&self, record: &ServiceRecord) -> Result<OperationTarget, Refusal> {
        let spec = spec_to_deploy(record, self.desired.as_ref())
            .ok_or_else(|| state_error(record, "has no configuration", "declare it in the manifest"))?;
        let source = &spec.source;
        let head = {
            // The newest, whatever its checks say: who asks for a deployment decides that.
            let plain =
                |h: &&HeadView| h.checks.is_none() && h.repository == source.repository && h.track == source.track;
            self.observed.heads.iter().find(plain)
        };
        let commit = head.filter(|h| h.error.is_none()).and_then(|h| h.commit.clone());
        Ok(OperationTarget::deploying(spec, commit))
    }

    /// What the manifest declares is removed in the manifest (law 3).
    fn deletion(&self, record: &ServiceRecord) -> Result<OperationTarget, Refusal> {
        let spot = self.desired.as_ref().and_then(|desired| desired.spot_of(&record.name));
        match spot.filter(|_| record.owner == Owner::Declared) {
            Some(spot) => {
                let what = format!("is declared at {spot}");
                Err(state_error(record, &what, "remove it there, and towpath deletes it"))
            }
            None => Ok(OperationTarget::nothing()),
        }
    }
}

/// One operation at a time (row R4).
pub(super) fn refuse_while_running(world: &World, record: &ServiceRecord) -> Result<(), Refusal> {
    world.open_operation(&record.id).map_or(Ok(()), |o| {
        let todo = format!("wait until it ended, or stop it with `towpath cancel {}`", o.id);
        Err(state_error(record, "has an operation in progress", &todo))
    })
}

/// A service that is not in a state for what was asked, and what to do.
pub(super) fn state_error(record: &ServiceRecord, what: &str, todo: &str) -> Refusal {
    Refusal::InvalidState(format!("service `{}` {what}; {todo}", record.name))
}

fn resumption(record: &ServiceRecord) -> Result<OperationTarget, Refusal> {
    if record.paused.is_none() {
        return Err(state_error(record, "is not paused", "there is nothing to resume"));
    }
    Ok(OperationTarget { spec: record.applied.clone(), revision: record.current, ..OperationTarget::nothing() })
}

fn rollback(world: &World, record: &ServiceRecord, wanted: Option<RevisionNumber>) -> Result<OperationTarget, Refusal> {
    let current =
        record.current.ok_or_else(|| state_error(record, "was never deployed", "there is nothing to go back to"))?;
    let of_service = world.revisions.keys().filter(|(s, n)| s == &record.id && *n != current).map(|(_, n)| *n);
    let kept: Vec<RevisionNumber> = of_service.collect();
    // A revision that was rolled back from is nothing to go back to, unless a person names it.
    let left = |n: &RevisionNumber| {
        world.revisions.get(&(record.id.clone(), *n)).is_some_and(|r| operation::was_left(record, r))
    };
    let before = || kept.iter().rev().find(|n| **n < current && !left(n)).copied();
    let number = match wanted {
        Some(wanted) if wanted == current => {
            return Err(state_error(record, &format!("runs revision {current} already"), "name another"));
        }
        Some(wanted) => kept.contains(&wanted).then_some(wanted),
        None => before(),
    };
    let revision = number.and_then(|n| world.revisions.get(&(record.id.clone(), n)));
    let Some(revision) = revision else {
        let list: Vec<String> = kept.iter().map(ToString::to_string).collect();
        let there = if list.is_empty() { "no other is kept".into() } else { format!("kept are: {}", list.join(", ")) };
        let what = wanted.map_or("an earlier revision".into(), |w| format!("revision {w}"));
        return Err(Refusal::NotFound(format!("service `{}` has not kept {what}; {there}", record.name)));
    };
    Ok(OperationTarget { revision: Some(revision.number), ..OperationTarget::deploying(revision.spec.clone(), None) })
}

/// A person's deployment lets go of what held its version back.
fn let_go(record: &ServiceRecord, operation: &Operation) -> Option<Write> {
    let commit = operation.target.commit.as_ref()?;
    let mut record = record.clone();
    let before = record.held.len();
    record.held.retain(|h| &h.commit != commit);
    (record.held.len() != before).then(|| Write::PutService(Box::new(record)))
}
