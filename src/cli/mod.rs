//! Commands and how they print.
//!
//! Parses, calls the server of a data directory over its control socket, and prints text for people or JSON for
//! machines. Exit codes: 0 done, 1 error, 64 wrong usage; `plan --detailed-exitcode`: 0 nothing to do, 1 error, 2 changes;
//! `run`: the command's own.
//! Must not decide anything that the control plane decides.

mod acts;
mod against;
mod args;
mod audit;
mod client;
mod connections;
mod doctor;
mod down;
mod events;
mod export;
mod failure;
mod gc;
mod identities;
mod import;
mod init;
mod install_service;
pub mod live;
mod logs;
mod manual;
mod offline;
mod operations;
mod plan;
pub mod problems;
pub mod progress;
mod reference;
mod remote;
mod run;
mod screen;
mod secrets;
mod service_units;
mod status;
mod trust_flags;
mod up;
mod validate;
mod wait;
mod watching;
mod webhook_flags;

pub use against::{PastManifest, ReadFile};
pub use doctor::{Examination, Finding, Verdict};
pub use down::Leftovers;
pub use reference::reference;
pub use screen::Tone;

use crate::model::Invalid;
use crate::settings::{Output, UpSettings};
use against::Against;
use args::{Cli, Command, Common, PlanArgs};
use clap::Parser;
use clap::error::ErrorKind;
use client::Client;
use failure::Failure;
use remote::Remote;
use screen::Screen;
use std::error::Error;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

/// Wrong usage (`EX_USAGE` of BSD's sysexits).
const USAGE: u8 = 64;
/// Ended by Ctrl-C, as shells say it: 128 and the signal's number.
const INTERRUPTED: u8 = 130;

/// What other rooms do for the command line. Given by `main`, so that this room runs no server.
#[derive(Clone, Copy)]
pub struct Hooks {
    /// `towpath up`: runs the server until it ends.
    pub up: fn(UpSettings) -> ExitCode,
    /// `towpath ingress`, which `up` starts; the arguments after that word.
    pub ingress: fn(Vec<OsString>) -> ExitCode,
    /// `towpath shim`, which the process engine starts; the arguments after that word.
    pub shim: fn(Vec<OsString>) -> ExitCode,
    /// Stops an ingress and instances that a control plane left in a data directory; called when none runs any more.
    pub stop_leftovers: fn(&Path) -> Result<Leftovers, Box<dyn Error + Send + Sync>>,
    /// Looks at what of this machine helps or hinders.
    pub examine: fn(&Examination) -> Vec<Finding>,
    /// The manifest at an absolute path, which the user calls so, at a git revision.
    pub manifest_at: fn(&Path, &str, &str) -> Result<PastManifest, Invalid>,
}

/// Runs the command that the process' arguments name.
pub fn main(hooks: Hooks) -> ExitCode {
    run(std::env::args_os().collect(), hooks)
}

fn run(arguments: Vec<OsString>, hooks: Hooks) -> ExitCode {
    // These are our own processes' doors, not commands for people: no parsing, no memory spent on it.
    match arguments.get(1).and_then(|word| word.to_str()) {
        Some("ingress") => return (hooks.ingress)(arguments.into_iter().skip(2).collect()),
        Some("shim") => return (hooks.shim)(arguments.into_iter().skip(2).collect()),
        _ => {}
    }
    match Cli::try_parse_from(arguments) {
        Ok(cli) => dispatch(cli, hooks),
        Err(error) => {
            // Nobody is left to be told when this fails.
            let _ = error.print();
            match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
                _ => ExitCode::from(USAGE),
            }
        }
    }
}

fn dispatch(cli: Cli, hooks: Hooks) -> ExitCode {
    let Cli { common, command } = cli;
    let screen = Screen::new(common.output);
    if common.output == Output::Markdown && !matches!(command, Command::Plan(_)) {
        let failure = Failure::new("`--output markdown` is for `towpath plan` only");
        failure.hint("use `--output text` or `--output json`").print(&screen);
        return ExitCode::from(USAGE);
    }
    let ended = match command {
        Command::Up(args) => match offline::catalogue(&screen, &common).and_then(|all| args.settings(&common, all)) {
            Ok(settings) => return (hooks.up)(settings),
            Err(failure) => {
                failure.print(&screen);
                return ExitCode::from(USAGE);
            }
        },
        Command::Validate(args) => {
            offline::catalogue(&screen, &common).and_then(|all| validate::validate(&screen, &args, &all))
        }
        Command::Plan(PlanArgs { against: Some(revision), file, rev, detailed_exitcode, .. }) => {
            against::against(&screen, &Against { file, revision, rev, detailed_exitcode }, hooks)
        }
        Command::Init(args) => init::init(&screen, &args),
        Command::Import(args) => {
            offline::catalogue(&screen, &common).and_then(|all| import::import(&screen, &args, &all))
        }
        Command::Schema { kind } => {
            offline::catalogue(&screen, &common).and_then(|all| offline::print_schema(&screen, kind, &all))
        }
        Command::Completions { shell } => manual::completions(&screen, shell),
        Command::Man { dir } => manual::man(&screen, dir.as_deref()),
        Command::InstallService(args) => {
            install_service::install_service(&screen, &common, &args).map(|()| ExitCode::SUCCESS)
        }
        Command::Secrets(command) => secrets::secrets(&screen, &common, &command).map(|()| ExitCode::SUCCESS),
        command => with_client(command, &common, &screen, hooks),
    };
    match ended {
        Ok(code) => code,
        Err(Failure::ReaderGone) => ExitCode::SUCCESS,
        Err(Failure::Interrupted) => ExitCode::from(INTERRUPTED),
        Err(failure) => {
            failure.print(&screen);
            ExitCode::FAILURE
        }
    }
}

/// Commands that talk to a server: a runtime of one thread, for as long as the command runs.
fn with_client(command: Command, common: &Common, screen: &Screen, hooks: Hooks) -> Result<ExitCode, Failure> {
    let data_dir = up::data_dir(common)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::caused("failed to start a runtime", &e))?;
    let client = match &common.server {
        Some(url) => Client::remote(Remote::new(url, common.profile.as_deref())?),
        None => Client::new(&data_dir),
    };
    runtime.block_on(call(command, &client, (common, &data_dir), screen, hooks))
}

async fn call(
    command: Command,
    client: &Client,
    (common, data_dir): (&Common, &Path),
    screen: &Screen,
    hooks: Hooks,
) -> Result<ExitCode, Failure> {
    match command {
        Command::Up(_)
        | Command::Init(_)
        | Command::Import(_)
        | Command::Validate(_)
        | Command::Secrets(_)
        | Command::InstallService(_)
        | Command::Schema { .. }
        | Command::Completions { .. }
        | Command::Man { .. } => return Err(Failure::Silent),
        Command::Users(command) => identities::users(screen, client, &command).await?,
        Command::Groups(command) => identities::groups(screen, client, &command).await?,
        Command::Roles(command) => identities::roles(screen, client, &command).await?,
        Command::Policies(command) => identities::policies(screen, client, &command).await?,
        Command::Audit(args) => audit::audit(screen, client, &args).await?,
        Command::Keys(command) => identities::keys(screen, client, &command).await?,
        Command::Connections(command) => connections::connections(screen, client, &command).await?,
        Command::Gc { dry_run } => gc::gc(screen, client, dry_run).await?,
        Command::Down | Command::Doctor(_) if client.is_remote() => {
            let hint = "run it there, without `--server`";
            return Err(Failure::new("this command is for the server's own machine").hint(hint));
        }
        Command::Down => down::down(screen, client, data_dir, hooks.stop_leftovers).await?,
        Command::Doctor(args) => return doctor::doctor(screen, client, data_dir, args, hooks).await,
        Command::Plan(args) => return plan::plan(screen, client, (common, data_dir), &args).await,
        Command::Apply(args) => plan::apply(screen, client, &args).await?,
        Command::Export(args) => export::export(screen, client, &args).await?,
        Command::Status { service } => status::status(screen, client, service.as_deref()).await?,
        Command::Deploy(args) => acts::deploy(screen, client, &args).await?,
        Command::Pause(args) => acts::act(screen, client, "AppRunner.PauseService", &args).await?,
        Command::Resume(args) => acts::act(screen, client, "AppRunner.ResumeService", &args).await?,
        Command::Delete(args) => acts::delete(screen, client, &args).await?,
        Command::Rollback(args) => acts::rollback(screen, client, &args).await?,
        Command::Cancel(args) => acts::cancel(screen, client, &args).await?,
        Command::Operations { service } => operations::operations(screen, client, &service).await?,
        Command::Events { service, tail } => events::events(screen, client, service.as_deref(), tail).await?,
        Command::Run(args) => return run::run(screen, client, args).await,
        Command::Logs(args) => logs::logs(screen, client, &args).await?,
    }
    Ok(ExitCode::SUCCESS)
}
