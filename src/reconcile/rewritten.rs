//! Forced pushes: a branch that was moved to a commit which does not descend from the one before. Told once, and shown.
//!
//! Level-triggered like everything: what was the head before is remembered, at a start it is what runs.

use super::core::Core;
use super::vetting::source_of_manifest;
use crate::model::{CommitId, EventSeverity, Reference, RepositoryUrl, ServiceRecord, Track};
use crate::observed::{Observed, Rewritten};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The last known heads.
#[derive(Debug, Default)]
pub struct Heads(BTreeMap<(RepositoryUrl, Track), CommitId>);

/// A head that moved.
struct Moved {
    repository: RepositoryUrl,
    track: Track,
    from: CommitId,
    to: CommitId,
}

/// Looks at heads that moved, beside the pass.
pub fn look(core: &Arc<Core>, observed: &Observed) {
    let manifest = source_of_manifest(core);
    let moved = core.state().heads.moved(observed, manifest);
    for one in moved {
        let core = core.clone();
        tokio::spawn(async move { work(&core, one).await });
    }
}

impl Heads {
    fn moved(&mut self, observed: &Observed, manifest: Option<(RepositoryUrl, Track, CommitId)>) -> Vec<Moved> {
        let mut moved = Vec::new();
        let mut known = BTreeMap::new();
        for head in &observed.heads {
            let (Some(to), true) = (&head.commit, is_branch(&head.repository, &head.track)) else { continue };
            let key = (head.repository.clone(), head.track.clone());
            let of_manifest =
                manifest.as_ref().filter(|(r, t, _)| (r, t) == (&key.0, &key.1)).map(|(.., commit)| commit);
            let from = self.0.remove(&key).or_else(|| running(observed, &key)).or_else(|| of_manifest.cloned());
            known.insert(key.clone(), to.clone());
            if let Some(from) = from.filter(|from| from != to) {
                moved.push(Moved { repository: key.0, track: key.1, from, to: to.clone() });
            }
        }
        self.0 = known;
        moved
    }
}

/// Tags are moved by whoever means to, and images have no history.
fn is_branch(repository: &RepositoryUrl, track: &Track) -> bool {
    let moves = matches!(track.reference, Reference::Default | Reference::Branch(_));
    moves && !matches!(repository, RepositoryUrl::Image(_))
}

/// The commit of a source that a service runs.
fn running(observed: &Observed, (repository, track): &(RepositoryUrl, Track)) -> Option<CommitId> {
    let revisions = observed.services.iter().filter_map(|view| view.current.as_ref());
    let of_source =
        |r: &&crate::model::Revision| &r.spec.source.repository == repository && &r.spec.source.track == track;
    revisions.filter(of_source).max_by_key(|r| r.created_at).map(|r| r.commit.id.clone())
}

async fn work(core: &Arc<Core>, moved: Moved) {
    let Moved { repository, track, from, to } = moved;
    // What cannot be fetched now is fetched by whoever deploys it; nothing is claimed of it.
    if core.git.fetch(&repository, &track.reference, Some(&to)).await.is_err() {
        return;
    }
    if !matches!(core.git.descends(&repository, &to, &from).await, Ok(false)) {
        return;
    }
    let at = core.now();
    core.poller.rewritten(&repository, &track, Rewritten { from: from.clone(), to: to.clone(), at });
    let message = format!(
        "The history of {} of `{repository}` was rewritten: commit {} does not descend from {}, which was its newest.",
        named(&track),
        to.short(),
        from.short()
    );
    for record in followers(core, &repository, &track) {
        core.emit_for(&record, "HistoryRewritten", EventSeverity::Warn, message.clone()).await;
    }
    if source_of_manifest(core).is_some_and(|(r, t, _)| (r, t) == (repository, track)) {
        core.emit_plain("HistoryRewritten", EventSeverity::Warn, message).await;
    }
}

fn named(track: &Track) -> String {
    track.reference.branch().map_or_else(|| "the default branch".into(), |branch| format!("branch `{branch}`"))
}

fn followers(core: &Core, repository: &RepositoryUrl, track: &Track) -> Vec<ServiceRecord> {
    let state = core.state();
    let live = state.world.services.values().filter(|record| record.deleted_at.is_none());
    let follows = |record: &&ServiceRecord| {
        let source = record.applied.as_ref().map(|spec| &spec.source);
        source.is_some_and(|source| &source.repository == repository && &source.track == track)
    };
    live.filter(follows).cloned().collect()
}
