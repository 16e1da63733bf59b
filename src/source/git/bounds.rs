//! The limits of one act on a repository: how long it may take, whether anyone still waits for it, how much may come.

use super::ssh::Ssh;
use super::{GitLimits, SourceError, failure};
use crate::model::RepositoryUrl;
use crate::source::access::Shown;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Travels with the blocking thread.
#[derive(Debug)]
pub(super) struct Bounds {
    pub(super) limits: GitLimits,
    pub(super) ssh: Arc<Ssh>,
    /// What a connection gives.
    pub(super) shown: Option<Shown>,
    watch: Watch,
    /// Bytes received when they became too many.
    over: Cell<Option<u64>>,
    /// Why we ended a connection ourselves.
    refused: RefCell<Option<SourceError>>,
}

/// Whether an act should go on; shared by who waits and who works.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    deadline: Duration,
    until: Instant,
    abandoned: Arc<AtomicBool>,
}

impl Watch {
    /// Whether there is time left and someone waits.
    pub(super) fn goes_on(&self) -> bool {
        !self.abandoned.load(Ordering::Relaxed) && Instant::now() < self.until
    }
}

impl Bounds {
    pub(super) fn new(limits: &GitLimits, ssh: Arc<Ssh>, shown: Option<Shown>, deadline: Duration) -> Self {
        let watch = Watch { deadline, until: Instant::now() + deadline, abandoned: Arc::default() };
        Self { limits: *limits, ssh, shown, watch, over: Cell::new(None), refused: RefCell::default() }
    }

    pub(super) fn watch(&self) -> Watch {
        self.watch.clone()
    }

    /// For transfer callbacks: false stops the transfer.
    pub(super) fn allow(&self, received: u64) -> bool {
        if received > self.limits.received_bytes {
            self.over.set(Some(received));
        }
        self.over.get().is_none() && self.watch.goes_on()
    }

    /// For callbacks of a connection: keeps why it is ended, in our words, and ends it.
    pub(super) fn refuse(&self, error: SourceError) -> git2::Error {
        let said = git2::Error::from_str(&error.to_string());
        self.refused.replace(Some(error));
        said
    }

    /// What a failure to connect means: what we refused, else what was heard.
    pub(super) fn explain(&self, repository: &RepositoryUrl, error: &git2::Error) -> SourceError {
        let refused = self.refused.take();
        let heard = || failure::transport(repository, error);
        match &self.shown {
            Some(shown) => shown.explain(repository, refused.unwrap_or_else(heard)),
            None => refused.unwrap_or_else(heard),
        }
    }

    /// For loops, and after a transfer that was stopped.
    pub(super) fn check(&self, repository: &RepositoryUrl) -> Result<(), SourceError> {
        if let Some(received) = self.over.get() {
            let limit = self.limits.received_bytes;
            return Err(failure::limit(
                repository,
                format!("its fetch has {received} bytes or more, {limit} are allowed"),
            ));
        }
        if self.watch.goes_on() { Ok(()) } else { Err(too_slow(repository, self.watch.deadline)) }
    }
}

fn too_slow(repository: &RepositoryUrl, deadline: Duration) -> SourceError {
    failure::transport_text(repository, &format!("it took longer than {} s", deadline.as_secs_f64()))
}

/// Waits for an act until its deadline. When the deadline passes or the caller goes away, the thread is told to stop.
pub(super) async fn within<T>(
    repository: &RepositoryUrl,
    watch: &Watch,
    act: impl Future<Output = Result<T, SourceError>>,
) -> Result<T, SourceError> {
    let _abandon = AbandonOnDrop(watch.abandoned.clone());
    // A moment more than the thread has, which knows better why it stopped.
    match tokio::time::timeout(watch.deadline + Duration::from_millis(500), act).await {
        Ok(result) => result,
        Err(_) => Err(too_slow(repository, watch.deadline)),
    }
}

struct AbandonOnDrop(Arc<AtomicBool>);

impl Drop for AbandonOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs blocking work. A panic of it is an error of the mirror, not ours.
pub(super) async fn blocking<T: Send + 'static>(
    repository: &RepositoryUrl,
    work: impl FnOnce() -> Result<T, SourceError> + Send + 'static,
) -> Result<T, SourceError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(failure::mirror_text(repository, &error.to_string())),
    }
}
