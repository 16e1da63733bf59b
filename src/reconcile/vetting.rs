//! Commits are looked at before they are deployed: who signed them, and whether they descend from what runs.
//!
//! What is asked says `plan::questions`; the answers go into what planning observes. Each question is worked on beside the
//! passes, so that a slow repository holds up no other; the answer says *look again*. The fetch step asks once more,
//! whoever began the operation: nothing is built that was not judged.

use super::chain;
use super::core::Core;
use crate::model::{Class, CommitId, EventSeverity, ServiceName, ServiceRecord, Timestamp, Verify};
use crate::observed::{Observed, Verdict, Vetted};
use crate::plan::{Question, questions};
use crate::settings::ManifestSource;
use crate::source::SourceError;
use crate::trust::{Keyring, MOST_BYTES};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long a verdict holds before it is made again: keys expire, and clocks are set.
const FRESH: Duration = Duration::from_secs(600);
/// How long a source rests that could not be read for it.
const REST: Duration = Duration::from_secs(15);

/// What is known of commits that are not deployed yet.
#[derive(Debug, Default)]
pub struct Vetting {
    answers: HashMap<Question, Answer>,
    /// The last refusal that was told of each service, so that each is told once.
    told: BTreeMap<ServiceName, CommitId>,
}

#[derive(Debug)]
struct Answer {
    verdict: Option<Verdict>,
    /// When the question is worked on again; `None` while it is.
    again: Option<Instant>,
}

/// Begins to work on what is asked and not known.
pub fn look(core: &Arc<Core>, observed: &Observed) {
    let desired = core.state().desired.clone();
    let asked = questions(desired.as_ref(), observed);
    let due = core.state().vetting.begin(&asked);
    for question in due {
        let core = core.clone();
        tokio::spawn(async move { work(&core, question).await });
    }
}

/// Tells refusals that were not told yet: those that a report names.
pub async fn tell(core: &Core, observed: &Observed) {
    let refused: Vec<(ServiceRecord, CommitId, String)> = {
        let state = core.state();
        observed.services.iter().filter_map(|view| state.vetting.refusal_of(&view.record, observed)).collect()
    };
    for (record, commit, why) in refused {
        core.state().vetting.told.insert(record.name.clone(), commit.clone());
        let message = format!("Commit {} is not deployed: it {why}.", commit.short());
        core.emit_for(&record, "CommitRefused", EventSeverity::Warn, message).await;
    }
}

impl Vetting {
    /// What of all that is asked is due; forgets what is asked no more.
    fn begin(&mut self, asked: &[Question]) -> Vec<Question> {
        let wanted: std::collections::HashSet<&Question> = asked.iter().collect();
        self.answers.retain(|question, answer| answer.again.is_none() || wanted.contains(question));
        let now = Instant::now();
        let mut due = Vec::new();
        for question in asked {
            let answer = self.answers.entry(question.clone()).or_insert(Answer { verdict: None, again: Some(now) });
            if answer.again.is_some_and(|at| at <= now) {
                answer.again = None;
                due.push(question.clone());
            }
        }
        due
    }

    /// All verdicts.
    pub fn known(&self) -> Vec<Vetted> {
        let known = |(question, answer): (&Question, &Answer)| {
            Some(Vetted {
                repository: question.repository.clone(),
                commit: question.commit.clone(),
                asked: question.digest(),
                verdict: answer.verdict.clone()?,
            })
        };
        self.answers.iter().filter_map(known).collect()
    }

    fn refusal_of(&self, record: &ServiceRecord, observed: &Observed) -> Option<(ServiceRecord, CommitId, String)> {
        let source = &record.applied.as_ref()?.source;
        let verify = source.verify.as_deref()?;
        let head = observed.heads.iter().find(|h| h.repository == source.repository && h.track == source.track)?;
        let commit = head.commit.clone()?;
        if self.told.get(&record.name) == Some(&commit) {
            return None;
        }
        let of_head = |(q, _): &(&Question, &Answer)| {
            q.repository == source.repository && q.commit == commit && &q.verify == verify
        };
        match self.answers.iter().find(of_head)?.1.verdict.as_ref()? {
            Verdict::Refused { why } => Some((record.clone(), commit, why.clone())),
            _ => None,
        }
    }

    /// Keeps an answer; returns whether it is another than before.
    fn answered(&mut self, question: Question, verdict: Verdict) -> bool {
        let rest = if matches!(verdict, Verdict::Unknown { .. }) { REST } else { FRESH };
        let again = Some(Instant::now() + rest.mul_f64(0.9 + fastrand::f64() / 5.0));
        let known = self.answers.insert(question, Answer { verdict: Some(verdict.clone()), again });
        known.and_then(|answer| answer.verdict) != Some(verdict)
    }
}

async fn work(core: &Arc<Core>, question: Question) {
    let verdict = match judge(core, &question).await {
        Ok(by) => Verdict::Good { by },
        Err(Unjudged::Refused(why)) => Verdict::Refused { why },
        Err(Unjudged::Failed(error)) => Verdict::Unknown { why: chain(&error) },
    };
    if core.state().vetting.answered(question, verdict) {
        core.look_again();
    }
}

/// Why a commit is not good.
pub enum Unjudged {
    /// What is asked does not hold, in words that go after "commit 3f2a91c".
    Refused(String),
    /// It could not be looked at.
    Failed(SourceError),
}

async fn judge(core: &Core, question: &Question) -> Result<Option<String>, Unjudged> {
    let Question { repository, track, commit, verify, after } = question;
    core.git.fetch(repository, &track.reference, Some(commit)).await.map_err(Unjudged::Failed)?;
    vet(core, repository, commit, verify, after.as_ref()).await
}

/// Judges a commit that is in the mirror; returns who signed it, where that is asked.
///
/// # Errors
/// Why it must not be deployed, or could not be looked at.
pub async fn vet(
    core: &Core,
    repository: &crate::model::RepositoryUrl,
    commit: &CommitId,
    verify: &Verify,
    after: Option<&CommitId>,
) -> Result<Option<String>, Unjudged> {
    if let Some(after) = after {
        let descends = core.git.descends(repository, commit, after).await.map_err(Unjudged::Failed)?;
        if !descends {
            let why = format!("does not descend from commit {}, which runs: the history was rewritten", after.short());
            return Err(Unjudged::Refused(why));
        }
    }
    if verify.signed_by.is_empty() {
        return Ok(None);
    }
    let raw = match core.git.raw_commit(repository, commit, MOST_BYTES).await {
        // It stays as large as it is.
        Err(error @ SourceError::Limit { .. }) => return Err(Unjudged::Refused(format!("cannot be read: {error}"))),
        read => read.map_err(Unjudged::Failed)?,
    };
    let (groups, now) = (verify.signed_by.clone(), core.now());
    let judging = tokio::task::spawn_blocking(move || signed(&raw, &groups, now));
    let judged =
        judging.await.unwrap_or_else(|error| Err(format!("could not be judged, by a bug of towpath: {error}")));
    judged.map(Some).map_err(Unjudged::Refused)
}

fn signed(raw: &[u8], groups: &[crate::model::KeyGroup], now: Timestamp) -> Result<String, String> {
    let keyring = Keyring::of(groups).map_err(|invalid| format!("cannot be judged: {invalid}"))?;
    keyring.judge(raw, now).map(|signed| signed.by).map_err(|refusal| refusal.to_string())
}

impl Unjudged {
    /// Who acts next.
    pub fn class(&self) -> Class {
        match self {
            Self::Refused(_) => Class::Stalled,
            Self::Failed(error) => error.class(),
        }
    }
}

/// The repository of the manifest with the commit that is in force, where it is pulled from git.
pub fn source_of_manifest(core: &Core) -> Option<(crate::model::RepositoryUrl, crate::model::Track, CommitId)> {
    let ManifestSource::Repository(repository) = &core.config.manifest else { return None };
    let commit = super::manifest::repository::in_force(core, repository)?;
    Some((repository.url.clone(), repository.track(), commit))
}
