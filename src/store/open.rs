//! Opening: an existing store, a new one, or the newest good backup in place of a damaged one.

use super::connection::{Connection, check, check_has_schema, close, connect, migrate};
use super::error::StoreError;
use super::files::{Files, copy_file, move_file, remove_database};
use super::read::collect_world;
use super::{Store, World};
use crate::model::Timestamp;
use sqlx::SqliteConnection;
use std::path::{Path, PathBuf};

/// How a store came to be open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// There was none; it is new and empty.
    Created,
    /// It was there and whole.
    Existing,
    /// It was damaged or gone, and the newest good backup took its place. What happened since the backup is not
    /// known: what runs has to be adopted by its labels.
    Restored {
        /// The backup; its name carries when it was made.
        from: PathBuf,
        /// What was wrong, in words.
        damage: String,
        /// Where the damaged file is now; `None` if there was no file any more.
        set_aside: Option<PathBuf>,
    },
}

impl Store {
    /// Opens the store in this directory (created, with its parents, if it is not there) and reads what it holds.
    /// The caller holds the lock on the data directory. `now` names what is set aside.
    pub async fn open(dir: &Path, now: Timestamp) -> Result<(Self, World, Opened), StoreError> {
        let dir = dir.to_owned();
        let files = blocking(move || Files::prepare(&dir)).await?;
        let (world, opened) = match load(&files.database()).await {
            Ok(Some(world)) => (world, Opened::Existing),
            Ok(None) => restore_or_create(&files, now).await?,
            Err(StoreError::Damaged { detail, .. }) => restore(&files, now, detail).await?,
            Err(other) => return Err(other),
        };
        let database = files.database();
        let (writer, reader) = (Connection::new(&database), Connection::new(&database));
        let store = Self { writer, reader, files, backing_up: tokio::sync::Mutex::new(()) };
        Ok((store, world, opened))
    }
}

/// Runs work on files where it may block.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(e) => Err(StoreError::Io { act: "work on files".into(), source: std::io::Error::other(e) }),
    }
}

/// Reads the world of a database that is whole; `None` when there is no file.
async fn load(path: &Path) -> Result<Option<World>, StoreError> {
    let there = tokio::fs::try_exists(path).await;
    if !there.map_err(|e| StoreError::io(format!("look for `{}`", path.display()), e))? {
        return Ok(None);
    }
    let mut connection = connect(path, false).await?;
    let world = load_connected(&mut connection, path).await;
    // Closed in either case, and waited for: what follows moves the file.
    let closed = close(connection, path).await;
    let world = world?;
    closed.map(|()| Some(world))
}

async fn load_connected(connection: &mut SqliteConnection, path: &Path) -> Result<World, StoreError> {
    check_has_schema(connection, path).await?;
    check(connection, path).await?;
    migrate(connection, path).await?;
    collect_world(connection, path).await
}

/// No database: a new one, unless backups say that there was one.
async fn restore_or_create(files: &Files, now: Timestamp) -> Result<(World, Opened), StoreError> {
    let listing = files.clone();
    if !blocking(move || listing.list_backups()).await?.is_empty() {
        return restore(files, now, "the file is gone".into()).await;
    }
    let unfinished = files.unfinished();
    let mut connection = connect(&unfinished, true).await?;
    migrate(&mut connection, &unfinished).await?;
    close(connection, &unfinished).await?;
    let database = files.database();
    blocking(move || move_file(&unfinished, &database)).await?;
    Ok((World::default(), Opened::Created))
}

/// Puts the newest good backup in the place of the database. Without one, everything stays as it is.
async fn restore(files: &Files, now: Timestamp, damage: String) -> Result<(World, Opened), StoreError> {
    let listing = files.clone();
    for from in blocking(move || listing.list_backups()).await? {
        let Some(world) = try_backup(files, &from).await? else { continue };
        let placing = files.clone();
        let set_aside = blocking(move || {
            let aside = placing.set_aside(now)?;
            move_file(&placing.unfinished(), &placing.database())?;
            Ok(aside)
        });
        let set_aside = set_aside.await?;
        return Ok((world, Opened::Restored { from, damage, set_aside }));
    }
    let detail = format!("{damage}, and there is no good backup");
    Err(StoreError::Damaged { path: files.database(), detail })
}

/// A copy of the backup, ready to take the database's place, and its world; `None` if the backup is damaged too.
async fn try_backup(files: &Files, backup: &Path) -> Result<Option<World>, StoreError> {
    let (from, to) = (backup.to_owned(), files.unfinished());
    blocking(move || {
        remove_database(&to)?;
        copy_file(&from, &to)
    })
    .await?;
    match load(&files.unfinished()).await {
        Ok(Some(world)) => {
            skip_event_numbers(&files.unfinished()).await?;
            Ok(Some(world))
        }
        Err(StoreError::Damaged { .. }) => Ok(None),
        other => other,
    }
}

/// Numbers given after the backup are not given again: who follows events asks for those after the last that they saw.
async fn skip_event_numbers(path: &Path) -> Result<(), StoreError> {
    let mut connection = connect(path, false).await?;
    let skipped =
        sqlx::query("UPDATE counters SET value = value + 1000000 WHERE name = 'events'").execute(&mut connection).await;
    let closed = close(connection, path).await;
    skipped.map_err(|e| StoreError::database("write a change", path, e))?;
    closed
}
