//! A user id for every service: recorded, so that it stays the service's and is never another's while its files may exist.

use crate::host::files::{read_small, write_atomic};
use rustix::fs::{FlockOperation, flock};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The ids that nothing else on a Linux machine hands out: above those that systemd gives to containers, and far from the
/// subordinate ids of `/etc/subuid`.
pub const DEFAULT_FIRST: u32 = 1_900_000_000;
/// How many services an installation may ever have had.
pub const COUNT: u32 = 65_536;

/// The record of an installation, `users.json` in its data directory.
#[derive(Clone, Debug)]
pub struct Users {
    file: PathBuf,
    first: u32,
}

impl Users {
    /// The record in this directory, which hands out ids from `first` on.
    pub fn at(directory: PathBuf, first: u32) -> Self {
        Self { file: directory.join("users.json"), first }
    }

    /// The first and the last id.
    pub fn range(&self) -> (u32, u32) {
        (self.first, self.first.saturating_add(COUNT - 1))
    }

    /// The id of a service, recorded now when it has none. Blocking.
    ///
    /// # Errors
    /// When the record cannot be read or written, or all ids are taken.
    pub fn id_of(&self, service: &str) -> io::Result<u32> {
        let _lock = self.lock()?;
        let mut known = self.read()?;
        if let Some(id) = known.get(service) {
            return Ok(*id);
        }
        let id = self.free(&known)?;
        known.insert(service.to_owned(), id);
        write_atomic(&self.file, &serde_json::to_vec_pretty(&known)?)?;
        Ok(id)
    }

    fn read(&self) -> io::Result<BTreeMap<String, u32>> {
        match read_small(&self.file, 16 << 20) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            bytes => serde_json::from_slice(&bytes?).map_err(|error| {
                let message = format!("{} is damaged ({error}); restore it from a backup", self.file.display());
                io::Error::new(io::ErrorKind::InvalidData, message)
            }),
        }
    }

    /// The first id from the installation's own start on that nobody has: two installations of one machine start apart.
    fn free(&self, known: &BTreeMap<String, u32>) -> io::Result<u32> {
        let taken: BTreeSet<u32> = known.values().copied().chain(in_use()).collect();
        let start = seed(&self.file.to_string_lossy()) % COUNT;
        let ids = (0..COUNT).map(|step| self.first.saturating_add((start + step) % COUNT));
        ids.into_iter().find(|id| !taken.contains(id)).ok_or_else(|| {
            io::Error::other(format!("all {COUNT} user ids for services are taken, see {}", self.file.display()))
        })
    }

    fn lock(&self) -> io::Result<File> {
        let path = self.file.with_extension("lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        flock(&file, FlockOperation::LockExclusive)?;
        Ok(file)
    }
}

/// Writes `passwd` and `group` into a directory: the machine's, and a line for this user. Programs ask for the name and
/// home of the user that they run as, and some end when there is none.
///
/// # Errors
/// When they cannot be read or written.
pub fn write_accounts(directory: &Path, user: u32, home: &Path) -> io::Result<()> {
    let line = format!("towpath:x:{user}:{user}:service of towpath:{}:/bin/sh\n", home.display());
    for (name, line) in [("passwd", line), ("group", format!("towpath:x:{user}:\n"))] {
        let known = read_small(&Path::new("/etc").join(name), 1 << 20).unwrap_or_default();
        let end: &[u8] = if known.is_empty() || known.ends_with(b"\n") { b"" } else { b"\n" };
        let path = directory.join(name);
        std::fs::write(&path, [&known, end, line.as_bytes()].concat())?;
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    }
    Ok(())
}

/// Gives a tree to a user and its group, links themselves and not what they point to. Blocking.
///
/// # Errors
/// When something cannot be given away.
pub fn give(root: &Path, user: u32) -> io::Result<()> {
    let own = |path: &Path| std::os::unix::fs::lchown(path, Some(user), Some(user));
    own(root)?;
    let mut pending = vec![root.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in std::fs::read_dir(&directory)? {
            let entry = entry?;
            own(&entry.path())?;
            if entry.file_type()?.is_dir() {
                pending.push(entry.path());
            }
        }
    }
    Ok(())
}

/// FNV-1a: spreads, and stays the same in every version of towpath.
fn seed(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// The ids of users that the machine knows, and of processes that run.
fn in_use() -> Vec<u32> {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = passwd.lines().filter_map(|line| line.split(':').nth(2)?.parse().ok());
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let running = entries.filter(|e| e.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit));
    named.chain(running.filter_map(|e| Some(e.metadata().ok()?.uid()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_keeps_its_id_and_no_other_gets_it() {
        let dir = tempfile::tempdir().unwrap();
        let users = Users::at(dir.path().into(), DEFAULT_FIRST);
        let (shop, blog) = (users.id_of("shop").unwrap(), users.id_of("blog").unwrap());
        assert_ne!(shop, blog);
        let again = Users::at(dir.path().into(), DEFAULT_FIRST);
        assert_eq!((again.id_of("blog").unwrap(), again.id_of("shop").unwrap()), (blog, shop));
        let (first, last) = users.range();
        assert!((first..=last).contains(&shop) && (first..=last).contains(&blog));
    }

    #[test]
    fn a_damaged_record_hands_out_nothing() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("users.json"), "{ \"shop\": ").unwrap();
        let error = Users::at(dir.path().into(), DEFAULT_FIRST).id_of("blog").unwrap_err();
        assert!(error.to_string().contains("damaged"), "{error}");
    }
}
