//! Copies the object files of a repository on this machine: for a first fetch, which packing anew would make ten times as
//! long. Copies, not hard links: the owner of the source can write to what is linked.

use super::SourceError;
use super::bounds::Bounds;
use super::failure::{self, Fault};
use crate::model::RepositoryUrl;
use git2::Repository;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Below this many bytes of packs, packing is as fast, and takes the wanted branch only.
const WORTH_IT: u64 = 4 << 20;

/// One file to copy: where it is, its path under `objects`, its size.
type ObjectFile = (PathBuf, PathBuf, u64);

/// Copies all packs and loose objects, other branches' among them, which no reference of the mirror leads to. Returns false,
/// with nothing copied, where that does not pay or not all objects are there (borrowed from another repository) or too many.
pub(super) fn copy_all(
    open: &Repository,
    repository: &RepositoryUrl,
    source: &Repository,
    bounds: &Bounds,
) -> Result<bool, Fault> {
    let objects = source.commondir().join("objects");
    let unreadable = |error: io::Error| failure::transport_text(repository, &error.to_string());
    let files = object_files(&objects).map_err(unreadable)?;
    let packed: u64 = files.iter().filter(|(_, name, _)| is(name, "pack")).map(|(_, _, size)| size).sum();
    let all: u64 = files.iter().map(|(_, _, size)| size).sum();
    if packed < WORTH_IT || all > bounds.limits.received_bytes || objects.join("info/alternates").exists() {
        return Ok(false);
    }
    let to = open.path().join("objects");
    let copied = files.iter().try_for_each(|(from, name, _)| {
        bounds.check(repository)?;
        copy_file(repository, from, &to.join(name))
    });
    if copied.is_err() {
        // On a disk that is full, half of a copy is in the way of others.
        files.iter().for_each(|(_, name, _)| drop(fs::remove_file(to.join(name))));
    }
    copied.map(|()| true)
}

/// Loose objects, then packs, then their indexes: a pack without its index is not read, so a crash leaves no half of one.
fn object_files(objects: &Path) -> io::Result<Vec<ObjectFile>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(objects)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_fan = name.len() == 2 && name.to_str().is_some_and(|n| n.bytes().all(|b| b.is_ascii_hexdigit()));
        if is_fan {
            list(&entry.path(), Path::new(&name), |name| name.as_os_str().len() == 41, &mut files)?;
        }
    }
    let pack = objects.join("pack");
    for kind in ["pack", "idx"] {
        if pack.is_dir() {
            list(&pack, Path::new("pack"), |name| is(name, kind), &mut files)?;
        }
    }
    Ok(files)
}

/// Adds the plain files of a directory that are wanted by their path under `objects`.
fn list(at: &Path, under: &Path, wanted: impl Fn(&Path) -> bool, files: &mut Vec<ObjectFile>) -> io::Result<()> {
    for entry in fs::read_dir(at)? {
        let entry = entry?;
        let name = under.join(entry.file_name());
        if wanted(&name) && entry.file_type()?.is_file() {
            files.push((entry.path(), name, entry.metadata()?.len()));
        }
    }
    Ok(())
}

fn is(name: &Path, kind: &str) -> bool {
    name.extension().is_some_and(|extension| extension == kind)
}

/// Copies to a name beside the place, so that a file that is there is whole. What the sweep removes, it calls it.
fn copy_file(repository: &RepositoryUrl, from: &Path, to: &Path) -> Result<(), Fault> {
    let mut source = fs::File::open(from).map_err(|error| gone(repository, &error))?;
    let (Some(parent), Some(name)) = (to.parent(), to.file_name()) else { return Ok(()) };
    fs::create_dir_all(parent)?;
    let part = parent.join(format!("pack_git2_{}", name.to_string_lossy()));
    let copied = fs::File::create(&part).and_then(|mut file| io::copy(&mut source, &mut file));
    if let Err(error) = copied.and_then(|_| fs::rename(&part, to)) {
        let _ = fs::remove_file(part);
        return Err(error.into());
    }
    Ok(())
}

/// A source that is repacked while it is copied: trying again helps.
fn gone(repository: &RepositoryUrl, error: &io::Error) -> SourceError {
    failure::transport_text(repository, &error.to_string())
}
