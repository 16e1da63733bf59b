//! A revision: version + configuration, exactly what an instance runs. Immutable, numbered per service.

use super::ids::{BuildId, Digest};
use super::instance::Artifact;
use super::service::{AppSettings, ServiceSpec};
use super::source::Commit;
use super::time::Timestamp;
use super::track::Contents;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Numbers count from 1 within a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RevisionNumber(pub u32);

impl fmt::Display for RevisionNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One revision of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// Its number within the service.
    pub number: RevisionNumber,
    /// The commit it was built from.
    pub commit: Commit,
    /// What the commit has in the source directory, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contents: Option<Contents>,
    /// What was declared when it was made.
    pub spec: ServiceSpec,
    /// The settings that hold: of the file in the commit, or in place.
    pub settings: AppSettings,
    /// The build that it runs.
    pub build: BuildId,
    /// What the build left: what an instance is made of.
    pub artifact: Artifact,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Revision {
    /// The digest of what an instance of this revision is made of: instances that carry another one have drifted.
    pub fn config_digest(&self) -> Digest {
        instance_digest(&self.spec, &self.settings, &self.build)
    }
}

/// The digest of all that makes an instance what it is: build, size, environment, start command, port (row D4).
/// Health check, scaling, drain and tags are not in it: they change in place.
pub fn instance_digest(spec: &ServiceSpec, settings: &AppSettings, build: &BuildId) -> Digest {
    Digest::of(&(
        build,
        spec.instance,
        &spec.env,
        &spec.secrets,
        (&settings.start, &settings.pre_run, settings.port, &settings.port_env),
        (&settings.env, &settings.secrets),
    ))
}
