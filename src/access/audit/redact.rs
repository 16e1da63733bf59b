//! What of requests and answers is recorded, and how: member names and times as CloudTrail writes them, nothing that is secret.

use crate::model::Timestamp;
use serde_json::{Map, Value};

/// What stands where a value is left out: that it was given stays visible (row O6).
pub(super) const HIDDEN: &str = "HIDDEN_DUE_TO_SECURITY_REASONS";

/// Members whose values may hold secrets.
const SECRET: &[&str] = &[
    "BuildCommand",
    "StartCommand",
    "RuntimeEnvironmentVariables",
    "RuntimeEnvironmentSecrets",
    "Manifest",
    "Plan",
    "Command",
    "Data",
    "Secret",
    "SecretAccessKey",
    "BrowserUrl",
    "SessionToken",
];
/// Members that are moments: epoch seconds on the wire, ISO 8601 in a record.
const MOMENTS: &[&str] = &["CreatedAt", "UpdatedAt", "DeletedAt", "StartedAt", "EndedAt"];
/// The most of one side of a call that is recorded.
const MOST: usize = 64 << 10;

/// A request or an answer as it is recorded; `null` for an empty one.
pub(super) fn redacted(value: &Value) -> Value {
    match value {
        Value::Object(members) if members.is_empty() => Value::Null,
        value => {
            let recorded = rewritten(value);
            let size = recorded.to_string().len();
            if size <= MOST {
                return recorded;
            }
            serde_json::json!({ "omitted": true, "originalSize": size, "reason": "it is too large" })
        }
    }
}

fn rewritten(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| (lower(name), member(name, value)));
            Value::Object(members.collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.iter().map(rewritten).collect()),
        other => other.clone(),
    }
}

fn member(name: &str, value: &Value) -> Value {
    match value {
        Value::Null => Value::Null,
        _ if SECRET.contains(&name) => HIDDEN.into(),
        Value::Number(seconds) if MOMENTS.contains(&name) => match seconds.as_f64() {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "a moment in milliseconds is far from the edge of 64 bits"
            )]
            Some(seconds) => Timestamp((seconds * 1000.0) as i64).to_string().into(),
            None => Value::Null,
        },
        value => rewritten(value),
    }
}

/// `ServiceName` is `serviceName`.
fn lower(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(letters).collect()
}
