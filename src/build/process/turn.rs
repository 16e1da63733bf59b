//! One build at a time in one directory, and nothing left of one that did not finish, also when its future is dropped.

use crate::host::files::remove_tree;
use crate::host::tree;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The directories in which somebody builds or wipes.
pub type Turns = Arc<Mutex<BTreeSet<PathBuf>>>;

/// How long processes of an unfinished build may take to die.
const KILL_LIMIT: Duration = Duration::from_secs(5);
/// How often a turn is asked for.
const PAUSE: Duration = Duration::from_millis(20);

/// The right to build in a directory. Unless [`Turn::finish`] is called, its end wipes the directory.
pub struct Turn {
    turns: Turns,
    directory: PathBuf,
    marker: String,
    wipe: bool,
}

impl Turn {
    /// Waits until nobody else builds or wipes in this directory.
    pub async fn take(turns: &Turns, directory: PathBuf, marker: String) -> Self {
        while !turns.lock().unwrap_or_else(PoisonError::into_inner).insert(directory.clone()) {
            tokio::time::sleep(PAUSE).await;
        }
        Self { turns: Arc::clone(turns), directory, marker, wipe: true }
    }

    /// Ends the turn; what is in the directory stays.
    pub fn finish(mut self) {
        self.wipe = false;
    }

    /// Ends the turn, and waits until nothing is left of the build.
    pub async fn wipe(mut self) {
        self.wipe = false;
        // The turn goes with the work: it ends when that is done, even when nobody waits any more.
        let _ = tokio::task::spawn_blocking(move || wipe(&self.directory, &self.marker)).await;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let (turns, directory, marker) = (Arc::clone(&self.turns), self.directory.clone(), self.marker.clone());
        let end = move |turns: &Turns, directory: &Path| {
            turns.lock().unwrap_or_else(PoisonError::into_inner).remove(directory);
        };
        if self.wipe {
            // Perhaps not in a runtime any more, and there is nobody to report to.
            std::thread::spawn(move || {
                wipe(&directory, &marker);
                end(&turns, &directory);
            });
        } else {
            end(&turns, &directory);
        }
    }
}

fn wipe(directory: &Path, marker: &str) {
    tree::kill_until_gone(KILL_LIMIT, || tree::marked(marker));
    // The marker of a result is written last, so there is none to remove first.
    if let Err(error) = remove_tree(directory) {
        tracing::warn!(directory = %directory.display(), %error, "an unfinished build is left for the next sweep");
    }
}
