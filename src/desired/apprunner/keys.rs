//! Which keys `apprunner.yaml` has where, and what an unknown one most likely means.

use crate::desired::fields::Fields;
use crate::desired::findings::{Findings, quote};
use crate::desired::keys::{listed, nearest};
use crate::model::Severity;
use crate::model::runtime::bare;

/// Every mapping with its keys.
const KEYS: &[(&str, &[&str])] = &[
    ("", &["version", "runtime", "build", "run"]),
    ("build", &["commands", "env"]),
    ("build.commands", &["pre-build", "build", "post-build"]),
    ("run", &["runtime-version", "pre-run", "command", "network", "env", "secrets"]),
    ("run.network", &["port", "env"]),
    ("env", &["name", "value"]),
    ("secrets", &["name", "value-from"]),
];

/// Every mapping with its keys, the whole file first.
pub(in crate::desired) fn levels() -> &'static [(&'static str, &'static [&'static str])] {
    KEYS
}

/// Every word that this file knows something about.
pub(in crate::desired) fn words() -> impl Iterator<Item = &'static str> {
    let keys = KEYS.iter().flat_map(|(_, keys)| *keys);
    let synonyms = SYNONYMS.iter().flat_map(|(_, words)| *words);
    keys.chain(synonyms).copied()
}

/// Whether a word that is no key of a mapping is an error there, rather than overlooked.
pub(in crate::desired) fn is_refused(section: &str, word: &str) -> bool {
    judge(section, word, known(section), &[]).0 == Severity::Error
}

/// Words that people write for a key.
const SYNONYMS: &[(&str, &[&str])] = &[
    ("env", &["environment", "environment-variables", "environment_variables", "vars", "variables"]),
    ("command", &["cmd", "start", "start-command", "start_command", "entrypoint", "commands"]),
    ("value-from", &["value", "from"]),
    ("pre-build", &["pre", "before", "pre-install"]),
    ("post-build", &["post", "after"]),
];

/// Settings that the service has and this file has not.
const SERVICE_SETTINGS: &[&str] =
    &["cpu", "memory", "instance", "health-check", "healthcheck", "health", "autoscaling", "scaling"];

/// Reports every key of a mapping that it does not have. `told` are the top-level keys whose lack is reported already.
pub(super) fn check(fields: &Fields, section: &str, told: &[&str], findings: &mut Findings) {
    let known = known(section);
    for entry in fields.entries.iter().filter(|e| !known.contains(&e.key.as_str())) {
        let (severity, hint) = judge(section, &entry.key, known, told);
        let message = format!("{} is not a key of {}", quote(&fields.path(&entry.key)), owner(section));
        findings.add(severity, "unknown-key", entry.key_span, message).hint(hint);
    }
}

fn owner(section: &str) -> &'static str {
    match section {
        "" => "`apprunner.yaml`",
        "build" => "`build`",
        "build.commands" => "`build.commands`",
        "run" => "`run`",
        "run.network" => "`run.network`",
        _ => "an item of this list",
    }
}

fn known(section: &str) -> &'static [&'static str] {
    KEYS.iter().find(|(path, _)| *path == section).map_or(&[], |(_, keys)| keys)
}

/// An error where the key was clearly meant to be another one: its value would be lost without a word.
fn judge(section: &str, key: &str, known: &[&str], told: &[&str]) -> (Severity, String) {
    if let Some(meant) = meant(key, known) {
        return (Severity::Error, format!("did you mean `{meant}`?"));
    }
    if (section, key) == ("", "services") {
        return (Severity::Warning, "manifests and Compose files have services; this file has the build of one".into());
    }
    if SERVICE_SETTINGS.contains(&key) {
        return (Severity::Warning, "set it on the service; this file holds no such settings".into());
    }
    match place_of(section, key) {
        Some((path, key, hint)) => (moved_severity(section, path, key, told), hint),
        None => (Severity::Warning, format!("it has no effect; the keys here are {}", listed(known.iter().copied()))),
    }
}

fn meant<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    let synonym = SYNONYMS.iter().find(|(k, words)| known.contains(k) && words.contains(&key)).map(|(k, _)| *k);
    nearest(key, known.iter().copied()).or_else(|| known.iter().copied().find(|k| synonym == Some(k)))
}

/// Where a key of this name belongs, if anywhere: the mapping, the key, and a hint.
fn place_of(section: &str, key: &str) -> Option<(&'static str, &'static str, String)> {
    let key = if key == "ports" { "port" } else { key };
    let (path, key) = KEYS
        .iter()
        .filter(|(path, _)| *path != section && !matches!(*path, "env" | "secrets"))
        .find_map(|(path, keys)| keys.iter().find(|k| bare(k) == bare(key)).map(|key| (*path, *key)))?;
    let hint = match path {
        "" => format!("`{key}` belongs at the top level: indent it like `version`"),
        _ => format!("write it as `{path}.{key}`: `{key}` under `{path}`"),
    };
    Some((path, key, hint))
}

/// App Runner overlooks a key in the wrong place. Where its lack is an error already, one error is enough; `run.port`
/// is left at a warning, because the port it names may be the default.
fn moved_severity(section: &str, path: &str, key: &str, told: &[&str]) -> Severity {
    let is_told = path.is_empty() && told.contains(&key);
    if is_told || (section, path, key) == ("run", "run.network", "port") { Severity::Warning } else { Severity::Error }
}
