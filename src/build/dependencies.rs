//! Which of the first lines of a build install exactly what lock files name, so that what they make can be kept for the
//! next build with the same files. Only what is certain counts: one package manager, files of the repository that pin
//! every package, no scripts of the repository. Any other line ends the search.

use super::recipe::{Phase, Step};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// The largest lock file that is looked at.
const LARGEST: u64 = 16 << 20;
/// How many files may name each other.
const MOST_FILES: usize = 20;

/// The lines, and all that they depend on in the repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dependencies {
    /// The lines, from the first of the build on.
    pub lines: Vec<String>,
    /// The files that they read, by their place in the source directory.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// What the first lines of a build install; `None` where that is nothing, or not certain. Reads the source directory;
/// blocking.
pub fn find(steps: &[Step], source: &Path) -> Option<Dependencies> {
    let mut found = Dependencies { lines: Vec::new(), files: BTreeMap::new() };
    for step in steps.iter().take_while(|step| matches!(step.phase, Phase::PreBuild | Phase::Build)) {
        let mut reader = Reader { source, files: found.files.clone() };
        if reader.line(&step.line).is_none() {
            break;
        }
        found.lines.push(step.line.clone());
        found.files = reader.files;
    }
    (!found.files.is_empty()).then_some(found)
}

struct Reader<'a> {
    source: &'a Path,
    files: BTreeMap<String, Vec<u8>>,
}

impl Reader<'_> {
    fn line(&mut self, line: &str) -> Option<()> {
        // Whatever a shell would do more than start programs.
        if line.contains(|c: char| c.is_control() || ";|<>$`()*?[]{}~#\\!".contains(c)) {
            return None;
        }
        line.split("&&").try_for_each(|part| {
            let words = shlex::split(part)?;
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            match words.as_slice() {
                ["pip" | "pip3", "install", rest @ ..] | ["python" | "python3", "-m", "pip", "install", rest @ ..] => {
                    self.pip(rest)
                }
                ["npm", "ci" | "install" | "i", flags @ ..] => {
                    self.node(flags, &["package-lock.json", "npm-shrinkwrap.json"], &[".npmrc"])
                }
                ["yarn"] => self.node(&[], &["yarn.lock"], &[".yarnrc", ".npmrc"]),
                ["yarn", "install", flags @ ..] => self.node(flags, &["yarn.lock"], &[".yarnrc", ".npmrc"]),
                _ => None,
            }
        })
    }

    /// A file of the source directory, which is a plain one.
    fn take(&mut self, name: &str) -> Option<String> {
        let plain = !name.is_empty() && name.split('/').all(|part| !matches!(part, "" | "." | ".."));
        let path = self.source.join(name);
        let metadata = plain.then(|| std::fs::symlink_metadata(&path).ok()).flatten()?;
        if !metadata.is_file() || metadata.len() > LARGEST || self.files.len() >= MOST_FILES {
            return None;
        }
        // Links on the way could lead out of the repository.
        let (real, root) = (path.canonicalize().ok()?, self.source.canonicalize().ok()?);
        let bytes = (real == root.join(name)).then(|| std::fs::read(real).ok()).flatten()?;
        self.files.insert(name.to_owned(), bytes.clone());
        String::from_utf8(bytes).ok()
    }

    fn pip(&mut self, words: &[&str]) -> Option<()> {
        const FLAGS: [&str; 10] = [
            "-q",
            "--quiet",
            "-U",
            "--upgrade",
            "--user",
            "--no-cache-dir",
            "--no-deps",
            "--require-hashes",
            "--disable-pip-version-check",
            "--prefer-binary",
        ];
        let upgrade = words.iter().any(|word| matches!(*word, "-U" | "--upgrade"));
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "-r" | "--requirement" | "-c" | "--constraint" => self.requirements(words.next()?, 0)?,
                "-i" | "--index-url" | "--extra-index-url" => drop(words.next()?),
                flag if FLAGS.contains(&flag) => {}
                // The installer itself, in whatever version.
                "pip" | "setuptools" | "wheel" if upgrade => {}
                package if is_pinned(package) => {}
                _ => return None,
            }
        }
        Some(())
    }

    /// A requirements file in which every package has its version.
    fn requirements(&mut self, name: &str, depth: usize) -> Option<()> {
        if self.files.contains_key(name) {
            return Some(());
        }
        let text = self.take(name).filter(|_| depth < MOST_FILES)?;
        let beside = name.rsplit_once('/').map(|(directory, _)| format!("{directory}/")).unwrap_or_default();
        for line in text.replace("\\\r\n", " ").replace("\\\n", " ").lines() {
            let line = line.split(" #").next().unwrap_or_default().trim();
            let (first, rest) = line.split_once([' ', '=']).unwrap_or((line, ""));
            match first {
                _ if line.is_empty() || line.starts_with('#') => {}
                "-r" | "-c" | "--requirement" | "--constraint" => {
                    self.requirements(&format!("{beside}{}", rest.trim()), depth + 1)?;
                }
                "-i" | "--index-url" | "--extra-index-url" | "--trusted-host" | "--only-binary" | "--no-binary" => {}
                _ if line.starts_with('-') || !is_pinned(line) => return None,
                _ => {}
            }
        }
        Some(())
    }

    /// A lock file of npm or yarn, and a `package.json` that runs nothing of the repository.
    fn node(&mut self, flags: &[&str], locks: &[&str], besides: &[&str]) -> Option<()> {
        let elsewhere = ["-g", "--global", "--prefix", "-C", "--cwd", "--workspace", "-w", "--modules-folder"];
        let known = |flag: &&str| flag.starts_with('-') && !elsewhere.iter().any(|other| flag.starts_with(other));
        let foreign = ["node_modules", "binding.gyp", ".yarnrc.yml", ".pnp.cjs"];
        if !flags.iter().all(known) || !foreign.iter().all(|name| is_absent(self.source, name)) {
            return None;
        }
        let package: serde_json::Value = serde_json::from_str(&self.take("package.json")?).ok()?;
        if !is_plain_package(&package) {
            return None;
        }
        let found = locks.iter().filter_map(|name| self.take(name)).collect::<Vec<_>>();
        let local =
            |text: &String| ["\"file:", "\"link\": true", "@file:", "@link:"].iter().any(|sign| text.contains(sign));
        if found.is_empty() || found.iter().any(local) {
            return None;
        }
        for name in besides.iter().filter(|name| !is_absent(self.source, name)).collect::<Vec<_>>() {
            self.take(name)?;
        }
        Some(())
    }
}

fn is_absent(source: &Path, name: &str) -> bool {
    std::fs::symlink_metadata(source.join(name)).is_err()
}

/// `name==1.2.3`, with extras, a marker, hashes.
fn is_pinned(requirement: &str) -> bool {
    let plain = requirement.split([';', ' ']).next().unwrap_or_default();
    let Some((name, version)) = requirement.split_once("==") else { return false };
    let name_fits =
        !name.is_empty() && name.trim_end().bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.[],".contains(&b));
    name_fits && !version.trim_start_matches('=').contains('*') && !plain.contains('/')
}

/// Whether installing runs nothing of the repository and takes nothing from it.
fn is_plain_package(package: &serde_json::Value) -> bool {
    const SCRIPTS: [&str; 7] =
        ["preinstall", "install", "postinstall", "prepublish", "preprepare", "prepare", "postprepare"];
    const LISTS: [&str; 4] = ["dependencies", "devDependencies", "optionalDependencies", "overrides"];
    const PATHS: [&str; 7] = ["file:", "link:", "workspace:", "./", "../", "/", "~/"];
    let mut all = LISTS.iter().filter_map(|list| package[list].as_object()).flat_map(|list| list.values());
    package.is_object()
        && SCRIPTS.iter().all(|script| package["scripts"][script].is_null())
        && package["workspaces"].is_null()
        && !all.any(|value| value.as_str().is_some_and(|text| PATHS.iter().any(|path| text.starts_with(path))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)], lines: &[&str]) -> Option<(usize, Vec<String>)> {
        let source = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = source.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let steps: Vec<Step> = lines.iter().map(|l| Step { phase: Phase::Build, line: (*l).to_owned() }).collect();
        find(&steps, source.path()).map(|d| (d.lines.len(), d.files.into_keys().collect()))
    }

    #[test]
    fn lines_that_install_what_files_pin_are_found() {
        let requirements = "# ours\nflask[async]==3.0.3 \\\n    --hash=sha256:00\n-r more/dev.txt\n";
        let files = [("requirements.txt", requirements), ("more/dev.txt", "six==1.16.0 ; python_version < '4'\n")];
        let all = Some((2, vec!["more/dev.txt".to_owned(), "requirements.txt".into()]));
        assert_eq!(found(&files, &["pip install --upgrade pip", "pip3 install -q -r requirements.txt", "echo x"]), all);
        let one = found(&files, &["python -m pip install -r requirements.txt && pip install idna==3.7", "npm ci"]);
        assert_eq!(one.unwrap().0, 1);
        let package = r#"{ "dependencies": { "express": "^4.0.0", "x": "~1.2" }, "scripts": { "build": "x" } }"#;
        let node = [("package.json", package), ("package-lock.json", "{}"), ("server.js", "")];
        let wanted = Some((1, vec!["package-lock.json".to_owned(), "package.json".into()]));
        assert_eq!(found(&node, &["npm ci --omit=dev", "npm run build"]), wanted);
    }

    #[test]
    fn what_is_not_certain_is_not_kept() {
        for requirement in ["flask", "flask>=3", "-e .", "./wheels/x.whl", "x @ file:///x", "flask==3.*", "--pre\nx==1"]
        {
            assert_eq!(found(&[("r.txt", requirement)], &["pip install -r r.txt"]), None, "{requirement}");
        }
        let good = [("r.txt", "a==1")];
        for line in [
            "pip install -r r.txt || true",
            "pip install -r ../r.txt",
            "pip install .",
            "cd x && npm ci",
            "pip install --target x -r r.txt",
        ] {
            assert_eq!(found(&good, &[line]), None, "{line}");
        }
        assert_eq!(found(&good, &["make", "pip install -r r.txt"]), None, "an earlier line may have made the file");
        assert_eq!(found(&[], &["pip install --upgrade pip"]), None);
        let lock = ("package-lock.json", "{}");
        for package in [
            r#"{ "scripts": { "postinstall": "node x.js" } }"#,
            r#"{ "workspaces": ["a"] }"#,
            r#"{ "dependencies": { "a": "file:../a" } }"#,
            "no JSON",
        ] {
            assert_eq!(found(&[("package.json", package), lock], &["npm ci"]), None, "{package}");
        }
        assert_eq!(found(&[("package.json", "{}")], &["npm install"]), None, "without a lock file");
        assert_eq!(found(&[("package.json", "{}"), lock], &["npm install express"]), None);
        assert_eq!(found(&[("package.json", "{}"), lock, ("node_modules/x", "")], &["npm ci"]), None);
        assert_eq!(found(&[("package.json", "{}"), ("package-lock.json", "\"file:x")], &["npm ci"]), None);
    }

    #[test]
    fn links_lead_nowhere() {
        let source = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/hostname", source.path().join("r.txt")).unwrap();
        std::os::unix::fs::symlink("/etc", source.path().join("d")).unwrap();
        for line in ["pip install -r r.txt", "pip install -r d/hostname"] {
            let steps = [Step { phase: Phase::Build, line: line.to_owned() }];
            assert_eq!(find(&steps, source.path()), None);
        }
    }
}
