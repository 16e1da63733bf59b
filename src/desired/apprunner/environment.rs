//! The name lists of `apprunner.yaml`: `build.env`, `run.env`, `run.secrets`. Values are never repeated in a message.

use super::keys;
use crate::desired::fields::{Fields, text_of};
use crate::desired::findings::{Findings, quote};
use crate::desired::yaml::{Node, Span, Style, Value, plain_kind};
use crate::model::EnvName;
use std::collections::BTreeMap;

/// Names and values.
pub(super) type Variables = BTreeMap<EnvName, String>;

/// `build.env` or `run.env`.
pub(super) fn variables(section: &Fields, key: &str, findings: &mut Findings) -> Variables {
    collect(section, key, "value", findings)
}

/// `run.env`, without `PORT`: the port setting wins.
pub(super) fn run_variables(section: &Fields, findings: &mut Findings) -> Variables {
    let mut env = variables(section, "env", findings);
    env.retain(|name, _| name.as_str() != "PORT");
    env
}

/// `run.secrets`.
pub(super) fn secrets(section: &Fields, findings: &mut Findings) -> Variables {
    collect(section, "secrets", "value-from", findings)
}

fn collect(section: &Fields, key: &str, value_key: &str, findings: &mut Findings) -> Variables {
    let Some(node) = section.value(key) else { return Variables::new() };
    let path = section.path(key);
    let mut variables = Variables::new();
    let Value::Sequence(items) = &node.value else {
        let message = format!("`{path}` must be a list of names and values, not {}", node.describe());
        findings.error("type", node.span, message).hint(format!("write `- name: NAME` and `{value_key}: …` for each"));
        return variables;
    };
    for item in items {
        let Some((name, name_span, value)) = pair(item, &path, value_key, findings) else { continue };
        if variables.insert(name.clone(), value).is_some() {
            findings.warning("duplicate-name", name_span, format!("`{path}` has `{name}` twice; the later one counts"));
        }
    }
    variables
}

/// One item: a name and a value.
fn pair(item: &Node, path: &str, value_key: &str, findings: &mut Findings) -> Option<(EnvName, Span, String)> {
    let example = format!("write `- name: NAME`, and below it `{value_key}: …`");
    let fields = match &item.value {
        Value::Mapping(entries)
            if entries.iter().any(|e| matches!(e.key.as_str(), "name" | "value" | "value-from")) =>
        {
            Fields::open(item, format!("{path}[]"), findings)?
        }
        _ => {
            let message = format!("an item of `{path}` must have `name` and `{value_key}`");
            findings.error("type", item.span, message).hint(example);
            return None;
        }
    };
    keys::check(&fields, if value_key == "value" { "env" } else { "secrets" }, &[], findings);
    let name = fields.required("name", &example, findings).and_then(|node| name(node, path, findings));
    let empty = if value_key == "value" { "write `\"\"` for an empty value" } else { &example };
    let value = fields.required(value_key, empty, findings);
    let value = value.and_then(|node| {
        let label = fields.path(value_key);
        text_of(node, &label, findings).map(|(text, _)| (text.to_owned(), node))
    });
    if let (Some((name, _)), Some((_, node))) = (&name, &value) {
        warn_unquoted(node, name, path, findings);
    }
    let ((name, span), (value, _)) = (name?, value?);
    Some((name, span, value))
}

fn name(node: &Node, path: &str, findings: &mut Findings) -> Option<(EnvName, Span)> {
    let (text, span) = text_of(node, &format!("{path}[].name"), findings)?;
    let name = env_name(text, span, findings)?;
    if name.as_str() == "PORT" {
        findings
            .warning("PORT", span, format!("`{path}` sets `PORT`, which is reserved; the port setting wins"))
            .hint("set the port by `run.network.port`");
    }
    Some((name, span))
}

/// The name of a variable. A refusal does not repeat what could be the value (`NAME=value` in one word).
pub(in crate::desired) fn env_name(text: &str, span: Span, findings: &mut Findings) -> Option<EnvName> {
    match text.parse::<EnvName>() {
        Ok(name) => Some(name),
        Err(invalid) => {
            let message = match text.find(['=', ':', ' ']) {
                Some(end) => format!("`{}…` is not the name of an environment variable", text[..end].escape_debug()),
                None => invalid.message,
            };
            let hint = invalid.hint.unwrap_or_else(|| "use letters, digits and `_`".into());
            findings.error("name", span, message).hint(hint);
            None
        }
    }
}

/// Warns of names that a shell does not hand on: Debian's drops every variable whose name it could not read itself.
pub(in crate::desired) fn warn_of_lost<'n>(
    names: impl IntoIterator<Item = (&'n str, Span)>,
    why: &str,
    findings: &mut Findings,
) {
    let lost = |name: &str| name.parse::<EnvName>().is_ok_and(|name| !name.is_for_shells());
    for (name, span) in names.into_iter().filter(|(name, _)| lost(name)) {
        findings
            .warning("lost-variable", span, format!("{} may get lost: {why}", quote(name)))
            .hint("a shell hands on names of letters, digits and `_` only");
    }
}

/// The names in a list of names and values.
pub(super) fn names<'n>(section: &Fields<'n>, key: &str) -> Vec<(&'n str, Span)> {
    let Some(Value::Sequence(items)) = section.value(key).map(|node| &node.value) else { return Vec::new() };
    items.iter().filter_map(|item| item.get("name")).filter_map(|n| Some((n.text()?, n.span))).collect()
}

/// App Runner wants texts; other YAML tools read these as something else.
fn warn_unquoted(node: &Node, name: &EnvName, path: &str, findings: &mut Findings) {
    if let Value::Scalar(text, Style::Plain) = &node.value
        && let Some(kind) = plain_kind(text)
    {
        findings
            .warning("unquoted", node.span, format!("the value of `{name}` in `{path}` is {kind} without quotes; it is read as the text that stands there"))
            .hint("put quotes around it");
    }
}
