//! A view of the file system of a process' own: what it must not see is covered, what it needs is shown at its place.
//!
//! Needs a kernel from 5.2 on, and the rights of root or user namespaces. Everything happens in a mount namespace that ends with its last
//! process, so that there is nothing to clean up, whoever dies first.

use super::Stopped;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, mkdirat, open, openat};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, mount, mount_change, mount_remount, move_mount,
    open_tree,
};
use rustix::thread::UnshareFlags;
use serde::{Deserialize, Serialize};
use std::ffi::CStr;
use std::path::{Component, Path, PathBuf};

/// How much shared memory (`/dev/shm`) a process gets, as in a container; it counts as its memory.
const SHARED_MEMORY: &CStr = c"mode=1777,size=64m";

/// What is different from the host's own view.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct View {
    /// What is put elsewhere: a directory or file, and the place where it is seen.
    pub placed: Vec<(PathBuf, PathBuf)>,
    /// Directories that are seen empty, but for what is shown in them.
    pub covered: Vec<PathBuf>,
    /// What is seen where it is, whatever covers it. Absolute, without links.
    pub shown: Vec<PathBuf>,
}

impl View {
    /// Makes the view and moves this process, which has one thread, into it.
    ///
    /// # Errors
    /// What could not be mounted.
    pub fn enter(&self) -> Result<(), Stopped> {
        own_namespace().map_err(stopped("make a mount namespace"))?;
        let placed = self.placed.iter().map(|(from, to)| Ok((clone(from)?, to.as_path())));
        let placed = placed.collect::<Result<Vec<_>, Stopped>>()?;
        let shown = self.shown.iter().map(|path| Ok((clone(path)?, path.as_path())));
        let shown = shown.collect::<Result<Vec<_>, Stopped>>()?;
        for (tree, target) in &placed {
            attach(tree, target)?;
        }
        // What lay in a place that was just replaced is out of sight already.
        let covered: Vec<&PathBuf> = self.covered.iter().filter(|path| path.is_dir()).collect();
        for path in &covered {
            cover(path, c"mode=755,size=1m").map_err(stopped(&format!("cover {}", path.display())))?;
        }
        for (tree, target) in &shown {
            attach(tree, target)?;
        }
        for path in &covered {
            let read_only = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
            mount_remount(path.as_path(), read_only, c"").map_err(stopped(&format!("seal {}", path.display())))?;
        }
        private_kernel_views();
        Ok(())
    }
}

fn stopped(act: &str) -> impl FnOnce(Errno) -> Stopped {
    let act = act.to_owned();
    move |errno| Stopped { act, errno: errno.raw_os_error(), at_program: false }
}

/// Gives this process, which has one thread, a mount namespace; what the host mounts and unmounts later is still seen, and
/// nothing gets out. Who is not root becomes the owner of a user namespace for it, in which it stays the user that it is.
///
/// # Errors
/// When the kernel or its administrator forbids it.
pub fn own_namespace() -> rustix::io::Result<()> {
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    let flags = if user.is_root() { UnshareFlags::NEWNS } else { UnshareFlags::NEWNS | UnshareFlags::NEWUSER };
    #[expect(deprecated, reason = "sound for these: descriptors stay shared; the replacement is `unsafe`")]
    rustix::thread::unshare(flags)?;
    if !user.is_root() {
        let (user, group) = (user.as_raw(), group.as_raw());
        for (file, text) in [
            ("setgroups", "deny".to_owned()),
            ("uid_map", format!("{user} {user} 1")),
            ("gid_map", format!("{group} {group} 1")),
        ] {
            std::fs::write(format!("/proc/self/{file}"), text)
                .map_err(|error| error.raw_os_error().map_or(Errno::PERM, Errno::from_raw_os_error))?;
        }
    }
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
}

/// A mount of its own of what is seen at a path now, to be attached later.
fn clone(path: &Path) -> Result<OwnedFd, Stopped> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    open_tree(CWD, path, flags).map_err(stopped(&format!("find {}", path.display())))
}

/// Attaches a tree at a path, which is made when it is missing: a directory for a directory, a file for a file.
fn attach(tree: &OwnedFd, target: &Path) -> Result<(), Stopped> {
    let directory = rustix::fs::fstat(tree)
        .map(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir())
        .map_err(stopped(&format!("look at what is shown at {}", target.display())))?;
    let place = make(target, directory).map_err(stopped(&format!("make {}", target.display())))?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(tree, c"", &place, c"", flags).map_err(stopped(&format!("show {}", target.display())))
}

/// Opens a path, making what is missing of it. Follows no link: the service may have put one there.
fn make(target: &Path, directory: bool) -> rustix::io::Result<OwnedFd> {
    const LOOK: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
    let mut at = open("/", LOOK | OFlags::DIRECTORY, Mode::empty())?;
    let names: Vec<_> = target.components().filter(|c| matches!(c, Component::Normal(_))).collect();
    for (number, name) in names.iter().enumerate() {
        let (name, last) = (name.as_os_str(), number + 1 == names.len());
        let kind = if last && !directory { OFlags::empty() } else { OFlags::DIRECTORY };
        at = match openat(&at, name, LOOK | kind, Mode::empty()) {
            Err(Errno::NOENT) if kind.is_empty() => {
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
                openat(&at, name, flags, Mode::from_raw_mode(0o644))?;
                openat(&at, name, LOOK, Mode::empty())?
            }
            Err(Errno::NOENT) => {
                mkdirat(at.as_fd(), name, Mode::from_raw_mode(0o755))?;
                openat(&at, name, LOOK | kind, Mode::empty())?
            }
            opened => opened?,
        };
    }
    Ok(at)
}

fn cover(path: &Path, options: &CStr) -> rustix::io::Result<()> {
    mount(c"tmpfs", path, c"tmpfs", MountFlags::NOSUID | MountFlags::NODEV, options)
}

/// Shared memory of its own, and a `/proc` that shows its own user's processes only (others' command lines may hold
/// secrets). Where a container's own rules forbid either, the host's stays: permissions still hold.
fn private_kernel_views() {
    if Path::new("/dev/shm").is_dir() {
        let _ = cover(Path::new("/dev/shm"), SHARED_MEMORY);
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let _ = mount(c"proc", "/proc", c"proc", flags, c"hidepid=invisible");
}

/// The outermost directory above a path that a user cannot pass through; `None` when the way is free.
pub fn barrier(path: &Path, user: u32) -> Option<PathBuf> {
    use std::os::unix::fs::MetadataExt;
    let passable = |directory: &Path| {
        std::fs::metadata(directory).is_ok_and(|meta| {
            let bit = match (meta.uid() == user, meta.gid() == user) {
                (true, _) => 0o100,
                (false, true) => 0o010,
                (false, false) => 0o001,
            };
            meta.mode() & bit != 0
        })
    };
    let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
    above.reverse();
    above.into_iter().find(|directory| !passable(directory)).map(Path::to_owned)
}
