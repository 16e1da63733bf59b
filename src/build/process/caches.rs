//! The downloads that are kept between the builds of a service: a directory per service, so that none can give another
//! a poisoned package. Blocking.

use crate::host::files::remove_tree;
use crate::model::{Memory, ServiceName};
use std::collections::BTreeSet;
use std::io;
use std::path::Path;

/// Removes what belongs to none of these services, and empties what has grown beyond `most`.
pub fn tidy(caches: &Path, services: &BTreeSet<ServiceName>, most: Memory) -> io::Result<()> {
    let entries = match std::fs::read_dir(caches) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries.flatten() {
        let wanted = entry.file_name().to_str().is_some_and(|name| services.iter().any(|s| s.as_str() == name));
        if wanted { keep_below(&entry.path(), most)? } else { remove_tree(&entry.path())? }
    }
    Ok(())
}

/// Empties a cache that has grown beyond `most`: the next build begins with nothing.
pub fn keep_below(cache: &Path, most: Memory) -> io::Result<()> {
    if size(cache, most.0) > most.0 { empty(cache) } else { Ok(()) }
}

/// Removes what is in a cache. The directory stays, with its owner.
pub fn empty(cache: &Path) -> io::Result<()> {
    std::fs::read_dir(cache)?.try_for_each(|entry| remove_tree(&entry?.path()))
}

/// Whether there is anything in a cache.
pub fn is_filled(cache: &Path) -> bool {
    std::fs::read_dir(cache).is_ok_and(|mut entries| entries.next().is_some())
}

/// The bytes of all files below, counted until there are more than `enough`. Links are not followed.
fn size(directory: &Path, enough: u64) -> u64 {
    let (mut pending, mut bytes) = (vec![directory.to_owned()], 0u64);
    while let Some(directory) = pending.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                pending.push(entry.path());
            }
            bytes = bytes.saturating_add(metadata.len());
            if bytes > enough {
                return bytes;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caches_of_services_that_are_gone_or_too_large_go() {
        let caches = tempfile::tempdir().unwrap();
        for name in ["shop", "gone", "huge"] {
            std::fs::create_dir_all(caches.path().join(name).join("pip/deep")).unwrap();
            std::fs::write(caches.path().join(name).join("pip/deep/wheel"), "x").unwrap();
        }
        // Takes no room on the disk.
        std::fs::File::create(caches.path().join("huge/pip/deep/hole")).unwrap().set_len(1 << 30).unwrap();
        std::os::unix::fs::symlink("/usr", caches.path().join("shop/link")).unwrap();
        let services = ["shop", "huge"].map(|name| name.parse().unwrap()).into();
        tidy(caches.path(), &services, Memory(1 << 30)).unwrap();
        assert!(caches.path().join("shop/pip/deep/wheel").exists() && !caches.path().join("gone").exists());
        assert!(caches.path().join("huge").is_dir() && !is_filled(&caches.path().join("huge")));
        tidy(&caches.path().join("none"), &services, Memory(0)).unwrap();
    }
}
