//! What the documentation says is so: examples validate, commands and flags exist, links resolve.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every page with its text.
fn pages() -> Vec<(PathBuf, String)> {
    let list = |directory: &str| fs::read_dir(root().join(directory)).unwrap().map(|e| e.unwrap().path());
    let docs = list("docs").chain(list("docs/reference"));
    let top = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"].map(|name| root().join(name));
    let pages = docs.chain(top).filter(|p| p.extension().is_some_and(|e| e == "md"));
    pages.map(|p| (p.clone(), fs::read_to_string(p).unwrap())).collect()
}

/// The blocks that open with exactly this line.
fn blocks<'t>(text: &'t str, opening: &str) -> Vec<&'t str> {
    let opening = format!("```{opening}\n");
    text.split(opening.as_str()).skip(1).filter_map(|rest| rest.split("\n```").next()).collect()
}

fn help(arguments: &[&str]) -> String {
    let ran = Command::new(env!("CARGO_BIN_EXE_towpath")).args(arguments).arg("--help").output().unwrap();
    assert!(ran.status.success(), "{arguments:?}");
    String::from_utf8(ran.stdout).unwrap()
}

fn commands() -> BTreeSet<String> {
    let help = help(&[]);
    let section = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let lines = section.lines().filter(|l| l.starts_with("  ") && !l.starts_with("   "));
    lines.filter_map(|l| l.split_whitespace().next()).filter(|c| *c != "help").map(str::to_owned).collect()
}

/// The words of a text that are long flags.
fn flags(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    words.filter(|w| w.len() > 2 && w.starts_with("--") && !w.starts_with("---")).map(str::to_owned).collect()
}

/// The flags that clap gives a command and its subcommands, without those of every command.
fn own_flags(command: &[&str]) -> BTreeSet<String> {
    let help = help(command);
    let section = help.split("Commands:\n").nth(1).and_then(|s| s.split("\n\n").next()).unwrap_or_default();
    // Further lines of a description are indented more.
    let lines = section.lines().filter(|l| l.starts_with("  ") && !l.starts_with("   "));
    let inner = lines.filter_map(|l| l.split_whitespace().next()).filter(|c| *c != "help");
    let inner: BTreeSet<String> = inner.flat_map(|name| own_flags(&[command, &[name]].concat())).collect();
    let options = help.split("Options:\n").nth(1).unwrap();
    let heads = options.lines().map(str::trim_start).filter(|l| l.starts_with('-'));
    let own = heads.filter_map(|l| l.split_whitespace().find(|w| w.starts_with("--")));
    let common = ["--help", "--data-dir", "--output", "--server", "--profile", "--runtimes"];
    let own = own.filter(|f| !common.contains(f)).map(str::to_owned);
    own.chain(inner).collect()
}

#[test]
fn every_example_of_a_file_validates() {
    let directory = tempfile::tempdir().unwrap();
    let mut seen = 0;
    for (page, text) in pages() {
        for kind in ["manifest", "apprunner"] {
            for block in blocks(&text, &format!("yaml {kind}")) {
                seen += 1;
                let name = if kind == "manifest" { "towpath.yaml" } else { "apprunner.yaml" };
                let file = directory.path().join(name);
                fs::write(&file, format!("{block}\n")).unwrap();
                let ran = Command::new(env!("CARGO_BIN_EXE_towpath")).arg("validate").arg(&file).output().unwrap();
                let told = String::from_utf8_lossy(&ran.stdout).into_owned();
                assert!(ran.status.success(), "{}: {told}", page.display());
            }
        }
    }
    assert!(seen >= 3, "{seen} examples");
}

#[test]
fn the_reference_has_every_command_with_its_flags_and_no_others() {
    let page = fs::read_to_string(root().join("docs/cli.md")).unwrap();
    let sections: Vec<(String, &str)> = page
        .split("\n## `towpath ")
        .skip(1)
        .map(|s| (s.split(['`', ' ']).next().unwrap().to_owned(), s.split_once('\n').unwrap().1))
        .collect();
    let named: BTreeSet<String> = sections.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(named, commands());
    for (command, section) in sections {
        let mut said = flags(section);
        // Told at the head of the page; a section may say what is special in it.
        said.retain(|flag| !["--data-dir", "--output", "--runtimes"].contains(&flag.as_str()));
        // `up` explains the variables by one of its own flags; `--wait` is named where others print the same.
        if command == "operations" {
            said.remove("--wait");
        }
        assert_eq!(said, own_flags(&[&command]), "docs/cli.md, `towpath {command}`");
    }
}

#[test]
fn every_command_in_the_pages_exists() {
    // The processes that `up` starts have no help.
    let known: BTreeSet<String> = commands().into_iter().chain(["ingress".into(), "shim".into()]).collect();
    for (page, text) in pages().iter().filter(|(p, _)| !p.ends_with("architecture.md")) {
        for opening in ["`towpath ", "$ towpath "] {
            for rest in text.split(opening).skip(1) {
                let word: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
                assert!(known.contains(&word), "{}: `towpath {word}`", page.display());
            }
        }
    }
}

#[test]
fn the_table_of_runtimes_is_the_catalogue() {
    let page = fs::read_to_string(root().join("docs/apprunner-yaml.md")).unwrap();
    let section = page.split("\n## ").find(|s| s.starts_with("Runtimes\n")).unwrap();
    let said: Vec<&str> = section.lines().filter(|l| l.starts_with("| `")).collect();
    let rows = towpath::model::Catalogue::builtin().runtimes.into_iter().map(|runtime| {
        let wire = runtime.wire.map(|name| format!("`{name}`")).unwrap_or_default();
        let versions: Vec<String> = runtime.versions.iter().map(ToString::to_string).collect();
        format!("| `{}` | {wire} | {} | `{}` |", runtime.name, versions.join(", "), runtime.image)
    });
    assert_eq!(said, rows.collect::<Vec<_>>());
}

#[test]
fn links_between_pages_resolve() {
    for (page, text) in pages() {
        for rest in text.split("](").skip(1) {
            let target = rest.split([')', '#']).next().unwrap();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            assert!(page.parent().unwrap().join(target).exists(), "{}: {target}", page.display());
        }
    }
}
