//! What a Docker engine is, for `towpath doctor`. Nothing is made or changed.

use super::client::{call, connect};
use crate::engine::EngineError;
use crate::model::DockerHost;
use std::fmt;

/// What a Docker engine says of itself.
#[derive(Clone, Debug)]
pub struct DockerFacts {
    /// Its version.
    pub version: String,
    /// The version of the API that was agreed on.
    pub api: String,
    /// What manages control groups: `systemd`, `cgroupfs`.
    pub cgroup_driver: Option<String>,
    /// `1` or `2`.
    pub cgroup_version: Option<String>,
    /// How it stores images.
    pub storage: Option<String>,
}

impl fmt::Display for DockerFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "version {}, API {}", self.version, self.api)?;
        if let Some(driver) = &self.cgroup_driver {
            write!(f, ", cgroups by {driver}")?;
        }
        if let Some(version) = &self.cgroup_version {
            write!(f, " (version {version})")?;
        }
        self.storage.as_ref().map_or(Ok(()), |storage| write!(f, ", storage {storage}"))
    }
}

/// Asks an engine what it is.
///
/// # Errors
/// It does not answer, or is too old.
pub async fn examine(host: &DockerHost) -> Result<DockerFacts, EngineError> {
    let docker = connect(host).await?;
    let info = call("ask Docker what it is", docker.info()).await?;
    Ok(DockerFacts {
        version: info.server_version.unwrap_or_else(|| "unknown".into()),
        api: docker.client_version().to_string(),
        cgroup_driver: info.cgroup_driver.map(|driver| driver.to_string()),
        cgroup_version: info.cgroup_version.map(|version| version.to_string()),
        storage: info.driver,
    })
}
