//! The two kinds of files that people write, told apart by name, and the check of one of them.

use super::apprunner::{self, parse_apprunner};
use super::manifest::parse_manifest;
use crate::model::{Catalogue, Place, Problem, Severity};
use std::path::Path;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// What should run: `towpath.yaml`, or any other name.
    Manifest,
    /// How one application is built and started: `apprunner.yaml`.
    AppRunner,
}

impl FileKind {
    /// The kind that a path's file name says.
    pub fn of(path: &Path) -> Self {
        match file_name(path).as_deref() {
            Some("apprunner.yaml" | "apprunner.yml") => Self::AppRunner,
            _ => Self::Manifest,
        }
    }
}

/// Every problem of a file: what `towpath validate` prints. Reads nothing but the text.
pub fn check_file(path: &Path, text: &str, kind: FileKind, catalogue: &Catalogue) -> Vec<Problem> {
    let file = path.display().to_string();
    match kind {
        FileKind::AppRunner => {
            let problems = parse_apprunner(&file, text, catalogue).problems;
            wrong_name(path, &file).into_iter().chain(problems).collect()
        }
        // The values are dropped: which directory relative paths are relative to makes no difference to the problems.
        FileKind::Manifest => parse_manifest(&file, Path::new("/"), text, catalogue).problems,
    }
}

fn file_name(path: &Path) -> Option<String> {
    path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase())
}

/// `apprunner.yml` is not read by App Runner, nor by us.
fn wrong_name(path: &Path, file: &str) -> Option<Problem> {
    (file_name(path).as_deref() == Some("apprunner.yml")).then(|| Problem {
        class: "file-name".into(),
        severity: Severity::Error,
        place: Place { file: file.to_owned(), line: 1, column: 1 },
        length: 1,
        message: format!("{} Only `{}` is read, not `apprunner.yml`", apprunner::NOT_FOUND, apprunner::FILE_NAME),
        hint: Some(format!("rename the file to `{}`", apprunner::FILE_NAME)),
        source_line: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "version: 1.0\nruntime: python3\nbuild:\n  commands:\n    build: [x]\nrun:\n  command: x\n";

    #[test]
    fn files_are_told_apart_by_name() {
        assert_eq!(FileKind::of(Path::new("a/apprunner.yaml")), FileKind::AppRunner);
        assert_eq!(FileKind::of(Path::new("apprunner.yml")), FileKind::AppRunner);
        assert_eq!(FileKind::of(Path::new("towpath.yaml")), FileKind::Manifest);
        assert_eq!(FileKind::of(Path::new("..")), FileKind::Manifest);
    }

    #[test]
    fn a_file_with_the_other_ending_is_told_that_it_is_not_read() {
        let problems = check_file(Path::new("apprunner.yml"), GOOD, FileKind::AppRunner, &Catalogue::builtin());
        assert_eq!(problems.len(), 1);
        assert!(problems[0].message.contains("apprunner.yaml not found"));
        let problems = check_file(Path::new("apprunner.yaml"), GOOD, FileKind::AppRunner, &Catalogue::builtin());
        assert_eq!(problems, []);
    }

    #[test]
    fn a_manifest_with_relative_paths_is_checked_wherever_it_lies() {
        let text = "services: { shop: { source: { repository: ../shop }, build: apprunner.yaml } }";
        for path in ["towpath.yaml", "../x/towpath.yaml", "/srv/towpath.yaml"] {
            assert_eq!(check_file(Path::new(path), text, FileKind::Manifest, &Catalogue::builtin()), []);
        }
    }
}
