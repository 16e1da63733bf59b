//! Log streams as files (row O1): one directory per service, one file per stream, one line per line.
//!
//! Lines are `<RFC 3339, UTC, milliseconds> <text>`; those of ours and of builds carry `[AppRunner]` or `[Build]` before
//! the text. Instances' files are written by what keeps the instance, which may rotate a file to `<file>.1`; readers
//! follow. What is read is cleaned: applications write what they like.

mod clean;
mod merge;
mod reader;
mod retention;
mod seek;
mod stream;
#[cfg(test)]
mod tests;
mod writer;

pub use clean::clean;
pub use merge::{MergedLine, MergedPage};
pub use reader::{Cursor, Line, Page};
pub use retention::{InUse, Retention};
pub use seek::Position;
pub use stream::{OperationGroup, Stream, StreamInfo};
pub use writer::LogWriter;

use crate::model::{Class, Event, InstanceId, OperationId, ServiceId, Timestamp};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use writer::{Growth, Shared};

/// How much of a build's output is kept: 32 MiB.
pub const OPERATION_LOG_MAX: u64 = 32 << 20;
/// A service's event log starts over at 4 MiB; the one before is kept beside it.
pub const EVENT_LOG_MAX: u64 = 4 << 20;

/// A log file could not be read or removed. Writing never fails: lines that cannot be written are counted.
#[derive(Debug, thiserror::Error)]
#[error("failed to {act}")]
pub struct LogError {
    /// What was tried, with its object.
    pub act: String,
    /// Why.
    #[source]
    pub source: io::Error,
}

impl LogError {
    fn new(act: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let act = act.into();
        move |source| Self { act, source }
    }

    /// Who acts next.
    pub fn class(&self) -> Class {
        Class::Retry
    }
}

/// All log streams of an installation. Cheap to clone.
#[derive(Clone)]
pub struct LogStore {
    inner: Arc<Inner>,
}

struct Inner {
    root: PathBuf,
    operation_max: u64,
    event_max: u64,
    /// Open files: writers of one stream share one, with its bound.
    open: Mutex<HashMap<PathBuf, Weak<Shared>>>,
}

impl LogStore {
    /// The streams under this directory (`<data-dir>/logs`); directories are created when they are first written.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self::with_bounds(root, OPERATION_LOG_MAX, EVENT_LOG_MAX)
    }

    /// The same with other bounds, in bytes.
    pub fn with_bounds(root: impl Into<PathBuf>, operation_max: u64, event_max: u64) -> Self {
        let inner = Inner { root: root.into(), operation_max, event_max, open: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    /// A writer of a stream. Opens the file at the first line; never fails and never waits for anything but the file
    /// system. Writers of one stream may be many, at the same time.
    pub fn writer(&self, service: &ServiceId, stream: &Stream) -> LogWriter {
        let path = self.path(service, stream);
        let mut open = self.inner.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = open.get(&path).and_then(Weak::upgrade) {
            return LogWriter::new(shared);
        }
        open.retain(|_, shared| shared.strong_count() > 0);
        let growth = match stream {
            Stream::Events => Growth::Rotates { max: self.inner.event_max },
            _ => Growth::Stops { max: self.inner.operation_max },
        };
        let shared = Arc::new(Shared::new(path.clone(), growth));
        open.insert(path, Arc::downgrade(&shared));
        LogWriter::new(shared)
    }

    /// Appends an event to its service's `events` stream; one without a service is kept by the store alone.
    pub fn event(&self, event: &Event) {
        if let Some(service) = &event.service {
            self.writer(service, &Stream::Events).ours_at(event.at, &event.message);
        }
    }

    /// The file that receives an instance's output. Its directory may not exist yet, see [`LogStore::instance_log`].
    pub fn instance_log_path(&self, service: &ServiceId, instance: &InstanceId) -> PathBuf {
        self.path(service, &Stream::Instance(instance.clone()))
    }

    /// The file that receives an instance's output, in a directory that exists.
    pub async fn instance_log(&self, service: &ServiceId, instance: &InstanceId) -> Result<PathBuf, LogError> {
        let path = self.instance_log_path(service, instance);
        blocking(move || {
            let parent = path.parent().unwrap_or(&path);
            writer::create_directories(parent)
                .map_err(LogError::new(format!("create directory `{}`", parent.display())))?;
            Ok(path)
        })
        .await
    }

    /// Whole lines from a place on, about `max_bytes` of them (at least one if there is one). A stream that does not
    /// exist yet reads as empty; a last line without its end waits for it.
    pub async fn read(
        &self,
        service: &ServiceId,
        stream: &Stream,
        from: &Cursor,
        max_bytes: usize,
    ) -> Result<Page, LogError> {
        let (path, from) = (self.path(service, stream), from.clone());
        blocking(move || reader::read_page(&path, &from, max_bytes).map(Page::from).map_err(reading(&path))).await
    }

    /// Where to begin reading a stream.
    pub async fn seek(&self, service: &ServiceId, stream: &Stream, to: Position) -> Result<Cursor, LogError> {
        let path = self.path(service, stream);
        blocking(move || seek::seek(&path, to).map_err(reading(&path))).await
    }

    /// The last lines of a stream, oldest first: what a message about a failure quotes.
    pub async fn tail(&self, service: &ServiceId, stream: &Stream, count: usize) -> Result<Vec<Line>, LogError> {
        let path = self.path(service, stream);
        blocking(move || reader::read_tail(&path, count).map_err(reading(&path))).await
    }

    /// Lines of several instances in the order of their times. `from` holds each instance's place; those without one
    /// begin at the start.
    pub async fn read_merged(
        &self,
        service: &ServiceId,
        instances: &[InstanceId],
        from: &BTreeMap<InstanceId, Cursor>,
        max_bytes: usize,
    ) -> Result<MergedPage, LogError> {
        let paths: Vec<(InstanceId, PathBuf)> =
            instances.iter().map(|i| (i.clone(), self.instance_log_path(service, i))).collect();
        let (from, directory) = (from.clone(), self.service_directory(service));
        blocking(move || merge::read_merged(&paths, from, max_bytes).map_err(reading(&directory))).await
    }

    /// The streams of a service, the one written last first.
    pub async fn streams(&self, service: &ServiceId) -> Result<Vec<StreamInfo>, LogError> {
        let directory = self.service_directory(service);
        blocking(move || stream::list(&directory).map_err(reading(&directory))).await
    }

    /// The stream of an operation, if it wrote anything.
    pub async fn operation_stream(&self, service: &ServiceId, id: &OperationId) -> Result<Option<Stream>, LogError> {
        let streams = self.streams(service).await?;
        let wanted = |stream: &Stream| matches!(stream, Stream::Operation { id: other, .. } if other == id);
        Ok(streams.into_iter().map(|info| info.stream).find(wanted))
    }

    /// Removes all streams of a service. Nothing to remove is success.
    pub async fn remove_service(&self, service: &ServiceId) -> Result<(), LogError> {
        let directory = self.service_directory(service);
        blocking(move || match std::fs::remove_dir_all(&directory) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(LogError::new(format!("remove `{}`", directory.display()))(e))
            }
            _ => Ok(()),
        })
        .await
    }

    /// Removes old streams of all services, never one that is in use or being written. Returns how many.
    pub async fn collect(&self, retention: Retention, in_use: InUse, now: Timestamp) -> Result<usize, LogError> {
        let store = self.clone();
        blocking(move || {
            let writing = |path: &Path| store.is_open(path);
            retention::collect(&store.inner.root, retention, &in_use, &writing, now)
                .map_err(LogError::new(format!("collect old logs in `{}`", store.inner.root.display())))
        })
        .await
    }

    /// The streams that [`LogStore::collect`] would remove now, with their sizes.
    ///
    /// # Errors
    /// When the files cannot be listed.
    pub async fn excess(
        &self,
        retention: Retention,
        in_use: InUse,
        now: Timestamp,
    ) -> Result<Vec<(ServiceId, StreamInfo)>, LogError> {
        let store = self.clone();
        blocking(move || {
            let writing = |path: &Path| store.is_open(path);
            retention::excess(&store.inner.root, retention, &in_use, &writing, now)
                .map_err(LogError::new(format!("list old logs in `{}`", store.inner.root.display())))
        })
        .await
    }

    fn is_open(&self, path: &Path) -> bool {
        let open = self.inner.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.get(path).is_some_and(|shared| shared.strong_count() > 0)
    }

    fn service_directory(&self, service: &ServiceId) -> PathBuf {
        self.inner.root.join(service.as_str())
    }

    fn path(&self, service: &ServiceId, stream: &Stream) -> PathBuf {
        stream.path(&self.service_directory(service))
    }
}

fn reading(path: &Path) -> impl FnOnce(io::Error) -> LogError {
    LogError::new(format!("read logs in `{}`", path.display()))
}

/// Runs work on files where it may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> Result<T, LogError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(e) => Err(LogError::new("work on logs")(io::Error::other(e))),
    }
}
