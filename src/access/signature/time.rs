//! The two forms in which a signed request carries its time.

use crate::model::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// `20261126T150000Z`.
pub(super) fn basic(time: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(time.0).map(|t| t.strftime("%Y%m%dT%H%M%SZ").to_string()).unwrap_or_default()
}

/// Reads `20261126T150000Z`.
pub(super) fn parse_basic(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    if bytes.len() != 16 || bytes[8] != b'T' || bytes[15] != b'Z' {
        return None;
    }
    let number = |from: usize, to: usize| {
        bytes[from..to].iter().try_fold(0_i16, |n, b| b.is_ascii_digit().then(|| n * 10 + i16::from(b - b'0')))
    };
    let small = |from: usize| i8::try_from(number(from, from + 2)?).ok();
    let civil = DateTime::new(number(0, 4)?, small(4)?, small(6)?, small(9)?, small(11)?, small(13)?, 0).ok()?;
    let zoned = civil.to_zoned(TimeZone::UTC).ok()?;
    Some(Timestamp(zoned.timestamp().as_millisecond()))
}

/// Reads a `Date` header: `Thu, 26 Nov 2026 15:00:00 GMT`, or the basic form.
pub(super) fn parse_date(text: &str) -> Option<Timestamp> {
    parse_basic(text).or_else(|| {
        let parsed = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
        Some(Timestamp(parsed.as_millisecond()))
    })
}
