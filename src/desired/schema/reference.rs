//! `docs/reference/manifest.md`, made from the table of keys; a test holds the page to it.

use super::manifest::{at_most_one, has_exactly_one, keys};
use super::{Key, Shape, reached};
use crate::desired::manifest::levels;
use std::fmt::Write;

const HEAD: &str = "\
<!-- Made from the reader's table of keys by the test `the_reference_pages_are_what_the_code_says`; TOWPATH_BLESS=1 writes it anew. -->
# Reference: keys of the manifest

Every key that `towpath.yaml` has, level by level. What they are for is told in [The manifest](../manifest.md); `towpath schema` prints the
same as a JSON schema.
";

/// The page.
pub fn manifest_reference() -> String {
    let reached = reached(keys());
    let mut page = HEAD.to_owned();
    for (level, names, later) in levels().iter().filter(|(level, ..)| reached.contains(level)) {
        section(level, names, later, &mut page);
    }
    page
}

fn section(level: &str, names: &[&str], later: &[&str], page: &mut String) {
    let title = if level.is_empty() { "The whole file".to_owned() } else { format!("`{level}`") };
    // Writing to a text cannot fail.
    let _ = write!(page, "\n## {title}\n\n{}| Key | Holds | Default | Meaning |\n|---|---|---|---|\n", rule(level));
    for key in names.iter().filter_map(|name| keys().iter().find(|k| k.level == level && k.name == *name)) {
        let default = match (key.required, key.default) {
            (true, _) => "required".to_owned(),
            (false, Some(default)) => format!("`{default}`"),
            (false, None) => String::new(),
        };
        let _ = writeln!(page, "| `{}` | {} | {default} | {} |", key.name, holds(&key.shape), meaning(key));
    }
    if !later.is_empty() {
        let later: Vec<String> = later.iter().map(|key| format!("`{key}`")).collect();
        let _ = write!(page, "\nRefused, for a later version: {}.\n", later.join(", "));
    }
}

/// What holds between the keys of a level.
fn rule(level: &str) -> String {
    if has_exactly_one(level) {
        return "Exactly one of its keys.\n\n".into();
    }
    let groups = at_most_one().iter().filter(|(of, _)| *of == level);
    let said = groups.map(|(_, keys)| {
        let keys: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
        format!("At most one of {}.\n\n", keys.join(", "))
    });
    said.collect()
}

fn meaning(key: &Key) -> String {
    let example = key.example.map(|example| format!(" Example: `{example}`.")).unwrap_or_default();
    format!("{}{example}", key.about).replace('|', "\\|")
}

fn holds(shape: &Shape) -> String {
    match shape {
        Shape::Text | Shape::Like(_) => "a text".into(),
        Shape::Choice(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        Shape::Number(least, most) => format!("a whole number, {least} to {most}"),
        Shape::Flag => "`true` or `false`".into(),
        Shape::Duration(least, most) => format!("a duration, `{least}` to `{most}`"),
        Shape::Runtime => "[a runtime](../apprunner-yaml.md#runtimes)".into(),
        Shape::Level(level) => format!("[`{level}`](#{level})"),
        Shape::Map(_, Shape::Text) => "texts by name".into(),
        Shape::Map(_, values) => format!("by name: {}", holds(values)),
        Shape::List(items) => format!("a list of: {}", holds(items)),
        Shape::AnyOf(shapes) => shapes.iter().map(holds).collect::<Vec<_>>().join("; or "),
        Shape::Policy => "a policy: a mapping, or its JSON as text".into(),
        Shape::OrNull(shape) => format!("{}, or nothing", holds(shape)),
    }
}
