//! One condition: an operator, a key, and the values that it is compared with.

use super::context::{Context, Key, Values};
use super::operator::{Operand, Operator, Sense};
use super::pattern::Dialect;

/// How a set of values is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    /// No prefix.
    None,
    /// `ForAllValues:`.
    All,
    /// `ForAnyValue:`.
    Any,
}

/// What a key that is not in the request makes of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Absent {
    /// `…IfExists`: true.
    Passes,
    /// What the operator's sense makes of it.
    Compares,
}

/// A condition on one key.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Condition {
    key: Key,
    test: Test,
}

#[derive(Clone, Debug, PartialEq)]
enum Test {
    /// `Null`: whether the key is absent.
    Null(bool),
    Compare {
        set: Set,
        absent: Absent,
        sense: Sense,
        operands: Vec<Operand>,
    },
}

impl Condition {
    /// Reads a condition.
    ///
    /// # Errors
    /// In words, for an operator that there is not, and for values that it cannot compare with.
    pub fn read(name: &str, key: &str, values: &[String], dialect: Dialect) -> Result<Self, String> {
        if key.is_empty() {
            return Err(format!("`{}` names no key", name.escape_debug()));
        }
        let (set, bare) = match name.split_once(':') {
            Some(("ForAllValues", bare)) => (Set::All, bare),
            Some(("ForAnyValue", bare)) => (Set::Any, bare),
            _ => (Set::None, name),
        };
        let (bare, absent) = match bare.strip_suffix("IfExists") {
            Some(bare) => (bare, Absent::Passes),
            None => (bare, Absent::Compares),
        };
        if bare == "Null" && set == Set::None && absent == Absent::Compares {
            return Ok(Self { key: Key::new(key), test: Test::Null(read_null(values)?) });
        }
        let unknown = || format!("`{}` is not a condition operator", name.escape_debug());
        let (operator, sense) = Operator::of(bare).ok_or_else(unknown)?;
        let operands = values.iter().map(|value| {
            let read = Operand::read(operator, value, dialect);
            read.map_err(|why| format!("`{}` of `{name}` on `{key}` {why}", value.escape_debug()))
        });
        let operands = operands.collect::<Result<_, _>>()?;
        Ok(Self { key: Key::new(key), test: Test::Compare { set, absent, sense, operands } })
    }

    /// Whether it holds.
    pub fn holds(&self, context: &Context) -> bool {
        let given = context.get(&self.key).map(Values::all).filter(|values| !values.is_empty());
        match &self.test {
            Test::Null(wanted) => given.is_none() == *wanted,
            Test::Compare { set, absent, sense, operands } => {
                let Some(values) = given else { return holds_without(*set, *absent, *sense) };
                let one = |value: &String| {
                    let matches = operands.iter().any(|operand| operand.matches(value, context));
                    matches == (*sense == Sense::Positive)
                };
                match (set, sense) {
                    (Set::All, _) | (Set::None, Sense::Negated) => values.iter().all(one),
                    (Set::Any, _) | (Set::None, Sense::Positive) => values.iter().any(one),
                }
            }
        }
    }
}

/// What a condition is where the request does not have its key: a negated operator holds, a positive one does not (row A4).
fn holds_without(set: Set, absent: Absent, sense: Sense) -> bool {
    match (set, absent) {
        (_, Absent::Passes) | (Set::All, _) => true,
        (Set::Any, _) => false,
        (Set::None, _) => sense == Sense::Negated,
    }
}

fn read_null(values: &[String]) -> Result<bool, String> {
    match values {
        [value] if value == "true" => Ok(true),
        [value] if value == "false" => Ok(false),
        _ => Err("`Null` is compared with `true` or `false`".into()),
    }
}
