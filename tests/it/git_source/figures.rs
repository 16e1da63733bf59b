//! What asking and fetching cost. Printed with `--no-capture`; the bounds are loose, for busy machines.

use super::repo::Room;
use std::time::{Duration, Instant};
use towpath::model::Reference;

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[tokio::test]
async fn asking_for_a_head_and_fetching_one_commit_take_milliseconds() {
    let room = Room::new();
    let repo = room.repo("a");
    for number in 0..200 {
        std::fs::write(repo.path.join(format!("file{number}")), number.to_string()).unwrap();
    }
    repo.commit("more", "more");
    let server = room.serve();
    let source = room.source();
    for (name, url) in [("path", repo.url()), ("http", server.url("git", "a"))] {
        source.fetch(&url, &Reference::Default, None).await.unwrap();
        let (mut heads, mut fetches, mut exports) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..15 {
            let begun = Instant::now();
            source.head(&url, &Reference::Default).await.unwrap();
            heads.push(begun.elapsed());
            let id = repo.commit("n", &format!("{name}{number}"));
            let begun = Instant::now();
            source.fetch(&url, &Reference::Default, Some(&id)).await.unwrap();
            fetches.push(begun.elapsed());
            let begun = Instant::now();
            source.export(&url, &id, &room.dir.path().join(format!("{name}{number}"))).await.unwrap();
            exports.push(begun.elapsed());
        }
        let (head, fetch, export) = (median(heads), median(fetches), median(exports));
        println!(
            "{name}: head {head:.2?}, fetch of one commit {fetch:.2?}, export of 203 files {export:.2?} (medians of 15)"
        );
        assert!(head < Duration::from_millis(500) && fetch < Duration::from_secs(1), "{head:?} {fetch:?}");
    }
}
