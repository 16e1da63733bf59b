//! A part of a terminal that is drawn again in place, below lines that stay: what goes on, while it goes on.
//!
//! Each frame is one write: the cursor goes up, only lines that differ are written, the cursor comes back and is shown. So
//! nothing flickers, and whatever ends the process leaves the cursor visible, below what was drawn. Lines never reach
//! the last column, so none wraps; where the terminal became narrower, the rows that old lines wrapped into are cleared.

use std::io::{self, Write};

/// Height and width of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
}

impl Size {
    /// That of the terminal on standard error, or of none.
    pub fn of_stderr() -> Self {
        Self::of(io::stderr())
    }

    /// That of the terminal on standard output, or of none.
    pub fn of_stdout() -> Self {
        Self::of(io::stdout())
    }

    fn of(terminal: impl std::os::fd::AsFd) -> Self {
        let (rows, columns) = rustix::termios::tcgetwinsize(terminal).map_or((0, 0), |s| (s.ws_row, s.ws_col));
        // Some terminals say nothing of their size.
        let or = |value: u16, usual: usize| if value == 0 { usual } else { usize::from(value) };
        Self { rows: or(rows, 24), columns: or(columns, 80) }
    }
}

/// What is drawn now.
#[derive(Debug, Default)]
pub struct Region {
    lines: Vec<String>,
    columns: usize,
}

impl Region {
    /// The bytes that turn what is drawn into these lines; nothing where nothing differs.
    pub fn frame(&mut self, lines: &[String], size: Size) -> String {
        let fitted = fit(lines, size);
        if fitted == self.lines && size.columns == self.columns {
            return String::new();
        }
        let out = if size.columns == self.columns && fitted.len() == self.lines.len() {
            self.differences(&fitted)
        } else {
            self.anew(&fitted, size)
        };
        self.columns = size.columns;
        self.lines = fitted;
        out
    }

    /// The bytes that print lines which stay, above what is drawn.
    pub fn above(&mut self, text: &str, size: Size) -> String {
        let mut out = format!("{}{text}", self.clear(size));
        if !text.ends_with('\n') {
            out.push('\n');
        }
        let lines = std::mem::take(&mut self.lines);
        self.columns = size.columns;
        out.extend(lines.iter().flat_map(|line| [line.as_str(), "\n"]));
        self.lines = lines;
        out
    }

    /// The bytes that take away what is drawn. The lines are kept: `end` forgets them.
    fn clear(&self, size: Size) -> String {
        match self.rows(size) {
            0 => String::new(),
            rows => format!("\x1b[{rows}A\r\x1b[J"),
        }
    }

    /// Takes away what is drawn, for good.
    pub fn end(&mut self, size: Size) -> String {
        let out = self.clear(size);
        self.lines.clear();
        out
    }

    /// Leaves what is drawn as it is: what comes next is below it.
    pub fn leave(&mut self) {
        self.lines.clear();
    }

    /// The rows that the drawn lines take at a width.
    fn rows(&self, size: Size) -> usize {
        let rows = |line: &String| width(line).div_ceil(size.columns.max(1)).max(1);
        self.lines.iter().map(rows).sum()
    }

    fn differences(&self, lines: &[String]) -> String {
        let first = self.lines.iter().zip(lines).position(|(old, new)| old != new).unwrap_or(lines.len());
        let up = lines.len() - first;
        let mut out = format!("\x1b[?25l\x1b[{up}A\r");
        for (old, new) in self.lines.iter().zip(lines).skip(first) {
            if old != new {
                out.push_str(new);
                out.push_str("\x1b[K");
            }
            out.push_str("\r\n");
        }
        out + "\x1b[?25h"
    }

    fn anew(&self, lines: &[String], size: Size) -> String {
        let mut out = format!("\x1b[?25l{}", self.clear(size));
        out.extend(lines.iter().flat_map(|line| [line.as_str(), "\n"]));
        out + "\x1b[?25h"
    }
}

/// Lines that fit: each below the width, all below the height. What is left out is counted.
fn fit(lines: &[String], size: Size) -> Vec<String> {
    let most = size.rows.saturating_sub(2).max(1);
    let cut = |line: &String| clip(line, size.columns.saturating_sub(1).max(1));
    if lines.len() <= most {
        return lines.iter().map(cut).collect();
    }
    let shown = most - 1;
    let more = format!("  …and {} more lines", lines.len() - shown);
    lines[..shown].iter().map(cut).chain([clip(&more, size.columns.saturating_sub(1).max(1))]).collect()
}

/// A line of at most so many columns. Colours (`ESC [ … m`) take none, and are ended where the line is cut.
pub fn clip(line: &str, most: usize) -> String {
    if width(line) <= most {
        return line.to_owned();
    }
    let (mut out, mut taken, mut colored) = (String::new(), 0, false);
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        if c == '\x1b' {
            out.push(c);
            for c in rest.by_ref() {
                out.push(c);
                if c.is_ascii_alphabetic() {
                    break;
                }
            }
            colored = true;
            continue;
        }
        if taken + columns(c) + 1 > most {
            break;
        }
        taken += columns(c);
        out.push(c);
    }
    out.push('…');
    if colored { out + "\x1b[0m" } else { out }
}

/// The columns that a line takes.
pub fn width(line: &str) -> usize {
    let mut total = 0;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\x1b' => drop(chars.by_ref().find(char::is_ascii_alphabetic)),
            c => total += columns(c),
        }
    }
    total
}

/// The columns of a character: two of East Asian wide ones and emoji (UAX #11, by block), none of marks that combine.
pub fn columns(c: char) -> usize {
    match u32::from(c) {
        0x0300..=0x036f | 0x200b..=0x200f | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1faff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

/// Writes bytes at once; nobody is left to be told when that fails.
pub fn write(mut to: impl Write, bytes: &str) {
    if !bytes.is_empty() {
        let _ = to.write_all(bytes.as_bytes()).and_then(|()| to.flush());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { rows: 10, columns: 20 };

    fn lines(text: &[&str]) -> Vec<String> {
        text.iter().map(|t| (*t).to_owned()).collect()
    }

    #[test]
    fn only_what_differs_is_drawn() {
        let mut region = Region::default();
        assert_eq!(region.frame(&lines(&["a", "b", "c"]), SIZE), "\x1b[?25la\nb\nc\n\x1b[?25h");
        assert_eq!(region.frame(&lines(&["a", "b", "c"]), SIZE), "", "nothing differs, nothing is written");
        assert_eq!(region.frame(&lines(&["a", "x", "c"]), SIZE), "\x1b[?25l\x1b[2A\rx\x1b[K\r\n\r\n\x1b[?25h");
        assert_eq!(region.end(SIZE), "\x1b[3A\r\x1b[J");
        assert_eq!(region.end(SIZE), "");
    }

    #[test]
    fn lines_that_stay_are_written_above() {
        let mut region = Region::default();
        region.frame(&lines(&["a", "b"]), SIZE);
        assert_eq!(region.above("said", SIZE), "\x1b[2A\r\x1b[Jsaid\na\nb\n");
        assert_eq!(region.frame(&lines(&["a", "b"]), SIZE), "");
    }

    #[test]
    fn a_narrower_terminal_has_wrapped_what_was_drawn() {
        let mut region = Region::default();
        region.frame(&lines(&["0123456789", "b"]), SIZE);
        let narrow = Size { columns: 6, ..SIZE };
        assert_eq!(region.frame(&lines(&["0123456789", "b"]), narrow), "\x1b[?25l\x1b[3A\r\x1b[J0123…\nb\n\x1b[?25h");
    }

    #[test]
    fn lines_fit_in_width_and_height() {
        assert_eq!(clip("0123456789", 10), "0123456789");
        assert_eq!(clip("0123456789", 5), "0123…");
        assert_eq!(clip("이름이름", 5), "이름…");
        assert_eq!(clip("\x1b[31m0123456789\x1b[0m", 5), "\x1b[31m0123…\x1b[0m");
        let many: Vec<String> = (0..50).map(|n| n.to_string()).collect();
        let shown = fit(&many, SIZE);
        assert_eq!((shown.len(), shown.last().unwrap().as_str()), (8, "  …and 43 more lin…"));
        assert_eq!(width("\x1b[2m이e\u{301}\x1b[0m"), 3);
    }
}
