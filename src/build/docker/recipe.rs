//! The recipe: from a service's build settings to a Dockerfile. Pure.
//!
//! Whatever comes from a repository or a manifest stands in JSON strings only. Docker expands nothing in the JSON form
//! of `RUN`, so a line can be neither an instruction nor an option, and no text of it meets a second interpreter.

use super::authorities;
use super::progress::{Steps, step_number};
use crate::build::dependencies::Dependencies;
use crate::build::recipe::{self, Step};
use crate::build::{BuildError, system};
use crate::model::{
    AppSettings, Catalogue, EnvName, Language, Memory, Runtime, RuntimeName, SourceDirectory, VersionLock,
};
use std::collections::BTreeMap;

/// Docker's parser of 20.10 reads lines of less than 64 KiB.
const LONGEST_INSTRUCTION: usize = 60 << 10;

/// Where the repository is in the image; all commands run there, or in the source directory below it.
const APP: &str = "/app";

/// The directory of the build context that holds the application: beside the Dockerfile, so that files of the
/// repository cannot take its place, nor a `.dockerignore` of the repository leave files out.
pub(super) const CONTEXT_APP: &str = "app";

/// The directory of the build context that holds what the first commands depend on.
const CONTEXT_LOCKED: &str = "locked";

/// What images without a `PATH` of their own get from Docker.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How a command of a phase begins, in JSON.
const ENV: &str = "\"/usr/bin/env\"";

/// How the line of a command is introduced, in JSON. In a line itself the quotes are escaped.
const SHELL: &str = "\"/bin/sh\",\"-c\",";

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
    /// What the classic builder needs and BuildKit does not.
    Classic,
}

/// A Dockerfile, with what each of its steps is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recipe {
    instructions: Vec<(String, Purpose)>,
    /// The image with the certificate authorities that commands trust.
    authorities: Option<String>,
    /// What the first commands depend on, as files of the context: [`CONTEXT_LOCKED`] and their place in the source directory.
    pub locked: Vec<(String, Vec<u8>)>,
}

impl Recipe {
    /// The recipe of these settings on this base image. Fails on a line that is too long for Docker.
    pub fn new(
        settings: &AppSettings,
        language: Language,
        image: &str,
        installation: &BTreeMap<EnvName, String>,
    ) -> Result<Self, BuildError> {
        let mut made = Self { instructions: Vec::new(), authorities: None, locked: Vec::new() };
        made.prepare(format!("FROM {image}"));
        made.prepare(format!("WORKDIR {APP}"));
        // Before the application's files: these layers are the same for every commit, and come from the cache.
        made.base(language);
        made.prepare(format!("COPY {CONTEXT_APP}/ {APP}/"));
        for Step { phase, line } in recipe::steps(settings) {
            let text = run(installation, phase.variables(settings), &["/bin/sh", "-c", &line]);
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

    /// The same with the commands that install dependencies before the application's files: their layer is the same for
    /// every commit with the same lock files, and comes from the cache. To be called after [`Self::within`].
    pub fn installing_first(mut self, dependencies: Option<Dependencies>, directory: Option<&SourceDirectory>) -> Self {
        let Some(Dependencies { lines, files }) = dependencies else { return self };
        let copied = self.instructions.iter().position(|(text, _)| text.starts_with("COPY "));
        let first = self.instructions.iter().position(|(_, purpose)| matches!(purpose, Purpose::Command(..)));
        let Some((copied, first)) = copied.zip(first) else { return self };
        // Between them is the source directory, if there is one: it is entered first.
        let mut before: Vec<_> = self.instructions.drain(copied + 1..first + lines.len()).collect();
        let work = directory.map_or_else(|| APP.to_owned(), |directory| format!("{APP}/{directory}"));
        let place = before.len() - lines.len();
        before.insert(place, (format!("COPY {CONTEXT_LOCKED}/ {work}/"), Purpose::Prepare));
        self.instructions.splice(copied..copied, before);
        self.locked = files.into_iter().map(|(name, bytes)| (format!("{CONTEXT_LOCKED}/{name}"), bytes)).collect();
        self
    }

    /// The same with commands that trust the authorities of an image. To be called last.
    pub fn trusting(mut self, image: Option<String>) -> Self {
        if let Some(image) = &image {
            let first = self.instructions.iter().position(|(_, purpose)| matches!(purpose, Purpose::Command(..)));
            let last = self.instructions.iter().rposition(|(_, purpose)| matches!(purpose, Purpose::Command(..)));
            if let Some((first, last)) = first.zip(last) {
                let remove = exec(&["/bin/rm", "-rf", authorities::SEEN_IN]);
                self.instructions.insert(last + 1, (remove, Purpose::Classic));
                self.instructions.insert(first, (authorities::copy(image), Purpose::Classic));
            }
        }
        Self { authorities: image, ..self }
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

    /// Whether BuildKit keeps downloads of its commands.
    pub fn keeps_downloads(&self) -> bool {
        self.instructions.iter().any(|(_, purpose)| matches!(purpose, Purpose::Command(_, kept) if !kept.is_empty()))
    }

    /// The Dockerfile's text, which every builder understands.
    pub fn dockerfile(&self) -> String {
        let text = |(text, purpose): &(String, Purpose)| match purpose {
            Purpose::Command(..) => self.trust(text) + "\n",
            _ => format!("{text}\n"),
        };
        self.instructions.iter().map(text).collect()
    }

    /// The same for BuildKit, with downloads kept between builds of this owner, and processes that take no more memory than
    /// this. Only what can be downloaded again is in the directories that are kept: they are no part of the image.
    pub fn dockerfile_for_buildkit(&self, owner: &str, memory: Memory) -> String {
        let mount = |target: &&str| {
            let id: String = target.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
            format!("--mount=type=cache,id=towpath-{owner}{id},target={target} ")
        };
        let trusted: String = self.authorities.iter().map(|image| authorities::mount(image)).collect();
        let text = |(text, purpose): &(String, Purpose)| match purpose {
            Purpose::Command(_, caches) => {
                let mounts: String = caches.iter().map(mount).collect();
                bound(&self.trust(text), memory).replacen("RUN ", &format!("RUN {mounts}{trusted}"), 1) + "\n"
            }
            Purpose::Classic => String::new(),
            _ => format!("{text}\n"),
        };
        self.instructions.iter().map(text).collect()
    }

    /// A command with the variables by which it finds the authorities; those of its own come later and are stronger.
    fn trust(&self, text: &str) -> String {
        if self.authorities.is_none() {
            return text.to_owned();
        }
        let named: String = authorities::variables().map(|(name, file)| format!(",\"{name}={file}\"")).collect();
        text.replacen(ENV, &format!("{ENV}{named}"), 1)
    }

    /// The command that the `n`th step (from 1) of the classic builder runs: it counts every instruction.
    pub fn classic_step(&self, n: usize) -> Option<&Command> {
        Self::command(self.instructions.get(n.checked_sub(1)?)?)
    }

    /// The command that the `n`th step (from 1) of BuildKit runs: it counts instructions that make a layer.
    pub fn buildkit_step(&self, n: usize) -> Option<&Command> {
        let mut layers =
            self.instructions.iter().filter(|(_, purpose)| !matches!(purpose, Purpose::Setting | Purpose::Classic));
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

    /// There is one stage, whose instructions are counted as the classic builder does.
    fn buildah(&self, _stage: usize, number: usize, _instruction: &str) -> Option<&Command> {
        self.classic_step(number)
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
fn run(installation: &BTreeMap<EnvName, String>, user: &BTreeMap<EnvName, String>, words: &[&str]) -> String {
    let mut env: BTreeMap<&str, &str> = recipe::QUIET.into_iter().collect();
    env.extend(installation.iter().chain(user).map(|(name, value)| (name.as_str(), value.as_str())));
    let env: Vec<String> = env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let env: Vec<&str> = env.iter().map(String::as_str).collect();
    exec(&[&["/usr/bin/env"], env.as_slice(), words].concat())
}

/// A command of a phase whose shell takes a limit first, which its processes inherit and cannot raise.
fn bound(text: &str, memory: Memory) -> String {
    let script = format!("ulimit -d {} && exec /bin/sh -c \"$0\"", memory.0 >> 10);
    let limited = format!("{SHELL}{},", serde_json::json!(script));
    text.replacen(SHELL, &limited, 1)
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
