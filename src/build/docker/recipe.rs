//! The recipe: from a service's build settings to a Dockerfile. Pure.
//!
//! Whatever comes from a repository or a manifest stands in JSON strings only. Docker expands nothing in the JSON form
//! of `RUN`, so a line can be neither an instruction nor an option, and no text of it meets a second interpreter.

use super::progress::{Steps, step_number};
use crate::build::recipe::{self, Step};
use crate::build::{BuildError, system};
use crate::model::{AppSettings, Catalogue, EnvName, Language, Runtime, RuntimeName, SourceDirectory, VersionLock};
use std::collections::BTreeMap;

/// Docker's parser of 20.10 reads lines of less than 64 KiB.
const LONGEST_INSTRUCTION: usize = 60 << 10;

/// Where the repository is in the image; all commands run there, or in the source directory below it.
const APP: &str = "/app";

/// The directory of the build context that holds the application: beside the Dockerfile, so that files of the
/// repository cannot take its place, nor a `.dockerignore` of the repository leave files out.
pub(super) const CONTEXT_APP: &str = "app";

/// What images without a `PATH` of their own get from Docker.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// One command of a phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Command {
    /// `pre-build`, `build`, `post-build` or `pre-run`.
    pub phase: &'static str,
    /// The line as written.
    pub line: String,
    /// Where it stands in the repository's own Dockerfile: `Dockerfile:7`.
    pub place: Option<String>,
}

/// What an instruction is for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Purpose {
    /// Settings that make no layer: BuildKit does not count them as steps.
    Setting,
    /// Brings runtime or application into place.
    Prepare,
    /// A command of a phase, with the directories that keep its downloads.
    Command(Command, &'static [&'static str]),
}

/// A Dockerfile, with what each of its steps is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recipe {
    instructions: Vec<(String, Purpose)>,
}

impl Recipe {
    /// The recipe of these settings on this base image. Fails on a line that is too long for Docker.
    pub fn new(settings: &AppSettings, language: Language, image: &str) -> Result<Self, BuildError> {
        let mut made = Self { instructions: Vec::new() };
        made.prepare(format!("FROM {image}"));
        made.prepare(format!("WORKDIR {APP}"));
        // Before the application's files: these layers are the same for every commit, and come from the cache.
        made.base(language);
        made.prepare(format!("COPY {CONTEXT_APP}/ {APP}/"));
        for Step { phase, line } in recipe::steps(settings) {
            let text = run(phase.variables(settings), &["/bin/sh", "-c", &line]);
            let command = Command { phase: phase.name(), line, place: None };
            made.instructions.push((text, Purpose::Command(command, caches(language))));
        }
        made.setting("ENTRYPOINT []".into());
        made.check()
    }

    /// The same with all commands in a directory of the repository (row L1), which is still there as a whole.
    pub fn within(mut self, directory: Option<&SourceDirectory>) -> Self {
        let Some(directory) = directory else { return self };
        // A source directory has no character that means anything in a Dockerfile.
        let work = format!("{APP}/{directory}");
        for (text, _) in self.instructions.iter_mut().filter(|(_, purpose)| *purpose == Purpose::Setting) {
            *text = text.replace(&format!("{APP}/node_modules/"), &format!("{work}/node_modules/"));
        }
        let copied = self.instructions.iter().position(|(text, _)| text.starts_with("COPY "));
        self.instructions.insert(copied.map_or(1, |at| at + 1), (format!("WORKDIR {work}"), Purpose::Prepare));
        self
    }

    fn prepare(&mut self, text: String) {
        self.instructions.push((text, Purpose::Prepare));
    }

    fn setting(&mut self, text: String) {
        self.instructions.push((text, Purpose::Setting));
    }

    /// What build lines expect of the machine, and the language's own tools besides the interpreter.
    fn base(&mut self, language: Language) {
        // The stand-ins are arguments: the context holds nothing but the application.
        let scripts = [system::prepare(), "prepare", &system::translator(), system::sudo()];
        self.prepare(exec(&[&["/bin/sh", "-c"], &scripts[..]].concat()));
        match language {
            Language::Python => {
                self.prepare(exec(&["/bin/sh", "-c", system::venv(), "venv", system::pip_user()]));
                self.setting("ENV VIRTUAL_ENV=/opt/venv PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1".into());
                self.setting(format!("ENV PATH=/opt/venv/bin:/root/.local/bin:${{PATH:-{DEFAULT_PATH}}}"));
            }
            Language::Node => {
                self.setting(format!("ENV PATH={APP}/node_modules/.bin:${{PATH:-{DEFAULT_PATH}}}"));
            }
            Language::Java | Language::Go | Language::Dotnet | Language::Php | Language::Ruby => {}
        }
    }

    fn check(self) -> Result<Self, BuildError> {
        match self.instructions.iter().find(|(text, _)| text.len() > LONGEST_INSTRUCTION) {
            Some((_, Purpose::Command(command, _))) => Err(BuildError::Limit(format!(
                "a `{}` command is longer than {} KiB: put it into a script in the repository",
                command.phase,
                LONGEST_INSTRUCTION >> 10
            ))),
            Some((text, _)) => Err(BuildError::Limit(format!("`{}…` is too long for Docker", &text[..20]))),
            None => Ok(self),
        }
    }

    /// The Dockerfile's text, which every builder understands.
    pub fn dockerfile(&self) -> String {
        self.instructions.iter().map(|(text, _)| format!("{text}\n")).collect()
    }

    /// The same for BuildKit, with downloads kept between builds of this owner. Only what can be downloaded again is in
    /// these directories: they are no part of the image.
    pub fn dockerfile_with_caches(&self, owner: &str) -> String {
        let mount = |target: &&str| {
            let id: String = target.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
            format!("--mount=type=cache,id=towpath-{owner}{id},target={target} ")
        };
        let text = |(text, purpose): &(String, Purpose)| match purpose {
            Purpose::Command(_, caches) => {
                let mounts: String = caches.iter().map(mount).collect();
                text.replacen("RUN ", &format!("RUN {mounts}"), 1) + "\n"
            }
            _ => format!("{text}\n"),
        };
        self.instructions.iter().map(text).collect()
    }

    /// The command that the `n`th step (from 1) of the classic builder runs: it counts every instruction.
    pub fn classic_step(&self, n: usize) -> Option<&Command> {
        Self::command(self.instructions.get(n.checked_sub(1)?)?)
    }

    /// The command that the `n`th step (from 1) of BuildKit runs: it counts instructions that make a layer.
    pub fn buildkit_step(&self, n: usize) -> Option<&Command> {
        let mut layers = self.instructions.iter().filter(|(_, purpose)| *purpose != Purpose::Setting);
        Self::command(layers.nth(n.checked_sub(1)?)?)
    }

    fn command(instruction: &(String, Purpose)) -> Option<&Command> {
        match &instruction.1 {
            Purpose::Command(command, _) => Some(command),
            _ => None,
        }
    }
}

impl Steps for Recipe {
    fn classic(&self, n: usize) -> Option<&Command> {
        self.classic_step(n)
    }

    fn buildkit(&self, name: &str) -> Option<&Command> {
        self.buildkit_step(step_number(name)?)
    }
}

/// Where the language's package managers keep downloads. Narrow: tools keep browsers and models that the application
/// needs beside them, in `~/.cache`.
fn caches(language: Language) -> &'static [&'static str] {
    match language {
        Language::Python => &[
            "/root/.cache/pip",
            "/root/.cache/uv",
            "/root/.cache/pypoetry/cache",
            "/root/.cache/pypoetry/artifacts",
            "/root/.cache/pipenv",
        ],
        Language::Node => &["/root/.npm/_cacache", "/usr/local/share/.cache/yarn", "/root/.local/share/pnpm/store"],
        // Theirs hold what `go run` or `mvn exec` as start commands need as well.
        Language::Java | Language::Go | Language::Dotnet | Language::Php | Language::Ruby => &[],
    }
}

/// A command of a phase. Variables are given by `env`, so that they end with the command (row S7).
fn run(user: &BTreeMap<EnvName, String>, words: &[&str]) -> String {
    let mut env: BTreeMap<&str, &str> = recipe::QUIET.into_iter().collect();
    env.extend(user.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let env: Vec<String> = env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let env: Vec<&str> = env.iter().map(String::as_str).collect();
    exec(&[&["/usr/bin/env"], env.as_slice(), words].concat())
}

/// `RUN` in JSON form.
fn exec(words: &[&str]) -> String {
    // Escaped, `<<` is no here-document to any version of Docker's parser.
    format!("RUN {}", serde_json::json!(words)).replace('<', "\\u003c")
}

/// The base images of an installation: the catalogue, with images that the operator names instead.
#[derive(Clone, Debug)]
pub(super) struct BaseImages {
    pub catalogue: Catalogue,
    /// Runtime → image, in which `{version}` stands for the chosen version.
    pub overrides: BTreeMap<RuntimeName, String>,
}

impl BaseImages {
    /// The language and the base image for these settings (rows S3, S4).
    pub fn choose(&self, settings: &AppSettings) -> Result<(Language, String), BuildError> {
        let runtime = self.catalogue.find(&settings.runtime).ok_or_else(|| {
            BuildError::Runtime(format!("The runtime `{}` is not in this installation's catalogue.", settings.runtime))
        })?;
        let version = choose_version(runtime, settings.runtime_version.as_ref())?;
        let image = self.overrides.get(&runtime.name).unwrap_or(&runtime.image);
        let image = image.replace("{version}", &version.to_string());
        if is_reference(&image) {
            return Ok((runtime.language, image));
        }
        Err(BuildError::Runtime(format!(
            "`{}` is not an image; correct the image of runtime `{}` in the installation's settings",
            image.escape_debug(),
            runtime.name
        )))
    }
}

/// The newest version without a lock; with one, whichever of lock and listed version says more (row S4).
fn choose_version(runtime: &Runtime, lock: Option<&VersionLock>) -> Result<VersionLock, BuildError> {
    let none = || BuildError::Runtime(format!("The runtime `{}` offers no version.", runtime.name));
    let Some(lock) = lock else { return runtime.versions.first().cloned().ok_or_else(none) };
    let fits = |v: &&VersionLock| v.0.iter().zip(&lock.0).all(|(a, b)| a == b);
    match runtime.versions.iter().find(fits) {
        Some(listed) if listed.0.len() >= lock.0.len() => Ok(listed.clone()),
        Some(_) => Ok(lock.clone()),
        None => {
            let offered: Vec<String> = runtime.versions.iter().map(VersionLock::to_string).collect();
            Err(BuildError::Runtime(format!(
                "The specified runtime version is not supported. `{}` offers {}, not {lock}.",
                runtime.name,
                offered.join(", ")
            )))
        }
    }
}

/// Whether a text is an image reference and nothing more: it becomes a word of the Dockerfile.
fn is_reference(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"./:@_-".contains(&b);
    (1..=255).contains(&text.len()) && text.bytes().all(plain) && text.as_bytes()[0].is_ascii_alphanumeric()
}

#[cfg(test)]
#[path = "recipe_tests.rs"]
mod tests;
