//! Names, environment, secrets and tags of the manifest. Values of variables are never repeated in a message.

use super::keys;
use crate::desired::apprunner::env_name;
use crate::desired::fields::{Fields, checked, text_of};
use crate::desired::findings::{Findings, quote};
use crate::desired::yaml::{Entry, Span, Value};
use crate::model::{EnvName, Invalid, SecretRef, ServiceName};
use std::collections::{BTreeMap, HashSet};
use std::path::{Component, Path, PathBuf};

/// A service's name.
pub(super) fn service_name(text: &str, span: Span, findings: &mut Findings) -> Option<ServiceName> {
    let name = text
        .parse::<ServiceName>()
        .map_err(|invalid| Invalid { message: format!("{} is not a service name", quote(text)), hint: invalid.hint });
    checked(name, "name", span, findings)
}

/// A mapping of variables to texts, taken as they stand.
pub(super) fn environment(fields: &Fields, key: &str, findings: &mut Findings) -> BTreeMap<EnvName, String> {
    let Some(section) = fields.mapping(key, findings) else { return BTreeMap::new() };
    let mut env = BTreeMap::new();
    for entry in section.entries {
        let name = env_name(&entry.key, entry.key_span, findings);
        if name.as_ref().is_some_and(|name| name.as_str() == "PORT") {
            let message = format!("`{}` is reserved; the port setting wins", section.path("PORT"));
            findings.warning("PORT", entry.key_span, message).hint("set the port by `port` of the service");
        }
        let Some(name) = name else { continue };
        if let Some(value) = variable(&section, entry, findings) {
            env.insert(name, value);
        }
    }
    env
}

fn variable(section: &Fields, entry: &Entry, findings: &mut Findings) -> Option<String> {
    if entry.value.is_null() {
        let message = format!("`{}` has no value", section.path(&entry.key));
        findings.error("type", entry.key_span, message).hint("write `\"\"` for an empty value");
        return None;
    }
    text_of(&entry.value, &section.path(&entry.key), findings).map(|(text, _)| text.to_owned())
}

/// The port setting wins over a variable of that name (row S7).
pub(super) fn without_port(mut env: BTreeMap<EnvName, String>) -> BTreeMap<EnvName, String> {
    env.retain(|name, _| name.as_str() != "PORT");
    env
}

/// A mapping of variables to where their values are read from.
pub(super) fn secrets(fields: &Fields, directory: &Path, findings: &mut Findings) -> BTreeMap<EnvName, SecretRef> {
    let Some(section) = fields.mapping("secrets", findings) else { return BTreeMap::new() };
    let mut secrets = BTreeMap::new();
    for entry in section.entries {
        let name = env_name(&entry.key, entry.key_span, findings);
        if name.as_ref().is_some_and(|name| name.as_str() == "PORT") {
            findings.error("PORT", entry.key_span, "`PORT` cannot be a secret: the port setting gives its value");
        }
        let Some(name) = name else { continue };
        if let Some(secret) = secret(&section.path(&entry.key), entry, directory, findings) {
            secrets.insert(name, secret);
        }
    }
    secrets
}

fn secret(path: &str, entry: &Entry, directory: &Path, findings: &mut Findings) -> Option<SecretRef> {
    let example = "write `{ file: path }` or `{ env: NAME }`: a manifest holds no secret values";
    if entry.value.text().is_some() || entry.value.is_null() {
        let message = format!("`{path}` must say where the value is read from");
        findings.error("type", entry.key_span, message).hint(example);
        return None;
    }
    let fields = keys::check(Fields::open(&entry.value, path, findings)?, "secret", findings);
    match fields.entries {
        [only] if only.key == "file" => {
            let (text, span) = fields.text("file", findings)?;
            checked(absolute(directory, text), "path", span, findings).map(SecretRef::File)
        }
        [only] if only.key == "env" => {
            let (text, span) = fields.text("env", findings)?;
            env_name(text, span, findings).map(|name| SecretRef::Env(name.as_str().to_owned()))
        }
        // A key that is not known has been reported.
        [_] => None,
        _ => {
            findings.error("type", fields.span, format!("`{path}` must have exactly one source")).hint(example);
            None
        }
    }
}

/// A path relative to the manifest, without `.` and `..`. Not resolved on disk: that would not be pure.
pub(super) fn absolute(directory: &Path, text: &str) -> Result<PathBuf, Invalid> {
    if text.is_empty() || text.len() > 4096 || text.chars().any(char::is_control) {
        return Err(Invalid::new(format!("{} is not a path", quote(text))));
    }
    if text.starts_with('~') {
        return Err(Invalid::new("`~` is not read in paths").hint("write the whole path"));
    }
    let mut path = PathBuf::new();
    for component in directory.join(text).components() {
        match component {
            Component::ParentDir => drop(path.pop()),
            Component::CurDir => {}
            other => path.push(other),
        }
    }
    Ok(path)
}

/// A variable is declared once: as a value or as a secret.
pub(super) fn check_overlap(fields: &Fields, findings: &mut Findings) {
    let (Some(env), Some(secrets)) = (fields.value("env"), fields.value("secrets")) else { return };
    let (Value::Mapping(env), Value::Mapping(secrets)) = (&env.value, &secrets.value) else { return };
    let names: HashSet<&str> = env.iter().map(|e| e.key.as_str()).collect();
    for entry in secrets.iter().filter(|e| names.contains(e.key.as_str())) {
        let message = format!("{} stands in `env` and in `secrets`", quote(&entry.key));
        findings.error("duplicate-name", entry.key_span, message).hint("keep one of the two");
    }
}

/// Tags (row R3): keys of 1–128 characters, values of at most 256, as App Runner has them.
pub(super) fn tags(fields: &Fields, findings: &mut Findings) -> BTreeMap<String, String> {
    let Some(section) = fields.mapping("tags", findings) else { return BTreeMap::new() };
    let mut tags = BTreeMap::new();
    for entry in section.entries {
        let key = entry.key.as_str();
        if key.is_empty() || key.chars().count() > 128 || key.to_ascii_lowercase().starts_with("aws:") {
            findings
                .error("tag-key", entry.key_span, format!("{} is not a key of a tag", quote(key)))
                .hint("a key has 1 to 128 characters and does not begin with `aws:`");
        }
        if let Some(value) = variable(&section, entry, findings) {
            if value.chars().count() > 256 {
                findings.error("tag-value", entry.value.span, "the value of a tag has at most 256 characters");
            }
            tags.insert(entry.key.clone(), value);
        }
    }
    tags
}
