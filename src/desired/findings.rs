//! Problems as they are found while a file is read, with the lines that they are shown with.
//!
//! A line that may hold a secret value is never copied into a problem: see `withheld`.

use super::Parsed;
use super::withheld::withheld_lines;
use super::yaml::Span;
use crate::model::{Place, Problem, Severity};

/// Longer lines are cut: a problem is shown to people and kept by the server.
const MAX_LINE: usize = 1000;
/// Past so many problems of one file more of them help nobody.
const MAX_PROBLEMS: usize = 1000;
/// Collects the problems of one file.
pub struct Findings<'t> {
    file: &'t str,
    lines: Vec<&'t str>,
    problems: Vec<Problem>,
}

/// A problem that was just added.
pub struct Noted<'f>(&'f mut Problem);

impl Noted<'_> {
    /// Says what to do.
    pub fn hint(self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(printable(hint.into()));
        self
    }
}

impl<'t> Findings<'t> {
    /// No problems in this text yet.
    pub fn new(file: &'t str, text: &'t str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.split('\n').map(|l| l.trim_end_matches('\r')).collect();
        Self { file, lines, problems: Vec::new() }
    }

    /// Adds an error.
    pub fn error(&mut self, class: &str, span: Span, message: impl Into<String>) -> Noted<'_> {
        self.add(Severity::Error, class, span, message.into())
    }

    /// Adds a warning.
    pub fn warning(&mut self, class: &str, span: Span, message: impl Into<String>) -> Noted<'_> {
        self.add(Severity::Warning, class, span, message.into())
    }

    /// Adds a problem.
    pub fn add(&mut self, severity: Severity, class: &str, span: Span, message: String) -> Noted<'_> {
        let problem = Problem {
            class: class.to_owned(),
            severity,
            place: self.place(span),
            length: span.length,
            message: printable(message),
            hint: None,
            source_line: None,
        };
        self.problems.push(problem);
        let last = self.problems.len() - 1;
        Noted(&mut self.problems[last])
    }

    /// Whether any problem is an error.
    pub fn has_errors(&self) -> bool {
        self.problems.iter().any(|p| p.severity == Severity::Error)
    }

    /// A place in this file.
    pub fn place(&self, span: Span) -> Place {
        Place { file: self.file.to_owned(), line: span.line, column: span.column }
    }

    /// A text of the file in backticks: escaped, and cut where it is long.
    pub fn quote(&self, text: &str) -> String {
        quote(text)
    }

    /// Ends the reading: no value with errors, and the problems in the order of the file, each once (an alias shows
    /// the same place several times).
    pub fn finish<T>(mut self, value: Option<T>) -> Parsed<T> {
        let order = |p: &Problem| (p.place.line, p.place.column);
        self.problems.sort_by_key(order);
        self.problems.dedup();
        let valid = self.problems.iter().all(|p| p.severity != Severity::Error);
        if self.problems.len() > MAX_PROBLEMS {
            self.problems.sort_by_key(|p| p.severity);
            self.problems.truncate(MAX_PROBLEMS);
            self.problems.sort_by_key(order);
        }
        self.show_lines();
        Parsed { value: value.filter(|_| valid), problems: self.problems }
    }

    /// Gives every problem its line. Done once, at the end: which lines are withheld takes a walk over the whole text.
    fn show_lines(&mut self) {
        if self.problems.is_empty() {
            return;
        }
        let withheld = withheld_lines(&self.lines);
        for problem in &mut self.problems {
            let index = usize::try_from(problem.place.line).unwrap_or(usize::MAX).saturating_sub(1);
            let reached = usize::try_from(problem.place.column).is_ok_and(|column| column <= MAX_LINE);
            if reached && withheld.get(index) == Some(&false) {
                problem.source_line = self.lines.get(index).map(|line| line.chars().take(MAX_LINE).collect());
            }
        }
    }
}

/// A message without control characters: keys of the file stand in it.
fn printable(text: String) -> String {
    if !text.chars().any(char::is_control) {
        return text;
    }
    text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect()
}

/// A text in backticks: control characters escaped, at most 60 characters.
pub fn quote(text: &str) -> String {
    let short: String = text.chars().take(60).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("`{}{more}`", short.escape_debug().to_string().replace("\\'", "'").replace("\\\"", "\""))
}
