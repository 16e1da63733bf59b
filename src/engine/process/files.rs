//! The files of an instance's directory, through which engine and shim speak, each written whole or not at all.
//!
//! `spec.json` (the engine's intent, and the lease of the port), `state.json` (the shim: it was started), `grace` (the
//! engine: how long a stop waits), `exit.json` (the end, whoever saw it). `lock` is held by the shim for life. The
//! directory is 0700 and the files are 0600: `spec.json` holds secret values.

use crate::host::files::{read_small, write_atomic};
use crate::host::jail::Jail;
use crate::model::{
    Digest, Input, InstallationId, InstanceId, Purpose, RevisionNumber, ServiceId, ServiceName, StartCommand, Timestamp,
};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The variable that every process of an instance carries, so that it is found again when its shim is gone.
pub const MARKER: &str = "TOWPATH_INSTANCE_ID";

/// An environment is at most a few hundred kilobytes (the kernel's own limit is 128 KiB per variable, 2 MiB in all).
const LARGEST_FILE: u64 = 8 << 20;

/// What to run. Written by the engine, read once by the shim. Not `Debug`: the environment holds secret values.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct SpecFile {
    /// The instance.
    pub id: InstanceId,
    /// Whether it serves, or is a command that runs once. What was written before there were such serves.
    #[serde(default)]
    pub purpose: Purpose,
    /// The installation that owns it.
    pub installation: InstallationId,
    /// The service it belongs to.
    pub service: ServiceId,
    /// The service's name.
    pub name: ServiceName,
    /// The revision it runs.
    pub revision: RevisionNumber,
    /// The digest of its configuration.
    pub config: Digest,
    /// The working directory of its commands.
    pub directory: PathBuf,
    /// The whole environment, `PORT` and `PATH` included.
    pub env: BTreeMap<String, String>,
    /// Shell lines run before the command.
    pub pre_run: Vec<String>,
    /// The start command.
    pub command: StartCommand,
    /// The leased port.
    pub port: u16,
    /// The port that its application may bind in place of the leased one, where such a bind can be moved.
    #[serde(default)]
    pub moved: Option<u16>,
    /// CPU limit in thousandths of a vCPU.
    pub cpu: u32,
    /// Memory limit in bytes.
    pub memory: u64,
    /// The file that receives the output.
    pub log: PathBuf,
    /// The size at which the log file is turned over; one older file of that size is kept.
    pub log_limit: u64,
    /// What keeps its processes in.
    #[serde(default)]
    pub jail: Jail,
    /// How it gets files of its own.
    #[serde(default)]
    pub files: Files,
    /// What the command reads from: the shim's own standard input, unless it is empty.
    #[serde(default)]
    pub input: Input,
    /// When this was written.
    pub written_at: Timestamp,
}

/// How an instance gets files of its own; the default gives it none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Files {
    /// Whose they are, where not towpath's own user's.
    pub user: Option<u32>,
    /// The directory that is seen through a layer of its own, which takes all changes.
    pub layered: Option<PathBuf>,
    /// Whether it works in a copy.
    pub copied: bool,
    /// What its files may take, in bytes; 0 is anything.
    pub storage: u64,
    /// Whether a disk of that size holds them; else they are measured now and then.
    pub disk: bool,
}

/// What lies under an instance's `disk/`, which is a disk of its own where one can be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskDir(PathBuf);

impl DiskDir {
    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The file that holds the disk, beside it.
    pub fn image(&self) -> PathBuf {
        self.0.with_extension("img")
    }

    /// Temporary files.
    pub fn temporary(&self) -> PathBuf {
        self.0.join("tmp")
    }

    /// What the instance changed of its artifact.
    pub fn upper(&self) -> PathBuf {
        self.0.join("upper")
    }

    /// The overlay file system's own.
    pub fn work(&self) -> PathBuf {
        self.0.join("work")
    }

    /// A copy of the application, where there are no layers.
    pub fn copy(&self) -> PathBuf {
        self.0.join("app")
    }
}

/// What the shim started.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct StateFile {
    /// The boot in which all of this is true.
    pub boot: String,
    /// The shim's process id.
    pub shim: i32,
    /// The shim's start time, in ticks since boot.
    pub shim_start: u64,
    /// The process that runs now: a `pre-run` line or the start command.
    pub app: i32,
    /// The control groups that hold the instance; empty where they cannot be written.
    pub cgroups: Vec<PathBuf>,
    /// Whether the kernel holds the instance to its size.
    pub limited: bool,
    /// What the kernel or the disk refused the application, for people, oldest first.
    #[serde(default)]
    pub notices: Vec<String>,
    /// The digest of `spec.json` as it was read, to notice that it was edited since.
    pub spec: Digest,
    /// When the first process was started.
    pub started_at: Timestamp,
}

/// How an instance ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ExitFile {
    /// The exit code, or 128 + signal; `None` when nobody saw it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// For people: `exited with code 1`.
    pub message: String,
    /// Whether a process of it ever ran; when not, starting it again is no use.
    pub started: bool,
    /// When it ended.
    pub at: Timestamp,
}

/// The directory of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceDir(PathBuf);

impl InstanceDir {
    /// The directory at this path; nothing is created.
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// What holds its own files.
    pub fn disk(&self) -> DiskDir {
        DiskDir(self.0.join("disk"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Creates the directory, for its owner only.
    pub fn create(&self) -> io::Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0)
    }

    /// The bytes of `spec.json` and what they say; `None` when there is none.
    pub fn spec(&self) -> io::Result<Option<(SpecFile, Digest)>> {
        let Some(bytes) = self.bytes("spec.json")? else { return Ok(None) };
        let spec = parse(&bytes, "spec.json")?;
        Ok(Some((spec, Digest::of(&bytes))))
    }

    /// The state; `None` when nothing was started yet.
    pub fn state(&self) -> io::Result<Option<StateFile>> {
        self.bytes("state.json")?.map(|bytes| parse(&bytes, "state.json")).transpose()
    }

    /// The end; `None` when nobody wrote one.
    pub fn exit(&self) -> io::Result<Option<ExitFile>> {
        self.bytes("exit.json")?.map(|bytes| parse(&bytes, "exit.json")).transpose()
    }

    /// How long a stop waits before it kills; `None` when no stop was asked for.
    pub fn grace(&self) -> Option<Duration> {
        let bytes = self.bytes("grace").ok()??;
        Some(Duration::from_millis(std::str::from_utf8(&bytes).ok()?.trim().parse().ok()?))
    }

    /// Writes `spec.json`.
    pub fn write_spec(&self, spec: &SpecFile) -> io::Result<()> {
        self.write("spec.json", spec)
    }

    /// Writes `state.json`.
    pub fn write_state(&self, state: &StateFile) -> io::Result<()> {
        self.write("state.json", state)
    }

    /// Writes `exit.json`.
    pub fn write_exit(&self, exit: &ExitFile) -> io::Result<()> {
        self.write("exit.json", exit)
    }

    /// Writes how long a stop waits before it kills.
    pub fn write_grace(&self, grace: Duration) -> io::Result<()> {
        write_atomic(&self.file("grace"), grace.as_millis().to_string().as_bytes())
    }

    /// Takes the lock for life; `None` when another shim holds it. The descriptor is closed on exec: no child holds it.
    pub fn lock(&self) -> io::Result<Option<File>> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(self.file("lock"))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a shim holds the lock. The look takes a shared lock for a moment; shims try again for that reason.
    pub fn is_locked(&self) -> io::Result<bool> {
        let file = match File::open(self.file("lock")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            file => file?,
        };
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(false),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    fn bytes(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match read_small(&self.file(name), LARGEST_FILE) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            bytes => bytes.map(Some),
        }
    }

    fn write<T: Serialize>(&self, name: &str, value: &T) -> io::Result<()> {
        write_atomic(&self.file(name), &serde_json::to_vec(value)?)
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8], name: &str) -> io::Result<T> {
    // The parser's own message may quote a value, and values may be secret: only the place is repeated.
    serde_json::from_slice(bytes).map_err(|error| {
        let place = format!("{name} is damaged at line {} column {}", error.line(), error.column());
        io::Error::new(io::ErrorKind::InvalidData, place)
    })
}
