//! A plan as markdown: for a comment on a pull request, in GitHub's dialect.
//!
//! Every text that people wrote stands in a code span, where nothing of it is a link, a mention, HTML or the end of a
//! cell. The whole is bounded to what GitHub takes; what did not fit is counted at its end.

use super::compare::Comparison;
use super::page::{Entry, Mark, Page, note_text};
use super::words::{count, escaped};
use super::{FieldChange, Note, Plan, Report};
use crate::model::{Problem, Severity};
use crate::observed::Observed;

/// GitHub takes 65,536 characters. Counted in bytes here, which are never fewer in anybody's way of counting.
pub const MOST_BYTES: usize = 65_536;
/// What the line at the end needs that says what is left out.
const RESERVE: usize = 512;
/// What the notes are given where changes would take everything.
const FOR_NOTES: usize = 16 << 10;
/// The longest table of one service, so that one service cannot be all of the comment.
const MOST_TABLE: usize = 20 << 10;
/// The longest value, in characters.
const MOST_VALUE: usize = 200;
/// The longest sentence, in characters.
const MOST_PROSE: usize = 1_000;
/// Tells whoever posts the comment which one to replace.
const MARKER: &str = "<!-- towpath plan -->";

/// The plan as markdown, at most [`MOST_BYTES`] long.
pub fn render_markdown(plan: &Plan, report: &Report, observed: &Observed) -> String {
    render(&Page::of_plan(plan, report, observed))
}

/// A comparison of two manifests, as [`render_markdown`].
pub fn render_comparison_markdown(comparison: &Comparison) -> String {
    render(&Page::of_comparison(comparison))
}

/// The problems of a manifest that cannot be planned, as [`render_markdown`].
pub fn render_problems_markdown(problems: &[Problem]) -> String {
    let errors = problems.iter().filter(|p| p.severity == Severity::Error).count();
    let head = "| Place | Problem |\n|---|---|\n";
    let rows = problems.iter().map(|problem| {
        let hint = problem.hint.as_ref().map(|hint| format!("<br>{}", prose(hint))).unwrap_or_default();
        row(&[code(&problem.place.to_spot()), format!("{}{hint}", prose(&problem.message))])
    });
    let mut text = format!("{MARKER}\n### towpath plan: none, the manifest has {}\n\n{head}", count(errors, "error"));
    let left = fill(&mut text, rows, MOST_BYTES - RESERVE);
    if left > 0 {
        text += &format!("\n…and {left} more; `towpath validate` shows all.\n");
    }
    text
}

fn render(page: &Page) -> String {
    let summary = page.summary.trim_end_matches('.');
    let said = summary.strip_prefix("Plan: ").or(summary.strip_prefix("Changes: ")).unwrap_or(summary);
    let head = format!("{MARKER}\n### towpath plan: {said}\n\n{}\n", prose(&page.head));
    let notes = notes(page.notes);
    let room = MOST_BYTES - RESERVE - notes.len().min(FOR_NOTES);
    let mut text = head;
    let left = fill(&mut text, page.entries.iter().map(entry), room);
    let rows = page.notes.iter().map(note_row);
    let mut unsaid = 0;
    if !page.notes.is_empty() {
        text.push_str(NOTES_HEAD);
        unsaid = fill(&mut text, rows, MOST_BYTES - RESERVE);
    }
    let more: Vec<String> = [(left, "service"), (unsaid, "note")]
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, noun)| format!("{number} more {noun}{}", if number == 1 { "" } else { "s" }))
        .collect();
    if !more.is_empty() {
        text += &format!("\n…and {}; `towpath plan` shows all.\n", more.join(" and "));
    }
    text
}

const NOTES_HEAD: &str = "\n#### Not done now\n\n| Service | Why |\n|---|---|\n";

fn notes(notes: &[Note]) -> String {
    let rows: String = notes.iter().map(note_row).collect();
    if rows.is_empty() { rows } else { format!("{NOTES_HEAD}{rows}") }
}

/// Appends parts while the text stays within `most`; how many are left out.
fn fill(text: &mut String, mut parts: impl Iterator<Item = String>, most: usize) -> usize {
    while let Some(part) = parts.next() {
        if text.len() + part.len() > most {
            return 1 + parts.count();
        }
        text.push_str(&part);
    }
    0
}

/// One service: a heading, what it means, a table of its fields.
fn entry(entry: &Entry) -> String {
    let (verb, new) = match entry.mark {
        Mark::Create => ("Create", true),
        Mark::Change => ("Change", false),
        Mark::Deploy => ("Deploy", false),
        Mark::Delete => ("Delete", true),
        Mark::Heal => ("Heal", true),
        Mark::Wait => ("Wait for", true),
    };
    let place = entry.place.map(|place| format!(" ({})", code(&place.to_string()))).unwrap_or_default();
    let mut text = format!("\n#### {verb} {}{place}\n\n{}\n", code(entry.name), prose(entry.effect));
    if entry.fields.is_empty() {
        return text;
    }
    text.push_str(if new { "\n| Field | Value |\n|---|---|\n" } else { "\n| Field | From | To |\n|---|---|---|\n" });
    let left = fill(&mut text, entry.fields.iter().map(|field| field_row(field, new)), MOST_TABLE);
    if left > 0 {
        text += &format!("\n…and {left} more fields.\n");
    }
    text
}

fn field_row(field: &FieldChange, new: bool) -> String {
    let value = |value: &Option<String>| value.as_ref().map_or_else(|| "*none*".to_owned(), |v| code(v));
    let name = code(&field.field);
    if new {
        return row(&[name, value(field.to.as_ref().map_or(&field.from, |_| &field.to))]);
    }
    row(&[name, value(&field.from), value(&field.to)])
}

fn note_row(note: &Note) -> String {
    let name = code(note.service.as_ref().map_or("towpath", |s| s.as_str()));
    let place = note.place.as_ref().map(|place| format!(" ({})", code(&place.to_string()))).unwrap_or_default();
    row(&[format!("{name}{place}"), prose(&note_text(note))])
}

/// A row of a table. A `|` ends a cell even in a code span, unless there is a backslash before it (GFM, *Tables*).
fn row(cells: &[String]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    format!("| {} |\n", cells.join(" | "))
}

/// A text in a code span, on one line and cut where it is long: nothing in it means anything.
fn code(text: &str) -> String {
    let text = escaped(&cut(text, MOST_VALUE));
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    // One space on either side is taken away again, where both are there and something else is (CommonMark 6.1).
    let blank = text.chars().all(|c| c == ' ');
    let padded = text.starts_with('`') || text.ends_with('`') || (text.starts_with(' ') && text.ends_with(' '));
    match (text.is_empty(), padded && !blank) {
        (true, _) => "*empty*".into(),
        (_, true) => format!("{fence} {text} {fence}"),
        (_, false) => format!("{fence}{text}{fence}"),
    }
}

fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}… ({} characters)", &text[..end], text.chars().count()),
        None => text.to_owned(),
    }
}

/// A sentence of ours with texts of others in it: words that are no plain words stand in code spans, as do literals in
/// backticks.
fn prose(text: &str) -> String {
    let text = escaped(&cut(text, MOST_PROSE));
    let parts: Vec<&str> = text.split('`').collect();
    // A backtick without its pair belongs to the text.
    if parts.len().is_multiple_of(2) {
        return words(&text);
    }
    let spans = parts.iter().enumerate().map(|(at, part)| match at % 2 {
        1 if !part.is_empty() => code(part),
        _ => words(part),
    });
    spans.collect()
}

fn words(text: &str) -> String {
    let words = text.split(' ').map(|word| if is_plain(word) { word.to_owned() } else { code(word) });
    words.collect::<Vec<_>>().join(" ")
}

/// Whether markdown, and what GitHub makes of it (mentions, references, links), takes a word as it stands.
fn is_plain(word: &str) -> bool {
    let plain = word.chars().all(|c| c.is_alphanumeric() || ".,;:()'\"!?%+=/-→…".contains(c));
    plain && !word.contains("://") && !word.to_ascii_lowercase().starts_with("www.")
}

#[cfg(test)]
mod tests;
