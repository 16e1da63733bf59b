//! Streams and their files, both ways. Paths are made of checked ids only, and only names that are ids are read back.

use crate::model::{InstanceId, Operation, OperationId, OperationKind, ServiceId, Timestamp};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// The folder of an operation's stream (row O1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OperationGroup {
    /// Deployments, of creation too.
    Deployment,
    /// Changed configurations.
    Update,
    /// Pauses.
    Pause,
    /// Resumes.
    Resume,
    /// Deletions.
    Delete,
}

impl OperationGroup {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Deployment, Self::Update, Self::Pause, Self::Resume, Self::Delete];

    /// The folder's name, as streams carry it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "deployment",
            Self::Update => "update",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Delete => "delete",
        }
    }
}

impl From<OperationKind> for OperationGroup {
    fn from(kind: OperationKind) -> Self {
        match kind {
            OperationKind::CreateService | OperationKind::StartDeployment => Self::Deployment,
            OperationKind::UpdateService => Self::Update,
            OperationKind::PauseService => Self::Pause,
            OperationKind::ResumeService => Self::Resume,
            OperationKind::DeleteService => Self::Delete,
        }
    }
}

/// One log stream of a service.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stream {
    /// The life of the service.
    Events,
    /// One operation.
    Operation {
        /// Its folder.
        group: OperationGroup,
        /// Its id.
        id: OperationId,
    },
    /// An instance's output.
    Instance(InstanceId),
}

impl Stream {
    /// The stream of an operation.
    pub fn of(operation: &Operation) -> Self {
        Self::Operation { group: operation.kind.into(), id: operation.id.clone() }
    }

    /// The name within its log group as App Runner has it: `events`, `deployment/<id>`, `instance/<id>`.
    pub fn name(&self) -> String {
        match self {
            Self::Events => "events".into(),
            Self::Operation { group, id } => format!("{}/{}", group.as_str(), id.undashed()),
            Self::Instance(id) => format!("instance/{id}"),
        }
    }

    pub(super) fn path(&self, service: &Path) -> PathBuf {
        let group = if matches!(self, Self::Instance(_)) { "application" } else { "service" };
        service.join(group).join(format!("{}.log", self.name()))
    }
}

/// What is known of a stream without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamInfo {
    /// The stream.
    pub stream: Stream,
    /// Its size on disk, with the rotated part.
    pub bytes: u64,
    /// When it was last written.
    pub modified: Timestamp,
}

/// The streams in a service's directory, the one written last first. Nothing there is no stream.
pub(super) fn list(service: &Path) -> io::Result<Vec<StreamInfo>> {
    let mut streams = Vec::new();
    streams.extend(info(service, Stream::Events)?);
    for group in OperationGroup::ALL {
        for name in log_names(&service.join("service").join(group.as_str()))? {
            let id = dashed(&name);
            streams.extend(id.map(|id| info(service, Stream::Operation { group, id })).transpose()?.flatten());
        }
    }
    for name in log_names(&service.join("application/instance"))? {
        let id = name.parse().ok();
        streams.extend(id.map(|id| info(service, Stream::Instance(id))).transpose()?.flatten());
    }
    streams.sort_by(|a, b| (b.modified, &b.stream).cmp(&(a.modified, &a.stream)));
    Ok(streams)
}

/// The services that have a directory.
pub(super) fn list_services(root: &Path) -> io::Result<Vec<ServiceId>> {
    Ok(names(root)?.iter().filter_map(|name| name.parse().ok()).collect())
}

/// The name that a rotated part of a stream has.
pub(super) fn rotated(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    PathBuf::from(name)
}

fn info(service: &Path, stream: Stream) -> io::Result<Option<StreamInfo>> {
    let path = stream.path(service);
    let (current, old) = (regular(&path)?, regular(&rotated(&path))?);
    let bytes = current.as_ref().map_or(0, fs::Metadata::len) + old.as_ref().map_or(0, fs::Metadata::len);
    Ok(current.or(old).map(|m| StreamInfo { stream, bytes, modified: modified(&m) }))
}

/// A regular file's metadata; `None` for anything else and for nothing.
fn regular(path: &Path) -> io::Result<Option<fs::Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata).filter(fs::Metadata::is_file)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

pub(super) fn modified(metadata: &fs::Metadata) -> Timestamp {
    let since = metadata.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// The stems of `*.log` and `*.log.1` in a directory, each once.
fn log_names(directory: &Path) -> io::Result<Vec<String>> {
    let stem = |name: String| Some(name.strip_suffix(".1").unwrap_or(&name).strip_suffix(".log")?.to_owned());
    let mut stems: Vec<String> = names(directory)?.into_iter().filter_map(stem).collect();
    stems.sort_unstable();
    stems.dedup();
    Ok(stems)
}

fn names(directory: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(directory) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().into_string());
    }
    Ok(names)
}

/// An operation's id of the form that stream names carry.
fn dashed(undashed: &str) -> Option<OperationId> {
    if undashed.len() != 32 || !undashed.is_ascii() {
        return None;
    }
    let t = undashed;
    format!("{}-{}-{}-{}-{}", &t[..8], &t[8..12], &t[12..16], &t[16..20], &t[20..]).parse().ok()
}
