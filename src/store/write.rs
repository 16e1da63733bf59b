//! Writing: one list of changes is one transaction.

use super::error::StoreError;
use super::record::{Sealed, revision_key, seal};
use super::{Store, Write};
use crate::model::{
    Event, InstanceId, InstanceRecord, Operation, Resource, ResourceId, Revision, RevisionNumber, ServiceId,
    ServiceRecord, Timestamp,
};
use serde::Serialize;
use sqlx::{Connection as _, SqliteConnection};
use std::path::Path;

impl Store {
    /// Writes all changes in one transaction, all or nothing, durable when it returns. Dropping the future half-way
    /// leaves either. A revision, operation or instance needs its service, in the store or in the same list.
    pub async fn write(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        if writes.is_empty() {
            return Ok(());
        }
        let act = match writes.len() {
            1 => "write 1 change".to_owned(),
            n => format!("write {n} changes"),
        };
        let path = self.writer.path();
        let failed = |e| StoreError::database(act.clone(), path, e);
        let mut lease = self.writer.lease().await?;
        let mut transaction = lease.connection().begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        for write in &writes {
            execute_write(&mut transaction, write, &act, path).await?;
        }
        transaction.commit().await.map_err(failed)?;
        lease.give_back();
        Ok(())
    }

    /// Removes events from before a moment, but never the newest `keep` of all. Returns how many.
    pub async fn prune_events(&self, before: Timestamp, keep: u32) -> Result<u64, StoreError> {
        self.prune(
            "DELETE FROM events WHERE created_at < $1
             AND number <= COALESCE((SELECT number FROM events ORDER BY number DESC LIMIT 1 OFFSET $2), 0)",
            before,
            keep,
        )
        .await
    }

    /// Removes ended operations from before a moment, but never the newest `keep` of a service. Returns how many.
    pub async fn prune_operations(&self, before: Timestamp, keep: u32) -> Result<u64, StoreError> {
        self.prune(
            "DELETE FROM operations WHERE id IN (
                SELECT id FROM (
                    SELECT id, created_at, final,
                        ROW_NUMBER() OVER (PARTITION BY service_id ORDER BY number DESC, created_at DESC, id DESC) AS newest
                    FROM operations
                ) AS ranked
                WHERE created_at < $1 AND newest > $2 AND final = TRUE
             )",
            before,
            keep,
        )
        .await
    }

    async fn prune(&self, statement: &'static str, before: Timestamp, keep: u32) -> Result<u64, StoreError> {
        let mut lease = self.writer.lease().await?;
        let done = sqlx::query(statement).bind(before.0).bind(i64::from(keep)).execute(lease.connection()).await;
        let done = done.map_err(|e| StoreError::database("remove old records", self.writer.path(), e))?;
        lease.give_back();
        Ok(done.rows_affected())
    }
}

async fn execute_write(
    connection: &mut SqliteConnection,
    write: &Write,
    act: &str,
    path: &Path,
) -> Result<(), StoreError> {
    let done = match write {
        Write::PutService(s) => put_service(connection, s, seal("services", s.id.as_str(), s)?).await,
        Write::PutOperation(o) => put_operation(connection, o, seal("operations", o.id.as_str(), o)?).await,
        Write::PutRevision(service, revision) => return put_revision(connection, service, revision, act, path).await,
        Write::DeleteRevision(service, number) => delete_revision(connection, service, *number).await,
        Write::PutInstance(i) => put_instance(connection, i, seal("instances", i.id.as_str(), i)?).await,
        Write::DeleteInstance(id) => delete_instance(connection, id).await,
        Write::ForgetService(id) => forget_service(connection, id).await,
        Write::PutResource(r) => put_resource(connection, r, seal("resources", r.id.as_str(), r)?).await,
        Write::DeleteResource(id) => delete_resource(connection, id).await,
        Write::PutMeta(name, value) => put_meta(connection, name, seal("meta", name, value)?).await,
        Write::AppendEvent(event) => return append_event(connection, event, act, path).await,
    };
    done.map_err(|e| StoreError::database(act, path, e))
}

/// The word that a plain enum is on the wire, for columns that are asked for.
fn word<T: Serialize>(value: &T) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

async fn put_service(c: &mut SqliteConnection, service: &ServiceRecord, sealed: Sealed) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO services (id, name, created_at, deleted_at, record, checksum)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, created_at = excluded.created_at,
            deleted_at = excluded.deleted_at, record = excluded.record, checksum = excluded.checksum",
    )
    .bind(service.id.as_str())
    .bind(service.name.as_str())
    .bind(service.created_at.0)
    .bind(service.deleted_at.map(|t| t.0))
    .bind(sealed.record)
    .bind(sealed.checksum)
    .execute(c)
    .await
    .map(|_| ())
}

async fn put_operation(c: &mut SqliteConnection, operation: &Operation, sealed: Sealed) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO operations (id, service_id, kind, status, final, number, created_at, record, checksum)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (id) DO UPDATE SET service_id = excluded.service_id, kind = excluded.kind,
            status = excluded.status, final = excluded.final, number = excluded.number,
            created_at = excluded.created_at, record = excluded.record, checksum = excluded.checksum",
    )
    .bind(operation.id.as_str())
    .bind(operation.service.as_str())
    .bind(word(&operation.kind))
    .bind(word(&operation.status))
    .bind(operation.status.is_final())
    .bind(i64::try_from(operation.number).unwrap_or(i64::MAX))
    .bind(operation.created_at.0)
    .bind(sealed.record)
    .bind(sealed.checksum)
    .execute(c)
    .await
    .map(|_| ())
}

async fn put_revision(
    c: &mut SqliteConnection,
    service: &ServiceId,
    revision: &Revision,
    act: &str,
    path: &Path,
) -> Result<(), StoreError> {
    let failed = |e| StoreError::database(act, path, e);
    let stored: Option<String> =
        sqlx::query_scalar("SELECT record FROM revisions WHERE service_id = $1 AND number = $2")
            .bind(service.as_str())
            .bind(i64::from(revision.number.0))
            .fetch_optional(&mut *c)
            .await
            .map_err(failed)?;
    if let Some(stored) = stored {
        // Compared as values: what an older version wrote may spell the same revision otherwise.
        let same = serde_json::from_str::<Revision>(&stored).is_ok_and(|stored| &stored == revision);
        let exists = || StoreError::RevisionExists { service: service.clone(), number: revision.number };
        return same.then_some(()).ok_or_else(exists);
    }
    let sealed = seal("revisions", &revision_key(service.as_str(), i64::from(revision.number.0)), revision)?;
    let insert = "INSERT INTO revisions (service_id, number, created_at, record, checksum) VALUES ($1, $2, $3, $4, $5)";
    sqlx::query(insert)
        .bind(service.as_str())
        .bind(i64::from(revision.number.0))
        .bind(revision.created_at.0)
        .bind(sealed.record)
        .bind(sealed.checksum)
        .execute(c)
        .await
        .map(|_| ())
        .map_err(failed)
}

async fn delete_revision(c: &mut SqliteConnection, service: &ServiceId, number: RevisionNumber) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM revisions WHERE service_id = $1 AND number = $2")
        .bind(service.as_str())
        .bind(i64::from(number.0))
        .execute(c)
        .await
        .map(|_| ())
}

async fn put_instance(c: &mut SqliteConnection, instance: &InstanceRecord, sealed: Sealed) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO instances (id, service_id, role, created_at, record, checksum)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (id) DO UPDATE SET service_id = excluded.service_id, role = excluded.role,
            created_at = excluded.created_at, record = excluded.record, checksum = excluded.checksum",
    )
    .bind(instance.id.as_str())
    .bind(instance.service.as_str())
    .bind(word(&instance.role))
    .bind(instance.created_at.0)
    .bind(sealed.record)
    .bind(sealed.checksum)
    .execute(c)
    .await
    .map(|_| ())
}

async fn delete_instance(c: &mut SqliteConnection, id: &InstanceId) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM instances WHERE id = $1").bind(id.as_str()).execute(c).await.map(|_| ())
}

/// Its revisions, operations and instances go with it, by their references.
async fn forget_service(c: &mut SqliteConnection, id: &ServiceId) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM services WHERE id = $1").bind(id.as_str()).execute(c).await.map(|_| ())
}

async fn put_resource(c: &mut SqliteConnection, resource: &Resource, sealed: Sealed) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO resources (id, kind, name, record, checksum) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, name = excluded.name, record = excluded.record,
            checksum = excluded.checksum",
    )
    .bind(resource.id.as_str())
    .bind(resource.of_type().word())
    .bind(resource.name.as_str())
    .bind(sealed.record)
    .bind(sealed.checksum)
    .execute(c)
    .await
    .map(|_| ())
}

async fn delete_resource(c: &mut SqliteConnection, id: &ResourceId) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM resources WHERE id = $1").bind(id.as_str()).execute(c).await.map(|_| ())
}

async fn put_meta(c: &mut SqliteConnection, name: &str, sealed: Sealed) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO meta (name, record, checksum) VALUES ($1, $2, $3)
         ON CONFLICT (name) DO UPDATE SET record = excluded.record, checksum = excluded.checksum",
    )
    .bind(name)
    .bind(sealed.record)
    .bind(sealed.checksum)
    .execute(c)
    .await
    .map(|_| ())
}

async fn append_event(c: &mut SqliteConnection, event: &Event, act: &str, path: &Path) -> Result<(), StoreError> {
    let failed = |e| StoreError::database(act, path, e);
    let number: i64 = sqlx::query_scalar("UPDATE counters SET value = value + 1 WHERE name = 'events' RETURNING value")
        .fetch_one(&mut *c)
        .await
        .map_err(failed)?;
    let sealed = seal("events", &number.to_string(), event)?;
    sqlx::query(
        "INSERT INTO events (number, service_id, kind, severity, created_at, record, checksum)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(number)
    .bind(event.service.as_ref().map(ServiceId::as_str))
    .bind(event.kind.as_str())
    .bind(word(&event.severity))
    .bind(event.at.0)
    .bind(sealed.record)
    .bind(sealed.checksum)
    .execute(c)
    .await
    .map(|_| ())
    .map_err(failed)
}
