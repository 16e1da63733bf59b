//! `users`, `groups`, `roles` and `policies` at the top level. A policy is written as YAML, or as its JSON in a text.

use super::{Part, keys, settings};
use crate::desired::fields::{Fields, mismatch, text_of};
use crate::desired::findings::{Findings, quote};
use crate::desired::identities::{DeclaredGroup, DeclaredPolicy, DeclaredRole, DeclaredUser, Identities, Rights};
use crate::desired::yaml::{Entry, Node, Value};
use crate::model::Place;
use std::collections::{BTreeMap, BTreeSet};

/// The user of the first start: no manifest may take its rights away.
const ADMINISTRATOR: &str = "admin";
/// How long a role's sessions may be where nothing else is said: an hour.
const SESSION_SECONDS: u32 = 3600;

/// Everything of access control in all files of a manifest.
pub(super) fn read(parts: &mut [Part<'_, '_>]) -> Identities {
    let (mut all, mut taken) = (Identities::default(), Taken::default());
    for part in parts {
        let Part { top: Some(top), findings, .. } = part else { continue };
        for (entry, fields, place) in taken.named(top, "users", findings) {
            if entry.key == ADMINISTRATOR {
                let message = format!("`{ADMINISTRATOR}` is the user of the first start and is not declared");
                findings.error("name", entry.key_span, message).hint("choose another name");
            }
            let user = fields.map(|fields| user(&keys::check(fields, "user", findings), place, findings));
            all.users.extend(user.map(|user| (entry.key.clone(), user)));
        }
        for (entry, fields, place) in taken.named(top, "groups", findings) {
            let rights = fields.map(|fields| rights(&keys::check(fields, "group", findings), findings));
            all.groups.extend(rights.map(|rights| (entry.key.clone(), DeclaredGroup { rights, place })));
        }
        for (entry, fields, place) in taken.named(top, "roles", findings) {
            let role = fields.and_then(|fields| role(&keys::check(fields, "role", findings), place, findings));
            all.roles.extend(role.map(|role| (entry.key.clone(), role)));
        }
        for (entry, path, place) in taken.entries(top, "policies", findings) {
            let policy = document(&entry.value, &path, findings).map(|document| DeclaredPolicy { document, place });
            all.policies.extend(policy.map(|policy| (entry.key.clone(), policy)));
        }
    }
    all
}

/// The names that were given, and where.
#[derive(Default)]
struct Taken(BTreeMap<(&'static str, String), Place>);

impl Taken {
    /// The entries of a section whose names are free, with their paths and places.
    fn entries<'n>(
        &mut self,
        top: &Fields<'n>,
        key: &'static str,
        findings: &mut Findings,
    ) -> Vec<(&'n Entry, String, Place)> {
        let Some(section) = top.mapping(key, findings) else { return Vec::new() };
        let free = section.entries.iter().filter(|entry| self.take(entry, key, findings)).collect::<Vec<_>>();
        let found = free.into_iter().map(|entry| (entry, section.path(&entry.key), findings.place(entry.key_span)));
        found.collect()
    }

    /// The same as mappings.
    fn named<'n>(
        &mut self,
        top: &Fields<'n>,
        key: &'static str,
        findings: &mut Findings,
    ) -> Vec<(&'n Entry, Option<Fields<'n>>, Place)> {
        let entries = self.entries(top, key, findings);
        entries
            .into_iter()
            .map(|(entry, path, place)| (entry, Fields::open(&entry.value, path, findings), place))
            .collect()
    }

    fn take(&mut self, entry: &Entry, key: &'static str, findings: &mut Findings) -> bool {
        let name = entry.key.as_str();
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b));
        if !(1..=64).contains(&name.len()) || !plain {
            findings
                .error("name", entry.key_span, format!("{} cannot be a name under `{key}`", quote(name)))
                .hint("a name has 1 to 64 of the characters A-Z, a-z, 0-9 and `_+=,.@-`");
            return false;
        }
        let Self(taken) = self;
        if let Some(first) = taken.get(&(key, name.to_owned())) {
            findings
                .error("duplicate", entry.key_span, format!("{} is declared twice under `{key}`", quote(name)))
                .hint(format!("it is declared at {first} already; keep one of the two"));
            return false;
        }
        taken.insert((key, name.to_owned()), findings.place(entry.key_span));
        true
    }
}

fn user(fields: &Fields, place: Place, findings: &mut Findings) -> DeclaredUser {
    let groups = names(fields, "groups", findings);
    let boundary = fields.text("boundary", findings).map(|(text, _)| text.to_owned());
    DeclaredUser { rights: rights(fields, findings), groups, boundary, place }
}

fn role(fields: &Fields, place: Place, findings: &mut Findings) -> Option<DeclaredRole> {
    let rights = rights(fields, findings);
    let boundary = fields.text("boundary", findings).map(|(text, _)| text.to_owned());
    let session = settings::seconds_within(fields, "maxSession", 3600..=43_200, findings);
    let hint = "write a policy that says who may assume the role: `Statement: [{ Effect: Allow, Principal: …, Action: sts:AssumeRole }]`";
    let trust = fields.required("trust", hint, findings)?;
    let trust = document(trust, &fields.path("trust"), findings)?;
    Some(DeclaredRole { rights, trust, boundary, max_session_seconds: session.unwrap_or(SESSION_SECONDS), place })
}

fn rights(fields: &Fields, findings: &mut Findings) -> Rights {
    let policies = names(fields, "policies", findings);
    let mut inline = BTreeMap::new();
    if let Some(section) = fields.mapping("inline", findings) {
        for entry in section.entries {
            inline.extend(document(&entry.value, &section.path(&entry.key), findings).map(|d| (entry.key.clone(), d)));
        }
    }
    Rights { policies, inline }
}

/// A name, or a list of names.
fn names(fields: &Fields, key: &str, findings: &mut Findings) -> BTreeSet<String> {
    let Some(node) = fields.present(key, "a list of names", findings) else { return BTreeSet::new() };
    let path = fields.path(key);
    let items = match &node.value {
        Value::Sequence(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    items.iter().filter_map(|item| text_of(item, &path, findings)).map(|(text, _)| text.to_owned()).collect()
}

/// A policy as JSON.
fn document(node: &Node, path: &str, findings: &mut Findings) -> Option<String> {
    match (&node.value, node.text()) {
        (Value::Mapping(_), _) => Some(json(node).to_string()),
        (_, Some(text)) if text.trim_start().starts_with('{') => Some(text.to_owned()),
        _ => {
            mismatch(node, path, "a policy: a mapping with `Statement`, or its JSON as text", findings);
            None
        }
    }
}

/// IAM takes texts for numbers and booleans, so that `Version: 2012-10-17` needs no quotes.
fn json(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Scalar(text, _) => text.as_str().into(),
        Value::Sequence(items) => items.iter().map(json).collect(),
        Value::Mapping(entries) => {
            serde_json::Value::Object(entries.iter().map(|entry| (entry.key.clone(), json(&entry.value))).collect())
        }
    }
}
