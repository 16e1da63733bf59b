//! `towpath validate`: every problem of every file, in one run. Needs no server and runs nothing.

use super::args::{FileKind, ValidateArgs};
use super::failure::Failure;
use super::offline;
use super::screen::{Screen, Tone};
use crate::model::{Place, Problem, Severity};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Where a manifest is looked for when none is named.
pub const MANIFEST: &str = "towpath.yaml";
/// The largest file that people write.
pub const FILE_BYTES: u64 = 1 << 20;

/// Checks files; an error in any makes the exit code 1.
pub fn validate(screen: &Screen, args: &ValidateArgs) -> Result<ExitCode, Failure> {
    let files = if args.files.is_empty() { files_here()? } else { args.files.clone() };
    let problems: Vec<Problem> = files.iter().flat_map(|file| check(file, args.kind)).collect();
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

fn check(file: &Path, kind: Option<FileKind>) -> Vec<Problem> {
    match read(file) {
        Ok(text) => offline::check(file, &text, kind),
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

/// A file that people wrote, bounded.
///
/// # Errors
/// In words: it cannot be read, is too large, or is not text.
pub fn read(file: &Path) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("the file cannot be read: {error}");
    let mut bytes = Vec::new();
    std::fs::File::open(file).and_then(|opened| opened.take(FILE_BYTES + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES {
        return Err(format!("the file is larger than {FILE_BYTES} bytes"));
    }
    String::from_utf8(bytes).map_err(|e| {
        let line = e.as_bytes()[..e.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
        format!("the file is not UTF-8 text (line {line})")
    })
}

fn print(screen: &Screen, files: &[PathBuf], problems: &[Problem]) -> Result<(), Failure> {
    let mut text: String = problems.iter().map(|p| format!("{}\n", offline::problem_text(p, screen.color))).collect();
    for file in files {
        let name = file.display().to_string();
        if !problems.iter().any(|p| p.place.file == name) {
            text.push_str(&format!("{name}: {}\n", screen.tone(Tone::Good, "no problems")));
        }
    }
    if !problems.is_empty() {
        text.push_str(&format!("{}\n", offline::summary(problems)));
    }
    screen.print(&text)
}
