//! Polling over HTTP with one small request, counted at git's own backend.

use super::polling::until_within;
use super::repo::{Room, branch};
use std::sync::Arc;
use std::time::{Duration, Instant};
use towpath::model::{Reference, Track};
use towpath::source::{GitLimits, Poller, SourceError};

#[tokio::test]
async fn a_poll_is_one_request_of_less_than_a_hundred_bytes_on_a_kept_connection() {
    let room = Room::new();
    let repo = room.repo("a");
    for number in 0..500 {
        repo.git(&["update-ref", &format!("refs/tags/old-{number}"), "HEAD"]);
    }
    let server = room.serve();
    let (source, url) = (room.source(), server.url("git", "a"));
    for reference in [Reference::Default, branch("main"), Reference::Tag("old-499".parse().unwrap())] {
        for _ in 0..5 {
            assert_eq!(source.head(&url, &reference).await.unwrap().commit, repo.id("HEAD"));
        }
    }
    let figures = server.figures();
    println!("{figures}");
    assert_eq!((figures["posts"].as_u64(), figures["gets"].as_u64()), (Some(15), Some(0)), "{figures}");
    assert!(figures["largest"].as_u64().unwrap() <= 100, "{figures}");
    assert_eq!(figures["connections"], 1, "{figures}");
}

#[tokio::test]
async fn a_thousand_repositories_are_asked_once_an_interval_each() {
    let room = Room::new();
    let repo = room.repo("a");
    let server = room.serve();
    let (interval, parallel) = (Duration::from_secs(40), 8);
    let poller = Poller::new(Arc::new(room.source()), interval, parallel);
    let begun = Instant::now();
    let urls = (0..1000).map(|number| (server.url(&format!("many/{number}"), "a"), Track::default()));
    poller.watch(urls.collect());
    let all = |heads: &[towpath::observed::HeadView]| heads.iter().all(|head| head.commit.is_some());
    until_within(Duration::from_secs(100), &poller, all).await;
    let first = begun.elapsed();
    let figures = server.figures();
    println!("first round of 1,000: {first:?}; {figures}");
    let rounds = 1 + first.as_secs() / 36;
    assert!(figures["posts"].as_u64().unwrap() <= 1000 * rounds && figures["gets"] == 0, "{figures}");
    assert!(figures["largest"].as_u64().unwrap() <= 100, "{figures}");
    assert!(figures["connections"].as_u64().unwrap() <= 2 * parallel as u64, "{figures}");
    // A new commit is seen by all of them, each by its next question.
    let newer = repo.commit("b", "2");
    until_within(Duration::from_secs(150), &poller, |heads| {
        heads.iter().all(|head| head.commit.as_ref() == Some(&newer))
    })
    .await;
    let (figures, rounds) = (server.figures(), 1 + begun.elapsed().as_secs() / 36);
    println!("all have seen the new commit after {:?}: {figures}", begun.elapsed());
    assert!(figures["posts"].as_u64().unwrap() <= 1000 * (rounds + 1), "{figures}");
}

#[tokio::test]
async fn a_server_that_does_not_speak_version_2_is_asked_by_libgit2_from_then_on() {
    let room = Room::new();
    let repo = room.repo("a");
    let server = room.serve();
    let (source, url) = (room.source(), server.url("v0", "a"));
    for _ in 0..3 {
        assert_eq!(source.head(&url, &Reference::Default).await.unwrap().commit, repo.id("HEAD"));
    }
    let figures = server.figures();
    assert_eq!((figures["posts"].as_u64(), figures["gets"].as_u64()), (Some(1), Some(3)), "{figures}");
}

#[tokio::test]
async fn a_repository_that_was_renamed_is_asked_at_its_new_place_and_found_again_at_the_old() {
    let room = Room::new();
    let repo = room.repo("a");
    let server = room.serve();
    let (source, url) = (room.source(), server.url("moved", "a"));
    for _ in 0..4 {
        assert_eq!(source.head(&url, &Reference::Default).await.unwrap().commit, repo.id("HEAD"));
    }
    assert_eq!(server.figures()["posts"], 5, "{}", server.figures());
}

#[tokio::test]
async fn redirects_end_and_answers_without_an_end_are_cut() {
    let room = Room::new();
    room.repo("a");
    let server = room.serve();
    let limits = GitLimits { head_deadline: Duration::from_secs(20), ..GitLimits::default() };
    let source = room.source_with(limits);
    let error = source.head(&server.url("loop", "a"), &Reference::Default).await.unwrap_err();
    assert!(error.to_string().contains("redirects more than 3 times"), "{error}");
    let error = source.head(&server.url("endless", "a"), &Reference::Default).await.unwrap_err();
    assert!(matches!(error, SourceError::Limit { .. }), "{error}");
    let good = source.head(&server.url("git", "a"), &Reference::Default).await;
    assert!(good.is_ok());
}

#[tokio::test]
async fn a_branch_that_is_not_there_names_the_nearest_though_only_one_was_asked_for() {
    let room = Room::new();
    room.repo("a");
    let server = room.serve();
    let error = room.source().head(&server.url("git", "a"), &branch("maim")).await.unwrap_err();
    assert!(matches!(&error, SourceError::NoBranch { known, .. } if known == &["main"]), "{error}");
}
