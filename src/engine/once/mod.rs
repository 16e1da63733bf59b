//! Commands that run once (a release command, `towpath run`) on any engine: started like an instance, but for
//! [`Purpose::Once`]; followed line by line to the end, a deadline or a stop; removed whatever happens.
//!
//! What a crash of towpath leaves is found by its label and removed by [`OneOffs::sweep`]. Knows no operations and
//! decides nothing: whether a command may run again is for its caller to say.
//!
//! [`Purpose::Once`]: crate::model::Purpose::Once

mod tail;

use super::{Attached, Engine, EngineError};
use crate::model::{InstanceId, InstanceSpec, InstanceState};
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tail::Tail;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How often the output is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How often the engine is asked whether the command ended, where it announces nothing.
const ASK: Duration = Duration::from_secs(1);
/// How long a command that is stopped may take to finish by itself.
const GRACE: Duration = Duration::from_secs(5);
/// How long all of them together may take to end.
const END_TIME: Duration = Duration::from_secs(15);
/// How often a removal is tried; the next sweep tries again.
const REMOVALS: u32 = 3;
/// How long whoever reads the output may let the rest of it wait, once the command has ended or is to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself.
    Exited {
        /// The exit code, or 128 + signal; `None` where nobody saw it.
        code: Option<i32>,
        /// For people: `exited with code 1`.
        message: String,
    },
    /// It was stopped: it ran longer than it may.
    Overdue,
    /// It was stopped: somebody asked for that.
    Stopped,
}

/// All commands of an installation that run once.
#[derive(Clone)]
pub struct OneOffs(Arc<Inner>);

struct Inner {
    engine: Arc<dyn Engine>,
    /// Where output is kept while a command runs.
    directory: PathBuf,
    /// The commands that somebody waits for.
    live: Mutex<BTreeSet<InstanceId>>,
    /// Cancelled when all are to end.
    ending: CancellationToken,
}

impl OneOffs {
    /// Commands on this engine, whose output lies in `directory` meanwhile (made when it is needed).
    pub fn new(engine: Arc<dyn Engine>, directory: PathBuf) -> Self {
        Self(Arc::new(Inner { engine, directory, live: Mutex::default(), ending: CancellationToken::new() }))
    }

    /// The file that the output of a command goes to while it runs.
    pub fn log_path(&self, id: &InstanceId) -> PathBuf {
        self.0.directory.join(format!("{id}.log"))
    }

    /// Runs a command to its end, for at most `limit` or until `stop`. Its lines are sent as they are printed; a reader
    /// that is slow slows this down, never the command. Whether this returns or is dropped: nothing of it is left.
    ///
    /// # Errors
    /// A command that cannot be started, an engine that does not answer: then how the command ended is unknown.
    pub async fn run(
        &self,
        spec: InstanceSpec,
        limit: Duration,
        stop: CancellationToken,
        lines: mpsc::Sender<String>,
    ) -> Result<Ended, EngineError> {
        self.run_attached(spec, limit, stop, lines, None).await
    }

    /// The same, handing out the ends of its input as soon as it runs.
    ///
    /// # Errors
    /// As [`OneOffs::run`].
    pub async fn run_attached(
        &self,
        spec: InstanceSpec,
        limit: Duration,
        stop: CancellationToken,
        lines: mpsc::Sender<String>,
        attached: Option<oneshot::Sender<Attached>>,
    ) -> Result<Ended, EngineError> {
        let inner = self.0.clone();
        let stop = stop.child_token();
        let _dropped = stop.clone().drop_guard();
        // In a task of its own, so that the removal is not dropped with whoever waits.
        let task = tokio::spawn(async move {
            tokio::select! {
                ended = inner.run(&spec, limit, &stop, &lines, attached) => ended,
                // Never by itself: it cancels what the other waits for.
                never = inner.pass_on(&stop) => match never {},
            }
        });
        task.await.unwrap_or_else(|error| Err(lost("run the command", io::Error::other(error))))
    }

    /// Stops all commands, and those that begin from now on; returns when none is left, or does not end in time.
    pub async fn end_all(&self) {
        self.0.ending.cancel();
        let none_left = async {
            while !self.0.live().is_empty() {
                sleep(LOOK).await;
            }
        };
        if timeout(END_TIME, none_left).await.is_err() {
            tracing::warn!("commands do not end in time; the next start removes them");
        }
    }

    /// Removes what an earlier towpath left. Returns how much that was.
    ///
    /// # Errors
    /// An engine that does not answer.
    pub async fn sweep(&self) -> Result<usize, EngineError> {
        let left: Vec<InstanceId> = {
            let there = self.0.engine.one_offs().await?;
            let live = self.0.live();
            there.into_iter().map(|i| i.id).filter(|id| !live.contains(id)).collect()
        };
        for id in &left {
            self.0.remove(id).await?;
            self.0.forget_output(&self.log_path(id)).await;
        }
        Ok(left.len())
    }
}

fn lost(act: &str, source: io::Error) -> EngineError {
    EngineError::Io { act: act.into(), source }
}

impl Inner {
    /// Stops a command when all are to end.
    async fn pass_on(&self, stop: &CancellationToken) -> Infallible {
        self.ending.cancelled().await;
        stop.cancel();
        std::future::pending().await
    }

    /// A poisoned lock guards a set that is whole at every moment.
    fn live(&self) -> MutexGuard<'_, BTreeSet<InstanceId>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(
        &self,
        spec: &InstanceSpec,
        limit: Duration,
        stop: &CancellationToken,
        lines: &mpsc::Sender<String>,
        attached: Option<oneshot::Sender<Attached>>,
    ) -> Result<Ended, EngineError> {
        self.live().insert(spec.id.clone());
        let mut tail = Tail::new(spec.log.clone());
        let ended = match self.start(spec, attached).await {
            Ok(()) => self.watch(spec, limit, stop, lines, &mut tail).await,
            Err(error) => Err(error),
        };
        // After the removal the engine has copied all there is.
        self.remove_patiently(&spec.id).await;
        if let Ok(ended) = &ended {
            let is_its_end = |line: &str| match ended {
                Ended::Exited { message, .. } => line == message,
                Ended::Overdue | Ended::Stopped => line.starts_with("stopped ("),
            };
            let _ = timeout(PATIENCE, tail.finish(lines, is_its_end)).await;
        }
        self.forget_output(&spec.log).await;
        self.live().remove(&spec.id);
        ended
    }

    async fn start(&self, spec: &InstanceSpec, attached: Option<oneshot::Sender<Attached>>) -> Result<(), EngineError> {
        let made = tokio::fs::create_dir_all(&self.directory).await;
        made.map_err(|e| lost(&format!("create the directory {}", self.directory.display()), e))?;
        self.engine.start(spec).await?;
        if let Some(attached) = attached {
            // Where nobody waits for it any more, it is to stop, and is told so elsewhere.
            let _ = attached.send(self.engine.attach(&spec.id).await?);
        }
        Ok(())
    }

    async fn watch(
        &self,
        spec: &InstanceSpec,
        limit: Duration,
        stop: &CancellationToken,
        lines: &mpsc::Sender<String>,
        tail: &mut Tail,
    ) -> Result<Ended, EngineError> {
        let end = Instant::now() + limit;
        let mut changes = self.engine.changes();
        changes.mark_unchanged();
        let mut asked: Option<Instant> = None;
        loop {
            let changed = changes.has_changed().unwrap_or(false);
            if changed || asked.is_none_or(|at| at.elapsed() >= ASK) {
                changes.mark_unchanged();
                asked = Some(Instant::now());
                if let Some(ended) = self.ended(&spec.id).await? {
                    return Ok(ended);
                }
            }
            tokio::select! {
                copied = tail.copy(lines) => if !copied { return Ok(Ended::Stopped) },
                () = stop.cancelled() => return Ok(Ended::Stopped),
                () = tokio::time::sleep_until(end) => return Ok(Ended::Overdue),
            }
            tokio::select! {
                () = sleep(LOOK) => {}
                () = stop.cancelled() => return Ok(Ended::Stopped),
            }
            if Instant::now() >= end {
                return Ok(Ended::Overdue);
            }
        }
    }

    /// How a command ended by itself; `None` while it runs.
    async fn ended(&self, id: &InstanceId) -> Result<Option<Ended>, EngineError> {
        let there = self.engine.one_offs().await?;
        match there.into_iter().find(|i| &i.id == id).map(|i| i.state) {
            Some(InstanceState::Exited { code, message }) => Ok(Some(Ended::Exited { code, message })),
            Some(_) => Ok(None),
            None => Err(EngineError::Refused("the command was removed by somebody else while it ran".into())),
        }
    }

    async fn remove(&self, id: &InstanceId) -> Result<(), EngineError> {
        self.engine.stop(id, GRACE).await?;
        self.engine.remove(id).await
    }

    async fn remove_patiently(&self, id: &InstanceId) {
        for attempt in 1..=REMOVALS {
            match self.remove(id).await {
                Ok(()) => return,
                Err(error) => tracing::warn!(command = %id, %error, attempt, "a command could not be removed"),
            }
            sleep(Duration::from_secs(1)).await;
        }
    }

    async fn forget_output(&self, log: &std::path::Path) {
        for path in [log.to_owned(), tail::older(log)] {
            match tokio::fs::remove_file(&path).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(file = %path.display(), %error, "the output of a command could not be removed");
                }
                _ => {}
            }
        }
    }
}
