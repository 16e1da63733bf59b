//! Trees made to hurt, and trees over the limits.

use super::repo::{Repo, Room};
use towpath::model::CommitId;
use towpath::model::Reference;
use towpath::source::{GitLimits, SourceError};

async fn export(room: &Room, repo: &Repo, commit: &CommitId, limits: GitLimits) -> Result<(), SourceError> {
    let source = room.source_with(limits);
    source.fetch(&repo.url(), &Reference::Default, Some(commit)).await?;
    let done = source.export(&repo.url(), commit, &room.out()).await;
    assert_eq!(room.out().exists(), done.is_ok(), "a failed export leaves nothing");
    done.map(|_| ())
}

async fn refused(room: &Room, repo: &Repo, commit: &CommitId) -> String {
    let error = export(room, repo, commit, GitLimits::default()).await.unwrap_err();
    assert!(matches!(error, SourceError::Tree { .. }), "{error:?}");
    error.to_string()
}

#[tokio::test]
async fn names_that_lead_elsewhere_are_refused() {
    for name in [&b".."[..], b".", b"../x", b"/etc/x", b".git", b".GIT", b".Git", b"a/b"] {
        let room = Room::new();
        let repo = room.empty_repo("a");
        let blob = repo.object("blob", b"evil");
        let commit = repo.commit_entries(&[("100644", name, &blob)]);
        let text = refused(&room, &repo, &commit).await;
        assert!(text.contains(&format!("`{}`", String::from_utf8_lossy(name))), "{text}");
        assert!(!room.dir.path().join("x").exists());
    }
}

#[tokio::test]
async fn a_directory_of_such_a_name_is_refused_too() {
    let room = Room::new();
    let repo = room.empty_repo("a");
    let inner = repo.tree(&[("100644", b"evil", &repo.object("blob", b"evil"))]);
    let commit = repo.commit_entries(&[("40000", b"..", &inner)]);
    refused(&room, &repo, &commit).await;
    assert!(!room.dir.path().join("evil").exists());
}

#[tokio::test]
async fn links_that_leave_are_refused_by_name_and_a_name_that_comes_twice_too() {
    for target in ["/etc/passwd", "../secret", "d/../../secret"] {
        let room = Room::new();
        let repo = room.empty_repo("a");
        let commit = repo.commit_entries(&[("120000", b"leak", &repo.object("blob", target.as_bytes()))]);
        let text = refused(&room, &repo, &commit).await;
        assert!(text.contains("`leak`") && text.contains(target), "{text}");
    }
    let room = Room::new();
    let repo = room.empty_repo("a");
    let link = repo.object("blob", b"/tmp");
    let inner = repo.tree(&[("100644", b"evil", &repo.object("blob", b"evil"))]);
    let commit = repo.commit_entries(&[("120000", b"d", &link), ("40000", b"d", &inner)]);
    refused(&room, &repo, &commit).await;
}

#[tokio::test]
async fn a_configuration_file_that_is_a_link_is_not_followed() {
    let room = Room::new();
    let repo = room.empty_repo("a");
    let commit = repo.commit_entries(&[("120000", b"apprunner.yaml", &repo.object("blob", b"/etc/passwd"))]);
    let source = room.source();
    source.fetch(&repo.url(), &Reference::Default, None).await.unwrap();
    let error = source.read_file(&repo.url(), &commit, "apprunner.yaml").await.unwrap_err();
    assert!(error.to_string().contains("`apprunner.yaml` is a symbolic link"), "{error}");
}

#[tokio::test]
async fn a_tree_that_multiplies_itself_ends_at_the_limit_of_files() {
    let room = Room::new();
    let repo = room.empty_repo("a");
    let blob = repo.object("blob", b"");
    let mut tree = repo.tree(&[("100644", b"f", &blob)]);
    for _ in 0..10 {
        let names: Vec<[u8; 1]> = (b'a'..=b'j').map(|name| [name]).collect();
        let entries: Vec<_> = names.iter().map(|name| ("40000", &name[..], tree.as_str())).collect();
        tree = repo.tree(&entries);
    }
    let commit = repo.commit_tree(&tree);
    let limits = GitLimits { files: 2_000, ..GitLimits::default() };
    let error = export(&room, &repo, &commit, limits).await.unwrap_err();
    assert!(matches!(error, SourceError::Limit { .. }), "{error}");
    assert!(error.to_string().contains("more than 2000 files"), "{error}");
}

#[tokio::test]
async fn files_that_are_too_large_alone_or_together_and_trees_too_deep_are_refused() {
    let room = Room::new();
    let repo = room.repo("a");
    let large = repo.commit("large", &"x".repeat(3 << 20));
    let one = GitLimits { file_bytes: 1 << 20, ..GitLimits::default() };
    let error = export(&room, &repo, &large, one).await.unwrap_err().to_string();
    assert!(error.contains("`large` has 3145728 bytes, 1048576 are allowed"), "{error}");
    let all = GitLimits { tree_bytes: 1 << 20, ..GitLimits::default() };
    assert!(matches!(export(&room, &repo, &large, all).await.unwrap_err(), SourceError::Limit { .. }));
    let error = room.source().read_file(&repo.url(), &large, "large").await.unwrap_err();
    assert!(matches!(error, SourceError::Limit { .. }), "{error}");
    let mut tree = repo.tree(&[("100644", b"f", &repo.object("blob", b""))]);
    for _ in 0..300 {
        tree = repo.tree(&[("40000", b"d", &tree)]);
    }
    let deep = repo.commit_tree(&tree);
    let error = export(&room, &repo, &deep, GitLimits::default()).await.unwrap_err().to_string();
    assert!(error.contains("is deeper than 200 directories"), "{error}");
}

#[tokio::test]
async fn a_commit_whose_author_and_message_carry_escapes_is_shown_in_plain_text() {
    let room = Room::new();
    let repo = room.empty_repo("a");
    let tree = repo.tree(&[]);
    let text = format!(
        "tree {tree}\nauthor \u{1b}[31mEve{} <e@x> 1700000000 +0000\ncommitter Eve <e@x> 1700000000 +0000\n\n\u{1b}]0;t\u{7}hi\nmore\n",
        "e".repeat(500)
    );
    let commit = repo.object("commit", text.as_bytes());
    repo.git(&["update-ref", "refs/heads/main", &commit]);
    let commit = room.source().fetch(&repo.url(), &Reference::Default, None).await.unwrap();
    assert!(!commit.author.contains('\u{1b}') && commit.author.chars().count() == 100);
    assert_eq!((commit.summary.as_str(), commit.time.0), ("]0;thi", 1_700_000_000_000));
}

#[tokio::test]
async fn a_fetch_over_the_limit_of_bytes_is_stopped() {
    let room = Room::new();
    let repo = room.empty_repo("a");
    // Random, so that it does not shrink.
    let mut noise = vec![0_u8; 4 << 20];
    getrandom::fill(&mut noise).unwrap();
    std::fs::write(repo.path.join("noise"), noise).unwrap();
    repo.git(&["add", "-A"]);
    repo.git(&["commit", "-q", "-m", "x"]);
    let server = room.serve();
    let source = room.source_with(GitLimits { received_bytes: 1 << 20, ..GitLimits::default() });
    for url in [repo.url(), server.url("git", "a")] {
        let error = source.fetch(&url, &Reference::Default, None).await.unwrap_err();
        assert!(matches!(error, SourceError::Limit { .. }), "{url}: {error}");
        assert!(error.to_string().contains("1048576 are allowed"), "{error}");
        assert!(error.hint().unwrap().contains("--fetch-limit"));
    }
}

#[tokio::test]
async fn a_pack_without_an_end_is_stopped_at_the_limit_and_leaves_nothing() {
    let room = Room::new();
    room.repo("a");
    let server = room.serve();
    let limits = GitLimits { received_bytes: 8 << 20, ..GitLimits::default() };
    let (source, url) = (room.source_with(limits), server.url("flood", "a"));
    let error = source.fetch(&url, &Reference::Default, None).await.unwrap_err();
    assert!(matches!(error, SourceError::Limit { .. }), "{error:?}");
    assert!(error.to_string().contains("8388608 are allowed"), "{error}");
    let size = |path: &std::path::Path| {
        let out = std::process::Command::new("du").arg("-sk").arg(path).output().unwrap();
        String::from_utf8(out.stdout).unwrap().split_whitespace().next().unwrap().parse::<u64>().unwrap()
    };
    assert!(size(&room.mirrors()) < 1024, "{} KB are left", size(&room.mirrors()));
}

#[tokio::test]
async fn an_object_that_is_small_on_the_wire_and_huge_on_the_disk_is_refused_with_both_numbers() {
    let room = Room::new();
    let repo = room.repo("a");
    // Zeros: 200 MB that are some 200 KB in a pack.
    let zeros = std::fs::File::create(repo.path.join("zeros")).unwrap();
    zeros.set_len(200 << 20).unwrap();
    repo.git(&["add", "-A"]);
    repo.git(&["commit", "-q", "-m", "zeros"]);
    let server = room.serve();
    let limits = GitLimits { received_bytes: 1 << 20, file_bytes: 100 << 20, ..GitLimits::default() };
    let (source, url) = (room.source_with(limits), server.url("git", "a"));
    let commit = source.fetch(&url, &Reference::Default, None).await.unwrap();
    let error = source.export(&url, &commit.id, &room.out()).await.unwrap_err();
    assert!(error.to_string().contains("`zeros` has 209715200 bytes, 104857600 are allowed"), "{error}");
    assert!(!room.out().exists());
}

#[tokio::test]
async fn what_is_there_by_name_only_is_told_and_line_ends_stay_as_they_are() {
    let room = Room::new();
    let repo = room.repo("a");
    std::fs::write(repo.path.join(".gitattributes"), "* text=auto eol=crlf\n*.bin filter=lfs\n").unwrap();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
    std::fs::write(repo.path.join("model.bin"), pointer).unwrap();
    std::fs::write(repo.path.join("unix"), "a\nb\n").unwrap();
    repo.git(&["-c", "filter.lfs.clean=cat", "add", "-A"]);
    let module = repo.id("HEAD");
    repo.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{module},vendor/lib")]);
    repo.git(&["update-index", "--add", "--cacheinfo", &format!("100644,{},dos", repo.object("blob", b"a\r\nb\r\n"))]);
    repo.git(&["commit", "-q", "-m", "all kinds"]);
    let source = room.source();
    let commit = source.fetch(&repo.url(), &Reference::Default, None).await.unwrap();
    let told = source.export(&repo.url(), &commit.id, &room.out()).await.unwrap();
    assert_eq!((told.submodules.count, told.submodules.first), (1, vec!["vendor/lib".to_owned()]));
    assert_eq!((told.lfs_pointers.count, told.lfs_pointers.first), (1, vec!["model.bin".to_owned()]));
    assert_eq!(std::fs::read(room.out().join("unix")).unwrap(), b"a\nb\n");
    assert_eq!(std::fs::read(room.out().join("dos")).unwrap(), b"a\r\nb\r\n");
    assert!(room.out().join("vendor/lib").read_dir().unwrap().next().is_none());
}
