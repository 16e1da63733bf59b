//! Plans on pull requests against the repository that the manifest is pulled from: a check, and one comment that is kept up
//! to date; and after the merge, whether what was planned is what came into force.
//!
//! Level-triggered: open pull requests are looked at at a slow pace, and at once when a webhook says that something
//! happened. What was said last is kept, so that nothing is said twice and a restart goes on where it was.

mod reading;
mod words;

use self::reading::Found;
use self::words::Said;
use super::link::{Link, advice};
use super::pulls::{self, Pull};
use crate::model::{Class, CommitId, Digest, EventSeverity, Timestamp};
use crate::plan::{Plan, moved_since};
use crate::reconcile::chain;
use crate::reconcile::core::{Core, FirstPlan};
use crate::settings::{ManifestRepository, ManifestSource, PlanPulls};
use crate::source::github::GitHubError;
use crate::store::{Entry, EntryWrite};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Where the store keeps what was said, by the number of the pull request.
const KIND: &str = "github-plans";
/// So many pull requests are planned; of more those that changed last.
const MOST: usize = 50;
/// A plan is made again after so long, since what runs moves too.
const STALE: Duration = Duration::from_secs(600);
/// The shortest time between two looks, and the longest after errors.
const SHORTEST: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(600);
/// A merge whose commit does not come into force for so long is not waited for any more.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// What was said of one pull request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reviewed {
    title: String,
    head: CommitId,
    /// The manifest's commit that was in force.
    base: CommitId,
    at: Timestamp,
    plan: Option<Plan>,
    /// The text that stands there, without its marker.
    text: String,
    /// What was said, as a digest; none while it is not said yet.
    said: Option<Digest>,
    comment: Option<u64>,
    /// The check run and the commit that it is of.
    check: Option<(u64, CommitId)>,
    /// Since when it is known to be merged, and as what.
    #[serde(default)]
    merged: Option<(CommitId, Timestamp)>,
}

/// Reviews of one installation.
struct Reviews {
    core: Arc<Core>,
    repository: ManifestRepository,
    known: BTreeMap<u64, Reviewed>,
    problem: Option<String>,
    tries: u32,
}

/// Reviews until the control plane stops; at once over where no repository is followed, or no plans are wanted.
pub async fn run(core: Arc<Core>) {
    let ManifestSource::Repository(repository) = core.config.manifest.clone() else { return };
    if core.config.plan_pulls == PlanPulls::Off {
        return;
    }
    let mut hints = core.host_hints.subscribe();
    let mut reviews = Reviews::load(core.clone(), repository).await;
    loop {
        let rest = reviews.look().await;
        tokio::select! {
            () = core.stopping.cancelled() => return,
            _ = hints.changed() => tokio::time::sleep(SHORTEST).await,
            () = tokio::time::sleep(rest) => {}
        }
    }
}

impl Reviews {
    async fn load(core: Arc<Core>, repository: ManifestRepository) -> Self {
        let entries = core.store.entries(&[KIND]).await.unwrap_or_default();
        let known =
            entries.into_iter().filter_map(|e| Some((e.name.parse().ok()?, serde_json::from_value(e.value).ok()?)));
        Self { repository, known: known.collect(), problem: None, tries: 0, core }
    }

    /// Looks at everything once; how long to rest then.
    async fn look(&mut self) -> Duration {
        let Some(link) = super::link_of_manifest(&self.core, &self.repository) else { return self.core.poll_rest() };
        let error = match self.look_at(&link).await {
            Ok(()) => {
                self.tell(None).await;
                self.tries = 0;
                return self.core.poll_rest().max(SHORTEST);
            }
            Err(error) => error,
        };
        self.tell(Some(format!("{}{}", chain(&error), advice(&error)))).await;
        self.tries = self.tries.saturating_add(1);
        let rest = SHORTEST.saturating_mul(1 << self.tries.min(10)).min(LONGEST).mul_f64(0.75 + fastrand::f64() / 2.0);
        error.not_before().map_or(rest, |until| until.since(self.core.now()).max(rest))
    }

    /// Says once why pull requests get no plans, and once that they do again.
    async fn tell(&mut self, problem: Option<String>) {
        if self.problem == problem {
            return;
        }
        let url = &self.repository.url;
        let (kind, severity, message) = match &problem {
            Some(why) => (
                "PullsUnreachable",
                EventSeverity::Warn,
                format!("Pull requests of {url} get no plans for now: {why}."),
            ),
            None => ("PullsReachable", EventSeverity::Info, format!("Pull requests of {url} get plans again.")),
        };
        self.problem = problem;
        self.core.emit_plain(kind, severity, message).await;
    }

    async fn look_at(&mut self, link: &Link) -> Result<(), GitHubError> {
        let Some(base) = self.in_force() else { return Ok(()) };
        let branch = self.branch(link).await?;
        let forks = self.core.config.plan_pulls == PlanPulls::Forks;
        let open = pulls::open(link).await?;
        let ours = |pull: &&Pull| pull.base == branch && (forks || !pull.from_fork);
        let wanted: Vec<&Pull> = open.iter().filter(ours).take(MOST).collect();
        for pull in &wanted {
            self.review(link, pull, &base).await?;
        }
        let gone: Vec<u64> =
            self.known.keys().filter(|number| !wanted.iter().any(|p| p.number == **number)).copied().collect();
        for number in gone {
            self.follow_up(link, number).await?;
        }
        Ok(())
    }

    /// The commit of the manifest that is in force.
    fn in_force(&self) -> Option<CommitId> {
        let state = self.core.state();
        Some(state.desired.as_ref()?.manifest.commit.as_ref()?.id.clone())
    }

    /// The branch that is followed.
    async fn branch(&self, link: &Link) -> Result<String, GitHubError> {
        if let Some(branch) = self.repository.reference.branch() {
            return Ok(branch.to_string());
        }
        let repository = link.get("").await?;
        let branch = repository["default_branch"].as_str().map(str::to_owned);
        branch.ok_or_else(|| GitHubError::Unexpected("a repository without a default branch".into()))
    }

    /// Plans one pull request, and says what is new.
    async fn review(&mut self, link: &Link, pull: &Pull, base: &CommitId) -> Result<(), GitHubError> {
        let (now, known) = (self.core.now(), self.known.get(&pull.number));
        let same = known.is_some_and(|k| k.head == pull.head && k.base == *base && k.said.is_some());
        if same && known.is_some_and(|k| now.since(k.at) < STALE) {
            return Ok(());
        }
        let found = match reading::read(&self.core, &self.repository, pull, base).await {
            Ok(found) => found,
            Err(error) => {
                // It was pushed to again, or git is not well: the next look tells.
                tracing::debug!(pull = pull.number, error = %chain(&error), "a pull request was not read");
                return Ok(());
            }
        };
        let reviewed = self.take_note(pull, base, found.plan.clone(), &found.said);
        let digest = Digest::of(&(&found.said.text, found.said.verdict.word(), &pull.head));
        if reviewed.said.as_ref() == Some(&digest) {
            return Ok(());
        }
        self.keep(pull.number).await;
        self.say(link, pull, &found, digest).await
    }

    fn take_note(&mut self, pull: &Pull, base: &CommitId, plan: Option<Plan>, said: &Said) -> &Reviewed {
        let at = self.core.now();
        let known = self.known.get(&pull.number);
        let reviewed = Reviewed {
            title: pull.title.clone(),
            head: pull.head.clone(),
            base: base.clone(),
            at,
            plan,
            text: said.text.clone(),
            said: known.and_then(|k| k.said.clone()),
            comment: known.and_then(|k| k.comment),
            check: known.and_then(|k| k.check.clone()),
            merged: None,
        };
        self.known.insert(pull.number, reviewed);
        &self.known[&pull.number]
    }

    /// Puts the comment and the check in place. What is refused is told once, and not tried again for the same plan.
    async fn say(&mut self, link: &Link, pull: &Pull, found: &Found, digest: Digest) -> Result<(), GitHubError> {
        let (marker, known) = (self.marker(), self.known[&pull.number].comment);
        let text = format!("{marker}\n{}", found.said.text);
        let comment = pulls::comment(link, pull.number, known, &marker, &text).await;
        let comment = self.unless_refused(pull, "a comment", comment).await?;
        let check = self.check(link, pull, &found.said).await;
        let check = self.unless_refused(pull, "a check", check).await?;
        if let Some(reviewed) = self.known.get_mut(&pull.number) {
            reviewed.comment = comment.or(reviewed.comment);
            reviewed.check = check.flatten().map(|id| (id, pull.head.clone())).or(reviewed.check.take());
            reviewed.said = Some(digest);
        }
        self.keep(pull.number).await;
        Ok(())
    }

    /// A refusal is told, and is nothing to try again; what passes is.
    async fn unless_refused<T>(
        &self,
        pull: &Pull,
        what: &str,
        done: Result<T, GitHubError>,
    ) -> Result<Option<T>, GitHubError> {
        match done {
            Ok(done) => Ok(Some(done)),
            Err(error) if error.class() == Class::Retry => Err(error),
            Err(error) => {
                let (number, url, advice) = (pull.number, &self.repository.url, advice(&error));
                let message = format!("Pull request {number} of {url} gets no {what}: {}{advice}.", chain(&error));
                let message = message.replace("no a ", "no ");
                self.core.emit_plain("PlanNotSaid", EventSeverity::Warn, message).await;
                Ok(None)
            }
        }
    }

    /// What the check is called: it tells installations apart that read different manifests of one repository.
    fn check_name(&self) -> String {
        match self.repository.path.as_str() {
            "towpath.yaml" => "towpath/plan".into(),
            path => format!("towpath/plan {path}"),
        }
    }

    /// Begins the comment, so that it is found again.
    fn marker(&self) -> String {
        let path: String = self.repository.path.as_str().chars().filter(|c| *c != '>').collect();
        format!("<!-- towpath plan of {path} -->")
    }

    /// A check run, where the credential is of an App, else a commit status. Returns the id of a run.
    async fn check(&self, link: &Link, pull: &Pull, said: &Said) -> Result<Option<u64>, GitHubError> {
        let title: String = said.title.chars().take(140).collect();
        if !link.is_app {
            let body = json!({ "state": said.verdict.word(), "context": self.check_name(), "description": title });
            link.post(&super::link::statuses_of(&pull.head), &body).await?;
            return Ok(None);
        }
        let body = json!({
            "name": self.check_name(), "head_sha": pull.head.as_str(), "status": "completed",
            "conclusion": said.verdict.word(), "output": { "title": title, "summary": said.text },
        });
        let known = self.known.get(&pull.number).and_then(|k| k.check.clone()).filter(|(_, head)| *head == pull.head);
        let answer = match known {
            Some((id, _)) => link.patch(&format!("/check-runs/{id}"), &body).await?,
            None => link.post("/check-runs", &body).await?,
        };
        Ok(answer["id"].as_u64())
    }

    /// What became of one that is not open any more, or goes to another branch now.
    async fn follow_up(&mut self, link: &Link, number: u64) -> Result<(), GitHubError> {
        let Some(reviewed) = self.known.get(&number).cloned() else { return Ok(()) };
        let (merge, since) = match reviewed.merged.clone() {
            Some(known) => known,
            None => {
                let merge = match pulls::one(link, number).await {
                    Err(GitHubError::NotFound(_)) => None,
                    pull => pull?.merged,
                };
                let Some(merge) = merge else {
                    self.forget(number).await;
                    return Ok(());
                };
                let merged = (merge, self.core.now());
                if let Some(reviewed) = self.known.get_mut(&number) {
                    reviewed.merged = Some(merged.clone());
                }
                self.keep(number).await;
                merged
            }
        };
        let first = self.core.state().manifest_first_plan.clone();
        match first.filter(|first| first.commit == merge) {
            Some(first) => self.compare(link, number, &reviewed, &first).await,
            None if self.core.now().since(since) > PATIENCE => {
                self.forget(number).await;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Says whether what was planned is what came into force.
    async fn compare(
        &mut self,
        link: &Link,
        number: u64,
        reviewed: &Reviewed,
        first: &FirstPlan,
    ) -> Result<(), GitHubError> {
        let moved: Vec<String> = match &reviewed.plan {
            Some(plan) => moved_since(plan, &first.plan, &first.report).iter().map(ToString::to_string).collect(),
            None => vec!["there was no plan of it".into()],
        };
        let marker = self.marker();
        let text = format!("{marker}\n{}{}", reviewed.text, words::merged(&first.commit, &moved));
        if let Some(id) = reviewed.comment {
            let changed = link.patch(&format!("/issues/comments/{id}"), &json!({ "body": text })).await;
            if let Err(error) = changed.as_ref()
                && error.class() == Class::Retry
            {
                return Err(error.clone());
            }
        }
        let (short, title) = (first.commit.short(), &reviewed.title);
        let (kind, severity, message) = match moved.as_slice() {
            [] => (
                "PlanApplied",
                EventSeverity::Info,
                format!("Pull request {number} ({title}) is in force as {short}, as it was planned."),
            ),
            moved => (
                "PlanMoved",
                EventSeverity::Warn,
                format!(
                    "Pull request {number} ({title}) is in force as {short}. Since its plan something moved: {}.",
                    moved.join("; ")
                ),
            ),
        };
        self.core.emit_plain(kind, severity, message).await;
        self.forget(number).await;
        Ok(())
    }

    async fn forget(&mut self, number: u64) {
        self.known.remove(&number);
        self.write(EntryWrite::Delete { kind: KIND.into(), name: number.to_string() }).await;
        if let Err(error) = self.core.git.forget_pull(&self.repository.url, number).await {
            tracing::debug!(number, error = %chain(&error), "a pull request stays in the mirror");
        }
    }

    async fn keep(&self, number: u64) {
        let Some(Ok(value)) = self.known.get(&number).map(serde_json::to_value) else { return };
        self.write(EntryWrite::Put(Entry { kind: KIND.into(), name: number.to_string(), value })).await;
    }

    async fn write(&self, write: EntryWrite) {
        if let Err(error) = self.core.store.write_entries(&[write]).await {
            tracing::warn!(error = %chain(&error), "what was said of a pull request could not be stored");
        }
    }
}
