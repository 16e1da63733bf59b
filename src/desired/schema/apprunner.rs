//! What the keys of `apprunner.yaml` hold and mean.

use super::Shape::{Level, Like, List, Number, OrNull, Runtime, Text};
use super::{Key, Shape, document, key, mapping, reached};
use crate::desired::apprunner::{is_refused, levels, words};
use crate::model::Catalogue;
use serde_json::{Map as Fields, Value};

const COMMANDS: Shape = OrNull(&List(&Text));
const VARIABLES: Shape = OrNull(&List(&Level("env")));

const KEYS: &[Key] = &[
    key("", "version", Text, "The version of this file's format: `1.0`.").required().example("1.0"),
    key("", "runtime", Runtime, "The managed runtime.").required().example("python311"),
    key("", "build", Level("build"), "How the application is built.").required(),
    key("", "run", Level("run"), "How the application is started.").required(),
    key("build", "commands", Level("build.commands"), "The commands of the build.").required(),
    key("build", "env", VARIABLES, "Variables of the build."),
    key("build.commands", "pre-build", COMMANDS, "Commands before the build."),
    key("build.commands", "build", List(&Text), "The commands of the build; at least one.").required(),
    key("build.commands", "post-build", COMMANDS, "Commands after the build."),
    key("run", "runtime-version", OrNull(&Like(r"^[0-9]{1,6}(\.[0-9]{1,6}){0,2}$")), "A version lock.").example("3.11"),
    key("run", "pre-run", COMMANDS, "Commands of each instance before its start."),
    key(
        "run",
        "command",
        Text,
        "The start command. One that needs a shell is run by `sh -c`, with a warning: App Runner runs none.",
    )
    .required()
    .example("python app.py"),
    key("run", "network", OrNull(&Level("run.network")), "Where the application listens."),
    key("run", "env", VARIABLES, "Variables of the application."),
    key("run", "secrets", OrNull(&List(&Level("secrets"))), "Variables whose values are read elsewhere."),
    key("run.network", "port", OrNull(&Number(1, 65535)), "The port.").default("8080"),
    key("run.network", "env", OrNull(&Text), "A further variable that carries the port; `PORT` always does."),
    key("env", "name", Like(r"^(?!AWSAPPRUNNER)[^=\s]+$"), "The variable.").required().example("LOG_LEVEL"),
    key("env", "value", Text, "Its value.").required().example("info"),
    key("secrets", "name", Like(r"^(?!AWSAPPRUNNER)[^=\s]+$"), "The variable.").required().example("DATABASE_URL"),
    key("secrets", "value-from", Text, "Where its value is read.").required(),
];

/// The schema of `apprunner.yaml`. As App Runner, it overlooks keys that it does not know; not those that were clearly
/// meant to be another, because what they say would be lost.
pub fn schema(catalogue: &Catalogue) -> Value {
    let reached = reached(KEYS);
    let mut levels = levels().iter().filter(|(level, _)| reached.contains(level)).map(|(level, names)| {
        let mut schema = mapping(level, names, KEYS, false, catalogue);
        refuse(level, names, &mut schema);
        if *level == "build.commands"
            && let Some(build) = schema.get_mut("properties").and_then(|p| p.get_mut("build"))
        {
            build["minItems"] = 1.into();
        }
        ((*level).to_owned(), schema)
    });
    let top = levels.next().map(|(_, top)| top).unwrap_or_default();
    let others = levels.map(|(level, schema)| (level, Value::Object(schema))).collect();
    document(
        "apprunner.yaml",
        "How one application is built and started, as App Runner and towpath read it.",
        top,
        others,
    )
}

/// The words that the reader takes for another key.
fn refuse(level: &str, names: &[&str], schema: &mut Fields<String, Value>) {
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return };
    for word in words().filter(|word| !names.contains(word) && is_refused(level, word)) {
        properties.insert(word.to_owned(), false.into());
    }
}

#[cfg(test)]
pub(super) fn keys() -> &'static [Key] {
    KEYS
}
