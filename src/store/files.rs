//! The files of the store: the database, what SQLite keeps beside it, backups, and what was set aside.
//!
//! All functions block; callers wrap them. Every rename is followed by an `fsync` of the directory.

use super::error::StoreError;
use crate::model::Timestamp;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// How many backups are kept.
const BACKUPS_KEPT: usize = 3;

/// Where the files are.
#[derive(Clone, Debug)]
pub(super) struct Files {
    dir: PathBuf,
}

impl Files {
    /// The files in this directory, which is created. What an unfinished creation, restore or backup left is removed.
    pub(super) fn prepare(dir: &Path) -> Result<Self, StoreError> {
        let files = Self { dir: dir.to_owned() };
        let backups = files.backups();
        fs::create_dir_all(&backups)
            .map_err(|e| StoreError::io(format!("create directory `{}`", backups.display()), e))?;
        remove_unfinished(dir)?;
        remove_unfinished(&backups)?;
        Ok(files)
    }

    /// The database.
    pub(super) fn database(&self) -> PathBuf {
        self.dir.join("towpath.db")
    }

    /// The database while it is made: it gets its name when it is whole, so that an empty one is always damage.
    pub(super) fn unfinished(&self) -> PathBuf {
        self.dir.join("towpath.db.unfinished")
    }

    /// The backups' directory.
    pub(super) fn backups(&self) -> PathBuf {
        self.dir.join("backups")
    }

    /// A backup while it is made.
    pub(super) fn unfinished_backup(&self) -> PathBuf {
        self.backups().join("backup.unfinished")
    }

    /// The backups, newest first. Their order is that of the counter in the name: clocks go back.
    pub(super) fn list_backups(&self) -> Result<Vec<PathBuf>, StoreError> {
        let mut found: Vec<(u64, PathBuf)> =
            list(&self.backups())?.into_iter().filter_map(|p| Some((backup_number(&p)?, p))).collect();
        found.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
        Ok(found.into_iter().map(|(_, path)| path).collect())
    }

    /// Gives the whole, verified backup its name and removes the oldest beyond the three that are kept.
    pub(super) fn finish_backup(&self, now: Timestamp) -> Result<PathBuf, StoreError> {
        let before = self.list_backups()?;
        let number = before.first().and_then(|p| backup_number(p)).unwrap_or(0) + 1;
        let name = self.backups().join(format!("towpath-{number:08}-{}.db", file_time(now)));
        move_file(&self.unfinished_backup(), &name)?;
        for old in before.iter().skip(BACKUPS_KEPT - 1) {
            fs::remove_file(old).map_err(|e| StoreError::io(format!("remove `{}`", old.display()), e))?;
        }
        Ok(name)
    }

    /// Moves a damaged database, with what SQLite keeps beside it, to a name that nothing reads. `None`: it is not there.
    pub(super) fn set_aside(&self, now: Timestamp) -> Result<Option<PathBuf>, StoreError> {
        let database = self.database();
        if !database.exists() {
            // A log without its database would be applied to the one that takes its place.
            remove_companions(&database)?;
            return Ok(None);
        }
        let aside = self.free_name(&format!("towpath.db.damaged-{}", file_time(now)));
        // The companions first: if this is cut off in between, the database alone is found damaged again.
        for suffix in ["-wal", "-shm"] {
            let companion = with_suffix(&database, suffix);
            if companion.exists() {
                move_file(&companion, &with_suffix(&aside, suffix))?;
            }
        }
        move_file(&database, &aside)?;
        Ok(Some(aside))
    }

    fn free_name(&self, name: &str) -> PathBuf {
        let mut path = self.dir.join(name);
        let mut count = 1;
        while path.exists() {
            count += 1;
            path = self.dir.join(format!("{name}-{count}"));
        }
        path
    }
}

/// Renames within one directory and makes both the contents and the name durable.
pub(super) fn move_file(from: &Path, to: &Path) -> Result<(), StoreError> {
    let act = || format!("move `{}` to `{}`", from.display(), to.display());
    File::open(from).and_then(|f| f.sync_all()).map_err(|e| StoreError::io(act(), e))?;
    fs::rename(from, to).map_err(|e| StoreError::io(act(), e))?;
    let parent = to.parent().unwrap_or(to);
    File::open(parent).and_then(|d| d.sync_all()).map_err(|e| StoreError::io(act(), e))
}

/// Copies a file to a name where nothing is.
pub(super) fn copy_file(from: &Path, to: &Path) -> Result<(), StoreError> {
    fs::copy(from, to)
        .map(|_| ())
        .map_err(|e| StoreError::io(format!("copy `{}` to `{}`", from.display(), to.display()), e))
}

/// Removes what SQLite keeps beside a database.
fn remove_companions(database: &Path) -> Result<(), StoreError> {
    ["-wal", "-shm"].iter().try_for_each(|suffix| remove_if_there(&with_suffix(database, suffix)))
}

fn remove_unfinished(dir: &Path) -> Result<(), StoreError> {
    let left = |path: &PathBuf| path.file_name().is_some_and(|n| n.to_string_lossy().contains(".unfinished"));
    list(dir)?.iter().filter(|p| left(p)).try_for_each(|p| remove_if_there(p))
}

/// Removes a database and what SQLite keeps beside it; nothing to remove is success.
pub(super) fn remove_database(path: &Path) -> Result<(), StoreError> {
    remove_companions(path)?;
    remove_if_there(path)
}

/// Removes a file; nothing to remove is success.
fn remove_if_there(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(StoreError::io(format!("remove `{}`", path.display()), e))
        }
        _ => Ok(()),
    }
}

fn list(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let act = || format!("read directory `{}`", dir.display());
    let entries = fs::read_dir(dir).map_err(|e| StoreError::io(act(), e))?;
    entries.map(|e| e.map(|e| e.path()).map_err(|e| StoreError::io(act(), e))).collect()
}

/// `towpath-00000012-20261122T130431.123Z.db` → 12.
fn backup_number(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?.strip_prefix("towpath-")?.strip_suffix(".db")?;
    name.split('-').next()?.parse().ok()
}

/// A moment as part of a file name: no colons, no dashes.
fn file_time(at: Timestamp) -> String {
    at.to_string().replace([':', '-'], "")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
