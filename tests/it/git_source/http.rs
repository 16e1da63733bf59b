//! Repositories over HTTP, from servers good and bad.

use super::repo::{Room, branch};
use std::time::{Duration, Instant};
use towpath::model::Reference;
use towpath::source::{GitLimits, SourceError};

#[tokio::test]
async fn a_repository_is_asked_fetched_and_followed() {
    let room = Room::new();
    let repo = room.repo("a");
    let server = room.serve();
    let (source, url) = (room.source(), server.url("git", "a"));
    let head = source.head(&url, &Reference::Default).await.unwrap();
    assert_eq!((head.reference, head.commit), (branch("main"), repo.id("HEAD")));
    let first = source.fetch(&url, &Reference::Default, None).await.unwrap();
    let second = repo.commit("b", "2");
    assert_eq!(source.fetch(&url, &branch("main"), Some(&second)).await.unwrap().id, second);
    assert_eq!(source.read_file(&url, &second, "b").await.unwrap().unwrap(), b"2");
    let before = server.count();
    assert_eq!(source.fetch(&url, &Reference::Default, Some(&first.id)).await.unwrap(), first);
    assert_eq!(server.count(), before, "what is in the mirror is not asked for");
}

#[tokio::test]
async fn a_branch_that_is_not_there_and_an_empty_repository_say_so() {
    let room = Room::new();
    room.repo("a");
    room.empty_repo("empty");
    let server = room.serve();
    let source = room.source();
    let error = source.head(&server.url("git", "a"), &branch("maim")).await.unwrap_err();
    assert!(matches!(&error, SourceError::NoBranch { known, .. } if known == &["main"]), "{error}");
    let error = source.fetch(&server.url("git", "empty"), &Reference::Default, None).await.unwrap_err();
    assert!(matches!(&error, SourceError::NoBranch { known, .. } if known.is_empty()), "{error}");
}

#[tokio::test]
async fn what_is_hidden_or_gone_was_not_found_or_needs_credentials() {
    let room = Room::new();
    room.repo("a");
    let server = room.serve();
    let source = room.source();
    for url in [server.url("auth", "a"), server.url("git", "nope"), server.url("page", "a"), server.url("x", "a")] {
        let error = source.head(&url, &Reference::Default).await.unwrap_err();
        assert!(matches!(error, SourceError::NotFound { .. }), "{url}: {error}");
        assert!(error.to_string().contains("was not found, or needs credentials"));
    }
}

#[tokio::test]
async fn servers_that_fail_are_failures_to_try_again() {
    let room = Room::new();
    room.repo("a");
    let server = room.serve();
    let source = room.source();
    for how in ["busy", "odd"] {
        let error = source.head(&server.url(how, "a"), &Reference::Default).await.unwrap_err();
        assert!(matches!(error, SourceError::Transport { .. }), "{how}: {error}");
        assert_eq!(error.class(), towpath::model::Class::Retry);
    }
    let closed = "http://127.0.0.1:1/x".parse().unwrap();
    let error = source.head(&closed, &Reference::Default).await.unwrap_err();
    assert!(matches!(error, SourceError::Transport { .. }), "{error}");
}

#[tokio::test]
async fn servers_that_hang_end_at_the_deadline_and_hold_no_other_repository_up() {
    let room = Room::new();
    room.repo("a");
    let server = room.serve();
    let second = Duration::from_secs(1);
    let limits = GitLimits { head_deadline: second, fetch_deadline: second, parallel: 1, ..GitLimits::default() };
    let source = room.source_with(limits);
    for how in ["hang", "drip"] {
        let begun = Instant::now();
        let error = source.head(&server.url(how, "a"), &Reference::Default).await.unwrap_err();
        assert!(matches!(error, SourceError::Transport { .. }), "{how}: {error}");
        let error = source.fetch(&server.url(how, "a"), &Reference::Default, None).await.unwrap_err();
        assert!(matches!(error, SourceError::Transport { .. }), "{how}: {error}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{how}: {:?}", begun.elapsed());
        source.head(&server.url("git", "a"), &Reference::Default).await.unwrap();
    }
    // A second question to the one that hangs does not start a second thread; it ends at its deadline too.
    let error = source.head(&server.url("hang", "a"), &Reference::Default).await.unwrap_err();
    assert!(error.to_string().contains("longer than 1 s"), "{error}");
    // Threads that hang end with their server.
    drop(server);
}

#[tokio::test]
async fn an_answer_that_breaks_off_fails_and_the_mirror_stays_usable() {
    let room = Room::new();
    let repo = room.repo("a");
    let server = room.serve();
    let (source, cut) = (room.source(), server.url("cut", "a"));
    let error = source.fetch(&cut, &Reference::Default, None).await.unwrap_err();
    assert!(matches!(error, SourceError::Transport { .. }), "{error}");
    // The same through a good server, then broken off again: what was fetched stays.
    let good = server.url("git", "a");
    let first = source.fetch(&good, &Reference::Default, None).await.unwrap();
    let second = repo.commit("b", "2");
    assert!(source.fetch(&cut, &Reference::Default, None).await.is_err());
    assert_eq!(source.fetch(&good, &Reference::Default, Some(&first.id)).await.unwrap(), first);
    assert_eq!(source.fetch(&good, &Reference::Default, None).await.unwrap().id, second);
}

#[tokio::test]
async fn a_repository_that_was_renamed_is_followed() {
    let room = Room::new();
    let repo = room.repo("a");
    let server = room.serve();
    let source = room.source();
    for how in ["moved", "elsewhere"] {
        assert_eq!(
            source.head(&server.url(how, "a"), &Reference::Default).await.unwrap().commit,
            repo.id("HEAD"),
            "{how}"
        );
        assert_eq!(
            source.fetch(&server.url(how, "a"), &Reference::Default, None).await.unwrap().id,
            repo.id("HEAD"),
            "{how}"
        );
    }
}
