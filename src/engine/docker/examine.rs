//! What a Docker engine is, for `towpath doctor`. Nothing is made or changed.

use super::client::{call, connect};
use super::rootless::Limits;
use crate::engine::EngineError;
use crate::model::DockerHost;
use std::fmt;

/// What a Docker engine says of itself.
#[derive(Clone, Debug)]
pub struct DockerFacts {
    /// Its version.
    pub version: String,
    /// Whether it is Podman.
    pub podman: bool,
    /// What it holds instances to, where it is Podman without root.
    pub rootless: Option<Limits>,
    /// The version of the API that was agreed on.
    pub api: String,
    /// What manages control groups: `systemd`, `cgroupfs`.
    pub cgroup_driver: Option<String>,
    /// `1` or `2`.
    pub cgroup_version: Option<String>,
    /// How it stores images.
    pub storage: Option<String>,
    /// The file system below.
    pub backing: Option<String>,
}

impl DockerFacts {
    /// Whether its storage driver can limit what a container's files take.
    pub fn limits_storage(&self) -> bool {
        match (self.storage.as_deref(), self.backing.as_deref()) {
            (Some("btrfs" | "zfs" | "windowsfilter"), _) => true,
            // If it is mounted with `pquota`, which it does not say.
            (Some("overlay2" | "overlay"), Some("xfs")) => true,
            _ => false,
        }
    }
}

impl fmt::Display for DockerFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root = if self.rootless.is_some() { "rootless" } else { "rootful" };
        match self.podman {
            true => write!(f, "Podman {}, {root}, API {}", self.version, self.api)?,
            false => write!(f, "version {}, API {}", self.version, self.api)?,
        }
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
    let (docker, podman) = connect(host).await?;
    let info = call("ask Docker what it is", docker.info()).await?;
    Ok(DockerFacts {
        version: info.server_version.unwrap_or_else(|| "unknown".into()),
        podman: podman.is_some(),
        rootless: podman.and_then(|podman| podman.rootless),
        api: docker.client_version().to_string(),
        cgroup_driver: info.cgroup_driver.map(|driver| driver.to_string()),
        cgroup_version: info.cgroup_version.map(|version| version.to_string()),
        storage: info.driver,
        backing: backing(&info.driver_status.unwrap_or_default()),
    })
}

/// What stands behind `Backing Filesystem` in what a storage driver says of itself.
fn backing(status: &[Vec<String>]) -> Option<String> {
    let line = status.iter().find(|line| line.first().is_some_and(|name| name == "Backing Filesystem"))?;
    line.get(1).cloned()
}
