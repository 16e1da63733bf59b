//! Notices that the manifest changed. Best effort: the loop reads it again every few seconds in any case.
//!
//! Directories are watched, not files: an atomic rename blinds a watch of the file itself. Which directories these are
//! says each reading of the manifest.

use super::core::Core;
use super::manifest::Directories;
use crate::settings::ManifestSource;
use notify_debouncer_full::notify::{RecommendedWatcher, RecursiveMode};
use notify_debouncer_full::{DebounceEventResult, Debouncer, RecommendedCache, new_debouncer};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Editors write a file in several steps; this long after the last of them it is read.
const DEBOUNCE: Duration = Duration::from_millis(150);
/// The link that a mounted configuration (a ConfigMap) is swapped by.
const SWAPPED: &str = "..data";

/// Wakes the loop on changes of the manifest, until the control plane stops. One in a repository is polled instead.
pub fn follow(core: &Arc<Core>) {
    let ManifestSource::Path(manifest) = core.config.manifest.clone() else { return };
    let mut directories = core.manifest_directories.subscribe();
    let (waker, stopping) = (Arc::downgrade(core), core.stopping.clone());
    let on_event = move |events: DebounceEventResult| {
        let touched = events.map(|events| events.iter().any(|e| !e.kind.is_access() && concerns(&e.paths, &manifest)));
        if touched.unwrap_or(true)
            && let Some(core) = waker.upgrade()
        {
            core.look_again();
        }
    };
    let Ok(mut debouncer) = new_debouncer(DEBOUNCE, None, on_event)
        .inspect_err(|error| tracing::warn!(%error, "the manifest cannot be watched; it is read every few seconds"))
    else {
        return;
    };
    tokio::spawn(async move {
        let mut watched = Directories::new();
        loop {
            let wanted = directories.borrow_and_update().clone();
            update(&mut debouncer, &mut watched, wanted);
            tokio::select! {
                changed = directories.changed() => if changed.is_err() { return },
                () = stopping.cancelled() => return,
            }
        }
    });
}

/// Watches what is wanted and nothing else. A directory that took another's place is watched anew.
fn update(
    debouncer: &mut Debouncer<RecommendedWatcher, RecommendedCache>,
    watched: &mut Directories,
    wanted: Directories,
) {
    for (path, _) in watched.iter().filter(|(path, id)| wanted.get(*path) != Some(id)) {
        // The watch of a directory that is gone went with it.
        let _ = debouncer.unwatch(path);
    }
    for (path, _) in wanted.iter().filter(|(path, id)| watched.get(*path) != Some(id)) {
        if let Err(error) = debouncer.watch(path, RecursiveMode::NonRecursive) {
            tracing::warn!(%error, directory = %path.display(), "a directory of the manifest cannot be watched");
        }
    }
    *watched = wanted;
}

/// Whether an event is about the manifest: the file itself, anything of its directory that is not hidden, or the link
/// that a mounted configuration is swapped by.
fn concerns(paths: &[PathBuf], manifest: &Path) -> bool {
    paths.iter().filter_map(|path| Some((path, path.file_name()?))).any(|(path, name)| {
        let hidden = name.as_encoded_bytes().starts_with(b".");
        name == SWAPPED || Some(name) == manifest.file_name() || (!hidden && path.starts_with(manifest))
    })
}
