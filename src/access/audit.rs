//! The audit trail: one record per call in CloudTrail's shape, refusals too, written before the answer.
//!
//! Records are lines of files in one directory, numbered, and each with the hash of the one before, so that one that is removed
//! or altered is found. A line is in the kernel's hands before its call is answered, and on the disk within 100 ms.

mod chain;
mod files;
mod record;
mod redact;
mod search;
#[cfg(test)]
mod tests;
mod writer;

pub use chain::Verified;
pub use record::{Outcome, Own, Recorded, Stranger, is_read_only, record, record_of_own, record_of_stranger};
pub use search::{Filter, Found, user_of};

use crate::model::Timestamp;
use std::path::{Path, PathBuf};
use std::time::Duration;
use writer::Writer;

/// What of the trail is kept, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditSettings {
    /// How long records are kept (row O6: 90 days searchable).
    pub keep: Duration,
    /// How large a file grows before the next is begun.
    pub file_bytes: u64,
}

impl Default for AuditSettings {
    fn default() -> Self {
        Self { keep: Duration::from_secs(90 * 86_400), file_bytes: 16 << 20 }
    }
}

/// What fails in the audit trail.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// A file operation failed.
    #[error("failed to {act} `{}`", path.display())]
    Io {
        /// What was tried.
        act: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A record could not be written.
    #[error("the audit record could not be written: {0}")]
    NotWritten(String),
}

/// The open trail.
pub struct Audit {
    directory: PathBuf,
    settings: AuditSettings,
    writer: Writer,
}

impl Audit {
    /// Opens the trail in a directory, which is made. A last line that a power loss cut off is removed.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn open(directory: &Path, settings: AuditSettings) -> Result<Self, AuditError> {
        let end = files::prepare(directory)?;
        let writer = Writer::start(directory, settings.file_bytes, end)?;
        Ok(Self { directory: directory.to_owned(), settings, writer })
    }

    /// Writes a record. When this returns, no crash of ours loses it.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn write(&self, record: &serde_json::Value) -> Result<(), AuditError> {
        self.writer.write(record.to_string()).await
    }

    /// Records that match, newest first.
    ///
    /// # Errors
    /// When the files cannot be read.
    pub fn search(&self, filter: &Filter) -> Result<Found, AuditError> {
        search::search(&self.directory, filter)
    }

    /// Whether the trail is whole: every record as it was written, none missing.
    ///
    /// # Errors
    /// When the files cannot be read.
    pub fn verify(&self) -> Result<Verified, AuditError> {
        chain::verify(&self.directory)
    }

    /// Removes files whose newest record is older than what is kept. Returns how many.
    ///
    /// # Errors
    /// When they cannot be removed.
    pub fn prune(&self, now: Timestamp) -> Result<usize, AuditError> {
        files::prune(&self.directory, self.settings.keep, now)
    }
}

/// Runs work on the trail's files where it may block.
///
/// # Errors
/// The work's own, and when its thread ended.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AuditError> + Send + 'static,
) -> Result<T, AuditError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(AuditError::NotWritten(error.to_string())),
    }
}
