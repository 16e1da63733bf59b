//! The input of an operation once the model was satisfied: members are there or absent, and of their types.

use serde_json::{Map, Value};

/// A structure of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Members<'a>(Option<&'a Map<String, Value>>);

impl<'a> Members<'a> {
    fn get(self, name: &str) -> Option<&'a Value> {
        self.0?.get(name)
    }

    /// A string, if it is there.
    pub fn text(self, name: &str) -> Option<&'a str> {
        self.get(name)?.as_str()
    }

    /// An integer, if it is there.
    pub fn integer(self, name: &str) -> Option<i64> {
        self.get(name)?.as_i64()
    }

    /// A boolean, if it is there.
    pub fn boolean(self, name: &str) -> Option<bool> {
        self.get(name)?.as_bool()
    }

    /// A structure, if it is there.
    pub fn structure(self, name: &str) -> Option<Members<'a>> {
        self.get(name)?.as_object().map(|object| Members(Some(object)))
    }

    /// A structure, or one without members.
    pub fn structure_or_empty(self, name: &str) -> Members<'a> {
        self.structure(name).unwrap_or(Members(None))
    }

    /// The structures of a list, if it is there.
    pub fn structures(self, name: &str) -> Option<Vec<Members<'a>>> {
        Some(self.get(name)?.as_array()?.iter().map(|item| Members(item.as_object())).collect())
    }

    /// The strings of a list, if it is there.
    pub fn texts(self, name: &str) -> Option<Vec<String>> {
        Some(self.get(name)?.as_array()?.iter().filter_map(|item| Some(item.as_str()?.to_owned())).collect())
    }

    /// The entries of a map of strings, if it is there.
    pub fn entries(self, name: &str) -> Option<Vec<(&'a str, &'a str)>> {
        let entries = self.get(name)?.as_object()?.iter();
        Some(entries.filter_map(|(key, value)| Some((key.as_str(), value.as_str()?))).collect())
    }
}

/// The whole input.
#[derive(Clone, Debug)]
pub(super) struct Input {
    operation: &'static str,
    value: Value,
}

impl Input {
    /// What the validator let through.
    pub fn new(operation: &'static str, value: Value) -> Self {
        Self { operation, value }
    }

    /// The operation's name.
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// Its members.
    pub fn members(&self) -> Members<'_> {
        Members(self.value.as_object())
    }

    /// A string, if it is there.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.members().text(name)
    }

    /// A string that the model requires.
    pub fn required(&self, name: &str) -> &str {
        self.text(name).unwrap_or_default()
    }

    /// Why a person asks: a member of ours that AWS clients never send.
    pub fn reason(&self) -> Option<&str> {
        self.text("Reason")
    }

    /// An integer, if it is there.
    pub fn integer(&self, name: &str) -> Option<i64> {
        self.members().integer(name)
    }

    /// A boolean, if it is there.
    pub fn boolean(&self, name: &str) -> Option<bool> {
        self.members().boolean(name)
    }

    /// All members but the token, in one order: what a token is bound to.
    pub fn parameters(&self) -> String {
        let members = self.value.as_object().into_iter().flatten();
        let mut members: Vec<(&String, &Value)> = members.filter(|(name, _)| *name != "NextToken").collect();
        members.sort_by_key(|(name, _)| *name);
        serde_json::to_string(&members).unwrap_or_default()
    }
}
