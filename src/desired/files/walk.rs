//! The walk through a manifest directory: every `*.yaml` and `*.yml` below it, in the order of their names.
//!
//! Hidden entries are left out. Links are followed as long as they stay inside (a mounted ConfigMap consists of them);
//! one that leads out is an error, because what it declared would be deleted otherwise. A directory with a `.git` is
//! somebody's repository, not a part of the manifest.

use super::{MAX_BYTES, MAX_FILE_BYTES, MAX_FILES, ManifestFiles, ManifestText, read_text};
use crate::model::Severity;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// The most entries that are looked at: beyond it this is not a directory of manifests.
const MAX_ENTRIES: usize = 20_000;
/// The deepest directory that is looked into.
const MAX_DEPTH: usize = 16;

struct Walk<'m> {
    manifest: &'m mut ManifestFiles,
    /// The directory itself, without links.
    root: PathBuf,
    /// What has been read, without links: each file and each directory is read once.
    seen: BTreeSet<PathBuf>,
    entries: usize,
    bytes: u64,
}

/// The walk is over: a limit was met, which is among the problems.
struct Over;

/// Reads all files below `path` into the manifest.
pub(super) fn collect(path: &Path, manifest: &mut ManifestFiles) {
    let name = manifest.name.clone();
    let root = match path.canonicalize() {
        Ok(root) => root,
        Err(error) => {
            let _ = unreadable(manifest, &name, &error);
            return;
        }
    };
    let mut walk = Walk { manifest, root, seen: BTreeSet::new(), entries: 0, bytes: 0 };
    let ended = walk.directory(path, &PathBuf::from(&name), 0);
    if ended.is_ok() && manifest.files.is_empty() && manifest.problems.iter().all(|p| p.severity == Severity::Warning) {
        let message = format!("there is no `*.yaml` or `*.yml` in the manifest directory `{name}`");
        let hint = "put one there that says `services: {}` if nothing is to run";
        manifest.problem(&name, Severity::Error, "empty", message, hint);
    }
}

/// Notes what cannot be read; the walk goes on.
fn unreadable(manifest: &mut ManifestFiles, shown: &str, error: &io::Error) -> Result<(), Over> {
    let message = format!("failed to read `{shown}`: {error}");
    manifest.problem(shown, Severity::Error, "unreadable", message, "let towpath read it, or move it away");
    Ok(())
}

impl Walk<'_> {
    fn directory(&mut self, path: &Path, shown: &Path, depth: usize) -> Result<(), Over> {
        let name = shown.display().to_string();
        let real = match path.canonicalize() {
            Ok(real) => real,
            Err(error) => return unreadable(self.manifest, &name, &error),
        };
        if !self.seen.insert(real) {
            return Ok(());
        }
        if depth > MAX_DEPTH {
            return self.limit(&name, format!("directories are nested more than {MAX_DEPTH} deep"));
        }
        self.manifest.directories.insert(path.to_owned());
        let names = match self.names(path) {
            Ok(names) => names,
            Err(error) => return unreadable(self.manifest, &name, &error),
        };
        if names.len() > MAX_ENTRIES - self.entries {
            return self.limit(&name, format!("there are more than {MAX_ENTRIES} files and directories"));
        }
        self.entries += names.len();
        if depth > 0 && names.iter().any(|name| name == ".git") {
            let message = format!("`{name}` is a git repository of its own; what is in it is not read");
            self.manifest.problem(&name, Severity::Warning, "skipped", message, "move manifests out of it");
            return Ok(());
        }
        names.iter().try_for_each(|name| self.entry(&path.join(name), &shown.join(name), depth))
    }

    /// The names in a directory, sorted; no more than can be looked at, and one.
    fn names(&self, path: &Path) -> io::Result<Vec<OsString>> {
        let entries = std::fs::read_dir(path)?.take(MAX_ENTRIES - self.entries + 1);
        let mut names = entries.map(|entry| entry.map(|e| e.file_name())).collect::<io::Result<Vec<_>>>()?;
        names.sort();
        Ok(names)
    }

    fn entry(&mut self, path: &Path, shown: &Path, depth: usize) -> Result<(), Over> {
        let name = shown.display().to_string();
        if shown.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b".")) {
            return Ok(());
        }
        let metadata = match path.symlink_metadata() {
            Ok(metadata) => metadata,
            // Gone since it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return unreadable(self.manifest, &name, &error),
        };
        let is_yaml = shown.extension().is_some_and(|e| e == "yaml" || e == "yml");
        if !metadata.is_symlink() {
            return match metadata.is_dir() {
                true => self.directory(path, shown, depth + 1),
                false if is_yaml => self.file(path, &name),
                false => Ok(()),
            };
        }
        match path.canonicalize() {
            Ok(real) if !real.starts_with(&self.root) => {
                if is_yaml || real.is_dir() {
                    self.refuse_link(&name, &real);
                }
                Ok(())
            }
            Ok(real) if real.is_dir() => self.directory(path, shown, depth + 1),
            Ok(_) if is_yaml => self.file(path, &name),
            Ok(_) => Ok(()),
            Err(error) if is_yaml => unreadable(self.manifest, &name, &error),
            Err(_) => Ok(()),
        }
    }

    fn refuse_link(&mut self, name: &str, real: &Path) {
        let message = format!("the link `{name}` leads out of the manifest directory, to `{}`", real.display());
        self.manifest.problem(name, Severity::Error, "link", message, "put the file itself there, or remove the link");
    }

    fn file(&mut self, path: &Path, name: &str) -> Result<(), Over> {
        let real = match path.canonicalize() {
            Ok(real) => real,
            Err(error) => return unreadable(self.manifest, name, &error),
        };
        if !self.seen.insert(real) {
            return Ok(());
        }
        if matches!(path.file_name().and_then(|n| n.to_str()), Some("apprunner.yaml" | "apprunner.yml")) {
            let message = format!("`{name}` says how an application is built; it is not read as a manifest");
            let hint = "keep applications outside of the manifest directory";
            self.manifest.problem(name, Severity::Warning, "skipped", message, hint);
            return Ok(());
        }
        if self.manifest.files.len() >= MAX_FILES {
            return self.limit(&self.manifest.name.clone(), format!("there are more than {MAX_FILES} files in it"));
        }
        match read_text(path, MAX_FILE_BYTES) {
            Ok(text) => self.add(path, name, text),
            Err(message) => {
                let message = format!("failed to read `{name}`: {message}");
                let hint = "let towpath read it, or move it away";
                self.manifest.problem(name, Severity::Error, "unreadable", message, hint);
                Ok(())
            }
        }
    }

    fn add(&mut self, path: &Path, name: &str, text: String) -> Result<(), Over> {
        self.bytes += text.len() as u64;
        if self.bytes > MAX_BYTES {
            return self.limit(&self.manifest.name.clone(), format!("its files have more than {MAX_BYTES} bytes"));
        }
        let directory = super::parent(path);
        self.manifest.files.push(ManifestText { file: name.to_owned(), directory, text });
        Ok(())
    }

    fn limit(&mut self, name: &str, message: String) -> Result<(), Over> {
        let message = format!("`{name}` is too much for a manifest directory: {message}");
        let hint = "name the directory with `-f` that holds the manifests alone, or divide it";
        self.manifest.problem(name, Severity::Error, "limit", message, hint);
        Err(Over)
    }
}
