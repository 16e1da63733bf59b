//! The labels on containers and networks: how everything of ours is found again, and what it was meant to be.

use crate::model::{Digest, InstallationId, InstanceId, InstanceSpec, Memory, Purpose, RevisionNumber, ServiceId};
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::PathBuf;

/// The installation that owns the object.
pub(super) const INSTALLATION: &str = "io.towpath.installation";
/// The installation whose builds a network is for.
pub(super) const BUILDS_OF: &str = "io.towpath.builds-of";
/// The installation that a pod holds a network for.
pub(super) const ANCHOR_OF: &str = "io.towpath.anchor-of";
/// The instance.
pub(super) const INSTANCE: &str = "io.towpath.instance";
const SERVICE: &str = "io.towpath.service";
const SERVICE_NAME: &str = "io.towpath.service-name";
const REVISION: &str = "io.towpath.revision";
const CONFIG: &str = "io.towpath.config";
const LOG: &str = "io.towpath.log";
const ADDRESS: &str = "io.towpath.address";
const IMAGE: &str = "io.towpath.image";
pub(super) const MEMORY: &str = "io.towpath.memory";
pub(super) const CPU: &str = "io.towpath.cpu";
const STORAGE: &str = "io.towpath.storage";
const ENVIRONMENT: &str = "io.towpath.environment";
/// The names of the variables that were given, where their order does not tell them from the image's: a JSON array.
pub(super) const VARIABLES: &str = "io.towpath.variables";
/// There only on a command that runs once.
const ONCE: &str = "io.towpath.once";

/// What a container's labels say. Labels cannot be changed once a container exists, so they hold what was meant, and
/// whatever differs from them was changed by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Labels {
    pub instance: InstanceId,
    pub purpose: Purpose,
    pub service: ServiceId,
    pub service_name: String,
    pub revision: RevisionNumber,
    pub config: Digest,
    /// The file that receives the output.
    pub log: PathBuf,
    /// The lease: where the instance answers for as long as the container exists, running or not.
    pub address: SocketAddr,
    pub image: String,
    /// Bytes; 0 where nothing is held to them.
    pub memory: u64,
    /// Thousandths of a vCPU; 0 where nothing is held to them.
    pub cpu: u32,
    /// What its files may take, in bytes.
    pub storage: Option<u64>,
    /// The digest of the variables that were given, see [`environment_digest`].
    pub environment: String,
    /// Their names, on Podman.
    pub variables: Option<Vec<String>>,
}

impl Labels {
    /// The labels of an instance to be. `environment` is the whole of it, as `NAME=value`.
    pub fn of(spec: &InstanceSpec, image: &str, address: SocketAddr, storage: Memory, environment: &[String]) -> Self {
        Self {
            instance: spec.id.clone(),
            purpose: spec.purpose,
            service: spec.service.clone(),
            service_name: spec.name.to_string(),
            revision: spec.revision,
            config: spec.config.clone(),
            log: spec.log.clone(),
            address,
            image: image.to_owned(),
            memory: spec.size.memory.0,
            cpu: spec.size.cpu.0,
            storage: Some(storage.0),
            environment: environment_digest(environment),
            variables: None,
        }
    }

    /// As Docker takes them.
    pub fn to_map(&self, installation: &InstallationId) -> HashMap<String, String> {
        let once = (self.purpose == Purpose::Once).then(|| (ONCE, "true".to_owned()));
        [
            (INSTALLATION, installation.to_string()),
            (INSTANCE, self.instance.to_string()),
            (SERVICE, self.service.to_string()),
            (SERVICE_NAME, self.service_name.clone()),
            (REVISION, self.revision.to_string()),
            (CONFIG, self.config.to_string()),
            (LOG, self.log.to_string_lossy().into_owned()),
            (ADDRESS, self.address.to_string()),
            (IMAGE, self.image.clone()),
            (MEMORY, self.memory.to_string()),
            (CPU, self.cpu.to_string()),
            (ENVIRONMENT, self.environment.clone()),
        ]
        .into_iter()
        .chain(once)
        .chain(self.storage.map(|bytes| (STORAGE, bytes.to_string())))
        .chain(self.variables.iter().map(|names| (VARIABLES, serde_json::json!(names).to_string())))
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
    }

    /// Reads them back; `None` when they are not ours, or damaged.
    pub fn read(map: &HashMap<String, String>) -> Option<Self> {
        let get = |key: &str| map.get(key).cloned();
        Some(Self {
            instance: get(INSTANCE)?.parse().ok()?,
            purpose: if map.contains_key(ONCE) { Purpose::Once } else { Purpose::Serve },
            service: get(SERVICE)?.parse().ok()?,
            service_name: get(SERVICE_NAME)?,
            revision: RevisionNumber(get(REVISION)?.parse().ok()?),
            config: get(CONFIG)?.try_into().ok()?,
            log: get(LOG)?.into(),
            address: get(ADDRESS)?.parse().ok()?,
            image: get(IMAGE)?,
            memory: get(MEMORY)?.parse().ok()?,
            cpu: get(CPU)?.parse().ok()?,
            // Containers that older versions made have none.
            storage: get(STORAGE).and_then(|bytes| bytes.parse().ok()),
            environment: get(ENVIRONMENT)?,
            variables: get(VARIABLES).and_then(|names| serde_json::from_str(&names).ok()),
        })
    }
}

/// A keyless digest of `NAME=value` lines. It tells no more than the container's own environment, which whoever can
/// read labels can read as well.
pub(super) fn environment_digest(lines: &[String]) -> String {
    let ordered: BTreeMap<&str, &str> = lines.iter().map(|l| l.split_once('=').unwrap_or((l, ""))).collect();
    Digest::of(&ordered).short().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_read_back_as_they_were_written() {
        let labels = Labels {
            instance: InstanceId::from_random([1; 16]),
            purpose: Purpose::Once,
            service: ServiceId::from_random([2; 16]),
            service_name: "shop".into(),
            revision: RevisionNumber(7),
            config: Digest::of(&"x"),
            log: "/var/log/x.log".into(),
            address: "10.201.0.2:8080".parse().unwrap(),
            image: "sha256:1".into(),
            memory: 1 << 29,
            cpu: 250,
            storage: Some(1 << 30),
            environment: environment_digest(&["A=1".into()]),
            variables: Some(vec!["A".into()]),
        };
        let map = labels.to_map(&InstallationId::from_random([3; 16]));
        assert_eq!(Labels::read(&map), Some(labels));
        let without: HashMap<_, _> = map.into_iter().filter(|(key, _)| key != ONCE).collect();
        assert_eq!(Labels::read(&without).map(|l| l.purpose), Some(Purpose::Serve), "as before there were such");
    }

    #[test]
    fn a_container_of_strangers_has_no_labels_of_ours() {
        assert_eq!(Labels::read(&HashMap::from([(INSTANCE.to_owned(), "../etc".to_owned())])), None);
    }
}
