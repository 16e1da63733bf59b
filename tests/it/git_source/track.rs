//! Tags, commits and directories of real repositories.

use super::polling::until;
use super::repo::{Room, branch};
use std::sync::Arc;
use std::time::Duration;
use towpath::model::{Contents, Reference, SourceDirectory, Track};
use towpath::source::{Poller, SourceError};

fn tag(name: &str) -> Reference {
    Reference::Tag(name.parse().unwrap())
}

fn commit(prefix: &str) -> Reference {
    Reference::Commit(prefix.parse().unwrap())
}

fn directory(path: &str) -> SourceDirectory {
    path.parse().unwrap()
}

#[tokio::test]
async fn a_tag_stands_for_its_commit_annotated_or_not_and_one_that_is_not_there_names_the_nearest() {
    let room = Room::new();
    let repo = room.repo("a");
    let first = repo.id("HEAD");
    repo.git(&["tag", "light"]);
    repo.git(&["tag", "-a", "v1.2", "-m", "release"]);
    repo.commit("b", "2");
    let server = room.serve();
    for url in [repo.url(), server.url("git", "a")] {
        let source = room.source();
        for name in ["light", "v1.2"] {
            let head = source.head(&url, &tag(name)).await.unwrap();
            assert_eq!((head.reference, &head.commit), (tag(name), &first), "{url}");
            assert_eq!(source.fetch(&url, &tag(name), None).await.unwrap().id, first, "{url}");
        }
        let error = source.head(&url, &tag("v1.3")).await.unwrap_err();
        assert!(error.to_string().ends_with("has no tag `v1.3`"), "{error}");
        assert_eq!(error.hint().unwrap(), "its tags: `v1.2`, `light`");
    }
}

#[tokio::test]
async fn a_tag_of_a_file_is_refused_and_does_the_mirror_no_harm() {
    let room = Room::new();
    let repo = room.repo("a");
    let blob = repo.object("blob", b"no commit");
    repo.git(&["tag", "file", &blob]);
    let server = room.serve();
    for url in [repo.url(), server.url("git", "a")] {
        let source = room.source();
        let error = source.fetch(&url, &tag("file"), None).await.unwrap_err();
        assert!(error.to_string().contains("tag file names no commit"), "{error}");
        assert!(source.fetch(&url, &branch("main"), None).await.is_ok());
    }
}

#[tokio::test]
async fn a_commit_is_found_on_any_branch_by_its_whole_id_or_its_beginning() {
    let room = Room::new();
    let repo = room.repo("a");
    let first = repo.id("HEAD");
    repo.git(&["checkout", "-q", "-b", "side"]);
    let side = repo.commit("s", "side");
    repo.git(&["checkout", "-q", "main"]);
    repo.commit("b", "2");
    let server = room.serve();
    for url in [repo.url(), server.url("git", "a")] {
        let source = room.source();
        for wanted in [&first, &side] {
            for text in [wanted.as_str(), &wanted.as_str()[..9]] {
                assert_eq!(&source.head(&url, &commit(text)).await.unwrap().commit, wanted, "{url} {text}");
                assert_eq!(&source.fetch(&url, &commit(text), None).await.unwrap().id, wanted, "{url} {text}");
            }
        }
        source.forget(&url).await.unwrap();
        for absent in ["0000000", &"0".repeat(40)] {
            let error = source.fetch(&url, &commit(absent), None).await.unwrap_err();
            assert!(matches!(error, SourceError::NoCommit { .. }), "{url}: {error}");
        }
    }
}

#[tokio::test]
async fn a_beginning_that_fits_two_commits_is_refused_with_both() {
    let room = Room::new();
    let repo = room.empty_repo("a");
    // 28 bits: two of some 40,000 commits begin alike (the birthday paradox); made without a process for each.
    let mut stream = String::new();
    for number in 0..40_000 {
        stream.push_str(&format!("commit refs/heads/main\ncommitter A <a@x> {number} +0000\ndata 0\n"));
    }
    repo.git_with(&["fast-import", "--quiet", "--force"], stream.as_bytes());
    let all = repo.git(&["rev-list", "main"]);
    let mut ids: Vec<&str> = all.lines().collect();
    ids.sort_unstable();
    let Some(pair) = ids.windows(2).find(|pair| pair[0][..7] == pair[1][..7]) else {
        panic!("no two of 40,000 commits begin alike");
    };
    let error = room.source().fetch(&repo.url(), &commit(&pair[0][..7]), None).await.unwrap_err();
    assert!(matches!(&error, SourceError::Ambiguous { found, .. } if found.len() == 2), "{error}");
    let longer = commit(&pair[0][..12]);
    assert_eq!(room.source().fetch(&repo.url(), &longer, None).await.unwrap().id.as_str(), pair[0]);
}

#[tokio::test]
async fn a_directory_is_told_by_its_tree_and_one_that_is_not_there_names_the_nearest() {
    let room = Room::new();
    let repo = room.repo("a");
    let first = repo.commit("services/web/app.py", "1");
    std::os::unix::fs::symlink("services", repo.path.join("link")).unwrap();
    repo.commit("services/api/app.py", "1");
    let outside = repo.commit("README.md", "outside");
    let inside = repo.commit("services/web/app.py", "2");
    let (source, url) = (room.source(), repo.url());
    source.fetch(&url, &Reference::Default, None).await.unwrap();
    let web = directory("services/web");
    let at = async |commit| source.directory(&url, commit, &web).await.unwrap();
    assert_eq!(at(&first).await, at(&outside).await);
    assert_ne!(at(&outside).await, at(&inside).await);
    assert_eq!(source.list(&url, &inside, Some(&web)).await.unwrap(), ["app.py"]);
    let refused = async |path: &str| source.directory(&url, &inside, &directory(path)).await.unwrap_err();
    let error = refused("services/wbe").await;
    assert!(error.to_string().ends_with("has no directory `services/wbe`"), "{error}");
    assert_eq!(error.hint().unwrap(), "directories there: `services/web`, `services/api`");
    assert_eq!(refused("service/web").await.hint().unwrap(), "directories there: `services`");
    let error = refused("services/web/app.py").await;
    assert!(error.to_string().ends_with(": `services/web/app.py` is a file"), "{error}");
    let error = refused("link/web").await;
    assert!(error.to_string().contains("`link` is a symbolic link, which is not followed"), "{error}");
}

#[tokio::test]
async fn polling_tells_a_commit_outside_the_directory_from_one_inside() {
    let room = Room::new();
    let repo = room.repo("a");
    let first = repo.commit("web/app.py", "1");
    let poller = Poller::new(Arc::new(room.source()), Duration::from_millis(100), 1);
    let track = Track { reference: Reference::Default, directory: Some(directory("web")) };
    poller.watch(vec![(repo.url(), track)]);
    let known = until(&poller, |heads| heads[0].commit.as_ref() == Some(&first)).await[0].clone();
    assert!(matches!(known.contents, Some(Contents::Tree(_))) && known.alike.is_empty());
    let outside = repo.commit("README.md", "outside");
    let aside = until(&poller, |heads| heads[0].commit.as_ref() == Some(&outside)).await[0].clone();
    assert_eq!((aside.contents, aside.alike), (known.contents, vec![first]));
    let inside = repo.commit("web/app.py", "2");
    let changed = until(&poller, |heads| heads[0].commit.as_ref() == Some(&inside)).await[0].clone();
    assert!(changed.alike.is_empty() && changed.details.unwrap().id == inside);
    repo.git(&["rm", "-rq", "web"]);
    let gone = repo.commit("README.md", "no web");
    let gone = until(&poller, |heads| heads[0].commit.as_ref() == Some(&gone)).await[0].clone();
    assert_eq!((gone.contents, gone.error), (Some(Contents::Missing), None));
}

#[tokio::test]
async fn a_commit_is_asked_for_once_and_a_tag_is_followed_when_it_moves() {
    let room = Room::new();
    let repo = room.repo("a");
    let first = repo.id("HEAD");
    repo.git(&["tag", "-a", "v1", "-m", "one"]);
    let server = room.serve();
    let url = server.url("git", "a");
    let poller = Poller::new(Arc::new(room.source()), Duration::from_millis(100), 1);
    poller.watch(vec![(url.clone(), commit(&first.as_str()[..8]).into())]);
    until(&poller, |heads| heads[0].commit.as_ref() == Some(&first)).await;
    let count = server.count();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(server.count(), count, "a commit never moves");
    poller.watch(vec![(url.clone(), tag("v1").into()), (url, commit(first.as_str()).into())]);
    until(&poller, |heads| heads.iter().all(|head| head.commit.as_ref() == Some(&first))).await;
    let moved = repo.commit("b", "2");
    repo.git(&["tag", "-f", "-a", "v1", "-m", "moved"]);
    let heads = until(&poller, |heads| heads.iter().any(|head| head.commit.as_ref() == Some(&moved))).await;
    assert!(heads.iter().any(|head| head.commit.as_ref() == Some(&first)), "{heads:#?}");
}
