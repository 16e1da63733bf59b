//! What the lines that install dependencies made, kept for the next build of the service with the same lock files: the
//! virtual environment, or `node_modules`. Blocking.
//!
//! `<cache>/layers/<service>/<digest>/` holds a copy that only towpath can write, and `layer.json`, written last. Python
//! writes the place of an environment into its scripts; places of builds have the same length, so they are exchanged.

use super::name;
use crate::build::dependencies::Dependencies;
use crate::build::recipe::{Directories, Interpreter};
use crate::host::files::{copy_tree, read_small, remove_tree, tree_size, write_atomic};
use crate::host::jail::users;
use crate::model::{BuildId, Digest, EnvName, Language, Memory, ServiceName};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

/// Part of every digest: raise it when layers are made another way.
const VERSION: u32 = 1;
/// How many layers of a service are kept: that of the last build, and the one before.
const KEPT: usize = 2;
/// The largest script in which a place is exchanged.
const LARGEST_SCRIPT: u64 = 4 << 20;

/// One layer: where it is kept, and where it belongs in a build.
#[derive(Clone, Debug)]
pub struct Layer {
    kept: PathBuf,
    target: PathBuf,
    language: Language,
    /// How many lines of the build it stands for.
    pub lines: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    /// Where it was made.
    made_in: PathBuf,
    /// What it took then: one of another size is damaged.
    bytes: u64,
}

impl Layer {
    /// The layer of these dependencies in a build; `None` for a language whose tools put them elsewhere.
    pub fn of(
        layers: &Path,
        dependencies: &Dependencies,
        at: &Directories,
        interpreter: &Interpreter,
        env: &BTreeMap<EnvName, String>,
    ) -> Option<Self> {
        let target = match interpreter.language {
            Language::Python => at.venv.clone(),
            Language::Node => at.source.join("node_modules"),
            _ => return None,
        };
        let digest: BuildId = Digest::of(&(VERSION, dependencies, interpreter.identity(), env));
        let (language, lines) = (interpreter.language, dependencies.lines.len());
        Some(Self { kept: layers.join(name(&digest)), target, language, lines })
    }

    fn note(&self) -> Option<Note> {
        serde_json::from_slice(&read_small(&self.kept.join("layer.json"), 64 << 10).ok()?).ok()
    }

    /// Puts the kept copy into the build; false where there is none. One that is damaged is removed.
    pub fn restore(&self, user: Option<u32>) -> io::Result<bool> {
        let Some(note) = self.note() else { return Ok(false) };
        let files = self.kept.join("files");
        if tree_size(&files).ok().map(|(bytes, _)| bytes) != Some(note.bytes) {
            remove_tree(&self.kept)?;
            return Ok(false);
        }
        remove_tree(&self.target)?;
        copy_tree(&files, &self.target)?;
        if self.language == Language::Python {
            move_scripts(&self.target, &note.made_in)?;
        }
        user.map_or(Ok(()), |user| users::give(&self.target, user))?;
        // The newest by use is kept longest.
        write_atomic(&self.kept.join("used"), b"")?;
        Ok(true)
    }

    /// Keeps what the build made. What is larger than `most` is not kept.
    pub fn keep(&self, most: Memory) -> io::Result<()> {
        let real = self.target.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
        if !real || tree_size(&self.target)?.0 > most.0 {
            return Ok(());
        }
        remove_tree(&self.kept)?;
        let files = self.kept.join("files");
        copy_tree(&self.target, &files)?;
        let note = Note { made_in: self.target.clone(), bytes: tree_size(&files)?.0 };
        write_atomic(&self.kept.join("layer.json"), &serde_json::to_vec(&note)?)?;
        write_atomic(&self.kept.join("used"), b"")?;
        self.kept.parent().map_or(Ok(()), forget_old)
    }

    /// Gives the kept copy up.
    pub fn drop_kept(&self) -> io::Result<()> {
        remove_tree(&self.kept)
    }
}

/// Writes the new place of an environment where the old one stands: in its scripts and its configuration.
fn move_scripts(venv: &Path, made_in: &Path) -> io::Result<()> {
    let (old, new) = (made_in.as_os_str().as_encoded_bytes(), venv.as_os_str().as_encoded_bytes());
    if old == new {
        return Ok(());
    }
    let scripts = std::fs::read_dir(venv.join("bin"))?.map(|entry| Ok(entry?.path()));
    for path in scripts.chain([Ok(venv.join("pyvenv.cfg"))]).collect::<io::Result<Vec<_>>>()? {
        let metadata = path.symlink_metadata()?;
        if !metadata.is_file() || metadata.len() > LARGEST_SCRIPT {
            continue;
        }
        let bytes = std::fs::read(&path)?;
        if let Some(moved) = exchange(&bytes, old, new) {
            // Its mode stays: the file is written, not replaced.
            std::fs::write(&path, moved)?;
        }
    }
    Ok(())
}

fn exchange(text: &[u8], old: &[u8], new: &[u8]) -> Option<Vec<u8>> {
    let mut moved = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.windows(old.len()).position(|part| part == old) {
        moved.extend_from_slice(&rest[..at]);
        moved.extend_from_slice(new);
        rest = &rest[at + old.len()..];
    }
    let changed = rest.len() < text.len();
    moved.extend_from_slice(rest);
    changed.then_some(moved)
}

/// Removes all layers of a service but those that were used last.
fn forget_old(layers: &Path) -> io::Result<()> {
    let used = |path: &Path| path.join("used").metadata().and_then(|metadata| metadata.modified()).ok();
    let mut all: Vec<PathBuf> = std::fs::read_dir(layers)?.map(|e| Ok(e?.path())).collect::<io::Result<_>>()?;
    all.sort_by_key(|path| std::cmp::Reverse(used(path)));
    all.iter().skip(KEPT).try_for_each(|path| remove_tree(path))
}

/// Removes the layers of all services but these.
pub fn tidy(layers: &Path, services: &BTreeSet<ServiceName>) -> io::Result<()> {
    for entry in std::fs::read_dir(layers).into_iter().flatten().flatten() {
        if !services.iter().any(|service| entry.file_name() == service.as_str()) {
            remove_tree(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(root: &Path, build: &str, file: &str) -> Layer {
        let at = Directories {
            source: root.join(build).join("src"),
            home: root.join("home"),
            bin: root.join("bin"),
            venv: root.join(build).join("venv"),
            cache: root.join("cache"),
        };
        let files = BTreeMap::from([("requirements.txt".to_owned(), file.as_bytes().to_vec())]);
        let dependencies = Dependencies { lines: vec!["pip install -r requirements.txt".into()], files };
        let version = "3.11.7".parse().unwrap();
        let interpreter =
            Interpreter { language: Language::Python, version, path: "/usr/bin/python3".into(), problem: None };
        Layer::of(&root.join("layers"), &dependencies, &at, &interpreter, &BTreeMap::new()).unwrap()
    }

    #[test]
    fn an_environment_is_kept_and_put_into_the_next_build() {
        let root = tempfile::tempdir().unwrap();
        let first = layer(root.path(), "one", "a==1");
        assert!(!first.restore(None).unwrap());
        std::fs::create_dir_all(first.target.join("bin")).unwrap();
        let script = format!("#!{}/bin/python\n# {0:?}\n", first.target.display());
        std::fs::write(first.target.join("bin/flask"), &script).unwrap();
        std::fs::write(first.target.join("pyvenv.cfg"), format!("command = {}", first.target.display())).unwrap();
        std::os::unix::fs::symlink("/usr/bin/python3", first.target.join("bin/python")).unwrap();
        first.keep(Memory(1 << 20)).unwrap();

        let second = layer(root.path(), "two", "a==1");
        assert!(second.restore(None).unwrap());
        let moved = std::fs::read_to_string(second.target.join("bin/flask")).unwrap();
        assert_eq!(moved, script.replace("/one/", "/two/"));
        assert!(std::fs::read_to_string(second.target.join("pyvenv.cfg")).unwrap().ends_with("two/venv"));
        assert!(second.target.join("bin/python").is_symlink());
        assert!(!layer(root.path(), "two", "a==2").restore(None).unwrap(), "another lock file");

        std::fs::write(second.kept.join("files/bin/flask"), vec![b'x'; 100_000]).unwrap();
        assert!(!second.restore(None).unwrap() && !second.kept.exists(), "damaged");
    }

    #[test]
    fn few_and_small_ones_are_kept() {
        let root = tempfile::tempdir().unwrap();
        for number in 0..4 {
            let layer = layer(root.path(), "one", &format!("a=={number}"));
            std::fs::create_dir_all(layer.target.join("bin")).unwrap();
            std::fs::write(layer.target.join("pyvenv.cfg"), vec![1; 8192]).unwrap();
            layer.keep(Memory(1 << 20)).unwrap();
            // Times of files are told apart by milliseconds at the most.
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let count = || std::fs::read_dir(root.path().join("layers")).unwrap().count();
        assert_eq!(count(), KEPT);
        assert!(layer(root.path(), "two", "a==3").restore(None).unwrap());
        let large = layer(root.path(), "one", "a==9");
        large.keep(Memory(100)).unwrap();
        assert!(!large.restore(None).unwrap());
    }
}
