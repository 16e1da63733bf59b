//! Disks of a fixed size in a sparse file: what lies on one is full when it is full, and nobody else's disk is.
//!
//! Needs the rights of root, loop devices, `mkfs.ext4` (e2fsprogs) and `mount` (util-linux). A disk is mounted in the mount
//! namespace of the calling thread and its loop device goes with the mount, so that there is nothing to clean up.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long making or mounting may take; five milliseconds each is usual.
const LIMIT: Duration = Duration::from_secs(10);
/// Where the system's own tools are; the variable of whoever started us is not asked.
const TOOLS: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Makes a disk of this size at `image` and mounts it at `target`.
///
/// # Errors
/// When a tool is missing or fails; what it said is in the message.
pub fn make(image: &Path, bytes: u64, target: &Path) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(image)?;
    file.set_len(bytes)?;
    let (image, target) = (image.to_string_lossy(), target.to_string_lossy());
    // Neither a journal nor spare blocks: nothing on it outlives a crash, and a full disk shall be a full one.
    let layout = ["-O", "^has_journal,^resize_inode", "-E", "lazy_itable_init=1,nodiscard", "-m", "0", "-i", "16384"];
    let mkfs: Vec<&str> = ["-q", "-F"].into_iter().chain(layout).chain([&*image]).collect();
    run("mkfs.ext4", &mkfs)?;
    // Inode tables are not zeroed in the background: that would fill the sparse file.
    run("mount", &["-n", "-t", "ext4", "-o", "loop,nodev,nosuid,noatime,noinit_itable", &image, &target])
}

/// Runs one of the system's tools to its end, with a deadline.
///
/// # Errors
/// When it is missing, fails, or takes too long.
pub fn run(tool: &str, arguments: &[&str]) -> io::Result<()> {
    let mut command = Command::new(tool);
    command.args(arguments).env_clear().env("PATH", TOOLS).env("LC_ALL", "C").current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let child = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => io::Error::new(error.kind(), format!("`{tool}` is not installed")),
        _ => error,
    })?;
    finish(child, tool, LIMIT).map(|_| ())
}

/// Waits until a child that prints little has ended well.
///
/// # Errors
/// When it fails or takes too long; then it is killed.
pub fn finish(mut child: Child, tool: &str, limit: Duration) -> io::Result<Output> {
    let end = Instant::now() + limit;
    while child.try_wait()?.is_none() {
        if Instant::now() > end {
            child.kill()?;
            child.wait()?;
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("`{tool}` did not end in {limit:?}")));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!(
        "`{tool}` failed: {}",
        said.trim().lines().next().unwrap_or("it said nothing").trim()
    )))
}

/// Whether a file system has no room left for data, or for files.
pub fn is_full(path: &Path) -> bool {
    // Less than this is full for all that matters: file systems refuse a large write before the last block is taken.
    const ROOM: u64 = 1 << 20;
    rustix::fs::statvfs(path).is_ok_and(|stat| stat.f_bavail.saturating_mul(stat.f_frsize) < ROOM || stat.f_favail == 0)
}

/// The bytes that a tree takes on the disk, links not followed; at least this many once `enough` is reached.
pub fn measure(root: &Path, enough: u64) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let (mut pending, mut bytes) = (vec![root.to_owned()], 0_u64);
    while let Some(directory) = pending.pop() {
        // A directory that went meanwhile takes nothing.
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            bytes = bytes.saturating_add(meta.blocks() * 512);
            if bytes >= enough {
                return bytes;
            }
            if meta.is_dir() {
                pending.push(entry.path());
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_measured_by_what_it_takes_and_no_link_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("below")).unwrap();
        std::fs::write(dir.path().join("below/file"), vec![1; 1 << 20]).unwrap();
        std::os::unix::fs::symlink("/usr", dir.path().join("link")).unwrap();
        let taken = measure(dir.path(), u64::MAX);
        assert!((1 << 20..2 << 20).contains(&taken), "{taken}");
        assert!(measure(dir.path(), 1000) >= 1000);
    }

    #[test]
    fn a_tool_that_is_missing_or_fails_is_named_with_what_it_said() {
        assert_eq!(run("no-such-tool", &[]).unwrap_err().to_string(), "`no-such-tool` is not installed");
        let error = run("mount", &["-n", "/no/such/image", "/no/such/target"]).unwrap_err().to_string();
        assert!(error.starts_with("`mount` failed: ") && error.contains("/no/such"), "{error}");
    }
}
