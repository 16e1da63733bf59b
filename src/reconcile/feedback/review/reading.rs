//! What a pull request against the manifest would do: merged in the mirror, read, planned. Nothing of it is run, and nothing
//! is kept of it.

use super::words::{Of, Said, of_failure, of_plan, of_problems};
use crate::desired::{ManifestCommit, ManifestFiles, parse_manifest_files};
use crate::model::{CommitId, Severity};
use crate::plan::Plan;
use crate::reconcile::chain;
use crate::reconcile::core::Core;
use crate::reconcile::feedback::pulls::Pull;
use crate::reconcile::manifest::repository::CURRENT;
use crate::reconcile::{sealed, snapshot};
use crate::settings::ManifestRepository;
use crate::source::SourceError;
use crate::source::git::Merged;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What was found.
pub struct Found {
    /// What is said of it.
    pub said: Said,
    /// The plan, if there is one.
    pub plan: Option<Plan>,
}

/// Reads a pull request and plans it against what is observed now.
///
/// # Errors
/// When it cannot be fetched: tried again later.
pub async fn read(
    core: &Arc<Core>,
    repository: &ManifestRepository,
    pull: &Pull,
    base: &CommitId,
) -> Result<Found, SourceError> {
    let merged = core.git.merge_pull(&repository.url, pull.number, &pull.head, base).await?;
    let of = Of { head: &pull.head, base, clean: merged.clean, branch: &pull.base };
    let directory = core.config.trees.join(format!("pull-{}-{:016x}", pull.number, fastrand::u64(..)));
    let exported = core.git.export(&repository.url, &merged.commit.id, &directory).await;
    let found = match exported {
        Ok(_) => plan(core, repository, &directory, &merged, &of).await,
        Err(error) => Found { said: of_failure(&chain(&error), &of), plan: None },
    };
    if let Err(error) = tokio::fs::remove_dir_all(&directory).await {
        tracing::debug!(%error, "the files of a pull request were not removed; the next start does");
    }
    Ok(found)
}

async fn plan(
    core: &Arc<Core>,
    repository: &ManifestRepository,
    directory: &Path,
    merged: &Merged,
    of: &Of<'_>,
) -> Found {
    let link = core.config.manifests.join(CURRENT);
    let files = manifest_files(directory.to_owned(), repository.path.as_str().to_owned(), link.clone()).await;
    let catalogue = core.config.catalogue.clone();
    let parsing = tokio::task::spawn_blocking(move || files.map(|files| parse_manifest_files(&files, &catalogue)));
    let Ok(Some(parsed)) = parsing.await else {
        return Found { said: of_failure("it could not be read to its end", of), plan: None };
    };
    let mut parsed = sealed::preview(core, parsed, &link, directory).await;
    if parsed.problems.iter().any(|p| p.severity == Severity::Error) {
        return Found { said: of_problems(&parsed.problems, of), plan: None };
    }
    let Some(desired) = &mut parsed.value else {
        return Found { said: of_failure("it declares nothing that can be read", of), plan: None };
    };
    let commit = &merged.commit;
    desired.manifest.commit = Some(ManifestCommit {
        id: of.head.clone(),
        author: commit.author.clone(),
        summary: commit.summary.clone(),
        time: commit.time,
        signed_by: None,
    });
    let observed = snapshot::observed(core);
    let (plan, report) = crate::plan::plan(Some(desired), &observed, &core.policy(), core.now());
    Found { said: of_plan(&plan, &report, &observed, of), plan: Some(plan) }
}

/// The texts of the manifest, as if they lay behind the link like those in force: so their relative paths are the same.
async fn manifest_files(directory: PathBuf, path: String, link: PathBuf) -> Option<ManifestFiles> {
    let reading = move || ManifestFiles::read(&directory.join(&path), &path).moved(&directory, &link);
    tokio::task::spawn_blocking(reading).await.ok()
}
