//! How problems in files are shown: what, where, the line with the place underlined, and what to do. Pure.
//!
//! Understood without colour. The text of the file is hostile: whatever steers a terminal is replaced.

use crate::model::{Problem, Severity};
use std::collections::BTreeSet;

/// Longer lines are shown through a window of so many characters.
const WINDOW: usize = 100;
/// How much of the window stands before the place.
const BEFORE: usize = 40;

const RED: &str = "1;31";
const YELLOW: &str = "1;33";
const BLUE: &str = "1;34";
const CYAN: &str = "1;36";

/// One problem as text, several lines, the last one ended too:
///
/// ```text
/// error: `services.shop.port` must be from 1 to 65535, not `99999`
///   --> towpath.yaml:14:11
///    |
/// 14 |     port: 99999
///    |           ^^^^^
/// hint: …
/// ```
pub fn render(problem: &Problem, color: bool) -> String {
    let paint = Paint { color };
    let (word, code) = match problem.severity {
        Severity::Error => ("error", RED),
        Severity::Warning => ("warning", YELLOW),
    };
    let place = &problem.place;
    let number = place.line.to_string();
    let margin = " ".repeat(number.len());
    let mut text = format!("{} {}\n", paint.with(code, &format!("{word}:")), clean(&problem.message));
    let arrow = paint.with(BLUE, "-->");
    text += &format!("{margin} {arrow} {}\n", clean(&place.to_spot()));
    if let Some(line) = &problem.source_line {
        let (shown, blank, marks) = underlined(line, place.column, problem.length);
        let bar = paint.with(BLUE, "|");
        let marks = paint.with(code, &marks);
        text +=
            &format!("{margin} {bar}\n{} {bar} {shown}\n{margin} {bar} {blank}{marks}\n", paint.with(BLUE, &number));
    }
    if let Some(hint) = &problem.hint {
        text += &format!("{} {}\n", paint.with(CYAN, "hint:"), clean(hint));
    }
    text
}

/// How many problems there are, and in which file: `2 errors, 1 warning in towpath.yaml`.
pub fn summary(problems: &[Problem]) -> String {
    let errors = problems.iter().filter(|p| p.severity == Severity::Error).count();
    let counts = [(errors, "error"), (problems.len() - errors, "warning")];
    let counts: Vec<String> = counts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| counted(*n, word)).collect();
    let files: BTreeSet<&str> = problems.iter().map(|p| p.place.file.as_str()).collect();
    match files.first() {
        None => "no problems".into(),
        Some(file) if files.len() == 1 => format!("{} in {}", counts.join(", "), clean(file)),
        Some(_) => format!("{} in {} files", counts.join(", "), files.len()),
    }
}

fn counted(number: usize, word: &str) -> String {
    if number == 1 { format!("1 {word}") } else { format!("{number} {word}s") }
}

struct Paint {
    color: bool,
}

impl Paint {
    fn with(&self, code: &str, text: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// The part of a line that is shown, the blank before the underline, and the underline.
fn underlined(line: &str, column: u32, length: u32) -> (String, String, String) {
    let chars: Vec<char> = line.chars().map(harmless).collect();
    let at = usize::try_from(column).unwrap_or(usize::MAX).saturating_sub(1).min(chars.len());
    let length = usize::try_from(length).unwrap_or(usize::MAX).max(1);
    let start = if chars.len() <= WINDOW { 0 } else { at.saturating_sub(BEFORE).min(chars.len() - WINDOW) };
    let end = (start + WINDOW).min(chars.len());
    let cut_before = if start > 0 { "…" } else { "" };
    let cut_after = if end < chars.len() { "…" } else { "" };
    let shown: String = chars[start..end].iter().collect();
    let blank = width(&chars[start..at.min(end)]) + cut_before.chars().count();
    let marks = width(&chars[at.min(end)..at.saturating_add(length).min(end)]).max(1);
    (format!("{cut_before}{}{cut_after}", shown.trim_end()), " ".repeat(blank), "^".repeat(marks))
}

/// A text without what steers a terminal.
fn clean(text: &str) -> String {
    text.chars().map(harmless).collect()
}

/// A character, or what stands for it: columns stay as they are.
fn harmless(c: char) -> char {
    match c {
        '\t' => ' ',
        '\x7f' => '␡',
        // The pictures of the control characters.
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('�'),
        '\u{80}'..='\u{9f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{2069}'
        | '\u{feff}' => '�',
        c => c,
    }
}

/// The columns that characters take on a terminal.
fn width(chars: &[char]) -> usize {
    chars.iter().map(|c| super::live::columns(*c)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Place;

    fn problem(line: &str, column: u32, length: u32) -> Problem {
        Problem {
            class: "range".into(),
            severity: Severity::Error,
            place: Place { file: "towpath.yaml".into(), line: 14, column },
            length,
            message: "`port` must be from 1 to 65535, not `99999`".into(),
            hint: Some("choose another".into()),
            source_line: Some(line.into()),
        }
    }

    #[test]
    fn a_problem_shows_its_line_with_the_place_underlined() {
        let text = render(&problem("    port: 99999", 11, 5), false);
        let expected = "error: `port` must be from 1 to 65535, not `99999`\n   --> towpath.yaml:14:11\n   |\n\
                        14 |     port: 99999\n   |           ^^^^^\nhint: choose another\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_withheld_line_is_not_shown() {
        let text = render(&Problem { source_line: None, hint: None, ..problem("", 11, 5) }, false);
        assert_eq!(text, "error: `port` must be from 1 to 65535, not `99999`\n   --> towpath.yaml:14:11\n");
    }

    #[test]
    fn colour_changes_nothing_but_colour() {
        let problem = problem("    port: 99999", 11, 5);
        let mut colored = render(&problem, true);
        for code in [RED, BLUE, CYAN, "0"] {
            assert!(colored.contains(&format!("\x1b[{code}m")));
            colored = colored.replace(&format!("\x1b[{code}m"), "");
        }
        assert_eq!(colored, render(&problem, false));
    }

    #[test]
    fn what_steers_a_terminal_is_replaced_and_columns_stay() {
        let mut problem = problem("\t\x1b[2J\u{202e}x: \u{9b}31m y", 14, 1);
        problem.message = "bad \x1b[31m\nvalue".into();
        problem.place.file = "a\x07.yaml".into();
        let text = render(&problem, false);
        assert!(!text.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{text:?}");
        assert!(text.contains("14 |  ␛[2J�x: �31m y\n   |              ^\n"), "{text}");
        assert_eq!(text.lines().count(), 6);
    }

    #[test]
    fn a_long_line_is_shown_through_a_window() {
        let line = format!("a: {}bad{}", "x".repeat(300), "y".repeat(300));
        let text = render(&problem(&line, 304, 3), false);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[3].chars().count() < 120 && lines[3].contains("…x") && lines[3].ends_with("y…"));
        let mark = lines[4].find("^^^").unwrap();
        assert_eq!(lines[3].chars().skip(mark).take(3).collect::<String>(), "bad");
    }

    #[test]
    fn wide_characters_move_the_underline() {
        let text = render(&problem("이름: x", 5, 1), false);
        assert!(text.contains("\n14 | 이름: x\n   |       ^\n"), "{text}");
    }

    #[test]
    fn places_outside_the_line_do_no_harm() {
        for (column, length) in [(0, 0), (1, 0), (99, 5), (u32::MAX, u32::MAX), (3, u32::MAX)] {
            assert!(render(&problem("ab", column, length), false).contains('^'));
        }
    }

    #[test]
    fn the_summary_counts() {
        let error = problem("", 1, 1);
        let warning = Problem { severity: Severity::Warning, ..error.clone() };
        assert_eq!(summary(&[]), "no problems");
        assert_eq!(summary(&[error.clone(), error.clone(), warning.clone()]), "2 errors, 1 warning in towpath.yaml");
        let other = Problem { place: Place { file: "b".into(), line: 1, column: 1 }, ..warning };
        assert_eq!(summary(&[error, other]), "1 error, 1 warning in 2 files");
    }
}
