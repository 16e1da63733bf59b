//! How an instance is kept apart: its files, its user, its jail. Decided here, done by the shim. Blocking.

use super::files::{Files, InstanceDir};
use crate::engine::EngineError;
use crate::host::disk;
use crate::host::files::copy_tree;
use crate::host::jail::policy::{Needs, Policy};
use crate::host::jail::{Jail, users};
use crate::model::InstanceSpec;
use std::io;
use std::path::{Path, PathBuf};

/// What is larger is not copied: starting would take long, and the copies would fill the disk.
const LARGEST_COPY: u64 = 512 << 20;

/// An instance's own things.
#[derive(Debug)]
pub struct Contained {
    /// Its jail.
    pub jail: Jail,
    /// Its files.
    pub files: Files,
    /// The directory that its commands run in.
    pub directory: PathBuf,
    /// The value of `TMPDIR`.
    pub temporary: PathBuf,
}

/// The parts of an artifact that is a directory.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The directory that commands run in.
    pub path: &'a Path,
    /// The directory that holds all of it.
    pub root: &'a Path,
    /// Directories of its programs and of the machine's.
    pub search: &'a [PathBuf],
}

/// Decides and prepares how this instance is kept apart. `storage` is what its files may take, in bytes.
pub fn contain(
    policy: &Policy,
    dir: &InstanceDir,
    spec: &InstanceSpec,
    place: Place<'_>,
    storage: u64,
) -> Result<Contained, EngineError> {
    let user = policy.user(spec.name.as_str()).map_err(|e| failed("choose a user id".into(), e))?;
    let disk = dir.disk();
    let prepared = std::fs::create_dir_all(disk.path()).and_then(|()| open_to_others(dir.path(), user));
    prepared.map_err(|e| failed(format!("prepare {}", dir.path().display()), e))?;
    let temporary = policy.temporary(&disk.temporary()).to_owned();
    if let Some(user) = user {
        users::write_accounts(dir.path(), user, &temporary)
            .map_err(|e| failed(format!("write the accounts of instance {}", spec.id), e))?;
    }
    let layered = policy.means.layers.is_ok().then(|| place.root.to_owned());
    let directory = match layered {
        Some(_) => place.path.to_owned(),
        None => copied(place.path, &disk.copy(), user)
            .map_err(|e| failed(format!("copy {} for instance {}", place.path.display(), spec.id), e))?,
    };
    // A copy is made where everybody sees it, a disk only where the instance does.
    let sized = policy.means.disks.is_ok() && layered.is_some();
    let files = Files { user, layered, storage, disk: sized, copied: directory == disk.copy() };
    let needs = needs(&files, &disk, dir, place, user);
    Ok(Contained { jail: policy.jail(&needs), files, directory, temporary })
}

fn needs(files: &Files, disk: &super::files::DiskDir, dir: &InstanceDir, place: Place<'_>, user: Option<u32>) -> Needs {
    let mut write = vec![disk.temporary()];
    let mut read = Vec::new();
    match (&files.layered, files.copied) {
        (Some(root), _) => write.push(root.clone()),
        (None, copied) => {
            read.push(place.root.to_owned());
            write.extend(copied.then(|| disk.copy()));
        }
    }
    Needs {
        read,
        write,
        search: place.search.to_vec(),
        temporary: disk.temporary(),
        accounts: user.map(|_| dir.path().to_owned()),
        user,
        // A disk of its own says by itself when it is full.
        largest_file: (!files.disk).then_some(files.storage),
    }
}

/// Lets a service's user pass through to what is its own; the files of the directory itself stay closed.
fn open_to_others(path: &Path, user: Option<u32>) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if user.is_none() {
        return Ok(());
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o711))
}

/// A copy for this instance alone. What is too large runs where it is, and may not change it.
fn copied(from: &Path, to: &Path, user: Option<u32>) -> io::Result<PathBuf> {
    if disk::measure(from, LARGEST_COPY) >= LARGEST_COPY {
        return Ok(from.to_owned());
    }
    // Left over from a crash in the middle.
    crate::host::files::remove_tree(to)?;
    copy_tree(from, to)?;
    user.map_or(Ok(()), |user| users::give(to, user))?;
    Ok(to.to_owned())
}

fn failed(act: String, source: io::Error) -> EngineError {
    EngineError::Io { act, source }
}
