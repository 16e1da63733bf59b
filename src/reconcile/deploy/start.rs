//! The start and check steps: new instances beside the old, until they are healthy.

use super::{interrupted, stalled};
use crate::model::{
    AppSettings, EnvName, Failure, HealthProtocol, InstanceId, InstanceRecord, InstanceRole, InstanceSpec, Purpose,
    Reason, Revision, RevisionNumber, ServiceRecord, Step,
};
use crate::reconcile::await_healthy::{self, Outcome};
use crate::reconcile::core::Core;
use crate::reconcile::health::Way;
use crate::reconcile::operation::Run;
use crate::reconcile::{rebuild, secrets};
use crate::store::{World, Write};
use futures_util::future::join_all;
use std::sync::Arc;

/// The revision that an operation starts: its own, or the kept one it names.
pub(super) fn revision_of(run: &Run, step: Step) -> Result<Arc<Revision>, Failure> {
    let number = run.operation.revision.or(run.operation.target.revision);
    let state = run.core.state();
    number
        .and_then(|n| state.world.revisions.get(&(run.service.id.clone(), n)))
        .cloned()
        .ok_or_else(|| stalled(step, Reason::Internal, "the revision to start is not kept any more"))
}

/// How many instances the new set has: as many as serve now, at least the minimum (row D2).
fn size_of_new_set(run: &Run, revision: &Revision) -> usize {
    let spec = run.operation.target.spec.as_ref().unwrap_or(&revision.spec);
    let state = run.core.state();
    let serving = serving(&state.world, &run.service).count();
    let (min, max) = (spec.scaling.min_size.max(1) as usize, spec.scaling.max_size.max(1) as usize);
    serving.clamp(min, max.max(min))
}

fn serving<'a>(world: &'a World, service: &ServiceRecord) -> impl Iterator<Item = &'a InstanceRecord> {
    let id = service.id.clone();
    world.instances.values().filter(move |i| i.service == id && i.role == InstanceRole::Serving)
}

pub(super) async fn start(run: &mut Run) -> Result<(), Failure> {
    let revision = revision_of(run, Step::Start)?;
    run.operation.revision = Some(revision.number);
    let revision = rebuild::ensure(&run.core, &run.service, &revision, &run.log, &run.token).await?;
    if run.operation.instances.is_empty() {
        let count = size_of_new_set(run, &revision);
        run.operation.instances = (0..count).map(|_| InstanceId::from_random(run.core.random())).collect();
        let records = run.operation.instances.iter().map(|id| starting(run, id, revision.number)).collect();
        // Written before anything is started: none is orphaned, none is started twice.
        run.save(records).await.ok_or_else(|| interrupted(Step::Start))?;
    }
    let count = crate::reconcile::heal::instances(run.operation.instances.len());
    let beside = if run.operation.previous.is_some() { ", beside what serves" } else { "" };
    run.say(&format!("Starting {count} of revision {}{beside}.", revision.number));
    let ids = run.operation.instances.clone();
    let started = join_all(ids.iter().map(|id| start_one(run, &revision, id))).await;
    started.into_iter().collect()
}

fn starting(run: &Run, id: &InstanceId, revision: RevisionNumber) -> Write {
    let operation = Some(run.operation.id.clone());
    let now = run.core.now();
    Write::PutInstance(InstanceRecord::starting(id.clone(), run.service.id.clone(), revision, operation, now))
}

async fn start_one(run: &Run, revision: &Revision, id: &InstanceId) -> Result<(), Failure> {
    await_healthy::start(&run.core, &run.service, revision, id)
        .await
        .map_err(|f| Failure { step: Some(Step::Start), ..f })
}

/// The specification of an instance of a revision.
pub async fn instance_spec(
    core: &Core,
    service: &ServiceRecord,
    revision: &Revision,
    id: &InstanceId,
) -> Result<InstanceSpec, Failure> {
    let env =
        secrets::environment(revision, core).await.map_err(|m| stalled(Step::Start, Reason::SecretUnresolved, m))?;
    let settings = &revision.settings;
    let (command, _) =
        settings.start_command().map_err(|e| stalled(Step::Start, Reason::ConfigurationInvalid, e.to_string()))?;
    let alone = core.state().world.instances.values().filter(|i| i.service == service.id && &i.id != id).count() == 0;
    let port_env = port_variables(settings);
    Ok(InstanceSpec {
        purpose: Purpose::Serve,
        id: id.clone(),
        service: service.id.clone(),
        name: service.name.clone(),
        revision: revision.number,
        config: revision.config_digest(),
        artifact: revision.artifact.clone(),
        // The build ran them.
        pre_run: Vec::new(),
        command,
        env,
        port: settings.port,
        sole: alone && revision.spec.scaling.max_size == 1,
        port_env,
        size: revision.spec.instance,
        input: crate::model::Input::Empty,
        log: core.logs.instance_log_path(&service.id, id),
    })
}

fn port_variables(settings: &AppSettings) -> Vec<EnvName> {
    let port: Option<EnvName> = "PORT".parse().ok();
    port.into_iter().chain(settings.port_env.clone()).collect()
}

/// A crash may have come between the record of a replacement and its start.
async fn start_missing(run: &Run, revision: &Revision, ids: &[InstanceId]) -> Result<(), Failure> {
    let missing: Vec<InstanceId> = {
        let state = run.core.state();
        let records = ids.iter().filter_map(|id| state.world.instances.get(id));
        records.filter(|i| i.address.is_none()).map(|i| i.id.clone()).collect()
    };
    let started = join_all(missing.iter().map(|id| start_one(run, revision, id))).await;
    started.into_iter().collect()
}

/// On the process engine the application listens on a port of its own, given in PORT.
fn checks_line(run: &Run, revision: &Revision, ids: &[InstanceId]) -> String {
    let configured = revision.settings.port;
    let state = run.core.state();
    let real = ids.first().and_then(|id| state.world.instances.get(id)?.address).map(|a| a.port());
    let here = real.filter(|p| *p != configured).map(|p| format!(" (PORT is {p} here)")).unwrap_or_default();
    format!("Performing health checks on port {configured}{here}.")
}

pub(super) async fn check(run: &mut Run) -> Result<(), Failure> {
    let revision = revision_of(run, Step::Check)?;
    let spec = run.operation.target.spec.clone().unwrap_or_else(|| revision.spec.clone());
    let ids = run.operation.instances.clone();
    start_missing(run, &revision, &ids).await?;
    run.say(&checks_line(run, &revision, &ids));
    if Way::to(&*run.core.engine) == Way::Proxied && spec.health.protocol == HealthProtocol::Tcp {
        run.say(
            "Containers are reached through Docker's proxy here, which accepts connections before the application does: \
             instead of a TCP connection, an HTTP answer to GET / counts, whatever its status.",
        );
    }
    let waited = await_healthy::all(&run.core, &run.service, &revision, &spec, &ids, &run.log).await;
    match waited {
        Outcome::Healthy(ids) => {
            run.operation.instances = ids;
            run.save(Vec::new()).await.ok_or_else(|| interrupted(Step::Check))?;
            run.say("The new version passed its health checks.");
            Ok(())
        }
        Outcome::Failed { failure, ids } => {
            run.operation.instances = ids;
            Err(Failure { step: Some(Step::Check), ..failure })
        }
    }
}
