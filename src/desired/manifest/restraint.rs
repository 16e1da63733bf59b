//! What holds a service back: `suspend`, `dependsOn`, `drift`; and `windows` at the top level.

use super::keys;
use crate::desired::DeclaredWindow;
use crate::desired::duration::parse_duration;
use crate::desired::fields::{Fields, checked, mismatch};
use crate::desired::findings::{Findings, quote};
use crate::desired::keys::{listed, nearest};
use crate::desired::yaml::{Node, Span, Value};
use crate::model::{Drift, Invalid, Restraint, ServiceName, Suspend, Timestamp, Window, WindowEffect};
use std::collections::BTreeMap;
use std::time::Duration;

/// The longest window.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);
/// The longest reason.
const MOST_REASON: usize = 500;

/// What holds a service back.
pub(super) fn read(service: &Fields, findings: &mut Findings) -> Restraint {
    let suspend = service.mapping("suspend", findings).and_then(|fields| suspend(fields, findings));
    let depends_on = named(service, "dependsOn", findings).into_iter().map(|(name, _)| name).collect();
    Restraint { suspend, depends_on, drift: drift(service, findings).unwrap_or_default() }
}

fn drift(service: &Fields, findings: &mut Findings) -> Option<Drift> {
    let (text, span) = service.text("drift", findings)?;
    match text {
        "heal" => Some(Drift::Heal),
        "report" => Some(Drift::Report),
        _ => {
            let message = format!("`{}` must be `heal` or `report`, not {}", service.path("drift"), quote(text));
            findings.error("type", span, message);
            None
        }
    }
}

fn suspend(fields: Fields, findings: &mut Findings) -> Option<Suspend> {
    let fields = keys::check(fields, "suspend", findings);
    fields.required("until", "say when it ends: `until: 2027-01-04T06:00:00Z`", findings)?;
    fields.required("reason", "say why, for whoever wonders: `reason: stocktaking`", findings)?;
    let (text, span) = fields.text("until", findings)?;
    let until = checked(moment(text), "time", span, findings);
    let (reason, span) = fields.text("reason", findings)?;
    let reason = reason.trim();
    if reason.is_empty() || reason.chars().count() > MOST_REASON || reason.chars().any(char::is_control) {
        let message = format!("`{}` must be a line of 1 to {MOST_REASON} characters", fields.path("reason"));
        findings.error("range", span, message);
        return None;
    }
    Some(Suspend { until: until?, reason: reason.to_owned() })
}

/// A moment: `2027-01-04T06:00:00Z`, with an offset or a zone, or a day, which begins in universal time.
fn moment(text: &str) -> Result<Timestamp, Invalid> {
    let day =
        || text.parse::<jiff::civil::Date>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|day| day.timestamp());
    // A day is a beginning of a moment, too, so it comes last.
    let read = text.parse::<jiff::Timestamp>().ok().or_else(|| text.parse::<jiff::Zoned>().ok().map(|z| z.timestamp()));
    let read = read.or_else(|| if text.len() == 10 { day() } else { None });
    read.map(|at| Timestamp(at.as_millisecond())).ok_or_else(|| {
        Invalid::new(format!("{} is no time", quote(text)))
            .hint("write it with its zone: `2027-01-04T06:00:00Z`, `2027-01-04T06:00:00+09:00`, or a day of universal time: `2027-01-04`")
    })
}

/// Names of services under a key, with where they stand.
fn named(fields: &Fields, key: &str, findings: &mut Findings) -> Vec<(ServiceName, Span)> {
    let Some(node) = fields.present(key, "a list of services", findings) else { return Vec::new() };
    let path = fields.path(key);
    let Value::Sequence(items) = &node.value else {
        mismatch(node, &path, "a list of services", findings);
        return Vec::new();
    };
    let mut names: Vec<(ServiceName, Span)> = Vec::new();
    for item in items {
        let Some(text) = item.text() else {
            mismatch(item, &path, "a list of services", findings);
            continue;
        };
        let Some(name) = checked(text.parse::<ServiceName>(), "name", item.span, findings) else { continue };
        if names.iter().all(|(other, _)| *other != name) {
            names.push((name, item.span));
        }
    }
    names
}

/// One file's windows, with where they name services.
pub(super) struct Windows {
    pub(super) windows: Vec<DeclaredWindow>,
    named: Vec<(ServiceName, Span)>,
}

/// Reads `windows` of one file.
pub(super) fn windows(top: &Fields, findings: &mut Findings) -> Windows {
    let mut read = Windows { windows: Vec::new(), named: Vec::new() };
    let Some(node) = top.present("windows", "a list of windows", findings) else { return read };
    let Value::Sequence(items) = &node.value else {
        mismatch(node, "windows", "a list of windows", findings);
        return read;
    };
    for (index, item) in items.iter().enumerate() {
        let declared = window(item, &format!("windows[{index}]"), &mut read.named, findings);
        read.windows.extend(declared);
    }
    read
}

fn window(
    node: &Node,
    path: &str,
    named_services: &mut Vec<(ServiceName, Span)>,
    findings: &mut Findings,
) -> Option<DeclaredWindow> {
    let fields = keys::check(Fields::open(node, path, findings)?, "window", findings);
    let (effect, key) = match (fields.entry("allow"), fields.entry("deny")) {
        (Some(_), None) => (WindowEffect::Allow, "allow"),
        (None, Some(_)) => (WindowEffect::Deny, "deny"),
        _ => {
            let message = format!("`{path}` must have one of `allow` and `deny`");
            findings.error("type", fields.span, message).hint("write `deny: \"0 18 * * FRI\"`, when it begins");
            return None;
        }
    };
    fields.required("for", "say how long it lasts: `for: 60h`", findings)?;
    fields.required("zone", "say by whose clocks: `zone: Europe/Berlin`", findings)?;
    let begins = fields.parsed(key, "cron", findings);
    let zone = fields.parsed("zone", "zone", findings);
    let lasts = lasts(&fields, findings);
    let services = named(&fields, "services", findings);
    if fields
        .entry("services")
        .is_some_and(|entry| matches!(&entry.value.value, Value::Sequence(items) if items.is_empty()))
    {
        let message = format!("`{}` names no service", fields.path("services"));
        findings.error("missing", fields.span, message).hint("name services, or remove the key: then it is about all");
    }
    let place = findings.place(fields.span);
    let window = Window {
        effect,
        begins: begins?,
        lasts: lasts?,
        zone: zone?,
        services: services.iter().map(|(name, _)| name.clone()).collect(),
    };
    named_services.extend(services);
    Some(DeclaredWindow { window, place })
}

fn lasts(fields: &Fields, findings: &mut Findings) -> Option<Duration> {
    let (text, span) = fields.text("for", findings)?;
    let lasts = checked(parse_duration(text), "unit", span, findings)?;
    if lasts < Duration::from_secs(1) || lasts > LONGEST {
        let message = format!("`{}` must be from 1s to 366d, not {}", fields.path("for"), quote(text));
        findings.error("range", span, message);
        return None;
    }
    Some(lasts)
}

/// Reports services that a window names and that are not declared.
pub(super) fn check_windows(windows: &Windows, known: &[&ServiceName], findings: &mut Findings) {
    for (name, span) in &windows.named {
        check_known(name, *span, known, findings);
    }
}

fn check_known(name: &ServiceName, span: Span, known: &[&ServiceName], findings: &mut Findings) {
    if known.contains(&name) {
        return;
    }
    let names = known.iter().map(|name| name.as_str());
    let hint = match nearest(name.as_str(), names.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are {}", listed(names.take(20))),
    };
    findings.error("unknown-name", span, format!("there is no service `{name}`")).hint(hint);
}

/// Where a service says what it depends on.
pub(super) struct Dependent {
    pub(super) name: ServiceName,
    /// The place of its name, for messages.
    pub(super) place: crate::model::Place,
    pub(super) on: Vec<(ServiceName, Span)>,
}

/// What a service's mapping says it depends on; its problems are found by [`read`].
pub(super) fn dependent(name: &ServiceName, node: &Node, place: crate::model::Place) -> Option<Dependent> {
    let entry = node.entries()?.iter().find(|entry| entry.key == "dependsOn")?;
    let Value::Sequence(items) = &entry.value.value else { return None };
    let on = items.iter().filter_map(|item| Some((item.text()?.parse().ok()?, item.span))).collect();
    Some(Dependent { name: name.clone(), place, on })
}

/// Reports what depends on nothing that is there, on itself, or in a circle: at the first of the circle, with the place of
/// the one that closes it.
pub(super) fn check_dependencies(
    all: &BTreeMap<&ServiceName, &Dependent>,
    own: &[&Dependent],
    known: &[&ServiceName],
    findings: &mut Findings,
) {
    for dependent in own {
        for (name, span) in &dependent.on {
            check_known(name, *span, known, findings);
            let Some(circle) = circle(all, &dependent.name, name) else { continue };
            // Each circle once: at the service that is first by name.
            if circle.iter().any(|member| *member < &dependent.name) {
                continue;
            }
            let message = match circle.as_slice() {
                [_] => format!("`{}` depends on itself", dependent.name),
                _ => format!("`{}` and `{name}` depend on each other: {}", dependent.name, chain(all, &circle)),
            };
            findings.error("circle", *span, message).hint("remove one of them from a `dependsOn`");
        }
    }
}

/// The way from a dependency back to who depends on it, if there is one: the services on it, the dependent first.
fn circle<'n>(
    all: &BTreeMap<&'n ServiceName, &'n Dependent>,
    from: &'n ServiceName,
    first: &'n ServiceName,
) -> Option<Vec<&'n ServiceName>> {
    let mut ways = vec![vec![from, first]];
    let mut seen = vec![first];
    if from == first {
        return Some(vec![from]);
    }
    while let Some(way) = ways.pop() {
        let last = way.last()?;
        for (next, _) in all.get(last).into_iter().flat_map(|dependent| &dependent.on) {
            if next == from {
                return Some(way);
            }
            if !seen.contains(&next) {
                seen.push(next);
                ways.push(way.iter().copied().chain([next]).collect());
            }
        }
    }
    None
}

/// `a` (towpath.yaml:3) → `b` (towpath.yaml:9) → `a`.
fn chain(all: &BTreeMap<&ServiceName, &Dependent>, circle: &[&ServiceName]) -> String {
    let placed = |name: &&ServiceName| match all.get(*name) {
        Some(dependent) => format!("`{name}` ({})", dependent.place),
        None => format!("`{name}`"),
    };
    let mut steps: Vec<String> = circle.iter().map(placed).collect();
    steps.extend(circle.first().map(|first| format!("`{first}`")));
    steps.join(" → ")
}
