//! Podman without root: whose it is, and what it holds containers to. Where its containers' network is, `namespace` knows.
//!
//! Limits are the kernel's control groups, of which a user has those only that were handed to him: none of version 1, and of
//! version 2 what systemd delegates. Podman says of a limit that it cannot set either nothing at all or that the container
//! cannot be started, so that such limits are not asked for, and that is said.

use super::labels;
use bollard::models::ContainerCreateBody;
use serde_json::Value;
use std::fmt;

/// What of its size an instance is held to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Its memory.
    pub memory: bool,
    /// Its share of CPU.
    pub cpu: bool,
    /// The number of its processes.
    pub processes: bool,
    /// Whether containers have control groups of their own at all.
    groups: Groups,
}

/// What is there to limit with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Groups {
    /// The kernel's first version.
    First,
    /// The second, without a manager that hands any out.
    Unmanaged,
    /// The second, by systemd.
    Delegated,
}

impl Limits {
    /// Those of Podman as root.
    pub const ALL: Self = Self { memory: true, cpu: true, processes: true, groups: Groups::Delegated };

    /// Read from `host` of what Podman says of itself.
    pub fn of(host: &Value) -> Self {
        let groups = match (host["cgroupVersion"].as_str(), host["cgroupManager"].as_str()) {
            (Some("v2"), Some("systemd")) => Groups::Delegated,
            (Some("v2"), _) => Groups::Unmanaged,
            _ => Groups::First,
        };
        let controllers: Vec<&str> =
            host["cgroupControllers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let has = |name| groups == Groups::Delegated && controllers.contains(&name);
        Self { memory: has("memory"), cpu: has("cpu"), processes: has("pids"), groups }
    }

    /// Whether what an instance uses can be told from what others use.
    pub fn are_measured(&self) -> bool {
        self.groups == Groups::Delegated
    }

    /// What nothing is held to, and how that is mended; `None` where there is nothing to mend.
    pub fn missing(&self) -> Option<(String, &'static str)> {
        let all = [(self.memory, "memory"), (self.cpu, "CPU"), (self.processes, "number of processes")];
        let missing: Vec<&str> = all.iter().filter(|(held, _)| !held).map(|(_, what)| *what).collect();
        let mend = match self.groups {
            Groups::First => {
                "a user can have limits with control groups of version 2 only: boot with `systemd.unified_cgroup_hierarchy=1`"
            }
            Groups::Unmanaged => {
                "let the user's systemd manage control groups: `cgroup_manager = \"systemd\"` in `containers.conf`, and \
                 `loginctl enable-linger`"
            }
            Groups::Delegated => {
                "let systemd hand them to users: `Delegate=cpu memory pids` under `[Service]` in \
                 `/etc/systemd/system/user@.service.d/delegate.conf`, `systemctl daemon-reload`, and log in again"
            }
        };
        let (last, first) = missing.split_last()?;
        let list = if first.is_empty() { (*last).to_owned() } else { format!("{} and {last}", first.join(", ")) };
        Some((format!("Podman without root holds instances and builds to no limit of {list} here"), mend))
    }

    /// Leaves out what cannot be held. The labels then say that nothing was meant, so that it is no drift.
    pub fn adapt(&self, body: &mut ContainerCreateBody) {
        let host = body.host_config.get_or_insert_default();
        let labels = body.labels.get_or_insert_default();
        if !self.memory {
            (host.memory, host.memory_swap) = (None, None);
            labels.insert(labels::MEMORY.into(), "0".into());
        }
        if !self.cpu {
            (host.cpu_period, host.cpu_quota) = (None, None);
            labels.insert(labels::CPU.into(), "0".into());
        }
        if !self.processes {
            host.pids_limit = None;
        }
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.missing().map_or_else(|| "every limit is held".to_owned(), |(missing, _)| missing))
    }
}

/// The user whose Podman it is: the one that its containers take for root.
pub(super) fn owner(host: &Value) -> Option<u64> {
    let all = host["idMappings"]["uidmap"].as_array()?;
    all.iter().find(|range| range["container_id"] == 0)?["host_id"].as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn host(version: &str, manager: &str, controllers: &[&str]) -> Value {
        json!({ "cgroupVersion": version, "cgroupManager": manager, "cgroupControllers": controllers })
    }

    #[test]
    fn what_a_user_was_not_handed_is_left_out_and_said_with_its_mend() {
        let none = Limits::of(&host("v1", "cgroupfs", &[]));
        let (missing, mend) = none.missing().unwrap();
        assert!(missing.contains("no limit of memory, CPU and number of processes here"), "{missing}");
        assert!(mend.contains("unified_cgroup_hierarchy"), "{mend}");
        let debian = Limits::of(&host("v2", "systemd", &["memory", "pids"]));
        let (missing, mend) = debian.missing().unwrap();
        assert!(
            missing.contains("no limit of CPU here") && mend.contains("Delegate=cpu memory pids"),
            "{missing} {mend}"
        );
        assert_eq!(Limits::of(&host("v2", "systemd", &["cpu", "io", "memory", "pids"])).missing(), None);
        // Podman hands out nothing by itself, whatever there is.
        let unmanaged = Limits::of(&host("v2", "cgroupfs", &["cpu", "memory", "pids"]));
        assert!(!unmanaged.memory && !unmanaged.are_measured() && debian.are_measured());
        assert!(unmanaged.missing().unwrap().1.contains("cgroup_manager"));
    }

    #[test]
    fn a_container_is_asked_for_no_limit_that_cannot_be_held_and_does_not_claim_it() {
        let body = || {
            let mut body = ContainerCreateBody::default();
            let host = body.host_config.get_or_insert_default();
            (host.memory, host.memory_swap, host.cpu_period, host.cpu_quota) = (Some(1), Some(1), Some(1), Some(1));
            host.pids_limit = Some(1);
            body.labels = Some([(labels::MEMORY, "1"), (labels::CPU, "1")].map(|(k, v)| (k.into(), v.into())).into());
            body
        };
        let (mut whole, mut half) = (body(), body());
        Limits::ALL.adapt(&mut whole);
        assert_eq!(whole, body());
        Limits::of(&host("v2", "systemd", &["memory", "pids"])).adapt(&mut half);
        let labels = half.labels.unwrap();
        assert_eq!((labels[labels::MEMORY].as_str(), labels[labels::CPU].as_str()), ("1", "0"));
        let host = half.host_config.unwrap();
        assert_eq!((host.memory, host.cpu_quota, host.cpu_period, host.pids_limit), (Some(1), None, None, Some(1)));
    }

    #[test]
    fn the_user_is_the_one_that_containers_take_for_root() {
        let map = json!([{ "container_id": 1, "host_id": 100_000, "size": 65_536 }, { "container_id": 0, "host_id": 1000, "size": 1 }]);
        assert_eq!(owner(&json!({ "idMappings": { "uidmap": map } })), Some(1000));
        assert_eq!(owner(&json!({ "idMappings": { "uidmap": null } })), None);
    }
}
