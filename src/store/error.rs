//! What fails in the store, who acts next, and what a person can do about it.

use crate::model::{Class, RevisionNumber, ServiceId};
use std::path::PathBuf;

/// What failed in the store. After a failed write nothing of it is stored.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk has no room for the write.
    #[error("the disk is full: the store could not {act}")]
    Full {
        /// What was tried: `write 3 changes`.
        act: String,
        /// What SQLite said.
        #[source]
        source: sqlx::Error,
    },
    /// The file is damaged, and there is no good backup to go back to. It stays where it is.
    #[error(
        "the store `{}` is damaged: {detail}; towpath decides nothing until it is repaired, traffic and running \
         instances are left as they are", path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// A newer towpath wrote it.
    #[error("the store `{}` was written by a newer towpath (schema {version}, this one knows up to {known})", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The first schema version that is not known here.
        version: i64,
        /// The newest that is.
        known: i64,
    },
    /// Its schema is not the one that this version's migrations make.
    #[error("the schema of the store `{}` is not towpath's", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// What differs.
        #[source]
        source: sqlx::migrate::MigrateError,
    },
    /// A record is not what this version reads.
    #[error("a record of the store cannot be read: `{key}` in `{table}`")]
    Unreadable {
        /// The table.
        table: &'static str,
        /// The record's key.
        key: String,
        /// Where reading stopped.
        #[source]
        source: serde_json::Error,
    },
    /// A value has no stored form (a path that is not UTF-8).
    #[error("a value for `{table}` cannot be stored")]
    Unwritable {
        /// The table.
        table: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Revisions are immutable: the number exists with another content.
    #[error("revision {number} of service `{service}` exists already and is not the same")]
    RevisionExists {
        /// The service.
        service: ServiceId,
        /// The number.
        number: RevisionNumber,
    },
    /// A revision, operation or instance of a service that the store does not have.
    #[error("the store could not {act}: it refers to a service that does not exist")]
    NoSuchService {
        /// What was tried.
        act: String,
        /// What SQLite said.
        #[source]
        source: sqlx::Error,
    },
    /// The database failed in another way.
    #[error("the store could not {act}")]
    Database {
        /// What was tried.
        act: String,
        /// What SQLite said.
        #[source]
        source: sqlx::Error,
    },
    /// A file operation around the database failed.
    #[error("failed to {act}")]
    Io {
        /// What was tried, with its object.
        act: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

// SQLite's primary result codes (sqlite.org/rescode.html), the low byte of the extended ones.
const CORRUPT: u32 = 11;
const FULL: u32 = 13;
const NOT_A_DATABASE: u32 = 26;
// Extended codes.
const FOREIGN_KEY: u32 = 787;
/// The shared-memory file of the log could not grow, which is how a full disk looks there.
const SHARED_MEMORY_SIZE: u32 = 4874;

impl StoreError {
    /// Who acts next. A full disk is tried again with backoff: room comes back by collection or by a person.
    pub fn class(&self) -> Class {
        match self {
            Self::Full { .. } | Self::Database { .. } | Self::Io { .. } => Class::Retry,
            _ => Class::Stalled,
        }
    }

    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Full { .. } => {
                Some("free some space on the file system of the data directory; towpath tries again".into())
            }
            Self::Damaged { path, .. } => Some(format!(
                "put a good copy of the file at `{}`, or move the whole directory `{}` away to begin anew",
                path.display(),
                path.parent().unwrap_or(path).display()
            )),
            Self::Newer { .. } => Some("use the newer towpath again, or another data directory".into()),
            Self::Unreadable { .. } => Some(
                "use the towpath version that wrote it, or move `towpath.db` away: the newest backup is taken then"
                    .into(),
            ),
            _ => None,
        }
    }

    /// Sorts what SQLite said into the kinds above.
    pub(super) fn database(act: impl Into<String>, path: &std::path::Path, source: sqlx::Error) -> Self {
        let act = act.into();
        let code = extended_code(&source);
        match (code, code & 0xff) {
            (SHARED_MEMORY_SIZE, _) | (_, FULL) => Self::Full { act, source },
            (FOREIGN_KEY, _) => Self::NoSuchService { act, source },
            (_, CORRUPT | NOT_A_DATABASE) => Self::Damaged { path: path.to_owned(), detail: source.to_string() },
            _ if is_no_space(&source) => Self::Full { act, source },
            _ => Self::Database { act, source },
        }
    }

    pub(super) fn io(act: impl Into<String>, source: std::io::Error) -> Self {
        let act = act.into();
        if source.kind() == std::io::ErrorKind::StorageFull {
            return Self::Full { act, source: sqlx::Error::Io(source) };
        }
        Self::Io { act, source }
    }
}

/// SQLite's extended result code; 0 when the error is not SQLite's.
fn extended_code(error: &sqlx::Error) -> u32 {
    let code = error.as_database_error().and_then(|e| e.code());
    code.and_then(|c| c.parse().ok()).unwrap_or(0)
}

fn is_no_space(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(e) if e.kind() == std::io::ErrorKind::StorageFull)
}
