//! What a build finds in front of the host's own tools: stand-ins for package managers and `sudo`, for yarn where it is
//! missing, and bash as `sh`.

use crate::build::system;
use crate::model::Language;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The commands that a build must not change the host with.
const PACKAGE_MANAGERS: [&str; 7] = ["yum", "dnf", "microdnf", "apt", "apt-get", "apk", "amazon-linux-extras"];

/// Writes the stand-ins into a directory that goes first in the `PATH` of the build. `search` is the host's.
pub fn write(tools: &Path, language: Language, search: &[PathBuf]) -> io::Result<()> {
    for tool in PACKAGE_MANAGERS {
        place(&tools.join(tool), &system::keep_out())?;
    }
    place(&tools.join("sudo"), system::sudo())?;
    if language == Language::Node && find("yarn", search).is_none() {
        place(&tools.join("yarn"), include_str!("yarn.sh"))?;
    }
    Ok(())
}

/// Makes bash the `sh` of a build and its instances, as on Amazon Linux: scripts with `source` or `[[` are started by
/// `sh` there. Where there is no bash, the host's `sh` does.
pub fn write_shell(bin: &Path, search: &[PathBuf]) -> io::Result<()> {
    find("bash", search).map_or(Ok(()), |bash| std::os::unix::fs::symlink(bash, bin.join("sh")))
}

fn find(name: &str, search: &[PathBuf]) -> Option<PathBuf> {
    search.iter().map(|directory| directory.join(name)).find(|path| path.is_file())
}

fn place(path: &Path, script: &str) -> io::Result<()> {
    std::fs::write(path, script)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
}
