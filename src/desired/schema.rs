//! The JSON schemas (draft 2020-12) of the files that people write, for editors and other validators.
//!
//! Which keys there are is taken from the tables that the readers check keys by; what a key holds and means stands in
//! this room's own tables. Tests hold the two together: every key both ways, every bound, default and example against
//! the reader. A schema says less than the reader (no two services on one host name): it may pass what the reader
//! refuses, and never refuses what the reader passes. Pure.

mod apprunner;
mod manifest;
mod reference;
#[cfg(test)]
mod tests;

use crate::model::{Catalogue, RuntimeName};
use serde_json::{Map, Value, json};

pub use apprunner::schema as apprunner_schema;
pub use manifest::schema as manifest_schema;
pub use reference::manifest_reference;

/// The dialect that the schemas are written in.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// What a key holds.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// Any scalar, taken as the text that stands in the file.
    Text,
    /// A scalar of this form; a number in YAML's eyes is taken as it stands.
    Like(&'static str),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A whole number.
    Number(u32, u32),
    /// `true` or `false`.
    Flag,
    /// A duration with its unit, within bounds.
    Duration(&'static str, &'static str),
    /// The name of a managed runtime.
    Runtime,
    /// The mapping of this level.
    Level(&'static str),
    /// Keys of this form with values of that shape.
    Map(&'static str, &'static Shape),
    /// A list.
    List(&'static Shape),
    /// One of several.
    AnyOf(&'static [Shape]),
    /// A policy: a mapping, or its JSON as text.
    Policy,
    /// Something, or nothing.
    OrNull(&'static Shape),
}

/// One key of one mapping.
#[derive(Clone, Copy, Debug)]
struct Key {
    level: &'static str,
    name: &'static str,
    shape: Shape,
    about: &'static str,
    required: bool,
    default: Option<&'static str>,
    example: Option<&'static str>,
}

const fn key(level: &'static str, name: &'static str, shape: Shape, about: &'static str) -> Key {
    Key { level, name, shape, about, required: false, default: None, example: None }
}

impl Key {
    const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// What counts when the key is not there.
    const fn default(self, text: &'static str) -> Self {
        Self { default: Some(text), ..self }
    }

    const fn example(self, text: &'static str) -> Self {
        Self { example: Some(text), ..self }
    }

    /// What it means; bounds that a schema's own words cannot say stand here.
    fn description(&self) -> String {
        match self.shape {
            Shape::Duration(least, most) => format!("{} From `{least}` to `{most}`.", self.about),
            _ => self.about.to_owned(),
        }
    }

    fn schema(&self, catalogue: &Catalogue) -> Value {
        let mut schema = self.shape.schema(catalogue);
        if let Some(fields) = schema.as_object_mut() {
            fields.insert("description".into(), self.description().into());
            if let Some(default) = self.default {
                fields.insert("default".into(), plain(default));
            }
            if let Some(example) = self.example {
                fields.insert("examples".into(), json!([plain(example)]));
            }
        }
        schema
    }
}

/// A scalar as YAML reads it without quotes: `8080` is a number.
fn plain(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Number(_) | Value::Bool(_))) => value,
        _ => text.into(),
    }
}

const SCALAR: [&str; 3] = ["string", "number", "boolean"];
/// `5s`, `1m30s`, as [`crate::desired::duration`] reads them.
const DURATION: &str = r"^\s*([0-9]+\s*(ms|s|m|h|d)\s*)+$";

impl Shape {
    fn schema(&self, catalogue: &Catalogue) -> Value {
        match self {
            Self::Text => json!({ "type": SCALAR }),
            Self::Like(form) => json!({ "type": ["string", "number"], "pattern": form }),
            Self::Choice(words) => json!({ "enum": words }),
            Self::Number(least, most) => {
                json!({ "type": ["integer", "string"], "minimum": least, "maximum": most, "pattern": "^[0-9]+$" })
            }
            Self::Flag => json!({ "enum": [true, false, "true", "True", "TRUE", "false", "False", "FALSE"] }),
            Self::Duration(..) => json!({ "type": "string", "pattern": DURATION }),
            Self::Runtime => {
                let names: Vec<&str> = catalogue.runtimes.iter().map(|r| RuntimeName::as_str(&r.name)).collect();
                json!({ "enum": names })
            }
            Self::Level(level) => json!({ "$ref": format!("#/$defs/{level}") }),
            Self::Map(names, values) => json!({
                "type": "object",
                "propertyNames": { "pattern": names },
                "additionalProperties": values.schema(catalogue),
            }),
            Self::List(items) => json!({ "type": "array", "items": items.schema(catalogue) }),
            Self::AnyOf(shapes) => {
                json!({ "anyOf": shapes.iter().map(|s| s.schema(catalogue)).collect::<Vec<_>>() })
            }
            Self::Policy => json!({ "type": ["object", "string"] }),
            Self::OrNull(shape) => json!({ "anyOf": [shape.schema(catalogue), { "type": "null" }] }),
        }
    }

    /// The levels that are reached from here.
    fn levels(&self) -> Vec<&'static str> {
        match self {
            Self::Level(level) => vec![level],
            Self::Map(_, shape) | Self::List(shape) | Self::OrNull(shape) => shape.levels(),
            Self::AnyOf(shapes) => shapes.iter().flat_map(Self::levels).collect(),
            _ => Vec::new(),
        }
    }
}

/// The mapping of one level: its keys in the order of the reader's table. `closed`: what is not known is refused.
fn mapping(level: &str, names: &[&str], keys: &[Key], closed: bool, catalogue: &Catalogue) -> Map<String, Value> {
    let of_level = || names.iter().filter_map(|name| keys.iter().find(|k| k.level == level && k.name == *name));
    let properties: Map<String, Value> = of_level().map(|k| (k.name.to_owned(), k.schema(catalogue))).collect();
    let required: Vec<&str> = of_level().filter(|k| k.required).map(|k| k.name).collect();
    let mut schema = Map::new();
    schema.insert("type".into(), "object".into());
    schema.insert("properties".into(), Value::Object(properties));
    if !required.is_empty() {
        schema.insert("required".into(), json!(required));
    }
    if closed {
        schema.insert("additionalProperties".into(), false.into());
    }
    schema
}

/// The levels that are reached from the top, each once.
fn reached(keys: &[Key]) -> Vec<&'static str> {
    let mut found = vec![""];
    let mut at = 0;
    while let Some(level) = found.get(at).copied() {
        for next in keys.iter().filter(|k| k.level == level).flat_map(|k| k.shape.levels()) {
            if !found.contains(&next) {
                found.push(next);
            }
        }
        at += 1;
    }
    found
}

/// The whole document: the top level, and the others under `$defs`.
fn document(title: &str, about: &str, top: Map<String, Value>, others: Map<String, Value>) -> Value {
    let mut schema = Map::new();
    for (name, value) in [("$schema", DIALECT), ("title", title), ("description", about)] {
        schema.insert(name.into(), value.into());
    }
    schema.extend(top);
    schema.insert("$defs".into(), Value::Object(others));
    Value::Object(schema)
}
