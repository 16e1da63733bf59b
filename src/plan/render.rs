//! A plan for people: one entry per change with its fields, what waits and why, and a line that sums up.
//!
//! Colour only adds to what the symbols say. Nothing in a plan can reach the terminal as a control sequence.

use super::words::{count, escaped};
use super::{Action, Change, FieldChange, Note, NoteKind, Plan, Report};
use crate::desired::ManifestVersion;
use crate::model::Place;
use crate::observed::{EngineView, Observed, ServiceView};

/// Where the values of fields begin, unless a field's name is longer.
const VALUES_AT: usize = 29;

/// How `towpath plan --detailed-exitcode` ends: 0 nothing to do, 2 changes that could be executed now. What waits, is
/// held back or needs a person does not count.
pub fn exit_code(plan: &Plan) -> u8 {
    if plan.changes.is_empty() { 0 } else { 2 }
}

/// The plan as text, every line ended by a newline and, where words allow it, at most `width` columns wide.
pub fn render_text(plan: &Plan, report: &Report, observed: &Observed, color: bool, width: usize) -> String {
    let mut page = Page { text: String::new(), color, width: width.max(40) };
    page.header(plan.manifest.as_ref(), observed);
    for change in &plan.changes {
        page.change(change);
    }
    for note in &report.notes {
        page.note(note);
    }
    if !plan.changes.is_empty() || !report.notes.is_empty() {
        page.text.push('\n');
    }
    page.line(&summary(plan, report));
    page.text
}

/// The kinds of entries, each with its symbol and colour.
#[derive(Clone, Copy)]
enum Mark {
    Create,
    Change,
    Delete,
    Heal,
    Wait,
}

impl Mark {
    fn of(action: &Action) -> Self {
        match action {
            Action::Create { .. } => Self::Create,
            Action::Deploy { .. } | Action::Update { .. } => Self::Change,
            Action::Delete { .. } => Self::Delete,
            Action::Heal { .. } | Action::RemoveStrays { .. } => Self::Heal,
        }
    }

    fn symbol(self) -> char {
        match self {
            Self::Create => '+',
            Self::Change => '~',
            Self::Delete => '-',
            Self::Heal => '!',
            Self::Wait => '·',
        }
    }

    /// The SGR parameter of its colour.
    fn sgr(self) -> u8 {
        match self {
            Self::Create => 32,
            Self::Change => 33,
            Self::Delete => 31,
            Self::Heal => 35,
            Self::Wait => 2,
        }
    }
}

struct Page {
    text: String,
    color: bool,
    width: usize,
}

impl Page {
    fn line(&mut self, text: &str) {
        self.text.push_str(text.trim_end());
        self.text.push('\n');
    }

    fn header(&mut self, manifest: Option<&ManifestVersion>, observed: &Observed) {
        let from = match manifest {
            Some(version) => format!("{} at {}", escaped(&version.file), &version.digest.short()[..7]),
            None => "no manifest".into(),
        };
        let serves = |v: &&ServiceView| v.current.is_some() && v.record.paused.is_none();
        let running = count(observed.services.iter().filter(serves).count(), "service");
        let engine = match &observed.engine {
            EngineView::Answered { name } => escaped(name),
            EngineView::Unreachable { .. } => "engine does not answer".into(),
        };
        self.line(&format!("{from} → {engine}, {running} running"));
        self.line("");
    }

    fn change(&mut self, change: &Change) {
        let mark = Mark::of(&change.action);
        let name = change.service.as_ref().map_or("strays", |s| s.as_str());
        self.title(mark, name, change.place.as_ref());
        match &change.action {
            Action::RemoveStrays { instances } => {
                self.wrapped(6, &escaped(&change.effect));
                for instance in instances {
                    self.line(&format!("      instance {}", &instance.as_str()[..8]));
                }
            }
            Action::Update { .. } | Action::Deploy { .. } => self.fields_with_effect(&change.fields, &change.effect),
            _ => {
                self.wrapped(6, &escaped(&change.effect));
                self.fields(&change.fields);
            }
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

    fn fields(&mut self, fields: &[FieldChange]) {
        for field in fields {
            self.line(&field_line(field, true));
        }
    }

    fn note(&mut self, note: &Note) {
        let kind = match note.kind {
            NoteKind::Waits => "waits",
            NoteKind::Held => "held back",
            NoteKind::NeedsPerson => "needs you",
            NoteKind::Unknown => "unknown",
        };
        let until = note.until.map(|at| format!(" (until {at})")).unwrap_or_default();
        self.title(Mark::Wait, note.service.as_ref().map_or("towpath", |s| s.as_str()), note.place.as_ref());
        self.wrapped(6, &format!("{kind}: {}{until}", escaped(&note.message)));
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

/// `Plan: 1 to create, 1 to change, 1 waiting.`
fn summary(plan: &Plan, report: &Report) -> String {
    let changes = |wanted: fn(&Action) -> bool| plan.changes.iter().filter(|c| wanted(&c.action)).count();
    let notes = |kind: NoteKind| report.notes.iter().filter(|n| n.kind == kind).count();
    let parts = [
        (changes(|a| matches!(a, Action::Create { .. })), "to create"),
        (changes(|a| matches!(a, Action::Update { .. })), "to change"),
        (changes(|a| matches!(a, Action::Deploy { .. })), "to deploy"),
        (changes(|a| matches!(a, Action::Delete { .. })), "to delete"),
        (changes(|a| matches!(a, Action::Heal { .. } | Action::RemoveStrays { .. })), "to heal"),
        (notes(NoteKind::Waits), "waiting"),
        (notes(NoteKind::Held), "held back"),
        (notes(NoteKind::NeedsPerson), "needing you"),
        (notes(NoteKind::Unknown), "unknown"),
    ];
    let said: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    match (plan.changes.is_empty(), said.is_empty(), &plan.manifest) {
        (true, true, Some(_)) => "Nothing to do: everything is as declared.".into(),
        (true, true, None) => "Nothing to do: no manifest is in force yet.".into(),
        (true, false, _) => format!("Nothing to do now: {}.", said.join(", ")),
        (false, ..) => format!("Plan: {}.", said.join(", ")),
    }
}
