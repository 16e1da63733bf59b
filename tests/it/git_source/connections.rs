//! Private repositories: what a connection gives is shown to its server, and to nobody else.

use super::repo::{Room, Server};
use std::collections::HashMap;
use std::sync::Arc;
use towpath::model::{Class, Reference, RepositoryUrl, Secret};
use towpath::source::{Access, GitSource, Means, SourceError};

/// What a connection of this server gives.
fn access(server: &Server, password: &str) -> Arc<Access> {
    let host = server.host().parse().unwrap();
    let means = Means::Basic { username: "ada".into(), password: Secret::new(password.into()) };
    Arc::new(Access { whose: "connection `acme`".into(), host: Some(host), means })
}

fn give(source: &GitSource, url: &RepositoryUrl, access: &Arc<Access>) {
    source.set_access(HashMap::from([(url.clone(), access.clone())]));
}

/// A source as it is, and one that leaves everything to libgit2.
fn both(room: &Room) -> [GitSource; 2] {
    [room.source(), room.source().through_proxies()]
}

#[tokio::test]
async fn a_private_repository_is_asked_and_fetched_by_a_connection() {
    let room = Room::new();
    let repo = room.repo("a");
    let server = room.serve();
    let url = server.url("private", "a");
    for source in both(&room) {
        let hidden = source.head(&url, &Reference::Default).await.unwrap_err();
        assert!(matches!(hidden, SourceError::NotFound { .. }), "{hidden}");
        assert!(hidden.hint().unwrap().contains("source.connection"));
        give(&source, &url, &access(&server, "hunter2"));
        assert_eq!(source.head(&url, &Reference::Default).await.unwrap().commit, repo.id("HEAD"));
        let fetched = source.fetch(&url, &Reference::Default, None).await.unwrap();
        assert_eq!(source.read_file(&url, &fetched.id, "hello.txt").await.unwrap().unwrap(), b"hello\n");
        source.forget(&url).await.unwrap();
    }
}

#[tokio::test]
async fn a_wrong_password_says_whose_it_is_and_a_renewed_one_heals_it() {
    let room = Room::new();
    room.repo("a");
    let server = room.serve();
    let url = server.url("private", "a");
    for source in both(&room) {
        give(&source, &url, &access(&server, "expired"));
        for error in [
            source.head(&url, &Reference::Default).await.unwrap_err(),
            source.fetch(&url, &Reference::Default, None).await.unwrap_err(),
        ] {
            assert!(
                matches!(&error, SourceError::Unauthorized { whose, .. } if whose == "connection `acme`"),
                "{error}"
            );
            assert_eq!(error.class(), Class::Retry, "no new commit mends it");
            assert!(!error.to_string().contains("expired") && error.hint().unwrap().contains("renew"));
        }
        give(&source, &url, &access(&server, "hunter2"));
        source.fetch(&url, &Reference::Default, None).await.unwrap();
        source.forget(&url).await.unwrap();
    }
}

#[tokio::test]
async fn what_the_connection_cannot_see_is_said_to_be_so() {
    let room = Room::new();
    room.repo("a");
    let server = room.serve();
    for source in both(&room) {
        let url = server.url("private", "nope");
        give(&source, &url, &access(&server, "hunter2"));
        let error = source.head(&url, &Reference::Default).await.unwrap_err();
        assert!(
            error.to_string().contains("by connection `acme`: there is no such repository, or it is hidden"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn credentials_do_not_follow_a_redirect_to_another_server() {
    let room = Room::new();
    let repo = room.repo("a");
    let server = room.serve();
    for source in both(&room) {
        for how in ["lure", "elsewhere"] {
            let url = server.url(how, "a");
            give(&source, &url, &access(&server, "hunter2"));
            let asked = source.head(&url, &Reference::Default).await.unwrap_err();
            let fetched = source.fetch(&url, &Reference::Default, None).await.unwrap_err();
            println!("{how}: {asked}\n{how}: {fetched}");
            assert_eq!(server.figures()["strays"], 0, "{how}");
        }
        // On the same server it is followed: a repository that was renamed.
        let url = server.url("shift", "a");
        give(&source, &url, &access(&server, "hunter2"));
        assert_eq!(source.fetch(&url, &Reference::Default, None).await.unwrap().id, repo.id("HEAD"));
        source.forget(&url).await.unwrap();
    }
}

#[tokio::test]
async fn a_connection_of_another_server_is_not_shown() {
    let room = Room::new();
    room.repo("a");
    let (server, other) = (room.serve(), room.serve());
    let url = server.url("private", "a");
    for source in both(&room) {
        give(&source, &url, &access(&other, "hunter2"));
        let error = source.head(&url, &Reference::Default).await.unwrap_err();
        assert!(error.to_string().contains("by connection `acme`: it belongs to http://127.0.0.1:"), "{error}");
    }
    assert_eq!(server.count(), 0, "it was not even asked");
}
