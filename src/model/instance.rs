//! Instances: what an engine is told to start, and what it reports.

use super::ids::{Digest, InstanceId, ServiceId};
use super::names::{EnvName, ServiceName};
use super::revision::RevisionNumber;
use super::secret::Secret;
use super::service::InstanceSize;
use super::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What a build leaves for an engine to start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Artifact {
    /// A directory that holds the built application (process engine).
    Directory {
        /// The directory that commands run in.
        path: PathBuf,
        /// Directories put before `PATH`: the virtual environment, `node_modules/.bin`, the interpreter.
        path_prefix: Vec<PathBuf>,
        /// Variables that the runtime needs (`VIRTUAL_ENV`, …).
        env: BTreeMap<EnvName, String>,
    },
    /// An image in the engine's store, by its immutable id (`sha256:…`).
    Image {
        /// The image id.
        id: String,
    },
}

/// How the application is started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StartCommand {
    /// Executed directly, split into words as App Runner does.
    Words(Vec<String>),
    /// Needs a shell (`&&`, `$VAR`, pipes): run by `sh -c`.
    Shell(String),
}

/// Exactly what to start. An engine knows nothing of a service's history: it starts this, labels it, reports it.
/// Not serializable as a whole: `env` holds secret values.
#[derive(Clone, Debug)]
pub struct InstanceSpec {
    /// The instance to be; starting the same id twice starts it once.
    pub id: InstanceId,
    /// The service it belongs to.
    pub service: ServiceId,
    /// The service's name, for labels, logs and `ps`.
    pub name: ServiceName,
    /// The revision it runs.
    pub revision: RevisionNumber,
    /// The digest of its configuration, kept as a label to notice drift.
    pub config: Digest,
    /// What it is made of.
    pub artifact: Artifact,
    /// Shell lines run before the start command, in the same environment.
    pub pre_run: Vec<String>,
    /// The start command.
    pub command: StartCommand,
    /// All variables but those that carry the port; the artifact's own are added by the engine.
    pub env: BTreeMap<EnvName, Secret>,
    /// The port that the application is configured to listen on.
    pub port: u16,
    /// Whether the configured port may be used as it is on this host: only one instance ever runs. Else a port is leased.
    pub sole: bool,
    /// Variables to carry the port that the application must listen on: `PORT`, and `run.network.env`.
    pub port_env: Vec<EnvName>,
    /// CPU and memory limits.
    pub size: InstanceSize,
    /// The file that receives the application's output, a time-stamped line each.
    pub log: PathBuf,
}

/// The state of an instance as its engine sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum InstanceState {
    /// Being started; has perhaps no address yet.
    Starting,
    /// Its process runs (whether it is healthy is for checks to say).
    Running,
    /// Stopped in its tracks, memory kept.
    Frozen,
    /// It ended by itself, or was killed by someone else.
    Exited {
        /// The exit code, or 128 + signal.
        code: Option<i32>,
        /// What is known about the end, for people: `exited with code 1`, `killed: out of memory (512 MB)`.
        message: String,
    },
}

/// One instance that really is on the engine, by our label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedInstance {
    /// Its id.
    pub id: InstanceId,
    /// The service it belongs to.
    pub service: ServiceId,
    /// The revision it runs.
    pub revision: RevisionNumber,
    /// The digest of the configuration that it was started with.
    pub config: Digest,
    /// Its state.
    pub state: InstanceState,
    /// Where it answers.
    pub address: Option<SocketAddr>,
    /// When it was started.
    pub started_at: Timestamp,
    /// What was changed on it by hand since, field by field (`memory limit: 512 MB → 1 GB`); empty when nothing.
    pub drift: Vec<String>,
}
