//! The routing table on disk: what an ingress that was killed goes on with before a control plane has spoken.

use crate::link::{Generation, ServiceEntry, Settings};
use serde::{Deserialize, Serialize};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const FILE: &str = "snapshot.json";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Snapshot {
    /// The boot in which the addresses were those of our instances.
    pub(super) boot: String,
    pub(super) generation: Generation,
    /// With the engine that the instances live on.
    pub(super) settings: Settings,
    pub(super) entries: Vec<ServiceEntry>,
}

/// Identifies this boot; empty where the kernel does not tell, which no snapshot then matches.
pub(super) fn boot_id() -> String {
    std::fs::read_to_string(BOOT_ID).map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// Reads the snapshot of a directory. A damaged one counts as none: the control plane has the truth.
pub(super) fn read(directory: &Path) -> Option<Snapshot> {
    let bytes = std::fs::read(directory.join(FILE)).ok()?;
    match serde_json::from_slice(&bytes) {
        Ok(snapshot) => Some(snapshot),
        Err(error) => {
            tracing::warn!(%error, "the snapshot of the routing table is damaged, waiting for the control plane");
            None
        }
    }
}

/// Writes the snapshot, whole or not at all. Where that fails the old one is removed: none is better than a wrong one.
///
/// Not synced to the disk: it is worth nothing after a power cut, as it belongs to one boot.
pub(super) fn write(directory: &Path, snapshot: &Snapshot) -> io::Result<()> {
    let written = replace(directory, snapshot);
    if written.is_err() {
        remove(directory);
    }
    written
}

fn replace(directory: &Path, snapshot: &Snapshot) -> io::Result<()> {
    let new = directory.join("snapshot.new");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&serde_json::to_vec(snapshot)?)?;
    drop(file);
    std::fs::rename(new, directory.join(FILE))
}

/// Removes the snapshot: the instances are about to be stopped, and their addresses will have new owners.
pub(super) fn remove(directory: &Path) {
    let _ = std::fs::remove_file(directory.join(FILE));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_snapshot_is_read_back_and_only_its_owner_may_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let snapshot = Snapshot { boot: boot_id(), generation: Generation(7), ..Snapshot::default() };
        write(directory.path(), &snapshot).unwrap();
        assert_eq!(read(directory.path()), Some(snapshot));
        let mode = std::fs::metadata(directory.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_snapshot_counts_as_none() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(FILE), "{\"boot\":").unwrap();
        assert_eq!(read(directory.path()), None);
    }

    #[test]
    fn where_no_new_snapshot_can_be_written_the_old_one_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), &Snapshot::default()).unwrap();
        std::fs::create_dir(directory.path().join("snapshot.new")).unwrap();
        assert!(write(directory.path(), &Snapshot::default()).is_err());
        assert_eq!(read(directory.path()), None);
    }
}
