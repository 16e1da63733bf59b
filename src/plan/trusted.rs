//! Whether a new commit may be deployed: what is asked about which commits, and what the answers mean.
//!
//! A commit that runs already is not asked about again: nothing new comes to run with it. So a declaration that begins to
//! demand signatures, or a key that expires, stops the next commit and no change of what serves.

use super::subject::Subject;
use super::{Note, NoteKind};
use crate::desired::Desired;
use crate::model::{CommitId, Digest, RepositoryUrl, ServiceSpec, Track, Verify};
use crate::observed::{HeadView, Observed, ServiceView, Verdict};
use std::collections::HashMap;

/// One commit that somebody has to look at before it is deployed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// The repository.
    pub repository: RepositoryUrl,
    /// How it is reached there.
    pub track: Track,
    /// The commit.
    pub commit: CommitId,
    /// What is asked of it.
    pub verify: Verify,
    /// The commit that it has to descend from, if it has to.
    pub after: Option<CommitId>,
}

/// What is asked of new commits, each question once.
pub fn questions(desired: Option<&Desired>, observed: &Observed) -> Vec<Question> {
    let mut asked: Vec<Question> =
        super::planner::subjects(desired, observed).iter().filter_map(|subject| question(subject)).collect();
    let mut seen = std::collections::HashSet::new();
    asked.retain(|question| seen.insert(question.clone()));
    asked
}

fn question(subject: &Subject) -> Option<Question> {
    let (wanted, head) = (subject.wanted?, subject.head?);
    let (verify, after) = asked(wanted, head, subject.view)?;
    Some(Question {
        repository: head.repository.clone(),
        track: head.track.clone(),
        commit: head.commit.clone()?,
        verify: verify.clone(),
        after: after.cloned(),
    })
}

/// What has to hold of the head, if anything; and the commit that it has to descend from, if it has to.
fn asked<'a>(
    wanted: &'a ServiceSpec,
    head: &'a HeadView,
    view: Option<&'a ServiceView>,
) -> Option<(&'a Verify, Option<&'a CommitId>)> {
    let verify = wanted.source.verify.as_deref()?;
    let current = view.and_then(|view| view.current.as_ref());
    let current = current.filter(|revision| super::diff::same_source(&revision.spec.source, &wanted.source));
    let running = current.map(|revision| &revision.commit.id);
    if running == Some(head.commit.as_ref()?) {
        return None;
    }
    let after = running.filter(|_| verify.fast_forward_only);
    (!verify.signed_by.is_empty() || after.is_some()).then_some((verify, after))
}

/// All verdicts, by what was asked.
pub(super) struct Verdicts<'a>(HashMap<(&'a RepositoryUrl, &'a CommitId, &'a Digest), &'a Verdict>);

/// What is known of the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust<'a> {
    /// Nothing is asked of it.
    NotAsked,
    /// It may be deployed; who signed it, if that was asked.
    Good(Option<&'a str>),
    /// It may not.
    Refused(&'a str),
    /// It could not be looked at.
    Unknown(&'a str),
    /// It is being looked at.
    Pending,
}

impl<'a> Verdicts<'a> {
    pub(super) fn of(observed: &'a Observed) -> Self {
        Self(observed.vetted.iter().map(|v| ((&v.repository, &v.commit, &v.asked), &v.verdict)).collect())
    }

    pub(super) fn trust(
        &self,
        wanted: Option<&'a ServiceSpec>,
        head: Option<&'a HeadView>,
        view: Option<&'a ServiceView>,
    ) -> Trust<'a> {
        let Some((wanted, head)) = wanted.zip(head) else { return Trust::NotAsked };
        let Some((verify, after)) = asked(wanted, head, view) else { return Trust::NotAsked };
        let Some(commit) = &head.commit else { return Trust::NotAsked };
        match self.0.get(&(&head.repository, commit, &asked_digest(verify, after))) {
            Some(Verdict::Good { by }) => Trust::Good(by.as_deref()),
            Some(Verdict::Refused { why }) => Trust::Refused(why),
            Some(Verdict::Unknown { why }) => Trust::Unknown(why),
            None => Trust::Pending,
        }
    }
}

/// What a verdict is remembered by.
fn asked_digest(verify: &Verify, after: Option<&CommitId>) -> Digest {
    Digest::of(&(verify, after))
}

impl Question {
    /// What the verdict is remembered by, beside repository and commit.
    pub fn digest(&self) -> Digest {
        asked_digest(&self.verify, self.after.as_ref())
    }
}

impl<'a> Subject<'a> {
    /// Whether the head may be deployed as far as its signature and its history go.
    pub(super) fn trusts_head(&self) -> bool {
        matches!(self.trust, Trust::NotAsked | Trust::Good(_))
    }

    /// Why the head is not deployed, if trust is what is missing.
    pub(super) fn distrust(&self) -> Option<Note> {
        let commit = self.head_commit()?.short();
        let note = |kind, message| Some(self.note(kind, message));
        match self.trust {
            Trust::NotAsked | Trust::Good(_) => None,
            Trust::Pending => note(NoteKind::Waits, format!("commit {commit} waits until its signature is checked")),
            Trust::Unknown(why) => note(
                NoteKind::Unknown,
                format!("commit {commit} is not deployed, its signature could not be checked: {why}"),
            ),
            Trust::Refused(why) => {
                note(NoteKind::NeedsPerson, format!("commit {commit} is not deployed: it {why}{}", self.remedy()))
            }
        }
    }

    /// What brings it on, and what goes on meanwhile.
    fn remedy(&self) -> String {
        let names = self.wanted.and_then(|spec| spec.source.verify.as_ref()).map(|verify| verify.names());
        let next = match names.filter(|names| !names.is_empty()) {
            Some(names) => format!("; the next commit that a key of `{names}` signed is"),
            None => "; the next commit that descends from what runs is".into(),
        };
        match self.view.and_then(|view| view.current.as_ref()) {
            Some(current) => format!("{next}, and {} goes on", current.commit.id.short()),
            None => next,
        }
    }
}
