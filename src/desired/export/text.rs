//! YAML as people write it: blocks, plain texts where nothing can mistake them, quotes elsewhere.

use std::fmt::{self, Display};

/// A value, or a mapping that is being made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::desired) enum Yaml {
    /// Text as it is written.
    Scalar(String),
    /// Lines that are kept as they are.
    Block(String),
    /// Items.
    List(Vec<Yaml>),
    /// Keys as they are written, each with the comment above it.
    Map(Vec<(Option<String>, String, Yaml)>, Option<String>),
}

/// Words that other readers of YAML take for something else than a text.
const WORDS: &[&str] = &["true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf"];

impl Yaml {
    /// An empty mapping.
    pub(in crate::desired) fn new() -> Self {
        Self::Map(Vec::new(), None)
    }

    /// A text, whatever is in it.
    pub(in crate::desired) fn text(text: impl Display) -> Self {
        Self::Scalar(scalar(&text.to_string()))
    }

    /// A number, a size or a word of the manifest's own.
    pub(in crate::desired) fn plain(value: impl Display) -> Self {
        Self::Scalar(value.to_string())
    }

    /// Lines of plain text.
    pub(in crate::desired) fn block(text: &str) -> Self {
        Self::Block(text.to_owned())
    }

    pub(in crate::desired) fn list(items: impl Iterator<Item = Self>) -> Self {
        Self::List(items.collect())
    }

    pub(in crate::desired) fn map<K: AsRef<str>>(entries: impl IntoIterator<Item = (K, Self)>) -> Self {
        Self::Map(entries.into_iter().map(|(key, value)| (None, scalar(key.as_ref()), value)).collect(), None)
    }

    /// Adds a key to a mapping.
    pub(in crate::desired) fn put(&mut self, key: &str, value: Self) {
        if let Self::Map(entries, remark) = self {
            entries.push((remark.take(), scalar(key), value));
        }
    }

    /// Adds a key to a mapping that has none of this name.
    pub(in crate::desired) fn put_once(&mut self, key: &str, value: Self) {
        let there = matches!(self, Self::Map(entries, _) if entries.iter().any(|(_, name, _)| *name == scalar(key)));
        if !there {
            self.put(key, value);
        }
    }

    /// Adds all keys of another mapping.
    pub(in crate::desired) fn extend(&mut self, other: Self) {
        if let (Self::Map(entries, _), Self::Map(more, _)) = (self, other) {
            entries.extend(more);
        }
    }

    /// Adds a key, unless there is nothing under it.
    pub(in crate::desired) fn put_some(&mut self, key: &str, value: Self) {
        if !value.is_empty() {
            self.put(key, value);
        }
    }

    /// A comment above the next key.
    pub(in crate::desired) fn remark(&mut self, text: Option<&str>) {
        self.remarks(text);
    }

    /// Comments above the next key, each on a line of its own.
    pub(in crate::desired) fn remarks<'t>(&mut self, texts: impl IntoIterator<Item = &'t str>) {
        if let Self::Map(_, remark) = self {
            let lines: Vec<String> = texts.into_iter().map(|text| text.replace(is_unseen, " ")).collect();
            *remark = Some(lines.join("\n")).filter(|text| !text.is_empty());
        }
    }

    /// Whether there is nothing in it.
    pub(in crate::desired) fn is_empty(&self) -> bool {
        match self {
            Self::Map(entries, _) => entries.is_empty(),
            Self::List(items) => items.is_empty(),
            Self::Scalar(_) | Self::Block(_) => false,
        }
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, indent: usize) -> fmt::Result {
        match self {
            Self::Scalar(text) => writeln!(f, " {text}"),
            Self::Map(entries, _) if entries.is_empty() => writeln!(f, " {{}}"),
            Self::List(items) if items.is_empty() => writeln!(f, " []"),
            Self::Block(text) => {
                writeln!(f, " |")?;
                text.lines().try_for_each(|line| writeln!(f, "{:indent$}{line}", ""))
            }
            Self::List(items) => {
                writeln!(f)?;
                items.iter().try_for_each(|item| {
                    write!(f, "{:indent$}-", "")?;
                    item.write(f, indent + 2)
                })
            }
            Self::Map(entries, _) => {
                writeln!(f)?;
                entries.iter().try_for_each(|entry| write_entry(entry, f, indent))
            }
        }
    }
}

fn write_entry(entry: &(Option<String>, String, Yaml), f: &mut fmt::Formatter<'_>, indent: usize) -> fmt::Result {
    let (remark, key, value) = entry;
    for line in remark.iter().flat_map(|remark| remark.lines()) {
        writeln!(f, "{:indent$}# {line}", "")?;
    }
    write!(f, "{:indent$}{key}:", "")?;
    value.write(f, indent + 2)
}

/// The whole document.
impl Display for Yaml {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Map(entries, _) => entries.iter().try_for_each(|entry| write_entry(entry, f, 0)),
            other => other.write(f, 0),
        }
    }
}

/// A text as a scalar: plain where every reader takes it for the same text.
fn scalar(text: &str) -> String {
    let first = text.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '/');
    let harmless = |c: char| c.is_ascii_alphanumeric() || " _./:@+,=$()-".contains(c);
    let structure = text.contains(": ") || text.ends_with([':', ' ']);
    let word = WORDS.contains(&text.to_ascii_lowercase().as_str());
    if first && text.chars().all(harmless) && !structure && !word {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    text.chars().for_each(|c| escape(c, &mut quoted));
    quoted.push('"');
    quoted
}

fn escape(c: char, out: &mut String) {
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\t' => out.push_str("\\t"),
        '\r' => out.push_str("\\r"),
        c if is_unseen(c) => out.push_str(&format!("\\u{:04x}", u32::from(c))),
        c => out.push(c),
    }
}

/// Control characters, line ends in Unicode's eyes, and what turns or hides text.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{a0}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff0}'..='\u{ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_could_be_taken_for_something_else_are_quoted() {
        for plain in ["python app.py", "https://a.b/c", "/srv/x", "a=b", "gunicorn app:app --bind 0.0.0.0:$PORT"] {
            assert_eq!(scalar(plain), plain);
        }
        for (text, quoted) in [
            ("", "\"\""),
            ("3.10", "\"3.10\""),
            ("Yes", "\"Yes\""),
            ("a: b", "\"a: b\""),
            ("a #b", "\"a #b\""),
            ("a:", "\"a:\""),
            ("- a", "\"- a\""),
            ("a\nb\"\\", "\"a\\nb\\\"\\\\\""),
            ("\u{2028}é", "\"\\u2028é\""),
        ] {
            assert_eq!(scalar(text), quoted);
        }
    }
}
