//! CPU and memory of all processes of one build by BuildKit together, which takes neither limit itself.
//!
//! Where the engine is on this machine and control groups can be written, the processes of a build's commands are found by
//! a variable that they all carry, and moved into groups of ours with everything that was in theirs. That is within a
//! quarter of a second of a command's start; until then, and for a command that wipes its variables at once, each process
//! is held to the memory alone. Elsewhere that is all there is.

use crate::build::BuildJob;
use crate::host::cgroup::{self, Cgroups, Limits};
use crate::model::{Digest, DockerHost, InstallationId, Memory, ServiceName};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often new processes are looked for.
const LOOK: Duration = Duration::from_millis(250);
/// How often a process is looked at that carries no mark: it may be about to become a command.
const LOOKS: u8 = 8;
/// The first name of the groups.
const GROUP: &str = "builds";
/// How often a group is tried to be removed in which something may still be ending.
const REMOVALS: u32 = 20;

/// The value that the commands of a service's builds carry in `no_proxy`: no host has that name. The same for each
/// build, so that a Dockerfile that declares the variable still finds its cache.
pub(super) fn mark(installation: &InstallationId, service: &ServiceName) -> String {
    format!("build-{}.towpath.invalid", Digest::of(&(installation, service)).short())
}

/// The groups of one build; dropping it removes them.
pub(super) struct Bounds {
    groups: Cgroups,
    memory: Memory,
    ended: Arc<AtomicBool>,
}

impl Bounds {
    /// Begins to watch; `None` where nothing can be limited from here.
    pub fn begin(host: &DockerHost, installation: &InstallationId, job: &BuildJob) -> Option<Self> {
        // Processes of another machine are not seen, others' variables by root only.
        if !matches!(host, DockerHost::Unix(_)) || !rustix::process::geteuid().is_root() {
            return None;
        }
        let limits = Limits { cpu: Some(job.size.cpu.0.max(1000)), memory: job.memory().0 };
        let name = format!("{}-{}", job.id.short(), job.name);
        let groups = Cgroups::create(installation.as_str(), &format!("{GROUP}-{name}"), limits);
        let bounds = Self { memory: job.memory(), ended: Arc::default(), groups };
        if !bounds.groups.limited {
            return None;
        }
        let (groups, ended, mark) = (bounds.groups.clone(), bounds.ended.clone(), mark(installation, &job.name));
        std::thread::spawn(move || watch(&groups, mark.as_bytes(), &ended));
        Some(bounds)
    }

    /// What is to be said when a process was killed for want of memory.
    pub fn out_of_memory(&self) -> Option<String> {
        (self.groups.out_of_memory_kills() > 0).then(|| format!("ran out of memory ({})", self.memory))
    }
}

impl Drop for Bounds {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

/// Moves what belongs to the build until it ended, then removes the groups.
fn watch(groups: &Cgroups, mark: &[u8], ended: &AtomicBool) {
    let mut search = Search::default();
    while !ended.load(Ordering::Relaxed) {
        for process in search.look(mark) {
            groups.take_in(process);
        }
        std::thread::sleep(LOOK);
    }
    for _ in 0..REMOVALS {
        if cgroup::members(groups.paths()).is_empty() {
            break;
        }
        std::thread::sleep(LOOK);
    }
    cgroup::remove(groups.paths());
}

/// What was seen so far.
#[derive(Default)]
struct Search {
    /// Processes without the mark, with how often they were looked at.
    strangers: HashMap<u32, u8>,
    /// The groups that the engine put commands of the build into.
    steps: BTreeSet<String>,
}

impl Search {
    /// The processes of the build that are not in our groups.
    fn look(&mut self, mark: &[u8]) -> Vec<u32> {
        let there: Vec<u32> = std::fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(number).collect();
        let now: BTreeSet<u32> = there.iter().copied().collect();
        self.strangers.retain(|process, _| now.contains(process));
        let mut found = Vec::new();
        for process in there {
            let Some(group) = group_of(process) else { continue };
            if self.steps.contains(&group) {
                found.push(process);
            } else if self.strangers.get(&process).is_none_or(|looks| *looks < LOOKS) {
                if carries(process, mark) && is_a_containers(&group) {
                    self.steps.insert(group);
                    found.push(process);
                } else {
                    *self.strangers.entry(process).or_default() += 1;
                }
            }
        }
        found
    }
}

fn number(entry: std::fs::DirEntry) -> Option<u32> {
    entry.file_name().to_str()?.parse().ok()
}

/// The group of a process in every hierarchy, as one text.
fn group_of(process: u32) -> Option<String> {
    std::fs::read_to_string(format!("/proc/{process}/cgroup")).ok()
}

/// Whether everything in a group is of one container: BuildKit names it by an id. A person's shell that has the variable is
/// in none.
fn is_a_containers(group: &str) -> bool {
    let last = group.lines().filter_map(|line| line.rsplit(['/', '-', ':']).next());
    last.map(|name| name.trim_end_matches(".scope"))
        .any(|id| id.len() >= 20 && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()))
        && !group.contains("/towpath/")
}

/// Whether a process has the mark among its variables.
fn carries(process: u32, mark: &[u8]) -> bool {
    let variables = std::fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
    let mut all = variables.split(|b| *b == 0);
    all.any(|variable| variable.starts_with(b"no_proxy=") && variable.windows(mark.len()).any(|part| part == mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_of_buildkit_is_told_from_a_persons_shell() {
        let step =
            "4:memory:/docker/buildkit/150i8efetmjvofdy0wyxuh65m\n0::/docker/buildkit/150i8efetmjvofdy0wyxuh65m\n";
        assert!(is_a_containers(step));
        assert!(is_a_containers("0::/system.slice/docker-buildkit-150i8efetmjvofdy0wyxuh65m.scope\n"));
        for other in [
            "0::/user.slice/user-0.slice/session-1.scope\n",
            "4:memory:/\n0::/\n",
            "0::/towpath/0123456789abcdef0123/x\n",
        ] {
            assert!(!is_a_containers(other), "{other}");
        }
    }
}
