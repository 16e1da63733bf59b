//! `towpath plan --against REV`: two states of a manifest, without a server and whatever runs. For reviews: what a branch
//! would change before it is merged.

use super::failure::Failure;
use super::screen::Screen;
use super::validate::MANIFEST;
use super::{Hooks, offline};
use crate::desired::files::{MAX_FILE_BYTES, read_text};
use crate::desired::{DeclaredSecret, Desired, ManifestFiles, Parsed, Sealed, parse_manifest_files};
use crate::model::{Catalogue, Problem, Severity};
use crate::plan::{Comparison, State, compare};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Reads the text of a file of the state that it belongs to, by its absolute path.
pub type ReadFile = Box<dyn Fn(&Path) -> Option<String>>;

/// A manifest at a git revision.
pub struct PastManifest {
    /// The revision in words: `main (3f2a91c)`.
    pub name: String,
    /// The manifest; `None` where it was not there.
    pub files: Option<ManifestFiles>,
    /// Files that stood beside it.
    pub text: ReadFile,
}

/// What is compared.
pub struct Against {
    /// The manifest.
    pub file: Option<PathBuf>,
    /// The revision before.
    pub revision: String,
    /// The revision after; the working tree if none.
    pub rev: Option<String>,
    /// Whether the exit code says if something differs.
    pub detailed_exitcode: bool,
}

/// Compares the manifest at a revision with the one in the working tree, or at another.
pub fn against(screen: &Screen, args: &Against, hooks: Hooks, catalogue: &Catalogue) -> Result<ExitCode, Failure> {
    let file = args.file.clone().unwrap_or_else(|| PathBuf::from(MANIFEST));
    let shown = file.display().to_string();
    let path = std::path::absolute(&file).map_err(|e| Failure::caused(format!("failed to find `{shown}`"), &e))?;
    let before = (hooks.manifest_at)(&path, &shown, &args.revision)?;
    let after = match &args.rev {
        Some(revision) => (hooks.manifest_at)(&path, &shown, revision)?,
        None => in_working_tree(&path, &shown)?,
    };
    if before.files.is_none() && after.files.is_none() {
        let message = format!("there is no `{shown}`, neither at {} nor at {}", before.name, after.name);
        return Err(Failure::new(message).hint("name the manifest with `-f PATH`"));
    }
    let (old, new) = (Declared::read(&before, catalogue), Declared::read(&after, catalogue));
    let problems: Vec<Problem> = old.errors().chain(new.problems.iter()).cloned().collect();
    if problems.iter().any(|p| p.severity == Severity::Error) {
        return invalid(screen, &shown, [&before, &after], &problems);
    }
    let comparison = compare(&shown, &old.state(&before.name), &new.state(&after.name));
    if !screen.is_json() {
        problems.iter().for_each(|problem| screen.note(&offline::problem_text(problem, screen.error_color)));
    }
    offline::print_comparison(&comparison, &problems, screen)?;
    Ok(if args.detailed_exitcode { ExitCode::from(comparison.exit_code()) } else { ExitCode::SUCCESS })
}

fn in_working_tree(path: &Path, shown: &str) -> Result<PastManifest, Failure> {
    let name = "the working tree".to_owned();
    let text: ReadFile = Box::new(|path| read_text(path, MAX_FILE_BYTES).ok());
    // What cannot be looked at is no manifest that was taken away.
    let there = std::fs::symlink_metadata(path);
    let files = match there {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(Failure::caused(format!("failed to look at `{shown}`"), &error)),
        Ok(_) => Some(ManifestFiles::read(path, shown)),
    };
    Ok(PastManifest { name, files, text })
}

/// What one state declares.
struct Declared {
    desired: Option<Desired>,
    problems: Vec<Problem>,
    /// The encrypted texts of its secrets.
    sealed: BTreeMap<String, String>,
}

impl Declared {
    fn read(manifest: &PastManifest, catalogue: &Catalogue) -> Self {
        let Some(files) = &manifest.files else {
            return Self { desired: None, problems: Vec::new(), sealed: BTreeMap::new() };
        };
        let Parsed { value, problems } = parse_manifest_files(files, catalogue);
        let secrets = value.as_ref().map_or(&[][..], |desired| &desired.secrets);
        let sealed = secrets.iter().filter_map(|s| Some((s.name.clone(), sealed_text(s, &manifest.text)?))).collect();
        Self { desired: value, problems, sealed }
    }

    /// Warnings of the state before are of no use any more.
    fn errors(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter().filter(|p| p.severity == Severity::Error)
    }

    fn state<'a>(&'a self, name: &'a str) -> State<'a> {
        State { name, desired: self.desired.as_ref(), sealed: &self.sealed }
    }
}

fn sealed_text(secret: &DeclaredSecret, read: &ReadFile) -> Option<String> {
    match &secret.sealed {
        Sealed::Text(text) => Some(text.clone()),
        Sealed::File(path) => read(path),
    }
}

fn invalid(
    screen: &Screen,
    shown: &str,
    states: [&PastManifest; 2],
    problems: &[Problem],
) -> Result<ExitCode, Failure> {
    if !screen.is_json() {
        offline::print_problems(problems, screen)?;
        return Err(Failure::Silent);
    }
    let [from, to] = states.map(|state| state.name.clone());
    let nothing = Comparison { file: shown.to_owned(), from, to, changes: Vec::new(), notes: Vec::new() };
    offline::print_comparison(&nothing, problems, screen)?;
    Err(Failure::Silent)
}
