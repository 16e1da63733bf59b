//! Small files that are either there as a whole or not at all.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Writes a file (mode 0600) so that after a crash it holds the old or the new content, never a part.
///
/// # Errors
/// When writing, syncing or renaming fails; the old content is then still there.
pub fn write_atomic(path: &Path, content: &[u8]) -> io::Result<()> {
    let directory = path.parent().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    // The process id keeps two writers apart; a left-over of a crash is overwritten.
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.tmp", std::process::id()));
    let partial = directory.join(name);
    let written = write_new(&partial, content).and_then(|()| std::fs::rename(&partial, path));
    if let Err(error) = written {
        let _ = std::fs::remove_file(&partial);
        return Err(error);
    }
    File::open(directory)?.sync_all()
}

fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Reads a file that is expected to be small; a larger one is an error, so that a damaged one costs no memory.
///
/// # Errors
/// When it cannot be read, or is larger than `limit` bytes.
pub fn read_small(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let size = std::fs::metadata(path)?.len();
    if size > limit {
        let message = format!("{} has {size} bytes, more than the {limit} expected", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    std::fs::read(path)
}

/// How much room a file or a directory takes on disk, with all below it and without following links, and when anything in
/// it changed last, in milliseconds since 1970.
///
/// # Errors
/// When it is not there.
pub fn tree_size(path: &Path) -> io::Result<(u64, i64)> {
    let metadata = std::fs::symlink_metadata(path)?;
    let (mut bytes, mut newest) = (0_u64, i64::MIN);
    let mut open = vec![(path.to_owned(), metadata)];
    while let Some((path, metadata)) = open.pop() {
        bytes += metadata.blocks() * 512;
        newest = newest.max(metadata.mtime().saturating_mul(1000));
        if !metadata.is_dir() {
            continue;
        }
        // What goes away meanwhile takes no room.
        for entry in std::fs::read_dir(&path).into_iter().flatten().flatten() {
            open.extend(entry.metadata().ok().map(|metadata| (entry.path(), metadata)));
        }
    }
    Ok((bytes, newest))
}

/// Removes a directory and everything in it. Nothing there is success.
///
/// # Errors
/// When something in it cannot be removed.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // Go makes its module cache read-only: directories without the write bit cannot be emptied by their owner.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            make_writable(path)?;
            std::fs::remove_dir_all(path)
        }
        // Something was written into it meanwhile: once more, not for ever.
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => std::fs::remove_dir_all(path),
        result => result,
    }
}

fn make_writable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))?;
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            make_writable(&entry.path())?;
        }
    }
    Ok(())
}

/// Moves a directory; where source and target are on different file systems, copies and then removes it.
///
/// # Errors
/// When it cannot be moved or copied.
pub fn move_tree(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            copy_tree(from, to)?;
            remove_tree(from)
        }
        result => result,
    }
}

/// Copies a directory: files with mode and modification time (compiled Python is valid for its source's time only),
/// links as links, never followed. Sockets, pipes and devices are left out.
///
/// # Errors
/// When something cannot be read or written.
pub fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    let mut pending: Vec<(PathBuf, PathBuf)> = vec![(from.to_owned(), to.to_owned())];
    while let Some((source, target)) = pending.pop() {
        for entry in std::fs::read_dir(&source)? {
            let entry = entry?;
            let (kind, destination) = (entry.file_type()?, target.join(entry.file_name()));
            if kind.is_dir() {
                std::fs::create_dir_all(&destination)?;
                pending.push((entry.path(), destination));
            } else if kind.is_symlink() {
                std::os::unix::fs::symlink(std::fs::read_link(entry.path())?, destination)?;
            } else if kind.is_file() {
                copy_file(&entry.path(), &destination)?;
            }
        }
    }
    Ok(())
}

fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::copy(from, to)?;
    let modified = std::fs::metadata(from)?.modified()?;
    // Opening for reading is enough to set times of an own file, read-only ones too.
    File::open(to)?.set_modified(modified)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_atomic_write_replaces_the_whole_and_leaves_no_partial_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        write_atomic(&path, b"a longer first content").unwrap();
        write_atomic(&path, b"second").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_beyond_its_expected_size_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("big");
        std::fs::write(&path, vec![0; 100]).unwrap();
        assert!(read_small(&path, 99).is_err());
        assert_eq!(read_small(&path, 100).unwrap().len(), 100);
    }

    #[test]
    fn a_copied_tree_keeps_links_modes_and_times_and_follows_nothing() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        std::fs::create_dir_all(from.join("bin")).unwrap();
        std::fs::write(from.join("bin/run"), "x").unwrap();
        std::fs::set_permissions(from.join("bin/run"), std::fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink("/etc", from.join("outside")).unwrap();
        copy_tree(&from, &to).unwrap();
        assert_eq!(std::fs::read_link(to.join("outside")).unwrap(), Path::new("/etc"));
        let (a, b) = (from.join("bin/run").metadata().unwrap(), to.join("bin/run").metadata().unwrap());
        assert_eq!(a.modified().unwrap(), b.modified().unwrap());
        assert_eq!(b.permissions().mode() & 0o777, 0o755);
    }
}
