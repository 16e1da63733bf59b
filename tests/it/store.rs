//! The store under `kill -9` and on a full disk.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use towpath::model::{Class, Event, EventSeverity, Timestamp};
use towpath::store::{Opened, Store, StoreError, World, Write};

/// Where the writing child finds its directory.
const CHILD_DIR: &str = "TOWPATH_TEST_STORE_CHILD";

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// The `i`-th write: three values and an event, which belong together.
fn write_of(i: u64) -> Vec<Write> {
    let value = serde_json::json!(i);
    let event = Event {
        at: Timestamp(i64::try_from(i).unwrap()),
        service: None,
        name: None,
        operation: None,
        kind: "Counted".into(),
        severity: EventSeverity::Info,
        message: format!("{i} {}", "x".repeat(usize::try_from(i % 3000).unwrap())),
        detail: None,
    };
    vec![
        Write::PutMeta("first".into(), value.clone()),
        Write::PutMeta(format!("slot-{}", i % 50), value.clone()),
        Write::AppendEvent(event),
        Write::PutMeta("last".into(), value),
    ]
}

/// How many writes a world shows, having checked that it is exactly a prefix of all writes.
fn prefix_of(world: &World) -> u64 {
    let Some(last) = world.meta.get("last") else {
        assert!(world.meta.is_empty());
        return 0;
    };
    let last = last.as_u64().unwrap();
    assert_eq!(world.meta["first"], last, "half a write");
    for slot in 0..50.min(last) {
        let newest = (0..=last).rev().find(|i| *i > 0 && i % 50 == slot);
        assert_eq!(world.meta.get(&format!("slot-{slot}")).and_then(serde_json::Value::as_u64), newest);
    }
    last
}

/// Not a test of its own: what the crash test runs in a process that it kills. Says each write once it is durable.
#[test]
#[ignore = "run by `a_store_killed_at_any_moment_holds_a_prefix_of_its_writes`"]
fn the_child_that_writes() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else { return };
    run(async {
        let (store, world, _) = Store::open(Path::new(&dir), Timestamp(0)).await.unwrap();
        for i in prefix_of(&world) + 1.. {
            store.write(write_of(i)).await.unwrap();
            println!("\nwrote {i}");
            if i % 20 == 0 {
                store.back_up(Timestamp(0)).await.unwrap();
            }
        }
    });
}

/// Runs the child for a while, kills it, and returns the last write that it said was durable.
fn write_and_kill(dir: &Path, after: Duration) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::the_child_that_writes", "--ignored", "--nocapture", "--test-threads=1"])
        .env(CHILD_DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(after);
    child.kill().unwrap();
    let said = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let last = said.filter_map(|line| line.strip_prefix("wrote ")?.parse().ok()).last().unwrap_or(0);
    child.wait().unwrap();
    last
}

#[test]
fn a_store_killed_at_any_moment_holds_a_prefix_of_its_writes() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = fastrand::Rng::with_seed(20);
    let mut total = 0;
    for round in 0..20 {
        let said = write_and_kill(dir.path(), Duration::from_micros(random.u64(20_000..250_000)));
        let (world, events, opened) = run(async {
            let (store, world, opened) = Store::open(dir.path(), Timestamp(0)).await.unwrap();
            let events = store.newest_events(None, 1).await.unwrap();
            (world, events, opened)
        });
        assert!(matches!(opened, Opened::Existing | Opened::Created), "round {round}: {opened:?}");
        let held = prefix_of(&world);
        // What was said to be durable is there; at most the one write that was under way is there unsaid.
        assert!(held >= said, "round {round}: lost writes {said} > {held}");
        assert!(said == 0 || held <= said + 1, "round {round}: {held} > {said} + 1");
        assert_eq!(events.first().map_or(0, |(number, _)| *number), held, "round {round}: events went elsewhere");
        assert!(held >= total);
        total = held;
    }
    assert!(total > 20, "the child wrote nothing to speak of: {total}");
}

/// A file system of a given size that fills up; unmounted when dropped.
pub(crate) struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None`, loudly, where mounting is not possible.
    pub(crate) fn mount(size: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let options = format!("size={size}");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "towpath-test"]).arg(dir.path()).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(dir)),
            other => {
                eprintln!("SKIPPED: a full disk cannot be simulated here, mounting a tmpfs failed: {other:?}");
                None
            }
        }
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all the room that is left; removing the file gives it back.
    pub(crate) fn fill(&self) -> std::path::PathBuf {
        use std::io::Write as _;
        let path = self.0.path().join("filler");
        let mut file = std::fs::File::create(&path).unwrap();
        while file.write(&[1; 4096]).is_ok_and(|n| n > 0) {}
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn on_a_full_disk_writes_fail_whole_and_go_on_once_there_is_room() {
    let Some(disk) = SmallDisk::mount("4m") else { return };
    run(async {
        let dir = disk.path().join("store");
        let (store, ..) = Store::open(&dir, Timestamp(0)).await.unwrap();
        store.write(write_of(1)).await.unwrap();
        let filler = disk.fill();
        let mut written = 1;
        let error = loop {
            match store.write(write_of(written + 1)).await {
                Ok(()) => written += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
        assert_eq!(error.class(), Class::Retry);
        assert!(error.to_string().contains("the disk is full"), "{error}");
        assert!(matches!(store.back_up(Timestamp(0)).await, Err(StoreError::Full { .. })));
        // Reading goes on.
        assert_eq!(store.newest_events(None, 1).await.unwrap()[0].0, written);
        std::fs::remove_file(filler).unwrap();
        store.write(write_of(written + 1)).await.unwrap();
        store.back_up(Timestamp(0)).await.unwrap();
        drop(store);
        let (_store, world, opened) = Store::open(&dir, Timestamp(0)).await.unwrap();
        assert_eq!((opened, prefix_of(&world)), (Opened::Existing, written + 1));
    });
}

#[test]
fn a_store_that_does_not_fit_on_the_disk_says_so_and_is_created_later() {
    let Some(disk) = SmallDisk::mount("1m") else { return };
    run(async {
        let filler = disk.fill();
        let dir = disk.path().join("store");
        let Err(error) = Store::open(&dir, Timestamp(0)).await else { panic!("opened") };
        assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
        std::fs::remove_file(filler).unwrap();
        let (.., opened) = Store::open(&dir, Timestamp(0)).await.unwrap();
        assert_eq!(opened, Opened::Created);
    });
}
