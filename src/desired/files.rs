//! The files that a manifest is made of: one file, or all of a directory. The only part of this room that reads a disk.
//!
//! What cannot be read is a problem among the others, never left out without a word: a file that was skipped would be
//! services that are deleted.

mod walk;

use crate::model::{Digest, Place, Problem, Severity};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The largest file that people write.
pub const MAX_FILE_BYTES: u64 = super::yaml::MAX_BYTES as u64;
/// The most that all files of a directory hold together: a request with them stays below 4 MiB.
pub const MAX_BYTES: u64 = 2 << 20;
/// The most files of a directory.
pub const MAX_FILES: usize = 1000;

/// One file's text, as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestText {
    /// The file as the user named it.
    pub file: String,
    /// The absolute directory that relative paths in it are relative to.
    pub directory: PathBuf,
    /// Its text.
    pub text: String,
}

/// A manifest as it was read: the texts of its files, and what was wrong with reading them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestFiles {
    /// The file or the directory, as the user named it.
    pub name: String,
    /// The files, sorted by name.
    pub files: Vec<ManifestText>,
    /// What could not be read, and what was left out.
    #[serde(default)]
    pub problems: Vec<Problem>,
    /// The directories that a change of it shows in. Only of use where it was read.
    #[serde(skip)]
    pub directories: BTreeSet<PathBuf>,
}

impl ManifestFiles {
    /// A manifest of one text.
    pub fn of_text(file: &str, directory: &Path, text: &str) -> Self {
        let text = ManifestText { file: file.to_owned(), directory: directory.to_owned(), text: text.to_owned() };
        Self { name: file.to_owned(), files: vec![text], problems: Vec::new(), directories: BTreeSet::new() }
    }

    /// Reads the file or the directory at `path`, which the user calls `name`. What fails is among the problems.
    pub fn read(path: &Path, name: &str) -> Self {
        let mut files = Self {
            name: name.to_owned(),
            files: Vec::new(),
            problems: Vec::new(),
            directories: BTreeSet::from([parent(path)]),
        };
        if path.is_dir() {
            files.directories.clear();
            walk::collect(path, &mut files);
            return files;
        }
        match read_text(path, MAX_FILE_BYTES) {
            Ok(text) => files.files.push(ManifestText { file: name.to_owned(), directory: parent(path), text }),
            Err(message) => {
                let message = format!("failed to read the manifest `{name}`: {message}");
                files.problem(name, Severity::Error, "unreadable", message, "put it there, or name another with `-f`");
            }
        }
        files
    }

    /// The same as read from `from`, which is about to be found at `to`: what its paths are relative to is there.
    pub fn moved(mut self, from: &Path, to: &Path) -> Self {
        for file in &mut self.files {
            if let Ok(rest) = file.directory.strip_prefix(from) {
                // Without the separator that joining nothing would leave.
                file.directory = if rest.as_os_str().is_empty() { to.to_owned() } else { to.join(rest) };
            }
        }
        self
    }

    /// A digest of everything that was read: the same texts and problems have the same.
    pub fn digest(&self) -> Digest {
        Digest::of(self)
    }

    /// Notes a problem of a file as a whole.
    fn problem(&mut self, file: &str, severity: Severity, class: &str, message: String, hint: &str) {
        self.problems.push(Problem {
            class: class.into(),
            severity,
            place: Place { file: file.to_owned(), line: 0, column: 0 },
            length: 1,
            message,
            hint: Some(hint.to_owned()),
            source_line: None,
        });
    }
}

fn parent(path: &Path) -> PathBuf {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

/// A file that people wrote, bounded.
///
/// # Errors
/// In words: it cannot be read, is too large, or is not text.
pub fn read_text(path: &Path, most: u64) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("the file cannot be read: {error}");
    let mut bytes = Vec::new();
    // Opening a pipe would wait for its writer, and reading it or a device may never end.
    let wait_not = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let opened = OpenOptions::new().read(true).custom_flags(wait_not).open(path).map_err(failed)?;
    if !opened.metadata().map_err(failed)?.is_file() {
        return Err("it is not a file".into());
    }
    opened.take(most + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > most {
        return Err(format!("the file is larger than {most} bytes"));
    }
    String::from_utf8(bytes).map_err(|e| {
        let line = e.as_bytes()[..e.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
        format!("the file is not UTF-8 text (line {line})")
    })
}

#[cfg(test)]
mod tests;
