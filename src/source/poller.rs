//! The polling loop: asks the watched repositories for their heads on schedule and remembers what it heard.
//!
//! In go the set of what is followed and the wish to hasten one; out come views of the heads and a number that changes with
//! them. It decides nothing else: a new head only says *look now* (law 1). All references of one repository are asked with
//! one question; repositories are asked side by side up to a bound. Where a directory is followed, a new head is fetched
//! to see whether it differs there. What can never move, a commit, is asked once.

use super::SourceError;
use super::git::{GitSource, Head};
use super::schedule::{Outcome, Pace, PollSchedule, PollState};
use crate::model::{Class, Commit, CommitId, Contents, Reference, RepositoryUrl, Timestamp, Track};
use crate::observed::{HeadView, Rewritten};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How many earlier commits with equal contents in the directory are remembered.
const ALIKE: usize = 20;

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
    /// Of what has no pace of its own.
    pace: Pace,
    watched: Mutex<BTreeMap<RepositoryUrl, Watched>>,
    wake: Notify,
    changes: watch::Sender<u64>,
}

/// One repository that is watched.
#[derive(Debug)]
struct Watched {
    heads: BTreeMap<Track, HeadView>,
    state: PollState,
    asking: bool,
    /// Someone said *look now* while it was being asked: what comes may be from before that.
    again: bool,
    /// Its host announces what is new, as far as that was seen.
    announced: bool,
    /// It did since it was asked last.
    hinted: bool,
    /// Its own pace, if it has one.
    pace: Option<Pace>,
}

/// What was heard of one track.
#[derive(Debug)]
struct Seen {
    commit: CommitId,
    /// Of the directory, where one is followed.
    contents: Option<Contents>,
    details: Option<Commit>,
}

type Answer = Result<Vec<Result<Seen, SourceError>>, SourceError>;

impl Poller {
    /// Starts polling, with nothing watched yet, on the present tokio runtime: each repository every `interval`, at most
    /// `parallel` at the same time.
    pub fn new(git: Arc<GitSource>, interval: Duration, parallel: usize) -> Self {
        Self::paced(git, Pace::Every(PollSchedule::every(interval)), parallel)
    }

    /// The same at a pace.
    pub fn paced(git: Arc<GitSource>, pace: Pace, parallel: usize) -> Self {
        let shared = Arc::new(Shared {
            git,
            pace,
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
    pub fn watch(&self, sources: Vec<(RepositoryUrl, Track)>) {
        let mut wanted = Wanted::new();
        for (repository, track) in sources {
            wanted.entry(repository).or_default().push(track);
        }
        let changed = replace(&mut self.shared.watched(), wanted, Timestamp::now());
        if changed {
            self.shared.bump();
        }
        self.shared.wake.notify_one();
    }

    /// Replaces the paces of repositories that have their own. What gets another is asked now.
    pub fn pace(&self, paces: &BTreeMap<RepositoryUrl, Pace>) {
        let now = Timestamp::now();
        let mut changed = false;
        for (repository, watched) in self.shared.watched().iter_mut() {
            let pace = paces.get(repository);
            if watched.pace.as_ref() != pace {
                watched.pace = pace.cloned();
                watched.hasten(now);
                changed = true;
            }
        }
        if changed {
            self.shared.wake.notify_one();
        }
    }

    /// Asks a repository now, if it is watched. Says nothing about when the answer comes; see [`Poller::changes`].
    pub fn hasten(&self, repository: &RepositoryUrl) {
        if let Some(watched) = self.shared.watched().get_mut(repository) {
            watched.hasten(Timestamp::now());
        }
        self.shared.wake.notify_one();
    }

    /// Asks repositories now because their host says that something is new there, and less often by the schedule from now
    /// on. Returns how many of what is watched that are.
    pub fn hint(&self, named: &[RepositoryUrl]) -> usize {
        let now = Timestamp::now();
        let mut all = self.shared.watched();
        let concerned = all.iter_mut().filter(|(url, _)| named.iter().any(|n| n.same_place(url)));
        let count = concerned.map(|(_, watched)| watched.hint(now)).count();
        drop(all);
        self.shared.wake.notify_one();
        count
    }

    /// What is known of everything that is watched, by repository and track.
    pub fn heads(&self) -> Vec<HeadView> {
        self.shared.watched().values().flat_map(|watched| watched.heads.values().cloned()).collect()
    }

    /// Changes whenever a head, its details or its error did, or the watched set.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// Asks a repository for one track now and returns what is known then; the view keeps the last known commit beside an
    /// error. What is watched is updated too.
    pub async fn poll_now(&self, repository: &RepositoryUrl, track: &Track) -> HeadView {
        let tracks = std::slice::from_ref(track);
        let answer = self.shared.answer(repository, tracks).await;
        let mut view = self.shared.view(repository, track);
        let now = Timestamp::now();
        hear(&mut view, heard(&answer, 0), now);
        self.shared.record(repository, tracks, &answer, now);
        view
    }

    /// Notes that a branch was moved by force.
    pub fn rewritten(&self, repository: &RepositoryUrl, track: &Track, rewritten: Rewritten) {
        let mut all = self.shared.watched();
        let head = all.get_mut(repository).and_then(|watched| watched.heads.get_mut(track));
        let noted = head.map(|view| view.rewritten = Some(rewritten)).is_some();
        drop(all);
        if noted {
            self.shared.bump();
        }
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

    fn view(&self, repository: &RepositoryUrl, track: &Track) -> HeadView {
        let known = self.watched().get(repository).and_then(|watched| watched.heads.get(track).cloned());
        known.unwrap_or_else(|| unknown(repository, track.clone()))
    }

    /// Starts the polls that are due, the longest due first, while there is room; returns how long nothing else is due.
    fn begin(self: &Arc<Self>, polls: &mut JoinSet<()>, parallel: usize) -> Duration {
        let now = Timestamp::now();
        let mut all = self.watched();
        let mut waiting: Vec<_> =
            all.iter_mut().filter(|(_, watched)| !watched.asking && !watched.is_settled()).collect();
        waiting.sort_by_key(|(_, watched)| watched.state.remaining(now));
        let room = parallel.saturating_sub(polls.len());
        let due = waiting.iter().take_while(|(_, watched)| watched.state.remaining(now).is_zero()).count();
        for (repository, watched) in waiting.iter_mut().take(due.min(room)) {
            watched.asking = true;
            let tracks = watched.heads.values().filter(|view| !is_settled(view)).map(|view| view.track.clone());
            polls.spawn(self.clone().ask((*repository).clone(), tracks.collect()));
        }
        match waiting.get(due) {
            // Without room the end of a poll wakes the loop.
            Some((_, next)) => next.state.remaining(now),
            None => IDLE,
        }
    }

    async fn ask(self: Arc<Self>, repository: RepositoryUrl, tracks: Vec<Track>) {
        let answer = self.answer(&repository, &tracks).await;
        let now = Timestamp::now();
        let moved = self.record(&repository, &tracks, &answer, now);
        if let Some(watched) = self.watched().get_mut(&repository) {
            watched.asked(&answer, moved, &self.pace, now);
        }
    }

    /// Asks for the heads of some tracks, and what new ones have in the directories.
    async fn answer(&self, repository: &RepositoryUrl, tracks: &[Track]) -> Answer {
        let references: Vec<Reference> = tracks.iter().map(|track| track.reference.clone()).collect();
        let heads = self.git.heads(repository, &references).await?;
        let mut seen = Vec::with_capacity(tracks.len());
        for (track, head) in tracks.iter().zip(heads) {
            seen.push(match head {
                Ok(head) => self.look(repository, track, head).await,
                Err(error) => Err(error),
            });
        }
        Ok(seen)
    }

    /// What a head has in the directory, if one is followed: remembered, or read from the mirror, fetched for it.
    async fn look(&self, repository: &RepositoryUrl, track: &Track, head: Head) -> Result<Seen, SourceError> {
        let Some(directory) = &track.directory else {
            return Ok(Seen { commit: head.commit, contents: None, details: None });
        };
        let known = self.view(repository, track);
        if known.commit.as_ref() == Some(&head.commit) {
            return Ok(Seen { commit: head.commit, contents: known.contents, details: known.details });
        }
        let details = match self.git.fetch(repository, &track.reference, Some(&head.commit)).await {
            // Too large, or no repository that can be read: its deployment says so, once. Fetching it at every poll for
            // the sake of the directory would help nobody.
            Err(error) if error.class() == Class::Stalled => {
                return Ok(Seen { commit: head.commit, contents: None, details: None });
            }
            fetched => fetched?,
        };
        let contents = match self.git.directory(repository, &head.commit, directory).await {
            Err(SourceError::NoDirectory { .. }) => Contents::Missing,
            found => found?,
        };
        Ok(Seen { commit: head.commit, contents: Some(contents), details: Some(details) })
    }

    /// Keeps what was heard of tracks that are (still) watched; returns whether any of it is new.
    fn record(&self, repository: &RepositoryUrl, tracks: &[Track], answer: &Answer, now: Timestamp) -> bool {
        let mut changed = false;
        if let Some(watched) = self.watched().get_mut(repository) {
            for (index, track) in tracks.iter().enumerate() {
                if let Some(view) = watched.heads.get_mut(track) {
                    changed |= hear(view, heard(answer, index), now);
                }
            }
        }
        if changed {
            self.bump();
        }
        changed
    }
}

type Wanted = BTreeMap<RepositoryUrl, Vec<Track>>;

/// Keeps, adds and removes; returns whether anything was added or removed.
fn replace(all: &mut BTreeMap<RepositoryUrl, Watched>, wanted: Wanted, now: Timestamp) -> bool {
    let mut old = std::mem::take(all);
    let mut changed = false;
    for (repository, tracks) in wanted {
        let new = || Watched {
            heads: BTreeMap::new(),
            state: PollState::new(now),
            asking: false,
            again: false,
            announced: false,
            hinted: false,
            pace: None,
        };
        let mut watched = old.remove(&repository).unwrap_or_else(new);
        changed |= watched.replace(&repository, tracks, now);
        all.insert(repository, watched);
    }
    changed || !old.is_empty()
}

impl Watched {
    /// Whether nothing of it can move any more.
    fn is_settled(&self) -> bool {
        self.heads.values().all(is_settled)
    }

    fn hasten(&mut self, now: Timestamp) {
        self.again = self.asking;
        self.state = self.state.hastened(now);
    }

    fn hint(&mut self, now: Timestamp) {
        (self.announced, self.hinted) = (true, true);
        self.hasten(now);
    }

    /// Takes note that a poll ended, and whether it brought something new: what nobody had announced shows that its host
    /// does so no longer.
    ///
    /// A head that could not be looked at is a failure too: it is fetched again, at a growing distance.
    fn asked(&mut self, answer: &Answer, moved: bool, pace: &Pace, now: Timestamp) {
        let random = fastrand::f64();
        self.asking = false;
        self.announced &= self.hinted || !moved;
        self.hinted &= self.again;
        let outcome = match answer {
            Ok(seen)
                if !seen.iter().filter_map(|one| one.as_ref().err()).any(|error| error.class() == Class::Retry) =>
            {
                if self.announced {
                    Outcome::Announced
                } else {
                    Outcome::Succeeded
                }
            }
            _ => Outcome::Failed,
        };
        self.state = self.pace.as_ref().unwrap_or(pace).after(self.state, outcome, now, random);
        if std::mem::take(&mut self.again) {
            self.state = self.state.hastened(now);
        }
    }

    fn replace(&mut self, repository: &RepositoryUrl, tracks: Vec<Track>, now: Timestamp) -> bool {
        let mut known = std::mem::take(&mut self.heads);
        let mut changed = false;
        for track in tracks {
            if self.heads.contains_key(&track) {
                continue;
            }
            let kept = known.remove(&track);
            if kept.is_none() {
                changed = true;
                self.hasten(now);
            }
            self.heads.insert(track.clone(), kept.unwrap_or_else(|| unknown(repository, track)));
        }
        changed || !known.is_empty()
    }
}

/// Whether there is nothing more to hear: a commit was found, and stays.
fn is_settled(view: &HeadView) -> bool {
    view.track.reference.commit().is_some() && view.commit.is_some()
}

fn unknown(repository: &RepositoryUrl, track: Track) -> HeadView {
    HeadView {
        repository: repository.clone(),
        track,
        commit: None,
        contents: None,
        alike: Vec::new(),
        details: None,
        error: None,
        seen_at: None,
        checks: None,
        rewritten: None,
    }
}

/// What an answer says of the track at an index.
fn heard(answer: &Answer, index: usize) -> Result<&Seen, &SourceError> {
    match answer {
        Ok(heads) => heads[index].as_ref(),
        Err(error) => Err(error),
    }
}

/// Brings a view up to date; returns whether its head or its error changed.
fn hear(view: &mut HeadView, heard: Result<&Seen, &SourceError>, now: Timestamp) -> bool {
    let error = heard.err().map(describe);
    let mut changed = view.error != error;
    view.error = error;
    if let Ok(seen) = heard {
        view.seen_at = Some(now);
        if view.commit.as_ref() != Some(&seen.commit) {
            move_on(view, seen);
            changed = true;
        }
    }
    changed
}

/// Takes a new head over, and remembers those before it that have the same in the directory.
fn move_on(view: &mut HeadView, seen: &Seen) {
    let before = view.commit.replace(seen.commit.clone());
    let same = view.contents.is_some() && view.contents == seen.contents;
    if !same {
        view.alike.clear();
    }
    view.alike.extend(before.filter(|_| same));
    let surplus = view.alike.len().saturating_sub(ALIKE);
    view.alike.drain(..surplus);
    view.contents = seen.contents.clone();
    view.details = seen.details.clone();
}

/// An error with its hint, as one line.
fn describe(error: &SourceError) -> String {
    match error.hint() {
        Some(hint) => format!("{error} ({hint})"),
        None => error.to_string(),
    }
}
