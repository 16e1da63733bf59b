//! `apprunner.yaml`, whole (row S7): text in, settings and every problem out.
//!
//! What App Runner refuses is an error here, what it lets through a warning at most; a key that was clearly meant to be
//! another one is an error, because its value would be lost.

mod environment;
pub(super) use environment::{env_name, warn_of_lost};
mod keys;
pub(super) use keys::{is_refused, levels, words};
#[cfg(test)]
mod tests;

use super::Parsed;
use super::fields::{self, Fields, mismatch, text_of};
use super::findings::{Findings, quote};
use super::keys::listed;
use super::yaml::{self, Node, Span, Value};
use crate::model::{AppSettings, Catalogue, EnvName, Language, Runtime, RuntimeName, StartCommand, VersionLock};

/// The name of the file; App Runner reads no other.
pub const FILE_NAME: &str = "apprunner.yaml";
/// What App Runner says when a repository has no such file.
pub const NOT_FOUND: &str = "App Runner configuration file apprunner.yaml not found.";
/// What App Runner says of a runtime or version that it does not have.
pub const UNSUPPORTED: &str = "The specified runtime version is not supported.";
/// The port without `run.network.port`.
pub const DEFAULT_PORT: u16 = 8080;

/// Reads an `apprunner.yaml`. The value is there when no problem is an error.
pub fn parse_apprunner(file: &str, text: &str, catalogue: &Catalogue) -> Parsed<AppSettings> {
    let mut findings = Findings::new(file, text);
    let settings = yaml::read(text, &mut findings).and_then(|root| {
        Fields::open(&root, "", &mut findings).and_then(|top| settings(&top, catalogue, &mut findings))
    });
    findings.finish(settings)
}

fn settings(top: &Fields, catalogue: &Catalogue, findings: &mut Findings) -> Option<AppSettings> {
    keys::check(top, "", &[], findings);
    version(top, findings);
    let runtime = runtime(top, catalogue, findings);
    let build = build(top, findings);
    let run = run(top, runtime, catalogue, findings);
    let (build, run) = (build?, run?);
    Some(AppSettings {
        runtime: runtime?.name.clone(),
        runtime_version: run.lock,
        pre_build: build.before,
        build: build.main,
        post_build: build.after,
        build_env: build.env,
        pre_run: run.before,
        start: run.command?,
        port: run.port,
        port_env: run.port_env,
        env: run.env,
        secrets: run.secrets,
        dockerfile: None,
    })
}

fn version(top: &Fields, findings: &mut Findings) {
    let Some(node) = top.required("version", "start the file with `version: 1.0`", findings) else { return };
    let Some((text, span)) = text_of(node, "version", findings) else { return };
    if !matches!(text, "1.0" | "1") {
        let message = format!("`version` is {}; the version of this file format is 1.0", quote(text));
        findings.warning("version", span, message).hint("write `version: 1.0`");
    }
}

fn runtime<'c>(top: &Fields, catalogue: &'c Catalogue, findings: &mut Findings) -> Option<&'c Runtime> {
    let node = top.required("runtime", "name the managed runtime, such as `runtime: python311`", findings)?;
    let (text, span) = text_of(node, "runtime", findings)?;
    find_runtime(text, span, catalogue, findings)
}

/// The runtime of a name; a `runtime` problem with the nearest one otherwise.
pub(super) fn find_runtime<'c>(
    text: &str,
    span: Span,
    catalogue: &'c Catalogue,
    findings: &mut Findings,
) -> Option<&'c Runtime> {
    let found = text.parse::<RuntimeName>().ok().and_then(|name| catalogue.find(&name));
    if found.is_none() {
        let message = format!("{UNSUPPORTED} There is no runtime {}", quote(text));
        let hint = match catalogue.nearest(text) {
            _ if matches!(text.to_ascii_lowercase().as_str(), "docker" | "dockerfile") => {
                "the repository's own Dockerfile is built by `build: Dockerfile` in the manifest".to_owned()
            }
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("runtimes are {}", listed(catalogue.runtimes.iter().map(|r| r.name.as_str()))),
        };
        findings.error("runtime", span, message).hint(hint);
    }
    found
}

/// A version lock as it stands, checked against the runtime where that is known (row S4).
pub(super) fn lock(
    (text, span): (&str, Span),
    runtime: Option<&Runtime>,
    catalogue: &Catalogue,
    findings: &mut Findings,
) -> Option<VersionLock> {
    let lock: VersionLock = fields::checked(text.parse(), "runtime-version", span, findings)?;
    let Some(runtime) = runtime else { return Some(lock) };
    if runtime.accepts(&lock) {
        return Some(lock);
    }
    let offered: Vec<String> = runtime.versions.iter().map(ToString::to_string).collect();
    let offered = listed(offered.iter().map(String::as_str));
    let message = format!("{UNSUPPORTED} `{lock}` is no version of `{}`", runtime.name);
    let hint = match catalogue.offering(runtime.language, &lock).filter(|_| lock.0.len() > 1 || named_by_major(runtime))
    {
        Some(other) => format!("`{}` offers {offered}; for `{lock}` write `runtime: {}`", runtime.name, other.name),
        None => format!("`{}` offers {offered}", runtime.name),
    };
    findings.error("runtime-version", span, message).hint(hint);
    None
}

/// Whether a language's runtimes are told apart by the major version alone.
fn named_by_major(runtime: &Runtime) -> bool {
    matches!(runtime.language, Language::Node | Language::Java)
}

/// The `build` section.
struct Build {
    before: Vec<String>,
    main: Vec<String>,
    after: Vec<String>,
    env: environment::Variables,
}

fn build(top: &Fields, findings: &mut Findings) -> Option<Build> {
    let hint = "add `build`, with the commands under `build.commands.build`";
    let section = Fields::open(top.required("build", hint, findings)?, "build", findings)?;
    let told: &[&str] = if top.value("run").is_none() { &["run"] } else { &[] };
    keys::check(&section, "build", told, findings);
    let env = environment::variables(&section, "env", findings);
    warn_of_lost(environment::names(&section, "env"), "each command is run by a shell", findings);
    let commands = section.required("commands", "list the commands under `build.commands.build`", findings)?;
    if let Value::Sequence(_) = commands.value {
        findings
            .error(
                "type",
                commands.span,
                "`build.commands` is a list; it must be a mapping of `pre-build`, `build`, `post-build`",
            )
            .hint("put the list under `build:`, one level deeper");
        return None;
    }
    let commands = Fields::open(commands, "build.commands", findings)?;
    keys::check(&commands, "build.commands", &[], findings);
    commands.required("build", "list the build commands under `build.commands.build`", findings);
    let mut phase = |key| lines(&commands, key, findings);
    Some(Build { before: phase("pre-build"), main: phase("build"), after: phase("post-build"), env })
}

/// A list of shell lines; nothing if the key is not there or null.
fn lines(fields: &Fields, key: &str, findings: &mut Findings) -> Vec<String> {
    let Some(node) = fields.value(key) else { return Vec::new() };
    let path = fields.path(key);
    let Value::Sequence(items) = &node.value else {
        let message = format!("`{path}` must be a list of commands, not {}", node.describe());
        findings.error("type", node.span, message).hint("put each command on a line of its own, after `- `");
        return Vec::new();
    };
    if items.is_empty() && key == "build" {
        findings.error("missing", node.span, format!("`{path}` has no command")).hint("list at least one command");
    }
    items.iter().filter_map(|item| line(item, &path, findings)).collect()
}

/// One item of a list of shell lines.
pub(super) fn line(item: &Node, path: &str, findings: &mut Findings) -> Option<String> {
    if item.is_null() {
        let message = format!("a command of `{path}` is empty");
        findings.error("type", item.span, message).hint("write the command after `- `, or remove the line");
        return None;
    }
    if let Value::Mapping(_) = item.value {
        findings
            .error("type", item.span, format!("a command of `{path}` must be a text, not a mapping"))
            .hint("put quotes around a command that contains `: `");
        return None;
    }
    text_of(item, &format!("{path}[]"), findings).map(|(text, _)| text.to_owned())
}

/// The `run` section. What is wrong in it is among the findings; only what cannot be left out is optional.
struct Run {
    lock: Option<VersionLock>,
    before: Vec<String>,
    command: Option<String>,
    port: u16,
    port_env: Option<EnvName>,
    env: environment::Variables,
    secrets: environment::Variables,
}

fn run(top: &Fields, runtime: Option<&Runtime>, catalogue: &Catalogue, findings: &mut Findings) -> Option<Run> {
    let hint = "add `run`, with the start command under `run.command`";
    let section = Fields::open(top.required("run", hint, findings)?, "run", findings)?;
    keys::check(&section, "run", &[], findings);
    let lock = section
        .value("runtime-version")
        .and_then(|node| text_of(node, "run.runtime-version", findings))
        .and_then(|found| lock(found, runtime, catalogue, findings));
    let network = section.value("network").and_then(|node| Fields::open(node, "run.network", findings));
    let (port, port_env) = network.map_or((DEFAULT_PORT, None), |network| self::network(&network, findings));
    let (before, command) = (lines(&section, "pre-run", findings), command(&section, findings));
    if !before.is_empty() || command.as_deref().is_some_and(by_shell) {
        let names = ["env", "secrets"].into_iter().flat_map(|key| environment::names(&section, key));
        warn_of_lost(names, THROUGH_SHELL, findings);
    }
    Some(Run {
        lock,
        before,
        command,
        port,
        port_env,
        env: environment::run_variables(&section, findings),
        secrets: environment::secrets(&section, findings),
    })
}

/// Why a variable that a shell cannot read gets lost.
pub(super) const THROUGH_SHELL: &str =
    "the application is started through a shell (commands before its start, or a start command that needs one)";

/// Whether a start command is run by a shell.
pub(super) fn by_shell(start: &str) -> bool {
    matches!(StartCommand::parse(start), Ok((StartCommand::Shell(_), _)))
}

fn command(run: &Fields, findings: &mut Findings) -> Option<String> {
    let node = run.required("command", "write the start command, such as `command: python app.py`", findings)?;
    if let Value::Sequence(_) = node.value {
        mismatch(node, "run.command", "one line of text", findings);
        return None;
    }
    let (text, span) = text_of(node, "run.command", findings)?;
    start_command(text, span, Some("run.command"), findings)
}

/// A start command that can be run; with a notice where it needs a shell and App Runner, which reads the same file, would give it
/// none.
pub(super) fn start_command(text: &str, span: Span, shared: Option<&str>, findings: &mut Findings) -> Option<String> {
    let (_, shell) = fields::checked(StartCommand::parse(text), "command", span, findings)?;
    if let Some(path) = shared.filter(|_| shell) {
        findings
            .warning(
                "shell",
                span,
                format!("`{path}` needs a shell and is run by `sh -c`; App Runner itself runs it without one"),
            )
            .hint("put it into a script, or write `sh -c '…'`, and it means the same on App Runner");
    }
    Some(text.trim().to_owned())
}

fn network(network: &Fields, findings: &mut Findings) -> (u16, Option<EnvName>) {
    keys::check(network, "run.network", &[], findings);
    let port = network
        .value("port")
        .and_then(|node| fields::number_of(node, "run.network.port", 1..=65535, findings))
        .and_then(|port| u16::try_from(port).ok());
    let name = network.value("env").and_then(|node| match node.value {
        Value::Scalar(..) => text_of(node, "run.network.env", findings),
        _ => {
            let message = format!("`run.network.env` must be the name of one variable, not {}", node.describe());
            findings.error("type", node.span, message).hint("variables of the application belong in `run.env`");
            None
        }
    });
    let name: Option<EnvName> = name.and_then(|(text, span)| fields::checked(text.parse(), "type", span, findings));
    // `PORT` carries the port anyway.
    (port.unwrap_or(DEFAULT_PORT), name.filter(|name| name.as_str() != "PORT"))
}
