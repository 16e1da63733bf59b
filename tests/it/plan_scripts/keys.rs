//! The keys that change a declaration in a plan script.

use crate::plan_builders::NOON;
use std::str::FromStr;
use std::time::Duration;
use towpath::model::{
    AppSettings, BuildSource, Drift, KeyGroup, KeyText, Reference, SecretRef, ServiceSpec, Suspend, Verify,
};

/// What is asked of commits.
fn verify(spec: &mut ServiceSpec) -> &mut Verify {
    spec.source.verify.get_or_insert_default()
}

/// Keys that nobody looks at: verdicts are lines of the script.
fn group(name: &str) -> KeyGroup {
    KeyGroup { name: name.into(), keys: vec![KeyText::Text("key".into())] }
}

/// `key=value`, or a bare word with an empty value.
pub fn split(word: &str) -> (&str, &str) {
    word.split_once('=').unwrap_or((word, ""))
}

fn parsed<T: FromStr>(value: &str) -> Result<T, String>
where
    T::Err: std::fmt::Display,
{
    value.parse().map_err(|e| format!("`{value}`: {e}"))
}

fn seconds(value: &str) -> Result<Duration, String> {
    parsed(value.trim_end_matches('s')).map(Duration::from_secs)
}

/// Changes one field of a declaration: `repo branch tag directory auto env.X secret.X tag.X memory cpu min max concurrency health
/// interval verify fast-forward depends suspend drift drain start-deadline build build.command build.start build.port`.
pub fn apply_key(spec: &mut ServiceSpec, key: &str, value: &str) -> Result<(), String> {
    match key.split_once('.') {
        Some(("env", name)) => drop(spec.env.insert(parsed(name)?, value.into())),
        Some(("secret", name)) => drop(spec.secrets.insert(parsed(name)?, SecretRef::Env(value.into()))),
        Some(("tag", name)) => drop(spec.tags.insert(name.into(), value.into())),
        Some(("build", field)) => apply_build(spec, field, value)?,
        _ => apply_plain(spec, key, value)?,
    }
    Ok(())
}

fn apply_plain(spec: &mut ServiceSpec, key: &str, value: &str) -> Result<(), String> {
    match key {
        "repo" => spec.source.repository = parsed(value)?,
        "branch" => spec.source.track.reference = Reference::Branch(parsed(value)?),
        "tag" => spec.source.track.reference = Reference::Tag(parsed(value)?),
        "directory" => spec.source.track.directory = Some(parsed(value)?),
        "auto" => spec.source.auto_deploy = parsed(value)?,
        "memory" => spec.instance.memory = parsed(value)?,
        "cpu" => spec.instance.cpu = parsed(value)?,
        "min" => spec.scaling.min_size = parsed(value)?,
        "max" => spec.scaling.max_size = parsed(value)?,
        "concurrency" => spec.scaling.max_concurrency = parsed(value)?,
        "health" => spec.health.path = value.into(),
        "interval" => spec.health.interval_seconds = parsed(value)?,
        "drain" => spec.deploy.drain = seconds(value)?,
        "start-deadline" => spec.deploy.start_deadline = seconds(value)?,
        "verify" => verify(spec).signed_by = vec![group(value)],
        "fast-forward" => verify(spec).fast_forward_only = true,
        "depends" => {
            spec.restraint.depends_on = value.split(',').map(parsed).collect::<Result<_, _>>()?;
        }
        "suspend" => {
            let until = NOON.plus(seconds(value)?);
            spec.restraint.suspend = Some(Suspend { until, reason: "stocktaking".into() });
        }
        "drift" => spec.restraint.drift = Drift::Report,
        "build" if value == "apprunner.yaml" => spec.build = BuildSource::Repository,
        _ => return Err(format!("`{key}` is no key of a declaration")),
    }
    Ok(())
}

fn apply_build(spec: &mut ServiceSpec, field: &str, value: &str) -> Result<(), String> {
    let settings: &mut AppSettings = match &mut spec.build {
        BuildSource::Inline(settings) => settings,
        BuildSource::Repository => return Err("the build is `apprunner.yaml`".into()),
    };
    match field {
        "command" => settings.build = vec![value.into()],
        "start" => settings.start = value.into(),
        "port" => settings.port = parsed(value)?,
        _ => return Err(format!("`build.{field}` is no key of a declaration")),
    }
    Ok(())
}
