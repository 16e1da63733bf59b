//! One repository's mirror: a bare repository in a directory named by the digest of the URL, never by its text.
//!
//! Branches and tags are kept as `refs/heads/<name with / escaped>` and `refs/tags/…`, so that `a` and later `a/b` do not get in each other's way.
//! All of it can be had again from the source, so nothing is synced to disk, and damage is answered by making it anew.

use super::bounds::Bounds;
use super::failure::{Fault, is_full};
use super::{Locks, SourceError, fetch};
use crate::model::{CommitId, CommitPrefix, Digest, Reference, RepositoryUrl};
use git2::{ErrorCode, Oid, Repository, RepositoryInitOptions};
use std::collections::{BinaryHeap, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLockReadGuard};

/// Every fetch leaves a pack; past this many small ones they are made one, since looking an object up asks each of them.
const MOST_PACKS: usize = 40;

/// Packs up to this many bytes are small; larger ones (first fetches) are left as they are, joining them would take long.
const SMALL_PACK: u64 = 16 << 20;

/// The mirror of one repository and its locks.
pub(super) struct Mirror {
    path: PathBuf,
    pub(super) locks: Arc<Locks>,
}

/// Whether the mirror is the one that was there, or one made anew after damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Kept,
    New,
}

/// Makes a directory that only we may enter, with its parents. One that is there is success.
pub(super) fn make_private(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

impl Mirror {
    pub(super) fn new(root: &Path, repository: &RepositoryUrl, locks: Arc<Locks>) -> Self {
        Self { path: root.join(Digest::of(repository).as_str()), locks }
    }

    /// Holds back those who remove from the mirror. For blocking threads only.
    pub(super) fn reading(&self) -> RwLockReadGuard<'_, ()> {
        self.locks.contents.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The mirror, if there is one.
    pub(super) fn open(&self) -> Result<Option<Repository>, git2::Error> {
        self.locks.swept.get_or_init(|| self.sweep());
        if self.path.is_dir() { Repository::open_bare(&self.path).map(Some) } else { Ok(None) }
    }

    /// The mirror, made if there is none.
    pub(super) fn open_or_make(&self, repository: &RepositoryUrl) -> Result<Repository, Fault> {
        if let Some(open) = self.open()? {
            return Ok(open);
        }
        // Made beside its place and moved there whole: a crash leaves no half of one.
        let new = self.beside("new");
        remove(&new)?;
        let mut options = RepositoryInitOptions::new();
        // No template: the machine's could bring hooks.
        options.bare(true).external_template(false).description(&repository.to_string());
        Repository::init_opts(&new, &options)?;
        fs::rename(&new, &self.path)?;
        Ok(Repository::open_bare(&self.path)?)
    }

    pub(super) fn remove(&self) -> io::Result<()> {
        ["new", "damaged", "packs"].iter().try_for_each(|suffix| remove(&self.beside(suffix)))?;
        remove(&self.path)
    }

    /// Does something that needs the mirror; when the mirror turns out damaged, sets it aside and does it once more on a new
    /// one. If that fails too, the old one is put back: it may still serve what was built from it.
    pub(super) fn renewing<T>(
        &self,
        repository: &RepositoryUrl,
        act: impl Fn(State) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let first = {
            let _contents = self.reading();
            act(State::Kept)
        };
        match first {
            Err(Fault::Mirror(error)) if self.path.exists() && !is_full(&error) => {
                tracing::warn!(%repository, %error, "the mirror is damaged and is made anew");
            }
            done => return done,
        }
        let _contents = self.locks.contents.write().unwrap_or_else(PoisonError::into_inner);
        let aside = self.beside("damaged");
        remove(&aside)?;
        fs::rename(&self.path, &aside)?;
        let second = act(State::New);
        if second.is_ok() {
            remove(&aside)?;
        } else {
            remove(&self.path)?;
            fs::rename(&aside, &self.path)?;
        }
        second
    }

    /// Makes the mirror anew with all the references that it had.
    pub(super) fn renew(&self, repository: &RepositoryUrl, bounds: &Bounds) -> Result<(), Fault> {
        self.renewing(repository, |state| match state {
            State::Kept => Err(git2::Error::from_str("it cannot be read").into()),
            State::New => fetch::fetch_all(self, repository, &self.set_aside_references(), bounds),
        })
    }

    /// Where a reference is kept.
    fn place_of(reference: &Reference) -> Option<String> {
        let (kind, name) = match reference {
            Reference::Branch(branch) => ("heads", branch.as_str()),
            Reference::Tag(tag) => ("tags", tag.as_str()),
            Reference::Default | Reference::Commit(_) => return None,
        };
        Some(format!("refs/{kind}/{}", name.replace('%', "%25").replace('/', "%2F")))
    }

    /// Moves a reference. After a forced push the old head stays referenced: a deployment of it may be under way, and what
    /// was fetched stays deployable.
    pub(super) fn advance(mirror: &Repository, reference: &Reference, to: Oid) -> Result<(), Fault> {
        let Some(name) = Self::place_of(reference) else { return Ok(()) };
        let old = mirror.refname_to_id(&name).ok().filter(|old| *old != to);
        if let Some(old) = old
            && !leads_to(mirror, &[to], old)?
        {
            mirror.reference(&format!("refs/seen/{old}"), old, true, "forced push")?;
        }
        mirror.reference(&name, to, true, "fetch")?;
        Ok(())
    }

    /// Whether a commit is in the history of any reference: the mirror may hold other objects of a local source.
    pub(super) fn reaches(mirror: &Repository, commit: Oid) -> Result<bool, Fault> {
        let tips = Self::tips(mirror)?;
        Ok(tips.contains(&commit) || leads_to(mirror, &tips, commit)?)
    }

    /// The commits in the history of any reference that begin so.
    pub(super) fn beginning(
        mirror: &Repository,
        prefix: &CommitPrefix,
        go_on: impl Fn() -> Result<(), SourceError>,
    ) -> Result<Vec<Oid>, Fault> {
        let mut found = Vec::new();
        let mut history = History::of(&Self::tips(mirror)?);
        while let Some(id) = history.next(mirror)? {
            go_on()?;
            if id.to_string().starts_with(prefix.as_str()) {
                found.push(id);
            }
        }
        Ok(found)
    }

    /// The references of the mirror that was set aside. Read from file names, since nothing else of it can be trusted.
    pub(super) fn set_aside_references(&self) -> Vec<Reference> {
        let names = |kind: &str| {
            let entries = fs::read_dir(self.beside("damaged").join("refs").join(kind)).into_iter().flatten().flatten();
            let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
            names.map(|name| name.replace("%2F", "/").replace("%25", "%")).collect::<Vec<_>>()
        };
        let branches = names("heads").into_iter().filter_map(|name| name.parse().ok().map(Reference::Branch));
        branches.chain(names("tags").into_iter().filter_map(|name| name.parse().ok().map(Reference::Tag))).collect()
    }

    /// Whether a commit is another or descends from it. What the mirror has never seen, nothing in it descends from.
    pub(super) fn descends(mirror: &Repository, commit: &CommitId, from: &CommitId) -> Result<bool, git2::Error> {
        let (commit, from) = (oid(commit)?, oid(from)?);
        if !mirror.odb()?.exists(from) {
            return Ok(false);
        }
        leads_to(mirror, &[commit], from)
    }

    /// The commits that its references name. One that is not there is damage.
    pub(super) fn tips(mirror: &Repository) -> Result<Vec<Oid>, Fault> {
        let odb = mirror.odb()?;
        let mut tips = Vec::new();
        for reference in mirror.references()? {
            let Some(tip) = reference?.target() else { continue };
            if !odb.exists(tip) {
                return Err(git2::Error::from_str("a commit that it had is gone").into());
            }
            tips.push(tip);
        }
        Ok(tips)
    }

    /// Makes many small packs one, unless someone reads now; then the next fetch tries again. Failing does no harm.
    pub(super) fn tidy(&self) {
        let Ok(_contents) = self.locks.contents.try_write() else { return };
        if let Err(Fault::Mirror(error)) = self.join_packs() {
            tracing::warn!(mirror = %self.path.display(), %error, "failed to join the packs of a mirror");
        }
    }

    fn join_packs(&self) -> Result<(), Fault> {
        let packs = self.small_packs()?;
        if packs.len() <= MOST_PACKS {
            return Ok(());
        }
        let directory = self.path.join("objects/pack");
        let mirror = Repository::open_bare(&self.path)?;
        let mut builder = mirror.packbuilder()?;
        for id in self.objects_of(&packs)? {
            builder.insert_object(id, None)?;
        }
        builder.write(&directory, 0o400)?;
        let joined = builder.name()?.map(|name| directory.join(format!("pack-{name}.pack")));
        for pack in packs.iter().filter(|pack| Some(*pack) != joined.as_ref()) {
            // The index first: a pack without one is not read.
            fs::remove_file(pack.with_extension("idx"))?;
            fs::remove_file(pack)?;
        }
        Ok(())
    }

    /// The objects of some packs: what an object database that has nothing but them lists.
    fn objects_of(&self, packs: &[PathBuf]) -> Result<Vec<Oid>, Fault> {
        let some = self.beside("packs");
        remove(&some)?;
        make_private(&some.join("pack"))?;
        for file in packs.iter().flat_map(|pack| [pack.clone(), pack.with_extension("idx")]) {
            let name = file.file_name().unwrap_or_default();
            fs::hard_link(&file, some.join("pack").join(name))?;
        }
        let odb = git2::Odb::new()?;
        odb.add_disk_alternate(&some.to_string_lossy())?;
        let mut ids = Vec::new();
        let listed = odb.foreach(|id| {
            ids.push(*id);
            true
        });
        drop(odb);
        remove(&some)?;
        listed?;
        Ok(ids)
    }

    fn small_packs(&self) -> io::Result<Vec<PathBuf>> {
        let mut small = Vec::new();
        for entry in fs::read_dir(self.path.join("objects/pack"))? {
            let entry = entry?;
            let is_pack = entry.path().extension().is_some_and(|kind| kind == "pack");
            if is_pack && entry.metadata()?.len() <= SMALL_PACK {
                small.push(entry.path());
            }
        }
        Ok(small)
    }

    /// Removes what a process that was killed in the middle of a fetch left: locks, and packs that were not finished. The
    /// data directory is locked by one process, so none of them is another's. What cannot be removed is met again later.
    fn sweep(&self) {
        let leftover = |name: &str| name.ends_with(".lock") || name.starts_with("pack_git2_");
        for directory in
            ["", "refs/heads", "refs/tags", "refs/seen", "refs/pulls", "objects/pack"].map(|name| self.path.join(name))
        {
            let Ok(entries) = fs::read_dir(directory) else { continue };
            for entry in entries.flatten().filter(|entry| entry.file_name().to_str().is_some_and(leftover)) {
                let _ = fs::remove_file(entry.path());
            }
        }
        // Killed while making it anew: the new one has nothing that the source has not.
        let aside = self.beside("damaged");
        if aside.exists() && !self.path.exists() {
            let _ = fs::rename(aside, &self.path);
        }
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        self.path.with_extension(suffix)
    }
}

/// The object id of a commit of ours.
fn oid(commit: &CommitId) -> Result<Oid, git2::Error> {
    Oid::from_str(commit.as_str())
}

/// Whether a commit is in the history of others.
fn leads_to(mirror: &Repository, tips: &[Oid], wanted: Oid) -> Result<bool, git2::Error> {
    let mut history = History::of(tips);
    while let Some(id) = history.next(mirror)? {
        if id == wanted {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The history of some commits, newest first, so that what is near is found soon.
/// (libgit2's own walks do not know where a shallow history ends.)
struct History {
    ahead: BinaryHeap<(i64, Oid)>,
    seen: HashSet<Oid>,
}

impl History {
    fn of(tips: &[Oid]) -> Self {
        Self { ahead: tips.iter().map(|tip| (i64::MAX, *tip)).collect(), seen: tips.iter().copied().collect() }
    }

    fn next(&mut self, mirror: &Repository) -> Result<Option<Oid>, git2::Error> {
        let Some((_, id)) = self.ahead.pop() else { return Ok(None) };
        let commit = match mirror.find_commit(id) {
            Err(error) if error.code() == ErrorCode::NotFound && mirror.is_shallow() => return Ok(Some(id)),
            found => found?,
        };
        let (time, seen) = (commit.time().seconds(), &mut self.seen);
        self.ahead.extend(commit.parent_ids().filter(|parent| seen.insert(*parent)).map(|parent| (time, parent)));
        Ok(Some(id))
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
