//! The deliveries that were taken: the newest ones, kept where a restart finds them.

use super::Webhooks;
use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How many are remembered.
const REMEMBERED: usize = 10_000;
/// They are kept in groups, this long apart. A crash forgets as much: what is delivered again then is looked at once more.
const APART: Duration = Duration::from_millis(500);

#[derive(Debug, Default)]
struct Ids {
    order: VecDeque<String>,
    set: BTreeSet<String>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Seen {
    ids: Mutex<Ids>,
    changed: Notify,
}

impl Seen {
    pub(super) fn new(ids: Vec<String>) -> Self {
        let seen = Self::default();
        ids.into_iter().for_each(|id| seen.add(id));
        seen
    }

    fn ids(&self) -> MutexGuard<'_, Ids> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn has(&self, id: &str) -> bool {
        self.ids().set.contains(id)
    }

    /// Remembers a delivery. One without an id is taken whenever it comes.
    pub(super) fn note(&self, id: Option<String>) {
        if let Some(id) = id {
            self.add(id);
            self.changed.notify_one();
        }
    }

    fn add(&self, id: String) {
        let mut ids = self.ids();
        if ids.set.insert(id.clone()) {
            ids.order.push_back(id);
        }
        if ids.order.len() > REMEMBERED
            && let Some(oldest) = ids.order.pop_front()
        {
            ids.set.remove(&oldest);
        }
    }

    fn all(&self) -> Vec<String> {
        self.ids().order.iter().cloned().collect()
    }
}

/// Keeps what changed, until the server stops.
pub(super) async fn keep(webhooks: Arc<Webhooks>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = webhooks.seen.changed.notified() => {}
            () = stop.cancelled() => return,
        }
        tokio::select! {
            () = tokio::time::sleep(APART) => {}
            () = stop.cancelled() => {}
        }
        webhooks.hints.keep_deliveries(webhooks.seen.all()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_remembered_and_no_more() {
        let seen = Seen::new(vec!["first".into()]);
        assert!(seen.has("first"));
        for n in 0..REMEMBERED {
            seen.note(Some(n.to_string()));
            seen.note(Some(n.to_string()));
        }
        assert!(!seen.has("first") && seen.has("0") && seen.all().len() == REMEMBERED);
    }
}
