//! Holds commits back until their checks have passed (`requireChecks`): looks at the newest heads of services that require
//! some, and keeps which of them is green. Planning takes that one for the head; a lost webhook costs time only.

use super::checks::{Verdict, judge, read};
use super::link::{Link, advice};
use crate::model::{CommitId, RepositoryUrl, RequiredChecks, ServiceSpec, Track};
use crate::observed::{Checks, HeadView};
use crate::reconcile::chain;
use crate::reconcile::core::Core;
use crate::source::github::GitHubError;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// So many heads are looked at behind the newest: with more pushes than checks end, one of them turns green all the same.
const BEHIND: usize = 20;
/// How many checks of a commit are read.
const PAGE: usize = 100;
/// The shortest and the longest time between two looks at one commit.
const SHORTEST: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(300);

/// What is followed under which checks.
pub type Followed = (RepositoryUrl, Track, RequiredChecks);

/// The heads that were seen of one track, newest first.
#[derive(Debug, Default)]
pub struct Gate {
    seen: Vec<Seen>,
}

#[derive(Debug)]
struct Seen {
    view: HeadView,
    verdict: Verdict,
    tries: u32,
    asked: Option<Instant>,
    next: Option<Instant>,
}

impl Gate {
    /// Takes in the head of now.
    fn head(&mut self, view: &HeadView) {
        let Some(commit) = &view.commit else { return };
        if let Some(at) = self.seen.iter().position(|s| s.view.commit.as_ref() == Some(commit)) {
            // Details and contents come later; what was put before it was pushed away.
            self.seen.drain(..at);
            self.seen[0].view.clone_from(view);
            return;
        }
        let verdict = Verdict::Pending("its checks were not asked for yet".into());
        self.seen.insert(0, Seen { view: view.clone(), verdict, tries: 0, asked: None, next: None });
        // What is older than a green one never counts again.
        let green = self.seen.iter().position(|s| s.verdict == Verdict::Green);
        self.seen.truncate(green.map_or(BEHIND, |at| (at + 1).min(BEHIND)));
    }

    /// The commits that are to be asked about now.
    fn due(&self, now: Instant) -> Vec<CommitId> {
        let open = self.seen.iter().take_while(|s| s.verdict != Verdict::Green);
        let due = open.filter(|s| s.next.is_none_or(|at| at <= now));
        due.filter_map(|s| s.view.commit.clone()).collect()
    }

    /// When the next is due.
    fn next(&self) -> Option<Instant> {
        self.seen.iter().take_while(|s| s.verdict != Verdict::Green).map(|s| s.next.unwrap_or_else(Instant::now)).min()
    }

    /// Asks about everything again soon: at once, unless that was just done. However many hints come, GitHub is not stormed.
    pub fn hasten(&mut self) {
        for seen in &mut self.seen {
            let soon = seen.asked.map(|asked| asked + SHORTEST);
            (seen.next, seen.tries) = (seen.next.min(soon).or(soon), 0);
        }
    }

    fn answered(&mut self, commit: &CommitId, verdict: Verdict, now: Instant, not_before: Option<Duration>) -> bool {
        let Some(seen) = self.seen.iter_mut().find(|s| s.view.commit.as_ref() == Some(commit)) else { return false };
        let rest = SHORTEST.saturating_mul(1 << (seen.tries / 4).min(8)).min(LONGEST);
        let rest = rest.mul_f64(0.75 + fastrand::f64() / 2.0).max(not_before.unwrap_or_default());
        (seen.tries, seen.asked, seen.next) = (seen.tries.saturating_add(1), Some(now), Some(now + rest));
        let changed = seen.verdict != verdict;
        seen.verdict = verdict;
        changed
    }

    /// The head as planning takes it: the newest green one, and what the newest waits for.
    fn view(&self, required: &RequiredChecks, plain: &HeadView) -> HeadView {
        let at = self.seen.iter().position(|s| s.verdict == Verdict::Green);
        let green = at.map(|at| &self.seen[at].view);
        let newer = self.seen.iter().take(at.unwrap_or(0)).filter_map(|s| s.view.commit.clone()).collect();
        let newest = self.seen.first();
        let (why, failed) = match newest.map(|s| &s.verdict) {
            None | Some(Verdict::Green) => (None, false),
            Some(Verdict::Pending(why)) => (Some(why.clone()), false),
            Some(Verdict::Failed(why)) => (Some(why.clone()), true),
        };
        let newest = newest.and_then(|s| s.view.commit.clone());
        let checks = Some(Checks { required: required.clone(), newest, newer, why, failed });
        match green {
            Some(view) => HeadView { checks, error: plain.error.clone(), seen_at: plain.seen_at, ..view.clone() },
            None => {
                let (commit, contents, alike, details) = (None, None, Vec::new(), None);
                HeadView { checks, commit, contents, alike, details, ..plain.clone() }
            }
        }
    }
}

/// The heads of what is followed under checks, beside the plain ones.
pub fn views(gates: &BTreeMap<Followed, Gate>, heads: &[HeadView]) -> Vec<HeadView> {
    let plain = |repository: &RepositoryUrl, track: &Track| {
        heads.iter().find(|h| h.repository == *repository && h.track == *track)
    };
    let views = gates
        .iter()
        .filter_map(|((repository, track, required), gate)| Some(gate.view(required, plain(repository, track)?)));
    views.collect()
}

/// Looks until the control plane stops.
pub async fn run(core: Arc<Core>) {
    let (mut hints, mut heads) = (core.host_hints.subscribe(), core.poller.changes());
    loop {
        let rest = look(&core).await;
        tokio::select! {
            () = core.stopping.cancelled() => return,
            _ = hints.changed() => {}
            _ = heads.changed() => {}
            () = tokio::time::sleep(rest) => {}
        }
    }
}

/// Looks at what is due; how long to rest then.
async fn look(core: &Arc<Core>) -> Duration {
    let specs = follow(core);
    let mut due: BTreeSet<(RepositoryUrl, CommitId)> = BTreeSet::new();
    {
        let (state, now) = (core.state(), Instant::now());
        for ((repository, ..), gate) in &state.gates {
            due.extend(gate.due(now).into_iter().map(|commit| (repository.clone(), commit)));
        }
    }
    let mut changed = false;
    for (repository, commit) in due {
        let links = specs.iter().filter(|s| s.source.repository == repository);
        let answer = match links.filter_map(|spec| super::link_of(core, spec)).next() {
            Some(link) => ask(&link, &commit).await.map_err(Some),
            None => Err(None),
        };
        changed |= take(core, &repository, &commit, &answer);
    }
    if changed {
        core.look_again();
    }
    let next = core.state().gates.values().filter_map(Gate::next).min();
    // What begins to require checks wakes nobody.
    next.map_or(SHORTEST, |at| at.saturating_duration_since(Instant::now())).clamp(Duration::from_millis(200), SHORTEST)
}

/// Brings the gates up to date with what is declared and in force, and with its heads. Returns what requires some.
fn follow(core: &Core) -> Vec<ServiceSpec> {
    let heads = core.poller.heads();
    let mut state = core.state();
    let declared = state.desired.iter().flat_map(|d| d.services.iter().map(|s| &s.spec));
    let applied = state.world.services.values().filter(|r| r.deleted_at.is_none()).filter_map(|r| r.applied.as_ref());
    let specs = declared.chain(applied).filter(|spec| !spec.source.host.require_checks.is_none());
    let specs: Vec<ServiceSpec> = specs.cloned().collect();
    let sources = specs.iter().map(|spec| &spec.source);
    let followed = sources.map(|s| (s.repository.clone(), s.track.clone(), s.host.require_checks.clone()));
    let followed: BTreeSet<Followed> = followed.collect();
    state.gates.retain(|of, _| followed.contains(of));
    for of in followed {
        let head = heads.iter().find(|h| h.repository == of.0 && h.track == of.1);
        let gate = state.gates.entry(of).or_default();
        if let Some(head) = head {
            gate.head(head);
        }
    }
    specs
}

async fn ask(link: &Link, commit: &CommitId) -> Result<(Value, Value), GitHubError> {
    let runs = link.get(&format!("/commits/{commit}/check-runs?per_page={PAGE}&filter=latest")).await;
    let runs = match runs {
        // A token without the permission for checks can still see statuses, and the other way round.
        Err(GitHubError::Forbidden(_)) => Value::Null,
        runs => runs?,
    };
    let status = link.get(&format!("/commits/{commit}/status?per_page={PAGE}")).await?;
    Ok((runs, status))
}

/// Takes in what GitHub said, for all that follow the repository.
fn take(
    core: &Core,
    repository: &RepositoryUrl,
    commit: &CommitId,
    answer: &Result<(Value, Value), Option<GitHubError>>,
) -> bool {
    let (mut state, now) = (core.state(), Instant::now());
    let mut changed = false;
    for ((of, _, required), gate) in state.gates.iter_mut().filter(|((of, ..), _)| of == repository) {
        debug_assert_eq!(of, repository);
        let (verdict, not_before) = match answer {
            Ok((runs, status)) => (judge(required, &read(runs, status)), None),
            Err(Some(error)) => {
                let wait = error.not_before().map(|until| until.since(core.now()));
                (Verdict::Pending(format!("its checks cannot be seen: {}{}", chain(error), advice(error))), wait)
            }
            Err(None) => {
                let why = "its checks cannot be seen: the source names no connection to GitHub that is available";
                (Verdict::Pending(why.into()), None)
            }
        };
        changed |= gate.answered(commit, verdict, now, not_before);
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(letter: char) -> HeadView {
        HeadView {
            repository: "https://git.example/x".parse().unwrap(),
            track: Track::default(),
            commit: Some(letter.to_string().repeat(40).parse().unwrap()),
            contents: None,
            alike: Vec::new(),
            details: None,
            error: None,
            seen_at: None,
            rewritten: None,
            checks: None,
        }
    }

    fn green(gate: &Gate, newest: &HeadView) -> Option<String> {
        gate.view(&RequiredChecks::All, newest).commit.map(|commit| commit.short()[..1].to_owned())
    }

    fn says(gate: &mut Gate, letter: char, verdict: Verdict) {
        let commit = head(letter).commit.unwrap();
        gate.answered(&commit, verdict, Instant::now(), None);
    }

    #[tokio::test]
    async fn a_busy_repository_does_not_starve_a_service() {
        let mut gate = Gate::default();
        for letter in ['a', 'b', 'c'] {
            gate.head(&head(letter));
        }
        assert_eq!(gate.due(Instant::now()).len(), 3);
        says(&mut gate, 'a', Verdict::Green);
        assert_eq!(green(&gate, &head('c')).as_deref(), Some("a"));
        says(&mut gate, 'c', Verdict::Pending("x".into()));
        says(&mut gate, 'b', Verdict::Green);
        let view = gate.view(&RequiredChecks::All, &head('c'));
        assert_eq!(view.commit, head('b').commit);
        assert_eq!(view.checks.unwrap().why.as_deref(), Some("x"));
        // What is older than a green one is not asked about any more.
        gate.head(&head('d'));
        assert_eq!(gate.due(Instant::now() + LONGEST * 2).len(), 2);
    }

    #[tokio::test]
    async fn a_branch_that_was_pushed_back_has_what_was_there_before() {
        let mut gate = Gate::default();
        gate.head(&head('a'));
        says(&mut gate, 'a', Verdict::Green);
        gate.head(&head('b'));
        says(&mut gate, 'b', Verdict::Green);
        gate.head(&head('a'));
        assert_eq!(green(&gate, &head('a')).as_deref(), Some("a"));
    }

    #[tokio::test]
    async fn looks_come_at_growing_distances_and_a_hint_ends_a_rest() {
        let mut gate = Gate::default();
        gate.head(&head('a'));
        for _ in 0..60 {
            says(&mut gate, 'a', Verdict::Pending("x".into()));
        }
        let rest = gate.next().unwrap().saturating_duration_since(Instant::now());
        assert!(rest > LONGEST / 2 && rest < LONGEST * 2, "{rest:?}");
        gate.hasten();
        assert!(gate.due(Instant::now()).is_empty(), "just asked");
        assert_eq!(gate.due(Instant::now() + SHORTEST).len(), 1);
        for letter in 'b'..='f' {
            gate.head(&head(letter));
        }
        assert!(gate.seen.len() <= BEHIND);
    }
}
