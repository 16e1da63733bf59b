//! The machine: disk, watches, descriptors, clock.

use crate::cli::Finding;
use crate::model::Timestamp;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

const GB: u64 = 1 << 30;
/// One watch per directory of a manifest is little; many instances of user programs share the limit.
const FEWEST_WATCHES: u64 = 8192;
const FEWEST_INSTANCES: u64 = 64;
/// Every connection of the ingress takes two.
const FEWEST_FILES: u64 = 4096;
/// 2025-01-01: no machine that runs this is older.
const OLDEST: i64 = 1_735_689_600_000;
const LOOK: Duration = Duration::from_millis(200);

pub(super) fn examine(data_dir: &Path) -> Vec<Finding> {
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    vec![
        disk(data_dir),
        watches(number("/proc/sys/fs/inotify/max_user_watches"), number("/proc/sys/fs/inotify/max_user_instances")),
        open_files(files.current, files.maximum),
        clock(),
    ]
}

fn number(path: &str) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The file system of the data directory, or of its nearest parent that is there.
fn disk(data_dir: &Path) -> Finding {
    let place = data_dir.ancestors().find(|p| p.exists()).unwrap_or(Path::new("/"));
    match rustix::fs::statvfs(place) {
        Ok(facts) => space(place, facts.f_bavail * facts.f_frsize, facts.f_favail, facts.f_files),
        Err(error) => {
            Finding::warn("disk", format!("failed to look at `{}`: {error}", place.display()), "look by hand: `df -h`")
        }
    }
}

pub(super) fn space(place: &Path, free: u64, inodes: u64, all_inodes: u64) -> Finding {
    let found = format!("{:.1} GB free at {}", free as f64 / GB as f64, place.display());
    let mend = "free space there, or put the data directory elsewhere with `--data-dir`";
    if all_inodes > 0 && inodes < 10_000 {
        return Finding::problem("disk", format!("{inodes} files more can be made at {}", place.display()), mend);
    }
    match free {
        free if free < GB / 2 => Finding::problem("disk", found, mend),
        free if free < 5 * GB => Finding::warn("disk", format!("{found}: a few builds fill that"), mend),
        _ => Finding::ok("disk", found),
    }
}

pub(super) fn watches(watches: Option<u64>, instances: Option<u64>) -> Finding {
    let (Some(watches), Some(instances)) = (watches, instances) else {
        let mend = "nothing to do: without it the manifest is read at least every 5 seconds";
        return Finding::warn("inotify", "its limits cannot be read", mend);
    };
    let found = format!("{watches} watches, {instances} instances per user");
    if watches >= FEWEST_WATCHES && instances >= FEWEST_INSTANCES {
        return Finding::ok("inotify", found);
    }
    let mend = "raise them: `sysctl fs.inotify.max_user_watches=65536 fs.inotify.max_user_instances=512`";
    Finding::warn("inotify", format!("{found}: few for manifests and applications that watch files"), mend)
}

pub(super) fn open_files(soft: Option<u64>, hard: Option<u64>) -> Finding {
    let show = |limit: Option<u64>| limit.map_or("unlimited".to_owned(), |n| n.to_string());
    let found = format!("{} open files per process (at most {})", show(soft), show(hard));
    if soft.is_none_or(|n| n >= FEWEST_FILES) {
        return Finding::ok("files", found);
    }
    let mend = "raise it before `towpath up`: `ulimit -n 65536`, or `LimitNOFILE=` of its unit";
    Finding::warn("files", format!("{found}: each connection takes two"), mend)
}

/// Whether the wall clock says a possible time, and goes as fast as the monotonic one.
fn clock() -> Finding {
    let (wall, steady) = (SystemTime::now(), Instant::now());
    std::thread::sleep(LOOK);
    let (went, took) = (wall.elapsed(), steady.elapsed());
    clock_of(Timestamp::now(), went.ok(), took)
}

pub(super) fn clock_of(now: Timestamp, went: Option<Duration>, took: Duration) -> Finding {
    let mend = "set the clock and keep it right: `timedatectl set-ntp true`";
    if now.0 < OLDEST {
        return Finding::problem("clock", "the clock says a time before 2025: certificates will not be believed", mend);
    }
    match went.map(|went| went.abs_diff(took)) {
        Some(off) if off < LOOK / 2 => Finding::ok("clock", "goes steadily"),
        _ => Finding::warn("clock", "the clock was set while it was looked at", mend),
    }
}
