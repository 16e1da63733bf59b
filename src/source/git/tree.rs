//! Reads files of a commit from the object database.

use super::bounds::Bounds;
use super::failure::{self, Fault, plain};
use super::fetch::{find, no_commit};
use super::mirror::Mirror;
use super::{SourceError, head};
use crate::model::{Commit, CommitId, RepositoryUrl, SourceDirectory};
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

/// The commit as git stores it. Its size is read before its contents.
pub(super) fn raw_commit(open: &OpenCommit<'_>, longest: usize) -> Result<Vec<u8>, Fault> {
    let (id, odb) = (Oid::from_str(open.details.id.as_str())?, open.mirror.odb()?);
    let (size, _) = odb.read_header(id)?;
    if size > longest {
        let message = format!("commit {} has {size} bytes, {longest} are allowed", open.details.id.short());
        return Err(failure::limit(open.repository, message).into());
    }
    Ok(odb.read(id)?.data().to_vec())
}

/// Opens a commit and does something with it.
pub(super) fn with_commit<T>(
    mirror: &Mirror,
    repository: &RepositoryUrl,
    commit: &CommitId,
    bounds: &Bounds,
    work: impl Fn(&OpenCommit<'_>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let Some(open) = mirror.open()? else { return Err(no_commit(repository, commit.as_str()).into()) };
    let details = find(&open, repository, commit)?.ok_or_else(|| no_commit(repository, commit.as_str()))?;
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

/// The names in a directory, or in the root.
pub(super) fn list(open: &OpenCommit<'_>, at: Option<&SourceDirectory>) -> Result<Vec<String>, Fault> {
    let names = |tree: &Tree<'_>| tree.iter().take(LISTED).map(|entry| shown(entry.name_bytes())).collect();
    match at {
        Some(at) => directory(open, at).map(|tree| names(&tree)),
        None => Ok(names(&open.tree)),
    }
}

/// The tree of a directory. Links on the way are not followed.
pub(super) fn directory<'a>(open: &OpenCommit<'a>, wanted: &SourceDirectory) -> Result<Tree<'a>, Fault> {
    let mut tree = open.tree.clone();
    let mut above = String::new();
    for part in wanted.as_str().split('/') {
        let here = format!("{above}{part}");
        match entry(open, &tree, part)? {
            Some((Kind::Directory, id)) => tree = open.mirror.find_tree(id)?,
            Some((Kind::Submodule, _)) => return Err(no_directory(open, wanted, submodule(&here), Vec::new()).into()),
            Some(_) => return Err(no_directory(open, wanted, format!(": `{here}` is a file"), Vec::new()).into()),
            None => return Err(no_directory(open, wanted, String::new(), beside(&tree, &above, &here)).into()),
        }
        above = format!("{here}/");
    }
    Ok(tree)
}

fn submodule(at: &str) -> String {
    format!(": `{at}` is a submodule, which is not fetched")
}

/// The directories beside one that is not there, by their whole paths, nearest first.
fn beside(tree: &Tree<'_>, above: &str, missing: &str) -> Vec<String> {
    let directories = tree.iter().filter(|entry| Kind::of(entry.filemode_raw()) == Some(Kind::Directory));
    let paths = directories.take(LISTED).map(|entry| format!("{above}{}", shown(entry.name_bytes())));
    head::nearest(paths.collect(), missing)
}

fn no_directory(open: &OpenCommit<'_>, directory: &SourceDirectory, why: String, known: Vec<String>) -> SourceError {
    let (repository, commit) = (open.repository.to_string(), open.details.id.to_string());
    SourceError::NoDirectory { repository, commit, directory: directory.to_string(), why, known }
}
