//! Mirrors: damage, crashes, many packs, many users at once.

use super::repo::{Repo, Room};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use towpath::model::Reference;
use towpath::source::SourceError;

/// The one mirror there is.
fn mirror(room: &Room) -> PathBuf {
    let mut entries = std::fs::read_dir(room.mirrors()).unwrap().map(|entry| entry.unwrap().path());
    entries.find(|path| path.extension().is_none()).unwrap()
}

fn packs(mirror: &Path, kind: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(mirror.join("objects/pack")).unwrap();
    entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == kind)).collect()
}

fn overwrite(path: &Path, contents: &[u8]) {
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, contents).unwrap();
}

#[tokio::test]
async fn a_mirror_is_named_by_a_digest_and_only_its_owner_may_enter() {
    use std::os::unix::fs::PermissionsExt;
    let room = Room::new();
    let repo = room.repo("a");
    room.source().fetch(&repo.url(), &Reference::Default, None).await.unwrap();
    let name = mirror(&room).file_name().unwrap().to_str().unwrap().to_owned();
    assert!(name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit()), "{name}");
    assert_eq!(std::fs::metadata(room.mirrors()).unwrap().permissions().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn a_damaged_mirror_is_made_anew_whoever_finds_it() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 5] = [
        ("packs cut", |at| packs(at, "pack").iter().for_each(|pack| overwrite(pack, b"PACK"))),
        ("packs of noise", |at| packs(at, "pack").iter().for_each(|pack| overwrite(pack, &[7; 4000]))),
        ("indexes cut", |at| packs(at, "idx").iter().for_each(|index| overwrite(index, b""))),
        ("no objects", |at| std::fs::remove_dir_all(at.join("objects")).unwrap()),
        ("no HEAD", |at| std::fs::remove_file(at.join("HEAD")).unwrap()),
    ];
    for (what, damage) in damages {
        let room = Room::new();
        let repo = room.repo("a");
        let first = room.source().fetch(&repo.url(), &Reference::Default, None).await.unwrap().id;
        damage(&mirror(&room));
        let read = room.source().read_file(&repo.url(), &first, "hello.txt").await;
        assert_eq!(read.unwrap().unwrap(), b"hello\n", "{what}, found by reading");
        damage(&mirror(&room));
        room.source().export(&repo.url(), &first, &room.out()).await.unwrap();
        damage(&mirror(&room));
        let second = repo.commit("b", "2");
        assert_eq!(
            room.source().fetch(&repo.url(), &Reference::Default, None).await.unwrap().id,
            second,
            "{what}, found by fetching"
        );
        let read = room.source().read_file(&repo.url(), &second, "hello.txt").await;
        assert_eq!(read.unwrap().unwrap(), b"hello\n", "{what}, after fetching");
    }
}

#[tokio::test]
async fn a_damaged_mirror_of_a_repository_that_vanished_is_an_error_that_stays_one() {
    let room = Room::new();
    let repo = room.repo("a");
    let id = room.source().fetch(&repo.url(), &Reference::Default, None).await.unwrap().id;
    let gone = room.dir.path().join("gone");
    std::fs::rename(&repo.path, &gone).unwrap();
    let source = room.source();
    assert!(
        source.read_file(&repo.url(), &id, "hello.txt").await.unwrap().is_some(),
        "the mirror serves without its source"
    );
    assert!(matches!(source.head(&repo.url(), &Reference::Default).await.unwrap_err(), SourceError::NotFound { .. }));
    packs(&mirror(&room), "pack").iter().for_each(|pack| overwrite(pack, b"PACK"));
    for _ in 0..2 {
        let error = room.source().read_file(&repo.url(), &id, "hello.txt").await.unwrap_err();
        assert!(matches!(error, SourceError::NotFound { .. } | SourceError::Mirror { .. }), "{error}");
    }
    std::fs::rename(&gone, &repo.path).unwrap();
    assert!(room.source().read_file(&repo.url(), &id, "hello.txt").await.unwrap().is_some());
}

#[tokio::test]
async fn what_a_killed_fetch_left_does_not_stop_the_next() {
    let room = Room::new();
    let repo = room.repo("a");
    room.source().fetch(&repo.url(), &Reference::Default, None).await.unwrap();
    let at = mirror(&room);
    for file in ["refs/heads/main.lock", "HEAD.lock", "config.lock", "objects/pack/pack_git2_ab12"] {
        std::fs::write(at.join(file), "half").unwrap();
    }
    std::fs::create_dir(at.with_extension("new")).unwrap();
    let newer = repo.commit("b", "2");
    assert_eq!(room.source().fetch(&repo.url(), &Reference::Default, None).await.unwrap().id, newer);
    assert!(!at.join("refs/heads/main.lock").exists() && !at.join("objects/pack/pack_git2_ab12").exists());
    // Killed while the mirror was made anew: the old one is taken up again.
    std::fs::rename(&at, at.with_extension("damaged")).unwrap();
    assert!(room.source().read_file(&repo.url(), &newer, "b").await.unwrap().is_some());
}

#[tokio::test]
async fn many_fetches_leave_few_packs_and_every_commit_readable() {
    let room = Room::new();
    let repo = room.repo("a");
    let source = room.source();
    let mut commits = Vec::new();
    for number in 0..60 {
        let id = repo.commit("n", &number.to_string());
        source.fetch(&repo.url(), &Reference::Default, None).await.unwrap();
        commits.push(id);
    }
    assert!(packs(&mirror(&room), "pack").len() <= 41, "{}", packs(&mirror(&room), "pack").len());
    for (number, id) in commits.iter().enumerate() {
        let read = source.read_file(&repo.url(), id, "n").await.unwrap().unwrap();
        assert_eq!(read, number.to_string().into_bytes());
    }
    assert!(!mirror(&room).with_extension("packs").exists());
}

#[tokio::test]
async fn a_mirror_that_is_forgotten_is_gone() {
    let room = Room::new();
    let repo = room.repo("a");
    let source = room.source();
    let id = source.fetch(&repo.url(), &Reference::Default, None).await.unwrap().id;
    source.forget(&repo.url()).await.unwrap();
    source.forget(&repo.url()).await.unwrap();
    assert_eq!(std::fs::read_dir(room.mirrors()).unwrap().count(), 0);
    let error = source.read_file(&repo.url(), &id, "hello.txt").await.unwrap_err();
    assert!(matches!(error, SourceError::NoCommit { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_on_one_mirror_do_not_get_in_each_others_way() {
    let room = Arc::new(Room::new());
    let repo = Arc::new(room.repo("a"));
    let source = Arc::new(room.source());
    let first = source.fetch(&repo.url(), &Reference::Default, None).await.unwrap().id;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..16 {
        let (room, repo, source, first) = (room.clone(), repo.clone(), source.clone(), first.clone());
        tasks.spawn(async move { use_mirror(number, &room, &repo, &source, &first).await });
    }
    let head = repo.commit("b", "2");
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert_eq!(source.fetch(&repo.url(), &Reference::Default, None).await.unwrap().id, head);
}

async fn use_mirror(
    number: usize,
    room: &Room,
    repo: &Repo,
    source: &towpath::source::GitSource,
    first: &towpath::model::CommitId,
) {
    match number % 3 {
        0 => drop(source.fetch(&repo.url(), &Reference::Default, None).await.unwrap()),
        1 => drop(source.export(&repo.url(), first, &room.dir.path().join(format!("out{number}"))).await.unwrap()),
        _ => assert!(source.read_file(&repo.url(), first, "hello.txt").await.unwrap().is_some()),
    }
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_says_why() {
    let room = Room::new();
    std::fs::write(room.mirrors(), "a file").unwrap();
    let error = towpath::source::GitSource::open(room.mirrors(), Default::default()).unwrap_err();
    assert!(matches!(error, SourceError::Mirror { .. }), "{error}");
}
