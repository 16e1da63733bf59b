//! The writer: one thread that appends what many calls bring, and one that syncs behind it.

use super::AuditError;
use super::chain::make_line;
use super::files::{End, Mark, failed, file_of, write_mark};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Records that wait to be written; a call waits beyond.
const QUEUE: usize = 1024;
/// Records written at once.
const BATCH: usize = 256;
/// How long a written record waits for others to be synced with: half of what is promised, the sync itself takes time too.
const GROUP: Duration = Duration::from_millis(50);

/// A record on its way, and who waits for it.
struct Job {
    record: String,
    done: oneshot::Sender<Result<(), String>>,
}

/// The writer's end that calls hold.
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
}

impl Writer {
    /// Starts the two threads. They end when the writer is dropped and what it was given is on the disk.
    pub fn start(directory: &Path, file_bytes: u64, end: End) -> Result<Self, AuditError> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let shared = Arc::new(Shared::default());
        let trail = Trail::open(directory, file_bytes, end, shared.clone())?;
        let directory = directory.to_owned();
        let spawned = std::thread::Builder::new().name("audit".into()).spawn(move || append(trail, queue));
        let synced = std::thread::Builder::new().name("audit-sync".into()).spawn(move || sync(&directory, &shared));
        spawned.and(synced).map_err(|error| AuditError::NotWritten(error.to_string()))?;
        Ok(Self { jobs })
    }

    /// Writes a record.
    pub async fn write(&self, record: String) -> Result<(), AuditError> {
        let (done, written) = oneshot::channel();
        let gone = || AuditError::NotWritten("its writer has ended".into());
        self.jobs.send(Job { record, done }).await.map_err(|_| gone())?;
        written.await.map_err(|_| gone())?.map_err(AuditError::NotWritten)
    }
}

/// What the two threads share.
#[derive(Default)]
struct Shared {
    unsynced: Mutex<Unsynced>,
    changed: Condvar,
}

#[derive(Default)]
struct Unsynced {
    file: Option<Arc<File>>,
    head: Mark,
    ended: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Unsynced> {
        self.unsynced.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The file that is appended to.
struct Trail {
    directory: PathBuf,
    file_bytes: u64,
    mark: Mark,
    file: Option<(Arc<File>, PathBuf, u64)>,
    shared: Arc<Shared>,
}

impl Trail {
    fn open(directory: &Path, file_bytes: u64, end: End, shared: Arc<Shared>) -> Result<Self, AuditError> {
        let mut trail = Self { directory: directory.to_owned(), file_bytes, mark: end.mark, file: None, shared };
        if let Some(path) = end.file {
            trail.file = Some(open(&path)?);
        }
        Ok(trail)
    }

    /// Appends records in one write; none of them if it fails.
    fn append(&mut self, records: &[Job]) -> Result<(), AuditError> {
        let (file, path, length) = self.current()?;
        let (mut mark, mut text) = (self.mark.clone(), String::new());
        for job in records {
            let (line, hash) = make_line(mark.number + 1, &mark.hash, &job.record);
            mark = Mark { number: mark.number + 1, hash };
            text.push_str(&line);
            text.push('\n');
        }
        let written = (&*file).write_all(text.as_bytes());
        if let Err(error) = written {
            // What was written of it would be taken for a record that was altered.
            let _ = file.set_len(length);
            return Err(failed("write", &path)(error));
        }
        self.file = Some((file.clone(), path, length + text.len() as u64));
        self.mark = mark.clone();
        let mut unsynced = self.shared.lock();
        (unsynced.file, unsynced.head) = (Some(file), mark);
        self.shared.changed.notify_one();
        Ok(())
    }

    /// The file to append to: the next one, if this one is full.
    fn current(&mut self) -> Result<(Arc<File>, PathBuf, u64), AuditError> {
        match &self.file {
            Some(current) if current.2 < self.file_bytes => Ok(current.clone()),
            full => {
                if let Some((file, path, _)) = full {
                    file.sync_data().map_err(failed("sync", path))?;
                }
                let next = open(&file_of(&self.directory, self.mark.number + 1))?;
                self.file = Some(next.clone());
                Ok(next)
            }
        }
    }
}

fn open(path: &Path) -> Result<(Arc<File>, PathBuf, u64), AuditError> {
    let opened = OpenOptions::new().append(true).create(true).mode(0o600).open(path).map_err(failed("open", path))?;
    let length = opened.metadata().map_err(failed("look at", path))?.len();
    Ok((Arc::new(opened), path.to_owned(), length))
}

fn append(mut trail: Trail, mut queue: mpsc::Receiver<Job>) {
    let mut jobs = Vec::new();
    while queue.blocking_recv_many(&mut jobs, BATCH) > 0 {
        let result = trail.append(&jobs).map_err(|error| match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        });
        for job in jobs.drain(..) {
            // A caller that went away needs no answer.
            let _ = job.done.send(result.clone());
        }
    }
    trail.shared.lock().ended = true;
    trail.shared.changed.notify_one();
}

fn sync(directory: &Path, shared: &Shared) {
    loop {
        let mut unsynced = shared.lock();
        while unsynced.file.is_none() && !unsynced.ended {
            unsynced = shared.changed.wait(unsynced).unwrap_or_else(PoisonError::into_inner);
        }
        let ended = unsynced.ended;
        drop(unsynced);
        if !ended {
            std::thread::sleep(GROUP);
        }
        let mut unsynced = shared.lock();
        let (file, head) = (unsynced.file.take(), unsynced.head.clone());
        drop(unsynced);
        if let Some(file) = file {
            let synced = file.sync_data().map_err(failed("sync", directory));
            if let Err(error) = synced.and_then(|()| write_mark(directory, "head.json", &head)) {
                tracing::error!(%error, "the audit trail could not be synced");
            }
        } else if ended {
            return;
        }
    }
}
