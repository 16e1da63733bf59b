//! One connection to the database, and the schema that it must have.

use super::error::StoreError;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection as _, SqliteConnection};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};

/// How long a statement waits for another connection's lock. There is one writer; a backup or a checkpoint is short.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Every commit is synced before it counts. A log that grew beyond the limit (a burst) is cut back at a checkpoint.
const SET_UP: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 16777216";

static MIGRATIONS: Migrator = sqlx::migrate!("src/store/migrations");

/// A connection that is opened when it is needed. One that failed is thrown away with its transaction, so that no
/// state of a failed statement is met by the next.
pub(super) struct Connection {
    path: PathBuf,
    slot: Mutex<Option<SqliteConnection>>,
}

impl Connection {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), slot: Mutex::new(None) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The connection, for one caller at a time. Dropping the lease without giving it back drops the connection, which
    /// rolls back: so ends a caller that failed or was dropped half-way.
    pub(super) async fn lease(&self) -> Result<Lease<'_>, StoreError> {
        let mut slot = self.slot.lock().await;
        let connection = match slot.take() {
            Some(connection) => connection,
            None => connect(&self.path, false).await?,
        };
        Ok(Lease { connection, slot })
    }

    /// Ends the connection in good order; the last one to end folds the log into the database.
    pub(super) async fn close(&self) -> Result<(), StoreError> {
        match self.slot.lock().await.take() {
            Some(connection) => close(connection, &self.path).await,
            None => Ok(()),
        }
    }
}

/// The only hold on a connection.
pub(super) struct Lease<'a> {
    connection: SqliteConnection,
    slot: MutexGuard<'a, Option<SqliteConnection>>,
}

impl Lease<'_> {
    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }

    /// Keeps the connection for the next caller: nothing failed on it.
    pub(super) fn give_back(mut self) {
        *self.slot = Some(self.connection);
    }
}

/// Opens a connection. One that cannot be set up has let go of its files when this returns: a connection to a damaged
/// database that ended later would remove the log of the one that took its place.
pub(super) async fn connect(path: &Path, create: bool) -> Result<SqliteConnection, StoreError> {
    let failed = |e| StoreError::database(format!("open `{}`", path.display()), path, e);
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(create)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging();
    let mut connection = options.connect().await.map_err(failed)?;
    if let Err(error) = sqlx::raw_sql(SET_UP).execute(&mut connection).await {
        close(connection, path).await?;
        return Err(failed(error));
    }
    Ok(connection)
}

pub(super) async fn close(connection: SqliteConnection, path: &Path) -> Result<(), StoreError> {
    connection.close().await.map_err(|e| StoreError::database(format!("close `{}`", path.display()), path, e))
}

/// Looks whether every page, row and index of the database is as it should be.
pub(super) async fn check(connection: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    let found: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check(3)")
        .fetch_all(&mut *connection)
        .await
        .map_err(|e| StoreError::database("check itself", path, e))?;
    if found != ["ok"] {
        return Err(StoreError::Damaged { path: path.to_owned(), detail: found.join("; ").replace('\n', " ") });
    }
    Ok(())
}

/// Whether the database has a schema at all: a database gets its name only once it has, so one without was cut off.
pub(super) async fn check_has_schema(connection: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    let tables: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM sqlite_master WHERE name IN ('_sqlx_migrations', 'meta')")
            .fetch_one(&mut *connection)
            .await
            .map_err(|e| StoreError::database("read its schema", path, e))?;
    if tables == 2 {
        return Ok(());
    }
    Err(StoreError::Damaged { path: path.to_owned(), detail: "its tables are gone".into() })
}

/// Brings the schema up to this version's. A newer one is refused.
pub(super) async fn migrate(connection: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    let known = MIGRATIONS.iter().map(|m| m.version).max().unwrap_or(0);
    MIGRATIONS.run_direct(None, connection, false).await.map_err(|e| match e {
        MigrateError::VersionMissing(version) => StoreError::Newer { path: path.to_owned(), version, known },
        MigrateError::Execute(e) | MigrateError::ExecuteMigration(e, _) => {
            StoreError::database("bring its schema up to date", path, e)
        }
        source => StoreError::Schema { path: path.to_owned(), source },
    })
}
