//! `keys` at the top level: public keys that commits are signed with, by name; and a source's `verify`, which names them.

use super::{Context, keys, values};
use crate::desired::fields::{Fields, checked, mismatch};
use crate::desired::findings::{Findings, quote};
use crate::desired::yaml::{Entry, Node, Value};
use crate::model::{KeyGroup, KeyText, Verify};
use crate::trust::read_keys;
use std::path::Path;

/// One name with its keys: one of them, or a list.
pub(super) fn group(
    entry: &Entry,
    section: &Fields,
    directory: &Path,
    findings: &mut Findings,
) -> Option<Vec<KeyText>> {
    let path = section.path(&entry.key);
    let nodes = match &entry.value.value {
        Value::Sequence(items) => items.as_slice(),
        _ => std::slice::from_ref(&entry.value),
    };
    if nodes.is_empty() {
        findings
            .error("missing", entry.key_span, format!("`{path}` has no key"))
            .hint("write the keys, or remove the name");
        return None;
    }
    let read: Vec<Option<KeyText>> = nodes.iter().map(|node| key(node, &path, directory, findings)).collect();
    read.into_iter().collect()
}

/// A key in place, or the file that holds it.
fn key(node: &Node, path: &str, directory: &Path, findings: &mut Findings) -> Option<KeyText> {
    if let Value::Mapping(_) = &node.value {
        let fields = keys::check(Fields::open(node, path, findings)?, "key", findings);
        fields.required("file", "write `{ file: PATH }`, the file of a public key", findings)?;
        let (text, span) = fields.text("file", findings)?;
        return checked(values::absolute(directory, text), "path", span, findings).map(KeyText::File);
    }
    let Some(text) = node.text() else {
        mismatch(node, path, "a public key or `{ file: PATH }`", findings);
        return None;
    };
    checked(read_keys(text), "key", node.span, findings)?;
    Some(KeyText::Text(format!("{}\n", text.trim())))
}

/// `verify` of a source.
pub(super) fn verify(source: &Fields, context: &Context, findings: &mut Findings) -> Option<Box<Verify>> {
    let fields = keys::check(source.mapping("verify", findings)?, "verify", findings);
    let signed_by = signed_by(&fields, context, findings);
    let fast_forward_only = fields.flag("fastForwardOnly", findings).unwrap_or(false);
    if signed_by.is_empty() && fields.entry("signedBy").is_none() && fields.meant.is_empty() && !fast_forward_only {
        let message = format!("`{}` asks for nothing", source.path("verify"));
        findings
            .warning("unused", fields.span, message)
            .hint("write `signedBy: [NAME]` with names under `keys`, or `fastForwardOnly: true`, or remove it");
        return None;
    }
    Some(Box::new(Verify { signed_by, fast_forward_only }))
}

fn signed_by(fields: &Fields, context: &Context, findings: &mut Findings) -> Vec<KeyGroup> {
    let Some(node) = fields.present("signedBy", "a list of names", findings) else { return Vec::new() };
    let path = fields.path("signedBy");
    let nodes = match &node.value {
        Value::Sequence(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    if nodes.is_empty() {
        // Nobody could ever sign.
        findings
            .error("missing", node.span, format!("`{path}` names nobody"))
            .hint("name keys of `keys`, or remove it");
    }
    let mut groups: Vec<KeyGroup> = Vec::new();
    for node in nodes {
        let Some(name) = node.text() else {
            mismatch(node, &path, "a list of names", findings);
            continue;
        };
        let Some(keys) = context.shared.keys.find(name, node.span, findings) else { continue };
        if groups.iter().any(|group| group.name == name) {
            findings.warning("unused", node.span, format!("{} stands in `{path}` twice", quote(name)));
            continue;
        }
        groups.push(KeyGroup { name: name.to_owned(), keys });
    }
    groups
}
