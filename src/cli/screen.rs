//! What a command prints on: text or JSON, colour, width; aligned tables; times as people say them.

use super::failure::Failure;
use crate::model::Timestamp;
use crate::settings::{self, Output};
use serde::Serialize;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

/// The width of lines when standard output is no terminal.
const WIDTH: usize = 100;

/// The facts about standard output and standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    /// Text or JSON.
    pub output: Output,
    /// Whether standard output takes colour.
    pub color: bool,
    /// Whether standard error takes colour.
    pub error_color: bool,
    /// Whether standard error is a terminal that can be drawn on: progress is shown there.
    pub watched: bool,
    /// The width of a line.
    pub width: usize,
}

/// A colour with a meaning; every text is understood without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it is.
    Plain,
    /// As it should be.
    Good,
    /// Someone may want to know.
    Notice,
    /// Something failed.
    Bad,
    /// Beside the point.
    Quiet,
}

impl Tone {
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Good => Some("32"),
            Self::Notice => Some("33"),
            Self::Bad => Some("31"),
            Self::Quiet => Some("2"),
        }
    }

    /// A text in this tone, where there is colour.
    pub fn paint(self, text: &str, color: bool) -> String {
        match self.code() {
            Some(code) if color => format!("\x1b[{code}m{text}\x1b[0m"),
            _ => text.to_owned(),
        }
    }
}

impl Screen {
    /// Looks at the process' own standard output.
    pub fn new(output: Output) -> Self {
        let wanted = !settings::color_is_unwanted();
        let width = rustix::termios::tcgetwinsize(io::stdout()).map_or(WIDTH, |size| usize::from(size.ws_col));
        Self {
            output,
            color: wanted && output == Output::Text && io::stdout().is_terminal(),
            error_color: wanted && io::stderr().is_terminal(),
            watched: io::stderr().is_terminal() && !settings::terminal_is_dumb(),
            width: if width == 0 { WIDTH } else { width },
        }
    }

    /// Whether a view may be drawn on standard error again and again.
    pub fn is_live(&self) -> bool {
        self.watched && self.output == Output::Text
    }

    /// A text in a tone, on standard error.
    pub fn error_tone(&self, tone: Tone, text: &str) -> String {
        tone.paint(text, self.error_color)
    }

    /// Whether JSON is asked for.
    pub fn is_json(&self) -> bool {
        self.output == Output::Json
    }

    /// A text in a tone.
    pub fn tone(&self, tone: Tone, text: &str) -> String {
        tone.paint(text, self.color)
    }

    /// The word before an error, on standard error.
    pub fn loud(&self, text: &str) -> String {
        if self.error_color { format!("\x1b[1;31m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Another word before a line, on standard error.
    pub fn strong(&self, text: &str) -> String {
        if self.error_color { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Prints a text to standard output.
    ///
    /// # Errors
    /// [`Failure::ReaderGone`] when nobody reads it any more.
    pub fn print(&self, text: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::ReaderGone,
            _ => Failure::caused("failed to write to standard output", &error),
        })
    }

    /// Prints a value as JSON, indented.
    ///
    /// # Errors
    /// As [`Screen::print`].
    pub fn print_json<T: Serialize>(&self, value: &T) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value).map_err(|e| Failure::caused("failed to write JSON", &e))?;
        self.print(&format!("{text}\n"))
    }

    /// Tells something beside the answer, on standard error.
    pub fn note(&self, text: &str) {
        // Nobody is left to be told when this fails.
        let _ = writeln!(io::stderr(), "{text}");
    }
}

/// A cell of a table.
pub type Cell = (Tone, String);

/// A cell without a tone.
pub fn cell(text: impl Into<String>) -> Cell {
    (Tone::Plain, text.into())
}

/// Columns aligned to the left, two spaces between, no spaces at line ends.
pub fn table(screen: &Screen, head: &[&str], rows: &[Vec<Cell>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|(_, text)| text.chars().count());
        cells.chain([head[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let head: Vec<Cell> = head.iter().map(|h| (Tone::Quiet, (*h).to_owned())).collect();
    std::iter::once(&head).chain(rows).map(|row| line(screen, row, &widths)).collect()
}

fn line(screen: &Screen, row: &[Cell], widths: &[usize]) -> String {
    let last = row.iter().rposition(|(_, text)| !text.is_empty()).unwrap_or(0);
    let mut line = String::new();
    for (column, (tone, text)) in row.iter().enumerate().take(last + 1) {
        line.push_str(&screen.tone(*tone, text));
        if column < last {
            let fill = widths[column].saturating_sub(text.chars().count()) + 2;
            line.extend(std::iter::repeat_n(' ', fill));
        }
    }
    line.push('\n');
    line
}

/// `12s`, `3m`, `5h`, `2d`: the largest unit only.
pub fn short_span(span: Duration) -> String {
    match span.as_secs() {
        s if s < 60 => format!("{s}s"),
        s if s < 3_600 => format!("{}m", s / 60),
        s if s < 86_400 => format!("{}h", s / 3_600),
        s => format!("{}d", s / 86_400),
    }
}

/// `just now`, `3m ago`.
pub fn ago(now: Timestamp, then: Timestamp) -> String {
    match now.since(then) {
        span if span < Duration::from_secs(2) => "just now".into(),
        span => format!("{} ago", short_span(span)),
    }
}

/// A text of others without what could steer a terminal: escape sequences go, other control characters too. Tabs stay.
pub fn harmless(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\x1b' => skip_sequence(&mut characters),
            '\t' => clean.push(c),
            c if c.is_control() => {}
            c => clean.push(c),
        }
    }
    clean
}

/// Skips a control sequence (`ESC [` … final byte, ECMA-48 §5.4) or an operating system command (`ESC ]` … BEL).
fn skip_sequence(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match characters.peek() {
        Some('[') => {
            characters.next();
            for c in characters.by_ref() {
                if ('@'..='~').contains(&c) {
                    return;
                }
            }
        }
        Some(']') => {
            for c in characters.by_ref() {
                if c == '\x07' || c == '\\' {
                    return;
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> Screen {
        Screen { output: Output::Text, color: false, error_color: false, watched: false, width: 80 }
    }

    #[test]
    fn columns_are_aligned_and_lines_end_without_spaces() {
        let rows = vec![vec![cell("shop"), cell("RUNNING"), cell("")], vec![cell("a"), cell(""), cell("x")]];
        let text = table(&plain(), &["NAME", "STATUS", "URL"], &rows);
        assert_eq!(text, "NAME  STATUS   URL\nshop  RUNNING\na              x\n");
    }

    #[test]
    fn colour_does_not_move_columns() {
        let rows = vec![vec![(Tone::Bad, "no".to_owned()), cell("x")], vec![cell("yes"), cell("y")]];
        let text = table(&Screen { color: true, ..plain() }, &["A", "B"], &rows);
        assert!(text.contains("\x1b[31mno\x1b[0m   x\n"), "{text:?}");
    }

    #[test]
    fn times_are_said_as_people_say_them() {
        let at = |seconds: i64| ago(Timestamp(1_000_000_000), Timestamp(1_000_000_000 - seconds * 1000));
        assert_eq!(
            [at(0), at(12), at(200), at(7_300), at(200_000)],
            ["just now", "12s ago", "3m ago", "2h ago", "2d ago"]
        );
        assert_eq!(at(-50), "just now");
    }

    #[test]
    fn text_of_others_cannot_steer_the_terminal() {
        assert_eq!(harmless("\x1b[31mred\x1b[0m \x1b]0;title\x07a\tb\rc\x08\x1b[2Jd"), "red a\tbcd");
    }
}
