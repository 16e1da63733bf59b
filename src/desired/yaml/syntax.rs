//! What a YAML parser says, in words for the person who wrote the file.

use super::Span;
use crate::desired::findings::Findings;
use saphyr_parser::ScanError;

/// Part of the parser's message, what to say instead, and what to do.
const WORDS: &[(&str, &str, &str)] = &[
    ("tab", "a tab stands where only spaces may", "indent with spaces"),
    (
        "mapping values are not allowed",
        "a `: ` stands where no value can start",
        "put quotes around a text that contains `: `, or mend the indentation of this line or the one before",
    ),
    ("found unexpected end of stream", "this quote is never closed", "close the quote, or escape it"),
    ("found unexpected document indicator", "this quote is never closed", "close the quote, or escape it"),
    ("invalid trailing content", "something follows the closing quote", "put the whole value into the quotes"),
    ("invalid indentation in quoted", "this quote is never closed", "close the quote, or indent the lines that follow"),
    ("unknown escape character", "this `\\` escape is unknown", "use single quotes, or write `\\\\` for a backslash"),
    ("unknown anchor", "this alias has no anchor before it", "put quotes around a text that starts with `*`"),
    (
        "did not find expected alphabetic",
        "a name must follow `*` or `&`",
        "put quotes around a text that starts with `*` or `&`",
    ),
    ("flow mapping", "a `,` or `}` is missing before this", "close the `{`, or put quotes around the text"),
    ("flow sequence", "a `,` or `]` is missing before this", "close the `[`, or put quotes around the text"),
    (
        "illegal placement of ':'",
        "a `:` stands where no key ends",
        "close the `[` or `{` before it, or put quotes around the text",
    ),
    ("flow construct", "this bracket is not closed where its lines end", "close it, or indent the lines that follow"),
    ("misplaced bracket", "this bracket was never opened", "remove it, or put quotes around the text"),
    ("did not find expected key", "this line does not fit the lines before it", "indent it like its neighbours"),
    ("simple key expect", "a `:` is missing after this key", "write `key: value`"),
    (
        "did not find expected '-'",
        "this line does not fit the list before it",
        "start it with `- `, or mend its indentation",
    ),
    ("block sequence entries", "a list cannot start here", "put the `- ` items on lines of their own under their key"),
    ("unexpected character", "a value cannot start with this character", "put quotes around the value"),
    ("unprintable", "a control character stands here", "remove it"),
    ("indentation", "this line is indented differently from the lines around it", "indent it like its neighbours"),
    ("recursion limit", "this is nested too deep", "write it flatter"),
];

/// Adds the problem of a text that is not YAML.
pub(super) fn report(text: &str, error: &ScanError, findings: &mut Findings) {
    let span = place(text, error);
    match WORDS.iter().find(|(part, ..)| error.info().contains(part)) {
        Some((_, message, hint)) => findings.error("syntax", span, *message).hint(*hint),
        None => findings.error("syntax", span, format!("this is not YAML: {}", error.info())),
    };
}

/// The place of the error, within the text: errors at its end are put behind its last visible character.
fn place(text: &str, error: &ScanError) -> Span {
    let lines: Vec<&str> = text.trim_end().split('\n').map(|l| l.trim_end_matches('\r')).collect();
    let line = error.marker().line().clamp(1, lines.len());
    let width = lines[line - 1].chars().count();
    let mut column = if error.marker().line() > lines.len() { width } else { error.marker().col().min(width) };
    // The parser has stepped over a tab that it complains of.
    if error.info().contains("tab") && lines[line - 1].chars().nth(column.wrapping_sub(1)) == Some('\t') {
        column -= 1;
    }
    let [line, column] = [line, column + 1].map(|n| u32::try_from(n).unwrap_or(u32::MAX));
    Span { line, column, length: 1 }
}
