//! The data directory: where everything lies that an installation keeps, and the lock that makes it one towpath's.
//!
//! ```text
//! <data-dir>/           0700; 0711 as root, so that service users reach their builds and instances
//!   certificates.pem    which certificate authorities are trusted, where `--ca-certificates` adds some
//!   lock                held as long as a control plane runs; holds its process id
//!   store/ mirrors/ logs/ cache/ run/ secrets/       0700
//!   builds/ instances/  0700; 0711 as root
//!   ingress/            0700; belongs to the ingress' user once that is set up
//! ```

use crate::model::InstanceId;
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A Unix socket's path has room for 108 bytes with the zero at its end (unix(7)).
const SOCKET_PATH_MAX: usize = 107;

/// What is wrong with a data directory.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another control plane holds the lock.
    #[error("another towpath{} runs on data directory `{}`", pid.map(|p| format!(" (pid {p})")).unwrap_or_default(), path.display())]
    Locked {
        /// The data directory.
        path: PathBuf,
        /// Its process id, if it could be read.
        pid: Option<u32>,
    },
    /// Sockets could not be bound under it.
    #[error("the data directory `{}` has too long a path: the socket `{}` would have {length} bytes, and a socket's path has at most {SOCKET_PATH_MAX}", path.display(), socket.display())]
    PathTooLong {
        /// The data directory.
        path: PathBuf,
        /// The longest socket path in it.
        socket: PathBuf,
        /// Its length in bytes.
        length: usize,
    },
    /// It is a file, or a link where a directory must be.
    #[error("`{}` is not a directory", path.display())]
    NotADirectory {
        /// Which.
        path: PathBuf,
    },
    /// It belongs to someone else.
    #[error("the directory `{}` belongs to user id {owner}, and towpath runs as user id {uid}", path.display())]
    ForeignOwner {
        /// Which.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who we are.
        uid: u32,
    },
    /// Others could change what is in it.
    #[error("the directory `{}` can be written by others (mode {mode:04o})", path.display())]
    OpenToOthers {
        /// Which.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The path is not absolute.
    #[error("the data directory `{}` is not an absolute path", path.display())]
    Relative {
        /// The path.
        path: PathBuf,
    },
    /// A file operation failed.
    #[error("failed to {act}")]
    Io {
        /// What was tried, with its object.
        act: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl DataDirError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Locked { .. } => {
                Some("stop it with `towpath down`, or give this one another directory with `--data-dir`".into())
            }
            Self::PathTooLong { .. } => Some("choose a shorter path with `--data-dir`".into()),
            Self::NotADirectory { .. } => Some("move it away, or choose another path with `--data-dir`".into()),
            Self::ForeignOwner { path, uid, .. } => Some(format!(
                "run towpath as the owner, choose another path with `--data-dir`, or give it over: \
                 `chown -R {uid} {}`",
                shell_word(path)
            )),
            Self::OpenToOthers { path, .. } => Some(format!("run `chmod go-w {}`", shell_word(path))),
            Self::Relative { .. } => Some("write the whole path, starting with `/`".into()),
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("choose a directory that you may write with `--data-dir`".into())
            }
            Self::Io { .. } => None,
        }
    }
}

/// A path as a person can paste it into a shell.
fn shell_word(path: &Path) -> String {
    shlex::try_quote(&path.to_string_lossy()).map(std::borrow::Cow::into_owned).unwrap_or_default()
}

/// Where everything of an installation lies. A locked one holds the lock as long as any clone of it lives.
#[derive(Clone, Debug)]
pub struct DataDir {
    root: PathBuf,
    lock: Option<Arc<File>>,
}

/// Permission bits of a directory that only towpath enters.
const PRIVATE: u32 = 0o700;
/// Permission bits of a directory that others may pass through to what is theirs, without seeing what is in it.
const PASSABLE: u32 = 0o711;

impl DataDir {
    /// The data directory at this path, for commands that only look: nothing is created, checked or locked.
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned(), lock: None }
    }

    /// Creates what is missing, checks what is there, and takes the lock for as long as the value or a clone lives.
    /// The path is absolute; parents are created.
    pub fn open(root: &Path) -> Result<Self, DataDirError> {
        let uid = rustix::process::geteuid().as_raw();
        let dir = Self::at(root);
        if !root.is_absolute() {
            return Err(DataDirError::Relative { path: root.to_owned() });
        }
        dir.check_socket_paths()?;
        let passable = if uid == 0 { PASSABLE } else { PRIVATE };
        create_parents(root)?;
        ensure_directory(root, passable, Some(uid))?;
        let locked = dir.lock()?;
        for private in ["store", "mirrors", "logs", "cache", "run", "secrets"] {
            ensure_directory(&root.join(private), PRIVATE, Some(uid))?;
        }
        for shared in ["builds", "instances"] {
            ensure_directory(&root.join(shared), passable, Some(uid))?;
        }
        // The ingress' user owns it once the ingress was started.
        ensure_directory(&root.join("ingress"), PRIVATE, None)?;
        Ok(locked)
    }

    /// The same directory with its lock held; it must exist. Fails if another process holds it.
    pub fn lock(&self) -> Result<Self, DataDirError> {
        let path = self.lock_file();
        let act = || format!("lock `{}`", path.display());
        let io = |source| DataDirError::Io { act: act(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
            .open(&path)
            .map_err(io)?;
        match lock_patiently(&file) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(DataDirError::Locked { path: self.root.clone(), pid: read_pid(&mut file) });
            }
            Err(errno) => return Err(io(errno.into())),
        }
        write_pid(&mut file).map_err(io)?;
        Ok(Self { root: self.root.clone(), lock: Some(Arc::new(file)) })
    }

    /// The control plane that runs on it now, if one does: its process id, 0 if that is not known.
    pub fn holder(&self) -> Option<u32> {
        let mut file = File::open(self.lock_file()).ok()?;
        // Shared, and let go at once: two that look do not hinder each other, and `lock` tries longer than a look takes.
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Err(rustix::io::Errno::WOULDBLOCK) => Some(read_pid(&mut file).unwrap_or(0)),
            _ => None,
        }
    }

    /// Whether this value holds the lock.
    pub fn is_locked(&self) -> bool {
        self.lock.is_some()
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The lock's file.
    pub fn lock_file(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// The store's directory.
    pub fn store(&self) -> PathBuf {
        self.root.join("store")
    }

    /// All certificate authorities that are trusted, where `--ca-certificates` adds some. Not in a directory that is
    /// closed to users of services.
    pub fn certificates(&self) -> PathBuf {
        self.root.join("certificates.pem")
    }

    /// The directory of all instances of the process engine.
    pub fn instances(&self) -> PathBuf {
        self.root.join("instances")
    }

    /// One instance's directory.
    pub fn instance(&self, id: &InstanceId) -> PathBuf {
        self.instances().join(id.as_str())
    }

    /// The directory of all builds of the process engine.
    pub fn builds(&self) -> PathBuf {
        self.root.join("builds")
    }

    /// The directory of the git mirrors.
    pub fn mirrors(&self) -> PathBuf {
        self.root.join("mirrors")
    }

    /// The root of the log files.
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// The ingress' own directory: its snapshot of the routing, its end of the link.
    pub fn ingress(&self) -> PathBuf {
        self.root.join("ingress")
    }

    /// The socket that the ingress listens on for the control plane.
    pub fn link_socket(&self) -> PathBuf {
        self.ingress().join("link.sock")
    }

    /// What can be made again: downloads, build caches.
    pub fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }

    /// The manifest's commits, where it is pulled from git.
    pub fn manifests(&self) -> PathBuf {
        self.root.join("manifest")
    }

    /// The keys of encrypted secrets.
    pub fn secrets(&self) -> PathBuf {
        self.root.join("secrets")
    }

    /// Makes the data directory as far as keys need it, for a command that runs before any control plane did.
    ///
    /// # Errors
    /// When it cannot be made, or is not for us.
    pub fn prepare(root: &Path) -> Result<Self, DataDirError> {
        let uid = rustix::process::geteuid().as_raw();
        create_parents(root)?;
        ensure_directory(root, if uid == 0 { PASSABLE } else { PRIVATE }, Some(uid))?;
        let dir = Self::at(root);
        ensure_directory(&dir.secrets(), PRIVATE, Some(uid))?;
        Ok(dir)
    }

    /// The administrator's first access key, in a file that AWS' clients read.
    pub fn admin_credentials(&self) -> PathBuf {
        self.root.join("admin.credentials")
    }

    /// The audit trail.
    pub fn audit(&self) -> PathBuf {
        self.root.join("audit")
    }

    /// What lives only while a control plane runs.
    pub fn run(&self) -> PathBuf {
        self.root.join("run")
    }

    /// The socket that commands reach the control plane on.
    pub fn control_socket(&self) -> PathBuf {
        self.run().join("control.sock")
    }

    /// The token that the control socket demands.
    pub fn control_token(&self) -> PathBuf {
        self.run().join("token")
    }

    fn check_socket_paths(&self) -> Result<(), DataDirError> {
        let sockets = [self.control_socket(), self.link_socket()];
        let longest = sockets.into_iter().max_by_key(|s| s.as_os_str().len());
        match longest {
            Some(socket) if socket.as_os_str().len() > SOCKET_PATH_MAX => {
                let length = socket.as_os_str().len();
                Err(DataDirError::PathTooLong { path: self.root.clone(), socket, length })
            }
            _ => Ok(()),
        }
    }
}

/// The data directory where none is named: `/var/lib/towpath` as root, else under the user's state directory.
/// `None` when neither variable is there. Relative values of `XDG_STATE_HOME` count as unset (XDG base directories).
pub fn default_data_dir(uid: u32, xdg_state_home: Option<&Path>, home: Option<&Path>) -> Option<PathBuf> {
    if uid == 0 {
        return Some(PathBuf::from("/var/lib/towpath"));
    }
    let absolute = |path: &&Path| path.is_absolute();
    let state = xdg_state_home.filter(absolute).map(Path::to_owned);
    let state = state.or_else(|| home.filter(absolute).map(|h| h.join(".local/state")));
    state.map(|s| s.join("towpath"))
}

/// The parents of the data directory, as the system makes directories by default.
fn create_parents(root: &Path) -> Result<(), DataDirError> {
    let Some(parent) = root.parent() else { return Ok(()) };
    fs::create_dir_all(parent)
        .map_err(|source| DataDirError::Io { act: format!("create directory `{}`", parent.display()), source })
}

/// Creates a directory, or checks the one that is there: a real directory, of `owner`, not writable by others.
fn ensure_directory(path: &Path, mode: u32, owner: Option<u32>) -> Result<(), DataDirError> {
    match DirBuilder::new().mode(mode).create(path) {
        Ok(()) => return Ok(()),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        Err(source) => return Err(DataDirError::Io { act: format!("create directory `{}`", path.display()), source }),
    }
    let metadata = fs::symlink_metadata(path)
        .map_err(|source| DataDirError::Io { act: format!("look at `{}`", path.display()), source })?;
    check_directory(path, &metadata, owner)
}

fn check_directory(path: &Path, metadata: &fs::Metadata, owner: Option<u32>) -> Result<(), DataDirError> {
    let path = path.to_owned();
    let mode = metadata.mode() & 0o7777;
    if !metadata.is_dir() {
        return Err(DataDirError::NotADirectory { path });
    }
    if let Some(uid) = owner.filter(|uid| *uid != metadata.uid()) {
        return Err(DataDirError::ForeignOwner { path, owner: metadata.uid(), uid });
    }
    if mode & 0o022 != 0 {
        return Err(DataDirError::OpenToOthers { path, mode });
    }
    Ok(())
}

/// Takes the lock, trying for a moment: a command that looks whether it is held holds it itself for an instant.
fn lock_patiently(file: &File) -> rustix::io::Result<()> {
    for _ in 0..10 {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(std::time::Duration::from_millis(10)),
            other => return other,
        }
    }
    Err(rustix::io::Errno::WOULDBLOCK)
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(test)]
mod tests;
