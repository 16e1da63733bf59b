//! Followers: one task per container copies its output into the instance's log file, from where the file ends.

use super::client::status;
use super::logfile::{self, LogFile, Seen};
use super::observe;
use crate::model::InstanceId;
use bollard::Docker;
use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::StreamExt;
use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Frames written at once when many are there.
const BATCH: usize = 256;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// All followers of an engine. Dropping it ends them.
pub(super) struct Followers {
    docker: Docker,
    /// A task ends when its container has ended and all of its output is copied.
    tasks: Mutex<HashMap<InstanceId, JoinHandle<()>>>,
    stop: CancellationToken,
}

impl Drop for Followers {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Followers {
    pub fn new(docker: Docker) -> Self {
        Self { docker, tasks: Mutex::default(), stop: CancellationToken::new() }
    }

    /// Sees to it that a container's output is being copied, or was, to its end. `live`: its processes are there.
    pub fn ensure(&self, id: &InstanceId, container: &str, log: PathBuf, live: bool) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        // A finished task is enough, unless somebody started the container once more.
        if tasks.get(id).is_some_and(|task| !task.is_finished() || !live) {
            return;
        }
        let run = run(self.docker.clone(), container.to_owned(), log, self.stop.clone());
        tasks.insert(id.clone(), tokio::spawn(run));
    }

    /// Forgets what was copied of containers that somebody removed.
    pub fn keep(&self, present: &BTreeSet<InstanceId>) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.retain(|id, task| present.contains(id) || !task.is_finished());
    }

    /// Waits until an ended container's output is copied to its end, but not longer than `limit`, and forgets it.
    pub async fn finish(&self, id: &InstanceId, limit: Duration) {
        let task = self.tasks.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        let Some(mut task) = task else { return };
        if tokio::time::timeout(limit, &mut task).await.is_err() {
            tracing::warn!(instance = %id, "the end of the output could not be read in time");
            task.abort();
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

async fn run(docker: Docker, container: String, log: PathBuf, stop: CancellationToken) {
    let mut pause = FIRST_PAUSE;
    loop {
        let copied = tokio::select! {
            copied = copy(&docker, &container, &log) => copied,
            () = stop.cancelled() => return,
        };
        match copied {
            Ok(Ended::Container) => return,
            Ok(Ended::Connection) => {}
            Err(error) => tracing::warn!(file = %log.display(), %error, "the output of an instance cannot be written"),
        }
        let jittered = pause.mul_f64(0.5 + fastrand::f64() / 2.0);
        tokio::select! {
            () = tokio::time::sleep(jittered) => {}
            () = stop.cancelled() => return,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn copy(docker: &Docker, container: &str, log: &std::path::Path) -> std::io::Result<Ended> {
    let (mut file, mut seen) = LogFile::open(log).await?;
    let options =
        LogsOptionsBuilder::default().follow(true).stdout(true).stderr(true).timestamps(true).since(seen.since());
    let stream = docker.logs(container, Some(options.build())).ready_chunks(BATCH);
    tokio::pin!(stream);
    while let Some(frames) = stream.next().await {
        let (lines, error) = gather(frames, &mut seen);
        if !lines.is_empty() {
            file.append(&lines).await?;
        }
        if let Some(error) = error {
            return Ok(if status(&error) == Some(404) { Ended::Container } else { Ended::Connection });
        }
    }
    // The stream ends with the container, but also when Docker stops.
    Ok(match docker.inspect_container(container, None).await {
        Ok(inspect) if !observe::is_alive(&inspect) => Ended::Container,
        Err(error) if status(&error) == Some(404) => Ended::Container,
        _ => Ended::Connection,
    })
}

/// The lines of some frames that are not in the file yet, and the error that ended them.
fn gather(frames: Vec<Result<LogOutput, Error>>, seen: &mut Seen) -> (Vec<u8>, Option<Error>) {
    let mut lines = Vec::new();
    for frame in frames {
        match frame {
            Ok(output) => {
                let bytes = output.into_bytes();
                let line = logfile::stamped(bytes.trim_ascii_end());
                if !seen.has(&line) {
                    lines.extend_from_slice(&line);
                    lines.push(b'\n');
                }
            }
            Err(error) => return (lines, Some(error)),
        }
    }
    (lines, None)
}
