//! A manifest as it was at a git revision, for `towpath plan --against`: what stood there is written to a directory of its
//! own in the system's place for temporary files, read as every manifest is, and removed. Nothing of it runs.

use crate::cli::PastManifest;
use crate::desired::{ManifestFiles, files::MAX_BYTES};
use crate::model::Invalid;
use crate::source::past::{Past, Stood};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The manifest at the absolute path `manifest`, which the user calls `shown`, at a revision.
///
/// # Errors
/// In words: in no repository, no such revision, a link where the manifest should be, a disk that cannot be written.
pub fn manifest_at(manifest: &Path, shown: &str, revision: &str) -> Result<PastManifest, Invalid> {
    let past = Past::open(manifest, revision)?;
    let name = match past.short() {
        short if short.starts_with(revision) || revision.starts_with(&short) => short,
        short => format!("{revision} ({short})"),
    };
    let desk = Desk::new().map_err(|e| Invalid::new(format!("failed to make a temporary directory: {e}")))?;
    let written = desk.0.join("manifest");
    let files = match past.write(manifest, &written)? {
        Stood::Nothing => None,
        Stood::Written => Some(read(&written, manifest, &format!("{revision}:{shown}"))),
        Stood::Link => {
            return Err(Invalid::new(format!("`{shown}` is a symbolic link at {name}, which is not followed there"))
                .hint("name with `-f` what it leads to"));
        }
    };
    let most = usize::try_from(MAX_BYTES).unwrap_or(usize::MAX);
    Ok(PastManifest { name, files, text: Box::new(move |path| past.text(path, most)) })
}

/// Reads what was written as if it stood where the manifest stands.
fn read(written: &Path, manifest: &Path, name: &str) -> ManifestFiles {
    let mut read = ManifestFiles::read(written, name);
    for file in &mut read.files {
        file.directory = match file.directory.strip_prefix(written) {
            Ok(inside) if inside.as_os_str().is_empty() => manifest.to_owned(),
            Ok(inside) => manifest.join(inside),
            // The file itself is the manifest.
            Err(_) => manifest.parent().unwrap_or(Path::new("/")).to_owned(),
        };
    }
    let (from, to) = (written.display().to_string(), manifest.display().to_string());
    read.problems.iter_mut().for_each(|problem| problem.message = problem.message.replace(&from, &to));
    read.directories.clear();
    read
}

/// A directory that is ours alone, and goes with this value.
struct Desk(PathBuf);

impl Desk {
    fn new() -> io::Result<Self> {
        let name: String = super::random::<8>().iter().map(|byte| format!("{byte:02x}")).collect();
        let path = std::env::temp_dir().join(format!("towpath-{name}"));
        // Made anew, or not at all: nobody can have prepared it.
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path.canonicalize()?))
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        // What cannot be removed is the system's to clean.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
