//! What the CLI does without a server, by the pure parts of other rooms: checking files, planning against nothing,
//! rendering plans and problems. The one place that calls them.

use super::args;
use super::failure::Failure;
use super::problems;
use super::screen::Screen;
use crate::api::views::PlanView;
use crate::desired::files::{MAX_FILE_BYTES, read_text};
use crate::desired::import::{Choices, Imported, Input};
use crate::desired::schema::{apprunner_schema, manifest_schema};
use crate::desired::{Desired, FileKind, ManifestFiles, check_file, parse_manifest_files, parse_runtimes};
use crate::model::{Catalogue, Problem, Timestamp};
use crate::observed::{EngineView, Observed};
use crate::plan::checker;
use crate::plan::{
    self, Comparison, Plan, Policy, Report, comparison_document, plan_document, render_comparison,
    render_comparison_markdown, render_markdown, render_text,
};
use crate::settings::Output;
use std::path::Path;
use std::process::ExitCode;

/// The runtimes: those that are built in, with what `--runtimes` adds and changes.
///
/// # Errors
/// When that file cannot be read or has errors; its problems are on standard error then.
pub fn catalogue(screen: &Screen, common: &args::Common) -> Result<Catalogue, Failure> {
    let builtin = Catalogue::builtin();
    let Some(path) = &common.runtimes else { return Ok(builtin) };
    let name = path.display().to_string();
    let unusable = || Failure::new(format!("the file of runtimes `{name}` (`--runtimes`) cannot be used"));
    let text = read_text(path, MAX_FILE_BYTES).map_err(|why| unusable().hint(why))?;
    let read = parse_runtimes(&name, &text, &builtin);
    read.problems.iter().for_each(|problem| screen.note(&problem_text(problem, screen.error_color)));
    read.value.ok_or_else(|| unusable().hint("correct it as shown above"))
}

/// Every problem of a file. What it is says its name, unless the caller does.
pub fn check(file: &Path, text: &str, kind: Option<args::FileKind>, catalogue: &Catalogue) -> Vec<Problem> {
    let kind = match kind {
        None => FileKind::of(file),
        Some(args::FileKind::Manifest) => FileKind::Manifest,
        Some(args::FileKind::Apprunner) => FileKind::AppRunner,
    };
    check_file(file, text, kind, catalogue)
}

/// Every problem of a manifest directory.
pub fn check_directory(path: &Path, catalogue: &Catalogue) -> Vec<Problem> {
    parse_manifest_files(&ManifestFiles::read(path, &path.display().to_string()), catalogue).problems
}

/// Services in the words of others, as a manifest.
pub fn import(inputs: &[Input], choices: &Choices, catalogue: &Catalogue) -> Imported {
    crate::desired::import::import(inputs, choices, catalogue)
}

/// Prints a JSON schema: as text and as JSON the same.
pub fn print_schema(screen: &Screen, kind: args::SchemaKind, catalogue: &Catalogue) -> Result<ExitCode, Failure> {
    match kind {
        args::SchemaKind::Manifest => screen.print_json(&manifest_schema(catalogue))?,
        args::SchemaKind::Apprunner => screen.print_json(&apprunner_schema(catalogue))?,
        args::SchemaKind::Plan => screen.print(plan::SCHEMA)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The plan of a manifest where nothing runs yet.
///
/// # Errors
/// When the machine gives no random bytes for the ids in it.
pub fn plan_against_nothing(manifest: &ManifestFiles, catalogue: &Catalogue) -> Result<PlanView, Failure> {
    let read = parse_manifest_files(manifest, catalogue);
    let observed = nothing();
    let now = Timestamp::now();
    let (plan, report) = match &read.value {
        Some(desired) => plan::plan(Some(desired), &observed, &policy(desired)?, now),
        None => (Plan { manifest: None, at: now, changes: Vec::new() }, Report::default()),
    };
    Ok(PlanView { plan, report, problems: read.problems, access: Vec::new(), observed: Some(observed) })
}

/// The invariants that the state of a running server breaks, by the checker that shares nothing with the planner.
pub fn broken_invariants(view: &PlanView) -> Vec<String> {
    view.observed.iter().flat_map(checker::check).map(|violation| violation.to_string()).collect()
}

/// No services, no instances. Whatever would be created is declared: nothing can be deleted, nor exceed a memory that
/// is not known.
fn nothing() -> Observed {
    let engine = EngineView::Answered { name: "a new installation".into() };
    Observed { services: Vec::new(), heads: Vec::new(), engine, strays: Vec::new(), host_memory: None, vetted: vec![] }
}

fn policy(desired: &Desired) -> Result<Policy, Failure> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|e| Failure::caused("failed to get random bytes", &e))?;
    let mass_delete_allowed = Some(desired.manifest.digest.clone());
    Ok(Policy { seed, mass_delete_allowed, overcommit_percent: 100, apply_automatically: true, windows: vec![] })
}

/// A plan as it is asked for. The server sends what it observed when it is asked for a plan; without it nothing is taken to
/// run.
///
/// # Errors
/// When nobody reads it any more.
pub fn print_plan(view: &PlanView, screen: &Screen) -> Result<(), Failure> {
    let PlanView { plan, report, problems, observed, access } = view;
    let empty = nothing();
    let observed = observed.as_ref().unwrap_or(&empty);
    match screen.output {
        Output::Json => screen.print_json(&plan_document(plan, report, observed, problems).map_err(|e| no_json(&e))?),
        Output::Markdown => screen.print(&render_markdown(plan, report, observed)),
        Output::Text => {
            screen.print(&render_text(plan, report, observed, screen.color, screen.width))?;
            screen.print(&access.iter().map(|line| format!("{line}\n")).collect::<String>())
        }
    }
}

/// A comparison as it is asked for.
///
/// # Errors
/// As [`print_plan`].
pub fn print_comparison(comparison: &Comparison, problems: &[Problem], screen: &Screen) -> Result<(), Failure> {
    match screen.output {
        Output::Json => screen.print_json(&comparison_document(comparison, problems).map_err(|e| no_json(&e))?),
        Output::Markdown => screen.print(&render_comparison_markdown(comparison)),
        Output::Text => screen.print(&render_comparison(comparison, screen.color, screen.width)),
    }
}

/// The problems of a manifest that cannot be planned, beside the answer; as markdown they are the answer.
///
/// # Errors
/// As [`print_plan`].
pub fn print_problems(problems: &[Problem], screen: &Screen) -> Result<(), Failure> {
    if screen.output == Output::Markdown {
        screen.print(&plan::render_problems_markdown(problems))?;
    }
    problems.iter().for_each(|problem| screen.note(&problem_text(problem, screen.error_color)));
    screen.note(&summary(problems));
    Ok(())
}

fn no_json(error: &serde_json::Error) -> Failure {
    Failure::caused("failed to write JSON", error)
}

/// One problem of a file, for people.
pub fn problem_text(problem: &Problem, color: bool) -> String {
    problems::render(problem, color)
}

/// How many problems there are.
pub fn summary(found: &[Problem]) -> String {
    problems::summary(found)
}
