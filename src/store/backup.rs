//! Backups: a whole, verified copy beside the database.

use super::Store;
use super::connection::{check, check_has_schema, close, connect};
use super::error::StoreError;
use super::files::remove_database;
use super::open::blocking;
use crate::model::Timestamp;
use sqlx::SqliteConnection;
use std::path::{Path, PathBuf};

impl Store {
    /// Makes a backup of the present state, verifies it, and keeps the newest three. Writing goes on meanwhile. Returns
    /// where it is. To be called soon after start and then hourly.
    pub async fn back_up(&self, now: Timestamp) -> Result<PathBuf, StoreError> {
        // One at a time: both would write the same unfinished file.
        let _alone = self.backing_up.lock().await;
        let unfinished = self.files.unfinished_backup();
        let result = self.copy_into(&unfinished).await;
        if let Err(error) = result {
            // What was written of it would only fill the disk further.
            let _ = blocking(move || remove_database(&unfinished)).await;
            return Err(error);
        }
        let files = self.files.clone();
        blocking(move || files.finish_backup(now)).await
    }

    async fn copy_into(&self, target: &Path) -> Result<(), StoreError> {
        let stale = target.to_owned();
        blocking(move || remove_database(&stale)).await?;
        let mut lease = self.reader.lease().await?;
        sqlx::query("VACUUM INTO $1")
            .bind(target.to_string_lossy().into_owned())
            .execute(lease.connection())
            .await
            .map_err(|e| StoreError::database("make a backup", self.reader.path(), e))?;
        lease.give_back();
        let mut copy = connect(target, false).await?;
        let verified = verify(&mut copy, target).await;
        let closed = close(copy, target).await;
        verified.and(closed)
    }
}

async fn verify(copy: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    check_has_schema(copy, path).await?;
    check(copy, path).await
}
