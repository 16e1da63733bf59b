//! What Node.js repositories look like.

use super::detect::Guess;
use super::files::Files;
use crate::model::{Catalogue, Language};
use serde_json::Value;

/// Files that start by themselves, in the order in which people name them.
pub(super) const SCRIPTS: &[&str] =
    &["server.js", "index.js", "app.js", "main.js", "src/index.js", "src/server.js", "server.mjs", "index.mjs"];

/// Judges a directory as a Node.js application.
pub fn guess(files: &Files, catalogue: &Catalogue) -> Option<Guess> {
    let Some(text) = files.text("package.json") else { return script(files, catalogue) };
    let package: Value = serde_json::from_str(text).unwrap_or(Value::Null);
    let mut notes = Vec::new();
    if package.is_null() {
        notes.push("`package.json` is not JSON: what it says is not known".to_owned());
    }
    let scripts = |name: &str| package["scripts"][name].as_str().filter(|s| !s.trim().is_empty());
    let (install, place, tool) = install(files);
    let mut commands = vec![install.to_owned()];
    commands.extend(scripts("build").map(|_| format!("{tool} run build")));
    let start = scripts("start").map(|_| (format!("{tool} start"), "scripts.start in package.json".to_owned()));
    let main = package["main"].as_str().map(|main| (format!("node {main}"), "main in package.json".to_owned()));
    let file = files.first(SCRIPTS).map(|(name, _)| (format!("node {name}"), name.to_owned()));
    let listens = listening(files, scripts("start").or(package["main"].as_str()).unwrap_or_default());
    let start = start.or(main).or(file);
    Some(Guess {
        runtime: runtime(files, &package, catalogue),
        commands: (commands, place.into()),
        start,
        listens,
        notes,
    })
}

/// A script without dependencies.
fn script(files: &Files, catalogue: &Catalogue) -> Option<Guess> {
    let (name, _) = files.first(SCRIPTS)?;
    let start = Some((format!("node {name}"), name.to_owned()));
    let runtime = (runtime(files, &Value::Null, catalogue).0, name.to_owned());
    Some(Guess { runtime, start, listens: listening(files, name), ..Guess::default() })
}

/// The file that a start command runs, else the first one that is there.
fn listening(files: &Files, start: &str) -> Option<&'static str> {
    let named = SCRIPTS.iter().find(|s| start.split_whitespace().any(|word| word.trim_start_matches("./") == **s));
    named.or_else(|| SCRIPTS.iter().find(|s| files.text(s).is_some())).copied()
}

/// How dependencies are installed: the command, the file that says so, and the tool.
fn install(files: &Files) -> (&'static str, &'static str, &'static str) {
    if files.has("pnpm-lock.yaml") {
        ("npx --yes pnpm install --frozen-lockfile", "pnpm-lock.yaml", "npx --yes pnpm")
    } else if files.has("yarn.lock") {
        ("yarn install --frozen-lockfile", "yarn.lock", "yarn")
    } else if files.has("package-lock.json") {
        ("npm ci", "package-lock.json", "npm")
    } else {
        ("npm install", "package.json", "npm")
    }
}

/// The runtime whose major the repository asks for; else the newest that App Runner has.
fn runtime(files: &Files, package: &Value, catalogue: &Catalogue) -> (String, String) {
    let file = files.first(&[".nvmrc", ".node-version"]).and_then(|(name, text)| Some((major_in(text)?, name)));
    let engines =
        package["engines"]["node"].as_str().and_then(|text| Some((major_in(text)?, "engines in package.json")));
    let node = || catalogue.runtimes.iter().filter(|r| r.language == Language::Node);
    let newest = node().filter(|r| r.wire.is_some()).max_by_key(|r| r.versions.first());
    let default = newest.map_or_else(|| "nodejs22".to_owned(), |r| r.name.to_string());
    let Some((major, said)) = file.or(engines) else { return (default, "package.json".into()) };
    let exact = node().find(|r| r.versions.first().is_some_and(|v| v.0.first() == Some(&major)));
    match exact {
        Some(runtime) => (runtime.name.to_string(), said.into()),
        None => (default, format!("{said} asks for {major}, which is no runtime")),
    }
}

/// The first number of `>=18.0.0`, `v20.11`, `22.x`, `lts/*` (none).
fn major_in(text: &str) -> Option<u32> {
    let digits: String =
        text.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).take(3).collect();
    digits.parse().ok()
}
