//! Manifests of AWS Copilot: `Request-Driven Web Service` is what ran on App Runner.

use super::answers::own_domain;
use super::copilot_image;
use super::documents::{Document, shown};
use super::draft::{Draft, fitting};
use super::field::{Field, Members};
use super::known::Known;
use super::note::Outcome;
use super::place::About;
use super::scaling::Settings;
use super::{Choices, scaling, service, variables};
use crate::desired::export::text::Yaml;
use crate::desired::keys::listed;
use crate::desired::yaml::{Entry, Node, Value};

/// Copilot's kind of service that runs on App Runner.
const REQUEST_DRIVEN: &str = "Request-Driven Web Service";

/// The service of a manifest.
pub(super) fn draft(document: &Document, choices: &Choices, known: &mut Known) -> Option<Draft> {
    let file = document.input.file.as_str();
    let root = Field::root(&document.root);
    let kind = root.node.get("type").and_then(Node::text).unwrap_or_default();
    if kind != REQUEST_DRIVEN {
        let why = format!("a {} does not run on App Runner", shown(kind));
        known.note(file, &root, Outcome::LeftOut, &why, "");
        return None;
    }
    let application = document.input.repository.as_ref().and_then(|place| place.application.as_deref());
    let names =
        [("COPILOT_APPLICATION_NAME", application), ("COPILOT_ENVIRONMENT_NAME", choices.environment.as_deref())];
    let merged = interpolated(&with_environment(document, choices, known), &names);
    let root = Field::root(&merged);
    let mut members = root.members()?;
    let named = members.take("name");
    let wanted = named.as_ref().and_then(Field::text).unwrap_or("service");
    let name = match (wanted.len() < 4, application) {
        (true, Some(application)) => fitting(&format!("{application}-{wanted}")),
        _ => fitting(wanted),
    };
    let mut draft = Draft::new(wanted, file);
    named.iter().for_each(|field| draft.carried(field));
    if name != wanted {
        draft.rename(wanted, &name, "a name has 4 to 40 letters, digits, `-` and `_`");
    }
    members.take_all(&["type"]).iter().for_each(|field| draft.carried(field));
    copilot_image::read(members.take("image"), document.input.repository.as_ref(), &mut draft);
    settings(&mut members, known, file, &mut draft);
    draft.rest(members);
    Some(draft)
}

fn settings(members: &mut Members, known: &mut Known, file: &str, draft: &mut Draft) {
    if let Some(field) = members.take("cpu") {
        service::cpu(&field, draft);
    }
    if let Some(field) = members.take("memory") {
        service::memory(&field, draft);
    }
    if let Some(field) = members.take("platform") {
        draft.left_out(&field, "an image is built for the machine that it runs on", "");
    }
    if let Some(field) = members.take("command") {
        command(&field, draft);
    }
    let secrets = members.take("secrets").map(|field| secrets(&field, draft)).unwrap_or_default();
    if let Some(field) = members.take("variables") {
        variables(&field, &secrets, draft);
    }
    if let Some(field) = members.take("tags") {
        variables::tags(&field, draft);
    }
    if let Some(field) = members.take("count") {
        count(&field, known, draft);
    }
    http(members.take("http"), file, known, draft);
    around(members, draft);
}

/// Copilot runs the command in place of the image's own.
fn command(field: &Field, draft: &mut Draft) {
    let words: Option<Vec<&str>> =
        field.items().map(|items| items.iter().filter_map(Field::text).collect::<Vec<&str>>());
    let text = words.map(|words| words.join(" ")).or_else(|| field.text().map(str::to_owned));
    match text.as_deref().and_then(super::source::start) {
        Some(text) => {
            draft.carried(field);
            draft.build = copilot_image::with_start(&draft.build, &text);
        }
        None => draft.left_out(field, "it is no command of one line", "write `build.start`"),
    }
}

/// Values, or `from_cfn` for what a stack exports.
fn variables(field: &Field, secrets: &[String], draft: &mut Draft) {
    let plain = Node { span: field.node.span, value: Value::Mapping(Vec::new()) };
    let Some(members) = draft.members(field) else { return };
    let mut entries = Vec::new();
    for (name, value) in members.rest() {
        match value.node.get("from_cfn").and_then(Node::text) {
            Some(export) => {
                let why = format!("is what the stack exports as `{export}`");
                draft.env.remarks([why.as_str()]);
                draft.missing_in_place(&value, why, format!("it is `{}` now", super::FILL_IN));
                draft.env.put(name, Yaml::text(super::FILL_IN));
            }
            None => entries.push(Entry { key: name.to_owned(), key_span: value.node.span, value: value.node.clone() }),
        }
    }
    let filled = std::mem::replace(&mut draft.env, Yaml::new());
    let values = Node { value: Value::Mapping(entries), ..plain };
    variables::environment(&Field { path: field.path.clone(), node: &values }, secrets, draft);
    draft.env.extend(filled);
}

/// The name of a parameter of SSM, `secretsmanager` with that of a secret, or `from_cfn`.
fn secrets(field: &Field, draft: &mut Draft) -> Vec<String> {
    let Some(members) = draft.members(field) else { return Vec::new() };
    let mut names = Vec::new();
    for (name, value) in members.rest() {
        let text = |key| value.node.get(key).and_then(Node::text);
        let kept = match (value.text(), text("secretsmanager"), text("from_cfn")) {
            (Some(name), ..) => name.to_owned(),
            (None, Some(name), _) if name.starts_with("arn:") => name.to_owned(),
            (None, Some(name), _) => format!("secretsmanager:{name}"),
            (None, None, export) => format!("what the stack exports as {}", export.unwrap_or_default()),
        };
        if name.parse::<crate::model::EnvName>().is_err() || name == "PORT" {
            draft.left_out(&value, format!("{} is no name of a variable here", shown(name)), "");
            continue;
        }
        variables::secret(name, &value, &kept, draft);
        names.push(name.to_owned());
    }
    names
}

/// `count` names a scaling configuration.
fn count(field: &Field, known: &Known, draft: &mut Draft) {
    let Some(name) = draft.text(field).map(str::to_owned) else { return };
    // A name may stand with its revision: `high-availability/3`.
    let plain = name.split('/').next().unwrap_or_default();
    let reference = known.scalings.iter().rev().find(|settings: &&Settings| settings.name == plain);
    match reference.map(|settings| settings.reference.clone()) {
        Some(reference) => scaling::refer(field, &reference, &known.scalings, draft),
        None => draft.left_out(
            field,
            "its numbers are not in what was read: the defaults hold",
            "add the output of `aws apprunner describe-auto-scaling-configuration` for it to what is imported",
        ),
    }
}

/// Copilot checks by HTTP.
fn http(field: Option<Field>, file: &str, known: &mut Known, draft: &mut Draft) {
    draft.health.put("protocol", Yaml::plain("HTTP"));
    let Some(mut members) = field.and_then(|field| draft.members(&field)) else { return };
    if let Some(check) = members.take("healthcheck") {
        match check.members() {
            Some(settings) => health(settings, draft),
            None => service::path(&check, true, draft),
        }
    }
    for alias in members.take_all(&["alias"]) {
        let about = About { file: file.to_owned(), service: Some(draft.name.clone()) };
        let name = alias.text().unwrap_or_default().to_owned();
        known.notes.push(own_domain(&about, &alias, &name));
    }
    if let Some(private) = members.take("private") {
        match private.text() {
            Some("false") => draft.carried(&private),
            _ => service::private(&private, draft),
        }
    }
    draft.rest(members);
}

fn health(mut members: Members, draft: &mut Draft) {
    let default = crate::model::HealthCheck::default();
    if let Some(field) = members.take("path") {
        service::path(&field, true, draft);
    }
    for (key, default) in [("interval", default.interval_seconds), ("timeout", default.timeout_seconds)] {
        if let Some(field) = members.take(key) {
            service::seconds(&field, key, default, draft);
        }
    }
    for (key, name, default) in [
        ("healthy_threshold", "healthyThreshold", default.healthy_threshold),
        ("unhealthy_threshold", "unhealthyThreshold", default.unhealthy_threshold),
    ] {
        if let Some(field) = members.take(key) {
            service::threshold(&field, name, default, draft);
        }
    }
    draft.rest(members);
}

/// What Copilot puts around a service at AWS.
fn around(members: &mut Members, draft: &mut Draft) {
    if let Some(field) = members.take("network") {
        let why = "an instance reaches what its machine reaches: there are no networks of a service's own";
        draft.left_out(&field, why, "run towpath where that network is, or give the machine a route to it");
    }
    if let Some(field) = members.take("observability") {
        service::tracing(&field, draft);
    }
    if let Some(field) = members.take("publish") {
        draft.left_out(&field, "topics of Amazon SNS stay with AWS", "give the application their ARNs by `env`");
    }
}

/// The manifest with the overrides of an environment laid over it.
fn with_environment(document: &Document, choices: &Choices, known: &mut Known) -> Node {
    let file = document.input.file.as_str();
    let entries = document.root.entries().unwrap_or_default();
    let plain: Vec<Entry> = entries.iter().filter(|entry| entry.key != "environments").cloned().collect();
    let base = Node { span: document.root.span, value: Value::Mapping(plain) };
    let Some(environments) = document.root.get("environments").filter(|node| !node.is_null()) else { return base };
    let field = Field { path: "environments".to_owned(), node: environments };
    let names: Vec<&str> = environments.entries().unwrap_or_default().iter().map(|e| e.key.as_str()).collect();
    match choices.environment.as_deref() {
        Some(name) => {
            for other in names.iter().filter(|other| **other != name) {
                let path = format!("environments.{other}");
                known.note(file, &Field { path, node: environments }, Outcome::NotNeeded, "", "");
            }
            match environments.get(name) {
                Some(over) => laid_over(&base, over),
                None => {
                    let why = format!("it has no overrides for `{name}`");
                    known.note(file, &field, Outcome::Changed, &why, "");
                    base
                }
            }
        }
        None if names.is_empty() => base,
        None => {
            let why = format!("the overrides of {} are left out", listed(names));
            known.note(file, &field, Outcome::LeftOut, &why, "`--environment NAME` takes those of one");
            base
        }
    }
}

/// Every text with the variables that Copilot itself puts in, where they are known.
fn interpolated(node: &Node, names: &[(&str, Option<&str>)]) -> Node {
    let value = match &node.value {
        Value::Scalar(text, style) => {
            let put = |text: String, (name, value): &(&str, Option<&str>)| match value {
                Some(value) => text.replace(&format!("${{{name}}}"), value),
                None => text,
            };
            Value::Scalar(names.iter().fold(text.clone(), put), *style)
        }
        Value::Sequence(items) => Value::Sequence(items.iter().map(|item| interpolated(item, names)).collect()),
        Value::Mapping(entries) => {
            let entry = |entry: &Entry| Entry { value: interpolated(&entry.value, names), ..entry.clone() };
            Value::Mapping(entries.iter().map(entry).collect())
        }
    };
    Node { span: node.span, value }
}

/// Mappings are laid over each other key by key; of anything else the later counts.
fn laid_over(base: &Node, over: &Node) -> Node {
    let (Some(below), Some(above)) = (base.entries(), over.entries()) else { return over.clone() };
    let mut entries = below.to_vec();
    for entry in above.iter().filter(|entry| !entry.value.is_null()) {
        match entries.iter_mut().find(|there| there.key == entry.key) {
            Some(there) => there.value = laid_over(&there.value, &entry.value),
            None => entries.push(entry.clone()),
        }
    }
    Node { span: base.span, value: Value::Mapping(entries) }
}
