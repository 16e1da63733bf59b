//! What is known of a request: condition keys and their values.

use std::collections::BTreeMap;

/// A key's values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Values {
    /// A key that has one value.
    One(String),
    /// A key that is a set (`aws:TagKeys`).
    Many(Vec<String>),
}

impl Values {
    /// The values, of either kind.
    pub fn all(&self) -> &[String] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(values) => values,
        }
    }
}

/// Condition keys with their values. Names are found without regard to case, tag keys in them too (row A6).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// By lower-case name: every spelling that there is, and its values.
    keys: BTreeMap<String, Vec<(String, Values)>>,
}

impl Context {
    /// Sets a key with one value.
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.insert(key, Values::One(value.into()));
    }

    /// Sets a key that is a set.
    pub fn set_many(&mut self, key: &str, values: Vec<String>) {
        self.insert(key, Values::Many(values));
    }

    /// Sets all keys of another.
    pub fn add(&mut self, other: &Self) {
        for (spelling, values) in other.keys.values().flatten() {
            self.insert(spelling, values.clone());
        }
    }

    fn insert(&mut self, key: &str, values: Values) {
        let spellings = self.keys.entry(key.to_ascii_lowercase()).or_default();
        spellings.retain(|(spelling, _)| spelling != key);
        spellings.push((key.to_owned(), values));
    }

    /// A key's values. Where two tags differ in case only, the one that is spelt as asked for is meant.
    pub fn get(&self, key: &str) -> Option<&Values> {
        // Most are written in small letters or are found by their lower-case twin; only others need a copy.
        let is_lower = !key.bytes().any(|b| b.is_ascii_uppercase());
        let spellings = if is_lower { self.keys.get(key)? } else { self.keys.get(&key.to_ascii_lowercase())? };
        let exact = spellings.iter().find(|(spelling, _)| spelling == key);
        exact.or_else(|| spellings.first()).map(|(_, values)| values)
    }

    /// The value of a key that has one, for policy variables.
    pub(super) fn single(&self, key: &str) -> Option<&str> {
        match self.get(key)? {
            Values::One(value) => Some(value),
            Values::Many(_) => None,
        }
    }
}
