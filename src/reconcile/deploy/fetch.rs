//! The fetch step: the commit, and the settings that hold for it.

use super::{failure, interrupted, spec_of, stalled};
use crate::model::{AppSettings, BuildSource, Class, Commit, Contents, Failure, Reason, ServiceSpec, Step};
use crate::reconcile::chain;
use crate::reconcile::connections;
use crate::reconcile::operation::Run;
use crate::reconcile::vetting::{self, Unjudged};
use crate::source::SourceError;
use std::time::Duration;

/// How often a source that fails in passing is asked again within one fetch step.
const FETCH_TRIES: u32 = 3;

pub(super) async fn fetch(run: &mut Run) -> Result<(), Failure> {
    let spec = spec_of(run, Step::Fetch)?;
    let commit = fetch_commit(run, &spec, Step::Fetch).await?;
    run.say(&describe(&commit));
    if let Some(by) = &commit.signed_by {
        run.say(&format!("It is signed by {by}."));
    }
    // From now on plans tell it by its summary and author too.
    run.core.poller.learned(&spec.source.repository, &commit);
    // Before its settings are judged: a commit whose `apprunner.yaml` is bad is remembered by its id and not tried again.
    run.operation.target.commit = Some(commit.id.clone());
    run.save(Vec::new()).await.ok_or_else(|| interrupted(Step::Fetch))?;
    contents(run, &spec, &commit, Step::Fetch).await?;
    settings(run, &spec, &commit, Step::Fetch).await.map(|_| ())
}

/// What the commit has in the source directory, if one is declared: it has to be there.
pub(super) async fn contents(
    run: &Run,
    spec: &ServiceSpec,
    commit: &Commit,
    step: Step,
) -> Result<Option<Contents>, Failure> {
    let Some(directory) = &spec.source.track.directory else { return Ok(None) };
    let found = run.core.git.directory(&spec.source.repository, &commit.id, directory).await;
    found.map(Some).map_err(|error| source_failure(step, &error))
}

fn describe(commit: &Commit) -> String {
    if commit.is_image() {
        return format!("The image is {}, digest sha256:{}.", commit.summary, commit.id);
    }
    let told = format!("commit {} by {}: {}", commit.id.short(), commit.author, commit.summary);
    format!("Successfully pulled your application source code: {told}")
}

/// The commit to deploy and the settings that hold for it. Asks the network only for a commit not mirrored yet.
pub(super) async fn source(run: &Run, step: Step) -> Result<(Commit, AppSettings), Failure> {
    let spec = spec_of(run, step)?;
    let commit = fetch_commit(run, &spec, step).await?;
    let settings = settings(run, &spec, &commit, step).await?;
    Ok((commit, settings))
}

async fn settings(run: &Run, spec: &ServiceSpec, commit: &Commit, step: Step) -> Result<AppSettings, Failure> {
    match &spec.build {
        BuildSource::Inline(settings) => Ok((**settings).clone()),
        BuildSource::Repository => settings_in(run, spec, commit, step).await,
    }
}

async fn fetch_commit(run: &Run, spec: &ServiceSpec, step: Step) -> Result<Commit, Failure> {
    let source = &spec.source;
    let wanted = run.operation.target.commit.as_ref();
    // What this operation is to read may be new, and no pass has been since.
    connections::refresh(&run.core).await;
    if let Some(why) = connections::must_not_read(&run.core, spec) {
        return Err(stalled(step, Reason::SourceFailed, why));
    }
    let mut tries = 0;
    loop {
        tries += 1;
        let error = match run.core.git.fetch(&source.repository, &source.track.reference, wanted).await {
            Ok(commit) => return vetted(run, spec, commit, step).await,
            Err(error) => error,
        };
        if error.class() != Class::Retry || tries >= FETCH_TRIES {
            return Err(source_failure(step, &error));
        }
        run.say(&format!("{}; trying again.", chain(&error)));
        tokio::time::sleep(Duration::from_millis(1000 * u64::from(tries)).mul_f64(0.5 + fastrand::f64())).await;
    }
}

/// The commit, if all that the declaration asks of it holds. One that runs already is not asked again.
async fn vetted(run: &Run, spec: &ServiceSpec, commit: Commit, step: Step) -> Result<Commit, Failure> {
    let Some(verify) = &spec.source.verify else { return Ok(commit) };
    let running = running(run, spec);
    if let Some(running) = running.as_ref().filter(|running| running.id == commit.id) {
        return Ok(Commit { signed_by: running.signed_by.clone(), ..commit });
    }
    let after = running.filter(|_| verify.fast_forward_only).map(|running| running.id);
    match vetting::vet(&run.core, &spec.source.repository, &commit.id, verify, after.as_ref()).await {
        Ok(signed_by) => Ok(Commit { signed_by, ..commit }),
        Err(Unjudged::Failed(error)) => Err(source_failure(step, &error)),
        Err(Unjudged::Refused(why)) => {
            // Remembered by its id: it stays as it is, and is not tried again.
            let message = format!("Commit {} is not deployed: it {why}.", commit.id.short());
            Err(stalled(step, Reason::CommitRefused, message))
        }
    }
}

/// The commit of the same source that serves.
fn running(run: &Run, spec: &ServiceSpec) -> Option<Commit> {
    let state = run.core.state();
    let record = state.world.services.get(&run.service.id)?;
    let revision = state.world.revisions.get(&(record.id.clone(), record.current?))?;
    let source = &revision.spec.source;
    let same = source.repository == spec.source.repository && source.track == spec.source.track;
    same.then(|| revision.commit.clone())
}

pub(in crate::reconcile) fn source_failure(step: Step, error: &SourceError) -> Failure {
    let message = match error.hint() {
        Some(hint) => format!("{} ({hint})", chain(error)),
        None => chain(error),
    };
    failure(step, Reason::SourceFailed, error.class(), message)
}

/// Reads `apprunner.yaml` of the commit. Every problem goes to the log, one line each, as row S7 has it.
async fn settings_in(run: &Run, spec: &ServiceSpec, commit: &Commit, step: Step) -> Result<AppSettings, Failure> {
    const FILE: &str = "apprunner.yaml";
    let (repository, directory) = (&spec.source.repository, spec.source.track.directory.as_ref());
    let path = directory.map_or_else(|| FILE.to_owned(), |directory| directory.join(FILE));
    let bytes = run.core.git.read_file(repository, &commit.id, &path).await.map_err(|e| source_failure(step, &e))?;
    let Some(bytes) = bytes else {
        let names = run.core.git.list(repository, &commit.id, directory).await.unwrap_or_default();
        let other = names.iter().any(|n| n == "apprunner.yml");
        let hint = if other { " There is an `apprunner.yml`; only `apprunner.yaml` is read: rename it." } else { "" };
        let place = directory.map(|directory| format!(" in `{directory}`")).unwrap_or_default();
        let message = format!("App Runner configuration file apprunner.yaml not found{place}.{hint}");
        return Err(stalled(step, Reason::ConfigurationInvalid, message));
    };
    let Ok(text) = String::from_utf8(bytes) else {
        return Err(stalled(step, Reason::ConfigurationInvalid, "apprunner.yaml is not UTF-8 text"));
    };
    let parsed = crate::desired::parse_apprunner(&path, &text, &run.core.config.catalogue);
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
