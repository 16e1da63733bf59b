//! The polling loop: asks the watched repositories for their heads on schedule and remembers what it heard.
//!
//! In go the set of watched branches and the wish to hasten one; out come views of the heads and a number that changes with
//! them. It decides nothing else: a new head only says *look now* (law 1). All branches of one repository are asked with one
//! question; repositories are asked side by side up to a bound.

use super::SourceError;
use super::git::{GitSource, Head};
use super::schedule::{PollSchedule, PollState};
use crate::model::{BranchName, Commit, RepositoryUrl, Timestamp};
use crate::observed::HeadView;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long the loop sleeps when nothing is watched; it is woken when something is.
const IDLE: Duration = Duration::from_secs(3600);

/// Polls until it is dropped.
#[derive(Debug)]
pub struct Poller {
    shared: Arc<Shared>,
    stop: CancellationToken,
}

#[derive(Debug)]
struct Shared {
    git: Arc<GitSource>,
    schedule: PollSchedule,
    watched: Mutex<BTreeMap<RepositoryUrl, Watched>>,
    wake: Notify,
    changes: watch::Sender<u64>,
}

/// One repository that is watched.
#[derive(Debug)]
struct Watched {
    heads: BTreeMap<Option<BranchName>, HeadView>,
    state: PollState,
    asking: bool,
    /// Someone said *look now* while it was being asked: what comes may be from before that.
    again: bool,
}

type Answer = Result<Vec<Result<Head, SourceError>>, SourceError>;

impl Poller {
    /// Starts polling, with nothing watched yet, on the present tokio runtime: each repository every `interval`, at most
    /// `parallel` at the same time.
    pub fn new(git: Arc<GitSource>, interval: Duration, parallel: usize) -> Self {
        let shared = Arc::new(Shared {
            git,
            schedule: PollSchedule::every(interval),
            watched: Mutex::default(),
            wake: Notify::new(),
            changes: watch::Sender::new(0),
        });
        let stop = CancellationToken::new();
        let (looping, stopped) = (shared.clone(), stop.clone());
        tokio::spawn(async move { stopped.run_until_cancelled(poll(looping, parallel.max(1))).await });
        Self { shared, stop }
    }

    /// Replaces what is watched. What stays keeps its place in the schedule and its view; what is new is asked at once.
    pub fn watch(&self, sources: Vec<(RepositoryUrl, Option<BranchName>)>) {
        let mut wanted = Wanted::new();
        for (repository, branch) in sources {
            wanted.entry(repository).or_default().push(branch);
        }
        let changed = replace(&mut self.shared.watched(), wanted, Timestamp::now());
        if changed {
            self.shared.bump();
        }
        self.shared.wake.notify_one();
    }

    /// Asks a repository now, if it is watched. Says nothing about when the answer comes; see [`Poller::changes`].
    pub fn hasten(&self, repository: &RepositoryUrl) {
        if let Some(watched) = self.shared.watched().get_mut(repository) {
            watched.hasten(Timestamp::now());
        }
        self.shared.wake.notify_one();
    }

    /// What is known of every watched branch, by repository and branch.
    pub fn heads(&self) -> Vec<HeadView> {
        self.shared.watched().values().flat_map(|watched| watched.heads.values().cloned()).collect()
    }

    /// Changes whenever a head, its details or its error did, or the watched set.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// Asks a repository for one branch now and returns what is known then; the view keeps the last known commit beside an
    /// error. A branch that is watched is updated too.
    pub async fn poll_now(&self, repository: &RepositoryUrl, branch: Option<&BranchName>) -> HeadView {
        let branches = [branch.cloned()];
        let answer = self.shared.git.heads(repository, &branches).await;
        let mut view = self.shared.view(repository, &branches[0]);
        let now = Timestamp::now();
        hear(&mut view, heard(&answer, 0), now);
        self.shared.record(repository, &branches, &answer, now);
        view
    }

    /// Adds the details of a fetched commit to the views that have it as their head.
    pub fn learned(&self, repository: &RepositoryUrl, commit: &Commit) {
        let mut all = self.shared.watched();
        let heads = all.get_mut(repository).into_iter().flat_map(|watched| watched.heads.values_mut());
        let mut changed = false;
        for view in heads.filter(|view| view.commit.as_ref() == Some(&commit.id) && view.details.is_none()) {
            view.details = Some(commit.clone());
            changed = true;
        }
        drop(all);
        if changed {
            self.shared.bump();
        }
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The loop. Polls that are under way are dropped with it.
async fn poll(shared: Arc<Shared>, parallel: usize) {
    let mut polls = JoinSet::new();
    loop {
        let sleep = shared.begin(&mut polls, parallel);
        tokio::select! {
            () = shared.wake.notified() => {}
            () = tokio::time::sleep(sleep) => {}
            Some(_) = polls.join_next() => {}
        }
    }
}

impl Shared {
    fn watched(&self) -> MutexGuard<'_, BTreeMap<RepositoryUrl, Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bump(&self) {
        self.changes.send_modify(|number| *number = number.wrapping_add(1));
    }

    fn view(&self, repository: &RepositoryUrl, branch: &Option<BranchName>) -> HeadView {
        let known = self.watched().get(repository).and_then(|watched| watched.heads.get(branch).cloned());
        known.unwrap_or_else(|| unknown(repository, branch.clone()))
    }

    /// Starts the polls that are due, the longest due first, while there is room; returns how long nothing else is due.
    fn begin(self: &Arc<Self>, polls: &mut JoinSet<()>, parallel: usize) -> Duration {
        let now = Timestamp::now();
        let mut all = self.watched();
        let mut waiting: Vec<_> = all.iter_mut().filter(|(_, watched)| !watched.asking).collect();
        waiting.sort_by_key(|(_, watched)| watched.state.remaining(now));
        let room = parallel.saturating_sub(polls.len());
        let due = waiting.iter().take_while(|(_, watched)| watched.state.remaining(now).is_zero()).count();
        for (repository, watched) in waiting.iter_mut().take(due.min(room)) {
            watched.asking = true;
            polls.spawn(self.clone().ask((*repository).clone(), watched.heads.keys().cloned().collect()));
        }
        match waiting.get(due) {
            // Without room the end of a poll wakes the loop.
            Some((_, next)) => next.state.remaining(now),
            None => IDLE,
        }
    }

    async fn ask(self: Arc<Self>, repository: RepositoryUrl, branches: Vec<Option<BranchName>>) {
        let answer = self.git.heads(&repository, &branches).await;
        let now = Timestamp::now();
        if let Some(watched) = self.watched().get_mut(&repository) {
            watched.asked(&answer, &self.schedule, now);
        }
        self.record(&repository, &branches, &answer, now);
    }

    /// Keeps what was heard of branches that are (still) watched.
    fn record(&self, repository: &RepositoryUrl, branches: &[Option<BranchName>], answer: &Answer, now: Timestamp) {
        let mut changed = false;
        if let Some(watched) = self.watched().get_mut(repository) {
            for (index, branch) in branches.iter().enumerate() {
                if let Some(view) = watched.heads.get_mut(branch) {
                    changed |= hear(view, heard(answer, index), now);
                }
            }
        }
        if changed {
            self.bump();
        }
    }
}

type Wanted = BTreeMap<RepositoryUrl, Vec<Option<BranchName>>>;

/// Keeps, adds and removes; returns whether anything was added or removed.
fn replace(all: &mut BTreeMap<RepositoryUrl, Watched>, wanted: Wanted, now: Timestamp) -> bool {
    let mut old = std::mem::take(all);
    let mut changed = false;
    for (repository, branches) in wanted {
        let new = || Watched { heads: BTreeMap::new(), state: PollState::new(now), asking: false, again: false };
        let mut watched = old.remove(&repository).unwrap_or_else(new);
        changed |= watched.replace(&repository, branches, now);
        all.insert(repository, watched);
    }
    changed || !old.is_empty()
}

impl Watched {
    fn hasten(&mut self, now: Timestamp) {
        self.again = self.asking;
        self.state = self.state.hastened(now);
    }

    /// Takes note that a poll ended.
    fn asked(&mut self, answer: &Answer, schedule: &PollSchedule, now: Timestamp) {
        let random = fastrand::f64();
        self.asking = false;
        self.state = match answer {
            Ok(_) => self.state.succeeded(schedule, now, random),
            Err(_) => self.state.failed(schedule, now, random),
        };
        if std::mem::take(&mut self.again) {
            self.state = self.state.hastened(now);
        }
    }

    fn replace(&mut self, repository: &RepositoryUrl, branches: Vec<Option<BranchName>>, now: Timestamp) -> bool {
        let mut known = std::mem::take(&mut self.heads);
        let mut changed = false;
        for branch in branches {
            if self.heads.contains_key(&branch) {
                continue;
            }
            let kept = known.remove(&branch);
            if kept.is_none() {
                changed = true;
                self.hasten(now);
            }
            self.heads.insert(branch.clone(), kept.unwrap_or_else(|| unknown(repository, branch)));
        }
        changed || !known.is_empty()
    }
}

fn unknown(repository: &RepositoryUrl, branch: Option<BranchName>) -> HeadView {
    HeadView { repository: repository.clone(), branch, commit: None, details: None, error: None, seen_at: None }
}

/// What an answer says of the branch at an index.
fn heard(answer: &Answer, index: usize) -> Result<&Head, &SourceError> {
    match answer {
        Ok(heads) => heads[index].as_ref(),
        Err(error) => Err(error),
    }
}

/// Brings a view up to date; returns whether its head or its error changed.
fn hear(view: &mut HeadView, heard: Result<&Head, &SourceError>, now: Timestamp) -> bool {
    let error = heard.err().map(describe);
    let mut changed = view.error != error;
    view.error = error;
    if let Ok(head) = heard {
        view.seen_at = Some(now);
        if view.commit.as_ref() != Some(&head.commit) {
            view.commit = Some(head.commit.clone());
            view.details = None;
            changed = true;
        }
    }
    changed
}

/// An error with its hint, as one line.
fn describe(error: &SourceError) -> String {
    match error.hint() {
        Some(hint) => format!("{error} ({hint})"),
        None => error.to_string(),
    }
}
