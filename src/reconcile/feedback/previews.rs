//! Previews of pull requests: which are open is looked at, kept, and declared with the manifest; what becomes of each is
//! said in one comment. Everything else (deploying, healing, deleting) is as for every service that the manifest declares.

use super::link::{Link, advice};
use super::pulls::{self, Pull};
use crate::desired::previews::with_previews;
use crate::desired::{DeclaredService, Desired};
use crate::model::{
    Class, CommitId, Digest, EventSeverity, OpenPull, Previews, Reference, ServiceName, ServiceSpec, ServiceStatus,
};
use crate::reconcile::chain;
use crate::reconcile::core::{Core, State};
use crate::source::github::GitHubError;
use crate::store::{Entry, EntryWrite};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Where the store keeps what is previewed, by the service.
const KIND: &str = "github-previews";
/// The shortest time between two looks, and the longest after errors.
const SHORTEST: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(600);
/// How many pull requests of a service are kept in mind.
const MOST: usize = 200;

/// What is known of the pull requests of one service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Known {
    /// All that are open and go to the branch that is followed.
    open: Vec<OpenPull>,
    /// Those that have a preview.
    chosen: Vec<OpenPull>,
    /// What was said, by number.
    comments: BTreeMap<u64, Comment>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Comment {
    id: Option<u64>,
    said: Option<Digest>,
    /// Whether GitHub does not take it.
    refused: bool,
}

/// A service with previews.
struct Base {
    spec: ServiceSpec,
    previews: Previews,
}

/// Puts a manifest in force, with the previews that are open.
pub fn declare(state: &mut State, desired: Desired) {
    state.desired = Some(with_previews(&desired, &state.previews));
    state.declared = Some(desired);
}

/// What is kept of earlier: without it a restart would delete what it does not know of yet.
pub async fn load(core: &Core) {
    let known = entries(core).await;
    let mut state = core.state();
    state.previews = known.into_iter().map(|(service, known)| (service, known.chosen)).collect();
}

async fn entries(core: &Core) -> BTreeMap<ServiceName, Known> {
    let entries = core.store.entries(&[KIND]).await.unwrap_or_default();
    entries.into_iter().filter_map(|e| Some((e.name.parse().ok()?, serde_json::from_value(e.value).ok()?))).collect()
}

/// Looks until the control plane stops.
pub async fn run(core: Arc<Core>) {
    let mut hints = core.host_hints.subscribe();
    let mut watch = Watch { known: entries(&core).await, core: core.clone(), problem: None, tries: 0 };
    loop {
        let rest = watch.look().await;
        tokio::select! {
            () = core.stopping.cancelled() => return,
            _ = hints.changed() => tokio::time::sleep(SHORTEST).await,
            () = tokio::time::sleep(rest) => {}
        }
    }
}

struct Watch {
    core: Arc<Core>,
    known: BTreeMap<ServiceName, Known>,
    problem: Option<String>,
    tries: u32,
}

impl Watch {
    async fn look(&mut self) -> Duration {
        let bases = self.bases();
        self.forget_others(&bases).await;
        let mut failed = None;
        for base in &bases {
            if let Err(error) = self.look_at(base).await {
                failed = Some((base.spec.name.clone(), error));
            }
        }
        let Some((service, error)) = failed else {
            (self.tries, self.problem) = (0, None);
            return self.core.poll_rest().max(SHORTEST);
        };
        let why = format!("{}{}", chain(&error), advice(&error));
        if self.problem.as_ref() != Some(&why) {
            let message = format!("Pull requests of the repository of `{service}` cannot be seen: {why}.");
            self.core.emit_plain("PreviewsUnreachable", EventSeverity::Warn, message).await;
            self.problem = Some(why);
        }
        self.tries = self.tries.saturating_add(1);
        let rest = SHORTEST.saturating_mul(1 << self.tries.min(10)).min(LONGEST).mul_f64(0.75 + fastrand::f64() / 2.0);
        error.not_before().map_or(rest, |until| until.since(self.core.now()).max(rest))
    }

    fn bases(&self) -> Vec<Base> {
        let state = self.core.state();
        let base = |s: &DeclaredService| Some(Base { spec: s.spec.clone(), previews: s.previews.clone()? });
        state.declared.iter().flat_map(|d| &d.services).filter_map(base).collect()
    }

    /// Services that have no previews any more.
    async fn forget_others(&mut self, bases: &[Base]) {
        if self.core.state().declared.is_none() {
            return;
        }
        let others = self.known.keys().filter(|name| !bases.iter().any(|b| b.spec.name == **name));
        for service in others.cloned().collect::<Vec<_>>() {
            self.known.remove(&service);
            self.choose(&service, Vec::new()).await;
            self.write(EntryWrite::Delete { kind: KIND.into(), name: service.to_string() }).await;
        }
    }

    async fn look_at(&mut self, base: &Base) -> Result<(), GitHubError> {
        let name = &base.spec.name;
        let Some(link) = super::link_of(&self.core, &base.spec) else { return Ok(()) };
        let branch = branch(&link, &base.spec.source.track.reference).await?;
        let open = pulls::open(&link).await?;
        let now = self.core.now();
        let known = self.known.entry(name.clone()).or_default();
        let before = known.clone();
        let mut seen = Vec::new();
        for pull in open.iter().filter(|p| branch.as_ref().is_none_or(|b| p.base == *b)).take(MOST) {
            let old = known.open.iter().find(|k| k.number == pull.number && k.head == pull.head);
            let since = old.map_or(now, |old| old.since);
            let Pull { number, head, from_fork, .. } = pull.clone();
            seen.push(OpenPull { number, head, from_fork, since });
        }
        known.open = seen;
        let mut chosen = base.previews.select(&known.open, now);
        self.bring(base, &mut chosen, &before).await;
        if let Some(known) = self.known.get_mut(name) {
            known.chosen.clone_from(&chosen);
        }
        if self.known.get(name) != Some(&before) {
            self.keep(name).await;
        }
        self.choose(name, chosen).await;
        self.say_all(base, &link).await
    }

    /// Brings the commits of new previews into the mirror. What cannot be brought now stays as it was.
    async fn bring(&self, base: &Base, chosen: &mut Vec<OpenPull>, before: &Known) {
        let mut brought = Vec::with_capacity(chosen.len());
        for pull in chosen.drain(..) {
            let old = before.chosen.iter().find(|k| k.number == pull.number);
            if old == Some(&pull) {
                brought.push(pull);
                continue;
            }
            let repository = &base.spec.source.repository;
            match self.core.git.merge_pull(repository, pull.number, &pull.head, &pull.head).await {
                Ok(_) => brought.push(pull),
                Err(error) => {
                    tracing::debug!(pull = pull.number, error = %chain(&error), "a pull request was not fetched");
                    brought.extend(old.cloned());
                }
            }
        }
        *chosen = brought;
    }

    /// Declares what is chosen, if that is new.
    async fn choose(&self, service: &ServiceName, chosen: Vec<OpenPull>) {
        let (gone, repository) = {
            let mut state = self.core.state();
            let before = state.previews.get(service).cloned().unwrap_or_default();
            if before == chosen {
                return;
            }
            let gone: Vec<u64> =
                before.iter().filter(|b| !chosen.iter().any(|c| c.number == b.number)).map(|b| b.number).collect();
            state.previews.insert(service.clone(), chosen);
            let declared = state.declared.clone();
            let spec = declared.as_ref().and_then(|d| d.services.iter().find(|s| s.spec.name == *service));
            let repository = spec.map(|s| s.spec.source.repository.clone());
            if let Some(declared) = declared {
                declare(&mut state, declared);
            }
            (gone, repository)
        };
        self.core.look_again();
        for number in gone {
            if let Some(repository) = &repository
                && let Err(error) = self.core.git.forget_pull(repository, number).await
            {
                tracing::debug!(number, error = %chain(&error), "a pull request stays in the mirror");
            }
        }
    }

    /// Says of each preview where it is, and once where it was.
    async fn say_all(&mut self, base: &Base, link: &Link) -> Result<(), GitHubError> {
        let name = base.spec.name.clone();
        let Some(known) = self.known.get(&name) else { return Ok(()) };
        let mut wanted: Vec<(u64, String)> =
            known.chosen.iter().filter_map(|pull| Some((pull.number, self.words(base, pull)?))).collect();
        let gone = known.comments.keys().filter(|n| !known.chosen.iter().any(|p| p.number == **n));
        let over =
            format!("The preview of `{name}` is removed: the pull request is closed, or its last commit is old.\n");
        wanted.extend(gone.map(|number| (*number, over.clone())));
        for (number, text) in wanted {
            self.say(&name, link, number, &text).await?;
        }
        Ok(())
    }

    async fn say(&mut self, service: &ServiceName, link: &Link, number: u64, text: &str) -> Result<(), GitHubError> {
        let digest = Digest::of(&text);
        let Some(known) = self.known.get_mut(service) else { return Ok(()) };
        let comment = known.comments.entry(number).or_default().clone();
        if comment.refused || comment.said.as_ref() == Some(&digest) {
            return Ok(());
        }
        let marker = format!("<!-- towpath preview of {service} -->");
        let said = pulls::comment(link, number, comment.id, &marker, &format!("{marker}\n{text}")).await;
        let next = match said {
            Ok(id) => Comment { id: Some(id), said: Some(digest), refused: false },
            Err(error) if error.class() == Class::Retry => return Err(error),
            Err(error) => {
                let (why, advice) = (chain(&error), advice(&error));
                let message =
                    format!("Pull request {number} of {} is not told of its preview: {why}{advice}.", link.slug);
                self.core.emit_plain("PreviewNotSaid", EventSeverity::Warn, message).await;
                Comment { refused: true, ..comment }
            }
        };
        if let Some(known) = self.known.get_mut(service) {
            known.comments.insert(number, next);
            let (chosen, open) = (&known.chosen, &known.open);
            let is_there = |n: &u64| chosen.iter().any(|p| p.number == *n) || open.iter().any(|p| p.number == *n);
            // What is closed and was told so is over.
            known.comments.retain(|n, _| is_there(n));
        }
        self.keep(service).await;
        Ok(())
    }

    /// How a preview stands.
    fn words(&self, base: &Base, pull: &OpenPull) -> Option<String> {
        let spec = base.previews.preview(&base.spec, pull)?;
        let state = self.core.state();
        let short = pull.head.short();
        let record = state.world.services.values().find(|r| r.name == spec.name && r.deleted_at.is_none());
        let Some(record) = record else { return Some(format!("A preview of {short} is on its way.\n")) };
        let status = record.status(state.world.open_operation(&record.id));
        let serving = record.current.and_then(|n| state.world.revisions.get(&(record.id.clone(), n)));
        let is_newest = serving.is_some_and(|revision| revision.commit.id == pull.head);
        let url = self.core.url(&spec.name);
        let failed = record.held(&pull.head, &Digest::of(&spec)).is_some() || record.create_failed.is_some();
        Some(match (status, is_newest) {
            (ServiceStatus::OperationInProgress, _) => format!("A preview of {short} is being deployed.\n"),
            (_, true) => format!("Preview of {short}: {url}\n"),
            (_, false) if failed => failed_words(&pull.head, serving.is_some().then_some(url.as_str())),
            (_, false) => format!("A preview of {short} is on its way.\n"),
        })
    }

    async fn keep(&self, service: &ServiceName) {
        let Some(Ok(value)) = self.known.get(service).map(serde_json::to_value) else { return };
        self.write(EntryWrite::Put(Entry { kind: KIND.into(), name: service.to_string(), value })).await;
    }

    async fn write(&self, write: EntryWrite) {
        if let Err(error) = self.core.store.write_entries(&[write]).await {
            tracing::warn!(error = %chain(&error), "which pull requests have previews could not be stored");
        }
    }
}

/// The cause stands in the commit's status, where logs of others have no place.
fn failed_words(head: &CommitId, url: Option<&str>) -> String {
    let before = url.map(|url| format!(" An earlier commit is still at {url}")).unwrap_or_default();
    format!("The preview of {} failed; the status of the commit says why.{before}\n", head.short())
}

/// The branch that pull requests have to go to; any, where a tag or a commit is followed.
async fn branch(link: &Link, reference: &Reference) -> Result<Option<String>, GitHubError> {
    match reference {
        Reference::Branch(branch) => Ok(Some(branch.to_string())),
        Reference::Default => {
            let repository = link.get("").await?;
            Ok(repository["default_branch"].as_str().map(str::to_owned))
        }
        Reference::Tag(_) | Reference::Commit(_) => Ok(None),
    }
}
