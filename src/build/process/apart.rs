//! How a build is kept apart: under its service's user, in a jail, in control groups, with a bound on what it writes.

use super::command::Place;
use super::{Build, failed};
use crate::build::BuildError;
use crate::build::recipe::{Directories, Interpreter};
use crate::host::cgroup::{Cgroups, Limits};
use crate::host::disk;
use crate::host::jail::policy::{Needs, Policy};
use crate::host::jail::{Jail, users};
use crate::model::Memory;
use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a build may write in all, with the downloads that it keeps.
pub const MOST_WRITTEN: Memory = Memory(20 << 30);
/// What a build leaves free on its disk: instances, logs and the store go on.
const KEPT_FREE: u64 = 512 << 20;
/// The first name of the control groups of builds.
const GROUP: &str = "builds";

/// The jail of a build's commands.
pub fn jail(policy: &Policy, build: &Build<'_>, passthrough: &BTreeMap<String, String>, search: &[PathBuf]) -> Jail {
    let (directory, at) = (build.directory, build.at);
    let write =
        vec![directory.join(super::SOURCE), at.home.clone(), at.venv.clone(), at.cache.clone(), temporary(directory)];
    // What the operator hands on names certificates and directories of packages.
    let handed_on = passthrough.values().flat_map(|value| value.split_whitespace()).map(PathBuf::from);
    let read =
        handed_on.filter(|path| path.is_absolute() && path.exists()).chain([directory.join("tools"), at.bin.clone()]);
    let interpreter = build.interpreter.path.parent().map(Path::to_owned);
    policy.jail(&Needs {
        read: read.collect(),
        write,
        search: search.iter().cloned().chain(interpreter).collect(),
        temporary: temporary(directory),
        accounts: build.user.map(|_| directory.to_owned()),
        user: build.user,
        largest_file: Some(MOST_WRITTEN.0),
    })
}

/// The directory of a build's temporary files.
pub fn temporary(directory: &Path) -> PathBuf {
    directory.join("tmp")
}

/// Gives a laid-out build to its user: what its commands change, not the directory around, in which the result is
/// marked. Blocking.
pub fn hand_over(directory: &Path, at: &Directories, interpreter: &Interpreter, user: Option<u32>) -> io::Result<()> {
    // Made here, since the directory around is closed to the user.
    if interpreter.language == crate::model::Language::Python {
        std::fs::create_dir_all(&at.venv)?;
    }
    let Some(user) = user else { return Ok(()) };
    std::fs::set_permissions(directory, PermissionsExt::from_mode(0o711))?;
    users::write_accounts(directory, user, &at.home)?;
    let (source, temporary) = (directory.join(super::SOURCE), temporary(directory));
    for path in [&source, &at.home, &at.cache, &at.venv, &temporary].into_iter().filter(|p| p.exists()) {
        // Files of earlier builds in the cache are the user's already.
        let whole = path != &at.cache;
        if whole { users::give(path, user)? } else { std::os::unix::fs::lchown(path, Some(user), Some(user))? }
    }
    let tools = directory.join("tools");
    [&tools, &at.bin].iter().try_for_each(|path| std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)))
}

/// Closes a finished build: from now on it is seen through layers only, where those can be had. Blocking.
pub fn close(directory: &Path, policy: &Policy, user: Option<u32>) -> io::Result<()> {
    for name in ["passwd", "group"] {
        match std::fs::remove_file(directory.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    match user {
        Some(_) if policy.means.layers.is_ok() => std::fs::set_permissions(directory, PermissionsExt::from_mode(0o700)),
        _ => Ok(()),
    }
}

/// The control groups of a build, gone with it.
pub struct Groups {
    /// The groups.
    pub groups: Cgroups,
    memory: Memory,
}

impl Groups {
    /// Groups for a build in this directory that may take so much memory. Blocking.
    pub fn create(directory: &Path, memory: Memory) -> Self {
        let name = format!("{}-{}", std::process::id(), directory.file_name().unwrap_or_default().display());
        Self { groups: Cgroups::create(GROUP, &name, Limits { cpu: None, memory: memory.0 }), memory }
    }

    /// Words for a command that the kernel killed for want of memory; `None` when it did not.
    pub fn out_of_memory(&self) -> Option<String> {
        (self.groups.out_of_memory_kills() > 0).then(|| format!("ran out of memory ({})", self.memory))
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        crate::host::cgroup::remove(self.groups.paths());
    }
}

/// Looks now and then at what the build writes; ends with the reason when that is too much.
pub async fn watch(place: &Place) -> BuildError {
    let mut pause = Duration::from_secs(1);
    loop {
        tokio::time::sleep(pause).await;
        let (directory, cache) = (place.build.clone(), place.cache.clone());
        let looked = tokio::task::spawn_blocking(move || {
            let began = std::time::Instant::now();
            let enough = MOST_WRITTEN.0 + 1;
            let written = disk::measure(&directory, enough).saturating_add(disk::measure(&cache, enough));
            (free(&directory), written, began.elapsed())
        });
        let Ok((free, written, took)) = looked.await else { continue };
        if written > MOST_WRITTEN.0 {
            return BuildError::Limit(format!("the build wrote more than {MOST_WRITTEN} and was stopped"));
        }
        if free < KEPT_FREE {
            let message = format!("only {} are left on it; the build was stopped before it is full", Memory(free));
            let act = format!("build in {}: the disk has no room", place.build.display());
            return failed(act, io::Error::new(io::ErrorKind::StorageFull, message));
        }
        // At most a twentieth of the time goes into looking.
        pause = (took * 20).clamp(Duration::from_secs(1), Duration::from_secs(30));
    }
}

fn free(directory: &Path) -> u64 {
    rustix::fs::statvfs(directory).map_or(u64::MAX, |stat| stat.f_bavail.saturating_mul(stat.f_frsize))
}
