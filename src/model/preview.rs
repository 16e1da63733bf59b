//! Previews: a service of its own for each pull request of an application.

use super::host_rules::{HostRules, RequiredChecks};
use super::names::{EnvName, ServiceName};
use super::secret::SecretRef;
use super::service::{Scaling, ServiceSpec};
use super::source::CommitId;
use super::time::Timestamp;
use super::track::Reference;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// How the pull requests of a service's repository are previewed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Previews {
    /// How long one stays after its last commit.
    pub ttl: Duration,
    /// How many there are at a time; of more those with the newest commits.
    pub max: u32,
    /// Whether pull requests of forks have some too: anybody's code.
    pub forks: bool,
    /// The secrets of the service that they get; none but these, and those of forks none at all.
    pub secrets: Vec<EnvName>,
    /// Variables of their own, over those of the service.
    pub env: BTreeMap<EnvName, String>,
}

/// What a service is a preview of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PreviewOf {
    /// The service whose repository it is.
    pub service: ServiceName,
    /// The pull request.
    pub pull: u64,
}

/// An open pull request that can be previewed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenPull {
    /// Its number.
    pub number: u64,
    /// Its newest commit.
    pub head: CommitId,
    /// Whether it comes from another repository.
    pub from_fork: bool,
    /// When that commit was first seen.
    pub since: Timestamp,
}

/// The longest name of a service (App Runner's rule).
const LONGEST_NAME: usize = 40;

impl Previews {
    /// Which pull requests have a preview now: the newest, as many as there may be.
    pub fn select(&self, open: &[OpenPull], now: Timestamp) -> Vec<OpenPull> {
        let fits = |pull: &&OpenPull| (self.forks || !pull.from_fork) && now.since(pull.since) < self.ttl;
        let mut wanted: Vec<OpenPull> = open.iter().filter(fits).cloned().collect();
        wanted.sort_by_key(|pull| std::cmp::Reverse((pull.since, pull.number)));
        wanted.truncate(self.max as usize);
        wanted
    }

    /// The preview of a pull request: what the service is, of that commit, small, and without its secrets.
    pub fn preview(&self, of: &ServiceSpec, pull: &OpenPull) -> Option<ServiceSpec> {
        let mut spec = of.clone();
        spec.name = name(&of.name, pull.number)?;
        spec.preview = Some(Box::new(PreviewOf { service: of.name.clone(), pull: pull.number }));
        spec.source.track.reference = Reference::Commit(pull.head.as_str().parse().ok()?);
        spec.source.host = HostRules { require_checks: RequiredChecks::None, ..spec.source.host };
        spec.source.auto_deploy = true;
        spec.secrets.retain(|name, _: &mut SecretRef| !pull.from_fork && self.secrets.contains(name));
        spec.env.extend(self.env.clone());
        spec.env.retain(|name, _| !spec.secrets.contains_key(name));
        spec.scaling = Scaling { min_size: 1, max_size: 1, ..spec.scaling };
        spec.wire = None;
        Some(spec)
    }
}

/// `shop-pr-17`; a name that would be too long loses its end.
fn name(of: &ServiceName, pull: u64) -> Option<ServiceName> {
    let end = format!("-pr-{pull}");
    let room = LONGEST_NAME.checked_sub(end.len())?;
    let kept: String = of.as_str().chars().take(room).collect();
    format!("{kept}{end}").parse().ok()
}
