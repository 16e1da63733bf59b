//! `towpath doctor`: what of this machine helps or hinders, each finding with its mend. What is found out is the server
//! side's to know (`reconcile::doctor`); the server that runs, if one does, is asked here, and its state checked.

use super::args::DoctorArgs;
use super::client::{CallError, Client};
use super::failure::Failure;
use super::screen::{Screen, Tone};
use super::{Hooks, offline};
use crate::api::views::PlanView;
use crate::model::Catalogue;
use serde::Serialize;
use serde_json::json;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What is looked at.
#[derive(Clone, Debug)]
pub struct Examination {
    /// The data directory, whether it is there or not.
    pub data_dir: PathBuf,
    /// The Docker engine, as `DOCKER_HOST` writes it; the local one if none.
    pub docker_host: Option<String>,
    /// Where services would answer.
    pub http: Vec<SocketAddr>,
    /// Where the API would answer.
    pub api: SocketAddr,
    /// The manifest whose secret files are looked at, if it is there.
    pub manifest: PathBuf,
    /// The runtimes that it may name.
    pub catalogue: Catalogue,
}

/// How good or bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, with less than there could be.
    Warn,
    /// It does not work, or is not safe.
    Problem,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at: `docker`, `port`, `disk`.
    pub check: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

impl Finding {
    /// As it should be.
    pub fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Ok, found: found.into(), mend: None }
    }

    /// It works, with less than there could be.
    pub fn warn(check: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Warn, found: found.into(), mend: Some(mend.into()) }
    }

    /// It does not work, or is not safe.
    pub fn problem(check: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Problem, found: found.into(), mend: Some(mend.into()) }
    }
}

/// Looks at everything; the exit code is 1 if there is a problem.
pub async fn doctor(
    screen: &Screen,
    client: &Client,
    data_dir: &Path,
    (args, catalogue): (DoctorArgs, Catalogue),
    hooks: Hooks,
) -> Result<ExitCode, Failure> {
    let examination = Examination {
        data_dir: data_dir.to_owned(),
        docker_host: args.docker_host,
        http: args.http,
        api: args.api,
        manifest: args.manifest,
        catalogue,
    };
    // It runs programs and asks engines on a runtime of its own, so it gets a thread of its own.
    let examined = tokio::task::spawn_blocking(move || (hooks.examine)(&examination)).await;
    let mut findings = examined.map_err(|e| Failure::caused("failed to look at this machine", &e))?;
    findings.push(server(client, data_dir).await);
    if screen.is_json() {
        screen.print_json(&findings)?;
    } else {
        screen.print(&text(screen, &findings))?;
    }
    let failed = findings.iter().any(|f| f.verdict == Verdict::Problem);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The running server's state, held against the invariants by the checker that shares nothing with the planner.
async fn server(client: &Client, data_dir: &Path) -> Finding {
    let input = json!({ "Manifest": null, "WithObserved": true });
    match client.call::<PlanView>("Towpath.Plan", &input).await {
        Ok(view) => match offline::broken_invariants(&view).as_slice() {
            [] => Finding::ok("server", format!("runs on `{}`; its state is consistent", data_dir.display())),
            broken => Finding::problem(
                "server",
                format!("its state breaks {} invariants: {}", broken.len(), broken.join("; ")),
                "this is a bug of towpath: report it with the output of `towpath doctor --output json`",
            ),
        },
        Err(CallError::NoServer(directory)) => Finding::ok("server", format!("none runs on `{directory}`")),
        Err(error @ CallError::NotAllowed(_)) => {
            Finding::warn("server", error.to_string(), "run this as the user that runs `towpath up`, or as root")
        }
        Err(error) => {
            Finding::problem("server", error.to_string(), "look at its output; restart it: nothing that runs is lost")
        }
    }
}

fn text(screen: &Screen, findings: &[Finding]) -> String {
    let width = findings.iter().map(|f| f.check.len()).max().unwrap_or(0);
    let mut text = String::new();
    for finding in findings {
        let (tone, word) = match finding.verdict {
            Verdict::Ok => (Tone::Good, "ok     "),
            Verdict::Warn => (Tone::Notice, "warn   "),
            Verdict::Problem => (Tone::Bad, "problem"),
        };
        text += &format!("{}  {:width$}  {}\n", screen.tone(tone, word), finding.check, finding.found);
        if let Some(mend) = &finding.mend {
            text += &format!("{:9}{:width$}  → {mend}\n", "", "");
        }
    }
    let count = |verdict| findings.iter().filter(|f| f.verdict == verdict).count();
    let (problems, warnings) = (count(Verdict::Problem), count(Verdict::Warn));
    text + &format!("\n{} looked at: {problems} problems, {warnings} warnings.\n", findings.len())
}
