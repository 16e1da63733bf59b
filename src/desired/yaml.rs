//! A YAML document as a tree that knows where everything stands in its text.
//!
//! Scalars keep the text that stands in the file (`3.10` is not the number 3.1) and whether it was quoted. Aliases and
//! merge keys are resolved within a budget; duplicate keys, tags of other tools and further documents are problems.

mod reader;
mod syntax;
#[cfg(test)]
mod tests;

pub use reader::{read, read_foreign, read_within};

/// The largest text that is read: 1 MiB.
pub const MAX_BYTES: usize = 1 << 20;
/// The deepest nesting that is read.
pub const MAX_DEPTH: usize = 64;
/// The most nodes that a document has, aliases counted as often as they are used: a thousand long services fit.
pub const MAX_NODES: usize = 100_000;

/// Where something stands: line and column from 1, columns in characters; the length on that line, at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
    /// How many characters.
    pub length: u32,
}

impl Span {
    /// The first character of a text.
    pub const START: Self = Self { line: 1, column: 1, length: 1 };
}

/// How a scalar is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Without quotes: YAML tools may take it for a number, a boolean or null.
    Plain,
    /// In quotes, or as a block (`|`, `>`): always text.
    Quoted,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Where it stands; a missing value stands at its key.
    pub span: Span,
    /// What it is.
    pub value: Value,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A text, as it stands in the file.
    Scalar(String, Style),
    /// A list.
    Sequence(Vec<Node>),
    /// Keys and values in the order of the file, each key once.
    Mapping(Vec<Entry>),
}

/// One key of a mapping with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key's text.
    pub key: String,
    /// Where the key stands.
    pub key_span: Span,
    /// Its value.
    pub value: Node,
}

impl Node {
    /// Whether it is nothing: an empty value, `null` or `~`.
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(text, Style::Plain)
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// Its text, if it is a scalar and not null.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(text, _) if !self.is_null() => Some(text),
            _ => None,
        }
    }

    /// Its entries, if it is a mapping.
    pub fn entries(&self) -> Option<&[Entry]> {
        match &self.value {
            Value::Mapping(entries) => Some(entries),
            _ => None,
        }
    }

    /// The value under a key, if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries()?.iter().find(|e| e.key == key).map(|e| &e.value)
    }

    /// What it is, in words: `a list`, `a number`, ….
    pub fn describe(&self) -> &'static str {
        match &self.value {
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "a mapping",
            Value::Scalar(..) if self.is_null() => "empty",
            Value::Scalar(text, Style::Plain) => plain_kind(text).unwrap_or("a text"),
            Value::Scalar(_, Style::Quoted) => "a text",
        }
    }
}

/// What other YAML tools take an unquoted scalar for, where that is not text.
pub fn plain_kind(text: &str) -> Option<&'static str> {
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(text, "true" | "True" | "TRUE" | "false" | "False" | "FALSE") {
        Some("a boolean")
    } else if digits(unsigned)
        || unsigned.starts_with("0x") && unsigned.len() > 2 && unsigned[2..].bytes().all(|b| b.is_ascii_hexdigit())
        || unsigned.split_once('.').is_some_and(|(a, b)| digits(a) && (b.is_empty() || digits(b)))
    {
        Some("a number")
    } else {
        None
    }
}
