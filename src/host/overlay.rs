//! Layers: a directory seen through a layer that takes all changes, so that the directory itself never changes.

use rustix::fd::OwnedFd;
use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string,
    fsmount, fsopen, move_mount,
};
use std::io;
use std::path::Path;

/// What lies over what.
#[derive(Clone, Copy, Debug)]
pub struct Layers<'a> {
    /// What is seen, and never changed.
    pub lower: &'a Path,
    /// Where changes go.
    pub upper: &'a Path,
    /// An empty directory on the file system of `upper`.
    pub work: &'a Path,
}

impl Layers<'_> {
    /// Mounts the layers at a path, in the mount namespace of this thread. Changes are not synced to the disk: they do not
    /// outlive their instance.
    ///
    /// # Errors
    /// When the kernel has no overlay file system or does not take these directories for one.
    pub fn mount(&self, target: &Path) -> io::Result<()> {
        // In a user namespace, marks of the file system are kept in attributes that users may set.
        let first: &[&str] = if rustix::process::geteuid().is_root() { &["metacopy"] } else { &["userxattr"] };
        // `volatile` came with 5.10; before, syncing costs time and nothing else.
        let made = self.make(&[first, &["volatile"]].concat()).or_else(|_| self.make(first))?;
        Ok(move_mount(&made, c"", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
    }

    fn make(&self, options: &[&str]) -> rustix::io::Result<OwnedFd> {
        let filesystem = fsopen(c"overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
        // Only in `lowerdir` a colon means something: the next layer.
        fsconfig_set_string(&filesystem, c"lowerdir", escaped(self.lower).as_str())?;
        fsconfig_set_string(&filesystem, c"upperdir", self.upper)?;
        fsconfig_set_string(&filesystem, c"workdir", self.work)?;
        for option in options {
            match *option {
                "metacopy" => fsconfig_set_string(&filesystem, c"metacopy", c"on")?,
                flag => fsconfig_set_flag(&filesystem, flag)?,
            }
        }
        fsconfig_create(&filesystem)?;
        fsmount(
            &filesystem,
            FsMountFlags::FSMOUNT_CLOEXEC,
            MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOSUID,
        )
    }
}

fn escaped(path: &Path) -> String {
    path.to_string_lossy().replace('\\', "\\\\").replace(':', "\\:")
}
