//! The commands and their flags.

use super::audit::AuditArgs;
use super::connections::ConnectionsCommand;
use super::identities::{GroupsCommand, KeysCommand, PoliciesCommand, RolesCommand, UsersCommand};
use super::import::ImportArgs;
use super::install_service::InstallServiceArgs;
use super::run::RunArgs;
use super::secrets::SecretsCommand;
use super::up::UpArgs;
use crate::desired::duration;
use crate::settings::Output;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A team's own AWS App Runner, pulled from git.
#[derive(Debug, Parser)]
#[command(name = "towpath", version, max_term_width = 100, subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub common: Common,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// Where towpath keeps its state [default: /var/lib/towpath as root, else the user's own]
    #[arg(long, value_name = "DIR", global = true, env = "TOWPATH_DATA_DIR", hide_env_values = true)]
    pub data_dir: Option<PathBuf>,
    /// Runtimes that are added to the catalogue, or change it
    #[arg(long, value_name = "FILE", global = true, env = "TOWPATH_RUNTIMES", hide_env_values = true)]
    pub runtimes: Option<PathBuf>,
    /// The server to talk to from afar: https://HOST:PORT [default: the one of the data directory]
    #[arg(long, value_name = "URL", global = true, env = "TOWPATH_SERVER", hide_env_values = true)]
    pub server: Option<String>,
    /// The AWS profile to sign with, where a server is named
    #[arg(long, value_name = "NAME", global = true, requires = "server")]
    pub profile: Option<String>,
    /// How to print: text or json, a plan also as markdown
    #[arg(
        long,
        value_enum,
        value_name = "FORMAT",
        default_value = "text",
        hide_possible_values = true,
        global = true,
        env = "TOWPATH_OUTPUT",
        hide_env_values = true
    )]
    pub output: Output,
}

/// Every command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server: apply the manifest, follow it and the sources, serve
    Up(Box<UpArgs>),
    /// Stop everything gracefully: traffic, instances, the server
    Down,
    /// Write a manifest for the git repository that you stand in
    Init(InitArgs),
    /// Check manifests and apprunner.yaml files
    Validate(ValidateArgs),
    /// Show what would change and why; changes nothing
    Plan(PlanArgs),
    /// Do what is declared now, or exactly what a plan says
    Apply(ApplyArgs),
    /// Write the running state as a manifest
    Export(ExportArgs),
    /// Write services of AWS App Runner as a manifest: from answers of AWS, CloudFormation, AWS Copilot
    Import(ImportArgs),
    /// Show services: status, URL, revision, instances, what waits
    Status {
        /// Only this one
        service: Option<String>,
    },
    /// Deploy the newest version of a service's source
    Deploy(DeployArgs),
    /// Take a service's compute to zero
    Pause(ActArgs),
    /// Bring a paused service back
    Resume(ActArgs),
    /// Delete a service
    Delete(DeleteArgs),
    /// Run a kept revision again, without a build
    Rollback(RollbackArgs),
    /// Stop a running operation; the old version goes on
    Cancel(CancelArgs),
    /// Run a command once in what a service runs now: a migration, a data fix
    Run(RunArgs),
    /// List a service's operations, newest first
    Operations {
        /// The service
        service: String,
    },
    /// List what happened
    Events {
        /// Only to this service
        service: Option<String>,
        /// So many of the newest
        #[arg(long, value_name = "N", default_value_t = 100)]
        tail: usize,
    },
    /// Remove from the disk what is not kept
    Gc {
        /// Only show what would go, how large it is, and why
        #[arg(long)]
        dry_run: bool,
    },
    /// Install the two systemd units, and start them
    InstallService(InstallServiceArgs),
    /// Encrypt values that are kept in git
    #[command(subcommand)]
    Secrets(SecretsCommand),
    /// Manage users: who may call the API
    #[command(subcommand)]
    Users(UsersCommand),
    /// Manage groups of users
    #[command(subcommand)]
    Groups(GroupsCommand),
    /// Manage roles: rights that others may take on for a while
    #[command(subcommand)]
    Roles(RolesCommand),
    /// Manage policies: what may be done
    #[command(subcommand)]
    Policies(PoliciesCommand),
    /// Show who did what, or check that nothing of it is missing
    Audit(AuditArgs),
    /// Manage access keys: what API clients sign with
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Manage connections: access to private repositories
    #[command(subcommand)]
    Connections(ConnectionsCommand),
    /// Show the output of a service's instances, of a deployment, or its life
    Logs(LogsArgs),
    /// Look at what of this machine helps or hinders, and say how to mend it
    Doctor(DoctorArgs),
    /// Print the JSON schema of the manifest or of apprunner.yaml, for editors, or that of a plan as JSON
    Schema {
        /// Which schema: manifest, apprunner or plan
        #[arg(value_enum, value_name = "KIND", default_value = "manifest", hide_possible_values = true)]
        kind: SchemaKind,
    },
    /// Print what makes a shell complete these commands
    Completions {
        /// The shell: bash, zsh, fish, elvish or powershell
        #[arg(value_enum, value_name = "SHELL", hide_possible_values = true)]
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write those of all commands
    Man {
        /// Write a page per command into this directory, which is made
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

/// `init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// The service's name [default: that of the directory]
    #[arg(long, value_name = "NAME", value_parser = service_name)]
    pub name: Option<String>,
    /// Replace a manifest that is there
    #[arg(long)]
    pub force: bool,
}

fn service_name(text: &str) -> Result<String, String> {
    let parsed: Result<crate::model::ServiceName, _> = text.parse();
    parsed.map(String::from).map_err(|invalid| match invalid.hint {
        Some(hint) => format!("{}: {hint}", invalid.message),
        None => invalid.message,
    })
}

/// `doctor`. What it looks at is what `up` would use: the same flags, variables and defaults.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// The manifest whose secret files are looked at
    #[arg(
        short = 'f',
        long,
        value_name = "PATH",
        default_value = "towpath.yaml",
        env = "TOWPATH_MANIFEST",
        hide_env_values = true
    )]
    pub manifest: PathBuf,
    /// Where services would answer; repeatable
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8080",
        value_delimiter = ',',
        env = "TOWPATH_HTTP",
        hide_env_values = true
    )]
    pub http: Vec<SocketAddr>,
    /// Where the API would answer
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090", env = "TOWPATH_API", hide_env_values = true)]
    pub api: SocketAddr,
    /// The Docker engine [default: the local one]
    #[arg(long, value_name = "URL", env = "TOWPATH_DOCKER_HOST", hide_env_values = true)]
    pub docker_host: Option<String>,
}

/// `validate`.
#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// Files and manifest directories to check [default: towpath.yaml and apprunner.yaml here, whichever are there]
    pub files: Vec<PathBuf>,
    /// What the files are, whatever their names: manifest or apprunner [default: by name]
    #[arg(long = "as", value_enum, value_name = "KIND", hide_possible_values = true)]
    pub kind: Option<FileKind>,
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FileKind {
    /// A manifest (`towpath.yaml`).
    Manifest,
    /// An `apprunner.yaml`.
    Apprunner,
}

/// What a schema is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchemaKind {
    /// A manifest (`towpath.yaml`).
    Manifest,
    /// An `apprunner.yaml`.
    Apprunner,
    /// What `plan --output json` prints.
    Plan,
}

/// `export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Only these services
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// Write to this file, which must not be there yet
    #[arg(short = 'o', long = "out", value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Replace a file that is there
    #[arg(long, requires = "out")]
    pub force: bool,
}

/// `plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The manifest to plan [default: towpath.yaml here; else the one that the server has in force]
    #[arg(short = 'f', long = "file", value_name = "PATH")]
    pub file: Option<PathBuf>,
    /// Exit with 0 when nothing is to be done, 2 when something is, 1 on an error
    #[arg(long)]
    pub detailed_exitcode: bool,
    /// Write the plan to a file, for `towpath apply FILE`
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Compare with the manifest at a git revision, without a server
    #[arg(long, value_name = "REV", conflicts_with = "out")]
    pub against: Option<String>,
    /// With --against: the manifest at this revision, not the one in the working tree
    #[arg(long, value_name = "REV", requires = "against")]
    pub rev: Option<String>,
}

/// `apply`.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// A plan that `towpath plan --out` wrote; refused if what it was made of has changed
    #[arg(value_name = "PLANFILE")]
    pub plan: Option<PathBuf>,
    /// Follow the operations to their end; exit with 1 if one fails
    #[arg(long)]
    pub wait: bool,
    /// Allow that most of the declared services are deleted: those that the manifest leaves out now, no others
    #[arg(long)]
    pub allow_mass_delete: bool,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// What is done to one service.
#[derive(Debug, Args)]
pub struct ActArgs {
    /// The service
    pub service: String,
    /// Follow the operation to its end; exit with 1 if it fails
    #[arg(long)]
    pub wait: bool,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// `deploy`.
#[derive(Debug, Args)]
pub struct DeployArgs {
    /// What is done to one service.
    #[command(flatten)]
    pub act: ActArgs,
    /// Deploy although its deploy window is closed or it is suspended; needs a reason
    #[arg(long, requires = "reason")]
    pub override_window: bool,
}

/// `delete`.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// What is done to one service.
    #[command(flatten)]
    pub act: ActArgs,
    /// Do not ask
    #[arg(short = 'y', long)]
    pub yes: bool,
}

/// `rollback`.
#[derive(Debug, Args)]
pub struct RollbackArgs {
    /// The service
    pub service: String,
    /// The revision's number [default: the one before the current]
    pub revision: Option<u32>,
    /// Open a pull request at GitHub, too, that reverts the commits rolled back from
    #[arg(long)]
    pub revert_pr: bool,
    /// Follow the operation to its end; exit with 1 if it fails
    #[arg(long)]
    pub wait: bool,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// `cancel`.
#[derive(Debug, Args)]
pub struct CancelArgs {
    /// The operation's id
    pub operation: String,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// `logs`.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// The service
    pub service: String,
    /// Go on as lines are written
    #[arg(short = 'f', long)]
    pub follow: bool,
    /// The log of a deployment or another operation, by its id; `latest` is the newest
    #[arg(long, value_name = "ID", conflicts_with_all = ["events", "instance"])]
    pub deployment: Option<String>,
    /// The log of the service's life
    #[arg(long, conflicts_with = "instance")]
    pub events: bool,
    /// Only this instance: its id or the beginning of it
    #[arg(long, value_name = "ID")]
    pub instance: Option<String>,
    /// Only lines of the last while: 30s, 10m, 2h
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub since: Option<Duration>,
    /// Only so many of the newest lines [default: 100 of instances, all otherwise]
    #[arg(long, value_name = "N")]
    pub tail: Option<usize>,
}

/// A duration with its unit; the hint goes into the one line that a usage error has.
///
/// # Errors
/// In words.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    duration::parse_duration(text).map_err(|invalid| match invalid.hint {
        Some(hint) => format!("{}: {hint}", invalid.message),
        None => invalid.message,
    })
}
