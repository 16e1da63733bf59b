//! The polling loop on real repositories.

use super::repo::{Room, branch};
use std::sync::Arc;
use std::time::Duration;
use towpath::model::{Reference, Track};
use towpath::observed::HeadView;
use towpath::source::Poller;

const SOON: Duration = Duration::from_secs(10);

/// Waits until the heads are as wanted.
pub async fn until(poller: &Poller, wanted: impl Fn(&[HeadView]) -> bool) -> Vec<HeadView> {
    until_within(SOON, poller, wanted).await
}

pub async fn until_within(limit: Duration, poller: &Poller, wanted: impl Fn(&[HeadView]) -> bool) -> Vec<HeadView> {
    let mut changes = poller.changes();
    let wait = async {
        loop {
            let heads = poller.heads();
            if wanted(&heads) {
                return heads;
            }
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(limit, wait).await.unwrap_or_else(|_| panic!("{:#?}", poller.heads()))
}

#[tokio::test]
async fn a_new_commit_is_seen_within_the_interval_and_changes_the_number_once() {
    let room = Room::new();
    let repo = room.repo("a");
    let poller = Poller::new(Arc::new(room.source()), Duration::from_millis(200), 4);
    poller.watch(vec![
        (repo.url(), Track::default()),
        (repo.url(), branch("main").into()),
        (repo.url(), Track::default()),
    ]);
    let heads = until(&poller, |heads| heads.iter().all(|head| head.commit.is_some())).await;
    assert_eq!(heads.len(), 2, "the same branch twice is watched once");
    let mut changes = poller.changes();
    changes.mark_unchanged();
    let newer = repo.commit("b", "2");
    until(&poller, |heads| heads.iter().all(|head| head.commit.as_ref() == Some(&newer))).await;
    changes.mark_unchanged();
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(!changes.has_changed().unwrap(), "polls that find nothing new change nothing");
}

#[tokio::test]
async fn hastening_asks_now_and_what_is_no_longer_watched_is_gone() {
    let room = Room::new();
    let (a, b) = (room.repo("a"), room.repo("b"));
    let poller = Poller::new(Arc::new(room.source()), Duration::from_secs(3600), 1);
    poller.watch(vec![(a.url(), Track::default()), (b.url(), Track::default())]);
    until(&poller, |heads| heads.iter().all(|head| head.commit.is_some())).await;
    let newer = a.commit("n", "2");
    poller.hasten(&a.url());
    until(&poller, |heads| heads.iter().any(|head| head.commit.as_ref() == Some(&newer))).await;
    poller.watch(vec![(b.url(), Track::default())]);
    let heads = poller.heads();
    assert!(heads.len() == 1 && heads[0].repository == b.url() && heads[0].commit.is_some());
}

#[tokio::test]
async fn a_branch_that_is_deleted_keeps_its_last_commit_beside_the_error_until_it_is_back() {
    let room = Room::new();
    let repo = room.repo("a");
    repo.git(&["branch", "live"]);
    let poller = Poller::new(Arc::new(room.source()), Duration::from_millis(100), 1);
    poller.watch(vec![(repo.url(), branch("live").into())]);
    let known = until(&poller, |heads| heads[0].commit.is_some()).await[0].clone();
    repo.git(&["branch", "-D", "live"]);
    let lost = until(&poller, |heads| heads[0].error.is_some()).await[0].clone();
    assert_eq!((lost.commit, lost.seen_at.is_some()), (known.commit, true));
    assert!(lost.error.unwrap().contains("has no branch `live` (its branches: `main`)"));
    repo.git(&["branch", "live"]);
    until(&poller, |heads| heads[0].error.is_none()).await;
}

#[tokio::test]
async fn a_repository_that_hangs_does_not_hold_the_others_up() {
    let room = Room::new();
    let repo = room.repo("a");
    let server = room.serve();
    let poller = Poller::new(Arc::new(room.source()), Duration::from_millis(100), 2);
    poller.watch(vec![
        (server.url("hang", "a"), Track::default()),
        (repo.url(), Track::default()),
        (server.url("git", "a"), Track::default()),
    ]);
    until(&poller, |heads| heads.iter().filter(|head| head.commit.is_some()).count() == 2).await;
    let newer = repo.commit("b", "2");
    until(&poller, |heads| heads.iter().filter(|head| head.commit.as_ref() == Some(&newer)).count() == 2).await;
    drop(server);
}

#[tokio::test]
async fn polling_now_answers_for_branches_that_are_watched_and_for_others() {
    let room = Room::new();
    let repo = room.repo("a");
    let poller = Poller::new(Arc::new(room.source()), Duration::from_secs(3600), 1);
    let view = poller.poll_now(&repo.url(), &Track::default()).await;
    assert_eq!(view.commit, Some(repo.id("HEAD")));
    assert!(poller.heads().is_empty());
    poller.watch(vec![(repo.url(), Track::default())]);
    until(&poller, |heads| heads[0].commit.is_some()).await;
    let newer = repo.commit("b", "2");
    assert_eq!(poller.poll_now(&repo.url(), &Track::default()).await.commit, Some(newer.clone()));
    assert_eq!(poller.heads()[0].commit, Some(newer.clone()));
    let commit = room.source().fetch(&repo.url(), &Reference::Default, None).await.unwrap();
    poller.learned(&repo.url(), &commit);
    assert_eq!(poller.heads()[0].details, Some(commit));
    std::fs::remove_dir_all(&repo.path).unwrap();
    let lost = poller.poll_now(&repo.url(), &Track::default()).await;
    assert!(lost.commit == Some(newer) && lost.error.unwrap().contains("was not found"));
}

#[tokio::test]
async fn a_dropped_poller_asks_no_more() {
    let room = Room::new();
    room.repo("a");
    let server = room.serve();
    let poller = Poller::new(Arc::new(room.source()), Duration::from_millis(100), 1);
    poller.watch(vec![(server.url("git", "a"), Track::default())]);
    until(&poller, |heads| heads[0].commit.is_some()).await;
    drop(poller);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let count = server.count();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(server.count(), count);
}
