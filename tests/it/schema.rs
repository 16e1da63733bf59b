//! `towpath schema`, held against files by a validator that is not ours: Python's `jsonschema`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a schema cannot say, by fixture: relations between values, and words that only the reader can judge.
const BEYOND_A_SCHEMA: &[(&str, &str)] = &[
    ("manifest/bad-tag.yaml", "a tag of YAML, which another loader refuses itself"),
    ("manifest/bad-circle.yaml", "services that depend on each other"),
    ("manifest/bad-window-names.yaml", "a service that is not declared"),
    ("apprunner/bad-duplicate.yaml", "a key that stands twice: the validator's loader keeps the last"),
    ("apprunner/bad-lock.yaml", "which locks fit depends on the runtime"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A Python that has the validator, GitHub's markdown and an emulator of terminals: made once under `target/`, kept for the next run.
pub fn python() -> PathBuf {
    let venv = root().join("target/schema-venv-2");
    let python = venv.join("bin/python");
    fs::create_dir_all(root().join("target")).unwrap();
    let lock = File::create(root().join("target/schema-venv.lock")).unwrap();
    lock.lock().unwrap();
    if !venv.join("complete").exists() {
        let run = |command: &mut Command| {
            let ran = command.output().unwrap();
            assert!(ran.status.success(), "{command:?}: {}", String::from_utf8_lossy(&ran.stderr));
        };
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv));
        let packages = ["jsonschema>=4.20,<5", "PyYAML>=6,<7", "cmarkgfm>=2024", "pyte>=0.8,<0.9"];
        run(Command::new(&python).args(["-m", "pip", "install", "-q"]).args(packages));
        File::create(venv.join("complete")).unwrap();
    }
    python
}

fn schema(kind: &str) -> Vec<u8> {
    let ran = Command::new(env!("CARGO_BIN_EXE_towpath")).args(["schema", kind]).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    ran.stdout
}

/// The verdict of each file: `ok`, `bad`, `unreadable`, with the whole line.
fn verdicts(kind: &str, files: &[PathBuf]) -> BTreeMap<PathBuf, (String, String)> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("schema.json");
    fs::write(&path, schema(kind)).unwrap();
    let script = root().join("tests/support/schema_check.py");
    let ran = Command::new(python()).arg(script).arg(path).args(files).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let text = String::from_utf8(ran.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), files.len(), "{text}");
    let word = |line: &str| (line.split(' ').next().unwrap().to_owned(), line.to_owned());
    files.iter().zip(lines).map(|(file, line)| (file.clone(), word(line))).collect()
}

fn yaml_files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap().map(|e| e.unwrap().path()) {
        if entry.is_dir() && !entry.ends_with("node_modules") {
            found.extend(yaml_files(&entry));
        } else if entry.extension().is_some_and(|e| e == "yaml" || e == "yml") {
            found.push(entry);
        }
    }
    found.sort();
    found
}

/// The examples in the pages, each written to a file.
fn blocks(kind: &str, to: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut pages = vec![root().join("README.md")];
    let mut directories = vec![root().join("docs")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap().map(|e| e.unwrap().path()) {
            if entry.is_dir() { directories.push(entry) } else { pages.push(entry) }
        }
    }
    for page in pages.iter().filter(|p| p.extension().is_some_and(|e| e == "md")) {
        let text = fs::read_to_string(page).unwrap();
        for block in text.split(&format!("```yaml {kind}\n")).skip(1) {
            let name = page.file_stem().unwrap().to_string_lossy().into_owned();
            let file = to.join(format!("{kind}-{name}-{}.yaml", files.len()));
            fs::write(&file, block.split("\n```").next().unwrap()).unwrap();
            files.push(file);
        }
    }
    files
}

/// A file of the examples is a manifest by its name.
fn examples(kind: &str) -> Vec<PathBuf> {
    let wanted = if kind == "manifest" { "towpath.yaml" } else { "apprunner.yaml" };
    yaml_files(&root().join("examples")).into_iter().filter(|p| p.ends_with(wanted)).collect()
}

fn check(kind: &str) {
    let directory = tempfile::tempdir().unwrap();
    let fixtures = yaml_files(&root().join("fixtures").join(kind));
    let files: Vec<PathBuf> =
        fixtures.into_iter().chain(blocks(kind, directory.path())).chain(examples(kind)).collect();
    let mut wrong = Vec::new();
    for (file, (word, line)) in verdicts(kind, &files) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let beyond = BEYOND_A_SCHEMA.iter().any(|(fixture, _)| *fixture == format!("{kind}/{name}"));
        let fits = match (name.starts_with("bad-"), word.as_str()) {
            (false, word) => word == "ok",
            (true, "ok") => beyond,
            (true, "bad") => !beyond,
            (true, _) => true,
        };
        if !fits {
            wrong.push(line);
        }
    }
    assert!(
        wrong.is_empty(),
        "{}\nwhat a schema cannot say stands in BEYOND_A_SCHEMA, with the reason",
        wrong.join("\n")
    );
}

#[test]
fn an_independent_validator_passes_every_manifest_of_ours_and_refuses_the_bad_ones() {
    check("manifest");
}

#[test]
fn an_independent_validator_passes_every_apprunner_file_of_ours_and_refuses_the_bad_ones() {
    check("apprunner");
}

#[test]
fn an_error_in_a_manifest_is_found_where_it_stands() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("towpath.yaml");
    let text =
        "services:\n  shop:\n    source: { repository: /a }\n    build: apprunner.yaml\n    health: { interval: 5 }\n";
    fs::write(&file, text).unwrap();
    let (word, line) = verdicts("manifest", std::slice::from_ref(&file)).remove(&file).unwrap();
    assert_eq!(word, "bad");
    assert!(line.contains("$.services.shop.health"), "{line}");
}
