//! One validator for all operations: what a request's body has to be by the model. Pure.
//!
//! A value of another JSON type is a `SerializationException`, as where a typed reader meets it; everything else is
//! collected and said at once. `null` means absent; members that the model does not know are ignored. Values are never
//! repeated in messages: they may be secrets.

use super::classes;
use super::input::Input;
use super::model::{MODEL, Member, Operation, Range, Shape};
use crate::api::control::Refusal;
use crate::api::errors::{ApiError, Fault};
use serde_json::{Map, Value};

/// How many problems are named; the rest are counted.
const NAMED: usize = 5;
/// A member of ours that some operations take: why a person asks. Never sent by AWS clients.
const REASON: &str = "Reason";
/// Another: that a deployment does not wait for its windows.
pub(super) const OVERRIDE: &str = "OverrideWindow";

/// The input, without what is `null` or not known.
///
/// # Errors
/// `SerializationException` for other JSON types, `InvalidRequestException` naming every member that is not as it must be.
pub(super) fn validate(operation: &'static Operation, input: &Value) -> Result<Input, ApiError> {
    let mut checking = Checking::default();
    let object =
        input.as_object().ok_or_else(|| Fault::Serialization("the request's body must be one JSON object".into()))?;
    let mut members = checking.members(&operation.members, object, "")?;
    if let Some(reason) = object.get(REASON).filter(|r| r.is_string()) {
        members.insert(REASON.into(), reason.clone());
    }
    if let Some(overrides) = object.get(OVERRIDE).filter(|o| o.is_boolean()) {
        members.insert(OVERRIDE.into(), overrides.clone());
    }
    checking.verdict()?;
    Ok(Input::new(operation.name, Value::Object(members)))
}

#[derive(Default)]
struct Checking {
    problems: Vec<String>,
}

impl Checking {
    fn verdict(self) -> Result<(), Refusal> {
        let more = self.problems.len().saturating_sub(NAMED);
        let mut named: Vec<String> = self.problems.into_iter().take(NAMED).collect();
        if more > 0 {
            named.push(format!("and {more} more"));
        }
        if named.is_empty() { Ok(()) } else { Err(Refusal::InvalidRequest(named.join("; "))) }
    }

    fn members(
        &mut self,
        members: &[Member],
        object: &Map<String, Value>,
        path: &str,
    ) -> Result<Map<String, Value>, Fault> {
        let mut taken = Map::new();
        for Member { name, required, shape } in members {
            let path = if path.is_empty() { (*name).to_owned() } else { format!("{path}.{name}") };
            match object.get(*name).filter(|value| !value.is_null()) {
                Some(value) => {
                    taken.insert((*name).to_owned(), self.value(shape, value, &path)?);
                }
                None if *required => self.problems.push(format!("`{path}` is required")),
                None => {}
            }
        }
        Ok(taken)
    }

    fn value(&mut self, shape: &str, value: &Value, path: &str) -> Result<Value, Fault> {
        let Some(shape) = MODEL.shape(shape) else { return Ok(value.clone()) };
        match (shape, value) {
            (Shape::Structure(members), Value::Object(object)) => {
                Ok(Value::Object(self.members(members, object, path)?))
            }
            (Shape::List(item), Value::Array(items)) => {
                let items = items.iter().enumerate().map(|(at, v)| self.value(item, v, &format!("{path}[{at}]")));
                items.collect::<Result<Vec<_>, _>>().map(Value::Array)
            }
            (Shape::Map(key, entry), Value::Object(object)) => self.map(key, entry, object, path),
            (Shape::Enum(words), Value::String(text)) => {
                if !words.contains(&text.as_str()) {
                    self.problems.push(format!("`{path}` must be one of {}", words.join(", ")));
                }
                Ok(value.clone())
            }
            (Shape::String(range, class), Value::String(text)) => {
                self.string(*range, *class, text, path);
                Ok(value.clone())
            }
            (Shape::Integer(range), Value::Number(number)) if number.is_i64() || number.is_u64() => {
                // What is above the range of the type is above every range of the model, or not told from it by anyone.
                let number = number.as_i64().unwrap_or(i64::MAX);
                self.range(*range, number, path, "must be");
                Ok(number.into())
            }
            (Shape::Boolean, Value::Bool(_)) => Ok(value.clone()),
            (shape, _) => Err(Fault::Serialization(format!("`{path}` must be {}", json_type(shape)))),
        }
    }

    fn map(&mut self, key: &str, entry: &str, object: &Map<String, Value>, path: &str) -> Result<Value, Fault> {
        let mut taken = Map::new();
        // Names of entries may be as secret as their values.
        for (at, (name, value)) in object.iter().filter(|(_, value)| !value.is_null()).enumerate() {
            self.value(key, &Value::String(name.clone()), &format!("{path}: key {}", at + 1))?;
            taken.insert(name.clone(), self.value(entry, value, &format!("{path}: value {}", at + 1))?);
        }
        Ok(Value::Object(taken))
    }

    fn string(&mut self, range: Range, class: Option<&str>, text: &str, path: &str) {
        let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
        if !self.range(range, length, path, "must have a length of") {
            return;
        }
        if let Some(class) = class.filter(|class| !classes::fits(class, text)) {
            self.problems.push(format!("`{path}` {}", classes::described(class)));
        }
    }

    fn range(&mut self, range: Range, number: i64, path: &str, must: &str) -> bool {
        let fits = range.least.is_none_or(|least| number >= least) && range.most.is_none_or(|most| number <= most);
        if !fits {
            let span = match (range.least, range.most) {
                (Some(least), Some(most)) => format!("{least} to {most}"),
                (Some(least), None) => format!("at least {least}"),
                (None, Some(most)) => format!("at most {most}"),
                (None, None) => "another value".into(),
            };
            self.problems.push(format!("`{path}` {must} {span}, not {number}"));
        }
        fits
    }
}

fn json_type(shape: &Shape) -> &'static str {
    match shape {
        Shape::Structure(_) | Shape::Map(..) => "an object",
        Shape::List(_) => "a list",
        Shape::Enum(_) | Shape::String(..) => "a string",
        Shape::Integer(_) => "a whole number",
        Shape::Boolean => "`true` or `false`",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn check(operation: &str, input: &Value) -> Result<Input, ApiError> {
        validate(MODEL.operation(operation).unwrap(), input)
    }

    fn problem(operation: &str, input: &Value) -> String {
        match check(operation, input).unwrap_err() {
            ApiError::Refused(Refusal::InvalidRequest(message)) => message,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn every_problem_is_said_at_once_and_no_value_is_repeated() {
        let input = json!({
            "ServiceName": "a!",
            "SourceConfiguration": { "CodeRepository": { "SourceCodeVersion": { "Type": "hunter2" } } },
            "HealthCheckConfiguration": { "Interval": 21 },
        });
        let message = problem("CreateService", &input);
        for part in [
            "`ServiceName` must have a length of 4 to 40, not 2",
            "`SourceConfiguration.CodeRepository.RepositoryUrl` is required",
            "`SourceConfiguration.CodeRepository.SourceCodeVersion.Type` must be one of BRANCH",
            "`SourceConfiguration.CodeRepository.SourceCodeVersion.Value` is required",
            "`HealthCheckConfiguration.Interval` must be 1 to 20, not 21",
        ] {
            assert!(message.contains(part), "{part}: {message}");
        }
        assert!(!message.contains("hunter2"), "{message}");
    }

    #[test]
    fn null_is_absent_and_what_is_not_known_is_left_out() {
        let input = check("ListServices", &json!({ "MaxResults": null, "Bogus": { "x": 1 } })).unwrap();
        assert_eq!(input.parameters(), "[]");
        assert_eq!(problem("DescribeService", &json!({ "ServiceArn": null })), "`ServiceArn` is required");
    }

    #[test]
    fn another_json_type_is_a_serialization_exception() {
        for value in [json!("ten"), json!(true), json!(1.5), json!([]), json!({})] {
            let error = check("ListServices", &json!({ "MaxResults": value })).unwrap_err();
            assert_eq!(error.row().1, "SerializationException", "{value}");
        }
        let error = check("UntagResource", &json!({ "ResourceArn": "x", "TagKeys": [null] })).unwrap_err();
        assert_eq!(error.row().1, "SerializationException");
    }

    #[test]
    fn more_problems_than_can_be_read_are_counted() {
        let tags: Vec<Value> = (0..40).map(|_| json!({ "Key": "aws:x" })).collect();
        let message =
            problem("CreateConnection", &json!({ "ConnectionName": "conn", "ProviderType": "GITHUB", "Tags": tags }));
        assert!(message.ends_with("and 35 more"), "{message}");
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,20}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map("(ServiceArn|Tags|Key|SourceConfiguration|Filter|.{0,4})", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_comes_is_taken_or_refused_as_the_callers_fault(
            operation in prop::sample::select(vec!["CreateService", "UpdateService", "TagResource", "ListVpcIngressConnections"]),
            input in any_json(),
        ) {
            if let Err(error) = check(operation, &input) {
                prop_assert_eq!(error.row().0.as_u16(), 400);
            }
        }
    }
}
