//! This machine's processes and files: process trees, jails, control groups, disks, line splitting, durable small files.
//!
//! What the embedded engine and its builder both need. Imports nothing of ours; knows neither services nor builds.
//! Everything here is blocking: asynchronous callers use `spawn_blocking`.

pub mod cgroup;
pub mod disk;
pub mod files;
pub mod jail;
pub mod lines;
pub mod overlay;
pub mod pty;
pub mod seccomp;
pub mod tree;

/// The identity of this boot: process ids and sockets from another boot mean nothing.
///
/// # Errors
/// When `/proc` is not mounted.
pub fn boot_id() -> std::io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}
