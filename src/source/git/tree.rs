//! Reads files of a commit from the object database.

use super::bounds::Bounds;
use super::failure::{self, Fault, plain};
use super::fetch::{find, no_commit};
use super::mirror::Mirror;
use crate::model::{Commit, CommitId, RepositoryUrl};
use git2::{ObjectType, Oid, Repository, Tree};

/// How many names of a root are listed.
const LISTED: usize = 1_000;

/// A tree entry's kinds, as git's modes have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File { executable: bool },
    Link,
    Directory,
    Submodule,
}

impl Kind {
    /// By mode, so that what an entry claims to be decides, not what kind of object it names.
    pub(super) fn of(mode: i32) -> Option<Self> {
        match mode & 0o170_000 {
            0o100_000 => Some(Self::File { executable: mode & 0o111 != 0 }),
            0o120_000 => Some(Self::Link),
            0o040_000 => Some(Self::Directory),
            0o160_000 => Some(Self::Submodule),
            _ => None,
        }
    }
}

/// A commit in a mirror.
pub(super) struct OpenCommit<'a> {
    pub(super) repository: &'a RepositoryUrl,
    pub(super) mirror: &'a Repository,
    pub(super) bounds: &'a Bounds,
    pub(super) details: Commit,
    pub(super) tree: Tree<'a>,
}

impl OpenCommit<'_> {
    /// The contents of a blob of at most so many bytes. The size is read before the contents.
    pub(super) fn blob(&self, id: Oid, longest: u64, path: &[u8]) -> Result<git2::Blob<'_>, Fault> {
        let (size, kind) = self.mirror.odb()?.read_header(id)?;
        if kind != ObjectType::Blob {
            return Err(self.refuse(path, "is no file, though its entry says so").into());
        }
        if size as u64 > longest {
            let message = format!("`{}` has {size} bytes, {longest} are allowed", shown(path));
            return Err(failure::limit(self.repository, message).into());
        }
        Ok(self.mirror.find_blob(id)?)
    }

    pub(super) fn refuse(&self, path: &[u8], why: &str) -> super::SourceError {
        failure::tree(self.repository, format!("`{}` {why}", shown(path)))
    }
}

/// A path for people: one line, bounded.
pub(super) fn shown(path: &[u8]) -> String {
    plain(&String::from_utf8_lossy(path), 200)
}

/// Opens a commit and does something with it.
pub(super) fn with_commit<T>(
    mirror: &Mirror,
    repository: &RepositoryUrl,
    commit: &CommitId,
    bounds: &Bounds,
    work: impl Fn(&OpenCommit<'_>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let Some(open) = mirror.open()? else { return Err(no_commit(repository, commit).into()) };
    let details = find(&open, repository, commit)?.ok_or_else(|| no_commit(repository, commit))?;
    let tree = open.find_tree(Oid::from_str(&details.tree)?)?;
    work(&OpenCommit { repository, mirror: &open, bounds, details, tree })
}

/// The contents of the file at a path, `None` when there is no file.
pub(super) fn read_file(open: &OpenCommit<'_>, path: &str, longest: u64) -> Result<Option<Vec<u8>>, Fault> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.contains(&"..") {
        return Err(open.refuse(path.as_bytes(), "leads out of the repository").into());
    }
    let Some((name, parents)) = parts.split_last() else { return Ok(None) };
    let mut tree = open.tree.clone();
    for parent in parents {
        tree = match entry(open, &tree, parent)? {
            Some((Kind::Directory, id)) => open.mirror.find_tree(id)?,
            _ => return Ok(None),
        };
    }
    match entry(open, &tree, name)? {
        Some((Kind::File { .. }, id)) => Ok(Some(open.blob(id, longest, path.as_bytes())?.content().to_vec())),
        _ => Ok(None),
    }
}

fn entry(open: &OpenCommit<'_>, tree: &Tree<'_>, name: &str) -> Result<Option<(Kind, Oid)>, Fault> {
    let Some(entry) = tree.get_name(name) else { return Ok(None) };
    match Kind::of(entry.filemode_raw()) {
        Some(Kind::Link) => Err(open.refuse(name.as_bytes(), "is a symbolic link, which is not followed").into()),
        kind => Ok(kind.map(|kind| (kind, entry.id()))),
    }
}

/// The names in the root.
pub(super) fn list_root(open: &OpenCommit<'_>) -> Result<Vec<String>, Fault> {
    Ok(open.tree.iter().take(LISTED).map(|entry| shown(entry.name_bytes())).collect())
}
