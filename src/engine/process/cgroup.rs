//! Control groups, version 1 and 2: hold an instance to its memory and CPU, and notice that the kernel killed it.
//!
//! Best effort: where no hierarchy can be written, instances run without limits and the state file says so.

use std::path::{Path, PathBuf};

/// The period over which CPU is counted, in microseconds (the kernel's default).
const CPU_PERIOD: u64 = 100_000;

/// A mounted hierarchy, and where this process is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hierarchy {
    /// Whether this is version 2.
    unified: bool,
    /// The controllers that version 1 mounts here.
    controllers: Vec<String>,
    /// The directory of the group that this process is in.
    own: PathBuf,
}

/// The control groups of one instance.
#[derive(Clone, Debug, Default)]
pub struct Cgroups {
    /// Each with the directory to go back to.
    groups: Vec<(PathBuf, PathBuf)>,
    /// Whether memory is limited.
    pub limited: bool,
}

impl Cgroups {
    /// Makes the groups of an instance, `towpath/<installation>/<instance>` below the group of this process.
    pub fn create(installation: &str, instance: &str, cpu: u32, memory: u64) -> Self {
        let mut made = Self::default();
        for hierarchy in hierarchies() {
            let group = hierarchy.own.join("towpath").join(installation).join(instance);
            if hierarchy.unified {
                delegate(&hierarchy.own, &group);
            }
            if std::fs::create_dir_all(&group).is_ok() {
                made.limited |= limit(&hierarchy, &group, cpu, memory);
                made.groups.push((group, hierarchy.own));
            }
        }
        made
    }

    /// The directories, for the state file.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.groups.iter().map(|(group, _)| group.clone()).collect()
    }

    /// Moves this process in: a child started now is born inside, without a moment outside its limits.
    pub fn enter(&mut self) {
        let count = self.groups.len();
        self.groups.retain(|(group, _)| join(group));
        self.limited &= self.groups.len() == count;
    }

    /// Moves this process back: its own memory is not the instance's, and it must outlive an out-of-memory kill.
    pub fn leave(&self) {
        for (_, back) in &self.groups {
            join(back);
        }
    }

    /// Whether the kernel killed a process of the instance for want of memory.
    pub fn was_out_of_memory(&self) -> bool {
        let files =
            self.groups.iter().flat_map(|(group, _)| [group.join("memory.events"), group.join("memory.oom_control")]);
        files.filter_map(|file| std::fs::read_to_string(file).ok()).any(|text| oom_kills(&text) > 0)
    }
}

/// The number in the line `oom_kill N`, which both versions write.
fn oom_kills(text: &str) -> u64 {
    text.lines().find_map(|l| l.strip_prefix("oom_kill ")?.trim().parse().ok()).unwrap_or(0)
}

/// Whether instances can be held to their size here, found out by trying.
pub fn limits_enforced() -> bool {
    let name = format!("probe-{}", std::process::id());
    let groups = Cgroups::create("probe", &name, 1000, 64 << 20);
    remove(&groups.paths());
    groups.limited
}

/// The processes in these groups.
pub fn members(groups: &[PathBuf]) -> Vec<i32> {
    let lists = groups.iter().filter_map(|group| std::fs::read_to_string(group.join("cgroup.procs")).ok());
    lists.flat_map(|list| list.lines().filter_map(|l| l.parse().ok()).collect::<Vec<i32>>()).collect()
}

/// Removes groups that nothing is in any more.
pub fn remove(groups: &[PathBuf]) {
    for group in groups {
        // Still in use or gone already: the next removal of the instance tries again.
        let _ = std::fs::remove_dir(group);
    }
}

/// What was changed by hand on the limits of a group.
pub fn drift(groups: &[PathBuf], memory: u64) -> Vec<String> {
    let read = |group: &PathBuf, file: &str| std::fs::read_to_string(group.join(file)).ok();
    let values = groups.iter().filter_map(|g| read(g, "memory.max").or_else(|| read(g, "memory.limit_in_bytes")));
    // The kernel rounds down to whole pages.
    let changed = values.filter(|v| v.trim().parse::<u64>().ok().is_none_or(|now| now.abs_diff(memory) > 65_536));
    changed.map(|now| format!("memory limit: {memory} bytes → {}", now.trim())).collect()
}

fn join(group: &Path) -> bool {
    std::fs::write(group.join("cgroup.procs"), std::process::id().to_string()).is_ok()
}

/// Hands memory and CPU down to the group in version 2, level by level; a level that refuses leaves it unlimited.
fn delegate(own: &Path, group: &Path) {
    let mut levels: Vec<&Path> = group.ancestors().skip(1).take_while(|level| level.starts_with(own)).collect();
    levels.reverse();
    for level in levels {
        let _ = std::fs::create_dir(level);
        for controller in ["+memory", "+cpu"] {
            let _ = std::fs::write(level.join("cgroup.subtree_control"), controller);
        }
    }
}

/// Sets the limits that this hierarchy can set; whether memory is one of them.
fn limit(hierarchy: &Hierarchy, group: &Path, cpu: u32, memory: u64) -> bool {
    let write = |file: &str, text: String| std::fs::write(group.join(file), text).is_ok();
    let quota = (u64::from(cpu) * CPU_PERIOD / 1000).max(1000);
    if hierarchy.unified {
        write("cpu.max", format!("{quota} {CPU_PERIOD}"));
        return write("memory.max", memory.to_string());
    }
    if hierarchy.controllers.iter().any(|c| c == "cpu") {
        write("cpu.cfs_quota_us", quota.to_string());
    }
    hierarchy.controllers.iter().any(|c| c == "memory") && write("memory.limit_in_bytes", memory.to_string())
}

/// The hierarchies that can limit memory or CPU, or (version 2) hold the processes of an instance together.
fn hierarchies() -> Vec<Hierarchy> {
    let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    parse_hierarchies(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo"))
}

fn parse_hierarchies(own: &str, mounts: &str) -> Vec<Hierarchy> {
    own.lines()
        .filter_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let controllers: Vec<String> = fields.next()?.split(',').map(str::to_owned).collect();
            let path = fields.next()?;
            let unified = controllers == [""];
            let wanted = unified || controllers.iter().any(|c| c == "memory" || c == "cpu");
            let own = mounts.lines().find_map(|mount| directory(mount, unified, &controllers, path))?;
            wanted.then_some(Hierarchy { unified, controllers, own })
        })
        .collect()
}

/// The directory of group `path` when this line of `mountinfo` mounts its hierarchy.
fn directory(mount: &str, unified: bool, controllers: &[String], path: &str) -> Option<PathBuf> {
    let (left, right) = mount.split_once(" - ")?;
    let (root, point) = {
        let mut f = left.split(' ').skip(3);
        (f.next()?, f.next()?)
    };
    let mut right = right.split(' ');
    let (kind, options) = (right.next()?, right.nth(1)?);
    let ours = if unified {
        kind == "cgroup2"
    } else {
        kind == "cgroup" && controllers.iter().all(|c| options.split(',').any(|o| o == c))
    };
    // A container without a namespace of its own sees a part of the hierarchy, from `root` on.
    let below = Path::new(path).strip_prefix(root).ok()?;
    ours.then(|| Path::new(point).join(below))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "30 24 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n\
        31 30 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
        35 30 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
        36 30 0:32 /docker/ab /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct";

    #[test]
    fn both_versions_are_found_where_they_are_mounted() {
        let own = "9:freezer:/\n4:memory:/shop/one\n3:cpu,cpuacct:/docker/ab/c\n0::/";
        let found: Vec<String> = parse_hierarchies(own, MOUNTS).iter().map(|h| h.own.display().to_string()).collect();
        assert_eq!(
            found,
            ["/sys/fs/cgroup/memory/shop/one", "/sys/fs/cgroup/cpu,cpuacct/c", "/sys/fs/cgroup/unified/"]
        );
    }

    #[test]
    fn a_machine_without_control_groups_has_no_hierarchies() {
        assert!(parse_hierarchies("", "").is_empty());
        assert!(parse_hierarchies("garbage\n4:memory:/x", "garbage").is_empty());
    }

    #[test]
    fn both_versions_count_out_of_memory_kills() {
        assert_eq!(oom_kills("low 0\noom 2\noom_kill 1\n"), 1);
        assert_eq!(oom_kills("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"), 3);
        assert_eq!(oom_kills("oom_kill_disable 0\n"), 0);
    }
}
