//! The installation's settings: flags, variables, defaults. The only room that reads the environment.
//!
//! Flags and `TOWPATH_*` variables are parsed by the CLI into [`UpSettings`]; everything in it is checked.

pub mod authorities;
mod aws;
mod builds;
pub mod datadir;
mod endpoint;
mod keep;
mod manifest;
mod network;

pub use aws::{AwsProfile, aws_profile};
pub use builds::{Builds, is_on_loopback, place_of};
pub use endpoint::EndpointSetting;
pub use keep::Keep;
pub use manifest::{ManifestRepository, ManifestSource, parse_manifest_path};
pub use network::BaseDomain;

use crate::link::message::Subnet;
use crate::model::{Catalogue, Invalid, Memory, Poll, Quotas, RuntimeName};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What `towpath up` was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpSettings {
    /// Where the manifest is.
    pub manifest: ManifestSource,
    /// Where everything that must survive a restart is kept.
    pub data_dir: PathBuf,
    /// What runs instances.
    pub engine: EngineChoice,
    /// Where services answer (plain HTTP); at least one.
    pub http: Vec<SocketAddr>,
    /// Where the API answers.
    pub api: SocketAddr,
    /// The certificate that the API answers with, and its key: PEM files.
    pub api_tls: Option<(PathBuf, PathBuf)>,
    /// Where it answers besides, each with a policy of its own.
    pub endpoints: Vec<EndpointSetting>,
    /// The domain under which services get their hosts.
    pub base_domain: BaseDomain,
    /// How often sources are asked for new versions.
    pub poll: Poll,
    /// Whether changes are made by themselves.
    pub apply: ApplyMode,
    /// How events are printed.
    pub output: Output,
    /// The region in ARNs and default domains.
    pub region: String,
    /// The account in ARNs: 12 digits.
    pub account: String,
    /// The Docker engine, as `DOCKER_HOST` writes it; the local one if none.
    pub docker_host: Option<String>,
    /// How instances on it are reached.
    pub docker_reach: DockerReach,
    /// Base images that replace the catalogue's.
    pub runtime_images: BTreeMap<RuntimeName, String>,
    /// The runtimes that services may name.
    pub catalogue: Catalogue,
    /// What builds are given.
    pub builds: Builds,
    /// Networks whose `X-Forwarded-*` headers are believed.
    pub trusted_proxies: Vec<Subnet>,
    /// Who starts the ingress.
    pub ingress: IngressChoice,
    /// What is kept on disk.
    pub keep: Keep,
    /// How many of each the API may make.
    pub quotas: Quotas,
    /// How far the sum of instance memory may exceed the host's, in percent: 100 is not at all.
    pub overcommit_percent: u32,
    /// What the files of an instance may take where its service does not say.
    pub instance_storage: Memory,
    /// The first user id of services, where towpath is root (process engine).
    pub first_user: u32,
    /// Whether services may run where nothing keeps them from the files of towpath's own user (process engine), or from each
    /// other (Podman).
    pub allow_unisolated: bool,
    /// How repositories are read.
    pub sources: SourceSettings,
    /// What git hosts may say.
    pub webhooks: WebhookSettings,
    /// What pull requests against the manifest's repository are planned.
    pub plan_pulls: PlanPulls,
}

/// Whose pull requests are planned. A plan runs no code, but shows what runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum PlanPulls {
    /// Nobody's.
    Off,
    /// Those from the repository itself.
    #[default]
    Own,
    /// Those from forks too: anybody's.
    Forks,
}

/// What git hosts may say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebhookSettings {
    /// The files of the secrets that deliveries are signed with, by the host's name in the path.
    pub secret_files: BTreeMap<&'static str, PathBuf>,
    /// A listener of their own, beside the API's.
    pub listen: Option<SocketAddr>,
}

/// How repositories are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceSettings {
    /// The private key for ssh, where a source names none.
    pub ssh_key: Option<PathBuf>,
    /// Files of known hosts; the first is the one to add to.
    pub known_hosts: Vec<PathBuf>,
    /// What one fetch may bring.
    pub fetch_limit: Memory,
    /// What the files of one commit may have together.
    pub source_limit: Memory,
    /// Whether the environment names an HTTP proxy.
    pub proxied: bool,
}

/// The user's file of known hosts, and the machine's.
pub fn default_known_hosts() -> Vec<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    let own = home.map(|home| home.join(".ssh/known_hosts"));
    own.into_iter().chain([PathBuf::from("/etc/ssh/ssh_known_hosts")]).collect()
}

/// Whether the environment names an HTTP proxy, as libgit2 reads it.
pub fn has_proxy() -> bool {
    let names = ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];
    names.iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// How instances on a Docker engine are reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum DockerReach {
    /// By their addresses, where this machine has a route to them; else by ports.
    Auto,
    /// By ports of this machine's loopback that Docker publishes.
    Published,
}

/// What runs instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum EngineChoice {
    /// Docker where an engine answers, else processes; resolved once and recorded.
    Auto,
    /// Processes of this machine.
    Process,
    /// The Docker engine.
    Docker,
}

/// Who starts the ingress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum IngressChoice {
    /// `towpath up`, which starts it again when it dies.
    Own,
    /// A service manager: `towpath up` waits for it.
    Await,
}

/// Whether changes are made by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ApplyMode {
    /// As soon as they are seen.
    Auto,
    /// Only healing is; everything else waits for `towpath apply`.
    Manual,
}

/// How a command prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For machines.
    Json,
    /// For pull requests; plans only.
    Markdown,
}

/// `/var/lib/towpath` as root; else the user's state directory (`$XDG_STATE_HOME/towpath`, `~/.local/state/towpath`).
///
/// # Errors
/// When neither can be told: no `HOME`.
pub fn default_data_dir() -> Result<PathBuf, Invalid> {
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/towpath"));
    }
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .map(|state| state.join("towpath"))
        .ok_or_else(|| Invalid::new("no data directory: `HOME` is not set").hint("name one with `--data-dir DIR`"))
}

/// Whether the user asked for no colour (<https://no-color.org>: set and not empty), or the terminal has none.
pub fn color_is_unwanted() -> bool {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    unwanted || terminal_is_dumb()
}

/// Whether the terminal takes nothing but text.
pub fn terminal_is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|value| value == "dumb")
}

/// A region: `[a-z0-9-]+` (row R1).
///
/// # Errors
/// For anything else.
pub fn parse_region(text: &str) -> Result<String, Invalid> {
    let fits = (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-');
    if fits {
        return Ok(text.to_owned());
    }
    Err(Invalid::new("a region has lower-case letters, digits and `-` in between, like `local-1`"))
}

/// An account: 12 digits (row R1).
///
/// # Errors
/// For anything else.
pub fn parse_account(text: &str) -> Result<String, Invalid> {
    let fits = text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
    if fits { Ok(text.to_owned()) } else { Err(Invalid::new("an account has 12 digits")) }
}

/// Overcommit: `200%`, at least `100%`.
///
/// # Errors
/// For a number without `%`, and out of 100 to 10000.
pub fn parse_overcommit(text: &str) -> Result<u32, Invalid> {
    let number = text.strip_suffix('%').ok_or_else(|| Invalid::new("write it with its unit, like `200%`"))?;
    match number.parse() {
        Ok(percent) if (100..=10_000).contains(&percent) => Ok(percent),
        _ => Err(Invalid::new("overcommit goes from `100%` (none) to `10000%`")),
    }
}

/// The first user id of services: ids of accounts and of containers are left alone.
///
/// # Errors
/// For an id below 65536, and one without room for the others above it.
pub fn parse_first_user(text: &str) -> Result<u32, Invalid> {
    match text.parse() {
        Ok(id) if (65_536..=u32::MAX - 2 * 65_536).contains(&id) => Ok(id),
        _ => Err(Invalid::new("user ids of services begin at 65536 or above, like 1900000000")),
    }
}

/// `NAME=IMAGE`.
///
/// # Errors
/// For a name that no runtime can have, and an image that looks like an option or holds spaces.
pub fn parse_runtime_image(text: &str) -> Result<(RuntimeName, String), Invalid> {
    let (name, image) =
        text.split_once('=').ok_or_else(|| Invalid::new("write it like `python3=registry.example.com/python:3.12`"))?;
    let image = crate::model::parse_runtime_image(image)?;
    Ok((name.parse()?, image))
}

/// The whole environment, for secrets that name a variable of it. Variables that are not UTF-8 are left out.
pub fn environment() -> BTreeMap<String, String> {
    std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect()
}

/// Which messages of the process itself are written to stderr (`TOWPATH_LOG`, in `tracing`'s filter language).
pub fn log_filter() -> String {
    std::env::var_os("TOWPATH_LOG").and_then(|v| v.into_string().ok()).unwrap_or_else(|| "warn".into())
}

/// The directories of `PATH`, in its order.
pub fn search_path() -> Vec<PathBuf> {
    std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default()
}

/// Variables of our own environment that build commands get: how to reach package registries from here.
const PASSED_ON: &[&str] = &[
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "PIP_CERT",
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS",
    "PIP_DEFAULT_TIMEOUT",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "npm_config_registry",
    "NPM_CONFIG_REGISTRY",
    "GOPROXY",
    "GIT_SSL_CAINFO",
];

/// See [`PASSED_ON`].
pub fn passed_on_to_builds() -> BTreeMap<String, String> {
    environment().into_iter().filter(|(name, _)| PASSED_ON.contains(&name.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_the_wrong_shape_are_refused() {
        for bad in ["", "Local-1", "a b", "-a", "a-", "a/b", "a.b"] {
            assert!(parse_region(bad).is_err(), "{bad}");
        }
        assert!(parse_account("1234").is_err() && parse_account("00000000000x").is_err());
        assert!(
            parse_overcommit("200").is_err() && parse_overcommit("99%").is_err() && parse_overcommit("x%").is_err()
        );
        assert_eq!(parse_overcommit("200%"), Ok(200));
        assert!(parse_first_user("1000").is_err() && parse_first_user("4294967295").is_err());
        assert_eq!(parse_first_user("200000"), Ok(200_000));
        for bad in ["python3", "python3=", "=x", "python3=-v", "python3=a b", "py thon=x"] {
            assert!(parse_runtime_image(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_runtime_image("python3=a/b:1@sha256:00").unwrap().1, "a/b:1@sha256:00");
    }
}
