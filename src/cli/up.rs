//! `towpath up`: flags and variables, parsed into settings. What it does is the caller's.

use super::args::Common;
use super::failure::Failure;
use super::trust_flags::TrustArgs;
use super::webhook_flags::WebhookArgs;
use crate::desired::manifest::parse_poll;
use crate::model::{
    BranchName, Catalogue, ConnectionName, Invalid, Memory, Poll, Reference, RepositoryUrl, RuntimeName,
    SourceDirectory, Verify,
};
use crate::settings::{
    ApplyMode, BaseDomain, DockerReach, EndpointSetting, EngineChoice, IngressChoice, ManifestRepository,
    ManifestSource, PlanPulls, SourceSettings, UpSettings, default_data_dir, default_known_hosts, has_proxy,
    parse_account, parse_first_user, parse_manifest_path, parse_overcommit, parse_region, parse_runtime_image,
};
use clap::Args;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The shortest time between two polls of a source that makes sense to ask for.
const SHORTEST_POLL: Duration = Duration::from_secs(1);

/// The flags of `up`; each is also a `TOWPATH_*` variable.
#[derive(Debug, Args)]
pub struct UpArgs {
    /// The file that declares what runs, or a directory of such files
    #[arg(
        short = 'f',
        long,
        value_name = "PATH",
        default_value = "towpath.yaml",
        env = "TOWPATH_MANIFEST",
        hide_env_values = true
    )]
    manifest: PathBuf,
    /// The git repository that the manifest is pulled from
    #[arg(
        long,
        value_name = "URL",
        value_parser = parse_repository,
        conflicts_with = "manifest",
        env = "TOWPATH_REPO",
        hide_env_values = true
    )]
    repo: Option<RepositoryUrl>,
    /// The branch of that repository [default: its default branch]
    #[arg(long, value_name = "BRANCH", requires = "repo", env = "TOWPATH_BRANCH", hide_env_values = true)]
    branch: Option<BranchName>,
    /// The manifest in that repository: a file, or a directory of such files
    #[arg(
        long,
        value_name = "PATH",
        default_value = "towpath.yaml",
        value_parser = parse_manifest_path,
        env = "TOWPATH_PATH",
        hide_env_values = true
    )]
    path: SourceDirectory,
    #[command(flatten)]
    trust: TrustArgs,
    /// The connection that this repository is read by, where it is private
    #[arg(long, value_name = "NAME", requires = "repo", env = "TOWPATH_REPO_CONNECTION", hide_env_values = true)]
    repo_connection: Option<ConnectionName>,
    /// Which pull requests against that repository get a plan: own, forks too, or none (off)
    #[arg(
        long,
        value_enum,
        value_name = "WHOSE",
        default_value = "own",
        hide_possible_values = true,
        env = "TOWPATH_PLAN_PULL_REQUESTS",
        hide_env_values = true
    )]
    plan_pull_requests: PlanPulls,
    /// What runs instances: process, docker, or auto, which is docker where it answers
    #[arg(
        long,
        value_enum,
        default_value = "auto",
        hide_possible_values = true,
        env = "TOWPATH_ENGINE",
        hide_env_values = true
    )]
    engine: EngineChoice,
    /// Where services answer; repeatable
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8080",
        value_delimiter = ',',
        env = "TOWPATH_HTTP",
        hide_env_values = true
    )]
    http: Vec<SocketAddr>,
    /// Where the API answers
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090", env = "TOWPATH_API", hide_env_values = true)]
    api: SocketAddr,
    /// The certificate, with its chain, that the API answers with: a PEM file
    #[arg(long, value_name = "FILE", requires = "api_key", env = "TOWPATH_API_CERTIFICATE", hide_env_values = true)]
    api_certificate: Option<PathBuf>,
    /// The key of that certificate: a PEM file
    #[arg(long, value_name = "FILE", requires = "api_certificate", env = "TOWPATH_API_KEY", hide_env_values = true)]
    api_key: Option<PathBuf>,
    /// A private endpoint: a further address of the API, with the file of a policy that bounds what is called there; repeatable
    #[arg(
        long,
        value_name = "NAME=ADDRESS[=FILE]",
        value_delimiter = ',',
        env = "TOWPATH_ENDPOINT",
        hide_env_values = true
    )]
    endpoint: Vec<EndpointSetting>,
    /// The domain that services get their hosts under
    #[arg(
        long,
        value_name = "DOMAIN",
        default_value = "localhost",
        env = "TOWPATH_BASE_DOMAIN",
        hide_env_values = true
    )]
    base_domain: BaseDomain,
    /// How often sources are asked for new versions: a duration, or a line of crontab
    #[arg(
        long,
        value_name = "DURATION-OR-CRON",
        default_value = "30s",
        value_parser = parse_poll,
        env = "TOWPATH_POLL",
        hide_env_values = true
    )]
    poll: Poll,
    /// Whether changes are made by themselves (auto), or wait for `towpath apply` (manual)
    #[arg(
        long,
        value_enum,
        value_name = "MODE",
        default_value = "auto",
        hide_possible_values = true,
        env = "TOWPATH_APPLY",
        hide_env_values = true
    )]
    apply: ApplyMode,
    /// The region in ARNs and default domains
    #[arg(
        long,
        default_value = "local-1",
        value_parser = parse_region,
        env = "TOWPATH_REGION",
        hide_env_values = true
    )]
    region: String,
    /// The account in ARNs: 12 digits
    #[arg(
        long,
        default_value = "000000000000",
        value_parser = parse_account,
        env = "TOWPATH_ACCOUNT",
        hide_env_values = true
    )]
    account: String,
    /// The Docker engine [default: the local one]
    #[arg(long, value_name = "URL", env = "TOWPATH_DOCKER_HOST", hide_env_values = true)]
    docker_host: Option<String>,
    /// How containers are reached: `auto` (by their addresses where this machine can) or `published` (by ports of its loopback)
    #[arg(
        long,
        value_enum,
        value_name = "WAY",
        default_value = "auto",
        hide_possible_values = true,
        env = "TOWPATH_DOCKER_REACH",
        hide_env_values = true
    )]
    docker_reach: DockerReach,
    /// A base image in place of the catalogue's; repeatable
    #[arg(
        long,
        value_name = "NAME=IMAGE",
        value_parser = parse_runtime_image,
        value_delimiter = ',',
        env = "TOWPATH_RUNTIME_IMAGE",
        hide_env_values = true
    )]
    runtime_image: Vec<(RuntimeName, String)>,
    /// What builds are given.
    #[command(flatten)]
    builds: crate::settings::Builds,
    /// A network whose X-Forwarded-* headers are believed; repeatable
    #[arg(long, value_name = "CIDR", value_delimiter = ',', env = "TOWPATH_TRUSTED_PROXY", hide_env_values = true)]
    trusted_proxy: Vec<crate::link::message::Subnet>,
    /// How far the memory of all instances may exceed the machine's
    #[arg(
        long,
        value_name = "PERCENT",
        default_value = "200%",
        value_parser = parse_overcommit,
        env = "TOWPATH_OVERCOMMIT",
        hide_env_values = true
    )]
    overcommit: u32,
    /// Who starts the ingress: own, or await, where a service manager does
    #[arg(
        long,
        value_enum,
        value_name = "KEEPER",
        default_value = "own",
        hide_possible_values = true,
        env = "TOWPATH_INGRESS",
        hide_env_values = true
    )]
    ingress: IngressChoice,
    /// What is kept on disk.
    #[command(flatten)]
    keep: crate::settings::Keep,
    /// How many of a kind the API may make, like services=20; repeatable
    #[arg(long, value_name = "KIND=N", value_delimiter = ',', env = "TOWPATH_QUOTA", hide_env_values = true)]
    quota: Vec<crate::model::quota::Quota>,
    /// The private key for repositories over ssh, where a source names none
    #[arg(long, value_name = "FILE", env = "TOWPATH_SSH_KEY", hide_env_values = true)]
    ssh_key: Option<PathBuf>,
    /// Whose ssh servers are trusted; repeatable [default: ~/.ssh/known_hosts and /etc/ssh/ssh_known_hosts]
    #[arg(long, value_name = "FILE", value_delimiter = ',', env = "TOWPATH_SSH_KNOWN_HOSTS", hide_env_values = true)]
    ssh_known_hosts: Vec<PathBuf>,
    /// How much one fetch of a repository may bring, as it comes over the wire
    #[arg(long, value_name = "SIZE", default_value = "2 GB", env = "TOWPATH_FETCH_LIMIT", hide_env_values = true)]
    fetch_limit: Memory,
    /// How large the files of one commit may be together
    #[arg(long, value_name = "SIZE", default_value = "4 GB", env = "TOWPATH_SOURCE_LIMIT", hide_env_values = true)]
    source_limit: Memory,
    /// What the files of an instance may take, unless its service says otherwise
    #[arg(long, value_name = "SIZE", default_value = "3 GB", env = "TOWPATH_INSTANCE_STORAGE", hide_env_values = true)]
    instance_storage: Memory,
    /// The first user id of services, where towpath is root (process engine)
    #[arg(
        long,
        value_name = "UID",
        default_value = "1900000000",
        value_parser = parse_first_user,
        env = "TOWPATH_FIRST_USER",
        hide_env_values = true
    )]
    first_user: u32,
    /// Run services although nothing keeps them from your own files (process engine, not root, no Landlock) or from each other
    /// (Podman, without nftables)
    #[arg(long, env = "TOWPATH_ALLOW_UNISOLATED", hide_env_values = true)]
    allow_unisolated: bool,
    #[command(flatten)]
    webhooks: WebhookArgs,
}

impl UpArgs {
    /// The settings that the flags make.
    ///
    /// # Errors
    /// Where flags do not fit together.
    pub fn settings(self, common: &Common, catalogue: Catalogue) -> Result<UpSettings, Failure> {
        if matches!(self.poll, Poll::Every(interval) if interval < SHORTEST_POLL) {
            return Err(Failure::new("`--poll` is shorter than a second").hint("write `--poll 1s` or more"));
        }
        let endpoints = self.endpoint.iter().map(|endpoint| endpoint.address);
        let mut ports: Vec<SocketAddr> = self.http.iter().copied().chain([self.api]).chain(endpoints).collect();
        ports.retain(|address| address.port() != 0);
        ports.sort_unstable();
        if let Some(twice) = ports.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Failure::new(format!("`{}` is given to two listeners", twice[0]))
                .hint("give each of `--http`, `--api` and `--endpoint` an address of its own"));
        }
        if self.keep.disk_high > self.keep.disk_critical {
            return Err(Failure::new("`--disk-high` is above `--disk-critical`")
                .hint("room is made above the first, and nothing built above the second"));
        }
        Ok(UpSettings {
            manifest: {
                let verify = self.trust.verify()?;
                manifest_source(self.manifest, self.repo, self.branch, self.path, (self.repo_connection, verify))
            },
            data_dir: data_dir(common)?,
            engine: meant(self.engine, self.docker_host.as_deref()),
            http: self.http,
            api: self.api,
            api_tls: self.api_certificate.zip(self.api_key),
            endpoints: self.endpoint,
            base_domain: self.base_domain,
            poll: self.poll,
            apply: self.apply,
            output: common.output,
            region: self.region,
            account: self.account,
            docker_host: self.docker_host,
            docker_reach: self.docker_reach,
            runtime_images: self.runtime_image.into_iter().collect(),
            catalogue,
            builds: self.builds,
            trusted_proxies: self.trusted_proxy,
            overcommit_percent: self.overcommit,
            ingress: self.ingress,
            keep: self.keep,
            quotas: crate::model::Quotas::with(&self.quota),
            sources: SourceSettings {
                ssh_key: self.ssh_key,
                known_hosts: match self.ssh_known_hosts.is_empty() {
                    true => default_known_hosts(),
                    false => self.ssh_known_hosts,
                },
                fetch_limit: self.fetch_limit,
                source_limit: self.source_limit,
                proxied: has_proxy(),
            },
            instance_storage: self.instance_storage,
            first_user: self.first_user,
            allow_unisolated: self.allow_unisolated,
            webhooks: self.webhooks.settings(),
            plan_pulls: self.plan_pull_requests,
        })
    }
}

/// The engine that is meant: whoever names a Docker engine means that one.
fn meant(engine: EngineChoice, docker_host: Option<&str>) -> EngineChoice {
    match (engine, docker_host) {
        (EngineChoice::Auto, Some(_)) => EngineChoice::Docker,
        (choice, _) => choice,
    }
}

fn manifest_source(
    manifest: PathBuf,
    repo: Option<RepositoryUrl>,
    branch: Option<BranchName>,
    path: SourceDirectory,
    (connection, verify): (Option<ConnectionName>, Verify),
) -> ManifestSource {
    let reference = branch.map_or(Reference::Default, Reference::Branch);
    match repo {
        Some(url) => ManifestSource::Repository(ManifestRepository { url, reference, path, connection, verify }),
        None => ManifestSource::Path(manifest),
    }
}

/// A URL, or a path of this machine as it is written on a command line.
fn parse_repository(text: &str) -> Result<RepositoryUrl, Invalid> {
    let relative = text == "." || text == ".." || text.starts_with("./") || text.starts_with("../");
    match std::path::absolute(text) {
        Ok(absolute) if relative => absolute.to_string_lossy().parse(),
        _ => text.parse(),
    }
}

/// The data directory, made absolute: where it is must not depend on where a command runs.
///
/// # Errors
/// When there is no default, and when the working directory is gone.
pub fn data_dir(common: &Common) -> Result<PathBuf, Failure> {
    let directory = match &common.data_dir {
        Some(directory) => directory.clone(),
        None => default_data_dir()?,
    };
    std::path::absolute(&directory)
        .map_err(|e| Failure::caused(format!("failed to find data directory `{}`", directory.display()), &e))
}

#[cfg(test)]
mod tests {
    use super::super::args::{Cli, Command};
    use super::*;
    use clap::Parser;

    fn settings(flags: &[&str]) -> Result<UpSettings, Failure> {
        let line = ["towpath", "up", "--data-dir", "/srv/towpath"].iter().chain(flags);
        let cli = Cli::try_parse_from(line).unwrap();
        match cli.command {
            Command::Up(args) => args.settings(&cli.common, Catalogue::builtin()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn no_flags_at_all_are_a_working_installation() {
        let settings = settings(&[]).unwrap();
        assert_eq!(settings.manifest, ManifestSource::Path("towpath.yaml".into()));
        assert_eq!(settings.http, ["127.0.0.1:8080".parse().unwrap()]);
        assert_eq!(settings.api, "127.0.0.1:8090".parse().unwrap());
        assert_eq!((settings.engine, settings.apply), (EngineChoice::Auto, ApplyMode::Auto));
        assert_eq!((settings.poll, settings.overcommit_percent), (Poll::Every(Duration::from_secs(30)), 200));
        assert_eq!((settings.region.as_str(), settings.account.as_str()), ("local-1", "000000000000"));
        assert_eq!(settings.base_domain.as_str(), "localhost");
    }

    #[test]
    fn repeatable_flags_repeat_and_take_commas() {
        let flags = ["--http", "127.0.0.1:80,[::1]:80", "--http", "0.0.0.0:0", "--http", "0.0.0.0:0"];
        assert_eq!(settings(&flags).unwrap().http.len(), 4);
        let flags =
            ["--trusted-proxy", "10.0.0.0/8", "--runtime-image", "python3=a:1", "--runtime-image", "nodejs18=b"];
        let settings = settings(&flags).unwrap();
        assert_eq!((settings.trusted_proxies.len(), settings.runtime_images.len()), (1, 2));
    }

    #[test]
    fn a_manifest_is_in_one_place() {
        let flags = ["--repo", "https://git.example.com/acme/infra", "--branch", "main", "--path", "prod/"];
        let ManifestSource::Repository(repository) = settings(&flags).unwrap().manifest else { panic!() };
        assert_eq!(repository.to_string(), "prod of https://git.example.com/acme/infra, main");
        for wrong in [&["--repo", "https://x.example/a", "-f", "a.yaml"][..], &["--branch", "main"], &["--repo", "x"]] {
            let line = ["towpath", "up"].iter().chain(wrong);
            assert!(Cli::try_parse_from(line).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn two_listeners_do_not_get_one_address() {
        assert!(settings(&["--http", "127.0.0.1:8090"]).is_err());
        assert!(settings(&["--http", "127.0.0.1:80", "--http", "127.0.0.1:80"]).is_err());
    }

    #[test]
    fn a_relative_data_directory_is_made_absolute() {
        let common = Common {
            data_dir: Some("state".into()),
            output: crate::settings::Output::Text,
            runtimes: None,
            server: None,
            profile: None,
        };
        assert!(data_dir(&common).unwrap().is_absolute());
    }
}
