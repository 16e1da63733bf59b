//! Followers: one task per container copies its output into the instance's log file, from where the file ends.
//!
//! Podman's stream comes by a clock of a quarter of a second, and now and then it does not end with its container, nor bring the last
//! lines. So a follower there is told that its container has ended, and reads at once what there is, without following.

use super::client::{self, CALL, status, unreachable};
use super::logfile::{LogFile, Seen};
use super::observe;
use super::podman::Podman;
use super::records::{Record, Records};
use crate::engine::EngineError;
use crate::model::InstanceId;
use bollard::Docker;
use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::{Stream, StreamExt};
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Frames written at once when many are there.
const BATCH: usize = 256;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How many seconds before the last line an engine has to tell again: the two output streams of a container may be out of
/// order by a moment.
const AGAIN: i64 = 1;
/// The same on Podman, where a line that was written in pieces has each piece's time: it has to come whole, or it is another.
const AGAIN_IN_PIECES: i64 = 60;

/// Ends when its container has ended and all of its output is copied.
struct Task {
    handle: JoinHandle<()>,
    /// Cancelled once it is known that the container has ended.
    over: CancellationToken,
    /// Cancelled when the task ends.
    done: CancellationToken,
}

/// All followers of an engine. Dropping it ends them.
pub(super) struct Followers {
    docker: Docker,
    podman: Option<Podman>,
    tasks: Mutex<HashMap<InstanceId, Task>>,
    stop: CancellationToken,
}

impl Drop for Followers {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Followers {
    pub fn new(docker: Docker, podman: Option<Podman>) -> Self {
        Self { docker, podman, tasks: Mutex::default(), stop: CancellationToken::new() }
    }

    /// Sees to it that a container's output is being copied, or was, to its end. `live`: its processes are there.
    pub fn ensure(&self, id: &InstanceId, container: &str, log: PathBuf, live: bool) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        // A finished task is enough, unless somebody started the container once more.
        if let Some(task) = tasks.get(id).filter(|task| !task.handle.is_finished() || !live) {
            if !live {
                task.over.cancel();
            }
            return;
        }
        let (over, done) = (CancellationToken::new(), CancellationToken::new());
        if !live {
            over.cancel();
        }
        let (docker, podman) = (self.docker.clone(), self.podman.clone());
        let source = Source { docker, podman, container: container.to_owned(), over: over.clone() };
        let (run, guard) = (source.run(log, self.stop.clone()), done.clone().drop_guard());
        let handle = tokio::spawn(async move {
            let _done = guard;
            run.await;
        });
        tasks.insert(id.clone(), Task { handle, over, done });
    }

    /// Tells that a container has ended.
    pub fn ended(&self, id: &InstanceId) {
        if let Some(task) = self.tasks.lock().unwrap_or_else(PoisonError::into_inner).get(id) {
            task.over.cancel();
        }
    }

    /// Waits until the output of these containers, which ended, is copied to its end, but not longer than `limit`.
    pub async fn settle(&self, ended: &BTreeSet<InstanceId>, limit: Duration) {
        let waiting: Vec<CancellationToken> = {
            let tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            ended.iter().filter_map(|id| tasks.get(id)).map(|task| task.done.clone()).collect()
        };
        let all = futures_util::future::join_all(waiting.iter().map(CancellationToken::cancelled));
        // What comes later is in the log all the same.
        let _ = tokio::time::timeout(limit, all).await;
    }

    /// Forgets what was copied of containers that somebody removed.
    pub fn keep(&self, present: &BTreeSet<InstanceId>) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.retain(|id, task| present.contains(id) || !task.handle.is_finished());
    }

    /// Waits until an ended container's output is copied to its end, but not longer than `limit`, and forgets it.
    pub async fn finish(&self, id: &InstanceId, limit: Duration) {
        let task = self.tasks.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        let Some(mut task) = task else { return };
        task.over.cancel();
        if tokio::time::timeout(limit, &mut task.handle).await.is_err() {
            tracing::warn!(instance = %id, "the end of the output could not be read in time");
            task.handle.abort();
        }
    }
}

/// How one connection to a container's output ended.
enum Ended {
    /// The container ended, or is gone.
    Container,
    /// The connection broke; what the file has must be read again.
    Connection,
}

/// A container whose output is copied.
struct Source {
    docker: Docker,
    podman: Option<Podman>,
    container: String,
    over: CancellationToken,
}

impl Source {
    async fn run(self, log: PathBuf, stop: CancellationToken) {
        let mut pause = FIRST_PAUSE;
        loop {
            let known = self.over.is_cancelled();
            let copied = tokio::select! {
                copied = self.copy(&log) => copied,
                () = stop.cancelled() => return,
            };
            match copied {
                Ok(Ended::Container) => return,
                Ok(Ended::Connection) => {}
                Err(error) => {
                    tracing::warn!(file = %log.display(), %error, "the output of an instance cannot be written");
                }
            }
            let jittered = pause.mul_f64(0.5 + fastrand::f64() / 2.0);
            tokio::select! {
                () = tokio::time::sleep(jittered) => {}
                () = self.overdue(), if !known => {}
                () = stop.cancelled() => return,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn copy(&self, log: &Path) -> std::io::Result<Ended> {
        // Of a container that has ended there is nothing to follow.
        let follow = self.podman.is_none() || !self.over.is_cancelled();
        match self.pour(log, follow).await? {
            Poured::Gone => return Ok(Ended::Container),
            Poured::Broken => return Ok(Ended::Connection),
            Poured::Whole => {}
        }
        // The stream ends with the container, but also when the engine stops.
        match client::inspect(&self.docker, self.podman.as_ref(), &self.container).await {
            Ok(None) => Ok(Ended::Container),
            Ok(Some(inspect)) if !observe::is_alive(&inspect) => self.copy_rest(log, follow).await,
            _ => Ok(Ended::Connection),
        }
    }

    /// What came after a stream of Podman that was followed.
    async fn copy_rest(&self, log: &Path, followed: bool) -> std::io::Result<Ended> {
        let rest = followed && self.podman.is_some();
        Ok(match if rest { self.pour(log, false).await? } else { Poured::Whole } {
            Poured::Broken => Ended::Connection,
            Poured::Whole | Poured::Gone => Ended::Container,
        })
    }

    /// Copies what one connection tells.
    async fn pour(&self, log: &Path, follow: bool) -> std::io::Result<Poured> {
        let (mut file, mut seen) = LogFile::open(log).await?;
        let since = seen.since(if self.podman.is_some() { AGAIN_IN_PIECES } else { AGAIN });
        let options = LogsOptionsBuilder::default().follow(follow).stdout(true).stderr(true).timestamps(true);
        let stream = self.docker.logs(&self.container, Some(options.since(since).build())).ready_chunks(BATCH);
        tokio::pin!(stream);
        let mut records = if self.podman.is_some() { Records::in_pieces() } else { Records::whole() };
        loop {
            let frames = match self.next(&mut stream, follow).await {
                Ok(Some(frames)) => frames,
                Ok(None) => break,
                Err(_) => return Ok(Poured::Broken),
            };
            let (lines, end) = gather(frames, &mut records, &mut seen);
            file.append(&lines).await?;
            if let Some(end) = end {
                return Ok(end);
            }
        }
        if !follow {
            // Nothing comes any more that could end them.
            file.append(&news(records.unended(), &mut seen)).await?;
        }
        Ok(Poured::Whole)
    }

    /// The next frames. Who follows waits for them, until it is known that there are no more.
    async fn next<S>(&self, stream: &mut S, follow: bool) -> Result<Option<S::Item>, EngineError>
    where
        S: Stream + Unpin,
    {
        if !follow {
            let next = tokio::time::timeout(CALL, stream.next()).await;
            return next.map_err(|_| unreachable("the output of an instance does not come".into()));
        }
        tokio::select! {
            frames = stream.next() => Ok(frames),
            () = self.overdue() => Ok(None),
        }
    }

    /// Ends when a stream of Podman has nothing more to say than can be read at once.
    async fn overdue(&self) {
        match self.podman {
            Some(_) => self.over.cancelled().await,
            None => std::future::pending().await,
        }
    }
}

/// How the reading of one connection ended.
#[derive(Debug, PartialEq, Eq)]
enum Poured {
    /// All that there was is written.
    Whole,
    /// There is no such container.
    Gone,
    /// The connection broke.
    Broken,
}

/// The lines of some frames that are not in the file yet, and what ended them.
fn gather(frames: Vec<Result<LogOutput, Error>>, records: &mut Records, seen: &mut Seen) -> (Vec<u8>, Option<Poured>) {
    let mut lines = Vec::new();
    for frame in frames {
        match frame.map(|output| records.take(output)) {
            Ok(Record::Line(line)) => lines.extend(news([line], seen)),
            Ok(Record::Piece) => {}
            // What is the matter is asked afterwards.
            Ok(Record::Error) => return (lines, Some(Poured::Whole)),
            Err(error) if status(&error) == Some(404) => return (lines, Some(Poured::Gone)),
            Err(_) => return (lines, Some(Poured::Broken)),
        }
    }
    (lines, None)
}

/// Those of these lines that are not in the file yet.
fn news(lines: impl IntoIterator<Item = Vec<u8>>, seen: &mut Seen) -> Vec<u8> {
    let mut all = Vec::new();
    for line in lines.into_iter().filter(|line| !seen.has(line)) {
        all.extend_from_slice(&line);
        all.push(b'\n');
    }
    all
}
