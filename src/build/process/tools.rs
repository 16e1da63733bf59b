//! What a build finds in front of the host's own tools: stand-ins for package managers, and for yarn where it is missing.

use crate::model::Language;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The commands that a build must not change the host with.
const PACKAGE_MANAGERS: [&str; 6] = ["yum", "dnf", "microdnf", "apt", "apt-get", "apk"];

/// Writes the stand-ins into a directory that goes first in the `PATH` of the build. `search` is the host's.
pub fn write(tools: &Path, language: Language, search: &[PathBuf]) -> io::Result<()> {
    for tool in PACKAGE_MANAGERS {
        place(&tools.join(tool), include_str!("package_manager.sh"))?;
    }
    if language == Language::Node && !search.iter().any(|directory| directory.join("yarn").is_file()) {
        place(&tools.join("yarn"), include_str!("yarn.sh"))?;
    }
    Ok(())
}

fn place(path: &Path, script: &str) -> io::Result<()> {
    std::fs::write(path, script)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
}
