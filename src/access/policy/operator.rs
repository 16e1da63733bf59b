//! Condition operators: how one value of a request is compared with one value of a policy.

use super::context::Context;
use super::pattern::{Dialect, Pattern, Wild};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::cmp::Ordering;
use std::net::IpAddr;

/// An operator without its prefix and suffix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    /// `StringEquals`, `StringLike`, …
    String(Case),
    /// `ArnEquals`, `ArnLike`.
    Arn,
    /// `NumericLessThan`, …
    Numeric(Relation),
    /// `DateLessThan`, …
    Date(Relation),
    /// `Bool`.
    Bool,
    /// `BinaryEquals`.
    Binary,
    /// `IpAddress`.
    Ip,
}

/// How strings are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    /// As they are.
    Exact,
    /// Without regard to case.
    Ignored,
    /// With `*` and `?`.
    Like,
}

/// How ordered values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    /// `Equals`.
    Equals,
    /// `LessThan`.
    Less,
    /// `LessThanEquals`.
    LessOrEqual,
    /// `GreaterThan`.
    Greater,
    /// `GreaterThanEquals`.
    GreaterOrEqual,
}

/// Whether an operator is the opposite of its name without `Not`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sense {
    /// As it says.
    Positive,
    /// `…Not…`.
    Negated,
}

impl Operator {
    /// The operator of this name; `None` for `Null`, which compares nothing, and for unknown ones.
    pub fn of(name: &str) -> Option<(Self, Sense)> {
        use Sense::{Negated, Positive};
        Some(match name {
            "StringEquals" => (Self::String(Case::Exact), Positive),
            "StringNotEquals" => (Self::String(Case::Exact), Negated),
            "StringEqualsIgnoreCase" => (Self::String(Case::Ignored), Positive),
            "StringNotEqualsIgnoreCase" => (Self::String(Case::Ignored), Negated),
            "StringLike" => (Self::String(Case::Like), Positive),
            "StringNotLike" => (Self::String(Case::Like), Negated),
            // ArnEquals and ArnLike are the same.
            "ArnEquals" | "ArnLike" => (Self::Arn, Positive),
            "ArnNotEquals" | "ArnNotLike" => (Self::Arn, Negated),
            "Bool" => (Self::Bool, Positive),
            "BinaryEquals" => (Self::Binary, Positive),
            "IpAddress" => (Self::Ip, Positive),
            "NotIpAddress" => (Self::Ip, Negated),
            other => return ordered(other),
        })
    }
}

fn ordered(name: &str) -> Option<(Operator, Sense)> {
    let (make, relation): (fn(Relation) -> Operator, &str) = match name.strip_prefix("Numeric") {
        Some(relation) => (Operator::Numeric, relation),
        None => (Operator::Date, name.strip_prefix("Date")?),
    };
    let (relation, sense) = match relation {
        "Equals" => (Relation::Equals, Sense::Positive),
        "NotEquals" => (Relation::Equals, Sense::Negated),
        "LessThan" => (Relation::Less, Sense::Positive),
        "LessThanEquals" => (Relation::LessOrEqual, Sense::Positive),
        "GreaterThan" => (Relation::Greater, Sense::Positive),
        "GreaterThanEquals" => (Relation::GreaterOrEqual, Sense::Positive),
        _ => return None,
    };
    Some((make(relation), sense))
}

impl Relation {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Equals => order == Ordering::Equal,
            Self::Less => order == Ordering::Less,
            Self::LessOrEqual => order != Ordering::Greater,
            Self::Greater => order == Ordering::Greater,
            Self::GreaterOrEqual => order != Ordering::Less,
        }
    }
}

/// A value of a policy, read once for its operator.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operand {
    String(Pattern, Case),
    Arn(Pattern),
    Numeric(f64, Relation),
    /// Milliseconds since the epoch.
    Date(i64, Relation),
    Bool(bool),
    Binary(Vec<u8>),
    Ip(Network),
}

impl Operand {
    /// Reads a value for an operator.
    ///
    /// # Errors
    /// In words, for a value that the operator cannot compare with.
    pub fn read(operator: Operator, text: &str, dialect: Dialect) -> Result<Self, String> {
        match operator {
            Operator::String(case) => {
                let wild = if case == Case::Like { Wild::Yes } else { Wild::No };
                Ok(Self::String(Pattern::read(text, dialect, wild)?, case))
            }
            Operator::Arn => Ok(Self::Arn(read_arn(text, dialect)?)),
            Operator::Numeric(relation) => {
                let number = parse_number(text).ok_or("is not a number")?;
                Ok(Self::Numeric(number, relation))
            }
            Operator::Date(relation) => {
                let moment = parse_date(text).ok_or("is not a date like `2026-11-26T15:00:00Z`")?;
                Ok(Self::Date(moment, relation))
            }
            Operator::Bool => parse_bool(text).map(Self::Bool).ok_or_else(|| "is neither `true` nor `false`".into()),
            Operator::Binary => STANDARD.decode(text).map(Self::Binary).map_err(|_| "is not in base 64".into()),
            Operator::Ip => Network::read(text)
                .map(Self::Ip)
                .ok_or_else(|| "is not an address or a network like `192.0.2.0/24`".into()),
        }
    }

    /// Whether a value of a request is what this one says.
    pub fn matches(&self, value: &str, context: &Context) -> bool {
        match self {
            Self::String(pattern, Case::Ignored) => pattern.matches_ignoring_case(value, context),
            Self::String(pattern, _) => pattern.matches(value, context),
            Self::Arn(pattern) => {
                let matches = |arn: &str| pattern.matches_arn(arn, context);
                matches(value) || short_form(value).is_some_and(matches)
            }
            Self::Numeric(number, relation) => {
                parse_number(value).and_then(|v| v.partial_cmp(number)).is_some_and(|order| relation.holds(order))
            }
            Self::Date(moment, relation) => parse_date(value).is_some_and(|v| relation.holds(v.cmp(moment))),
            Self::Bool(wanted) => parse_bool(value) == Some(*wanted),
            Self::Binary(bytes) => STANDARD.decode(value).is_ok_and(|v| v == *bytes),
            Self::Ip(network) => value.parse().is_ok_and(|address| network.contains(address)),
        }
    }
}

/// A pattern of an ARN: `*`, or six parts. One with fewer would match nothing, or be meant to match what it does not.
pub(super) fn read_arn(text: &str, dialect: Dialect) -> Result<Pattern, String> {
    let pattern = Pattern::read(text, dialect, Wild::Yes)?;
    // A variable may bring the colons along.
    let counted = text == "*" || text.starts_with("${") || text.split(':').count() >= 6;
    if counted { Ok(pattern) } else { Err("is not an ARN of six parts, like `arn:aws:apprunner:*:*:service/*`".into()) }
}

/// The ARN of one of ours without its trailing id, which policies may leave out (row R6).
pub(super) fn short_form(arn: &str) -> Option<&str> {
    let (head, id) = arn.rsplit_once('/')?;
    let is_id = id.len() == 32 && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    (is_id && arn.contains(":apprunner:")).then_some(head)
}

fn parse_number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|n: &f64| n.is_finite())
}

fn parse_bool(text: &str) -> Option<bool> {
    match text {
        text if text.eq_ignore_ascii_case("true") => Some(true),
        text if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// A date of ISO 8601 (without an offset in UTC, without a time at midnight), or seconds since the epoch.
fn parse_date(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<i64>()
        && (text.len() > 4 || text.starts_with('-'))
    {
        return seconds.checked_mul(1000);
    }
    if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        return Some(moment.as_millisecond());
    }
    let civil: jiff::civil::DateTime = text.parse().ok()?;
    civil.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp().as_millisecond())
}

/// A network of either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    fn read(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address.parse::<IpAddr>().ok()?, Some(bits.parse::<u32>().ok()?)),
            None => (text.parse().ok()?, None),
        };
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        (bits <= most).then_some(Self { address, bits })
    }

    fn contains(&self, address: IpAddr) -> bool {
        let same = |ours: u128, theirs: u128, width: u32| self.bits == 0 || (ours ^ theirs) >> (width - self.bits) == 0;
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => same(ours.to_bits().into(), theirs.to_bits().into(), 32),
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => same(ours.to_bits(), theirs.to_bits(), 128),
            (IpAddr::V6(ours), IpAddr::V4(theirs)) => same(ours.to_bits(), theirs.to_ipv6_mapped().to_bits(), 128),
            (IpAddr::V4(_), IpAddr::V6(_)) => false,
        }
    }
}
