//! The recipe of a build: what is run in which order, with which interpreter, under which id. Pure; shared by the builders.

use super::BuildError;
use crate::model::{AppSettings, BuildId, Commit, Digest, EnvName, Language, Runtime, SourceDirectory, VersionLock};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Part of every build's id: raise it when the same inputs shall be built again because towpath builds differently.
const RECIPE_VERSION: u32 = 2;

/// One of the phases of rows S7 and L3, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Before the build.
    PreBuild,
    /// The build.
    Build,
    /// After it; what it leaves is part of the result.
    PostBuild,
    /// Once more, with the variables of the run: App Runner runs these lines in the image that instances start from.
    PreRun,
}

impl Phase {
    /// As `apprunner.yaml` and App Runner's messages spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::PreBuild => "pre-build",
            Self::Build => "build",
            Self::PostBuild => "post-build",
            Self::PreRun => "pre-run",
        }
    }

    /// The user's variables that lines of this phase see (row S7).
    pub fn variables(self, settings: &AppSettings) -> &BTreeMap<EnvName, String> {
        match self {
            Self::PreBuild | Self::Build | Self::PostBuild => &settings.build_env,
            Self::PreRun => &settings.env,
        }
    }
}

/// One line, run in a shell of its own at the source directory; its exit status decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its phase.
    pub phase: Phase,
    /// The line, for `sh -c`.
    pub line: String,
}

/// Every line in the order in which it is run.
pub fn steps(settings: &AppSettings) -> Vec<Step> {
    let phases = [
        (Phase::PreBuild, &settings.pre_build),
        (Phase::Build, &settings.build),
        (Phase::PostBuild, &settings.post_build),
        (Phase::PreRun, &settings.pre_run),
    ];
    phases.into_iter().flat_map(|(phase, lines)| lines.iter().map(move |l| Step { phase, line: l.clone() })).collect()
}

/// What is said before a line that installs dependencies is run again.
pub const TRYING_AGAIN: &str = "Trying once more with an empty cache of downloads, in case it is damaged.";

/// Whether a line has a package manager install dependencies.
pub fn installs(line: &str) -> bool {
    const TOOLS: [&str; 13] =
        ["pip", "pip3", "uv", "poetry", "pipenv", "npm", "pnpm", "yarn", "bundle", "composer", "mvn", "go", "dotnet"];
    const VERBS: [&str; 8] = ["install", "ci", "i", "add", "sync", "restore", "download", "update"];
    let words = || line.split(|c: char| !c.is_ascii_alphanumeric());
    words().any(|word| TOOLS.contains(&word)) && words().any(|word| VERBS.contains(&word))
}

/// The id of the build that these inputs make. What counts at run time only (the start command, the port, `run.env` where
/// no pre-run line sees it) is not in it: changing that needs no build. `interpreter` names exactly what runs the build: an interpreter with its
/// version and path, or a base image with its digest.
pub fn identify(commit: &Commit, settings: &AppSettings, interpreter: &str) -> BuildId {
    let AppSettings { runtime, runtime_version, pre_build, build, post_build, build_env, pre_run, env, .. } = settings;
    // The tree, not the commit: commits with equal contents build alike.
    let what = (&commit.tree, runtime, runtime_version, interpreter);
    let before_run = (!pre_run.is_empty()).then_some((pre_run, env));
    Digest::of(&(RECIPE_VERSION, what, pre_build, build, post_build, build_env, before_run))
}

/// The id of a build whose commands run in a directory of the tree. All of the tree still counts: commands can read what
/// is beside it.
pub fn in_directory(id: BuildId, directory: Option<&SourceDirectory>) -> BuildId {
    directory.map_or_else(|| id.clone(), |directory| Digest::of(&(&id, directory)))
}

/// An interpreter on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interpreter {
    /// What it interprets (or compiles).
    pub language: Language,
    /// Its whole version.
    pub version: VersionLock,
    /// The executable itself.
    pub path: PathBuf,
    /// Why nothing can be built with it, for people.
    pub problem: Option<String>,
}

impl Interpreter {
    /// Exactly which one it is, for the build's id.
    pub fn identity(&self) -> String {
        format!("{:?} {} {}", self.language, self.version, self.path.display())
    }

    /// Whether it is of this version, as far as the version says.
    fn is(&self, version: &VersionLock) -> bool {
        self.version.0.starts_with(&version.0)
    }
}

/// An interpreter that was chosen, and what a person should know about the choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The interpreter.
    pub interpreter: Interpreter,
    /// A notice for the deployment log.
    pub notice: Option<String>,
}

/// Chooses among what was found on the host, in the order of its `PATH` (rows S3, S4): with a lock the newest that meets
/// it; without one the newest of the newest listed version that is there, else the host's first, with a notice.
///
/// # Errors
/// When nothing meets the lock, or nothing that can build was found; the message names what was found.
pub fn choose(runtime: &Runtime, lock: Option<&VersionLock>, found: &[Interpreter]) -> Result<Choice, BuildError> {
    let found: Vec<&Interpreter> = found.iter().filter(|i| i.language == runtime.language).collect();
    let usable: Vec<&Interpreter> = found.iter().copied().filter(|i| i.problem.is_none()).collect();
    let newest = |version: &VersionLock| newest(usable.iter().copied().filter(|i| i.is(version)));
    if let Some(lock) = lock {
        let chosen = newest(lock).ok_or_else(|| unmet(runtime, Some(lock), &found))?;
        return Ok(Choice { interpreter: chosen.clone(), notice: None });
    }
    if let Some(chosen) = runtime.versions.iter().find_map(newest) {
        return Ok(Choice { interpreter: chosen.clone(), notice: None });
    }
    let first = usable.first().ok_or_else(|| unmet(runtime, None, &found))?;
    Ok(Choice { interpreter: (*first).clone(), notice: Some(notice(runtime, first)) })
}

fn newest<'a>(candidates: impl Iterator<Item = &'a Interpreter>) -> Option<&'a Interpreter> {
    // The first of equals: what `PATH` finds first.
    candidates.reduce(|best, next| if next.version > best.version { next } else { best })
}

fn notice(runtime: &Runtime, chosen: &Interpreter) -> String {
    let listed = runtime.versions.first().map_or_else(|| "another version".to_owned(), VersionLock::to_string);
    let place = if runtime.wire.is_some() { "on App Runner" } else { "in the catalogue" };
    format!("{} is {listed} {place}; using {} of this host", runtime.name, chosen.version)
}

fn unmet(runtime: &Runtime, lock: Option<&VersionLock>, found: &[&Interpreter]) -> BuildError {
    let wanted = lock.map_or_else(|| runtime.name.to_string(), |lock| format!("{} {lock}", runtime.name));
    let described: Vec<String> = found.iter().map(|i| describe(i)).collect();
    let there = if described.is_empty() { "none".to_owned() } else { described.join(", ") };
    BuildError::Runtime(format!(
        "no interpreter on this host is {wanted} (found: {there}); install one and put it in the PATH of towpath, \
         change `runtime-version`, or use the Docker engine (`--engine docker`)"
    ))
}

fn describe(interpreter: &Interpreter) -> String {
    let problem = interpreter.problem.as_ref().map(|p| format!(", which {p}")).unwrap_or_default();
    format!("{} at {}{problem}", interpreter.version, interpreter.path.display())
}

/// Directories of one build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directories {
    /// The source directory; commands run here.
    pub source: PathBuf,
    /// The home directory of build and instances: tools install things below it, and expect them there at run time.
    pub home: PathBuf,
    /// Commands that towpath puts before the host's, at build and run time.
    pub bin: PathBuf,
    /// The virtual environment, for Python.
    pub venv: PathBuf,
    /// Downloads of earlier builds of the service.
    pub cache: PathBuf,
}

/// What a language needs around its commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Put before `PATH`, at build and run time.
    pub path_prefix: Vec<PathBuf>,
    /// Set at build and run time.
    pub env: BTreeMap<String, String>,
    /// Set at build time only: caches, and that nobody answers questions.
    pub build_env: BTreeMap<String, String>,
}

/// The layout of a build. Everything that a tool would install for the machine goes into the build's home directory.
pub fn layout(interpreter: &Interpreter, at: &Directories) -> Layout {
    let home = |sub: &str| at.home.join(sub).display().to_string();
    let cache = |sub: &str| at.cache.join(sub).display().to_string();
    let mut path_prefix = vec![];
    let mut env = vec![("HOME", at.home.display().to_string())];
    let mut build_env: Vec<_> = QUIET.map(|(name, value)| (name, value.to_owned())).into();
    match interpreter.language {
        Language::Python => {
            path_prefix.push(at.venv.join("bin"));
            // Unbuffered: a line is in the log when it is printed, not when a buffer is full.
            env.extend([("VIRTUAL_ENV", at.venv.display().to_string()), ("PYTHONUNBUFFERED", "1".into())]);
            build_env.extend([("PIP_CACHE_DIR", cache("pip")), ("UV_CACHE_DIR", cache("uv"))]);
            build_env.extend([("POETRY_CACHE_DIR", cache("poetry")), ("PIPENV_CACHE_DIR", cache("pipenv"))]);
        }
        Language::Node => {
            path_prefix.extend([at.source.join("node_modules/.bin"), at.home.join(".npm-global/bin")]);
            env.extend([("npm_config_prefix", home(".npm-global")), ("COREPACK_HOME", home(".corepack"))]);
            build_env.extend([("npm_config_cache", cache("npm")), ("YARN_CACHE_FOLDER", cache("yarn"))]);
        }
        Language::Go => {
            path_prefix.push(at.home.join("go/bin"));
            env.extend([("GOPATH", home("go")), ("GOTOOLCHAIN", "local".into())]);
            build_env.extend([("GOCACHE", cache("go-build")), ("GOMODCACHE", cache("go-mod"))]);
            build_env.push(("GOFLAGS", "-modcacherw".into()));
        }
        Language::Ruby => {
            path_prefix.push(at.home.join(".gem/bin"));
            env.push(("GEM_HOME", home(".gem")));
        }
        Language::Php => {
            path_prefix.push(at.home.join(".composer/vendor/bin"));
            env.extend([("COMPOSER_HOME", home(".composer")), ("COMPOSER_ALLOW_SUPERUSER", "1".into())]);
            build_env.push(("COMPOSER_CACHE_DIR", cache("composer")));
        }
        Language::Java => {
            build_env.push(("MAVEN_OPTS", format!("-Dmaven.repo.local={}", cache("m2"))));
            build_env.push(("GRADLE_USER_HOME", cache("gradle")));
        }
        Language::Dotnet => {
            env.extend([("DOTNET_CLI_HOME", home(".dotnet")), ("DOTNET_NOLOGO", "1".into())]);
            build_env.push(("NUGET_PACKAGES", cache("nuget")));
        }
    }
    // Bash as `sh` comes before the host's own.
    path_prefix.extend([at.home.join(".local/bin"), at.bin.clone()]);
    path_prefix.extend(interpreter.path.parent().map(PathBuf::from));
    Layout { path_prefix, env: owned(env), build_env: owned(build_env) }
}

/// Variables of every build line: standard input is empty (row S3), so tools must not ask, and need not advertise. The
/// user's own values win.
pub const QUIET: [(&str, &str); 15] = [
    ("PIP_NO_INPUT", "1"),
    ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
    ("PIP_ROOT_USER_ACTION", "ignore"),
    ("PIPENV_VERBOSITY", "-1"),
    ("PIPENV_YES", "1"),
    ("POETRY_NO_INTERACTION", "1"),
    // Its cache may be on another file system; and what an application changes must not reach the cache.
    ("UV_LINK_MODE", "copy"),
    ("npm_config_yes", "true"),
    ("npm_config_fund", "false"),
    ("npm_config_update_notifier", "false"),
    ("COREPACK_ENABLE_DOWNLOAD_PROMPT", "0"),
    ("COMPOSER_NO_INTERACTION", "1"),
    ("DOTNET_CLI_TELEMETRY_OPTOUT", "1"),
    ("DEBIAN_FRONTEND", "noninteractive"),
    ("GIT_TERMINAL_PROMPT", "0"),
];

fn owned(pairs: Vec<(&str, String)>) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The whole environment of a build line, the weakest first: what the operator hands on, the layout, the user's
/// `build.env`. `path` is the host's search path.
pub fn build_environment(
    layout: &Layout,
    passthrough: &BTreeMap<String, String>,
    user: &BTreeMap<EnvName, String>,
    path: &[PathBuf],
) -> BTreeMap<String, String> {
    let mut env = passthrough.clone();
    env.insert("LANG".into(), "C.UTF-8".into());
    env.extend(layout.build_env.clone());
    env.extend(layout.env.clone());
    env.extend(user.iter().map(|(name, value)| (name.to_string(), value.clone())));
    let joined = |paths: &[PathBuf]| paths.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(":");
    let base = env.get("PATH").cloned().unwrap_or_else(|| joined(path));
    env.insert("PATH".into(), format!("{}:{base}", joined(&layout.path_prefix)));
    env
}

#[cfg(test)]
mod tests;
