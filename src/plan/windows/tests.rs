//! Windows by the calendar, and properties over random ones.

use super::*;
use crate::model::Window;
use proptest::prelude::*;
use std::time::Duration;

fn at(text: &str) -> Timestamp {
    Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}

fn window(effect: WindowEffect, begins: &str, hours: u64, zone: &str, line: u32) -> DeclaredWindow {
    let (begins, zone) = (begins.parse().unwrap(), zone.parse().unwrap());
    let window = Window { effect, begins, lasts: Duration::from_secs(hours * 3600), zone, services: Vec::new() };
    DeclaredWindow { window, place: Place { file: "towpath.yaml".into(), line, column: 5 } }
}

fn deny(begins: &str, hours: u64, zone: &str) -> DeclaredWindow {
    window(WindowEffect::Deny, begins, hours, zone, 1)
}

fn allow(begins: &str, hours: u64, zone: &str) -> DeclaredWindow {
    window(WindowEffect::Allow, begins, hours, zone, 2)
}

fn shop() -> ServiceName {
    "shop".parse().unwrap()
}

fn until(windows: &[DeclaredWindow], now: &str) -> Option<String> {
    closed(windows, &shop(), at(now)).map(|closed| closed.shown)
}

#[test]
fn a_weekend_is_closed_by_the_clocks_of_its_zone() {
    // Friday 18:00 in Seoul is 09:00 of universal time; sixty hours later it is Monday 06:00.
    let weekend = [deny("0 18 * * FRI", 60, "Asia/Seoul")];
    assert_eq!(until(&weekend, "2026-11-27T08:59:59Z"), None);
    assert_eq!(until(&weekend, "2026-11-27T09:00:00Z").as_deref(), Some("Mon 2026-11-30 06:00 Asia/Seoul"));
    assert_eq!(until(&weekend, "2026-11-29T20:59:59Z").as_deref(), Some("Mon 2026-11-30 06:00 Asia/Seoul"));
    assert_eq!(until(&weekend, "2026-11-29T21:00:00Z"), None);
}

#[test]
fn windows_that_allow_restrict_to_themselves_and_denial_wins() {
    let office = [allow("0 9 * * 1-5", 8, "Europe/Berlin"), deny("0 12 * * *", 1, "Europe/Berlin")];
    assert_eq!(until(&office, "2026-11-26T10:00:00Z"), None, "eleven in Berlin");
    assert_eq!(until(&office, "2026-11-26T11:30:00Z").as_deref(), Some("Thu 2026-11-26 13:00 Europe/Berlin"));
    // After work on a Friday: until Monday, and the line that opens then is named.
    let after = closed(&office, &shop(), at("2026-11-27T18:00:00Z")).unwrap();
    assert_eq!((after.shown.as_str(), after.place.line), ("Mon 2026-11-30 09:00 Europe/Berlin", 2));
}

#[test]
fn a_denial_that_ends_into_another_goes_on() {
    let chained = [deny("0 0 * * *", 12, "UTC"), deny("0 11 * * *", 2, "UTC")];
    assert_eq!(until(&chained, "2026-11-26T01:00:00Z").as_deref(), Some("Thu 2026-11-26 13:00 UTC"));
    // Day and night: never.
    let always = [deny("0 0 * * *", 24, "UTC")];
    assert_eq!(until(&always, "2026-11-26T01:00:00Z").as_deref(), Some("further notice"));
}

#[test]
fn a_window_of_other_services_is_nothing_to_this_one() {
    let mut other = deny("0 0 * * *", 24, "UTC");
    other.window.services = vec!["orders".parse().unwrap()];
    assert_eq!(until(&[other.clone()], "2026-11-26T01:00:00Z"), None);
    other.window.services.push(shop());
    assert!(until(&[other], "2026-11-26T01:00:00Z").is_some());
}

#[test]
fn a_window_that_begins_in_the_hour_that_is_skipped_is_not_lost() {
    let night = [deny("30 2 * * *", 2, "Europe/Berlin")];
    assert_eq!(until(&night, "2026-03-29T01:30:00Z").as_deref(), Some("Sun 2026-03-29 05:00 Europe/Berlin"));
}

fn windows() -> impl Strategy<Value = Vec<DeclaredWindow>> {
    let zones = prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"]);
    let one = (any::<bool>(), 0_u32..60, 0_u32..24, 0_u32..8, 1_u64..60, zones).prop_map(
        |(allows, minute, hour, day, hours, zone)| {
            let day = if day == 7 { "*".to_owned() } else { day.to_string() };
            let effect = if allows { WindowEffect::Allow } else { WindowEffect::Deny };
            window(effect, &format!("{minute} {hour} * * {day}"), hours, zone, 1)
        },
    );
    prop::collection::vec(one, 0..4)
}

/// Whether a moment lies in a window, by trying every minute at which it could have begun.
fn lies_in(window: &Window, at: Timestamp) -> bool {
    let mut from = Timestamp(at.0 - i64::try_from(window.lasts.as_millis()).unwrap() - 1);
    while let Some(began) = window.begins.next(from, &window.zone).filter(|began| *began <= at) {
        if at < began.plus(window.lasts) {
            return true;
        }
        from = began;
    }
    false
}

fn is_open(windows: &[DeclaredWindow], at: Timestamp) -> bool {
    let of = |effect| windows.iter().map(|w| &w.window).filter(move |w| w.effect == effect);
    let denied = of(WindowEffect::Deny).any(|w| lies_in(w, at));
    let allowed = of(WindowEffect::Allow).next().is_none() || of(WindowEffect::Allow).any(|w| lies_in(w, at));
    !denied && allowed
}

proptest! {
    #[test]
    fn nothing_changes_while_a_window_denies_it_and_the_next_opening_is_the_first(
        windows in windows(), seconds in 1_700_000_000_i64..1_800_000_000,
    ) {
        let now = Timestamp(seconds * 1000);
        let closed = closed(&windows, &shop(), now);
        prop_assert_eq!(closed.is_none(), is_open(&windows, now));
        let Some(closed) = closed else { return Ok(()) };
        let week = now.plus(Duration::from_secs(8 * 86_400));
        let until = closed.until.unwrap_or(week);
        prop_assert!(until > now);
        prop_assert!(closed.until.is_none() || is_open(&windows, until));
        // In between it never opens: looked at every eleven minutes.
        let mut at = now;
        while at < until.min(week) {
            prop_assert!(!is_open(&windows, at), "open at {} before {}", at, until);
            at = at.plus(Duration::from_secs(660));
        }
    }
}
