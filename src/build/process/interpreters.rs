//! Finds interpreters in the directories of a search path, and asks each for its version.

use crate::build::recipe::Interpreter;
use crate::model::{Language, Runtime, VersionLock};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// How long an interpreter may take to say its version.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Prints version, executable (the real one behind a version manager's shim) and whether environments can be made.
const ASK_PYTHON: &str = "import sys, importlib.util as u; \
    print('.'.join(map(str, sys.version_info[:3])), getattr(sys, '_base_executable', sys.executable), \
    all(map(u.find_spec, ('venv', 'ensurepip'))), sep='\\n')";

/// The interpreters that matter to a runtime, in the order of these directories, each once: those of the plain name,
/// which the host's owner chose, and those named after a version that the runtime lists.
pub async fn find(runtime: &Runtime, search: &[PathBuf]) -> Vec<Interpreter> {
    let (mut found, mut known): (Vec<Interpreter>, Vec<PathBuf>) = (Vec::new(), Vec::new());
    for candidate in candidates(runtime, search).await {
        let Some(interpreter) = ask(runtime.language, &candidate, search).await else { continue };
        let real = executable(&interpreter).await;
        if !known.contains(&real) {
            known.push(real);
            found.push(interpreter);
        }
    }
    found
}

/// What tells an interpreter from others. Python says its own file, of which `python3` is mostly a link to `python3.11`.
async fn executable(interpreter: &Interpreter) -> PathBuf {
    match interpreter.language {
        Language::Python => tokio::fs::canonicalize(&interpreter.path).await.ok(),
        _ => None,
    }
    .unwrap_or_else(|| interpreter.path.clone())
}

/// What a search sees, without asking anything: a file for each candidate. The answers count as long as it is the same.
pub async fn look(runtime: &Runtime, search: &[PathBuf]) -> Vec<Seen> {
    let paths = candidates(runtime, search).await;
    let seen = move || paths.into_iter().filter_map(|path| Seen::of(path).ok()).collect();
    tokio::task::spawn_blocking(seen).await.unwrap_or_default()
}

/// A file behind a path, as it was when it was looked at.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    path: PathBuf,
    file: (u64, u64),
    modified: (i64, i64),
    size: u64,
}

impl Seen {
    fn of(path: PathBuf) -> std::io::Result<Self> {
        let file = std::fs::metadata(&path)?;
        let (modified, size) = ((file.mtime(), file.mtime_nsec()), file.size());
        Ok(Self { path, file: (file.dev(), file.ino()), modified, size })
    }
}

async fn candidates(runtime: &Runtime, search: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let search = each_once(search).await;
    for name in names(runtime) {
        for directory in &search {
            let path = directory.join(&name);
            if !found.contains(&path) && tokio::fs::try_exists(&path).await.unwrap_or(false) {
                found.push(path);
            }
        }
    }
    found
}

/// Directories under the first of their names: on most systems `/bin` is a link to `/usr/bin`. Files are not told apart by what they
/// link to: the shims of a version manager are all one program, which answers by the name that it is called.
async fn each_once(search: &[PathBuf]) -> Vec<PathBuf> {
    let (mut known, mut named): (Vec<PathBuf>, Vec<PathBuf>) = (Vec::new(), Vec::new());
    for directory in search {
        let real = tokio::fs::canonicalize(directory).await.unwrap_or_else(|_| directory.clone());
        if !known.contains(&real) {
            known.push(real);
            named.push(directory.clone());
        }
    }
    named
}

/// The plain name first, then the versions. Others are not asked: an answer may take a version manager a second.
fn names(runtime: &Runtime) -> Vec<String> {
    let plain = match runtime.language {
        Language::Python => "python3",
        Language::Node => "node",
        Language::Java => "java",
        Language::Go => "go",
        Language::Dotnet => "dotnet",
        Language::Php => "php",
        Language::Ruby => "ruby",
    };
    let base = plain.trim_end_matches('3');
    let versioned = runtime.versions.iter().map(|version| format!("{base}{version}"));
    [plain.to_owned()].into_iter().chain(versioned).collect()
}

async fn ask(language: Language, path: &Path, search: &[PathBuf]) -> Option<Interpreter> {
    let question: &[&str] = match language {
        // Isolated: neither the user's site nor the working directory have a say.
        Language::Python => &["-I", "-c", ASK_PYTHON],
        Language::Java => &["-version"],
        Language::Go => &["version"],
        Language::Node | Language::Dotnet | Language::Php | Language::Ruby => &["--version"],
    };
    let mut command = Command::new(path);
    command.args(question).env_clear().current_dir("/").stdin(Stdio::null()).kill_on_drop(true);
    // Shims of version managers are scripts that look for their parts in PATH.
    command.env("PATH", std::env::join_paths(search).ok()?);
    let output = tokio::time::timeout(ANSWER_LIMIT, command.output()).await.ok()?.ok()?;
    if !output.status.success() {
        return None;
    }
    // Java answers on standard error.
    let answer = [output.stdout, output.stderr].concat();
    understand(language, path, &String::from_utf8_lossy(&answer))
}

fn understand(language: Language, path: &Path, answer: &str) -> Option<Interpreter> {
    let version = first_version(language, answer)?;
    let (mut executable, mut problem) = (path.to_owned(), None);
    if language == Language::Python {
        let mut lines = answer.lines().skip(1);
        executable = lines.next().filter(|l| l.starts_with('/')).map_or(executable, PathBuf::from);
        if lines.next() != Some("True") {
            problem = Some("cannot make virtual environments: install the host's `python3-venv` package".into());
        }
    }
    Some(Interpreter { language, version, path: executable, problem })
}

/// The first thing in an answer that looks like a version: `v18.19.1`, `go1.22`, `"17.0.9"`, `1.8.0_392` (which is 8).
fn first_version(language: Language, answer: &str) -> Option<VersionLock> {
    let start = answer.find(|c: char| c.is_ascii_digit())?;
    let text: String = answer[start..].chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    let parts: Vec<u32> = text.split('.').map_while(|part| part.parse().ok()).take(3).collect();
    match (language, parts.as_slice()) {
        (_, []) => None,
        (Language::Java, [1, rest @ ..]) if !rest.is_empty() => Some(VersionLock(rest.to_vec())),
        _ => Some(VersionLock(parts)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_each_language_prints_them() {
        let cases = [
            (Language::Node, "v18.19.1\n", "18.19.1"),
            (Language::Go, "go version go1.22.3 linux/amd64\n", "1.22.3"),
            (Language::Java, "openjdk version \"17.0.9\" 2023-10-17\nOpenJDK", "17.0.9"),
            (Language::Java, "openjdk version \"1.8.0_392\"\n", "8.0"),
            (Language::Php, "PHP 8.1.2-1ubuntu2 (cli)\n", "8.1.2"),
            (Language::Ruby, "ruby 3.1.2p20 (2022-04-12)\n", "3.1.2"),
            (Language::Dotnet, "6.0.128\n", "6.0.128"),
        ];
        for (language, answer, version) in cases {
            let found = understand(language, Path::new("/x"), answer).unwrap();
            assert_eq!(found.version.to_string(), version, "{answer}");
        }
        assert!(understand(Language::Node, Path::new("/x"), "no version here").is_none());
    }

    #[test]
    fn a_python_without_environments_says_what_is_missing() {
        let found = understand(Language::Python, Path::new("/shim"), "3.9.2\n/usr/bin/python3.9\nFalse\n").unwrap();
        assert_eq!(found.path, Path::new("/usr/bin/python3.9"));
        assert!(found.problem.unwrap().contains("python3-venv"));
    }

    #[tokio::test]
    async fn what_is_not_an_interpreter_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in [("python3", "#!/bin/sh\nexit 127\n"), ("python3.8", "not executable"), ("node", "")] {
            std::fs::write(dir.path().join(name), content).unwrap();
        }
        let catalogue = crate::model::Catalogue::builtin();
        let runtime = catalogue.find(&"python3".parse().unwrap()).unwrap();
        assert_eq!(find(runtime, &[dir.path().into(), "/no/such/directory".into()]).await, []);
    }

    #[tokio::test]
    async fn a_directory_that_is_a_link_to_another_is_searched_once() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let (real, link) = (root.path().join("usr-bin"), root.path().join("bin"));
        std::fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        std::fs::write(real.join("node"), "#!/bin/sh\necho v18.0.0\n").unwrap();
        std::fs::set_permissions(real.join("node"), std::fs::Permissions::from_mode(0o755)).unwrap();
        let catalogue = crate::model::Catalogue::builtin();
        let runtime = catalogue.find(&"nodejs18".parse().unwrap()).unwrap();
        let found = find(runtime, &[real.clone(), link]).await;
        assert_eq!(found.iter().map(|i| i.path.clone()).collect::<Vec<_>>(), [real.join("node")]);
    }

    #[test]
    fn only_names_that_matter_are_asked() {
        let catalogue = crate::model::Catalogue::builtin();
        let names = |name: &str| names(catalogue.find(&name.parse().unwrap()).unwrap());
        assert_eq!(names("python3"), ["python3", "python3.8", "python3.7"]);
        assert_eq!(names("nodejs18"), ["node", "node18"]);
    }
}
