//! Which of the process engine's protections hold on this machine, and why not: for `doctor`, and for the log at the start.

use super::firewall;
use crate::host::jail::probe::Means;
use std::io;
use std::path::Path;

/// One protection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// What it is, in a few words.
    pub name: &'static str,
    /// Whether it holds here.
    pub holds: bool,
    /// How it holds, or why not, and what that means.
    pub detail: String,
    /// What a person can do about it.
    pub mend: Option<&'static str>,
}

const AS_ROOT: &str = "run towpath as root, or use the Docker engine";

/// All protections, found out by trying. `exe` is the towpath binary, `data_dir` exists. Blocking.
///
/// # Errors
/// When it could not be tried.
pub fn survey(exe: &Path, data_dir: &Path) -> io::Result<Vec<Fact>> {
    Ok(of(&Means::of(exe, data_dir)?, firewall::probe().map_err(|e| e.to_string())))
}

fn of(means: &Means, firewall: Result<(), String>) -> Vec<Fact> {
    vec![
        users(means),
        landlock(means),
        views(means),
        layers(means),
        storage(means),
        limits(means),
        network(means, firewall),
        ports(means),
    ]
}

fn fact(name: &'static str, holds: bool, detail: impl Into<String>, mend: &'static str) -> Fact {
    Fact { name, holds, detail: detail.into(), mend: (!holds).then_some(mend) }
}

fn users(means: &Means) -> Fact {
    let detail = if means.root {
        "builds and instances run as a user of their service's own"
    } else {
        "towpath does not run as root: builds and instances run as its own user"
    };
    fact("user per service", means.root, detail, AS_ROOT)
}

fn landlock(means: &Means) -> Fact {
    let detail = means.landlock.map_or_else(
        || "this kernel has no Landlock: permissions of files alone decide what services read".to_owned(),
        |version| format!("version {version}: services read the system and their own files, and change only these"),
    );
    let mend = "boot a kernel from 5.13 on with `landlock` in its list of security modules (`lsm=landlock,…`)";
    fact("Landlock", means.landlock.is_some(), detail, mend)
}

fn views(means: &Means) -> Fact {
    let detail = match &means.views {
        Ok(()) => {
            "the data directory and other users' processes are out of sight, `/tmp` is an instance's own".to_owned()
        }
        Err(why) => format!("{why}: services see the names of files and processes, and share `/tmp`"),
    };
    fact(
        "view of the file system",
        means.views.is_ok(),
        detail,
        "allow mount namespaces (`CAP_SYS_ADMIN`, or user namespaces)",
    )
}

fn layers(means: &Means) -> Fact {
    let detail = match &means.layers {
        Ok(()) => "an instance sees its build through a layer of its own (overlayfs)".to_owned(),
        Err(why) => format!("{why}: an instance gets a copy of its source, or runs in the build when that is large"),
    };
    let mend = "keep the data directory on a file system that overlayfs can lie on, such as ext4 or xfs";
    fact("own files per instance", means.layers.is_ok(), detail, mend)
}

fn storage(means: &Means) -> Fact {
    let detail = match &means.disks {
        Ok(()) => "an instance has a disk of its size: beyond it, its writes fail and nobody else's".to_owned(),
        Err(why) => format!("{why}: files are measured now and then, and an instance that takes more is ended"),
    };
    fact(
        "storage limit",
        means.disks.is_ok(),
        detail,
        "as root, allow loop devices and install `e2fsprogs` and `mount`",
    )
}

fn limits(means: &Means) -> Fact {
    let detail = if means.limits {
        "the kernel holds builds and instances to their memory, CPU and number of processes"
    } else {
        "no control group can be written: nothing limits memory, CPU and number of processes"
    };
    let mend = "run towpath as root, or under systemd with `Delegate=yes`";
    fact("memory and CPU limits", means.limits, detail, mend)
}

fn network(means: &Means, firewall: Result<(), String>) -> Fact {
    let firewall = if means.root { firewall } else { Err("towpath does not run as root".to_owned()) };
    let detail = match &firewall {
        Ok(()) => "services reach neither each other's instances nor the API nor the machine's metadata".to_owned(),
        Err(why) => format!("{why}: services can connect to each other's ports and to metadata addresses"),
    };
    fact("network rules", firewall.is_ok(), detail, "as root, install `nftables`; or use the Docker engine")
}

fn ports(means: &Means) -> Fact {
    let detail = match &means.ports {
        Ok(()) => "an application that listens on its service's port whatever `PORT` says gets its own".to_owned(),
        Err(why) => format!("{why}: applications have to listen on the port in `PORT`"),
    };
    let mend = "boot a kernel from 5.6 on, or allow `seccomp` where towpath runs in a container";
    fact("fixed ports", means.ports.is_ok(), detail, mend)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_hold_says_why_and_what_to_do() {
        let no = || Err("it is forbidden".to_owned());
        let nothing =
            Means { root: false, views: no(), layers: no(), disks: no(), landlock: None, limits: false, ports: no() };
        for fact in of(&nothing, no()) {
            assert!(!fact.holds && fact.mend.is_some() && fact.detail.len() > 20, "{fact:?}");
        }
        let yes = || Ok(());
        let all = Means {
            root: true,
            views: yes(),
            layers: yes(),
            disks: yes(),
            landlock: Some(7),
            limits: true,
            ports: yes(),
        };
        assert!(of(&all, Ok(())).iter().all(|fact| fact.holds && fact.mend.is_none()));
    }
}
