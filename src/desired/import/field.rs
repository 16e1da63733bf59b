//! Members of a text while they are read: each with its path, and those that nobody asked for are found at the end.

use super::functions;
use crate::desired::yaml::{Node, Value};

/// A value with its path.
#[derive(Clone, Debug)]
pub(super) struct Field<'n> {
    /// `SourceConfiguration.CodeRepository`.
    pub(super) path: String,
    /// The value.
    pub(super) node: &'n Node,
}

/// The members of a mapping that nobody took yet.
#[derive(Debug)]
pub(super) struct Members<'n> {
    fields: Vec<(&'n str, Field<'n>)>,
}

impl<'n> Field<'n> {
    /// The root of a text.
    pub(super) fn root(node: &'n Node) -> Self {
        Self { path: String::new(), node }
    }

    /// The line it stands in, where the text is one of lines.
    pub(super) fn line(&self) -> Option<u32> {
        Some(self.node.span.line).filter(|line| *line > 0)
    }

    /// Its text, if it is one, or a number or a word.
    pub(super) fn text(&self) -> Option<&'n str> {
        self.node.text()
    }

    /// What a function left that could not be worked out: how it is written, and why not.
    pub(super) fn unresolved(&self) -> Option<(&'n str, &'n str)> {
        functions::unresolved(self.node)
    }

    /// Its members, if it is a mapping.
    pub(super) fn members(&self) -> Option<Members<'n>> {
        let entries = self.node.entries().filter(|_| self.unresolved().is_none())?;
        let fields = entries.iter().filter(|entry| !entry.value.is_null()).map(|entry| {
            let path = match self.path.as_str() {
                "" => entry.key.clone(),
                path => format!("{path}.{}", entry.key),
            };
            (entry.key.as_str(), Field { path, node: &entry.value })
        });
        Some(Members { fields: fields.collect() })
    }

    /// Its items, if it is a list.
    pub(super) fn items(&self) -> Option<Vec<Self>> {
        let Value::Sequence(items) = &self.node.value else { return None };
        let item = |(at, node): (usize, &'n Node)| Self { path: format!("{}[{at}]", self.path), node };
        Some(items.iter().enumerate().filter(|(_, node)| !node.is_null()).map(item).collect())
    }
}

impl<'n> Members<'n> {
    /// Takes a member out.
    pub(super) fn take(&mut self, key: &str) -> Option<Field<'n>> {
        let at = self.fields.iter().position(|(name, _)| *name == key)?;
        Some(self.fields.remove(at).1)
    }

    /// Takes several out, those that are there.
    pub(super) fn take_all(&mut self, keys: &[&str]) -> Vec<Field<'n>> {
        keys.iter().filter_map(|key| self.take(key)).collect()
    }

    /// What nobody took, with their names.
    pub(super) fn rest(self) -> Vec<(&'n str, Field<'n>)> {
        self.fields
    }
}
