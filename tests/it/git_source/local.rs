//! Repositories by path.

use super::repo::{Room, branch};
use std::os::unix::fs::PermissionsExt;
use towpath::model::Reference;
use towpath::source::SourceError;

#[tokio::test]
async fn the_head_of_a_work_tree_and_of_its_git_directory_is_the_newest_commit() {
    let room = Room::new();
    let repo = room.repo("a");
    let source = room.source();
    for path in [repo.path.clone(), repo.path.join(".git")] {
        let head = source.head(&towpath::model::RepositoryUrl::File(path), &Reference::Default).await.unwrap();
        assert_eq!((head.reference, head.commit), (branch("main"), repo.id("HEAD")));
    }
}

#[tokio::test]
async fn a_commit_is_fetched_with_its_details_read_and_exported() {
    let room = Room::new();
    let repo = room.repo("a");
    let id = repo.commit("src/app.py", "print()\r\n");
    let source = room.source();
    let commit = source.fetch(&repo.url(), &Reference::Default, None).await.unwrap();
    assert_eq!((commit.id.clone(), commit.author.as_str()), (id.clone(), "Ada"));
    assert_eq!(commit.summary, "Change src/app.py");
    assert_eq!(commit.tree, repo.git(&["rev-parse", "HEAD^{tree}"]));
    let url = repo.url();
    let read = |path| source.read_file(&url, &id, path);
    assert_eq!(read("src/app.py").await.unwrap().unwrap(), b"print()\r\n");
    assert_eq!(read("./src//app.py").await.unwrap().unwrap(), b"print()\r\n");
    for absent in ["src", "src/app.py/x", "nope", "", "nope/x"] {
        assert_eq!(read(absent).await.unwrap(), None, "{absent:?}");
    }
    assert!(matches!(read("../x").await.unwrap_err(), SourceError::Tree { .. }));
    assert_eq!(source.list(&repo.url(), &id, None).await.unwrap(), ["hello.txt", "src"]);
    source.export(&repo.url(), &id, &room.out()).await.unwrap();
    assert_eq!(std::fs::read(room.out().join("src/app.py")).unwrap(), b"print()\r\n");
    assert!(!room.out().join(".git").exists());
}

#[tokio::test]
async fn modes_links_and_submodules_are_written_as_git_means_them() {
    let room = Room::new();
    let repo = room.empty_repo("a");
    std::fs::write(repo.path.join("run.sh"), "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(repo.path.join("run.sh"), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::create_dir(repo.path.join("d")).unwrap();
    std::os::unix::fs::symlink("../run.sh", repo.path.join("d/link")).unwrap();
    repo.git(&["update-index", "--add", "--cacheinfo", "160000,1234567890123456789012345678901234567890,sub"]);
    std::fs::create_dir(repo.path.join("sub")).unwrap();
    repo.git(&["add", "run.sh", "d"]);
    std::fs::write(repo.path.join("plain"), "x").unwrap();
    repo.git(&["add", "plain"]);
    repo.git(&["commit", "-q", "-m", "x"]);
    let source = room.source();
    let commit = source.fetch(&repo.url(), &Reference::Default, None).await.unwrap();
    source.export(&repo.url(), &commit.id, &room.out()).await.unwrap();
    let mode = |name: &str| std::fs::metadata(room.out().join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("run.sh"), mode("plain"), mode("d"), mode("sub")), (0o755, 0o644, 0o755, 0o755));
    assert_eq!(std::fs::read_link(room.out().join("d/link")).unwrap().to_str().unwrap(), "../run.sh");
    assert_eq!(std::fs::read_dir(room.out().join("sub")).unwrap().count(), 0);
}

#[tokio::test]
async fn an_export_needs_an_empty_directory() {
    let room = Room::new();
    let repo = room.repo("a");
    let source = room.source();
    let commit = source.fetch(&repo.url(), &Reference::Default, None).await.unwrap();
    std::fs::create_dir(room.out()).unwrap();
    source.export(&repo.url(), &commit.id, &room.out()).await.unwrap();
    let error = source.export(&repo.url(), &commit.id, &room.out()).await.unwrap_err();
    assert!(matches!(error, SourceError::Write { .. }), "{error}");
    assert!(room.out().join("hello.txt").exists(), "what was there stays");
}

#[tokio::test]
async fn a_path_that_is_no_repository_was_not_found() {
    let room = Room::new();
    std::fs::create_dir_all(room.dir.path().join("repos/plain")).unwrap();
    // A directory inside a repository is not one: parents are not searched.
    let inside = room.repo("a").path.join("sub");
    std::fs::create_dir(&inside).unwrap();
    let source = room.source();
    for path in [room.dir.path().join("nope"), room.dir.path().join("repos/plain"), inside] {
        let url = towpath::model::RepositoryUrl::File(path);
        let error = source.head(&url, &Reference::Default).await.unwrap_err();
        assert!(matches!(error, SourceError::NotFound { .. }), "{error}");
        let error = source.fetch(&url, &Reference::Default, None).await.unwrap_err();
        assert!(matches!(error, SourceError::NotFound { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_missing_branch_names_the_nearest_that_are_there() {
    let room = Room::new();
    let repo = room.repo("a");
    for name in ["develop", "release/1.0", "release/1.1", "x", "y", "z"] {
        repo.git(&["branch", name]);
    }
    let error = room.source().head(&repo.url(), &branch("relaese/1.0")).await.unwrap_err();
    let SourceError::NoBranch { branch, known, .. } = &error else { panic!("{error}") };
    assert_eq!((branch.as_str(), known.len(), known[0].as_str()), ("relaese/1.0", 5, "release/1.0"));
    assert!(error.hint().unwrap().contains("`release/1.0`"));
}

#[tokio::test]
async fn an_empty_repository_and_a_detached_head_have_no_default_branch() {
    let room = Room::new();
    let (empty, repo) = (room.empty_repo("empty"), room.repo("a"));
    repo.git(&["checkout", "-q", "--detach"]);
    let source = room.source();
    let error = source.head(&empty.url(), &Reference::Default).await.unwrap_err();
    assert!(matches!(&error, SourceError::NoBranch { known, .. } if known.is_empty()), "{error}");
    assert_eq!(error.hint().unwrap(), "push a first commit to it");
    let error = source.fetch(&repo.url(), &Reference::Default, None).await.unwrap_err();
    assert!(matches!(&error, SourceError::NoBranch { branch, known, .. } if branch == "HEAD" && known == &["main"]));
    assert!(source.fetch(&repo.url(), &branch("main"), None).await.is_ok());
}

#[tokio::test]
async fn branches_with_odd_names_and_names_that_were_directories_are_fetched() {
    let room = Room::new();
    let repo = room.repo("a");
    let source = room.source();
    for name in ["a;rm -rf".replace(' ', "+"), "ünï/cødé".into(), "per%2Fcent".into(), "$(id)".into(), "a".into()] {
        repo.git(&["branch", &name]);
        source.fetch(&repo.url(), &branch(&name), None).await.unwrap();
    }
    repo.git(&["branch", "-D", "a"]);
    repo.git(&["branch", "a/b"]);
    assert_eq!(source.fetch(&repo.url(), &branch("a/b"), None).await.unwrap().id, repo.id("HEAD"));
}

#[tokio::test]
async fn a_forced_push_is_followed_and_the_old_commit_stays_readable() {
    let room = Room::new();
    let repo = room.repo("a");
    let old = repo.commit("v", "old");
    let source = room.source();
    source.fetch(&repo.url(), &Reference::Default, None).await.unwrap();
    repo.git(&["reset", "-q", "--hard", "HEAD~1"]);
    let new = repo.commit("v", "new");
    assert_eq!(source.fetch(&repo.url(), &Reference::Default, None).await.unwrap().id, new);
    assert_eq!(source.read_file(&repo.url(), &new, "v").await.unwrap().unwrap(), b"new");
    assert_eq!(source.fetch(&repo.url(), &Reference::Default, Some(&old)).await.unwrap().id, old);
}

#[tokio::test]
async fn only_the_wanted_branch_is_mirrored_and_its_history_whole() {
    let room = Room::new();
    let repo = room.repo("a");
    let first = repo.id("HEAD");
    repo.git(&["checkout", "-q", "-b", "secret"]);
    let secret = repo.commit("secret", "secret");
    repo.git(&["checkout", "-q", "main"]);
    repo.commit("more", "more");
    let source = room.source();
    source.fetch(&repo.url(), &branch("main"), None).await.unwrap();
    assert_eq!(source.fetch(&repo.url(), &branch("main"), Some(&first)).await.unwrap().id, first);
    let error = source.fetch(&repo.url(), &branch("main"), Some(&secret)).await.unwrap_err();
    assert!(matches!(error, SourceError::NoCommit { .. }), "{error}");
}

#[tokio::test]
async fn a_clone_of_limited_depth_and_one_with_packed_references_are_fetched() {
    let room = Room::new();
    let repo = room.repo("a");
    repo.commit("b", "2");
    repo.git(&["clone", "-q", "--depth", "1", &format!("file://{}", repo.path.display()), "../shallow"]);
    repo.git(&["pack-refs", "--all"]);
    repo.git(&["gc", "-q"]);
    let source = room.source();
    let shallow = super::repo::Repo { path: room.dir.path().join("repos/shallow") };
    for repo in [&repo, &shallow] {
        let commit = source.fetch(&repo.url(), &Reference::Default, None).await.unwrap();
        repo.git(&["checkout", "-q", "main"]);
        let newer = repo.commit("c", "3");
        assert_eq!(source.fetch(&repo.url(), &Reference::Default, Some(&newer)).await.unwrap().id, newer);
        assert_eq!(source.read_file(&repo.url(), &commit.id, "b").await.unwrap().unwrap(), b"2");
        let nowhere = "1234567890123456789012345678901234567890".parse().unwrap();
        let error = source.fetch(&repo.url(), &Reference::Default, Some(&nowhere)).await.unwrap_err();
        assert!(matches!(error, SourceError::NoCommit { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_repository_with_sha256_objects_is_refused_with_its_reason() {
    let room = Room::new();
    let repo = room.empty_repo("a");
    std::fs::remove_dir_all(repo.path.join(".git")).unwrap();
    repo.git(&["init", "-q", "--object-format=sha256"]);
    repo.commit("a", "a");
    let error = room.source().head(&repo.url(), &Reference::Default).await.unwrap_err();
    assert!(matches!(error, SourceError::Unsupported { .. }), "{error}");
}

#[tokio::test]
async fn nothing_that_a_repository_configures_is_run() {
    let room = Room::new();
    let repo = room.repo("a");
    let trap = room.dir.path().join("trap");
    let command = format!("touch {}", trap.display());
    for hook in ["post-checkout", "reference-transaction", "post-update", "pre-auto-gc"] {
        let file = repo.path.join(".git/hooks").join(hook);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, format!("#!/bin/sh\n{command}\n")).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    repo.commit(".gitattributes", "*.txt filter=evil text eol=crlf\n");
    for key in
        ["core.fsmonitor", "core.sshCommand", "filter.evil.smudge", "filter.evil.process", "uploadpack.packObjectsHook"]
    {
        repo.git(&["config", key, &command]);
    }
    let source = room.source();
    let commit = source.fetch(&repo.url(), &Reference::Default, None).await.unwrap();
    source.export(&repo.url(), &commit.id, &room.out()).await.unwrap();
    assert_eq!(std::fs::read(room.out().join("hello.txt")).unwrap(), b"hello\n", "no filter, no line ends");
    assert!(!trap.exists());
}

#[tokio::test]
async fn a_repository_that_another_user_owns_is_read() {
    let room = Room::new();
    let repo = room.repo("a");
    for path in [&repo.path, &repo.path.join(".git")] {
        // Only root can give files away; nobody else can make this case.
        if std::os::unix::fs::chown(path, Some(12_345), Some(12_345)).is_err() {
            return;
        }
    }
    assert!(room.source().fetch(&repo.url(), &Reference::Default, None).await.is_ok());
}

#[tokio::test]
async fn a_large_repository_is_copied_by_its_object_files_and_its_other_branches_stay_out_of_reach() {
    let room = Room::new();
    let repo = room.repo("a");
    let mut noise = vec![0_u8; 5 << 20];
    getrandom::fill(&mut noise).unwrap();
    std::fs::write(repo.path.join("noise"), &noise).unwrap();
    let old = repo.commit("a", "a");
    repo.git(&["checkout", "-q", "-b", "secret"]);
    let secret = repo.commit("secret", "secret");
    repo.git(&["checkout", "-q", "main"]);
    repo.git(&["gc", "-q"]);
    let head = repo.commit("loose", "loose");
    let source = room.source();
    assert_eq!(source.fetch(&repo.url(), &Reference::Default, None).await.unwrap().id, head);
    assert_eq!(source.fetch(&repo.url(), &Reference::Default, Some(&old)).await.unwrap().id, old);
    source.export(&repo.url(), &head, &room.out()).await.unwrap();
    assert_eq!(std::fs::read(room.out().join("noise")).unwrap(), noise);
    let error = source.fetch(&repo.url(), &Reference::Default, Some(&secret)).await.unwrap_err();
    assert!(matches!(error, SourceError::NoCommit { .. }), "{error}");
    assert!(source.read_file(&repo.url(), &secret, "secret").await.is_err());
    assert_eq!(source.fetch(&repo.url(), &branch("secret"), None).await.unwrap().id, secret);
    // One that borrows its objects from another has none of its own to copy.
    repo.git(&["clone", "-q", "--shared", ".", "../borrower"]);
    let borrower = super::repo::Repo { path: room.dir.path().join("repos/borrower") };
    let fetched = source.fetch(&borrower.url(), &Reference::Default, None).await.unwrap().id;
    std::fs::remove_dir_all(&repo.path).unwrap();
    let read = source.read_file(&borrower.url(), &fetched, "loose").await.unwrap();
    assert_eq!(read.unwrap(), b"loose");
}
