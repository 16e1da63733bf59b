//! What runs: the snapshot types that planning reads. Failures to observe are kept as data.
//!
//! The types import `model` only; collecting them is the reconciler's, from engine, store and sources.

use crate::model::{
    Commit, CommitId, Contents, Digest, InstanceRecord, Memory, ObservedInstance, Operation, RepositoryUrl,
    RequiredChecks, Revision, ServiceRecord, Timestamp, Track,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Everything that planning knows of the present.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// Services that exist, deleted ones left out.
    pub services: Vec<ServiceView>,
    /// What polling found, per repository and track.
    pub heads: Vec<HeadView>,
    /// The engine; its failure is data, and nothing is healed on what is not known.
    pub engine: EngineView,
    /// Instances on the engine that carry our label and that no record knows.
    pub strays: Vec<ObservedInstance>,
    /// The host's memory for admission; `None` when it could not be read.
    pub host_memory: Option<Memory>,
    /// What is known of commits whose signatures or history count.
    #[serde(default)]
    pub vetted: Vec<Vetted>,
}

/// One commit, judged by what one declaration asks of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Vetted {
    /// The repository.
    pub repository: RepositoryUrl,
    /// The commit.
    pub commit: CommitId,
    /// The digest of what is asked of it.
    pub asked: Digest,
    /// Whether it holds.
    pub verdict: Verdict,
}

/// Whether a commit may be deployed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// All that is asked of it holds.
    Good {
        /// Who signed it, where that was asked.
        by: Option<String>,
    },
    /// It does not.
    Refused {
        /// Why, in words that go after "commit 3f2a91c".
        why: String,
    },
    /// It could not be looked at, and is looked at again.
    Unknown {
        /// What was heard.
        why: String,
    },
}

/// A branch or tag that was moved to a commit that does not descend from the one before: a forced push.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rewritten {
    /// The commit before.
    pub from: CommitId,
    /// The commit since.
    pub to: CommitId,
    /// When that was seen.
    pub at: Timestamp,
}

/// Whether the engine answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EngineView {
    /// It did; instances are as it said.
    Answered {
        /// `process` or `docker`.
        name: String,
    },
    /// It did not.
    Unreachable {
        /// What was heard.
        message: String,
    },
}

/// One service as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceView {
    /// Its record.
    pub record: Arc<ServiceRecord>,
    /// The revision that serves.
    pub current: Option<Arc<Revision>>,
    /// The operation that runs or is pending.
    pub operation: Option<Operation>,
    /// Its instances, by record; the engine's view of each beside it.
    pub instances: Vec<InstanceView>,
    /// How many instances should serve: the minimum size until scaling says otherwise. 0 when paused.
    pub target_size: u32,
    /// When instances were last healed, oldest first, at most ten: healing backs off.
    pub heals: Vec<Timestamp>,
}

/// One recorded instance and what is there of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InstanceView {
    /// The record.
    pub record: InstanceRecord,
    /// What the engine has; `None` when it is gone.
    pub observed: Option<ObservedInstance>,
    /// What active checks say.
    pub health: Health,
}

/// What active health checks say of an instance (row I4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Health {
    /// Not checked yet, or between the thresholds from the start.
    Unknown,
    /// Passed its healthy threshold, and not its unhealthy threshold since.
    Healthy,
    /// Passed its unhealthy threshold.
    Unhealthy {
        /// The last failure, for people.
        message: String,
    },
}

/// What polling knows of one track.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeadView {
    /// The repository.
    pub repository: RepositoryUrl,
    /// What of it is followed, as declared.
    pub track: Track,
    /// The newest commit, once known.
    pub commit: Option<CommitId>,
    /// What it has in the directory, if one is followed.
    pub contents: Option<Contents>,
    /// Heads before it that have the same there.
    pub alike: Vec<CommitId>,
    /// Details of it, once fetched.
    pub details: Option<Commit>,
    /// Why the last poll failed, if it did.
    pub error: Option<String>,
    /// When it was last asked with success.
    pub seen_at: Option<Timestamp>,
    /// Its last forced push, as far as one was seen since the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewritten: Option<Rewritten>,
    /// What its checks say, where some are required: then `commit` is the newest that passed them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checks: Option<Checks>,
}

/// What the checks of a track's newest commit say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Checks {
    /// Which are required.
    pub required: RequiredChecks,
    /// The newest commit, whatever its checks say.
    pub newest: Option<CommitId>,
    /// Commits that came after the one that passed, newest first: what runs one of them does not go back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub newer: Vec<CommitId>,
    /// Why it does not count, if it does not.
    pub why: Option<String>,
    /// Whether that is for good, unless they are run again.
    pub failed: bool,
}
