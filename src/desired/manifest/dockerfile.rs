//! `build` by the repository's own Dockerfile (row S9).

use super::{Context, build, keys, values};
use crate::desired::apprunner;
use crate::desired::fields::{Fields, checked};
use crate::desired::findings::{Findings, quote};
use crate::model::{AppSettings, DockerfileBuild, EnvName, RepositoryPath};
use std::collections::BTreeMap;

/// The file that `build: Dockerfile` means.
pub(super) const FILE_NAME: &str = "Dockerfile";

/// Keys that only this kind of build has.
const OWN: &[&str] = &["target", "context", "args"];

/// Keys of a build with a runtime, and what a Dockerfile has instead.
const OF_RUNTIMES: &[(&str, &str)] = &[
    ("runtime", "the Dockerfile's `FROM` says what runs"),
    ("runtimeVersion", "the Dockerfile's `FROM` says which version runs"),
    ("preBuild", "write a `RUN` line into the Dockerfile"),
    ("command", "write a `RUN` line into the Dockerfile"),
    ("postBuild", "write a `RUN` line into the Dockerfile"),
    ("preRun", "let the Dockerfile's `ENTRYPOINT` do it"),
    ("env", "use `args` for build arguments, and `env` of the service for the application"),
];

/// Parts of names that only secrets have.
const SECRET_WORDS: &[&str] =
    &["PASSWORD", "PASSWD", "SECRET", "TOKEN", "APIKEY", "API_KEY", "PRIVATE_KEY", "CREDENTIAL"];

/// Whether a mapping under `build` is of this kind.
pub(super) fn is_one(fields: &Fields) -> bool {
    fields.entry("dockerfile").is_some()
}

/// Reads `build: { dockerfile: … }`.
pub(super) fn read(
    fields: Fields,
    port: Option<u16>,
    context: &Context,
    findings: &mut Findings,
) -> Option<AppSettings> {
    let fields = &keys::check(fields, "build", findings);
    refuse_runtimes(fields, findings);
    // What is wrong is among the findings then, and nothing is made of this mapping.
    let path = path(fields, "dockerfile", findings);
    let directory = match fields.value("context").and_then(|node| node.text()) {
        // The source directory itself needs no name.
        Some("." | "./") => None,
        _ => self::path(fields, "context", findings),
    };
    let target = target(fields, findings);
    let args = arguments(fields, context, findings);
    let start = fields.entry("start").and_then(|_| build::start(fields, findings)).unwrap_or_default();
    let dockerfile = DockerfileBuild { path: path?, context: directory, target, args };
    Some(AppSettings::of_dockerfile(dockerfile, start, port.unwrap_or(apprunner::DEFAULT_PORT)))
}

/// What an image that was built elsewhere needs: nothing, but perhaps another start command.
pub(super) fn of_image(service: &Fields, port: Option<u16>, findings: &mut Findings) -> Option<AppSettings> {
    let Some(node) = service.value("build") else { return Some(default(port)) };
    let fields = Fields::open(node, service.path("build"), findings)?;
    for entry in fields.entries.iter().filter(|entry| entry.key != "start") {
        let message = format!(
            "`{}` has no place here: the service's source is an image, which is built already",
            fields.path(&entry.key)
        );
        findings
            .error("build", entry.key_span, message)
            .hint("remove it; only `start` can take the place of what the image says");
    }
    let start = fields.entry("start").and_then(|_| build::start(&fields, findings)).unwrap_or_default();
    Some(AppSettings { start, ..default(port) })
}

/// `build: Dockerfile`.
pub(super) fn default(port: Option<u16>) -> AppSettings {
    AppSettings::of_image(String::new(), port.unwrap_or(apprunner::DEFAULT_PORT))
}

/// In a build with a runtime.
pub(super) fn refuse_its_keys(fields: &Fields, findings: &mut Findings) {
    for entry in fields.entries.iter().filter(|e| OWN.contains(&e.key.as_str())) {
        let message = format!("`{}` is for builds from a Dockerfile", fields.path(&entry.key));
        findings.error("build", entry.key_span, message).hint("add `dockerfile: Dockerfile`, or remove it");
    }
}

fn refuse_runtimes(fields: &Fields, findings: &mut Findings) {
    for entry in fields.entries {
        let Some((key, instead)) = OF_RUNTIMES.iter().find(|(key, _)| *key == entry.key) else { continue };
        let message = format!("`{}` has no place beside `dockerfile`", fields.path(key));
        findings.error("build", entry.key_span, message).hint(*instead);
    }
}

fn path(fields: &Fields, key: &str, findings: &mut Findings) -> Option<RepositoryPath> {
    let (text, span) = fields.text(key, findings)?;
    checked(text.strip_prefix("./").unwrap_or(text).trim_end_matches('/').parse(), "path", span, findings)
}

/// A stage: its name, or its number from 0.
fn target(fields: &Fields, findings: &mut Findings) -> Option<String> {
    let (text, span) = fields.text("target", findings)?;
    let fits = (1..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        && text.as_bytes()[0].is_ascii_alphanumeric();
    if !fits {
        findings
            .error("build", span, format!("{} is not the name of a stage", quote(text)))
            .hint("write what stands after `AS` in the Dockerfile");
        return None;
    }
    Some(text.to_owned())
}

fn arguments(fields: &Fields, context: &Context, findings: &mut Findings) -> BTreeMap<EnvName, String> {
    let args = values::environment(fields, "args", context.shared, findings);
    let Some(section) = fields.entry("args") else { return args };
    let secret = |name: &&EnvName| SECRET_WORDS.iter().any(|word| name.as_str().to_ascii_uppercase().contains(word));
    for name in args.keys().filter(secret) {
        let message = format!(
            "`{}.{name}` looks like a secret: build arguments stay in the image's history",
            fields.path("args")
        );
        findings.warning("secret", section.key_span, message).hint(
            "give secrets to the application with `secrets` of the service; a build needs none, or a token of its own",
        );
    }
    args
}
