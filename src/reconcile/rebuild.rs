//! Builds that somebody removed by hand, made again before instances are started from them.

use super::core::Core;
use super::deploy::{Making, Unmade, build_failure, interrupted, node_lock, source_failure};
use crate::model::{
    AppSettings, Artifact, EventSeverity, Failure, LineSink, LineSource, Revision, ServiceRecord, Step,
};
use crate::store::Write;
use tokio_util::sync::CancellationToken;

/// Makes sure that the build of a revision is there; the revision names where it is.
///
/// # Errors
/// What the builder says, or why it cannot be made again.
pub async fn ensure(
    core: &Core,
    service: &ServiceRecord,
    revision: &Revision,
    log: &dyn LineSink,
    token: &CancellationToken,
) -> Result<Revision, Failure> {
    // What is found or made must not be collected before it is used.
    let _used_soon = core.artifacts.read().await;
    if core.builder.find(&revision.build).await.map_err(|e| build_failure(&e))?.is_some() {
        return Ok(revision.clone());
    }
    let (build, number, commit) = (revision.build.short(), revision.number, revision.commit.id.short());
    let message = format!("Build {build} of revision {number} is gone; it is built again from commit {commit}.");
    log.line(LineSource::AppRunner, &message);
    core.emit_for(service, "BuildGone", EventSeverity::Warn, message).await;
    let artifact = make(core, service, revision, log, token).await?;
    let revision = Revision { artifact, ..revision.clone() };
    keep(core, service, &revision).await?;
    let message = format!("Build {build} of revision {number} was built again.");
    core.emit_for(service, "BuildRestored", EventSeverity::Info, message).await;
    Ok(revision)
}

async fn make(
    core: &Core,
    service: &ServiceRecord,
    revision: &Revision,
    log: &dyn LineSink,
    token: &CancellationToken,
) -> Result<Artifact, Failure> {
    let Revision { spec, commit, settings, .. } = revision;
    let source = &spec.source;
    // It may be gone from the mirror, or the mirror with it.
    let fetched = core.git.fetch(&source.repository, &source.track.reference, Some(&commit.id)).await;
    fetched.map_err(|error| source_failure(Step::Build, &error))?;
    let runtime_version = node_lock(core, log, (spec, commit), settings).await?;
    let settings = AppSettings { runtime_version, ..settings.clone() };
    let work = format!("again-{}", revision.build.short());
    let making = Making { core, service: &service.name, work: &work, log, token };
    making.make(spec, commit, &settings, &revision.build).await.map_err(|unmade| match unmade {
        Unmade::Stopped | Unmade::Interrupted => interrupted(Step::Build),
        Unmade::Failed(failure) => failure,
    })
}

/// Writes where the artifact is now: an image has another id.
async fn keep(core: &Core, service: &ServiceRecord, revision: &Revision) -> Result<(), Failure> {
    let write = Write::PutRevision(service.id.clone(), Box::new(revision.clone()));
    let kept = core.transact_patiently(|_| (vec![write.clone()], ())).await;
    kept.ok_or_else(|| interrupted(Step::Build))
}
