//! `towpath plan` and `towpath apply`.

use super::args::{ApplyArgs, Common, PlanArgs};
use super::client::{CallError, Client};
use super::failure::Failure;
use super::offline;
use super::screen::Screen;
use super::validate::MANIFEST;
use super::wait::{describe, follow, print_begun};
use crate::api::views::PlanView;
use crate::desired::ManifestFiles;
use crate::model::{Catalogue, Severity};
use crate::plan::{Note, NoteKind, Plan, exit_code};
use serde::Deserialize;
use serde_json::json;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The largest plan file; a request cannot be larger either.
const PLAN_BYTES: u64 = 4 << 20;

/// Files of the store: their presence says that services exist which only a server can look at.
const STORES: [&str; 2] = ["towpath.db", "store/towpath.db"];

/// Shows what would change.
pub async fn plan(
    screen: &Screen,
    client: &Client,
    (common, data_dir): (&Common, &Path),
    args: &PlanArgs,
) -> Result<ExitCode, Failure> {
    let manifest = manifest(args.file.as_deref())?;
    let mut input = json!({ "Manifest": manifest, "WithObserved": true });
    if client.is_remote() {
        // What is beside the manifest here is beside the manifest there.
        input["Directory"] = json!(manifest.as_ref().and_then(directory));
    }
    let view: PlanView = match client.call("Towpath.Plan", &input).await {
        Ok(view) => view,
        Err(CallError::NoServer(directory)) => {
            without_server(&directory, data_dir, manifest, &offline::catalogue(screen, common)?)?
        }
        Err(error) => return Err(error.into()),
    };
    show(screen, &view)?;
    if view.problems.iter().any(|p| p.severity == Severity::Error) {
        return Err(Failure::Silent);
    }
    if let Some(out) = &args.out {
        write(out, &view.plan)?;
    }
    Ok(if args.detailed_exitcode { ExitCode::from(exit_code(&view.plan)) } else { ExitCode::SUCCESS })
}

/// The named manifest; else the one here; else none, which is the server's own.
fn manifest(file: Option<&Path>) -> Result<Option<ManifestFiles>, Failure> {
    let file = match file {
        Some(file) => file.to_owned(),
        None if Path::new(MANIFEST).exists() => PathBuf::from(MANIFEST),
        None => return Ok(None),
    };
    let absolute = std::path::absolute(&file)
        .map_err(|e| Failure::caused(format!("failed to find manifest `{}`", file.display()), &e))?;
    let read = ManifestFiles::read(&absolute, &file.display().to_string());
    match &read.problems[..] {
        // A path that was mistyped is not a manifest with a problem.
        [only] if read.files.is_empty() && only.class == "unreadable" => Err(Failure::new(only.message.clone())),
        _ => Ok(Some(read)),
    }
}

/// The absolute directory that a manifest was read in.
fn directory(manifest: &ManifestFiles) -> Option<PathBuf> {
    let path = std::path::absolute(&manifest.name).ok()?;
    if path.is_dir() { Some(path) } else { Some(path.parent()?.to_owned()) }
}

fn without_server(
    shown: &str,
    data_dir: &Path,
    manifest: Option<ManifestFiles>,
    catalogue: &Catalogue,
) -> Result<PlanView, Failure> {
    if STORES.iter().any(|store| data_dir.join(store).exists()) {
        return Err(Failure::new(format!("no towpath runs on data directory `{shown}`, but it has a store"))
            .hint("start it with `towpath up`: only then is it known what runs"));
    }
    match manifest {
        Some(manifest) => Ok(offline::plan_against_nothing(&manifest, catalogue)?),
        None => {
            Err(Failure::new(format!("there is no `{MANIFEST}` here, and no towpath runs on data directory `{shown}`"))
                .hint("name a manifest with `-f PATH`"))
        }
    }
}

/// With an error in the manifest there is no plan; as JSON the errors are in it.
fn show(screen: &Screen, view: &PlanView) -> Result<(), Failure> {
    if screen.is_json() {
        return offline::print_plan(view, screen);
    }
    if view.problems.iter().any(|p| p.severity == Severity::Error) {
        return offline::print_problems(&view.problems, screen);
    }
    view.problems.iter().for_each(|problem| screen.note(&offline::problem_text(problem, screen.error_color)));
    offline::print_plan(view, screen)
}

fn write(out: &Path, plan: &Plan) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(plan).map_err(|e| Failure::caused("failed to write JSON", &e))?;
    std::fs::write(out, text + "\n")
        .map_err(|e| Failure::caused(format!("failed to write plan `{}`", out.display()), &e))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Begun {
    operation_ids: Vec<String>,
}

/// Nothing was begun because a person has to allow it: that is not what "nothing to do" says.
async fn refuse_what_needs_a_person(client: &Client) -> Result<(), Failure> {
    let view: PlanView = client.call("Towpath.Plan", &json!({ "Manifest": null })).await?;
    // What is about one service waits for what this command does, or says itself what it needs.
    let of_all = |note: &Note| note.kind == NoteKind::NeedsPerson && note.service.is_none();
    match view.report.notes.into_iter().find(of_all) {
        Some(note) => Err(Failure::new(note.message)),
        None => Ok(()),
    }
}

/// Does what is declared now, or what a plan says.
pub async fn apply(screen: &Screen, client: &Client, args: &ApplyArgs) -> Result<(), Failure> {
    let plan = args.plan.as_deref().map(read_plan).transpose()?;
    let mut input = json!({ "AllowMassDelete": args.allow_mass_delete });
    if let Some(plan) = plan {
        input["Plan"] = serde_json::to_value(plan).map_err(|e| Failure::caused("failed to write JSON", &e))?;
    }
    if let Some(reason) = &args.reason {
        input["Reason"] = reason.as_str().into();
    }
    let Begun { operation_ids } = client.call("Towpath.Apply", &input).await?;
    if operation_ids.is_empty() && !screen.is_json() {
        refuse_what_needs_a_person(client).await?;
        return screen.print("Nothing to do.\n");
    }
    if args.wait && !operation_ids.is_empty() {
        return follow(screen, client, &operation_ids).await;
    }
    let mut begun = Vec::new();
    for id in &operation_ids {
        begun.push(describe(client, id).await?);
    }
    if screen.is_json() {
        return screen.print_json(&begun);
    }
    begun.iter().try_for_each(|operation| print_begun(screen, operation))
}

fn read_plan(file: &Path) -> Result<Plan, Failure> {
    let name = file.display();
    let failed = |e: std::io::Error| Failure::caused(format!("failed to read plan `{name}`"), &e);
    let mut bytes = Vec::new();
    std::fs::File::open(file).and_then(|f| f.take(PLAN_BYTES + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() as u64 > PLAN_BYTES {
        return Err(Failure::new(format!("plan `{name}` is larger than {PLAN_BYTES} bytes")));
    }
    serde_json::from_slice(&bytes).map_err(|e| {
        Failure::caused(format!("`{name}` is not a plan"), &e).hint("make one with `towpath plan --out FILE`")
    })
}
