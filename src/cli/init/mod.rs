//! `towpath init`: finds out what one stands in, and writes a manifest that works. Asks nothing, runs nothing.
//!
//! Reading is bounded and follows no links; what was read is judged by [`detect`], which is pure. What is written has been
//! read by the manifest's own reader first.

mod detect;
mod files;
mod node;
mod python;
pub(super) mod repository;
mod write;

use super::args::InitArgs;
use super::failure::Failure;
use super::offline;
use super::screen::{Screen, Tone, cell, table};
use super::validate::MANIFEST;
use crate::model::{Catalogue, Severity, Timestamp};
use files::Files;
use repository::Repository;
use serde::Serialize;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

/// What `init` found and did, for machines.
#[derive(Debug, Serialize)]
struct Report<'a> {
    manifest: &'a str,
    service: &'a str,
    repository: &'a Repository,
    found: &'a [detect::Found],
    missing: &'a [String],
    notes: &'a [String],
    text: &'a str,
}

/// Writes `towpath.yaml` for the repository that one stands in.
pub fn init(screen: &Screen, args: &InitArgs, catalogue: &Catalogue) -> Result<ExitCode, Failure> {
    let here = std::env::current_dir().map_err(|e| Failure::caused("failed to find the current directory", &e))?;
    let here = here.canonicalize().map_err(|e| Failure::caused("failed to find the current directory", &e))?;
    let repository = repository::find(&here)?;
    let files = Files::read(&here).map_err(|e| Failure::caused(format!("failed to read {}", here.display()), &e))?;
    let detection = detect::detect(&files, catalogue);
    let service = args.name.clone().unwrap_or_else(|| write::service_name(&here, &repository));
    let text = write::manifest(&service, &repository, &detection);
    check(&here, &text, catalogue)?;
    put(Path::new(MANIFEST), &text, args.force)?;
    let report = Report {
        manifest: MANIFEST,
        service: &service,
        repository: &repository,
        found: &detection.found,
        missing: &detection.missing,
        notes: &detection.notes,
        text: &text,
    };
    if screen.is_json() {
        screen.print_json(&report)?;
    } else {
        screen.print(&told(screen, &report))?;
    }
    Ok(if detection.missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A manifest of ours that our own reader refuses is a fault of ours, said before anything is written.
fn check(here: &Path, text: &str, catalogue: &Catalogue) -> Result<(), Failure> {
    let problems = offline::check(&here.join(MANIFEST), text, None, catalogue);
    match problems.iter().find(|p| p.severity == Severity::Error) {
        None => Ok(()),
        Some(problem) => {
            Err(Failure::new(format!("the manifest that would be written is not valid: {}", problem.message))
                .hint("write `towpath.yaml` by hand, as docs/getting-started.md shows, and report this"))
        }
    }
}

/// Writes the file whole or not at all.
fn put(path: &Path, text: &str, force: bool) -> Result<(), Failure> {
    let failed = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::AlreadyExists => Failure::new(format!("`{}` is here already", path.display()))
            .hint("look at what it declares with `towpath plan`, or replace it: `towpath init --force`"),
        _ => Failure::caused(format!("failed to write `{}`", path.display()), &e),
    };
    if !force {
        // Claimed first: nothing of a person is ever replaced, whatever happens in between.
        std::fs::OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
    }
    let fresh = path.with_extension(format!("yaml.{}", Timestamp::now().0));
    let written = std::fs::File::create_new(&fresh).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&fresh, path)
    });
    written.map_err(|e| {
        // Half a file helps nobody; that it cannot be removed either says nothing new.
        let _ = std::fs::remove_file(&fresh);
        failed(e)
    })
}

fn told(screen: &Screen, report: &Report) -> String {
    let mut text = String::new();
    if report.found.is_empty() {
        text.push_str("Nothing here says what the application is.\n");
    } else {
        let rows: Vec<_> = report
            .found
            .iter()
            .map(|f| {
                vec![
                    cell(f.what),
                    cell(super::screen::harmless(&f.value)),
                    (Tone::Quiet, super::screen::harmless(&f.place)),
                ]
            })
            .collect();
        text.push_str(&table(screen, &["FOUND", "VALUE", "IN"], &rows));
    }
    for note in report.notes.iter().chain(&report.repository.notes) {
        text.push_str(&format!("{} {}\n", screen.tone(Tone::Notice, "note:"), super::screen::harmless(note)));
    }
    text.push_str(&format!("\nWrote `{}` with service `{}`.", report.manifest, report.service));
    if report.missing.is_empty() {
        let host = report.service.to_ascii_lowercase().replace('_', "-");
        text.push_str(" Next:\n\n");
        text.push_str("  towpath plan   what would be done\n");
        text.push_str(&format!("  towpath up     do it, and serve http://{host}.localhost:8080/\n"));
    } else {
        text.push_str(" It lacks what could not be found:\n\n");
        for missing in report.missing {
            text.push_str(&format!("  {} {missing}\n", screen.tone(Tone::Bad, "missing:")));
        }
    }
    text
}
