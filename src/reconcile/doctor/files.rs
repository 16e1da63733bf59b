//! Who may read and write what is towpath's own: data directory, socket, token, secret files.

use crate::cli::{Examination, Finding};
use crate::desired::{ManifestFiles, parse_manifest_files};
use crate::model::{Catalogue, Means, SecretRef};
use crate::settings::datadir::DataDir;
use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

pub(super) fn examine(examination: &Examination) -> Vec<Finding> {
    let mut findings = data(&DataDir::at(&examination.data_dir));
    findings.extend(secret_files(&examination.manifest, &examination.catalogue));
    findings
}

/// The data directory and what is private in it.
pub(super) fn data(dir: &DataDir) -> Vec<Finding> {
    let root = dir.root();
    let Ok(metadata) = std::fs::symlink_metadata(root) else {
        return vec![Finding::ok("data", format!("`{}` is not there yet: `towpath up` makes it", root.display()))];
    };
    let mut findings: Vec<Finding> = [directory(root, &metadata)].into_iter().flatten().collect();
    let private = [dir.store(), dir.run(), dir.logs(), dir.mirrors(), dir.control_token(), dir.control_socket()];
    findings.extend(private.iter().filter_map(|path| open_to_others(path)));
    if findings.is_empty() {
        findings.push(Finding::ok("data", format!("`{}` is towpath's alone", root.display())));
    }
    findings
}

fn directory(root: &Path, metadata: &Metadata) -> Option<Finding> {
    let (uid, shown) = (rustix::process::geteuid().as_raw(), root.display());
    if !metadata.is_dir() {
        let mend = "move it away, or choose another path with `--data-dir`";
        return Some(Finding::problem("data", format!("`{shown}` is not a directory"), mend));
    }
    if metadata.uid() != uid {
        let found = format!("`{shown}` belongs to user id {}, and this is user id {uid}", metadata.uid());
        return Some(Finding::problem(
            "data",
            found,
            "run towpath as its owner, or choose another path with `--data-dir`",
        ));
    }
    let mode = metadata.mode() & 0o7777;
    (mode & 0o022 != 0).then(|| {
        Finding::problem(
            "data",
            format!("`{shown}` can be written by others (mode {mode:04o})"),
            format!("run `chmod go-w {shown}`"),
        )
    })
}

/// What others may read or write and must not.
fn open_to_others(path: &Path) -> Option<Finding> {
    let metadata = std::fs::symlink_metadata(path).ok()?;
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 == 0 {
        return None;
    }
    let kind = match metadata.file_type() {
        kind if kind.is_socket() => "the socket",
        kind if kind.is_dir() => "the directory",
        _ => "the file",
    };
    let found = format!("{kind} `{}` is open to other users (mode {mode:04o})", path.display());
    Some(Finding::problem("data", found, format!("run `chmod go= {}`", path.display())))
}

/// The files that the manifest's secrets, and those of its connections, are read from.
pub(super) fn secret_files(manifest: &Path, catalogue: &Catalogue) -> Vec<Finding> {
    let Ok(absolute) = std::path::absolute(manifest) else { return Vec::new() };
    if !absolute.exists() {
        return Vec::new();
    }
    let read = ManifestFiles::read(&absolute, &manifest.display().to_string());
    let Some(desired) = parse_manifest_files(&read, catalogue).value else {
        let found = format!("`{}` has errors", manifest.display());
        return vec![Finding::problem(
            "manifest",
            found,
            format!("see them: `towpath validate {}`", manifest.display()),
        )];
    };
    let connections = desired.connections.iter().filter_map(|c| c.spec.means.as_ref()).map(Means::secret);
    let secrets = desired.services.iter().flat_map(|s| s.spec.secrets.values()).chain(connections);
    let keys = desired.services.iter().filter_map(|s| s.spec.source.key.as_ref());
    let mut files: Vec<&PathBuf> =
        secrets.filter_map(|s| if let SecretRef::File(path) = s { Some(path) } else { None }).chain(keys).collect();
    files.sort();
    files.dedup();
    let count = files.len();
    let mut findings: Vec<Finding> = files.into_iter().filter_map(|path| secret_file(path)).collect();
    if findings.is_empty() && count > 0 {
        findings.push(Finding::ok("secrets", format!("{count} files, read by their owner alone")));
    }
    findings
}

fn secret_file(path: &Path) -> Option<Finding> {
    let shown = path.display();
    match std::fs::metadata(path) {
        Err(error) => {
            let found = format!("the secret file `{shown}` cannot be read: {error}");
            Some(Finding::problem("secrets", found, "put the value there; services that need it do not start"))
        }
        Ok(metadata) if metadata.mode() & 0o007 != 0 => {
            let found = format!("every user of this machine can read the secret file `{shown}`");
            Some(Finding::problem("secrets", found, format!("run `chmod o= {shown}`")))
        }
        Ok(_) => None,
    }
}
