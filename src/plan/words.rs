//! Words that notes, effects and renderings share.

use crate::model::OperationKind;

/// `1 instance`, `2 instances`.
pub(super) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// `a`, `a and b`, `a, b and c`; from the seventh on only how many more.
pub(super) fn listed(items: &[String]) -> String {
    const SHOWN: usize = 6;
    match items {
        [] => "none".into(),
        [one] => one.clone(),
        _ if items.len() > SHOWN => format!("{} and {} more", items[..SHOWN].join(", "), items.len() - SHOWN),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

/// Text in quotes, everything escaped that a terminal could obey.
pub(super) fn quoted(text: &str) -> String {
    // The backslash first, so that no two texts print alike.
    format!("\"{}\"", escaped(&text.replace('\\', "\\\\").replace('"', "\\\"")))
}

/// Text on one line without anything that a terminal could obey; what people read stays as it is.
pub(super) fn escaped(text: &str) -> String {
    text.chars().flat_map(|c| if is_plain(c) { vec![c] } else { c.escape_debug().collect() }).collect()
}

fn is_plain(c: char) -> bool {
    // Marks that turn the direction of text could make a line read as another one.
    let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !c.is_control() && !turns && c != '\u{2028}' && c != '\u{2029}'
}

/// What a person calls an operation.
pub(super) fn operation_noun(kind: OperationKind) -> &'static str {
    match kind {
        OperationKind::CreateService => "creation",
        OperationKind::StartDeployment => "deployment",
        OperationKind::UpdateService => "update",
        OperationKind::PauseService => "pause",
        OperationKind::ResumeService => "resume",
        OperationKind::DeleteService => "deletion",
    }
}
