//! Reading: the whole world at start, and afterwards what is not kept in memory.

use super::error::StoreError;
use super::record::{Row, revision_key};
use super::{Store, World};
use crate::model::{Event, InstanceRecord, Operation, OperationId, Resource, Revision, ServiceId, ServiceRecord};
use serde::de::DeserializeOwned;
use serde_json::Value;
use sqlx::SqliteConnection;
use std::path::Path;
use std::sync::Arc;

impl Store {
    /// Operations of a service, newest first.
    pub async fn operations(&self, service: &ServiceId, limit: u32) -> Result<Vec<Operation>, StoreError> {
        let query = sqlx::query_as(
            "SELECT id, record, checksum FROM operations WHERE service_id = $1
             ORDER BY number DESC, created_at DESC, id DESC LIMIT $2",
        );
        let mut lease = self.reader.lease().await?;
        let rows: Vec<(String, String, String)> = query
            .bind(service.as_str())
            .bind(i64::from(limit))
            .fetch_all(lease.connection())
            .await
            .map_err(|e| StoreError::database("read operations", self.reader.path(), e))?;
        lease.give_back();
        let path = self.reader.path();
        rows.into_iter()
            .map(|(key, record, checksum)| Row { table: "operations", key, record, checksum }.open(path))
            .collect()
    }

    /// One operation, ended ones too; `None` when there is none.
    pub async fn operation(&self, id: &OperationId) -> Result<Option<Operation>, StoreError> {
        let mut lease = self.reader.lease().await?;
        let row: Option<(String, String)> = sqlx::query_as("SELECT record, checksum FROM operations WHERE id = $1")
            .bind(id.as_str())
            .fetch_optional(lease.connection())
            .await
            .map_err(|e| StoreError::database("read an operation", self.reader.path(), e))?;
        lease.give_back();
        let key = id.as_str().to_owned();
        row.map(|(record, checksum)| Row { table: "operations", key, record, checksum }.open(self.reader.path()))
            .transpose()
    }

    /// Events after a number, oldest first, each with its number. Numbers never repeat; there may be gaps.
    pub async fn events(
        &self,
        service: Option<&ServiceId>,
        after: u64,
        limit: u32,
    ) -> Result<Vec<(u64, Event)>, StoreError> {
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let query = match service {
            Some(service) => sqlx::query_as(
                "SELECT number, record, checksum FROM events WHERE number > $1 AND service_id = $3 ORDER BY number LIMIT $2",
            )
            .bind(after)
            .bind(i64::from(limit))
            .bind(service.as_str()),
            None => sqlx::query_as("SELECT number, record, checksum FROM events WHERE number > $1 ORDER BY number LIMIT $2")
                .bind(after)
                .bind(i64::from(limit)),
        };
        self.numbered_events(query).await
    }

    /// The newest events, oldest of them first, each with its number: where a reader that follows begins.
    pub async fn newest_events(
        &self,
        service: Option<&ServiceId>,
        limit: u32,
    ) -> Result<Vec<(u64, Event)>, StoreError> {
        let query = match service {
            Some(service) => sqlx::query_as(
                "SELECT number, record, checksum FROM events WHERE service_id = $2 ORDER BY number DESC LIMIT $1",
            )
            .bind(i64::from(limit))
            .bind(service.as_str()),
            None => sqlx::query_as("SELECT number, record, checksum FROM events ORDER BY number DESC LIMIT $1")
                .bind(i64::from(limit)),
        };
        let mut events = self.numbered_events(query).await?;
        events.reverse();
        Ok(events)
    }

    async fn numbered_events(
        &self,
        query: sqlx::query::QueryAs<'_, sqlx::Sqlite, (i64, String, String), sqlx::sqlite::SqliteArguments>,
    ) -> Result<Vec<(u64, Event)>, StoreError> {
        let mut lease = self.reader.lease().await?;
        let rows = query
            .fetch_all(lease.connection())
            .await
            .map_err(|e| StoreError::database("read events", self.reader.path(), e))?;
        lease.give_back();
        let path = self.reader.path();
        rows.into_iter()
            .map(|(number, record, checksum)| {
                let row = Row { table: "events", key: number.to_string(), record, checksum };
                Ok((number.unsigned_abs(), row.open(path)?))
            })
            .collect()
    }
}

/// All that the reconciler keeps in memory.
pub(super) async fn collect_world(c: &mut SqliteConnection, path: &Path) -> Result<World, StoreError> {
    let services = rows::<ServiceRecord>(c, path, "services", "SELECT id, record, checksum FROM services").await?;
    let operations = rows::<Operation>(c, path, "operations", NEWEST_OPERATIONS).await?;
    let instances = rows::<InstanceRecord>(c, path, "instances", "SELECT id, record, checksum FROM instances").await?;
    let resources = rows::<Resource>(c, path, "resources", "SELECT id, record, checksum FROM resources").await?;
    let meta = rows::<Value>(c, path, "meta", "SELECT name, record, checksum FROM meta").await?;
    let mut world = World {
        services: services.into_iter().map(|(_, s)| (s.id.clone(), Arc::new(s))).collect(),
        operations: operations.into_iter().map(|(_, o)| (o.id.clone(), o)).collect(),
        instances: instances.into_iter().map(|(_, i)| (i.id.clone(), i)).collect(),
        resources: resources.into_iter().map(|(_, r)| (r.id.clone(), r)).collect(),
        meta: meta.into_iter().collect(),
        ..World::default()
    };
    world.index();
    collect_revisions(c, path, &mut world).await?;
    Ok(world)
}

/// All operations that are not final, and of each service the newest hundred.
const NEWEST_OPERATIONS: &str = "SELECT id, record, checksum FROM (
        SELECT id, record, checksum, final,
            ROW_NUMBER() OVER (PARTITION BY service_id ORDER BY number DESC, created_at DESC, id DESC) AS newest
        FROM operations
    ) AS ranked
    WHERE newest <= 100 OR final = FALSE";

async fn collect_revisions(c: &mut SqliteConnection, path: &Path, world: &mut World) -> Result<(), StoreError> {
    let rows: Vec<(String, i64, String, String)> =
        sqlx::query_as("SELECT service_id, number, record, checksum FROM revisions")
            .fetch_all(c)
            .await
            .map_err(|e| StoreError::database("read what it holds", path, e))?;
    for (service, number, record, checksum) in rows {
        let row = Row { table: "revisions", key: revision_key(&service, number), record, checksum };
        let revision: Revision = row.open(path)?;
        // The id was checked when it was written, and the checksum holds for it.
        let id = ServiceId::try_from(service)
            .map_err(|e| StoreError::Damaged { path: path.to_owned(), detail: e.to_string() })?;
        world.revisions.insert((id, revision.number), Arc::new(revision));
    }
    Ok(())
}

async fn rows<T: DeserializeOwned>(
    c: &mut SqliteConnection,
    path: &Path,
    table: &'static str,
    statement: &'static str,
) -> Result<Vec<(String, T)>, StoreError> {
    let rows: Vec<(String, String, String)> = sqlx::query_as(statement)
        .fetch_all(c)
        .await
        .map_err(|e| StoreError::database("read what it holds", path, e))?;
    rows.into_iter()
        .map(|(key, record, checksum)| {
            let row = Row { table, key, record, checksum };
            let value = row.open(path)?;
            Ok((row.key, value))
        })
        .collect()
}
