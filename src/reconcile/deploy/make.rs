//! The build step: the artifact, made or found, and the revision that it makes.

use super::fetch::{contents, source, source_failure};
use super::{failure, interrupted, node, spec_of, stalled};
use crate::build::{BuildError, BuildJob, recipe};
use crate::model::{
    AppSettings, Artifact, Class, Commit, Digest, Failure, LineSink, LineSource, Reason, Revision, RevisionNumber,
    ServiceName, ServiceSpec, Step,
};
use crate::reconcile::advice::{LINES_READ, quote};
use crate::reconcile::core::Core;
use crate::reconcile::operation::Run;
use crate::reconcile::{chain, collect};
use crate::source::git::{Names, NotFetched};
use crate::store::Write;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long a builder may take beyond its deadline to end its commands.
const CLEANING_UP: Duration = Duration::from_secs(60);

pub(super) async fn build(run: &mut Run) -> Result<(), Failure> {
    if run.operation.revision.is_some() {
        return Ok(());
    }
    let (commit, settings) = source(run, Step::Build).await?;
    let spec = spec_of(run, Step::Build)?;
    let runtime_version = node::lock(&run.core, &run.log, (&spec, &commit), &settings).await?;
    let built = AppSettings { runtime_version, ..settings.clone() };
    let core = run.core.clone();
    let builder = core.builder.clone();
    // What is found or made from here on must not be collected before a revision names it.
    let _named_soon = core.artifacts.read().await;
    let directory = spec_of(run, Step::Build)?.source.track.directory;
    let id = builder.identify(&commit, &built).await.map_err(|e| build_failure(&e))?;
    let id = recipe::in_directory(id, directory.as_ref());
    let artifact = match builder.find(&id).await.map_err(|e| build_failure(&e))? {
        Some(artifact) => {
            run.say(&format!("Nothing to build: build {} has the same inputs.", id.short()));
            artifact
        }
        None => make(run, &commit, &built, &id).await?,
    };
    keep_revision(run, commit, settings, id, artifact).await
}

async fn make(run: &Run, commit: &Commit, settings: &AppSettings, id: &Digest) -> Result<Artifact, Failure> {
    let spec = spec_of(run, Step::Build)?;
    let (core, work) = (&run.core, run.operation.id.as_str());
    let making = Making { core, service: &run.service.name, work, log: &run.log, token: &run.token };
    making.make(&spec, commit, settings, id).await.map_err(|unmade| match unmade {
        Unmade::Stopped => run.stopped(Step::Build),
        Unmade::Interrupted => interrupted(Step::Build),
        Unmade::Failed(failure) => failure,
    })
}

/// Who has something built.
pub(in crate::reconcile) struct Making<'a> {
    pub core: &'a Core,
    pub service: &'a ServiceName,
    /// Names the directory of its files.
    pub work: &'a str,
    pub log: &'a dyn LineSink,
    pub token: &'a CancellationToken,
}

/// Characters of a line that are quoted.
const LONGEST_QUOTED: usize = 200;

/// Why nothing was built.
pub(in crate::reconcile) enum Unmade {
    /// By somebody's wish.
    Stopped,
    /// The control plane ends.
    Interrupted,
    Failed(Failure),
}

impl From<Failure> for Unmade {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Making<'_> {
    fn say(&self, text: &str) {
        self.log.line(LineSource::AppRunner, text);
    }

    /// Builds, when there is room and it is its turn.
    pub async fn make(
        &self,
        spec: &ServiceSpec,
        commit: &Commit,
        settings: &AppSettings,
        id: &Digest,
    ) -> Result<Artifact, Unmade> {
        let core = self.core;
        if let Some(message) = collect::no_room_to_build(core) {
            return Err(failure(Step::Build, Reason::BuildFailed, Class::Retry, message).into());
        }
        if core.builds.available_permits() == 0 {
            self.say("Waiting for other builds to end.");
        }
        let permit = tokio::select! {
            permit = core.builds.acquire() => permit,
            () = self.token.cancelled() => return Err(Unmade::Stopped),
        };
        let _permit = permit.map_err(|_| Unmade::Interrupted)?;
        let tree = core.config.trees.join(self.work);
        remove_tree(&tree).await?;
        let exported = core.git.export(&spec.source.repository, &commit.id, &tree).await;
        notices(&exported.map_err(|e| source_failure(Step::Build, &e))?).iter().for_each(|notice| self.say(notice));
        let login = crate::reconcile::secrets::login(&spec.source, core).await;
        let login = login.map_err(|why| stalled(Step::Build, Reason::SecretUnresolved, why))?;
        let job = BuildJob {
            login,
            id: id.clone(),
            name: self.service.clone(),
            commit: commit.clone(),
            tree: tree.clone(),
            directory: spec.source.track.directory.clone(),
            settings: settings.clone(),
            size: spec.instance,
            deadline: spec.deploy.build_deadline,
        };
        let [begin, end] = lines(commit);
        self.say(begin);
        // The builder keeps the deadline itself; the margin lets it clean up after itself.
        let limit = spec.deploy.build_deadline + CLEANING_UP;
        let log = Remembering { to: self.log, printed: Mutex::default() };
        let building = core.builder.build(job, &log, self.token.clone());
        let result = tokio::time::timeout(limit, building)
            .await
            .unwrap_or_else(|_| Err(BuildError::Limit(format!("the build did not end within {} s", limit.as_secs()))));
        remove_tree(&tree).await?;
        match result {
            Ok(artifact) => {
                self.say(end);
                Ok(artifact)
            }
            Err(BuildError::Cancelled) => Err(Unmade::Stopped),
            Err(error) => Err(log.quoted_by(&error, build_failure(&error)).into()),
        }
    }
}

/// A log that remembers what the command that runs has printed last.
struct Remembering<'a> {
    to: &'a dyn LineSink,
    printed: Mutex<Printed>,
}

#[derive(Default)]
struct Printed(VecDeque<String>);

impl Printed {
    fn note(&mut self, source: LineSource, text: &str) {
        // The lines by which builders name a command that begins: Docker's, and the process engine's.
        let begins = match source {
            LineSource::Build => text.starts_with("Step "),
            _ => text.starts_with("Running "),
        };
        if begins {
            self.0.clear();
        } else if source == LineSource::Build {
            self.0.push_back(text.chars().take(LONGEST_QUOTED).collect());
        }
        if self.0.len() > LINES_READ {
            self.0.pop_front();
        }
    }
}

impl LineSink for Remembering<'_> {
    fn line(&self, source: LineSource, text: &str) {
        self.printed.lock().unwrap_or_else(PoisonError::into_inner).note(source, text);
        self.to.line(source, text);
    }
}

impl Remembering<'_> {
    /// The failure of a command with what it printed last, unless its builder has said that.
    fn quoted_by(&self, error: &BuildError, failure: Failure) -> Failure {
        let last = std::mem::take(&mut self.printed.lock().unwrap_or_else(PoisonError::into_inner).0);
        if !matches!(error, BuildError::Command { .. }) || last.is_empty() || failure.message.contains('\n') {
            return failure;
        }
        let quoted = quote(&Vec::from(last));
        Failure { message: failure.message + &quoted, ..failure }
    }
}

/// What is said before and after the work: an image is only brought.
fn lines(commit: &Commit) -> [&'static str; 2] {
    if commit.is_image() {
        ["Pulling the image.", "Successfully pulled the image."]
    } else {
        ["Starting source code build.", "Successfully built your application source code."]
    }
}

/// What a person should know who wonders why files are missing.
fn notices(not_fetched: &NotFetched) -> Vec<String> {
    let listed = |names: &Names| {
        let more = if names.count > names.first.len() as u64 { ", …" } else { "" };
        format!("{}{more}", names.first.join(", "))
    };
    let NotFetched { submodules, lfs_pointers } = not_fetched;
    let mut notices = Vec::new();
    if submodules.count > 0 {
        let (count, names) = (submodules.count, listed(submodules));
        notices.push(format!("Submodules are not fetched; {count} stay empty directories: {names}"));
    }
    if lfs_pointers.count > 0 {
        let (count, names) = (lfs_pointers.count, listed(lfs_pointers));
        notices.push(format!("Files of Git LFS are not fetched; {count} stay pointers to them: {names}"));
    }
    notices
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

pub(in crate::reconcile) fn build_failure(error: &BuildError) -> Failure {
    let mut message = chain(error);
    if let BuildError::Command { command, ended, .. } = error {
        // What ends with the command's last lines needs no full stop.
        let stop = if ended.ends_with('\n') { "" } else { "." };
        message = format!("{message} `{command}` {}{stop}", ended.trim_end());
    }
    failure(Step::Build, Reason::BuildFailed, error.class(), message)
}

/// Writes the new revision and that the operation runs it, in one transaction.
async fn keep_revision(
    run: &mut Run,
    commit: Commit,
    settings: AppSettings,
    build: Digest,
    artifact: Artifact,
) -> Result<(), Failure> {
    let spec = spec_of(run, Step::Build)?;
    let contents = contents(run, &spec, &commit, Step::Build).await?;
    let (id, now) = (run.service.id.clone(), run.core.now());
    let current = run.core.state().world.draft(&id);
    let Some(mut record) = current else {
        return Err(stalled(Step::Build, Reason::Internal, "the service is gone"));
    };
    let number = RevisionNumber(record.next_revision);
    let revision = Revision { number, commit, contents, spec, settings, build, artifact, created_at: now };
    run.operation.revision = Some(number);
    record.next_revision += 1;
    run.save_with(move |world| {
        let mut record = world.draft(&id).unwrap_or_else(|| record.clone());
        record.next_revision = record.next_revision.max(number.0 + 1);
        record.updated_at = now;
        let revision = Box::new(revision.clone());
        vec![Write::PutRevision(id.clone(), revision), Write::PutService(Box::new(record))]
    })
    .await
    .ok_or_else(|| interrupted(Step::Build))
}
