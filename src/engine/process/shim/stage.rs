//! Gives an instance its own files: a disk of its size, a layer over its build, a directory for temporary files.
//!
//! All mounts are in the mount namespace of the shim, which the application's is made from: they go with the last of them.

use super::super::files::{InstanceDir, SpecFile};
use super::storage::Storage;
use crate::host::disk;
use crate::host::jail::{users, view};
use crate::host::overlay::Layers;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

/// Does what the specification says, and returns what is to be watched of it.
pub fn set(dir: &InstanceDir, spec: &SpecFile) -> io::Result<Storage> {
    let (files, place) = (&spec.files, dir.disk());
    if *files == super::super::files::Files::default() {
        // Written by an older version.
        return Ok(Storage::default());
    }
    if files.disk || files.layered.is_some() {
        view::own_namespace()?;
    }
    let disk = if files.disk {
        disk::make(&place.image(), files.storage, place.path()).map_err(|e| e.to_string())
    } else {
        Ok(())
    };
    own_directory(&place.temporary(), files.user, 0o1777)?;
    if let Some(root) = &files.layered {
        own_directory(&place.upper(), files.user, 0o755)?;
        own_directory(&place.work(), None, 0o700)?;
        // Asked before the layer is there, which is the instance's own already.
        let owner = std::fs::symlink_metadata(&spec.directory)?.uid();
        Layers { lower: root, upper: &place.upper(), work: &place.work() }.mount(root)?;
        // Services with equal contents share a build, which then belongs to the first of them: in its layer the files
        // become the instance's own. Only what is known about a file is written for that, not what it holds.
        files.user.filter(|user| *user != owner).map_or(Ok(()), |user| users::give(root, user))?;
    }
    Ok(match disk {
        Ok(()) if files.disk => Storage::disk(place.path().to_owned(), files.storage),
        Ok(()) => Storage::watched(place.path().to_owned(), files.storage, None),
        Err(why) => Storage::watched(place.path().to_owned(), files.storage, Some(why)),
    })
}

fn own_directory(path: &Path, user: Option<u32>, mode: u32) -> io::Result<()> {
    std::fs::create_dir_all(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(mode))?;
    user.map_or(Ok(()), |user| chown(path, Some(user), Some(user)))
}
