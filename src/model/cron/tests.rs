//! Times by the calendar, and properties over random ones.

use super::*;
use proptest::prelude::*;

fn at(text: &str) -> Timestamp {
    Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}

fn zone(name: &str) -> Zone {
    name.parse().unwrap()
}

fn next(cron: &str, after: &str, name: &str) -> String {
    cron.parse::<Cron>().unwrap().next(at(after), &zone(name)).map(|at| at.to_string()).unwrap_or_default()
}

#[test]
fn a_line_may_say_the_zone_by_whose_clocks_it_is() {
    let next = |line: &str| line.parse::<Times>().unwrap().next(at("2026-11-26T00:00:00Z")).unwrap().to_string();
    assert_eq!(next("0 6 * * *"), "2026-11-26T06:00:00.000Z");
    assert_eq!(next("CRON_TZ=Asia/Seoul 0 12 * * *"), "2026-11-26T03:00:00.000Z");
    for line in ["*/10 6-20 * * *", "CRON_TZ=Asia/Seoul  0 12 * * *", "CRON_TZ=UTC @daily"] {
        let times: Times = line.parse().unwrap();
        assert_eq!(times.to_string().parse::<Times>().unwrap(), times, "{line}");
    }
    for (bad, why) in
        [("CRON_TZ=Mars/Olympus 0 6 * * *", "no time zone"), ("CRON_TZ=UTC", "five fields"), ("", "five fields")]
    {
        assert!(bad.parse::<Times>().unwrap_err().to_string().contains(why), "{bad}");
    }
}

#[test]
fn times_are_those_of_crontab() {
    for (cron, after, expected) in [
        ("30 18 * * FRI", "2026-11-26T18:00:00Z", "2026-11-27T18:30:00.000Z"),
        ("0 6 * * 1-5", "2026-11-28T00:00:00Z", "2026-11-30T06:00:00.000Z"),
        // Sunday is 0 and 7.
        ("0 0 * * 0", "2026-11-26T00:00:00Z", "2026-11-29T00:00:00.000Z"),
        ("0 0 * * 7", "2026-11-26T00:00:00Z", "2026-11-29T00:00:00.000Z"),
        ("0 0 * * 5-7", "2026-11-28T00:00:00Z", "2026-11-29T00:00:00.000Z"),
        ("0 0 * * fri-mon", "2026-11-29T12:00:00Z", "2026-11-30T00:00:00.000Z"),
        ("0 0 * * */2", "2026-11-26T00:00:00Z", "2026-11-28T00:00:00.000Z"),
        // Six fields: seconds first.
        ("15 30 18 * * *", "2026-11-26T00:00:00Z", "2026-11-26T18:30:15.000Z"),
        ("*/10 * * * *", "2026-11-26T18:03:00Z", "2026-11-26T18:10:00.000Z"),
        // What is due at the moment is over.
        ("0 18 * * *", "2026-11-26T18:00:00Z", "2026-11-27T18:00:00.000Z"),
        // Either day will do: the 13th, and every Friday.
        ("0 0 13 * FRI", "2026-11-26T00:00:00Z", "2026-11-27T00:00:00.000Z"),
        ("0 0 13 * FRI", "2026-12-12T00:00:00Z", "2026-12-13T00:00:00.000Z"),
        ("0 0 29 2 *", "2026-11-26T00:00:00Z", "2028-02-29T00:00:00.000Z"),
        ("0 0 ? * MON", "2026-11-26T00:00:00Z", "2026-11-30T00:00:00.000Z"),
        ("@daily", "2026-11-26T18:00:00Z", "2026-11-27T00:00:00.000Z"),
        ("@weekly", "2026-11-26T18:00:00Z", "2026-11-29T00:00:00.000Z"),
    ] {
        assert_eq!(next(cron, after, "UTC"), expected, "{cron} after {after}");
    }
}

#[test]
fn what_is_no_time_is_refused_with_what_to_write() {
    for (text, says) in [
        ("", "five fields"),
        ("* * * *", "five fields"),
        ("0 0 0 * * * 2026", "five fields"),
        ("60 * * * *", "a value that it cannot have"),
        ("0 0 32 * *", "a value that it cannot have"),
        ("0 0 * * 8", "day of the week"),
        ("0 0 * * someday", "day of the week"),
        ("0 0 * * */0", "day of the week"),
        ("0 0 L * *", "not taken"),
        ("0 0 15W * *", "not taken"),
        ("0 0 * * FRI#2", "not taken"),
        ("0 0 * * 5L", "not taken"),
        ("0 0 30 2 *", "no such day"),
        ("hello", "five fields"),
        (&"1,".repeat(200), "longer than"),
    ] {
        let refused = text.parse::<Cron>().unwrap_err();
        assert!(refused.message.contains(says), "{text}: {refused}");
    }
    for text in ["0 0 * JUL WED", "0 0 * * WED", "0 0 1-7 * *"] {
        assert!(text.parse::<Cron>().is_ok(), "{text}");
    }
}

#[test]
fn what_falls_into_the_hour_that_is_skipped_happens_at_its_end() {
    // Berlin: 02:00 to 03:00 of 29 March 2026 does not exist.
    assert_eq!(next("30 2 * * *", "2026-03-28T12:00:00Z", "Europe/Berlin"), "2026-03-29T01:00:00.000Z");
    assert_eq!(next("30 2 * * *", "2026-03-29T01:00:00Z", "Europe/Berlin"), "2026-03-30T00:30:00.000Z");
    let cron: Cron = "30 2 * * *".parse().unwrap();
    let last = cron.last(at("2026-03-29T10:00:00Z"), at("2026-03-28T00:00:00Z"), &zone("Europe/Berlin"));
    assert_eq!(last, Some(at("2026-03-29T01:00:00Z")));
}

#[test]
fn what_falls_into_the_hour_that_comes_twice_happens_once_unless_it_happens_every_hour() {
    // Berlin: 02:00 to 03:00 of 25 October 2026 comes twice, at 00:00 and 01:00 universal time.
    assert_eq!(next("30 2 * * *", "2026-10-25T00:00:00Z", "Europe/Berlin"), "2026-10-25T00:30:00.000Z");
    assert_eq!(next("30 2 * * *", "2026-10-25T00:30:00Z", "Europe/Berlin"), "2026-10-26T01:30:00.000Z");
    assert_eq!(next("30 * * * *", "2026-10-25T00:30:00Z", "Europe/Berlin"), "2026-10-25T01:30:00.000Z");
}

#[test]
fn a_time_of_a_zone_is_that_of_its_clocks() {
    assert_eq!(next("0 18 * * FRI", "2026-11-26T00:00:00Z", "Asia/Seoul"), "2026-11-27T09:00:00.000Z");
    assert_eq!(zone("Asia/Seoul").show(at("2026-11-29T21:00:00Z")), "Mon 2026-11-30 06:00 Asia/Seoul");
    assert!("Asia/Nowhere".parse::<Zone>().unwrap_err().hint.unwrap().contains("Europe/Berlin"));
    assert!("../etc/passwd".parse::<Zone>().is_err());
}

const ZONES: [&str; 6] =
    ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Sao_Paulo"];

fn field(least: u32, most: u32) -> impl Strategy<Value = String> {
    prop_oneof![
        2 => Just("*".to_owned()),
        2 => (least..=most).prop_map(|n| n.to_string()),
        1 => (2_u32..=most.min(12)).prop_map(|n| format!("*/{n}")),
        1 => (least..=most, least..=most).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        1 => (least..=most, least..=most).prop_map(|(a, b)| format!("{a},{b}")),
    ]
}

fn cron() -> impl Strategy<Value = Cron> {
    let weekday = prop_oneof![3 => Just("*".to_owned()), 1 => (0_u32..=7).prop_map(|n| n.to_string())];
    let fields = (field(0, 59), field(0, 23), field(1, 28), field(1, 12), weekday);
    fields.prop_map(|(m, h, d, mo, w)| format!("{m} {h} {d} {mo} {w}").parse().unwrap())
}

/// Whether a clock of universal time shows one of its minutes, found without a calendar of its own.
fn fits_in_utc(cron: &Cron, at: Timestamp) -> bool {
    let clock = jiff::Timestamp::from_millisecond(at.0).unwrap().to_zoned(TimeZone::UTC);
    let part = |n: i8| u32::from(n.unsigned_abs());
    cron.is_on(clock.date())
        && cron.fields.hours().includes(part(clock.hour()))
        && cron.fields.minutes().includes(part(clock.minute()))
}

proptest! {
    #[test]
    fn the_next_time_is_later_and_the_last_time_up_to_it_is_itself(
        cron in cron(), zone in prop::sample::select(&ZONES[..]), seconds in 1_600_000_000_i64..1_900_000_000,
    ) {
        let (zone, now) = (self::zone(zone), Timestamp(seconds * 1000));
        let next = cron.next(now, &zone).unwrap();
        prop_assert!(next > now);
        prop_assert_eq!(cron.last(next, now, &zone), Some(next));
        // Nothing lies between.
        let before = Timestamp(next.0 - 1);
        prop_assert!(cron.last(before, now, &zone).is_none_or(|last| last <= now));
    }

    #[test]
    fn the_next_minute_is_the_first_that_fits(cron in cron(), minutes in 27_000_000_i64..31_000_000) {
        let now = Timestamp(minutes * 60_000);
        let next = cron.next(now, &Zone::utc()).unwrap();
        prop_assert!(fits_in_utc(&cron, next));
        let between = (1..).map(|n| Timestamp(now.0 + n * 60_000)).take_while(|at| *at < next).take(20_000);
        prop_assert!(between.clone().all(|at| !fits_in_utc(&cron, at)));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[-0-9*/,A-Za-z#? @]{0,40}") {
        if let Ok(cron) = text.parse::<Cron>() {
            prop_assert!(cron.next(Timestamp(1_800_000_000_000), &Zone::utc()).is_some());
            prop_assert_eq!(cron.to_string().parse::<Cron>().unwrap(), cron);
        }
    }
}
