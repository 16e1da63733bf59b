//! From a text to its documents: JSON, any number of values one after the other, or YAML with any number of documents.

use super::Input;
use super::answers;
use crate::desired::findings::{Findings, quote};
use crate::desired::keys::listed;
use crate::desired::yaml::{self, Entry, Node, Span, Style, Value};
use crate::model::Problem;
use serde_json::{Deserializer, Value as Json};

/// The most values that a JSON text has: as many as a YAML text.
const MAX_VALUES: usize = yaml::MAX_NODES;

/// In whose words a document is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An answer of App Runner's API.
    Answer,
    /// A CloudFormation template.
    Template,
    /// A manifest of AWS Copilot.
    Copilot,
}

/// One document.
#[derive(Clone, Debug)]
pub(super) struct Document {
    /// In whose words.
    pub(super) kind: Kind,
    /// The text it comes from.
    pub(super) input: Input,
    /// Its contents; of a template after its functions were worked out.
    pub(super) root: Node,
}

/// Types that AWS Copilot's manifests have.
const COPILOT: &[&str] = &[
    "Request-Driven Web Service",
    "Load Balanced Web Service",
    "Backend Service",
    "Worker Service",
    "Static Site",
    "Scheduled Job",
    "Environment",
    "Pipeline",
];

/// The documents of a text.
///
/// # Errors
/// The problems of a text that cannot be read, or is none of the three kinds.
pub(super) fn read(input: &Input) -> Result<Vec<Document>, Vec<Problem>> {
    let mut findings = Findings::new(&input.file, &input.text);
    let text = input.text.strip_prefix('\u{feff}').unwrap_or(&input.text);
    let roots = match text.trim_start().starts_with(['{', '[']) {
        true => json(text, &mut findings),
        false => yaml::read_foreign(text, &mut findings),
    };
    let mut documents = Vec::new();
    let items = roots.into_iter().flat_map(|root| match root.value {
        Value::Sequence(items) => items,
        value => vec![Node { span: root.span, value }],
    });
    for root in items {
        match kind(&root) {
            Some(kind) => documents.push(Document { kind, input: input.clone(), root }),
            None => unknown(&root, &mut findings),
        }
    }
    if documents.is_empty() && !findings.has_errors() {
        findings.error("empty", Span::START, "there is nothing in it").hint(EXPECTED);
    }
    let failed = findings.has_errors();
    let problems = findings.finish(None::<()>).problems;
    if failed { Err(problems) } else { Ok(documents) }
}

const EXPECTED: &str = "what is read: answers of `aws apprunner describe-…` and `list-…`, CloudFormation templates, and \
                        manifests of AWS Copilot";

fn unknown(root: &Node, findings: &mut Findings) {
    let span = if root.span.line == 0 { Span::START } else { root.span };
    let keys: Vec<&str> = root.entries().unwrap_or_default().iter().take(5).map(|e| e.key.as_str()).collect();
    let there = match (root.entries(), keys.as_slice()) {
        (None, _) => format!("it is {}", root.describe()),
        (_, []) => "it has no members".to_owned(),
        _ => format!("its members are {}", listed(keys)),
    };
    findings.error("kind", span, format!("this declares no service of App Runner: {there}")).hint(EXPECTED);
}

fn kind(root: &Node) -> Option<Kind> {
    let has = |key: &str| root.get(key).is_some();
    if root.get("Resources").is_some_and(|r| r.entries().is_some()) || has("AWSTemplateFormatVersion") {
        return Some(Kind::Template);
    }
    if root.get("type").and_then(Node::text).is_some_and(|text| COPILOT.contains(&text)) {
        return Some(Kind::Copilot);
    }
    answers::is_one(root).then_some(Kind::Answer)
}

/// JSON values one after the other, as several commands print them into one file.
fn json(text: &str, findings: &mut Findings) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut left = MAX_VALUES;
    for value in Deserializer::from_str(text).into_iter::<Json>() {
        match value.map(|value| node(value, &mut left)) {
            Ok(Some(node)) => nodes.push(node),
            Ok(None) => {
                findings.error("limit", Span::START, format!("the file has more than {MAX_VALUES} values"));
                return Vec::new();
            }
            Err(error) => {
                let [line, column] = [error.line(), error.column()].map(|n| u32::try_from(n).unwrap_or(u32::MAX));
                let said = error.to_string();
                let said = said.rsplit_once(" at line ").map_or(said.as_str(), |(said, _)| said);
                let span = Span { line: line.max(1), column: column.max(1), length: 1 };
                findings.error("syntax", span, format!("this is not JSON: {said}"));
                return Vec::new();
            }
        }
    }
    nodes
}

/// A JSON value as a node; it has no place. `None` when there are too many.
fn node(value: Json, left: &mut usize) -> Option<Node> {
    *left = left.checked_sub(1)?;
    let value = match value {
        Json::Null => Value::Scalar("null".into(), Style::Plain),
        Json::Bool(truth) => Value::Scalar(truth.to_string(), Style::Plain),
        Json::Number(number) => Value::Scalar(number.to_string(), Style::Plain),
        Json::String(text) => Value::Scalar(text, Style::Quoted),
        Json::Array(items) => Value::Sequence(items.into_iter().map(|item| node(item, left)).collect::<Option<_>>()?),
        Json::Object(members) => {
            let entries = members
                .into_iter()
                .map(|(key, value)| Some(Entry { key, key_span: NOWHERE, value: node(value, left)? }));
            Value::Mapping(entries.collect::<Option<_>>()?)
        }
    };
    Some(Node { span: NOWHERE, value })
}

/// The place of what has none.
pub(super) const NOWHERE: Span = Span { line: 0, column: 0, length: 1 };

/// A text of the document in backticks.
pub(super) fn shown(text: &str) -> String {
    quote(text)
}
