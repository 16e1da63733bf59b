//! Names, environment, secrets and tags of the manifest. Values of variables are never repeated in a message.

use super::sealed::Sealed;
use super::shared::{Named, Shared, is_name};
use super::{Context, keys};
use crate::desired::apprunner::{self, env_name};
use crate::desired::fields::{Fields, checked, text_of};
use crate::desired::findings::{Findings, quote};
use crate::desired::yaml::{Entry, Node, Span, Value};
use crate::model::{AppSettings, Digest, EnvName, Invalid, SecretRef, ServiceName};
use std::collections::{BTreeMap, HashSet};
use std::path::{Component, Path, PathBuf};

/// Names and values of variables.
pub(super) type Variables = BTreeMap<EnvName, String>;

/// A service's name.
pub(super) fn service_name(text: &str, span: Span, findings: &mut Findings) -> Option<ServiceName> {
    let name = text
        .parse::<ServiceName>()
        .map_err(|invalid| Invalid { message: format!("{} is not a service name", quote(text)), hint: invalid.hint });
    checked(name, "name", span, findings)
}

/// Variables: a mapping, the name of a shared set, or a list of both, in which what stands later is laid over what stands
/// before.
pub(super) fn environment(fields: &Fields, key: &str, shared: &Shared, findings: &mut Findings) -> Variables {
    let Some(node) = fields.present(key, "a mapping", findings) else { return Variables::new() };
    let path = fields.path(key);
    layers(node).iter().flat_map(|layer| one_layer(layer, &path, shared, findings)).collect()
}

/// One layer of variables: a mapping or the name of a set.
fn one_layer(node: &Node, path: &str, shared: &Shared, findings: &mut Findings) -> Variables {
    if let Value::Mapping(_) = node.value {
        return Fields::open(node, path, findings).map(|section| variables(&section, findings)).unwrap_or_default();
    }
    match node.text().filter(|text| is_name(text)) {
        Some(name) => shared.env.find(name, node.span, findings).unwrap_or_default(),
        // What stands there may be a secret (`NAME=value`): it is not repeated.
        None => {
            let message = format!("`{path}` must be variables, the name of a shared set, or a list of both");
            findings.error("type", node.span, message).hint("write `NAME: value` for each variable");
            Variables::new()
        }
    }
}

/// A set of variables at the top level.
pub(super) fn set(entry: &Entry, section: &Fields, findings: &mut Findings) -> Option<Variables> {
    if !matches!(entry.value.value, Value::Mapping(_)) {
        let message = format!("`{}` must be a set of variables", section.path(&entry.key));
        findings.error("type", entry.key_span, message).hint(
            "at the top level `env` holds named sets, such as `env: { common: { LOG_LEVEL: info } }`; \
             a service takes one by `env: common`",
        );
        return None;
    }
    let section = Fields::open(&entry.value, section.path(&entry.key), findings)?;
    Some(variables(&section, findings))
}

/// A mapping of variables to texts, taken as they stand.
fn variables(section: &Fields, findings: &mut Findings) -> Variables {
    let mut env = Variables::new();
    for entry in section.entries {
        let name = env_name(&entry.key, entry.key_span, findings);
        if name.as_ref().is_some_and(|name| name.as_str() == "PORT") {
            let message = format!("`{}` is reserved; the port setting wins", section.path("PORT"));
            findings.warning("PORT", entry.key_span, message).hint("set the port by `port` of the service");
        }
        let Some(name) = name else { continue };
        if let Some(value) = variable(section, entry, findings) {
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

/// Without what is not taken from here: the port setting wins over a variable of that name (row S7), a secret of the
/// service over a variable of a shared set.
pub(super) fn without(mut env: Variables, secrets: &BTreeMap<EnvName, SecretRef>) -> Variables {
    env.retain(|name, _| name.as_str() != "PORT" && !secrets.contains_key(name));
    env
}

/// Warns of variables that a shell before the application does not hand on.
pub(super) fn warn_of_lost(service: &Fields, settings: &AppSettings, findings: &mut Findings) {
    if settings.pre_run.is_empty() && !apprunner::by_shell(&settings.start) {
        return;
    }
    let names: Vec<_> = ["env", "secrets"].into_iter().flat_map(|key| names(service, key)).collect();
    apprunner::warn_of_lost(names, apprunner::THROUGH_SHELL, findings);
}

/// The names of variables that stand in place under a key.
pub(super) fn names<'n>(fields: &Fields<'n>, key: &str) -> Vec<(&'n str, Span)> {
    let Some(node) = fields.value(key) else { return Vec::new() };
    layers(node).iter().filter_map(Node::entries).flatten().map(|e| (e.key.as_str(), e.key_span)).collect()
}

/// The layers of a value of `env`: the items of a list, else itself.
fn layers(node: &Node) -> &[Node] {
    match &node.value {
        Value::Sequence(items) => items,
        _ => std::slice::from_ref(node),
    }
}

/// A mapping of variables to where their values are read from.
pub(super) fn secrets(fields: &Fields, context: &Context, findings: &mut Findings) -> BTreeMap<EnvName, SecretRef> {
    let Some(section) = fields.mapping("secrets", findings) else { return BTreeMap::new() };
    let mut secrets = BTreeMap::new();
    for entry in section.entries {
        let name = env_name(&entry.key, entry.key_span, findings);
        if name.as_ref().is_some_and(|name| name.as_str() == "PORT") {
            findings.error("PORT", entry.key_span, "`PORT` cannot be a secret: the port setting gives its value");
        }
        let Some(name) = name else { continue };
        let (directory, sealed) = (context.directory, &context.shared.secrets);
        if let Some(secret) = secret(&section.path(&entry.key), entry, (directory, sealed), findings) {
            secrets.insert(name, secret);
        }
    }
    secrets
}

/// Where a secret value is read from; relative to a directory, or by the name of an encrypted one.
pub(super) fn secret(
    path: &str,
    entry: &Entry,
    (directory, sealed): (&Path, &Named<Sealed>),
    findings: &mut Findings,
) -> Option<SecretRef> {
    let example = "write `{ secret: name }`, `{ file: path }` or `{ env: NAME }`: a manifest holds no secret values";
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
        [only] if only.key == "secret" => {
            let (name, span) = fields.text("secret", findings)?;
            sealed.find(name, span, findings)?;
            // Which value it has is known where it can be decrypted.
            Some(SecretRef::Sealed { name: name.to_owned(), value: Digest::of(&name) })
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
    let names: HashSet<&str> = names(fields, "env").into_iter().map(|(name, _)| name).collect();
    let Some(secrets) = fields.value("secrets").and_then(Node::entries) else { return };
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
