//! Lines that are safe to show: no terminal sequences, no control characters, no reordered text. Pure.

use std::borrow::Cow;

/// The longest line in bytes that is written or read as one.
pub(super) const LINE_MAX: usize = 64 << 10;

/// The text as it may go to a terminal or a browser: terminal sequences (colours, titles) are left out, other control
/// characters and those that reorder text are written as escapes. Tabs stay.
pub fn clean(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|b| matches!(b, b'\t' | 0x20..=0x7e)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let sequence = if c == '\x1b' { terminal_sequence(rest) } else { 0 };
        if sequence > 0 {
            rest = &rest[sequence..];
            continue;
        }
        if is_shown_escaped(c) {
            out.extend(c.escape_default())
        } else {
            out.push(c)
        }
        rest = &rest[c.len_utf8()..];
    }
    Cow::Owned(out)
}

/// The start of a text, at most `max` bytes long and cut between characters, and how many bytes were cut off.
pub(super) fn bound(text: &str, max: usize) -> (&str, usize) {
    let end = text.floor_char_boundary(max);
    (&text[..end], text.len() - end)
}

/// C0, DEL and C1 controls; line separators; what changes the direction of text (trojan source, CVE-2021-42574).
fn is_shown_escaped(c: char) -> bool {
    let reorders = matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}');
    c != '\t' && (c.is_control() || reorders)
}

/// The length of the terminal sequence that the text starts with (ECMA-48 §5.4, §5.6); 0 when it does not end within
/// the text: then nothing may be hidden, and its escape character is shown.
fn terminal_sequence(text: &str) -> usize {
    let bytes = text.as_bytes();
    match bytes.get(1) {
        Some(b'[') => control_sequence(bytes),
        // Strings: OSC, DCS, SOS, PM, APC; ended by BEL or ST.
        Some(b']' | b'P' | b'X' | b'^' | b'_') => string_sequence(bytes),
        // Intermediates and one final byte: character sets, saved cursors, resets.
        Some(0x20..=0x7e) => {
            let end = bytes[1..].iter().position(|b| !(0x20..=0x2f).contains(b));
            end.filter(|i| (0x30..=0x7e).contains(&bytes[1 + i])).map_or(0, |i| i + 2)
        }
        _ => 0,
    }
}

fn control_sequence(bytes: &[u8]) -> usize {
    let end = bytes[2..].iter().position(|b| !(0x20..=0x3f).contains(b));
    end.filter(|i| (0x40..=0x7e).contains(&bytes[2 + i])).map_or(0, |i| i + 3)
}

fn string_sequence(bytes: &[u8]) -> usize {
    let end = bytes[2..].iter().position(|b| *b == 0x07 || *b == 0x1b);
    match end.map(|i| (i + 2, bytes[i + 2])) {
        Some((i, 0x07)) => i + 1,
        Some((i, _)) if bytes.get(i + 1) == Some(&b'\\') => i + 2,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn terminal_sequences_go_and_controls_are_shown() {
        let cases = [
            ("plain text\twith a tab", "plain text\twith a tab"),
            ("grüße 漢字 😀", "grüße 漢字 😀"),
            ("\x1b[1;31mred\x1b[0m", "red"),
            ("\x1b]0;title\x07after", "after"),
            ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
            ("\x1b(Bx\x1b7y\x1bcz", "xyz"),
            ("a\0b\rc\x7fd\u{9b}e", "a\\u{0}b\\rc\\u{7f}d\\u{9b}e"),
            ("x\u{202e}gpj.exe", "x\\u{202e}gpj.exe"),
            ("\x1b]never ended", "\\u{1b}]never ended"),
            ("\x1b[31", "\\u{1b}[31"),
            ("\x1b", "\\u{1b}"),
            ("\x1bé", "\\u{1b}é"),
        ];
        for (raw, expected) in cases {
            assert_eq!(clean(raw), expected, "{raw:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_cleaned_can_act_on_a_terminal(text in "[\\x00-\\x7f\u{80}-\u{a0}é\u{202e}\\[\\]\x1b\x1b\x1b;mP]{0,60}") {
            let cleaned = clean(&text);
            prop_assert!(!cleaned.chars().any(is_shown_escaped), "{cleaned:?}");
            prop_assert_eq!(clean(&cleaned), cleaned.as_ref());
        }
    }
}
