//! A plan for people: one entry per change with its fields, what waits and why, and a line that sums up.
//!
//! Colour only adds to what the symbols say. Nothing in a plan can reach the terminal as a control sequence.

use super::compare::Comparison;
use super::page::{Entry, Mark, Page, note_text};
use super::words::escaped;
use super::{FieldChange, Note, Plan, Report};
use crate::model::Place;
use crate::observed::Observed;

/// Where the values of fields begin, unless a field's name is longer.
const VALUES_AT: usize = 29;

/// How `towpath plan --detailed-exitcode` ends: 0 nothing to do, 2 changes that could be executed now. What waits, is
/// held back or needs a person does not count.
pub fn exit_code(plan: &Plan) -> u8 {
    if plan.changes.is_empty() { 0 } else { 2 }
}

/// The plan as text, every line ended by a newline and, where words allow it, at most `width` columns wide.
pub fn render_text(plan: &Plan, report: &Report, observed: &Observed, color: bool, width: usize) -> String {
    render(&Page::of_plan(plan, report, observed), color, width)
}

/// A comparison of two manifests as text, as [`render_text`].
pub fn render_comparison(comparison: &Comparison, color: bool, width: usize) -> String {
    render(&Page::of_comparison(comparison), color, width)
}

fn render(page: &Page, color: bool, width: usize) -> String {
    let mut paper = Paper { text: String::new(), color, width: width.max(40) };
    paper.line(&page.head);
    paper.line("");
    for entry in &page.entries {
        paper.entry(entry);
    }
    for note in page.notes {
        paper.note(note);
    }
    if !page.entries.is_empty() || !page.notes.is_empty() {
        paper.line("");
    }
    paper.line(&page.summary);
    paper.text
}

impl Mark {
    fn symbol(self) -> char {
        match self {
            Self::Create => '+',
            Self::Change | Self::Deploy => '~',
            Self::Delete => '-',
            Self::Heal => '!',
            Self::Wait => '·',
        }
    }

    /// The SGR parameter of its colour.
    fn sgr(self) -> u8 {
        match self {
            Self::Create => 32,
            Self::Change | Self::Deploy => 33,
            Self::Delete => 31,
            Self::Heal => 35,
            Self::Wait => 2,
        }
    }
}

struct Paper {
    text: String,
    color: bool,
    width: usize,
}

impl Paper {
    fn line(&mut self, text: &str) {
        self.text.push_str(text.trim_end());
        self.text.push('\n');
    }

    fn entry(&mut self, entry: &Entry) {
        self.title(entry.mark, entry.name, entry.place);
        if matches!(entry.mark, Mark::Change | Mark::Deploy) {
            return self.fields_with_effect(&entry.fields, entry.effect);
        }
        self.wrapped(6, &escaped(entry.effect));
        for instance in entry.instances {
            self.line(&format!("      instance {}", &instance.as_str()[..8]));
        }
        for field in &entry.fields {
            self.line(&field_line(field, true));
        }
    }

    /// `  ~ shop                    towpath.yaml:9`, the place at the right edge.
    fn title(&mut self, mark: Mark, name: &str, place: Option<&Place>) {
        let place = place.map(|p| escaped(&p.to_string())).unwrap_or_default();
        let gap = self.width.saturating_sub(4 + columns(name) + columns(&place)).max(2);
        let line = format!("  {} {name}{:gap$}{place}", self.symbol(mark), "");
        self.line(&line);
    }

    fn symbol(&self, mark: Mark) -> String {
        match (self.color, mark.sgr()) {
            (true, sgr) => format!("\u{1b}[{sgr}m{}\u{1b}[0m", mark.symbol()),
            (false, _) => mark.symbol().to_string(),
        }
    }

    /// Fields, with the effect beside the first of them where there is room, else below all.
    fn fields_with_effect(&mut self, fields: &[FieldChange], effect: &str) {
        let mut lines: Vec<String> = fields.iter().map(|f| field_line(f, false)).collect();
        let effect = escaped(effect);
        let widest = lines.iter().map(|l| columns(l)).max().unwrap_or(0).max(6);
        let beside = !lines.is_empty() && widest + 4 + columns(&effect) <= self.width;
        if beside {
            let pad = self.width - columns(&lines[0]) - columns(&effect);
            lines[0] = format!("{}{:pad$}{effect}", lines[0], "");
        }
        for line in &lines {
            self.line(line);
        }
        if !beside {
            self.wrapped(6, &effect);
        }
    }

    fn note(&mut self, note: &Note) {
        self.title(Mark::Wait, note.service.as_ref().map_or("towpath", |s| s.as_str()), note.place.as_ref());
        self.wrapped(6, &note_text(note));
    }

    /// Breaks text between words so that no line passes the width; a longer word stands alone.
    fn wrapped(&mut self, indent: usize, text: &str) {
        let mut line = String::new();
        for word in text.split(' ') {
            let full = indent + columns(&line) + 1 + columns(word) > self.width;
            if full && !line.is_empty() {
                self.line(&format!("{:indent$}{line}", ""));
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        self.line(&format!("{:indent$}{line}", ""));
    }
}

/// `      env.LOG_LEVEL          "info" → "debug"`. Of something new there is no former value to show.
fn field_line(field: &FieldChange, new: bool) -> String {
    let value = match (&field.from, &field.to) {
        (Some(from), Some(to)) => format!("{} → {}", escaped(from), escaped(to)),
        (None, Some(to)) if new => escaped(to),
        (None, Some(to)) => format!("(none) → {}", escaped(to)),
        (Some(from), None) if new => escaped(from),
        (Some(from), None) => format!("{} → (none)", escaped(from)),
        (None, None) => String::new(),
    };
    let name = escaped(&field.field);
    let pad = VALUES_AT.saturating_sub(6 + columns(&name)).max(2);
    format!("      {name}{:pad$}{value}", "")
}

/// Columns of a text; characters of double width are rare in it and only shift an edge.
fn columns(text: &str) -> usize {
    text.chars().count()
}
