//! `towpath import`: services in the words of others become a manifest that our own reader takes, and nothing is dropped
//! without a word. Every directory of `fixtures/import` is a case: its files, the command's arguments in `args`, what it
//! prints in `expected.yaml` and `expected.told`; `TOWPATH_BLESS=1` writes these anew.

use crate::plan_scripts::hold;
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/import")
}

fn towpath(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_towpath"));
    command.args(arguments).current_dir(directory).stdin(Stdio::null()).env_remove("TOWPATH_OUTPUT");
    command.env("TOWPATH_DATA_DIR", directory.join("data")).output().unwrap()
}

fn piped(text: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_towpath"));
    command.arg("import").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A copy of a case, in a repository where its file `origin` says so.
fn lay_out(case: &Path) -> tempfile::TempDir {
    let work = tempfile::tempdir().unwrap();
    let copied = Command::new("cp").arg("-r").arg(case.join(".")).arg(work.path()).status().unwrap();
    assert!(copied.success());
    for name in ["args", "expected.yaml", "expected.told"] {
        let _ = std::fs::remove_file(work.path().join(name));
    }
    if let Ok(origin) = std::fs::read_to_string(work.path().join("origin")) {
        std::fs::remove_file(work.path().join("origin")).unwrap();
        let git = |arguments: &[&str]| {
            assert!(Command::new("git").args(arguments).current_dir(work.path()).status().unwrap().success());
        };
        git(&["init", "-q"]);
        git(&["remote", "add", "origin", origin.trim()]);
    }
    work
}

#[test]
fn every_case_becomes_the_manifest_and_the_words_beside_it() {
    let mut cases: Vec<PathBuf> = std::fs::read_dir(fixtures()).unwrap().map(|e| e.unwrap().path()).collect();
    cases.retain(|case| case.join("args").exists());
    cases.sort();
    assert!(cases.len() >= 7, "{cases:?}");
    let mut wrong = Vec::new();
    for case in &cases {
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        let arguments = std::fs::read_to_string(case.join("args")).unwrap();
        let work = lay_out(case);
        let arguments: Vec<&str> = std::iter::once("import").chain(arguments.split_whitespace()).collect();
        let output = towpath(work.path(), &arguments);
        assert_eq!(output.status.success(), !name.starts_with("bad-"), "{name}: {}", told(&output));
        wrong.extend(hold(&case.join("expected.yaml"), printed(&output)).err());
        wrong.extend(hold(&case.join("expected.told"), told(&output)).err());
        if output.status.success() {
            accepted(work.path(), &printed(&output));
        }
    }
    assert!(wrong.is_empty(), "{}\nwrite them anew with TOWPATH_BLESS=1, and read the difference", wrong.join("\n"));
}

/// Our own reader takes a manifest without errors, and each of its services would be created.
fn accepted(directory: &Path, text: &str) {
    std::fs::write(directory.join("towpath.yaml"), text).unwrap();
    let output = towpath(directory, &["validate", "towpath.yaml"]);
    assert!(output.status.success(), "{}\n{text}", printed(&output));
    let output = towpath(directory, &["plan", "-f", "towpath.yaml", "--output", "json"]);
    let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
    let services = text.split("\nservices:\n").nth(1).unwrap_or_default();
    let declared = services.lines().filter(|l| l.starts_with("  ") && !l[2..].starts_with([' ', '#'])).count();
    assert_eq!(plan["changes"].as_array().unwrap().len(), declared, "{plan}\n{text}");
}

#[test]
fn a_service_is_read_from_standard_input_and_written_to_a_file() {
    let text = std::fs::read_to_string(fixtures().join("answers/services.json")).unwrap();
    let work = tempfile::tempdir().unwrap();
    let file = work.path().join("towpath.yaml");
    let output = piped(&text, &["-o", file.to_str().unwrap()]);
    assert!(output.status.success(), "{}", told(&output));
    assert!(printed(&output).is_empty());
    assert!(std::fs::read_to_string(&file).unwrap().contains("\n  shop:\n"));
    let again = piped(&text, &["-o", file.to_str().unwrap()]);
    assert!(!again.status.success() && told(&again).contains("--force"), "{}", told(&again));
    assert!(piped(&text, &["--force", "-o", file.to_str().unwrap()]).status.success());
    let json = piped(&text, &["--output", "json"]);
    let answer: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(answer["services"], serde_json::json!(["bill_run", "shop"]));
    assert!(answer["notes"].as_array().unwrap().iter().any(|note| note["outcome"] == "missing"));
}

#[test]
fn what_is_no_service_is_refused_with_what_would_be_read() {
    for text in ["", "  \n", "[]", "null", "3", "\"x\"", "{}", "a: b", "- a\n- b", "Reservations: []", "\0", "{{{{"] {
        let output = piped(text, &[]);
        assert_eq!(output.status.code(), Some(1), "{text:?}");
        assert!(told(&output).contains("error: "), "{text:?}: {}", told(&output));
    }
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    assert_eq!(piped(&deep, &[]).status.code(), Some(1));
    let missing = towpath(Path::new("/"), &["import", "no-such-file.json"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(told(&missing).contains("no-such-file.json"), "{}", told(&missing));
}
