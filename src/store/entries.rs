//! Entries: what rooms above keep by kind and name, in a form of their own. The store knows nothing of what they say.

use super::Store;
use super::error::StoreError;
use super::record::{Row, seal};
use serde_json::Value;
use sqlx::Connection as _;
use sqlx::SqliteConnection;

/// One entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// What it is: `user`.
    pub kind: String,
    /// Its name within its kind.
    pub name: String,
    /// What it says.
    pub value: Value,
}

/// One change of entries.
#[derive(Clone, Debug, PartialEq)]
pub enum EntryWrite {
    /// Inserts or replaces one.
    Put(Entry),
    /// Removes one, if it is there.
    Delete {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
    },
}

impl Store {
    /// All entries of these kinds, by kind and name.
    pub async fn entries(&self, kinds: &[&str]) -> Result<Vec<Entry>, StoreError> {
        let mut lease = self.reader.lease().await?;
        let rows: Vec<(String, String, String, String)> =
            sqlx::query_as("SELECT kind, name, record, checksum FROM entries ORDER BY kind, name")
                .fetch_all(lease.connection())
                .await
                .map_err(|e| StoreError::database("read entries", self.reader.path(), e))?;
        lease.give_back();
        let wanted = rows.into_iter().filter(|(kind, ..)| kinds.contains(&kind.as_str()));
        let entries = wanted.map(|(kind, name, record, checksum)| {
            let row = Row { table: "entries", key: entry_key(&kind, &name), record, checksum };
            Ok(Entry { value: row.open(self.reader.path())?, kind, name })
        });
        entries.collect()
    }

    /// Writes all changes in one transaction, all or nothing, durable when it returns.
    pub async fn write_entries(&self, writes: &[EntryWrite]) -> Result<(), StoreError> {
        let path = self.writer.path();
        let failed = |e| StoreError::database("write entries", path, e);
        let mut lease = self.writer.lease().await?;
        let mut transaction = lease.connection().begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        for write in writes {
            match write {
                EntryWrite::Put(entry) => put(&mut transaction, entry).await?.map_err(failed)?,
                EntryWrite::Delete { kind, name } => delete(&mut transaction, kind, name).await.map_err(failed)?,
            }
        }
        transaction.commit().await.map_err(failed)?;
        lease.give_back();
        Ok(())
    }
}

fn entry_key(kind: &str, name: &str) -> String {
    format!("{kind}/{name}")
}

async fn put(c: &mut SqliteConnection, entry: &Entry) -> Result<sqlx::Result<()>, StoreError> {
    let sealed = seal("entries", &entry_key(&entry.kind, &entry.name), &entry.value)?;
    let done = sqlx::query(
        "INSERT INTO entries (kind, name, record, checksum) VALUES ($1, $2, $3, $4)
         ON CONFLICT (kind, name) DO UPDATE SET record = excluded.record, checksum = excluded.checksum",
    )
    .bind(&entry.kind)
    .bind(&entry.name)
    .bind(sealed.record)
    .bind(sealed.checksum)
    .execute(c)
    .await;
    Ok(done.map(|_| ()))
}

async fn delete(c: &mut SqliteConnection, kind: &str, name: &str) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM entries WHERE kind = $1 AND name = $2").bind(kind).bind(name).execute(c).await.map(|_| ())
}
