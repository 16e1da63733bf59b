//! Times that come back, written as `crontab(5)` writes them: five fields, or six with seconds first.
//!
//! An adapter around the crate `cron`, which reads the fields. What it does otherwise than crontab is mended here: it has
//! seconds always, Sunday as 1, and asks for *both* days where crontab asks for either. Which moments these are is found
//! in the calendar of a time zone: what falls into the hour that summer time skips happens at its end rather than never,
//! and what falls into the hour that comes twice happens once, unless it happens every hour. Pure.

use super::error::Invalid;
use super::time::Timestamp;
use ::cron::{Schedule, TimeUnitSpec};
use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// What says the zone of a line.
const ZONE: &str = "CRON_TZ=";
/// So many days are looked through: the longest that a date stays away is from one 29 February to the next but one.
const MOST_DAYS: i32 = 366 * 8 + 2;

/// An IANA time zone: `Asia/Seoul`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone(String);

impl Zone {
    /// Coordinated universal time.
    pub fn utc() -> Self {
        Self("UTC".into())
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its rules. They were there when it was parsed; should they be gone, universal time is told by its name.
    fn rules(&self) -> TimeZone {
        TimeZone::get(&self.0).unwrap_or(TimeZone::UTC)
    }

    /// A moment as its clocks show it: `Mon 2026-11-30 06:00 Asia/Seoul`.
    pub fn show(&self, at: Timestamp) -> String {
        match jiff::Timestamp::from_millisecond(at.0) {
            Ok(moment) => format!("{} {}", moment.to_zoned(self.rules()).strftime("%a %Y-%m-%d %H:%M"), self.0),
            Err(_) => at.to_string(),
        }
    }
}

impl FromStr for Zone {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let plain = !text.is_empty()
            && text.len() <= 64
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_+-".contains(&b));
        if plain && TimeZone::get(text).is_ok() {
            return Ok(Self(text.to_owned()));
        }
        let hint = match TimeZone::get("Europe/Berlin") {
            Ok(_) => "write a name of the IANA list, like `Europe/Berlin` or `UTC`",
            Err(_) => "this machine knows no time zones: install the package `tzdata`",
        };
        Err(Invalid::new(format!("`{}` is no time zone", text.escape_debug())).hint(hint))
    }
}

impl TryFrom<String> for Zone {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.0
    }
}

/// Times that come back.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cron {
    text: String,
    fields: Box<Schedule>,
    /// Both kinds of days are named: either will do.
    either_day: bool,
}

impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Cron {}

impl std::hash::Hash for Cron {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for Cron {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<Cron> for String {
    fn from(cron: Cron) -> Self {
        cron.text
    }
}

impl FromStr for Cron {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let bad = |why: &str| {
            let shown: String = text.chars().take(100).collect();
            Invalid::new(format!("`{}` is no crontab time: {why}", shown.escape_debug()))
                .hint("write minute, hour, day of the month, month and day of the week: `30 18 * * FRI`")
        };
        if text.len() > 256 {
            return Err(bad("it is longer than 256 characters"));
        }
        let spelled = named(text.trim()).unwrap_or(text);
        let mut words: Vec<&str> = spelled.split_whitespace().collect();
        if words.len() == 5 {
            words.insert(0, "0");
        }
        let [seconds, minutes, hours, days, months, weekdays] = words.as_slice() else {
            return Err(bad("it has five fields, or six with seconds first"));
        };
        if let Some(word) = words.iter().find(|word| is_of_quartz(word)) {
            return Err(bad(&format!("`L`, `W` and `#`, as in `{}`, are not taken", word.escape_debug())));
        }
        let weekdays_from_one = weekdays_from_one(weekdays).ok_or_else(|| bad("its day of the week is none"))?;
        let days_of_crate = if *days == "?" { "*" } else { days };
        let whole = format!("{seconds} {minutes} {hours} {days_of_crate} {months} {weekdays_from_one}");
        let fields =
            Schedule::from_str(&whole).map_err(|_| bad("one of its fields has a value that it cannot have"))?;
        let fields = Box::new(fields);
        let cron = Self { text: text.trim().to_owned(), fields, either_day: is_named(days) && is_named(weekdays) };
        if !cron.comes() {
            return Err(bad("there is no such day"));
        }
        Ok(cron)
    }
}

/// The nicknames of crontab.
fn named(text: &str) -> Option<&'static str> {
    match text {
        "@yearly" | "@annually" => Some("0 0 1 1 *"),
        "@monthly" => Some("0 0 1 * *"),
        "@weekly" => Some("0 0 * * 0"),
        "@daily" | "@midnight" => Some("0 0 * * *"),
        "@hourly" => Some("0 * * * *"),
        _ => None,
    }
}

/// Whether a field has something of Quartz that crontab has not: `L`, `15W`, `5L`, `FRI#2`.
fn is_of_quartz(word: &str) -> bool {
    let part = |part: &str| {
        let ends = |with: char| {
            part.strip_suffix([with, with.to_ascii_lowercase()]).is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()))
        };
        part.contains('#') || ends('L') || ends('W') || part.eq_ignore_ascii_case("LW")
    };
    word.split([',', '-']).any(part)
}

/// Whether a field of days names some, as crontab decides it.
fn is_named(field: &str) -> bool {
    !field.starts_with('*') && field != "?"
}

const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Days of the week with Sunday as 0 or 7, as a list with Sunday as 1.
fn weekdays_from_one(field: &str) -> Option<String> {
    if field == "*" || field == "?" {
        return Some("*".into());
    }
    let mut days = [false; 7];
    for item in field.split(',') {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, step.parse::<usize>().ok().filter(|step| (1..=7).contains(step))?),
            None => (item, 1),
        };
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (0, 6),
            Some((first, last)) => (weekday(first)?, weekday(last)?),
            None if item.contains('/') => (weekday(range)?, 6),
            None => (weekday(range)?, weekday(range)?),
        };
        // `FRI-MON` goes over the end of the week, as people mean it.
        let last = if last < first { last + 7 } else { last };
        (first..=last).step_by(step).for_each(|day| days[day % 7] = true);
    }
    let listed: Vec<String> = (0..7).filter(|day| days[*day]).map(|day| (day + 1).to_string()).collect();
    Some(listed.join(","))
}

fn weekday(text: &str) -> Option<usize> {
    let name = text.get(..3).map(str::to_ascii_lowercase);
    let named = WEEKDAYS.iter().position(|day| name.as_deref() == Some(*day));
    named
        .filter(|_| text.bytes().all(|b| b.is_ascii_alphabetic()))
        .or_else(|| text.parse().ok().filter(|day| *day <= 7))
}

impl Cron {
    /// The first time after a moment.
    pub fn next(&self, after: Timestamp, zone: &Zone) -> Option<Timestamp> {
        let rules = zone.rules();
        // From the day before: what a gap moves may be of a day that is over.
        let mut date = day_of(after, &rules)?.yesterday().ok()?;
        for _ in 0..MOST_DAYS {
            if self.is_on(date)
                && let Some(found) = self.times(date, &rules).filter(|at| *at > after).min()
            {
                return Some(found);
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    /// The last time up to a moment, not before another.
    pub fn last(&self, at: Timestamp, not_before: Timestamp, zone: &Zone) -> Option<Timestamp> {
        let rules = zone.rules();
        let mut date = day_of(at, &rules)?.tomorrow().ok()?;
        let first = day_of(not_before, &rules)?.yesterday().ok()?;
        while date >= first {
            if self.is_on(date)
                && let Some(found) = self.times(date, &rules).filter(|time| *time <= at).max()
            {
                return Some(found).filter(|found| *found >= not_before);
            }
            date = date.yesterday().ok()?;
        }
        None
    }

    /// Whether there is any day for it at all: 30 February is none.
    fn comes(&self) -> bool {
        let from = jiff::civil::date(2024, 1, 1);
        from.series(jiff::Span::new().days(1))
            .take(usize::try_from(MOST_DAYS).unwrap_or(0))
            .any(|date| self.is_on(date))
    }

    fn is_on(&self, date: Date) -> bool {
        let (day, weekday) =
            (u32::from(date.day().unsigned_abs()), u32::from(date.weekday().to_sunday_one_offset().unsigned_abs()));
        let (by_day, by_weekday) =
            (self.fields.days_of_month().includes(day), self.fields.days_of_week().includes(weekday));
        let fits = if self.either_day { by_day || by_weekday } else { by_day && by_weekday };
        fits && self.fields.months().includes(u32::from(date.month().unsigned_abs()))
    }

    /// The moments of a day.
    fn times<'c>(&'c self, date: Date, rules: &'c TimeZone) -> impl Iterator<Item = Timestamp> + 'c {
        let every_hour = self.fields.hours().count() == 24;
        let hours = self.fields.hours().iter();
        let clock = hours.flat_map(move |h| {
            self.fields.minutes().iter().flat_map(move |m| self.fields.seconds().iter().map(move |s| (h, m, s)))
        });
        clock.flat_map(move |(hour, minute, second)| {
            let part = |n: u32| i8::try_from(n).unwrap_or(0);
            moments(date.at(part(hour), part(minute), part(second), 0), rules, every_hour)
        })
    }
}

fn day_of(at: Timestamp, rules: &TimeZone) -> Option<Date> {
    Some(jiff::Timestamp::from_millisecond(at.0).ok()?.to_zoned(rules.clone()).date())
}

/// When a clock shows this: once; at the end of the gap where it never does; and where it does twice, the first time, or
/// both.
fn moments(clock: DateTime, rules: &TimeZone, both: bool) -> impl Iterator<Item = Timestamp> {
    let found = match rules.to_ambiguous_timestamp(clock).offset() {
        AmbiguousOffset::Unambiguous { offset } => [offset.to_timestamp(clock).ok(), None],
        AmbiguousOffset::Gap { before, .. } => {
            let later = before.to_timestamp(clock).ok();
            let end = later.and_then(|at| {
                rules.preceding(at + jiff::SignedDuration::from_nanos(1)).next().map(|change| change.timestamp())
            });
            [end.or(later), None]
        }
        AmbiguousOffset::Fold { before, after } => {
            [before.to_timestamp(clock).ok(), after.to_timestamp(clock).ok().filter(|_| both)]
        }
    };
    found.into_iter().flatten().map(|at| Timestamp(at.as_millisecond()))
}

/// Times that come back by the clocks of a zone, as one line: `0 6 * * *` by universal time, and as cron programs have it
/// `CRON_TZ=Asia/Seoul 0 6 * * *`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Times {
    cron: Cron,
    zone: Zone,
}

impl Times {
    /// The first time after a moment.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        self.cron.next(after, &self.zone)
    }
}

impl FromStr for Times {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let text = text.trim();
        let Some(zoned) = text.strip_prefix(ZONE) else {
            return Ok(Self { cron: text.parse()?, zone: Zone::utc() });
        };
        let (zone, cron) = zoned.split_once(char::is_whitespace).unwrap_or((zoned, ""));
        Ok(Self { zone: zone.parse()?, cron: cron.parse()? })
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.zone == Zone::utc() {
            true => self.cron.fmt(f),
            false => write!(f, "{ZONE}{} {}", self.zone.as_str(), self.cron),
        }
    }
}

impl TryFrom<String> for Times {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<Times> for String {
    fn from(times: Times) -> Self {
        times.to_string()
    }
}

/// How often a source is asked for new versions.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Poll {
    /// At this distance.
    Every(Duration),
    /// At these times.
    At(Times),
}

impl Poll {
    /// How long to wait after an answer; a day where no time is left to come.
    pub fn rest(&self, now: Timestamp) -> Duration {
        match self {
            Self::Every(interval) => *interval,
            Self::At(times) => times.next(now).map_or(Duration::from_secs(86_400), |next| next.since(now)),
        }
    }
}

#[cfg(test)]
#[path = "cron/tests.rs"]
mod tests;
