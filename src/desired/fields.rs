//! A mapping while it is read: its values by key, as the types that they should have, each refusal a problem with a path.

use super::findings::{Findings, quote};
use super::yaml::{Entry, Node, Span, Value};
use crate::model::Invalid;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// The entries of one mapping, and where it is: `run.network`, or nothing for the whole file.
pub(super) struct Fields<'n> {
    path: String,
    pub(super) span: Span,
    pub(super) entries: &'n [Entry],
    /// Keys that another one was written for, which is reported: that they are missing is no second problem.
    pub(super) meant: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// The node as a mapping; anything else is a `type` problem.
    pub(super) fn open(node: &'n Node, path: impl Into<String>, findings: &mut Findings) -> Option<Self> {
        let path = path.into();
        match &node.value {
            Value::Mapping(entries) => Some(Self { path, span: node.span, entries, meant: Vec::new() }),
            _ => {
                mismatch(node, &path, "a mapping of keys and values", findings);
                None
            }
        }
    }

    /// The path of a key in here.
    pub(super) fn path(&self, key: &str) -> String {
        let key = key.char_indices().nth(60).map_or(key, |(end, _)| &key[..end]);
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The entry of a key, whatever it holds.
    pub(super) fn entry(&self, key: &str) -> Option<&'n Entry> {
        self.entries.iter().find(|e| e.key == key)
    }

    /// The value of a key, if there is one and it is not null.
    pub(super) fn value(&self, key: &str) -> Option<&'n Node> {
        self.entry(key).map(|e| &e.value).filter(|node| !node.is_null())
    }

    /// The value of a key that must be there; a `missing` problem otherwise: at the empty key, else where the mapping is.
    pub(super) fn required(&self, key: &str, hint: &str, findings: &mut Findings) -> Option<&'n Node> {
        let value = self.value(key);
        if value.is_none() && !self.meant.contains(&key) {
            let span = self.entry(key).map_or(self.span, |e| e.key_span);
            findings.error("missing", span, format!("`{}` is missing", self.path(key))).hint(hint);
        }
        value
    }

    /// The mapping under a key; `None` if there is none.
    pub(super) fn mapping(&self, key: &str, findings: &mut Findings) -> Option<Fields<'n>> {
        Fields::open(self.present(key, "a mapping", findings)?, self.path(key), findings)
    }

    /// The value of a key; written without a value, it is a `type` problem.
    pub(super) fn present(&self, key: &str, wanted: &str, findings: &mut Findings) -> Option<&'n Node> {
        let entry = self.entry(key)?;
        if entry.value.is_null() {
            let message = format!("`{}` has no value", self.path(key));
            findings.error("type", entry.key_span, message).hint(format!("write {wanted}, or remove the key"));
            return None;
        }
        Some(&entry.value)
    }

    /// The text under a key, with where it stands.
    pub(super) fn text(&self, key: &str, findings: &mut Findings) -> Option<(&'n str, Span)> {
        text_of(self.present(key, "a value", findings)?, &self.path(key), findings)
    }

    /// The text under a key as a checked type; a refusal is a problem of this class.
    pub(super) fn parsed<T>(&self, key: &str, class: &str, findings: &mut Findings) -> Option<T>
    where
        T: FromStr<Err = Invalid>,
    {
        let (text, span) = self.text(key, findings)?;
        checked(text.parse(), class, span, findings)
    }

    /// The whole number under a key; outside the range it is a `range` problem.
    pub(super) fn number(&self, key: &str, range: RangeInclusive<u32>, findings: &mut Findings) -> Option<u32> {
        let node = self.present(key, "a number", findings)?;
        number_of(node, &self.path(key), range, findings)
    }

    /// `true` or `false` under a key.
    pub(super) fn flag(&self, key: &str, findings: &mut Findings) -> Option<bool> {
        let (text, span) = self.text(key, findings)?;
        match text {
            "true" | "True" | "TRUE" => Some(true),
            "false" | "False" | "FALSE" => Some(false),
            _ => {
                let message = format!("`{}` must be `true` or `false`, not {}", self.path(key), quote(text));
                findings.error("type", span, message);
                None
            }
        }
    }
}

/// The text of a node; anything but a scalar is a `type` problem.
pub(super) fn text_of<'n>(node: &'n Node, path: &str, findings: &mut Findings) -> Option<(&'n str, Span)> {
    match node.text() {
        Some(text) => Some((text, node.span)),
        None => {
            mismatch(node, path, "a text", findings);
            None
        }
    }
}

/// The whole number of a node, within a range.
pub(super) fn number_of(node: &Node, path: &str, range: RangeInclusive<u32>, findings: &mut Findings) -> Option<u32> {
    let digits = node.text().filter(|t| t.bytes().all(|b| b.is_ascii_digit()));
    let Some(digits) = digits else {
        mismatch(node, path, "a whole number", findings);
        return None;
    };
    let number = digits.parse().ok().filter(|n| range.contains(n));
    if number.is_none() {
        let message = format!("`{path}` must be from {} to {}, not {}", range.start(), range.end(), quote(digits));
        findings.error("range", node.span, message);
    }
    number
}

/// A checked value, or its refusal as a problem.
pub(super) fn checked<T>(result: Result<T, Invalid>, class: &str, span: Span, findings: &mut Findings) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(invalid) => {
            let noted = findings.error(class, span, invalid.message);
            if let Some(hint) = invalid.hint {
                noted.hint(hint);
            }
            None
        }
    }
}

/// A `type` problem: what is there, and what should be.
pub(super) fn mismatch(node: &Node, path: &str, wanted: &str, findings: &mut Findings) {
    let subject = if path.is_empty() { "the file".to_owned() } else { format!("`{path}`") };
    let message = format!("{subject} must be {wanted}, not {}", node.describe());
    let noted = findings.error("type", node.span, message);
    if node.is_null() {
        noted.hint("write a value, or remove the key");
    }
}
