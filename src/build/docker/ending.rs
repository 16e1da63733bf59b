//! Ends what Podman's builder runs for a build that was given up. Docker's builders end with the connection; there the command
//! goes on to its own end, and after it the builder tidies up. So a build names the control group of its commands, and what is
//! in that is killed.

use crate::build::BuildJob;
use crate::model::{BuildId, InstallationId, ServiceName};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How often processes are looked for.
const LOOK: Duration = Duration::from_millis(250);
/// How often at most: a command may begin while the builder has not noticed yet.
const LOOKS: u32 = 40;

/// The control groups of the builds that run.
#[derive(Debug, Default)]
pub(super) struct Groups {
    count: AtomicU64,
    running: Arc<Mutex<HashMap<(BuildId, ServiceName), String>>>,
}

impl Groups {
    /// A group for a build that begins. Each try has its own: the one before may still be ending.
    pub fn begin(&self, installation: &InstallationId, job: &BuildJob) -> Ending {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let group = format!("/towpath-build-{}-{}-{count}", &installation.as_str()[..6], job.id.short());
        let build = (job.id.clone(), job.name.clone());
        self.running.lock().unwrap_or_else(PoisonError::into_inner).insert(build.clone(), group.clone());
        Ending { running: self.running.clone(), build, group, finished: false }
    }

    /// The group of a build that runs.
    pub fn of(&self, job: &BuildJob) -> Option<String> {
        let build = (job.id.clone(), job.name.clone());
        self.running.lock().unwrap_or_else(PoisonError::into_inner).get(&build).cloned()
    }
}

/// A build that runs. Dropping it ends its commands, unless it finished.
pub(super) struct Ending {
    running: Arc<Mutex<HashMap<(BuildId, ServiceName), String>>>,
    build: (BuildId, ServiceName),
    group: String,
    finished: bool,
}

impl Ending {
    /// The builder said how it ended.
    pub fn finished(mut self) {
        self.finished = true;
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.build);
        if !self.finished {
            let group = std::mem::take(&mut self.group);
            std::thread::spawn(move || end(&group));
        }
    }
}

fn end(group: &str) {
    for _ in 0..LOOKS {
        for process in members(group) {
            let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
        }
        std::thread::sleep(LOOK);
    }
}

/// The processes in a group, of whichever hierarchy, and below it.
fn members(group: &str) -> Vec<rustix::process::Pid> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_in = |number: &i32| {
        let text = std::fs::read_to_string(format!("/proc/{number}/cgroup")).unwrap_or_default();
        is_member(&text, group)
    };
    numbers.filter(is_in).filter_map(rustix::process::Pid::from_raw).collect()
}

fn is_member(text: &str, group: &str) -> bool {
    let mut paths = text.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    paths.any(|path| path.strip_prefix(group).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

#[cfg(test)]
mod tests {
    use super::is_member;

    #[test]
    fn a_process_is_told_by_its_group_in_any_hierarchy() {
        assert!(is_member("4:memory:/towpath-build-a-b-1\n0::/x\n", "/towpath-build-a-b-1"));
        assert!(is_member("0::/towpath-build-a-b-1/inner\n", "/towpath-build-a-b-1"));
        assert!(!is_member("0::/towpath-build-a-b-12\n", "/towpath-build-a-b-1"));
        assert!(!is_member("0::/\n", "/towpath-build-a-b-1"));
    }
}
