//! The steps of operations: fetch, build, start, check, shift, drain, retire, clean. Each is safe to execute again.

use super::await_healthy::{self, Outcome};
use super::operation::{Run, hold};
use super::secrets;
use crate::build::BuildJob;
use crate::model::record::Pause;
use crate::model::{
    AppSettings, BuildSource, Cause, Class, Commit, Digest, EnvName, Failure, Held, HeldReason, InstanceId,
    InstanceRecord, InstanceRole, InstanceSpec, Operation, OperationKind, OperationStatus, Reason, Revision,
    RevisionNumber, ServiceRecord, ServiceSpec, StartCommand, Step, Timestamp,
};
use crate::source::SourceError;
use crate::store::{World, Write};
use futures_util::future::join_all;
use std::time::Duration;

/// How long an instance may take to end after SIGTERM (architecture: acknowledged switching).
pub const GRACE: Duration = Duration::from_secs(10);
/// How often a source that fails in passing is asked again within one fetch step.
const FETCH_TRIES: u32 = 3;

/// Executes one step of an operation.
pub async fn execute(run: &mut Run, step: Step) -> Result<(), Failure> {
    match step {
        Step::Fetch => fetch(run).await,
        Step::Build => build(run).await,
        Step::Start => start(run).await,
        Step::Check => check(run).await,
        Step::Shift => shift(run).await,
        Step::Drain => drain(run).await,
        Step::Retire => retire(run).await,
        Step::Clean => clean(run).await,
    }
}

fn failure(step: Step, reason: Reason, class: Class, message: impl Into<String>) -> Failure {
    Failure { reason, class, message: message.into(), step: Some(step) }
}

fn stalled(step: Step, reason: Reason, message: impl Into<String>) -> Failure {
    failure(step, reason, Class::Stalled, message)
}

/// The store did not take a write and the control plane stops: the step is executed again after the next start.
fn interrupted(step: Step) -> Failure {
    failure(step, Reason::Internal, Class::Retry, "the control plane stops")
}

fn spec_of(run: &Run, step: Step) -> Result<ServiceSpec, Failure> {
    run.operation
        .target
        .spec
        .clone()
        .ok_or_else(|| stalled(step, Reason::Internal, "the operation has no declared configuration"))
}

async fn fetch(run: &mut Run) -> Result<(), Failure> {
    let (commit, _) = source(run, Step::Fetch).await?;
    run.say(&format!("Successfully pulled your application source code: {}", describe(&commit)));
    run.operation.target.commit = Some(commit.id);
    run.save(Vec::new()).await.ok_or_else(|| interrupted(Step::Fetch))
}

fn describe(commit: &Commit) -> String {
    format!("commit {} by {}: {}", commit.id.short(), commit.author, commit.summary)
}

/// The commit to deploy and the settings that hold for it. Asks the network only for a commit not mirrored yet.
async fn source(run: &Run, step: Step) -> Result<(Commit, AppSettings), Failure> {
    let spec = spec_of(run, step)?;
    let commit = fetch_commit(run, &spec, step).await?;
    let settings = match &spec.build {
        BuildSource::Inline(settings) => (**settings).clone(),
        BuildSource::Repository => settings_in(run, &spec, &commit, step).await?,
    };
    Ok((commit, settings))
}

async fn fetch_commit(run: &Run, spec: &ServiceSpec, step: Step) -> Result<Commit, Failure> {
    let source = &spec.source;
    let wanted = run.operation.target.commit.as_ref();
    let mut tries = 0;
    loop {
        tries += 1;
        let error = match run.core.git.fetch(&source.repository, source.branch.as_ref(), wanted).await {
            Ok(commit) => return Ok(commit),
            Err(error) => error,
        };
        if error.class() != Class::Retry || tries >= FETCH_TRIES {
            return Err(source_failure(step, &error));
        }
        run.say(&format!("{}; trying again.", super::chain(&error)));
        tokio::time::sleep(Duration::from_millis(1000 * u64::from(tries)).mul_f64(0.5 + fastrand::f64())).await;
    }
}

fn source_failure(step: Step, error: &SourceError) -> Failure {
    let mut message = super::chain(error);
    if let SourceError::NoBranch { known, .. } = error
        && !known.is_empty()
    {
        message.push_str(&format!(" (it has: {})", known.join(", ")));
    }
    failure(step, Reason::SourceFailed, error.class(), message)
}

/// Reads `apprunner.yaml` of the commit. Every problem goes to the log, one line each, as row S7 has it.
async fn settings_in(run: &Run, spec: &ServiceSpec, commit: &Commit, step: Step) -> Result<AppSettings, Failure> {
    const FILE: &str = "apprunner.yaml";
    let repository = &spec.source.repository;
    let bytes = run.core.git.read_file(repository, &commit.id, FILE).await.map_err(|e| source_failure(step, &e))?;
    let Some(bytes) = bytes else {
        let names = run.core.git.list_root(repository, &commit.id).await.unwrap_or_default();
        let other = names.iter().any(|n| n == "apprunner.yml");
        let hint = if other { " There is an `apprunner.yml`; only `apprunner.yaml` is read: rename it." } else { "" };
        let message = format!("App Runner configuration file apprunner.yaml not found.{hint}");
        return Err(stalled(step, Reason::ConfigurationInvalid, message));
    };
    let Ok(text) = String::from_utf8(bytes) else {
        return Err(stalled(step, Reason::ConfigurationInvalid, "apprunner.yaml is not UTF-8 text"));
    };
    let parsed = crate::desired::parse_apprunner(FILE, &text, &run.core.config.catalogue);
    for problem in &parsed.problems {
        run.say(&problem.one_line());
    }
    let errors: Vec<String> = parsed
        .problems
        .iter()
        .filter(|p| p.severity == crate::model::Severity::Error)
        .map(crate::model::Problem::one_line)
        .collect();
    parsed.value.ok_or_else(|| stalled(step, Reason::ConfigurationInvalid, errors.join("\n")))
}

async fn build(run: &mut Run) -> Result<(), Failure> {
    if run.operation.revision.is_some() {
        return Ok(());
    }
    let (commit, settings) = source(run, Step::Build).await?;
    let builder = run.core.builder.clone();
    let id = builder.identify(&commit, &settings).await.map_err(|e| build_failure(&e))?;
    let artifact = match builder.find(&id).await.map_err(|e| build_failure(&e))? {
        Some(artifact) => {
            run.say(&format!("Nothing to build: build {} has the same inputs.", id.short()));
            artifact
        }
        None => make(run, &commit, &settings, &id).await?,
    };
    keep_revision(run, commit, settings, id, artifact).await
}

async fn make(
    run: &Run,
    commit: &Commit,
    settings: &AppSettings,
    id: &Digest,
) -> Result<crate::model::Artifact, Failure> {
    let core = run.core.clone();
    if core.builds.available_permits() == 0 {
        run.say("Waiting for other builds to end.");
    }
    let permit = tokio::select! {
        permit = core.builds.acquire() => permit,
        () = run.token.cancelled() => return Err(run.stopped(Step::Build)),
    };
    let _permit = permit.map_err(|_| interrupted(Step::Build))?;
    let spec = spec_of(run, Step::Build)?;
    let tree = core.config.trees.join(run.operation.id.as_str());
    remove_tree(&tree).await?;
    core.git.export(&spec.source.repository, &commit.id, &tree).await.map_err(|e| source_failure(Step::Build, &e))?;
    let job = BuildJob {
        id: id.clone(),
        name: run.service.name.clone(),
        commit: commit.clone(),
        tree: tree.clone(),
        settings: settings.clone(),
        size: spec.instance,
        deadline: spec.deploy.build_deadline,
    };
    run.say("Starting source code build.");
    let result = core.builder.build(job, &run.log, run.token.clone()).await;
    remove_tree(&tree).await?;
    match result {
        Ok(artifact) => {
            run.say("Successfully built your application source code.");
            Ok(artifact)
        }
        Err(crate::build::BuildError::Cancelled) => Err(run.stopped(Step::Build)),
        Err(error) => Err(build_failure(&error)),
    }
}

async fn remove_tree(tree: &std::path::Path) -> Result<(), Failure> {
    match tokio::fs::remove_dir_all(tree).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            let message = format!("failed to remove {}: {error}", tree.display());
            Err(failure(Step::Build, Reason::Internal, Class::Retry, message))
        }
        _ => Ok(()),
    }
}

fn build_failure(error: &crate::build::BuildError) -> Failure {
    let mut message = super::chain(error);
    if let crate::build::BuildError::Command { command, ended, .. } = error {
        message = format!("{message} `{command}` {ended}.");
    }
    failure(Step::Build, Reason::BuildFailed, error.class(), message)
}

/// Writes the new revision and that the operation runs it, in one transaction.
async fn keep_revision(
    run: &mut Run,
    commit: Commit,
    settings: AppSettings,
    build: Digest,
    artifact: crate::model::Artifact,
) -> Result<(), Failure> {
    let spec = spec_of(run, Step::Build)?;
    let (id, now) = (run.service.id.clone(), run.core.now());
    let current = run.core.state().world.services.get(&id).cloned();
    let Some(mut record) = current else {
        return Err(stalled(Step::Build, Reason::Internal, "the service is gone"));
    };
    let number = RevisionNumber(record.next_revision);
    let revision = Revision { number, commit, spec, settings, build, artifact, created_at: now };
    run.operation.revision = Some(number);
    record.next_revision += 1;
    run.save_with(move |world| {
        let mut record = world.services.get(&id).cloned().unwrap_or_else(|| record.clone());
        record.next_revision = record.next_revision.max(number.0 + 1);
        record.updated_at = now;
        let revision = Box::new(revision.clone());
        vec![Write::PutRevision(id.clone(), revision), Write::PutService(Box::new(record))]
    })
    .await
    .ok_or_else(|| interrupted(Step::Build))
}

/// The revision that an operation starts: its own, or the kept one it names.
fn revision_of(run: &Run, step: Step) -> Result<Revision, Failure> {
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

async fn start(run: &mut Run) -> Result<(), Failure> {
    let revision = revision_of(run, Step::Start)?;
    run.operation.revision = Some(revision.number);
    if run.operation.instances.is_empty() {
        let count = size_of_new_set(run, &revision);
        run.operation.instances = (0..count).map(|_| InstanceId::from_random(run.core.random())).collect();
        let records = run.operation.instances.iter().map(|id| starting(run, id, revision.number)).collect();
        // Written before anything is started: none is orphaned, none is started twice.
        run.save(records).await.ok_or_else(|| interrupted(Step::Start))?;
    }
    run.say("Deploying the new version beside the old one.");
    let ids = run.operation.instances.clone();
    let started = join_all(ids.iter().map(|id| start_one(run, &revision, id))).await;
    started.into_iter().collect()
}

fn starting(run: &Run, id: &InstanceId, revision: RevisionNumber) -> Write {
    Write::PutInstance(InstanceRecord {
        id: id.clone(),
        service: run.service.id.clone(),
        revision,
        operation: Some(run.operation.id.clone()),
        role: InstanceRole::Starting,
        address: None,
        created_at: run.core.now(),
    })
}

async fn start_one(run: &Run, revision: &Revision, id: &InstanceId) -> Result<(), Failure> {
    await_healthy::start(&run.core, &run.service, revision, id)
        .await
        .map_err(|f| Failure { step: Some(Step::Start), ..f })
}

/// The specification of an instance of a revision.
pub async fn instance_spec(
    core: &super::core::Core,
    service: &ServiceRecord,
    revision: &Revision,
    id: &InstanceId,
) -> Result<InstanceSpec, Failure> {
    let env = secrets::environment(revision, &core.config)
        .await
        .map_err(|m| stalled(Step::Start, Reason::SecretUnresolved, m))?;
    let settings = &revision.settings;
    let (command, _) = StartCommand::parse(&settings.start)
        .map_err(|e| stalled(Step::Start, Reason::ConfigurationInvalid, e.to_string()))?;
    let alone = core.state().world.instances.values().filter(|i| i.service == service.id && &i.id != id).count() == 0;
    let port_env = port_variables(settings);
    Ok(InstanceSpec {
        id: id.clone(),
        service: service.id.clone(),
        name: service.name.clone(),
        revision: revision.number,
        config: revision.config_digest(),
        artifact: revision.artifact.clone(),
        pre_run: settings.pre_run.clone(),
        command,
        env,
        port: settings.port,
        sole: alone && revision.spec.scaling.max_size == 1,
        port_env,
        size: revision.spec.instance,
        log: core.logs.instance_log_path(&service.id, id),
    })
}

fn port_variables(settings: &AppSettings) -> Vec<EnvName> {
    let port: Option<EnvName> = "PORT".parse().ok();
    port.into_iter().chain(settings.port_env.clone()).collect()
}

async fn check(run: &mut Run) -> Result<(), Failure> {
    let revision = revision_of(run, Step::Check)?;
    let spec = run.operation.target.spec.clone().unwrap_or_else(|| revision.spec.clone());
    run.say(&format!("Performing health checks on port {}.", revision.settings.port));
    let ids = run.operation.instances.clone();
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

async fn shift(run: &mut Run) -> Result<(), Failure> {
    let (operation, now) = (run.operation.clone(), run.core.now());
    let head = head_of(run);
    run.save_with(move |world| shifted(world, &operation, head.as_ref(), now))
        .await
        .ok_or_else(|| interrupted(Step::Shift))?;
    let generation = run.core.publish(&run.service.id);
    let deadline = Duration::from_secs(25);
    run.core.ingress.acknowledged(generation, deadline).await.map_err(|e| {
        let message = format!("the ingress did not take the new routing: {}", super::chain(&e));
        failure(Step::Shift, Reason::ShiftFailed, Class::Retry, message)
    })
}

/// The newest commit that polling knows of the service's branch.
fn head_of(run: &Run) -> Option<crate::model::CommitId> {
    let record = run.core.state().world.services.get(&run.service.id).cloned()?;
    let source = record.applied?.source;
    run.core.poller.heads().into_iter().find(|h| h.repository == source.repository && h.branch == source.branch)?.commit
}

/// The writes by which traffic moves: executed once or twice, they give the same.
fn shifted(world: &World, operation: &Operation, head: Option<&crate::model::CommitId>, now: Timestamp) -> Vec<Write> {
    let Some(mut record) = world.services.get(&operation.service).cloned() else { return Vec::new() };
    record.updated_at = now;
    match operation.kind {
        OperationKind::PauseService => pause_record(&mut record, operation, now),
        OperationKind::DeleteService => {}
        _ => adopt(world, &mut record, operation, head, now),
    }
    let mut writes = roles_after_shift(world, operation);
    writes.push(Write::PutService(Box::new(record)));
    writes
}

fn pause_record(record: &mut ServiceRecord, operation: &Operation, now: Timestamp) {
    let (principal, reason) = match &operation.cause {
        Cause::Manual { principal, reason } => (principal.clone(), reason.clone()),
        _ => ("towpath".to_owned(), None),
    };
    record.paused.get_or_insert(Pause { principal, reason, at: now });
}

/// The service after traffic moved to the operation's revision.
fn adopt(
    world: &World,
    record: &mut ServiceRecord,
    operation: &Operation,
    head: Option<&crate::model::CommitId>,
    now: Timestamp,
) {
    let number = operation.revision.or(record.current);
    let revision = number.and_then(|n| world.revisions.get(&(record.id.clone(), n)));
    if let Some(spec) = operation.target.spec.clone().or_else(|| revision.map(|r| r.spec.clone())) {
        record.applied = Some(spec);
    }
    record.current = number;
    record.create_failed = None;
    record.paused = None;
    let Some(revision) = revision else { return };
    if operation.kind == OperationKind::ResumeService
        && let Some(head) = head.filter(|h| **h != revision.commit.id)
    {
        // What arrived during the pause is not deployed by the resume (row D5).
        let message = "arrived while the service was paused".into();
        hold(record, Held { commit: head.clone(), spec: None, why: HeldReason::Paused, message, at: now });
    }
    if let Cause::Rollback { from, .. } = &operation.cause {
        hold_rolled_back(world, record, revision, *from, now);
    }
    record.held.retain(|h| h.commit != revision.commit.id || h.spec.is_some());
}

/// After a rollback neither the commits rolled back from nor the configuration that came with them return by themselves.
fn hold_rolled_back(world: &World, record: &mut ServiceRecord, to: &Revision, from: RevisionNumber, now: Timestamp) {
    let id = record.id.clone();
    let later = world.revisions.range((id.clone(), RevisionNumber(to.number.0 + 1))..=(id, from));
    for (_, revision) in later {
        let message = format!("rolled back from revision {} to revision {}", from, to.number);
        let held = |commit, spec| Held { commit, spec, why: HeldReason::RolledBack, message: message.clone(), at: now };
        if revision.commit.id != to.commit.id {
            hold(record, held(revision.commit.id.clone(), None));
        }
        if revision.spec != to.spec {
            hold(record, held(to.commit.id.clone(), Some(Digest::of(&revision.spec))));
        }
    }
}

/// New instances serve, old ones retire. A change in place touches none.
fn roles_after_shift(world: &World, operation: &Operation) -> Vec<Write> {
    if operation.target.in_place {
        return Vec::new();
    }
    let of_service = world.instances.values().filter(|i| i.service == operation.service);
    of_service
        .filter_map(|i| {
            let new = operation.instances.contains(&i.id);
            let role = if new { InstanceRole::Serving } else { InstanceRole::Retiring };
            (i.role != role).then(|| Write::PutInstance(InstanceRecord { role, ..i.clone() }))
        })
        .collect()
}

/// Undoes a shift that the ingress did not take. `Some(false)` when going back was not acknowledged either.
pub async fn put_back(run: &mut Run) -> Option<bool> {
    let (operation, now) = (run.operation.clone(), run.core.now());
    run.save_with(move |world| unshifted(world, &operation, now)).await?;
    let generation = run.core.publish(&run.service.id);
    Some(run.core.ingress.acknowledged(generation, Duration::from_secs(25)).await.is_ok())
}

fn unshifted(world: &World, operation: &Operation, now: Timestamp) -> Vec<Write> {
    let Some(mut record) = world.services.get(&operation.service).cloned() else { return Vec::new() };
    record.updated_at = now;
    record.current = operation.previous;
    record.paused = if operation.kind == OperationKind::PauseService { None } else { record.paused };
    let previous = operation.previous.and_then(|n| world.revisions.get(&(record.id.clone(), n)));
    record.applied = previous.map(|r| r.spec.clone());
    let mut writes = vec![Write::PutService(Box::new(record))];
    for instance in world.instances.values().filter(|i| i.service == operation.service) {
        let role = match (operation.instances.contains(&instance.id), Some(instance.revision) == operation.previous) {
            (true, _) => InstanceRole::Starting,
            (false, true) => InstanceRole::Serving,
            (false, false) => instance.role,
        };
        writes.push(Write::PutInstance(InstanceRecord { role, ..instance.clone() }));
    }
    writes
}

fn retiring(run: &Run) -> Vec<InstanceRecord> {
    let state = run.core.state();
    let of_service = state.world.instances.values().filter(|i| i.service == run.service.id);
    of_service.filter(|i| i.role == InstanceRole::Retiring).cloned().collect()
}

async fn drain(run: &mut Run) -> Result<(), Failure> {
    let ids: Vec<InstanceId> = retiring(run).into_iter().map(|i| i.id).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let longest = drain_time(run);
    let drained = run.core.ingress.drained(&ids, longest).await;
    if let crate::link::handle::Drained::Deadline { in_flight } = drained {
        let count = in_flight.map_or("Some".into(), |n| n.to_string());
        run.say(&format!("{count} requests still ran after {} s and are cut off.", longest.as_secs()));
    }
    Ok(())
}

fn drain_time(run: &Run) -> Duration {
    let applied = run.core.state().world.services.get(&run.service.id).and_then(|r| r.applied.clone());
    applied.map_or(Duration::from_secs(30), |s| s.deploy.drain)
}

async fn retire(run: &mut Run) -> Result<(), Failure> {
    let ids: Vec<InstanceId> = retiring(run).into_iter().map(|i| i.id).collect();
    let results = join_all(ids.iter().map(|id| await_healthy::retire(&run.core, id))).await;
    results.into_iter().collect::<Result<(), Failure>>().map_err(|f| Failure { step: Some(Step::Retire), ..f })
}

async fn clean(run: &mut Run) -> Result<(), Failure> {
    let (id, now) = (run.service.id.clone(), run.core.now());
    run.save_with(move |world| {
        let Some(mut record) = world.services.get(&id).cloned() else { return Vec::new() };
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
    super::collect::collect(&run.core).await;
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
    move |world| {
        let mut writes = super::collect::excess_revisions(world, &service);
        let ours = world.instances.values().filter(|i| i.operation.as_ref() == Some(&operation));
        writes.extend(ours.map(|i| Write::PutInstance(InstanceRecord { operation: None, ..i.clone() })));
        writes
    }
}

/// The words of an operation's events and log lines (row O3).
pub struct Words {
    event: &'static str,
    what: &'static str,
    suffix: &'static str,
    /// The first line of its log.
    pub first_line: &'static str,
    /// The last line of its log when it succeeded.
    pub done_line: &'static str,
    /// The last line of its log when it failed.
    pub failed_line: &'static str,
}

/// The words of an operation.
pub fn words(operation: &Operation) -> Words {
    const LOGS: &str = " For details, see service logs.";
    let deploys = |event, what, suffix| Words {
        event,
        what,
        suffix,
        first_line: "Service deployment started.",
        done_line: "Service deployment completed successfully.",
        failed_line: "Service deployment failed. What served before goes on.",
    };
    let acts = |event, what, first_line, done_line, failed_line| Words {
        event,
        what,
        suffix: "",
        first_line,
        done_line,
        failed_line,
    };
    match operation.kind {
        OperationKind::CreateService => {
            Words { failed_line: "Service creation failed.", ..deploys("CreateService", "Service creation", LOGS) }
        }
        OperationKind::UpdateService => deploys("UpdateService", "Service update", LOGS),
        OperationKind::StartDeployment => deploys("Deployment", "Deployment", LOGS),
        OperationKind::PauseService => acts(
            "PauseService",
            "Service pause",
            "Pausing the service.",
            "The service is paused.",
            "The service could not be paused.",
        ),
        OperationKind::ResumeService => acts(
            "ResumeService",
            "Service resume",
            "Resuming the service.",
            "The service runs again.",
            "The service could not be resumed.",
        ),
        OperationKind::DeleteService => acts(
            "DeleteService",
            "Service deletion",
            "Deleting the service.",
            "The service is deleted.",
            "The service could not be deleted.",
        ),
    }
}

impl Words {
    /// The event of its begin.
    pub fn started(&self) -> (String, String) {
        (self.kind("Started"), format!("{} started.", self.what))
    }

    /// The event of its success.
    pub fn succeeded(&self, operation: &Operation) -> (String, String) {
        let what_is_new = match (operation.kind, operation.target.in_place) {
            (OperationKind::UpdateService, true) => " New configuration is deployed.",
            (OperationKind::UpdateService, false) => " New application and configuration is deployed.",
            _ => "",
        };
        (self.kind("CompletedSuccessfully"), format!("{} completed successfully.{what_is_new}", self.what))
    }

    /// The event of its failure, with the reason that AWS leaves to the logs.
    pub fn failed(&self, operation: &Operation) -> (String, String) {
        let reason = operation.failure.as_ref().map(|f| format!(" Reason: {}", f.message)).unwrap_or_default();
        let rolled_back = match operation.status {
            OperationStatus::RollbackSucceeded => " Traffic went back to what served before.",
            OperationStatus::RollbackFailed => " Going back failed as well.",
            _ => "",
        };
        (self.kind("Failed"), format!("{} failed.{}{rolled_back}{reason}", self.what, self.suffix))
    }

    fn kind(&self, end: &str) -> String {
        format!("{}{end}", self.event)
    }
}
