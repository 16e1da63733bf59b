//! What needs a process of its own: the environment, and being killed. The test binary runs itself with [`fetch_as_a_child`].

use super::repo::{Room, Server};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use towpath::model::Reference;
use towpath::model::RepositoryUrl;
use towpath::source::{GitLimits, GitSource};

/// Fetches `TOWPATH_TEST_FETCH` into `TOWPATH_TEST_MIRRORS` and prints the commit or the error.
#[tokio::test]
#[ignore = "the child of other tests"]
async fn fetch_as_a_child() {
    let variable = |name| std::env::var_os(name).unwrap().into_string().unwrap();
    let url: RepositoryUrl = variable("TOWPATH_TEST_FETCH").parse().unwrap();
    let source = GitSource::open(variable("TOWPATH_TEST_MIRRORS").into(), GitLimits::default()).unwrap();
    match source.fetch(&url, &Reference::Default, None).await {
        Ok(commit) => println!("fetched {}", commit.id),
        Err(error) => println!("failed: {error}"),
    }
}

fn child(room: &Room, url: &RepositoryUrl) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "git_source::process::fetch_as_a_child", "--ignored", "--nocapture"])
        .env("TOWPATH_TEST_FETCH", url.to_string())
        .env("TOWPATH_TEST_MIRRORS", room.mirrors())
        .env_remove("SSL_CERT_DIR");
    command
}

fn text(output: Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn certificates_are_verified_and_ssl_cert_file_is_honoured() {
    let room = Room::new();
    let repo = room.repo("a");
    let (server, certificate) = room.serve_tls();
    let url = server.url("git", "a");
    let without = text(child(&room, &url).env_remove("SSL_CERT_FILE").output().unwrap());
    assert!(without.contains("failed: failed to read repository") && without.contains("certificate"), "{without}");
    let with = text(child(&room, &url).env("SSL_CERT_FILE", certificate).output().unwrap());
    assert!(with.contains(&format!("fetched {}", repo.id("HEAD"))), "{with}");
}

#[test]
fn the_git_configuration_of_the_user_is_not_read() {
    let room = Room::new();
    let (repo, other) = (room.repo("a"), room.repo("other"));
    let server = room.serve();
    let url = server.url("git", "a");
    let config = format!("[url \"{}\"]\n\tinsteadOf = {url}\n", other.path.display());
    std::fs::write(room.dir.path().join(".gitconfig"), config).unwrap();
    let fetched = text(child(&room, &url).env("HOME", room.dir.path()).output().unwrap());
    assert_ne!(repo.commit("x", "x"), other.id("HEAD"));
    assert!(fetched.contains(&format!("fetched {}", repo.id("HEAD~1"))), "{fetched}");
}

#[test]
fn a_fetch_that_is_killed_in_the_middle_leaves_a_mirror_that_works() {
    let room = Room::new();
    let repo = room.repo("a");
    let server = room.serve();
    let slow = server.url("slow", "a");
    let first = text(child(&room, &slow).output().unwrap());
    assert!(first.contains("fetched"), "{first}");
    let mut noise = vec![0_u8; 1 << 20];
    getrandom::fill(&mut noise).unwrap();
    std::fs::write(repo.path.join("noise"), &noise).unwrap();
    let second = repo.commit("more", "more");
    kill_half_way(&room, &slow);
    assert!(half_packs(&room.mirrors()) > 0, "it was killed while a pack came");
    let after = text(child(&room, &Server::url(&server, "slow", "a")).output().unwrap());
    assert!(after.contains(&format!("fetched {second}")), "{after}");
    assert_eq!(half_packs(&room.mirrors()), 0, "what was half is gone");
}

fn kill_half_way(room: &Room, url: &RepositoryUrl) {
    let mut process = child(room, url).stdout(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while half_packs(&room.mirrors()) == 0 {
        assert!(Instant::now() < deadline && process.try_wait().unwrap().is_none(), "no pack was begun");
        std::thread::sleep(Duration::from_millis(5));
    }
    process.kill().unwrap();
    process.wait().unwrap();
}

/// How many packs are begun and not finished.
fn half_packs(mirrors: &Path) -> usize {
    let packs = std::fs::read_dir(mirrors).unwrap().flat_map(|mirror| {
        std::fs::read_dir(mirror.unwrap().path().join("objects/pack")).into_iter().flatten().flatten()
    });
    packs.filter(|entry| entry.file_name().to_string_lossy().starts_with("pack_git2_")).count()
}
