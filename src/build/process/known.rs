//! What is known of this machine's interpreters: asked once, and again when a file of theirs has changed.

use super::interpreters::{self, Seen};
use crate::build::recipe::Interpreter;
use crate::model::{Runtime, RuntimeName};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// After how long interpreters are asked again, in the background. A version manager's answer takes half a second, and
/// may change although its file does not.
const FOUND_COUNTS: Duration = Duration::from_secs(30);

/// What was found for a runtime.
#[derive(Debug)]
struct Found {
    /// When.
    at: Instant,
    /// What the search saw then.
    seen: Vec<Seen>,
    interpreters: Vec<Interpreter>,
}

impl Found {
    async fn search(runtime: &Runtime, search: &[PathBuf]) -> Self {
        let (at, seen) = (Instant::now(), interpreters::look(runtime, search).await);
        Self { at, seen, interpreters: interpreters::find(runtime, search).await }
    }

    /// Whether it can be taken for what a search would find now, but for a version manager's change of mind.
    fn holds(&self, seen: &[Seen]) -> bool {
        let whole = self.interpreters.iter().all(|i| i.problem.is_none() && i.path.exists());
        self.seen == seen && (whole || self.at.elapsed() < FOUND_COUNTS)
    }
}

/// What was found for each runtime.
#[derive(Debug, Default)]
pub struct Known {
    /// Held while asking, so that many services that start at once do not ask at once.
    found: Arc<Mutex<BTreeMap<RuntimeName, Found>>>,
}

impl Known {
    /// The interpreters for a runtime in the directories of a search path.
    pub async fn of(&self, runtime: &Runtime, search: &[PathBuf]) -> Vec<Interpreter> {
        let mut all = self.found.lock().await;
        let seen = interpreters::look(runtime, search).await;
        if let Some(found) = all.get_mut(&runtime.name).filter(|found| found.holds(&seen)) {
            if found.at.elapsed() > FOUND_COUNTS {
                found.at = Instant::now();
                self.search_again(runtime.clone(), search.to_owned());
            }
            return found.interpreters.clone();
        }
        let found = Found::search(runtime, search).await;
        let interpreters = found.interpreters.clone();
        all.insert(runtime.name.clone(), found);
        interpreters
    }

    /// Asks in the background; the next build takes the answer.
    fn search_again(&self, runtime: Runtime, search: Vec<PathBuf>) {
        let all = Arc::clone(&self.found);
        tokio::spawn(async move {
            let found = Found::search(&runtime, &search).await;
            all.lock().await.insert(runtime.name, found);
        });
    }
}
