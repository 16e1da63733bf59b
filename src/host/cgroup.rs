//! Control groups, version 1 and 2: hold an instance or a build to its memory, CPU and number of processes, and notice that the kernel killed it.
//!
//! Best effort: where no hierarchy can be written, instances run without limits and the state file says so.

use std::path::{Path, PathBuf};

/// The period over which CPU is counted, in microseconds (the kernel's default).
const CPU_PERIOD: u64 = 100_000;

/// How many processes and threads a group may have: enough for any application, too few to take the machine's.
const MOST_PROCESSES: u32 = 4096;
/// The weight of what has no CPU limit, beside the 100 that everything else has.
const LOW_WEIGHT: u32 = 50;
/// The group, in a delegated part of version 2, for the processes that were there: a group with members has no groups
/// below that are limited.
const CONTROL: &str = "control";

/// A mounted hierarchy, and where this process is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hierarchy {
    /// Whether this is version 2.
    unified: bool,
    /// The controllers that version 1 mounts here.
    controllers: Vec<String>,
    /// Where it is mounted.
    point: PathBuf,
    /// The directory of the group that this process is in; below it groups are made.
    own: PathBuf,
}

/// What the processes of a group may use together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// CPU in thousandths; `None` is what nobody else wants.
    pub cpu: Option<u32>,
    /// Memory in bytes.
    pub memory: u64,
}

/// The control groups of one instance or build.
#[derive(Clone, Debug, Default)]
pub struct Cgroups {
    groups: Vec<PathBuf>,
    /// Whether memory is limited.
    pub limited: bool,
}

impl Cgroups {
    /// Makes the groups of an instance or build, `towpath/<installation>/<name>` below the group of this process.
    pub fn create(installation: &str, name: &str, limits: Limits) -> Self {
        let mut made = Self::default();
        for hierarchy in hierarchies() {
            let group = hierarchy.own.join("towpath").join(installation).join(name);
            if hierarchy.unified {
                delegate(&hierarchy.own, &group);
            }
            if std::fs::create_dir_all(&group).is_ok() {
                made.limited |= limit(&hierarchy, &group, limits);
                made.groups.push(group);
            }
        }
        made
    }

    /// The directories, for the state file.
    pub fn paths(&self) -> &[PathBuf] {
        &self.groups
    }

    /// Moves a process in that has started nothing yet: what it starts is born inside, without a moment outside.
    pub fn admit(&mut self, pid: u32) {
        let count = self.groups.len();
        self.groups.retain(|group| std::fs::write(group.join("cgroup.procs"), pid.to_string()).is_ok());
        self.limited &= self.groups.len() == count;
    }

    /// Moves a process in that may be gone by now.
    pub fn take_in(&self, pid: u32) {
        for group in &self.groups {
            let _ = std::fs::write(group.join("cgroup.procs"), pid.to_string());
        }
    }

    /// Whether the kernel killed a process of the instance for want of memory.
    pub fn was_out_of_memory(&self) -> bool {
        self.out_of_memory_kills() > 0
    }

    /// How many processes the kernel killed for want of memory.
    pub fn out_of_memory_kills(&self) -> u64 {
        let files =
            self.groups.iter().flat_map(|group| [group.join("memory.events"), group.join("memory.oom_control")]);
        files.filter_map(|file| std::fs::read_to_string(file).ok()).map(|text| oom_kills(&text)).max().unwrap_or(0)
    }
}

/// The number in the line `oom_kill N`, which both versions write.
fn oom_kills(text: &str) -> u64 {
    text.lines().find_map(|l| l.strip_prefix("oom_kill ")?.trim().parse().ok()).unwrap_or(0)
}

/// Whether instances can be held to their size here, found out by trying.
pub fn limits_enforced() -> bool {
    let name = format!("probe-{}", std::process::id());
    let groups = Cgroups::create("probe", &name, Limits { cpu: Some(1000), memory: 64 << 20 });
    remove(groups.paths());
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

/// Hands controllers down to the group in version 2, level by level; a level that refuses leaves it unlimited.
fn delegate(own: &Path, group: &Path) {
    let mut levels: Vec<&Path> = group.ancestors().skip(1).take_while(|level| level.starts_with(own)).collect();
    levels.reverse();
    for level in levels {
        let _ = std::fs::create_dir(level);
        // One by one: one that is missing refuses all that are written with it.
        for controller in ["+memory", "+cpu", "+pids"] {
            let _ = std::fs::write(level.join("cgroup.subtree_control"), controller);
        }
    }
}

/// Sets the limits that this hierarchy can set; whether memory is one of them.
fn limit(hierarchy: &Hierarchy, group: &Path, limits: Limits) -> bool {
    let write = |file: &str, text: String| std::fs::write(group.join(file), text).is_ok();
    let has = |controller: &str| hierarchy.unified || hierarchy.controllers.iter().any(|c| c == controller);
    if has("pids") {
        write("pids.max", MOST_PROCESSES.to_string());
    }
    let quota = limits.cpu.map(|cpu| (u64::from(cpu) * CPU_PERIOD / 1000).max(1000));
    if hierarchy.unified {
        match quota {
            Some(quota) => write("cpu.max", format!("{quota} {CPU_PERIOD}")),
            None => write("cpu.weight", LOW_WEIGHT.to_string()),
        };
        // All of it or nothing: an application that lost one of its processes seldom knows what to do.
        write("memory.oom.group", "1".into());
        return write("memory.max", limits.memory.to_string());
    }
    if has("cpu") {
        match quota {
            Some(quota) => write("cpu.cfs_quota_us", quota.to_string()),
            None => write("cpu.shares", (LOW_WEIGHT * 1024 / 100).to_string()),
        };
    }
    has("memory") && write("memory.limit_in_bytes", limits.memory.to_string())
}

/// The hierarchies that can limit memory or CPU, or (version 2) hold the processes of an instance together.
fn hierarchies() -> Vec<Hierarchy> {
    let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    let mut found = parse_hierarchies(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo"));
    for hierarchy in found.iter_mut().filter(|h| h.unified) {
        hierarchy.own = base(&hierarchy.point, &hierarchy.own, is_delegated);
    }
    found
}

/// Where groups are made in version 2, in which a group with members cannot limit groups below it: in the part that was
/// delegated to us (systemd's `Delegate=yes`), beside the group that holds ourselves; else, as root, at the top.
fn base(point: &Path, own: &Path, is_delegated: impl Fn(&Path) -> bool) -> PathBuf {
    let above = if own.ends_with(CONTROL) { own.parent().unwrap_or(own) } else { own };
    if is_delegated(above) || !rustix::process::geteuid().is_root() { above.to_owned() } else { point.to_owned() }
}

/// Whether a group was handed to us to make groups in, as systemd marks it.
fn is_delegated(group: &Path) -> bool {
    ["trusted.delegate", "user.delegate"].iter().any(|mark| {
        let mut value = [0_u8; 8];
        rustix::fs::getxattr(group, *mark, &mut value).is_ok_and(|length| value[..length].starts_with(b"1"))
    })
}

/// Makes room for limited groups in a delegated part of version 2: moves the processes that are in it, all of them ours,
/// into a group of their own. For the start of a control plane. Does nothing elsewhere.
pub fn settle() {
    for hierarchy in hierarchies().iter().filter(|h| h.unified && is_delegated(&h.own)) {
        let control = hierarchy.own.join(CONTROL);
        let _ = std::fs::create_dir(&control);
        for pid in members(std::slice::from_ref(&hierarchy.own)) {
            // One that cannot be moved leaves instances without limits, which the facts say.
            let _ = std::fs::write(control.join("cgroup.procs"), pid.to_string());
        }
    }
}

fn parse_hierarchies(own: &str, mounts: &str) -> Vec<Hierarchy> {
    own.lines()
        .filter_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let controllers: Vec<String> = fields.next()?.split(',').map(str::to_owned).collect();
            let path = fields.next()?;
            let unified = controllers == [""];
            let wanted = unified || controllers.iter().any(|c| ["memory", "cpu", "pids"].contains(&c.as_str()));
            let (point, own) = mounts.lines().find_map(|mount| directory(mount, unified, &controllers, path))?;
            wanted.then_some(Hierarchy { unified, controllers, point, own })
        })
        .collect()
}

/// The mount point and the directory of group `path` when this line of `mountinfo` mounts its hierarchy.
fn directory(mount: &str, unified: bool, controllers: &[String], path: &str) -> Option<(PathBuf, PathBuf)> {
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
    ours.then(|| (PathBuf::from(point), Path::new(point).join(below)))
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
    fn groups_of_version_2_are_made_where_limits_can_be_set() {
        let (point, service) = (Path::new("/sys/fs/cgroup"), Path::new("/sys/fs/cgroup/system.slice/towpath.service"));
        let delegated = |path: &Path| path == service;
        assert_eq!(base(point, service, delegated), service);
        assert_eq!(base(point, &service.join(CONTROL), delegated), service);
        if rustix::process::geteuid().is_root() {
            assert_eq!(base(point, Path::new("/sys/fs/cgroup/user.slice/session-1.scope"), delegated), point);
        }
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
