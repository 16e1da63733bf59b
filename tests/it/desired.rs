//! Files that people write: golden problems of our fixtures, and the verdicts on real files.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use towpath::cli::problems::{render, summary};
use towpath::desired::findings::Findings;
use towpath::desired::{
    FileKind, ManifestFiles, check_file, parse_apprunner, parse_manifest, parse_manifest_files, yaml,
};
use towpath::model::{Catalogue, Problem, Severity};

/// The project, as cargo names it when it runs tests; where this was compiled when it is run by itself.
fn root() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
}

/// The fixtures of a folder, by name.
fn fixtures(folder: &str) -> Vec<PathBuf> {
    let folder = root().join("fixtures").join(folder);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<PathBuf> =
        entries.map(|e| e.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "yaml")).collect();
    files.sort();
    files
}

/// Everything that `validate` would print of a file.
fn report(file: &Path, kind: FileKind) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    let name = Path::new(file.file_name().unwrap());
    let problems = check_file(name, &text, kind, &Catalogue::builtin());
    let mut report = String::new();
    for problem in &problems {
        writeln!(report, "[{}]\n{}", problem.class, render(problem, false)).unwrap();
    }
    report + &summary(&problems) + "\n"
}

/// Compares each fixture's problems with the file beside it; `TOWPATH_BLESS=1` writes them anew.
fn compare_with_golden_files(folder: &str, kind: FileKind) {
    let files = fixtures(folder);
    assert!(files.len() >= 12, "only {} fixtures in {folder}", files.len());
    let mut wrong = Vec::new();
    for file in files {
        let golden = file.with_extension("problems");
        let found = report(&file, kind);
        if std::env::var_os("TOWPATH_BLESS").is_some() {
            std::fs::write(&golden, &found).unwrap();
        } else if std::fs::read_to_string(&golden).ok().as_deref() != Some(found.as_str()) {
            wrong.push(format!("{}\n{found}", golden.display()));
        }
    }
    assert!(wrong.is_empty(), "differs (TOWPATH_BLESS=1 writes them anew):\n{}", wrong.join("\n"));
}

#[test]
fn apprunner_fixtures_have_the_problems_beside_them() {
    compare_with_golden_files("apprunner", FileKind::AppRunner);
}

#[test]
fn manifest_fixtures_have_the_problems_beside_them() {
    compare_with_golden_files("manifest", FileKind::Manifest);
}

/// Everything that `validate` would print of a directory.
fn directory_report(directory: &Path) -> String {
    let files = ManifestFiles::read(directory, "deploy");
    let problems = parse_manifest_files(&files, &Catalogue::builtin()).problems;
    let shown = problems.iter().map(|p| format!("[{}]\n{}\n", p.class, render(p, false)));
    shown.collect::<String>() + &summary(&problems) + "\n"
}

#[test]
fn manifest_directories_have_the_problems_beside_them() {
    let folder = root().join("fixtures/directories");
    let mut seen = 0;
    for entry in std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()) {
        seen += 1;
        let (golden, found) = (entry.with_extension("problems"), directory_report(&entry));
        if std::env::var_os("TOWPATH_BLESS").is_some() {
            std::fs::write(&golden, &found).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&golden).unwrap(), found, "{}", golden.display());
        let name = entry.file_name().unwrap().to_string_lossy().into_owned();
        let parsed = parse_manifest_files(&ManifestFiles::read(&entry, "deploy"), &Catalogue::builtin());
        assert_eq!(parsed.value.is_some(), name.starts_with("good-"), "{name}");
    }
    assert!(seen >= 4, "only {seen} directories");
}

#[test]
fn fixtures_come_out_as_their_names_say() {
    let catalogue = Catalogue::builtin();
    for file in fixtures("apprunner").into_iter().chain(fixtures("manifest")) {
        let text = std::fs::read_to_string(&file).unwrap();
        let manifest = file.parent().unwrap().ends_with("manifest");
        let (valid, problems) = if manifest {
            let parsed = parse_manifest("x", Path::new("/srv"), &text, &catalogue);
            (parsed.value.is_some(), parsed.problems)
        } else {
            let parsed = parse_apprunner("x", &text, &catalogue);
            (parsed.value.is_some(), parsed.problems)
        };
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        assert_eq!(valid, name.starts_with("good-"), "{name}: {problems:#?}");
    }
}

/// One row of the corpus' index.
struct Row {
    file: String,
    valid: bool,
    /// `class line:column`, errors and warnings apart.
    errors: BTreeSet<String>,
    warnings: BTreeSet<String>,
    /// Runtime, version, port, start command.
    values: [String; 4],
}

fn rows(index: &str) -> Vec<Row> {
    let lines = index.lines().skip(1).filter(|l| !l.trim().is_empty());
    lines.map(row).collect()
}

fn row(line: &str) -> Row {
    let columns: Vec<&str> = line.split('\t').collect();
    Row {
        file: columns[2].to_owned(),
        valid: columns[3] == "valid",
        errors: listed(columns[4]),
        warnings: listed(columns[9]),
        values: [5, 6, 7, 8].map(|n| columns[n].to_owned()),
    }
}

/// `class: message @line:column; …` as a set of `class line:column`. A `;` stands in messages too.
fn listed(column: &str) -> BTreeSet<String> {
    let mut parts = column.split('@').peekable();
    let mut class = parts.next().unwrap_or_default().split(':').next().unwrap_or_default().trim().to_owned();
    let mut found = BTreeSet::new();
    for part in parts {
        let (place, rest) = part.split_once(';').unwrap_or((part, ""));
        let place = if place.trim().is_empty() { "1:1" } else { place.trim() };
        found.insert(format!("{class} {place}"));
        rest.split(':').next().unwrap_or_default().trim().clone_into(&mut class);
    }
    found
}

fn told(problems: &[Problem], severity: Severity) -> BTreeSet<String> {
    let of_it = problems.iter().filter(|p| p.severity == severity);
    of_it.map(|p| format!("{} {}:{}", p.class, p.place.line, p.place.column)).collect()
}

/// The values of a file as they stand in it, whether it is valid or not.
fn written(text: &str) -> [String; 4] {
    let tree = yaml::read(text, &mut Findings::new("x", text));
    let paths: [&[&str]; 4] =
        [&["runtime"], &["run", "runtime-version"], &["run", "network", "port"], &["run", "command"]];
    paths.map(|path| {
        let node = path.iter().fold(tree.as_ref(), |node, key| node.and_then(|n| n.get(key)));
        node.and_then(|n| n.text()).unwrap_or_default().to_owned()
    })
}

/// Names of ours that App Runner does not have make a file valid here that is not there.
fn is_ours(row: &Row) -> bool {
    let name = row.values[0].parse().ok();
    name.and_then(|name| Catalogue::builtin().find(&name).cloned()).is_some_and(|runtime| runtime.wire.is_none())
}

fn check_row(row: &Row, text: &str) -> Result<(), String> {
    let parsed = parse_apprunner("apprunner.yaml", text, &Catalogue::builtin());
    let ours = is_ours(row);
    let errors = if ours { BTreeSet::new() } else { row.errors.clone() };
    let found = (told(&parsed.problems, Severity::Error), told(&parsed.problems, Severity::Warning));
    if found != (errors.clone(), row.warnings.clone()) {
        return Err(format!("{}: expected {errors:?} and {:?}, found {found:?}", row.file, row.warnings));
    }
    if parsed.value.is_some() != (row.valid || ours) {
        return Err(format!("{}: the verdict differs", row.file));
    }
    let values = match parsed.value {
        Some(s) => {
            let lock = s.runtime_version.map(|v| v.to_string()).unwrap_or_default();
            [s.runtime.to_string(), lock, s.port.to_string(), s.start]
        }
        None => written(text),
    };
    if values == row.values {
        Ok(())
    } else {
        Err(format!("{}: expected {:?}, found {values:?}", row.file, row.values))
    }
}

#[test]
fn real_files_come_out_as_the_index_lists_them() {
    let corpus = root().join("../shared/corpus/apprunner-yaml");
    let index = match std::fs::read_to_string(corpus.join("index.tsv")) {
        Ok(index) => index,
        Err(error) => {
            let in_ci = std::env::var_os("CI").is_some_and(|v| v == "true");
            assert!(!(in_ci && root().join("../shared").exists()), "the corpus is not readable: {error}");
            eprintln!("SKIPPED: no corpus of real apprunner.yaml files at {}", corpus.display());
            return;
        }
    };
    let rows = rows(&index);
    assert!(rows.len() >= 24, "only {} rows", rows.len());
    let wrong: Vec<String> = rows
        .iter()
        .filter_map(|row| check_row(row, &std::fs::read_to_string(corpus.join(&row.file)).unwrap()).err())
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
