//! `towpath validate`: every problem of every file, in one run. Needs no server and runs nothing.

use super::args::{FileKind, ValidateArgs};
use super::failure::Failure;
use super::offline;
use super::screen::{Screen, Tone};
use crate::desired::files::{MAX_FILE_BYTES, read_text};
use crate::model::{Catalogue, Place, Problem, Severity};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Where a manifest is looked for when none is named.
pub const MANIFEST: &str = "towpath.yaml";

/// Checks files; an error in any makes the exit code 1.
pub fn validate(screen: &Screen, args: &ValidateArgs, catalogue: &Catalogue) -> Result<ExitCode, Failure> {
    let files = if args.files.is_empty() { files_here()? } else { args.files.clone() };
    let problems: Vec<Problem> = files.iter().flat_map(|file| check(file, args.kind, catalogue)).collect();
    if screen.is_json() {
        screen.print_json(&problems)?;
    } else {
        print(screen, &files, &problems)?;
    }
    let failed = problems.iter().any(|p| p.severity == Severity::Error);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn files_here() -> Result<Vec<PathBuf>, Failure> {
    let there: Vec<PathBuf> =
        [MANIFEST, "apprunner.yaml", "apprunner.yml"].iter().map(PathBuf::from).filter(|p| p.exists()).collect();
    if there.is_empty() {
        return Err(Failure::new(format!("neither `{MANIFEST}` nor `apprunner.yaml` is here"))
            .hint("name the files to check: `towpath validate FILE…`"));
    }
    Ok(there)
}

fn check(file: &Path, kind: Option<FileKind>, catalogue: &Catalogue) -> Vec<Problem> {
    if file.is_dir() {
        return offline::check_directory(file, catalogue);
    }
    match read_text(file, MAX_FILE_BYTES) {
        Ok(text) => offline::check(file, &text, kind, catalogue),
        Err(message) => vec![Problem {
            class: "unreadable".into(),
            severity: Severity::Error,
            place: Place { file: file.display().to_string(), line: 0, column: 0 },
            length: 1,
            message,
            hint: None,
            source_line: None,
        }],
    }
}

fn print(screen: &Screen, files: &[PathBuf], problems: &[Problem]) -> Result<(), Failure> {
    let mut text: String = problems.iter().map(|p| format!("{}\n", offline::problem_text(p, screen.color))).collect();
    for file in files {
        let name = file.display().to_string();
        if !problems.iter().any(|p| Path::new(&p.place.file).starts_with(file)) {
            text.push_str(&format!("{name}: {}\n", screen.tone(Tone::Good, "no problems")));
        }
    }
    if !problems.is_empty() {
        text.push_str(&format!("{}\n", offline::summary(problems)));
    }
    screen.print(&text)
}
