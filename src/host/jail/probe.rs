//! What this machine lets towpath do to keep builds and instances apart, found out by trying; each with what it means.

use super::{fixed_port, view, walls};
use crate::host::overlay::Layers;
use crate::host::{cgroup, disk};
use rustix::process::geteuid;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long trying may take.
const LIMIT: Duration = Duration::from_secs(20);

/// What can be had here, or why not.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Means {
    /// Whether this process may become other users.
    pub root: bool,
    /// A view of the file system per process.
    pub views: Result<(), String>,
    /// A layer per instance over its build.
    pub layers: Result<(), String>,
    /// A disk of a fixed size per instance.
    pub disks: Result<(), String>,
    /// Landlock's version.
    pub landlock: Option<u32>,
    /// Memory, CPU and number of processes.
    pub limits: bool,
    /// Moving the port that an application binds.
    pub ports: Result<(), String>,
}

impl Means {
    /// Tries everything for instances and builds below this directory, which exists, by a short process of the binary
    /// `exe`: only a process with one thread may try all. Blocking; tried once per process and directory, since hosts do
    /// not change under a running towpath.
    ///
    /// # Errors
    /// When the process could not be started or did not answer.
    pub fn of(exe: &Path, directory: &Path) -> io::Result<Self> {
        static KNOWN: Mutex<Vec<(PathBuf, Means)>> = Mutex::new(Vec::new());
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, means)) = known.iter().find(|(path, _)| path == directory) {
            return Ok(means.clone());
        }
        let means = Self::ask(exe, directory)?;
        known.push((directory.to_owned(), means.clone()));
        Ok(means)
    }

    fn ask(exe: &Path, directory: &Path) -> io::Result<Self> {
        let mut command = Command::new(exe);
        command.args(["shim", "probe"]).arg(directory).env_clear().current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let output = disk::finish(command.spawn()?, "towpath shim probe", LIMIT)?;
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

/// `towpath shim probe DIR`: tries everything and prints what it found. Returns the exit code.
pub fn run(directory: &Path) -> i32 {
    let place = directory.join(format!(".probe-{}", std::process::id()));
    let landlock = walls::version();
    let limits = cgroup::limits_enforced();
    let [views, layers, disks] = try_mounts(&place);
    let _ = std::fs::remove_dir_all(&place);
    // Last: this thread cannot bind afterwards.
    let ports = fixed_port::probe();
    let means = Means { root: geteuid().is_root(), views, layers, disks, landlock, limits, ports };
    match serde_json::to_string(&means) {
        Ok(text) => println!("{text}"),
        Err(_) => return 1,
    }
    0
}

fn try_mounts(place: &Path) -> [Result<(), String>; 3] {
    let views = try_views(place).map_err(|e| e.to_string());
    if let Err(error) = &views {
        return [views.clone(), Err(error.clone()), Err(error.clone())];
    }
    let layers = try_layers(&place.join("layers")).map_err(|e| e.to_string());
    let disks = if geteuid().is_root() {
        try_disks(&place.join("disk")).map_err(|e| e.to_string())
    } else {
        Err("towpath does not run as root".to_owned())
    };
    [views, layers, disks]
}

fn try_views(place: &Path) -> io::Result<()> {
    view::own_namespace().map_err(|error| io::Error::other(format!("no mount namespace can be made: {error}")))?;
    std::fs::create_dir_all(place.join("shown"))?;
    let view = view::View { covered: vec![place.to_owned()], shown: vec![place.join("shown")], placed: vec![] };
    view.enter().map_err(io::Error::other)?;
    // The directory was made anew in what covers the place: it can only be there when it was shown.
    rustix::mount::unmount(place.join("shown"), rustix::mount::UnmountFlags::DETACH)?;
    Ok(rustix::mount::unmount(place, rustix::mount::UnmountFlags::DETACH)?)
}

fn try_layers(place: &Path) -> io::Result<()> {
    let [lower, upper, work] = ["lower", "upper", "work"].map(|name| place.join(name));
    for directory in [&lower, &upper, &work] {
        std::fs::create_dir_all(directory)?;
    }
    std::fs::write(lower.join("file"), "lower")?;
    Layers { lower: &lower, upper: &upper, work: &work }
        .mount(&lower)
        .map_err(|error| io::Error::new(error.kind(), format!("no overlay can be mounted here: {error}")))?;
    std::fs::write(lower.join("file"), "upper")?;
    let taken = std::fs::read(upper.join("file"))?;
    rustix::mount::unmount(&lower, rustix::mount::UnmountFlags::DETACH)?;
    if taken == b"upper" { Ok(()) } else { Err(io::Error::other("an overlay did not take a change")) }
}

fn try_disks(place: &Path) -> io::Result<()> {
    let target = place.join("mounted");
    std::fs::create_dir_all(&target)?;
    disk::make(&place.join("image"), 16 << 20, &target)?;
    Ok(rustix::mount::unmount(&target, rustix::mount::UnmountFlags::DETACH)?)
}
