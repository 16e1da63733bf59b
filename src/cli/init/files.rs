//! The files of a source directory that say what it is: their names, and the contents of a few. Bounded, follows no links.

use super::{node, python};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::Path;

/// Directories with more entries are read this far.
const MOST_NAMES: usize = 10_000;
/// How much of a file is read.
const MOST_BYTES: u64 = 256 << 10;

/// Files whose contents matter beside the languages' own modules.
const READ: &[&str] = &[
    "apprunner.yaml",
    "apprunner.yml",
    "Procfile",
    "Dockerfile",
    "package.json",
    ".nvmrc",
    ".node-version",
    ".python-version",
    "runtime.txt",
    "requirements.txt",
    "pyproject.toml",
    "Pipfile",
    "manage.py",
    "go.mod",
    "main.go",
    "Gemfile",
    "config.ru",
    "composer.json",
    "pom.xml",
];

/// All files whose contents matter, wherever the language looks for them.
fn read_names() -> impl Iterator<Item = &'static str> {
    [READ, python::MODULES, node::SCRIPTS].into_iter().flatten().copied()
}

/// What a directory holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    names: BTreeSet<String>,
    texts: BTreeMap<&'static str, String>,
}

impl Files {
    /// Reads a directory.
    ///
    /// # Errors
    /// When the directory itself cannot be read; a file that cannot be is as one that is not there.
    pub fn read(directory: &Path) -> io::Result<Self> {
        let mut names = BTreeSet::new();
        for entry in std::fs::read_dir(directory)?.take(MOST_NAMES) {
            names.extend(entry?.file_name().into_string());
        }
        let texts = read_names().filter_map(|name| Some((name, text(directory, name)?))).collect();
        Ok(Self { names, texts })
    }

    /// For tests: files by name with their contents.
    #[cfg(test)]
    pub fn of(files: &[(&str, &str)]) -> Self {
        let names = files.iter().map(|(name, _)| name.split('/').next().unwrap().to_owned()).collect();
        let content = |name: &str| files.iter().find(|(n, _)| *n == name).map(|(_, text)| (*text).to_owned());
        Self { names, texts: read_names().filter_map(|name| Some((name, content(name)?))).collect() }
    }

    /// Whether the directory has an entry of this name.
    pub fn has(&self, name: &str) -> bool {
        self.names.contains(name) || self.texts.contains_key(name)
    }

    /// The contents of a file, if it is there and read.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(String::as_str)
    }

    /// The first name with this ending.
    pub fn ending(&self, ending: &str) -> Option<&str> {
        self.names.iter().map(String::as_str).find(|name| name.ends_with(ending))
    }

    /// The first of these files that is there, with its contents.
    pub fn first<'n>(&self, names: &[&'n str]) -> Option<(&'n str, &str)> {
        names.iter().find_map(|name| Some((*name, self.text(name)?)))
    }
}

/// A regular file's text, as far as it is read; never what a link leads to.
fn text(directory: &Path, name: &str) -> Option<String> {
    let mut path = directory.to_path_buf();
    for part in name.split('/') {
        path.push(part);
        let kind = std::fs::symlink_metadata(&path).ok()?;
        if kind.is_symlink() {
            return None;
        }
    }
    std::fs::symlink_metadata(&path).ok().filter(std::fs::Metadata::is_file)?;
    let mut bytes = Vec::new();
    std::fs::File::open(&path).ok()?.take(MOST_BYTES).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).replace("\r\n", "\n"))
}
