//! Sizes, health checks, scaling and deployment settings, in place or shared by name.

use super::keys;
use super::shared::{Named, Shared};
use crate::desired::duration::{parse_duration, show_duration};
use crate::desired::fields::{Fields, checked, mismatch};
use crate::desired::findings::{Findings, quote};
use crate::desired::yaml::{Span, Value};
use crate::model::{DeploySettings, HealthCheck, HealthProtocol, InstanceSize, Scaling};
use std::ops::RangeInclusive;
use std::time::Duration;

/// A service's health check.
pub(super) fn health_of(service: &Fields, shared: &Shared, findings: &mut Findings) -> HealthCheck {
    in_place_or_named(service, "health", &shared.health, health, findings)
}

/// A service's scaling.
pub(super) fn scaling_of(service: &Fields, shared: &Shared, findings: &mut Findings) -> Scaling {
    in_place_or_named(service, "autoscaling", &shared.scaling, scaling, findings)
}

fn in_place_or_named<T: Default + Clone>(
    service: &Fields,
    key: &str,
    shared: &Named<T>,
    read: fn(Fields, &mut Findings) -> T,
    findings: &mut Findings,
) -> T {
    let Some(node) = service.present(key, "a name or the settings", findings) else { return T::default() };
    let path = service.path(key);
    match (&node.value, node.text()) {
        (Value::Mapping(_), _) => Fields::open(node, path, findings).map(|fields| read(fields, findings)),
        (_, Some(name)) => shared.find(name, node.span, findings),
        _ => {
            mismatch(node, &path, "a name or a mapping", findings);
            None
        }
    }
    .unwrap_or_default()
}

/// A health check's settings.
pub(super) fn health(fields: Fields, findings: &mut Findings) -> HealthCheck {
    let fields = &keys::check(fields, "health", findings);
    let default = HealthCheck::default();
    let protocol = protocol(fields, findings).unwrap_or(default.protocol);
    let path = health_path(fields, findings);
    if let (HealthProtocol::Tcp, Some(entry)) = (protocol, fields.entry("path")) {
        let message = format!("`{}` has no effect: a TCP check asks for no path", fields.path("path"));
        findings.warning("unused", entry.key_span, message).hint("add `protocol: HTTP`");
    }
    let mut seconds = |key, default| check_seconds(fields, key, findings).unwrap_or(default);
    let interval_seconds = seconds("interval", default.interval_seconds);
    let timeout_seconds = seconds("timeout", default.timeout_seconds);
    let mut threshold = |key, default| fields.number(key, 1..=20, findings).unwrap_or(default);
    HealthCheck {
        protocol,
        path: path.unwrap_or(default.path),
        interval_seconds,
        timeout_seconds,
        healthy_threshold: threshold("healthyThreshold", default.healthy_threshold),
        unhealthy_threshold: threshold("unhealthyThreshold", default.unhealthy_threshold),
    }
}

fn protocol(fields: &Fields, findings: &mut Findings) -> Option<HealthProtocol> {
    let (text, span) = fields.text("protocol", findings)?;
    match text {
        "TCP" | "tcp" => Some(HealthProtocol::Tcp),
        "HTTP" | "http" => Some(HealthProtocol::Http),
        _ => {
            let message = format!("`{}` must be `TCP` or `HTTP`, not {}", fields.path("protocol"), quote(text));
            findings.error("type", span, message);
            None
        }
    }
}

fn health_path(fields: &Fields, findings: &mut Findings) -> Option<String> {
    let (text, span) = fields.text("path", findings)?;
    let fits = text.starts_with('/') && text.len() <= 2048 && text.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    if !fits {
        let message = format!("{} is not a path to ask for", quote(text));
        findings.error("path", span, message).hint("write it like `/healthz`, without spaces");
        return None;
    }
    Some(text.to_owned())
}

/// Whole seconds, 1–20 (row I4).
fn check_seconds(fields: &Fields, key: &str, findings: &mut Findings) -> Option<u32> {
    seconds_within(fields, key, 1..=20, findings)
}

/// A duration of whole seconds.
pub(super) fn seconds_within(
    fields: &Fields,
    key: &str,
    range: RangeInclusive<u64>,
    findings: &mut Findings,
) -> Option<u32> {
    let range = Duration::from_secs(*range.start())..=Duration::from_secs(*range.end());
    let (duration, span) = duration(fields, key, range, findings)?;
    if duration.subsec_millis() != 0 {
        findings.error("range", span, format!("`{}` must be whole seconds", fields.path(key)));
        return None;
    }
    u32::try_from(duration.as_secs()).ok()
}

pub(super) fn duration(
    fields: &Fields,
    key: &str,
    range: RangeInclusive<Duration>,
    findings: &mut Findings,
) -> Option<(Duration, Span)> {
    let (text, span) = fields.text(key, findings)?;
    let duration = checked(parse_duration(text), "unit", span, findings)?;
    if range.contains(&duration) {
        return Some((duration, span));
    }
    let (start, end) = (show_duration(*range.start()), show_duration(*range.end()));
    let message = format!("`{}` must be from {start} to {end}, not {}", fields.path(key), quote(text));
    findings.error("range", span, message);
    None
}

/// The settings of a scaling.
pub(super) fn scaling(fields: Fields, findings: &mut Findings) -> Scaling {
    let fields = &keys::check(fields, "autoscaling", findings);
    let default = Scaling::default();
    let max_concurrency = fields.number("maxConcurrency", 1..=200, findings).unwrap_or(default.max_concurrency);
    let zero = fields.value("minSize").filter(|node| node.text() == Some("0"));
    let min_size = match zero {
        Some(node) => {
            keys::not_yet(&format!("`{}: 0`", fields.path("minSize")), node.span, findings)
                .hint("1 is the least: write `minSize: 1`");
            None
        }
        None => fields.number("minSize", 1..=25, findings),
    };
    let max_size = fields.number("maxSize", 1..=25, findings);
    let min_size = min_size.unwrap_or(default.min_size);
    let max_size = max_size.unwrap_or(default.max_size);
    if min_size > max_size {
        let span = fields.entry("minSize").map_or(fields.span, |e| e.value.span);
        let message = format!("`minSize` ({min_size}) is greater than `maxSize` ({max_size})");
        findings.error("range", span, message);
    }
    Scaling { max_concurrency, min_size, max_size }
}

/// `instance`: any size (rows I1, I3).
pub(super) fn instance(service: &Fields, findings: &mut Findings) -> InstanceSize {
    let default = InstanceSize::default();
    let Some(fields) = service.mapping("instance", findings) else { return default };
    let fields = keys::check(fields, "instance", findings);
    InstanceSize {
        cpu: fields.parsed("cpu", "unit", findings).unwrap_or(default.cpu),
        memory: fields.parsed("memory", "unit", findings).unwrap_or(default.memory),
        storage: fields.parsed("storage", "unit", findings),
    }
}

/// `deploy`.
pub(super) fn deploy(service: &Fields, findings: &mut Findings) -> DeploySettings {
    const HOUR: u64 = 3600;
    let default = DeploySettings::default();
    let Some(fields) = service.mapping("deploy", findings) else { return default };
    let fields = keys::check(fields, "deploy", findings);
    let release = super::build::commands(&fields, "release", findings);
    let mut read = |key, least, most, default| {
        let range = Duration::from_secs(least)..=Duration::from_secs(most);
        duration(&fields, key, range, findings).map_or(default, |(duration, _)| duration)
    };
    DeploySettings {
        drain: read("drain", 0, HOUR, default.drain),
        start_deadline: read("startDeadline", 1, HOUR, default.start_deadline),
        build_deadline: read("buildDeadline", 1, 24 * HOUR, default.build_deadline),
        release_deadline: read("releaseDeadline", 1, 24 * HOUR, default.release_deadline),
        release,
    }
}
