//! What a service is declared to be, with every default applied.

use super::dockerfile::{DockerfileBuild, RepositoryPath};
use super::error::Invalid;
use super::instance::StartCommand;
use super::names::{EnvName, RuntimeName, ServiceName};
use super::preview::PreviewOf;
use super::restraint::Restraint;
use super::secret::SecretRef;
use super::source::{CodeSource, RepositoryUrl};
use super::units::{Cpu, Memory};
use super::wire_settings::WireSettings;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// One declared service, complete: nothing is left to guess.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceSpec {
    /// Its name, unique in the installation.
    pub name: ServiceName,
    /// Where its code or its image comes from.
    pub source: CodeSource,
    /// Where its build and start settings come from (row S6).
    pub build: BuildSource,
    /// CPU and memory per instance.
    pub instance: InstanceSize,
    /// Environment from the manifest, laid over the file's `run.env`.
    pub env: BTreeMap<EnvName, String>,
    /// Environment whose values are secrets.
    pub secrets: BTreeMap<EnvName, SecretRef>,
    /// How instances are checked.
    pub health: HealthCheck,
    /// How many instances run.
    pub scaling: Scaling,
    /// How deployments go.
    pub deploy: DeploySettings,
    /// Tags (row R3).
    pub tags: BTreeMap<String, String>,
    /// What holds it back although something new is there for it.
    #[serde(default, skip_serializing_if = "Restraint::is_none")]
    pub restraint: Restraint,
    /// What only the API says; none of what the manifest declares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wire: Option<Box<WireSettings>>,
    /// What it is a preview of, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<Box<PreviewOf>>,
}

impl ServiceSpec {
    /// Whether its source is an image, which is built already (row S2).
    pub fn has_image_source(&self) -> bool {
        matches!(self.source.repository, RepositoryUrl::Image(_))
    }

    /// Everything of it whose value is read from elsewhere.
    pub fn secret_references(&self) -> impl Iterator<Item = &SecretRef> {
        self.secrets.values().chain(self.source.credentials.iter().map(|c| &c.password))
    }

    /// [`ServiceSpec::secret_references`], to be changed.
    pub fn secret_references_mut(&mut self) -> impl Iterator<Item = &mut SecretRef> {
        self.secrets.values_mut().chain(self.source.credentials.iter_mut().map(|c| &mut c.password))
    }
}

/// Where build and start settings come from: exactly one of the two counts (row S6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BuildSource {
    /// `apprunner.yaml` in the repository (`ConfigurationSource: REPOSITORY`).
    Repository,
    /// Settings in place (`ConfigurationSource: API`); the file in the repository is ignored.
    Inline(Box<AppSettings>),
}

/// How an application is built and started: the content of `apprunner.yaml` (row S7), or the manifest's `build` in place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppSettings {
    /// The managed runtime.
    pub runtime: RuntimeName,
    /// The runtime version lock (row S4); the newest if none.
    pub runtime_version: Option<VersionLock>,
    /// Shell lines of the three build phases, each run in a shell of its own at the source directory.
    pub pre_build: Vec<String>,
    /// See `pre_build`. At least one line in a file; may be empty in the manifest.
    pub build: Vec<String>,
    /// See `pre_build`.
    pub post_build: Vec<String>,
    /// Environment of the build lines only.
    pub build_env: BTreeMap<EnvName, String>,
    /// Shell lines run once in each new instance before the start command.
    pub pre_run: Vec<String>,
    /// The start command as written.
    pub start: String,
    /// The port that the application listens on; 8080 if none is written.
    pub port: u16,
    /// A second variable that carries the port (`run.network.env`).
    pub port_env: Option<EnvName>,
    /// Environment of the instances (`run.env`).
    pub env: BTreeMap<EnvName, String>,
    /// Secrets of the instances (`run.secrets`): name → `value-from` text, resolved by a later version.
    pub secrets: BTreeMap<EnvName, String>,
    /// The repository's own Dockerfile builds instead of a runtime and phases, which are then empty (row S9).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dockerfile: Option<Box<DockerfileBuild>>,
}

impl AppSettings {
    /// Of an image that was built elsewhere: nothing is done to it, but perhaps started by another command. Its builder
    /// gets a Dockerfile of the one line that names it.
    pub fn of_image(start: String, port: u16) -> Self {
        let dockerfile =
            DockerfileBuild { path: RepositoryPath::dockerfile(), context: None, target: None, args: BTreeMap::new() };
        Self::of_dockerfile(dockerfile, start, port)
    }

    /// Of an image that a Dockerfile makes, with a start command that may be none.
    pub fn of_dockerfile(dockerfile: DockerfileBuild, start: String, port: u16) -> Self {
        Self {
            runtime: RuntimeName::dockerfile(),
            runtime_version: None,
            pre_build: Vec::new(),
            build: Vec::new(),
            post_build: Vec::new(),
            build_env: BTreeMap::new(),
            pre_run: Vec::new(),
            start,
            port,
            port_env: None,
            env: BTreeMap::new(),
            secrets: BTreeMap::new(),
            dockerfile: Some(Box::new(dockerfile)),
        }
    }

    /// How instances are started: the start command, or nothing of ours where the image brings its own.
    ///
    /// # Errors
    /// For a start command that cannot be run.
    pub fn start_command(&self) -> Result<(StartCommand, bool), Invalid> {
        if self.dockerfile.is_some() && self.start.is_empty() {
            return Ok((StartCommand::Words(Vec::new()), false));
        }
        StartCommand::parse(&self.start)
    }
}

/// A runtime version lock: `3`, `3.11` (the patch moves) or `3.11.7` (fixed) (row S4).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VersionLock(pub Vec<u32>);

impl TryFrom<String> for VersionLock {
    type Error = super::error::Invalid;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<VersionLock> for String {
    fn from(lock: VersionLock) -> String {
        lock.to_string()
    }
}

impl std::str::FromStr for VersionLock {
    type Err = super::error::Invalid;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Option<Vec<u32>> = text.split('.').map(parse_part).collect();
        match parts {
            Some(parts) if parts.len() <= 3 => Ok(Self(parts)),
            _ => Err(super::error::Invalid::new(format!("`{}` is not a version", text.escape_debug()))
                .hint("write `major.minor` or `major.minor.patch`, digits only")),
        }
    }
}

fn parse_part(text: &str) -> Option<u32> {
    let plain = !text.is_empty() && text.len() <= 6 && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

impl std::fmt::Display for VersionLock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts: Vec<String> = self.0.iter().map(u32::to_string).collect();
        f.write_str(&parts.join("."))
    }
}

/// CPU, memory and storage of one instance (rows I1, I3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceSize {
    /// CPU.
    pub cpu: Cpu,
    /// Memory.
    pub memory: Memory,
    /// What its files may take, in bytes; the installation's default if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Memory>,
}

impl Default for InstanceSize {
    fn default() -> Self {
        Self { cpu: Cpu::DEFAULT, memory: Memory::DEFAULT, storage: None }
    }
}

/// How a health check asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum HealthProtocol {
    /// The port accepts a connection.
    Tcp,
    /// A GET of the path answers 2xx or 3xx.
    Http,
}

/// The health check of a service's instances (row I4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// TCP by default.
    pub protocol: HealthProtocol,
    /// `/` by default; used with HTTP only.
    pub path: String,
    /// Seconds between checks, 1–20, default 5.
    pub interval_seconds: u32,
    /// Seconds until a check has failed, 1–20, default 2.
    pub timeout_seconds: u32,
    /// Successes in a row that make an instance healthy, 1–20, default 1.
    pub healthy_threshold: u32,
    /// Failures in a row that make an instance unhealthy, 1–20, default 5.
    pub unhealthy_threshold: u32,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            protocol: HealthProtocol::Tcp,
            path: "/".into(),
            interval_seconds: 5,
            timeout_seconds: 2,
            healthy_threshold: 1,
            unhealthy_threshold: 5,
        }
    }
}

/// How many instances run, and how much one takes (row I5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scaling {
    /// Concurrent requests that one instance takes, 1–200, default 100.
    pub max_concurrency: u32,
    /// Instances that always run, 1–25, default 1.
    pub min_size: u32,
    /// Instances at the most, 1–25, default 25.
    pub max_size: u32,
}

impl Default for Scaling {
    fn default() -> Self {
        Self { max_concurrency: 100, min_size: 1, max_size: 25 }
    }
}

/// How deployments go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploySettings {
    /// How long requests that run may go on after their instance was taken out of routing; default 30 s.
    pub drain: Duration,
    /// How long a new instance may take until it is healthy; default 120 s.
    pub start_deadline: Duration,
    /// How long a build may take; default 30 min.
    pub build_deadline: Duration,
    /// Commands that run once per deployment, after the build and before any new instance starts (row S9), in this
    /// order. What was stored before there were such has none; none is not written, so that digests stay what they were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub release: Vec<String>,
    /// How long all of them together may take; default 10 min. Not written while it is that.
    #[serde(default = "release_deadline", skip_serializing_if = "is_release_default")]
    pub release_deadline: Duration,
}

/// Migrations take minutes; one that hangs on a lock should be seen the same hour.
fn release_deadline() -> Duration {
    Duration::from_secs(10 * 60)
}

fn is_release_default(deadline: &Duration) -> bool {
    *deadline == release_deadline()
}

impl Default for DeploySettings {
    fn default() -> Self {
        Self {
            drain: Duration::from_secs(30),
            start_deadline: Duration::from_secs(120),
            build_deadline: Duration::from_secs(30 * 60),
            release: Vec::new(),
            release_deadline: release_deadline(),
        }
    }
}
