//! The manifest in a git repository (`up --repo`): the commit that holds, written out where its files are read.
//!
//! Each commit is written to a directory of its own; the link `current` names the one in force, and manifests are read as
//! if they lay behind that link: their relative paths stay the same from commit to commit. The last commit in force is
//! remembered, so that a restart needs no network to know what is declared.

use crate::desired::{ManifestCommit, ManifestFiles};
use crate::model::{Commit, CommitId, Timestamp};
use crate::reconcile::chain;
use crate::reconcile::core::Core;
use crate::reconcile::vetting::{self, Unjudged};
use crate::settings::ManifestRepository;
use crate::source::SourceError;
use crate::store::Write;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The link to what is in force, beside the commits.
pub(crate) const CURRENT: &str = "current";
/// How long a commit that could not be read rests: this, doubled with each try.
const FIRST_REST: Duration = Duration::from_secs(2);
const LONGEST_REST: Duration = Duration::from_secs(300);

/// What is known of the repository while the control plane runs.
#[derive(Debug, Default)]
pub struct Followed {
    /// What was read last, valid or not.
    read: Option<Arc<Read>>,
    /// Why the newest commit is not known or not read, as it was told last.
    pub problem: Option<String>,
    /// When the head was last heard of.
    pub seen_at: Option<Timestamp>,
    tries: u32,
    /// The commit that rests, and until when: another one does not.
    resting: Option<(CommitId, Instant)>,
}

/// What the store remembers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Remembered {
    repository: String,
    commit: CommitId,
    #[serde(default)]
    signed_by: Option<String>,
}

/// The manifest of one commit.
#[derive(Debug)]
pub struct Read {
    /// Its texts.
    pub files: ManifestFiles,
    /// Which commit.
    pub commit: ManifestCommit,
    /// Where it was written to.
    directory: PathBuf,
}

/// The newest commit's manifest; the one that was read last while a newer one cannot be read, which is told, and tried
/// again after a rest. What is in force stays.
pub async fn newest(core: &Arc<Core>, repository: &ManifestRepository) -> Option<Arc<Read>> {
    let (wanted, problem) = wanted(core, repository);
    let (last, rests) = {
        let followed = &core.state().manifest_followed;
        let resting = followed.resting.as_ref();
        let rests = resting.is_some_and(|(commit, until)| Some(commit) == wanted.as_ref() && Instant::now() < *until);
        (followed.read.clone(), rests)
    };
    if rests {
        return last;
    }
    let asked = problem.is_none();
    if !asked {
        tell(core, problem).await;
    }
    let wanted = wanted?;
    if let Some(last) = last.filter(|last| last.commit.id == wanted) {
        if asked {
            tell(core, None).await;
        }
        return Some(last);
    }
    match read(core, repository, &wanted).await {
        Err(Unread::Refused(why)) => {
            // It stays as it is; keys and clocks may change.
            rest(core, &wanted);
            tell(core, Some(format!("commit {}: it {why}", wanted.short()))).await;
            before(core, repository).await
        }
        Ok(read) => {
            if asked {
                tell(core, None).await;
            }
            let (read, mut state) = (Arc::new(read), core.state());
            let followed = &mut state.manifest_followed;
            (followed.tries, followed.resting, followed.read) = (0, None, Some(read.clone()));
            Some(read)
        }
        Err(Unread::Failed(error)) => {
            rest(core, &wanted);
            tell(core, Some(format!("commit {}: {}", wanted.short(), chain(&error)))).await;
            None
        }
    }
}

/// The commit that should be in force: the newest; while it cannot be asked for, at a start, the one before.
fn wanted(core: &Core, repository: &ManifestRepository) -> (Option<CommitId>, Option<String>) {
    let track = repository.track();
    let head = core.poller.heads().into_iter().find(|h| h.repository == repository.url && h.track == track);
    let (commit, error) = head.map_or((None, None), |head| (head.commit, head.error));
    if error.is_none() && commit.is_some() {
        core.state().manifest_followed.seen_at = Some(Timestamp::now());
    }
    if commit.is_some() || core.state().manifest_followed.read.is_some() {
        return (commit, error);
    }
    (remembered(core, repository).map(|known| known.commit), error)
}

/// The commit that was in force when the control plane ended.
pub fn remembered_commit(world: &crate::store::World) -> Option<CommitId> {
    let stored = world.meta.get(crate::reconcile::META_MANIFEST_COMMIT).cloned()?;
    serde_json::from_value::<Remembered>(stored).ok().map(|known| known.commit)
}

fn remembered(core: &Core, repository: &ManifestRepository) -> Option<Remembered> {
    let stored = core.state().world.meta.get(crate::reconcile::META_MANIFEST_COMMIT).cloned()?;
    let known: Remembered = serde_json::from_value(stored).ok()?;
    (known.repository == repository.to_string()).then_some(known)
}

/// Says once why the repository is not followed, and once that it is again.
async fn tell(core: &Core, problem: Option<String>) {
    let (changed, kept) = {
        let mut state = core.state();
        let changed = state.manifest_followed.problem != problem;
        state.manifest_followed.problem.clone_from(&problem);
        (changed, state.desired.as_ref().map(|d| d.manifest.to_string()))
    };
    let shown = &core.config.manifest_shown;
    match problem {
        Some(problem) if changed => {
            let stays = kept.map_or("nothing is declared yet".to_owned(), |kept| format!("{kept} stays in force"));
            let message = format!("The manifest {shown} cannot be followed, {stays}: {problem}");
            core.emit_plain("ManifestUnreachable", crate::model::EventSeverity::Warn, message).await;
        }
        None if changed => {
            let message = format!("The manifest {shown} is followed again.");
            core.emit_plain("ManifestReachable", crate::model::EventSeverity::Info, message).await;
        }
        _ => {}
    }
}

fn rest(core: &Core, commit: &CommitId) {
    let mut state = core.state();
    let followed = &mut state.manifest_followed;
    if followed.resting.as_ref().is_none_or(|(resting, _)| resting != commit) {
        followed.tries = 0;
    }
    let long = FIRST_REST.saturating_mul(1 << followed.tries.min(10)).min(LONGEST_REST);
    followed.tries += 1;
    followed.resting = Some((commit.clone(), Instant::now() + long.mul_f64(0.75 + fastrand::f64() / 2.0)));
}

/// Why there is no manifest of a commit.
enum Unread {
    /// It is not to be trusted, in words that go after "commit 3f2a91c: it".
    Refused(String),
    Failed(SourceError),
}

impl From<SourceError> for Unread {
    fn from(error: SourceError) -> Self {
        Self::Failed(error)
    }
}

/// What was in force before a commit that is refused: after a restart as well, it was judged when it came.
async fn before(core: &Core, repository: &ManifestRepository) -> Option<Arc<Read>> {
    if let Some(last) = core.state().manifest_followed.read.clone() {
        return Some(last);
    }
    let Remembered { commit, signed_by, .. } = remembered(core, repository)?;
    let commit = core.git.fetch(&repository.url, &repository.track().reference, Some(&commit)).await.ok()?;
    let read = Arc::new(written_out(core, repository, Commit { signed_by, ..commit }).await.ok()?);
    core.state().manifest_followed.read = Some(read.clone());
    Some(read)
}

/// The commit that is in force: what comes next has to descend from it, where that is asked.
pub fn in_force(core: &Core, repository: &ManifestRepository) -> Option<CommitId> {
    let read = core.state().manifest_followed.read.as_ref().map(|read| read.commit.id.clone());
    read.or_else(|| remembered(core, repository).map(|known| known.commit))
}

async fn read(core: &Core, repository: &ManifestRepository, wanted: &CommitId) -> Result<Read, Unread> {
    let commit = core.git.fetch(&repository.url, &repository.track().reference, Some(wanted)).await?;
    let (verify, known) = (&repository.verify, in_force(core, repository));
    let mut signed_by =
        remembered(core, repository).filter(|known| known.commit == *wanted).and_then(|known| known.signed_by);
    // What was judged before stays judged: a key that expired since changes nothing that is in force.
    if known.as_ref() != Some(wanted) {
        let after = known.filter(|_| verify.fast_forward_only);
        match vetting::vet(core, &repository.url, wanted, verify, after.as_ref()).await {
            Err(Unjudged::Refused(why)) => return Err(Unread::Refused(why)),
            Err(Unjudged::Failed(error)) => return Err(error.into()),
            Ok(by) => signed_by = by,
        }
    }
    Ok(written_out(core, repository, Commit { signed_by, ..commit }).await?)
}

async fn written_out(core: &Core, repository: &ManifestRepository, commit: Commit) -> Result<Read, SourceError> {
    let directory = core.config.manifests.join(commit.id.as_str());
    let made = make_room(&core.config.manifests, &directory).await;
    made.map_err(|source| SourceError::Write {
        repository: repository.url.to_string(),
        path: directory.display().to_string(),
        source,
    })?;
    core.git.export(&repository.url, &commit.id, &directory).await?;
    let (current, path) = (core.config.manifests.join(CURRENT), repository.path.as_str().to_owned());
    let written = directory.clone();
    let reading = tokio::task::spawn_blocking(move || {
        let files = ManifestFiles::read(&written.join(&path), &path);
        files.moved(&written, &current)
    });
    let files = reading.await.map_err(|error| SourceError::Mirror {
        repository: repository.url.to_string(),
        message: format!("its manifest could not be read: {error}"),
    })?;
    Ok(Read { files, commit: manifest_commit(commit), directory })
}

/// Where the manifest of the commit in force lies.
pub fn place(core: &Core, repository: &ManifestRepository) -> PathBuf {
    core.config.manifests.join(CURRENT).join(repository.path.as_str())
}

/// For towpath alone, and without what a crash left, which may be a part.
async fn make_room(root: &Path, directory: &Path) -> io::Result<()> {
    tokio::fs::DirBuilder::new().recursive(true).mode(0o700).create(root).await?;
    match tokio::fs::remove_dir_all(directory).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn manifest_commit(commit: Commit) -> ManifestCommit {
    ManifestCommit {
        id: commit.id,
        author: commit.author,
        summary: commit.summary,
        time: commit.time,
        signed_by: commit.signed_by,
    }
}

/// Makes a commit's files the ones that `current` names, and returns which were before. Nobody ever finds none there.
pub fn switch(core: &Core, read: &Read) -> io::Result<Option<PathBuf>> {
    point(&core.config.manifests, &read.directory)
}

/// Undoes a [`switch`]: what was read turned out not to be usable.
pub fn switch_back(core: &Core, before: Option<&Path>) {
    if let Some(before) = before
        && let Err(error) = point(&core.config.manifests, before)
    {
        tracing::warn!(%error, "the files of the manifest in force could not be put back");
    }
}

fn point(root: &Path, directory: &Path) -> io::Result<Option<PathBuf>> {
    let (link, fresh) = (root.join(CURRENT), root.join("current.new"));
    let before = std::fs::read_link(&link).ok();
    let _ = std::fs::remove_file(&fresh);
    std::os::unix::fs::symlink(directory, &fresh)?;
    std::fs::rename(&fresh, &link)?;
    Ok(before)
}

/// Remembers a commit that is in force now, and removes the files of all others.
pub async fn settle(core: &Core, repository: &ManifestRepository, read: &Read) {
    let (commit, signed_by) = (read.commit.id.clone(), read.commit.signed_by.clone());
    let known = Remembered { repository: repository.to_string(), commit, signed_by };
    let Ok(value) = serde_json::to_value(&known) else { return };
    let write = Write::PutMeta(crate::reconcile::META_MANIFEST_COMMIT.into(), value);
    if let Err(error) = core.transact(|_| (vec![write], ())).await {
        tracing::warn!(error = %chain(&error), "the manifest's commit could not be remembered");
    }
    let (root, keep) = (core.config.manifests.clone(), read.directory.clone());
    let _ = tokio::task::spawn_blocking(move || remove_others(&root, &keep)).await;
}

fn remove_others(root: &Path, keep: &Path) {
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    for path in entries.map(|e| e.path()).filter(|path| path != keep && path.file_name() != Some(CURRENT.as_ref())) {
        // Files of a commit that is not in force: the next commit tries again.
        let _ = std::fs::remove_dir_all(path);
    }
}
