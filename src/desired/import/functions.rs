//! The functions of CloudFormation templates, worked out as far as parameters, mappings and conditions of the template
//! allow. What only a running stack knows stays unresolved, with the reason.

use super::documents::NOWHERE;
use crate::desired::yaml::{Entry, Node, Span, Style, Value};
use std::collections::{BTreeMap, HashSet};

/// The key of what stays unresolved: how it is written, and why.
const UNRESOLVED: &str = "\0unresolved";
/// The value of `AWS::NoValue`, which removes what has it.
const NO_VALUE: &str = "\0no-value";
/// How deep conditions may refer to each other.
const MAX_DEPTH: u32 = 32;

/// How an unresolved function is written, and why it is.
pub(super) fn unresolved(node: &Node) -> Option<(&str, &str)> {
    let [Entry { key, value, .. }] = node.entries()? else { return None };
    let Value::Sequence(words) = &value.value else { return None };
    match (key.as_str(), words.as_slice()) {
        (UNRESOLVED, [written, why]) => Some((written.text()?, why.text()?)),
        _ => None,
    }
}

/// What a template's functions refer to.
pub(super) struct Template<'t> {
    root: &'t Node,
    given: &'t BTreeMap<String, String>,
    /// The logical ids of scaling configurations: services refer to them.
    scalings: HashSet<&'t str>,
    file: &'t str,
}

impl<'t> Template<'t> {
    /// A template, and the values of parameters that were given beside it.
    pub(super) fn new(root: &'t Node, file: &'t str, given: &'t BTreeMap<String, String>) -> Self {
        let resources = root.get("Resources").and_then(Node::entries).unwrap_or_default();
        let is_scaling = |entry: &&Entry| {
            entry.value.get("Type").and_then(Node::text) == Some("AWS::AppRunner::AutoScalingConfiguration")
        };
        let scalings = resources.iter().filter(is_scaling).map(|entry| entry.key.as_str()).collect();
        Self { root, given, scalings, file }
    }

    /// What stands for a resource of this template where others refer to it.
    pub(super) fn reference(&self, logical: &str) -> String {
        format!("{}#{logical}", self.file)
    }

    /// Whether a condition of the template holds; `None` if that is not known.
    pub(super) fn holds(&self, condition: &str) -> Option<bool> {
        self.condition_named(condition, 0)
    }

    /// A value with its functions worked out.
    pub(super) fn resolve(&self, node: &Node) -> Node {
        self.value(node).unwrap_or_else(|| scalar(node.span, "null", Style::Plain))
    }

    /// `None` for `AWS::NoValue`.
    fn value(&self, node: &Node) -> Option<Node> {
        let span = node.span;
        match &node.value {
            Value::Scalar(text, _) if text.contains("{{resolve:") => {
                Some(open(span, text.clone(), "CloudFormation looks it up when it deploys: write the value".into()))
            }
            Value::Scalar(..) => Some(node.clone()),
            Value::Sequence(items) => {
                let items = items.iter().filter_map(|item| self.value(item)).collect();
                Some(Node { span, value: Value::Sequence(items) })
            }
            Value::Mapping(entries) => match entries.as_slice() {
                [Entry { key, value, .. }] if is_function(key) => self.function(key, value, span),
                _ => {
                    let entries = entries.iter().filter_map(|entry| {
                        let value = self.value(&entry.value)?;
                        Some(Entry { value, ..entry.clone() })
                    });
                    Some(Node { span, value: Value::Mapping(entries.collect()) })
                }
            },
        }
    }

    fn function(&self, name: &str, argument: &Node, span: Span) -> Option<Node> {
        let worked = match name {
            "Ref" => self.reference_to(argument.text().unwrap_or_default()),
            "Fn::If" => return self.choice(argument, span),
            "Fn::Sub" => self.substituted(argument),
            "Fn::GetAtt" => self.attribute(argument),
            "Fn::FindInMap" => self.found_in_map(argument),
            "Fn::Join" => self.joined(argument),
            "Fn::Select" => self.selected(argument),
            "Fn::Split" => return Some(self.split(argument, span)),
            _ => Err("only AWS knows what it gives: write the value".to_owned()),
        };
        match worked {
            Ok(text) if text == NO_VALUE => None,
            Ok(text) if text.contains("{{resolve:") => self.value(&scalar(span, &text, Style::Quoted)),
            Ok(text) => Some(scalar(span, &text, Style::Quoted)),
            Err(why) => Some(open(span, written(name, argument), why)),
        }
    }

    /// A parameter, a pseudo parameter or a resource.
    fn reference_to(&self, name: &str) -> Result<String, String> {
        if let Some(value) = self.given.get(name) {
            return Ok(value.clone());
        }
        match name {
            "AWS::NoValue" => return Ok(NO_VALUE.to_owned()),
            "AWS::Partition" => return Ok("aws".to_owned()),
            "AWS::URLSuffix" => return Ok("amazonaws.com".to_owned()),
            _ if name.starts_with("AWS::") => {
                return Err(format!("say what it is: `--parameter {name}=VALUE`"));
            }
            _ if self.scalings.contains(name) => return Ok(self.reference(name)),
            _ => {}
        }
        let Some(parameter) = self.root.get("Parameters").and_then(|all| all.get(name)) else {
            return Err(format!("it is made of the resource `{name}`, which only AWS knows: write the value"));
        };
        let text = |key| parameter.get(key).and_then(Node::text);
        if text("Type").is_some_and(|kind| kind.starts_with("AWS::SSM::")) {
            return Err(format!("its value is kept by AWS Systems Manager: `--parameter {name}=VALUE`"));
        }
        if text("NoEcho") == Some("true") {
            return Err(format!("it is a secret (`NoEcho`): keep it under `secrets`, or `--parameter {name}=VALUE`"));
        }
        let default = parameter.get("Default").filter(|node| !node.is_null());
        default.and_then(plain).ok_or_else(|| format!("it has no default: `--parameter {name}=VALUE`"))
    }

    fn attribute(&self, argument: &Node) -> Result<String, String> {
        let logical = match &argument.value {
            Value::Scalar(text, _) => text.split('.').next().unwrap_or_default(),
            Value::Sequence(items) => items.first().and_then(Node::text).unwrap_or_default(),
            Value::Mapping(_) => "",
        };
        if self.scalings.contains(logical) {
            return Ok(self.reference(logical));
        }
        Err(format!("it is made of the resource `{logical}`, which only AWS knows: write the value"))
    }

    /// `"${A}-${B.Arn}"`, or that with a mapping of further names.
    fn substituted(&self, argument: &Node) -> Result<String, String> {
        let (text, names) = match &argument.value {
            Value::Sequence(items) => (items.first().and_then(Node::text), items.get(1)),
            _ => (argument.text(), None),
        };
        let mut rest = text.ok_or("it needs a text")?;
        let mut out = String::new();
        while let Some((before, after)) = rest.split_once("${") {
            out.push_str(before);
            let (name, after) = after.split_once('}').ok_or("a `${` in it is never closed")?;
            rest = after;
            match (name.strip_prefix('!'), names.and_then(|names| names.get(name))) {
                (Some(literal), _) => out.push_str(&format!("${{{literal}}}")),
                (None, Some(value)) => out.push_str(&self.plain_text(value)?),
                (None, None) if name.contains('.') => {
                    out.push_str(&self.attribute(&scalar(NOWHERE, name, Style::Quoted))?);
                }
                (None, None) => out.push_str(&self.reference_to(name.trim())?),
            }
        }
        Ok(out + rest)
    }

    /// A value that has to be a text.
    fn plain_text(&self, node: &Node) -> Result<String, String> {
        let value = self.value(node).ok_or("a part of it is left out (`AWS::NoValue`)")?;
        match unresolved(&value) {
            Some((written, why)) => Err(format!("`{written}` in it: {why}")),
            None => plain(&value).ok_or_else(|| format!("a part of it is {}", value.describe())),
        }
    }

    fn found_in_map(&self, argument: &Node) -> Result<String, String> {
        let Value::Sequence(keys) = &argument.value else { return Err("it needs three keys".into()) };
        let keys = keys.iter().take(3).map(|key| self.plain_text(key)).collect::<Result<Vec<_>, _>>()?;
        let mut at = self.root.get("Mappings");
        for key in &keys {
            at = at.and_then(|node| node.get(key));
        }
        at.and_then(plain).ok_or_else(|| format!("the template maps nothing to {}", keys.join(", ")))
    }

    fn joined(&self, argument: &Node) -> Result<String, String> {
        let Value::Sequence(parts) = &argument.value else { return Err("it needs a list".into()) };
        let [delimiter, list] = parts.as_slice() else { return Err("it needs a delimiter and a list".into()) };
        let delimiter = match &delimiter.value {
            Value::Scalar(text, _) => text.clone(),
            _ => return Err("its delimiter is no text".into()),
        };
        let list = self.value(list).ok_or("its list is left out")?;
        let Value::Sequence(items) = &list.value else { return Err("what it joins is known to AWS only".into()) };
        Ok(items.iter().map(|item| self.plain_text(item)).collect::<Result<Vec<_>, _>>()?.join(&delimiter))
    }

    fn selected(&self, argument: &Node) -> Result<String, String> {
        let Value::Sequence(parts) = &argument.value else { return Err("it needs a list".into()) };
        let [index, list] = parts.as_slice() else { return Err("it needs an index and a list".into()) };
        let index: usize = self.plain_text(index)?.parse().map_err(|_| "its index is no number")?;
        let list = self.value(list).ok_or("its list is left out")?;
        let Value::Sequence(items) = &list.value else {
            return Err("what it selects from is known to AWS only".into());
        };
        self.plain_text(items.get(index).ok_or("its list is shorter")?)
    }

    fn split(&self, argument: &Node, span: Span) -> Node {
        let fail = |why: String| open(span, written("Fn::Split", argument), why);
        let Value::Sequence(parts) = &argument.value else { return fail("it needs a list".into()) };
        let [delimiter, text] = parts.as_slice() else { return fail("it needs a delimiter and a text".into()) };
        match (delimiter.text(), self.plain_text(text)) {
            (Some(delimiter), Ok(text)) => {
                let items = text.split(delimiter).map(|part| scalar(span, part, Style::Quoted)).collect();
                Node { span, value: Value::Sequence(items) }
            }
            (_, Err(why)) => fail(why),
            (None, _) => fail("its delimiter is no text".into()),
        }
    }

    fn choice(&self, argument: &Node, span: Span) -> Option<Node> {
        let Value::Sequence(parts) = &argument.value else { return Some(node_of(span)) };
        let [condition, yes, no] = parts.as_slice() else { return Some(node_of(span)) };
        let name = condition.text().unwrap_or_default();
        match self.holds(name) {
            Some(true) => self.value(yes),
            Some(false) => self.value(no),
            None => {
                let why = format!("the condition `{name}` depends on what is not known: give its parameters");
                Some(open(span, written("Fn::If", argument), why))
            }
        }
    }

    fn condition_named(&self, name: &str, depth: u32) -> Option<bool> {
        let node = self.root.get("Conditions")?.get(name)?;
        if depth > MAX_DEPTH { None } else { self.condition(node, depth + 1) }
    }

    fn condition(&self, node: &Node, depth: u32) -> Option<bool> {
        let [Entry { key, value, .. }] = node.entries()? else { return None };
        if key == "Condition" {
            return self.condition_named(value.text()?, depth);
        }
        let Value::Sequence(items) = &value.value else { return None };
        let all = || items.iter().map(|item| self.condition(item, depth)).collect::<Vec<Option<bool>>>();
        match key.as_str() {
            "Fn::Equals" => match items.as_slice() {
                [a, b] => Some(self.plain_text(a).ok()? == self.plain_text(b).ok()?),
                _ => None,
            },
            "Fn::Not" => all().first().copied().flatten().map(|truth| !truth),
            "Fn::And" => all().into_iter().try_fold(true, |so_far, truth| Some(so_far && truth?)),
            "Fn::Or" => all().into_iter().try_fold(false, |so_far, truth| Some(so_far || truth?)),
            _ => None,
        }
    }
}

fn is_function(key: &str) -> bool {
    key == "Ref" || key.starts_with("Fn::")
}

/// A scalar's text, the empty one too.
fn plain(node: &Node) -> Option<String> {
    match &node.value {
        Value::Scalar(text, _) => Some(text.clone()),
        _ => None,
    }
}

fn scalar(span: Span, text: &str, style: Style) -> Node {
    Node { span, value: Value::Scalar(text.to_owned(), style) }
}

fn node_of(span: Span) -> Node {
    open(span, "!If".into(), "it needs a condition and two values".into())
}

fn open(span: Span, written: String, why: String) -> Node {
    let words = [written, why].map(|text| scalar(span, &text, Style::Quoted));
    let value = Node { span, value: Value::Sequence(words.into()) };
    Node { span, value: Value::Mapping(vec![Entry { key: UNRESOLVED.into(), key_span: span, value }]) }
}

/// A function in the short form that people write.
fn written(name: &str, argument: &Node) -> String {
    let name = name.strip_prefix("Fn::").unwrap_or(name);
    let text = match &argument.value {
        Value::Scalar(text, _) => text.clone(),
        Value::Sequence(items) => {
            let words: Vec<&str> = items.iter().map(|item| item.text().unwrap_or("…")).collect();
            match name {
                "GetAtt" => words.join("."),
                _ => format!("[{}]", words.join(", ")),
            }
        }
        Value::Mapping(_) => "…".to_owned(),
    };
    let short: String = text.chars().take(80).collect();
    format!("!{name} {short}")
}
