//! From parser events to the tree, within the limits.

use super::{Entry, MAX_BYTES, MAX_DEPTH, MAX_NODES, Node, Span, Style, Value, syntax};
use crate::desired::findings::Findings;
use saphyr_parser::{Event, Parser, ScalarStyle, Tag};
use std::collections::HashMap;

/// Reads one document. `None` when it is empty or cannot be read; every reason is among the findings. With a duplicate
/// key the first value stays in the tree, so that the rest is looked at too.
pub fn read(text: &str, findings: &mut Findings) -> Option<Node> {
    read_within(text, &mut { MAX_NODES }, findings)
}

/// As [`read`], with a budget of nodes that several documents share.
pub fn read_within(text: &str, budget: &mut usize, findings: &mut Findings) -> Option<Node> {
    let reader = read_as(Dialect::Own, text, *budget, findings)?;
    *budget -= reader.nodes;
    if reader.root.is_none() {
        empty(findings);
    }
    reader.root.filter(|node| !node.is_null())
}

/// Reads every document of a file that was written for others. A tag such as `!Ref` is read as CloudFormation writes it out:
/// `{ Ref: … }`, `{ "Fn::Sub": … }`.
pub fn read_foreign(text: &str, findings: &mut Findings) -> Vec<Node> {
    let Some(reader) = read_as(Dialect::Foreign, text, MAX_NODES, findings) else { return Vec::new() };
    reader.before.into_iter().chain(reader.root).filter(|node| !node.is_null()).collect()
}

fn read_as<'t>(dialect: Dialect, text: &'t str, most: usize, findings: &mut Findings) -> Option<Reader<'t>> {
    if text.len() > MAX_BYTES {
        let message = format!("the file has {} bytes; at most {MAX_BYTES} are read", text.len());
        findings.error("limit", Span::START, message);
        return None;
    }
    // The mark would shift the columns of the first line.
    let mut reader = Reader::new(dialect, text.strip_prefix('\u{feff}').unwrap_or(text), most);
    for event in Parser::new_from_str(reader.text) {
        let step = match event {
            Ok((event, span)) => reader.event(event, span, findings),
            Err(error) => {
                syntax::report(reader.text, &error, findings);
                Err(Stopped)
            }
        };
        if step.is_err() {
            return None;
        }
    }
    Some(reader)
}

/// Whose files are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    /// Ours: one document, no tags.
    Own,
    /// Of others: any number of documents, and tags that stand for functions.
    Foreign,
}

fn empty(findings: &mut Findings) {
    findings.error("empty", Span::START, "the file is empty");
}

/// Reading went no further; the reason is among the findings.
struct Stopped;

/// A collection that is being read.
struct Open {
    span: Span,
    anchor: usize,
    /// The function that is applied to it.
    function: Option<String>,
    /// The number of nodes before it.
    before: usize,
    items: Items,
}

enum Items {
    Sequence(Vec<Node>),
    Mapping { entries: Vec<Entry>, seen: HashMap<String, Span>, merges: Vec<Node>, key: Option<(String, Span, Style)> },
}

struct Reader<'t> {
    dialect: Dialect,
    text: &'t str,
    lines: Vec<&'t str>,
    /// The number of characters in each line.
    widths: Vec<u32>,
    open: Vec<Open>,
    /// The documents before this one.
    before: Vec<Node>,
    root: Option<Node>,
    nodes: usize,
    /// The most nodes that are read.
    most: usize,
    documents: usize,
    /// Finished anchored nodes with their sizes in nodes.
    anchors: HashMap<usize, (Node, usize)>,
}

impl<'t> Reader<'t> {
    fn new(dialect: Dialect, text: &'t str, most: usize) -> Self {
        let lines: Vec<&str> = text.split('\n').map(|l| l.trim_end_matches('\r')).collect();
        let widths = lines.iter().map(|line| narrow(line.chars().count())).collect();
        Self {
            dialect,
            text,
            lines,
            widths,
            open: Vec::new(),
            before: Vec::new(),
            root: None,
            nodes: 0,
            most,
            documents: 0,
            anchors: HashMap::new(),
        }
    }

    fn event(&mut self, event: Event, span: saphyr_parser::Span, findings: &mut Findings) -> Result<(), Stopped> {
        let place = self.span(span);
        match event {
            Event::DocumentStart(_) => self.document(place, findings)?,
            Event::DocumentEnd if self.dialect == Dialect::Own && self.root.as_ref().is_some_and(Node::is_null) => {
                empty(findings);
            }
            Event::Scalar(text, style, anchor, tag) => {
                let function = self.function(tag.as_deref(), place, findings);
                let style = if style == ScalarStyle::Plain { Style::Plain } else { Style::Quoted };
                self.grow(1, place, findings)?;
                let missing = text.is_empty() && style == Style::Plain;
                let place = if missing { self.key_span().unwrap_or_else(|| self.dash(place)) } else { place };
                let node = Node { span: place, value: Value::Scalar(text.into_owned(), style) };
                self.add(applied(function, node), anchor, 1, findings);
            }
            Event::Alias(anchor) => self.alias(anchor, place, findings)?,
            Event::SequenceStart(anchor, tag) => {
                let function = self.function(tag.as_deref(), place, findings);
                self.start((anchor, function), self.dash(place), Items::Sequence(Vec::new()), findings)?;
            }
            Event::MappingStart(anchor, tag) => {
                let function = self.function(tag.as_deref(), place, findings);
                let items = Items::Mapping { entries: Vec::new(), seen: HashMap::new(), merges: Vec::new(), key: None };
                self.start((anchor, function), place, items, findings)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(findings),
            _ => {}
        }
        Ok(())
    }

    fn document(&mut self, place: Span, findings: &mut Findings) -> Result<(), Stopped> {
        self.documents += 1;
        if self.documents == 1 {
            return Ok(());
        }
        if self.dialect == Dialect::Foreign {
            self.before.extend(self.root.take());
            return Ok(());
        }
        findings
            .error("documents", place, "a second document starts here; only one is read")
            .hint("remove the `---`, or move what follows into a file of its own");
        Err(Stopped)
    }

    /// The function that a tag stands for, where files of others are read; elsewhere tags are problems.
    fn function(&self, tag: Option<&Tag>, place: Span, findings: &mut Findings) -> Option<String> {
        let tag = tag?;
        if self.dialect == Dialect::Own || tag.is_yaml_core_schema() {
            check_tag(tag, place, findings);
            return None;
        }
        Some(match tag.suffix.as_str() {
            plain @ ("Ref" | "Condition") => plain.to_owned(),
            name => format!("Fn::{name}"),
        })
    }

    /// A span as people count, clipped to its first line and to the text.
    fn span(&self, span: saphyr_parser::Span) -> Span {
        let last = self.widths.len();
        let line = span.start.line().clamp(1, last);
        let width = self.widths.get(line - 1).copied().unwrap_or(0);
        let column = if span.start.line() > last { width + 1 } else { narrow(span.start.col()) + 1 }.min(width + 1);
        let end = if span.end.line() == line { (narrow(span.end.col()) + 1).min(width + 1) } else { width + 1 };
        Span { line: narrow(line), column, length: end.saturating_sub(column).max(1) }
    }

    /// The `-` that a list begins with: the parser points behind it where the list is not indented under its key.
    fn dash(&self, span: Span) -> Span {
        // Only a list of short lines is a block; in a line of 1 MiB the walk to each column would take for ever.
        let [line, column] =
            [span.line, span.column].map(|n| usize::try_from(n).unwrap_or(usize::MAX).saturating_sub(1));
        let Some(line) = self.lines.get(line).filter(|line| line.len() < 1000) else { return span };
        let before: String = line.chars().take(column).collect();
        if line[before.len()..].starts_with(['-', '[', '&', '!']) || !before.trim_end().ends_with('-') {
            return span;
        }
        Span { column: narrow(before.trim_end().chars().count()), length: 1, ..span }
    }

    /// Where the key stands whose value is being read.
    fn key_span(&self) -> Option<Span> {
        match &self.open.last()?.items {
            Items::Mapping { key, .. } => key.as_ref().map(|(_, span, _)| *span),
            Items::Sequence(_) => None,
        }
    }

    fn grow(&mut self, nodes: usize, place: Span, findings: &mut Findings) -> Result<(), Stopped> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes <= self.most {
            return Ok(());
        }
        let subject = if self.most == MAX_NODES { "the file has" } else { "this file and those before it have" };
        let message = format!("{subject} more than {MAX_NODES} values here, aliases counted as often as they are used");
        findings.error("limit", place, message);
        Err(Stopped)
    }

    fn start(
        &mut self,
        (anchor, function): (usize, Option<String>),
        span: Span,
        items: Items,
        findings: &mut Findings,
    ) -> Result<(), Stopped> {
        let before = self.nodes;
        self.grow(1, span, findings)?;
        if self.open.len() >= MAX_DEPTH {
            findings.error("limit", span, format!("this is nested more than {MAX_DEPTH} deep"));
            return Err(Stopped);
        }
        self.open.push(Open { span, anchor, function, before, items });
        Ok(())
    }

    fn end(&mut self, findings: &mut Findings) {
        let Some(open) = self.open.pop() else { return };
        let mut span = open.span;
        let value = match open.items {
            Items::Sequence(items) => Value::Sequence(items),
            Items::Mapping { mut entries, seen, merges, .. } => {
                merge(&mut entries, seen, merges, findings);
                // A block mapping has no mark of its own: it is shown by its first key. Another is shown by its `{`.
                let first = entries.first().map(|e| e.key_span);
                let begins = first.filter(|key| (key.line, key.column) == (span.line, span.column));
                span.length = begins.map_or(1, |key| key.length);
                Value::Mapping(entries)
            }
        };
        let size = self.nodes - open.before;
        self.add(applied(open.function, Node { span, value }), open.anchor, size, findings);
    }

    fn alias(&mut self, anchor: usize, place: Span, findings: &mut Findings) -> Result<(), Stopped> {
        let Some((node, size)) = self.anchors.get(&anchor) else {
            findings.error("alias", place, "this alias refers to something that contains it");
            return Err(Stopped);
        };
        let (node, size) = (node.clone(), *size);
        self.grow(size, place, findings)?;
        self.add(node, 0, size, findings);
        Ok(())
    }

    fn add(&mut self, node: Node, anchor: usize, size: usize, findings: &mut Findings) {
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), size));
        }
        match self.open.last_mut().map(|open| &mut open.items) {
            None => self.root = Some(node),
            Some(Items::Sequence(items)) => items.push(node),
            Some(Items::Mapping { entries, seen, merges, key }) => match key.take() {
                None => *key = Some(key_of(&node, findings)),
                // A quoted one is a name like any other.
                Some((name, _, Style::Plain)) if name == "<<" => merges.push(node),
                Some((name, span, _)) => insert(entries, seen, name, span, node, findings),
            },
        }
    }
}

fn key_of(node: &Node, findings: &mut Findings) -> (String, Span, Style) {
    match &node.value {
        Value::Scalar(text, style) => (text.clone(), node.span, *style),
        _ => {
            findings
                .error("type", node.span, "a key must be a text")
                .hint("put quotes around it, or mend the indentation");
            (String::new(), node.span, Style::Quoted)
        }
    }
}

fn insert(
    entries: &mut Vec<Entry>,
    seen: &mut HashMap<String, Span>,
    key: String,
    key_span: Span,
    value: Node,
    findings: &mut Findings,
) {
    if let Some(first) = seen.get(&key) {
        let shown = findings.quote(&key);
        findings
            .error("duplicate-key", key_span, format!("{shown} stands here twice"))
            .hint(format!("it stands on line {}, column {} already; keep one of the two", first.line, first.column));
        return;
    }
    seen.insert(key.clone(), key_span);
    entries.push(Entry { key, key_span, value });
}

/// Adds what `<<` brings in and is not set in place.
fn merge(entries: &mut Vec<Entry>, mut seen: HashMap<String, Span>, merges: Vec<Node>, findings: &mut Findings) {
    for node in merges {
        let span = node.span;
        let sources = match node.value {
            Value::Sequence(items) => items,
            value => vec![Node { span, value }],
        };
        for source in sources {
            let Value::Mapping(more) = source.value else {
                findings.error("type", source.span, "`<<` takes a mapping, or a list of them");
                continue;
            };
            entries.extend(more.into_iter().filter(|entry| seen.insert(entry.key.clone(), entry.key_span).is_none()));
        }
    }
}

/// A node under the name of a function.
fn applied(function: Option<String>, node: Node) -> Node {
    let Some(key) = function else { return node };
    let span = node.span;
    Node { span, value: Value::Mapping(vec![Entry { key, key_span: span, value: node }]) }
}

/// Only the core schema's tags are let through: a text under a tag of another tool would not mean what it says.
fn check_tag(tag: &Tag, place: Span, findings: &mut Findings) {
    let core = matches!(tag.suffix.as_str(), "str" | "int" | "float" | "bool" | "null" | "map" | "seq");
    if !(tag.is_yaml_core_schema() && core) {
        let shown = findings.quote(&tag.to_string());
        findings.error("tag", place, format!("the tag {shown} is not read here")).hint("write the value itself");
    }
}

/// Positions fit: the text is at most 1 MiB.
fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
