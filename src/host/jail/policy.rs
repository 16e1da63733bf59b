//! Which jail a build or an instance gets on this machine: as much of it as the machine lets us have.

use super::probe::Means;
use super::users::Users;
use super::view::{View, barrier};
use super::walls::Walls;
use super::{Jail, prefix};
use std::io;
use std::path::{Path, PathBuf};

/// Sockets of container engines: whoever may write to one may become root.
const ENGINE_SOCKETS: &[&str] = &["/run/docker.sock", "/run/podman/podman.sock", "/run/containerd/containerd.sock"];

/// How this installation keeps builds and instances apart from each other and from itself.
#[derive(Clone, Debug)]
pub struct Policy {
    /// What the machine lets us have.
    pub means: Means,
    /// The binary that sets a jail up.
    pub exe: PathBuf,
    data: PathBuf,
    users: Users,
}

/// What a jailed program needs.
#[derive(Clone, Debug, Default)]
pub struct Needs {
    /// Directories that it reads.
    pub read: Vec<PathBuf>,
    /// The search path of the machine: its programs are read with all that belongs to them.
    pub search: Vec<PathBuf>,
    /// Directories that it changes.
    pub write: Vec<PathBuf>,
    /// Its directory for temporary files, one of those that it changes.
    pub temporary: PathBuf,
    /// The directory with its `passwd` and `group`.
    pub accounts: Option<PathBuf>,
    /// The user that it runs as.
    pub user: Option<u32>,
    /// The most bytes that one file of it may have.
    pub largest_file: Option<u64>,
}

impl Policy {
    /// The policy of an installation; `data` is its data directory and exists, `first_user` where its user ids begin.
    /// Blocking.
    ///
    /// # Errors
    /// When it cannot be found out what the machine lets us have.
    pub fn of(exe: PathBuf, data: &Path, first_user: u32) -> io::Result<Self> {
        let data = data.canonicalize()?;
        let means = Means::of(&exe, &data)?;
        let users = Users::at(data.clone(), first_user);
        Ok(Self { means, exe, data, users })
    }

    /// The user id of a service; none where towpath is not root. Blocking.
    ///
    /// # Errors
    /// When it cannot be recorded.
    pub fn user(&self, service: &str) -> io::Result<Option<u32>> {
        self.means.root.then(|| self.users.id_of(service)).transpose()
    }

    /// The first and the last user id of services; none where towpath is not root.
    pub fn user_range(&self) -> Option<(u32, u32)> {
        self.means.root.then(|| self.users.range())
    }

    /// Whether nothing keeps builds and instances from the files of the user that towpath runs as.
    pub fn is_open(&self) -> bool {
        !self.means.root && self.means.landlock.is_none()
    }

    /// Where a jailed program finds its directory for temporary files.
    pub fn temporary<'a>(&self, own: &'a Path) -> &'a Path {
        if self.means.views.is_ok() { Path::new("/tmp") } else { own }
    }

    /// The jail for these needs.
    pub fn jail(&self, needs: &Needs) -> Jail {
        let read: Vec<PathBuf> = needs.read.iter().cloned().chain(prefix::of(&needs.search)).collect();
        Jail {
            user: needs.user,
            view: self.means.views.is_ok().then(|| self.view(needs, &read)),
            walls: self.means.landlock.is_some().then(|| self.walls(needs, read)),
            largest_file: needs.largest_file,
        }
    }

    fn view(&self, needs: &Needs, read: &[PathBuf]) -> View {
        let mut placed = vec![(needs.temporary.clone(), "/tmp".into()), (needs.temporary.clone(), "/var/tmp".into())];
        if let Some(directory) = &needs.accounts {
            placed.extend(["passwd", "group"].map(|name| (directory.join(name), Path::new("/etc").join(name))));
        }
        let sockets = ENGINE_SOCKETS.iter().map(PathBuf::from).filter(|path| path.exists());
        placed.extend(sockets.map(|socket| ("/dev/null".into(), socket)));
        let user = needs.user.unwrap_or_else(|| rustix::process::geteuid().as_raw());
        let needed = || read.iter().chain(&needs.write);
        let mut covered = vec![self.data.clone()];
        covered.extend(needed().filter_map(|path| barrier(path, user)));
        covered.extend(Some(PathBuf::from(format!("/run/user/{user}"))).filter(|path| path.is_dir()));
        covered.sort();
        covered.dedup_by(|inner, outer| inner.starts_with(&*outer));
        let hidden = |path: &Path| {
            let below = placed.iter().map(|(_, to)| to).chain(&covered).any(|over| path.starts_with(over));
            below && path.exists()
        };
        let mut shown: Vec<PathBuf> = needed().filter(|path| hidden(path)).cloned().collect();
        // Outer ones first, so that an inner one is not hidden by them.
        shown.sort();
        View { placed, covered, shown }
    }

    fn walls(&self, needs: &Needs, read: Vec<PathBuf>) -> Walls {
        let mut write = needs.write.clone();
        if self.means.views.is_ok() {
            // Its own, see the view.
            write.extend(["/tmp", "/var/tmp", "/dev/shm"].map(PathBuf::from));
        }
        Walls { read, write }
    }
}

/// A policy of a machine that lets us have everything, for tests of what is made of it.
#[cfg(test)]
pub fn everything(data: &Path) -> Policy {
    let means = Means {
        root: true,
        views: Ok(()),
        layers: Ok(()),
        disks: Ok(()),
        landlock: Some(6),
        limits: true,
        ports: Ok(()),
    };
    let users = Users::at(data.to_owned(), super::users::DEFAULT_FIRST);
    Policy { means, exe: "/proc/self/exe".into(), data: data.to_owned(), users }
}
