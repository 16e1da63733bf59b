//! Plan scripts: `fixtures/plan/*.script` describe desired and observed in a few lines; the plan and the report that
//! come out are compared with the `.golden` beside each, and with the `.md` and `.json` where there are some (make an empty one
//! to have it). `TOWPATH_BLESS=1` writes the golden files anew: read the difference before it is committed. `script.rs` says what a script may contain.

mod keys;
mod script;

use crate::plan_builders::NOON;
use script::World;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use towpath::plan::{
    Action, Change, Plan, Report, check_stale, checker, exit_code, plan, plan_document, render_markdown, render_text,
};

/// Columns of the rendered plans.
const WIDTH: usize = 110;

fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/plan");
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "script"));
    files.sort();
    files
}

#[test]
fn every_plan_script_gives_its_golden_plan() {
    let scripts = scripts();
    assert!(scripts.len() >= 30, "only {} scripts were found", scripts.len());
    let failures: Vec<String> = scripts.iter().filter_map(|file| run(file).err()).collect();
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), scripts.len(), failures.join("\n"));
}

fn run(file: &Path) -> Result<(), String> {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let text = std::fs::read_to_string(file).map_err(|e| format!("{name}: {e}"))?;
    let world = World::read(&text).map_err(|e| format!("{name}: {e}"))?;
    let (plan, report) = plan(world.desired.as_ref(), &world.observed, &world.policy, NOON);
    hold_invariants(&world, &plan, &report).map_err(|e| format!("{name}: {e}"))?;
    hold(&file.with_extension("golden"), shown(&world, &plan, &report))?;
    if file.with_extension("md").exists() {
        hold(&file.with_extension("md"), render_markdown(&plan, &report, &world.observed))?;
    }
    if file.with_extension("json").exists() {
        let document = plan_document(&plan, &report, &world.observed, &[]).map_err(|e| format!("{name}: {e}"))?;
        hold(&file.with_extension("json"), format!("{document:#}\n"))?;
    }
    Ok(())
}

/// Compares with a golden file, or writes it.
pub fn hold(golden: &Path, got: String) -> Result<(), String> {
    let name = golden.display();
    if std::env::var_os("TOWPATH_BLESS").is_some() {
        return std::fs::write(golden, got).map_err(|e| format!("{name}: {e}"));
    }
    let wanted = std::fs::read_to_string(golden).map_err(|e| format!("{name}: {e}"))?;
    if wanted == got { Ok(()) } else { Err(format!("{name}\n--- golden\n{wanted}\n--- got\n{got}")) }
}

/// The plan of every script, with its name: in both forms for other programs.
pub fn every_plan() -> Vec<(String, serde_json::Value, String)> {
    let planned = |file: &PathBuf| {
        let world = World::read(&std::fs::read_to_string(file).unwrap()).unwrap();
        let (plan, report) = plan(world.desired.as_ref(), &world.observed, &world.policy, NOON);
        let document = plan_document(&plan, &report, &world.observed, &[]).unwrap();
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        (name, document, render_markdown(&plan, &report, &world.observed))
    };
    scripts().iter().map(planned).collect()
}

/// What holds of every plan, whatever the script is about.
fn hold_invariants(world: &World, made: &Plan, report: &Report) -> Result<(), String> {
    let violations = checker::check(&world.observed);
    let more = checker::check_plan(made, &world.observed, world.desired.as_ref(), &world.policy);
    if let Some(violation) = violations.iter().chain(&more).next() {
        return Err(format!("the checker found {violation}"));
    }
    let again = plan(world.desired.as_ref(), &world.observed, &world.policy, NOON);
    if (&again.0, &again.1) != (made, report) {
        return Err("planning twice gives two plans".into());
    }
    let json = serde_json::to_string(made).map_err(|e| e.to_string())?;
    let read: Plan = serde_json::from_str(&json).map_err(|e| e.to_string())?;
    if &read != made {
        return Err("a plan changes on its way through JSON".into());
    }
    let colored = render_text(made, report, &world.observed, true, WIDTH);
    if without_color(&colored) != render_text(made, report, &world.observed, false, WIDTH) {
        return Err("colour changes more than colour".into());
    }
    check_stale(made, &again.0, report).map_err(|stale| format!("its own plan is stale: {}", stale[0]))
}

/// Text without its colours; anything else that a terminal would obey stays and is seen.
fn without_color(text: &str) -> String {
    ["0", "2", "31", "32", "33", "35"].iter().fold(text.to_owned(), |t, sgr| t.replace(&format!("\u{1b}[{sgr}m"), ""))
}

fn shown(world: &World, plan: &Plan, report: &Report) -> String {
    let mut text = render_text(plan, report, &world.observed, false, WIDTH);
    text.push_str("\n# what is executed\n");
    for change in &plan.changes {
        let _ = writeln!(text, "{}", action_line(world, change));
    }
    let _ = writeln!(text, "exit code {}", exit_code(plan));
    text
}

fn action_line(world: &World, change: &Change) -> String {
    let service = change.service.as_ref().map_or("-", |s| s.as_str());
    let short = |c: &Option<towpath::model::CommitId>| c.as_ref().map_or("unknown".into(), |c| c.short().to_owned());
    let asked = if change.happens_by_itself(&world.policy) { "" } else { " (waits for apply)" };
    let what = match &change.action {
        Action::Create { commit, .. } => format!("create {service} at {}", short(commit)),
        Action::Deploy { commit, .. } => format!("deploy {service} at {}", commit.short()),
        Action::Update { commit, in_place, .. } => {
            format!("update {service} at {}{}", short(commit), if *in_place { " in place" } else { "" })
        }
        Action::Delete { .. } => format!("delete {service}"),
        Action::Heal { start, stop, .. } => {
            let stops: Vec<String> = stop.iter().map(|i| world.instance_name(i)).collect();
            format!("heal {service}: start {}, stop [{}]", start.len(), stops.join(", "))
        }
        Action::RemoveStrays { instances } => format!("remove {} strays", instances.len()),
    };
    format!("{what}{asked}")
}
