//! Durations as people write them: `500ms`, `5s`, `2m`, `1h`, `1m30s`. The unit is required.

use crate::desired::findings::quote;
use crate::model::Invalid;
use std::time::Duration;

/// Units and their milliseconds, the longer name first where one begins another.
const UNITS: &[(&str, u64)] = &[("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Reads a duration. A bare number is refused with the likely meaning as hint.
pub fn parse_duration(text: &str) -> Result<Duration, Invalid> {
    let bad = |hint: String| Invalid::new(format!("{} is not a duration", quote(text))).hint(hint);
    let mut rest = text.trim();
    if let Ok(seconds) = rest.parse::<u64>() {
        return Err(bad(format!("write `{seconds}s`")));
    }
    let mut total = Some(0_u64);
    while !rest.is_empty() {
        let (part, after) = part(rest).ok_or_else(|| bad("write it like `5s`, `2m` or `1m30s`".into()))?;
        total = total.zip(part).and_then(|(a, b)| a.checked_add(b));
        rest = after;
    }
    match total {
        Some(_) if text.trim().is_empty() => Err(bad("write it like `5s`".into())),
        Some(milliseconds) => Ok(Duration::from_millis(milliseconds)),
        None => Err(bad("this is longer than can be counted".into())),
    }
}

/// One number with its unit in milliseconds (`None`: too large), and what follows.
fn part(text: &str) -> Option<(Option<u64>, &str)> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    if digits == 0 {
        return None;
    }
    let after = text[digits..].trim_start();
    let (name, unit) = UNITS.iter().find(|(name, _)| after.starts_with(name))?;
    let number: Option<u64> = text[..digits].parse().ok();
    Some((number.and_then(|n| n.checked_mul(*unit)), after[name.len()..].trim_start()))
}

/// A duration as people write it.
pub fn show_duration(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    match milliseconds {
        0 => "0s".into(),
        m if m % 3_600_000 == 0 => format!("{}h", m / 3_600_000),
        m if m % 60_000 == 0 => format!("{}m", m / 60_000),
        m if m % 1000 == 0 => format!("{}s", m / 1000),
        m => format!("{m}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_unit() {
        for (text, milliseconds) in
            [("5s", 5000), ("500ms", 500), ("2m", 120_000), ("1m30s", 90_000), ("1 h", 3_600_000), ("1d", 86_400_000)]
        {
            assert_eq!(parse_duration(text).unwrap(), Duration::from_millis(milliseconds), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_with_the_likely_meaning() {
        assert_eq!(parse_duration("30").unwrap_err().hint.unwrap(), "write `30s`");
        for text in ["", "s", "5 seconds", "1.5m", "-5s", "99999999999999999999s", "5s5", "999999999999999999d"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_shown_duration_reads_the_same() {
        for seconds in [0, 1, 59, 60, 90, 3600, 5400] {
            let duration = Duration::from_secs(seconds);
            assert_eq!(parse_duration(&show_duration(duration)).unwrap(), duration);
        }
    }
}
