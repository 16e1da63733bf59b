//! From an [`InstanceSpec`] to the `spec.json` of the shim: the lease of a port and the whole environment. Blocking.

use super::contain::{Contained, Place, contain};
use super::files::{InstanceDir, MARKER, SpecFile};
use super::ports;
use crate::engine::EngineError;
use crate::host::jail::policy::Policy;
use crate::model::{Artifact, EnvName, InstallationId, InstanceSpec, Purpose, Timestamp};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where commands are looked for when neither build nor user says otherwise.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The log file is turned over at this size, and one older file is kept.
const LOG_LIMIT: u64 = 16 << 20;

/// The parts of an artifact that is a directory.
struct Directory<'a> {
    path: &'a Path,
    root: &'a Path,
    prefix: &'a [PathBuf],
    env: &'a BTreeMap<EnvName, String>,
}

/// What all instances of an installation have in common.
pub struct Common<'a> {
    /// The directory of all instances.
    pub root: &'a Path,
    /// Whose they are.
    pub installation: &'a InstallationId,
    /// How they are kept apart.
    pub policy: &'a Policy,
    /// What the files of one may take where its size does not say, in bytes.
    pub storage: u64,
}

/// Leases a port and writes the spec: from now on the instance is known, and its port is its own.
pub fn write_spec(common: &Common<'_>, dir: &InstanceDir, spec: &InstanceSpec) -> Result<SpecFile, EngineError> {
    let (root, directory) = (common.root, directory(&spec.artifact)?);
    let preferred = spec.sole.then_some(spec.port);
    let seed = u32::from_str_radix(&spec.id.as_str()[..7], 16).unwrap_or(0);
    let leased = ports::leased(root).map_err(|source| io(format!("read {}", root.display()), source))?;
    let port = ports::choose(preferred, seed, &leased).ok_or_else(|| {
        EngineError::Refused(format!(
            "all ports from {} to {} are in use",
            ports::LEASABLE.start(),
            ports::LEASABLE.end()
        ))
    })?;
    dir.create().map_err(|e| io(format!("create {}", dir.path().display()), e))?;
    let place = Place { path: directory.path, root: directory.root, search: directory.prefix };
    let storage = spec.size.storage.map_or(common.storage, |storage| storage.0);
    let contained = contain(common.policy, dir, spec, place, storage)?;
    let mut file = spec_file(common.installation, spec, &directory, port, contained);
    let moves = common.policy.means.ports.is_ok() && port != spec.port && spec.purpose == Purpose::Serve;
    file.moved = moves.then_some(spec.port);
    dir.write_spec(&file).map_err(|e| io(format!("write {}", dir.path().display()), e))?;
    Ok(file)
}

fn io(act: String, source: std::io::Error) -> EngineError {
    EngineError::Io { act, source }
}

fn directory(artifact: &Artifact) -> Result<Directory<'_>, EngineError> {
    match artifact {
        Artifact::Directory { path, root, path_prefix, env } if path.is_dir() => {
            Ok(Directory { path, root: root.as_ref().unwrap_or(path), prefix: path_prefix, env })
        }
        Artifact::Directory { path, .. } => {
            Err(EngineError::Refused(format!("the build in {} is gone; it has to be built again", path.display())))
        }
        Artifact::Image { id } => Err(EngineError::Refused(format!(
            "`{id}` is an image, and the process engine runs directories only; use the Docker engine"
        ))),
    }
}

fn spec_file(
    installation: &InstallationId,
    spec: &InstanceSpec,
    directory: &Directory<'_>,
    port: u16,
    contained: Contained,
) -> SpecFile {
    SpecFile {
        id: spec.id.clone(),
        purpose: spec.purpose,
        installation: installation.clone(),
        service: spec.service.clone(),
        name: spec.name.clone(),
        revision: spec.revision,
        config: spec.config.clone(),
        env: environment(spec, directory, port, &contained),
        pre_run: spec.pre_run.clone(),
        command: spec.command.clone(),
        port,
        moved: None,
        cpu: spec.size.cpu.0,
        memory: spec.size.memory.0,
        log: spec.log.clone(),
        log_limit: LOG_LIMIT,
        directory: contained.directory,
        jail: contained.jail,
        files: contained.files,
        input: spec.input,
        written_at: Timestamp::now(),
    }
}

/// The whole environment, the weakest first: defaults, the build's, the user's, the port (row S7: the port wins).
fn environment(
    spec: &InstanceSpec,
    directory: &Directory<'_>,
    port: u16,
    contained: &Contained,
) -> BTreeMap<String, String> {
    let temporary = contained.temporary.display().to_string();
    let mut env = BTreeMap::from([
        ("HOME".to_owned(), temporary.clone()),
        ("LANG".to_owned(), "C.UTF-8".to_owned()),
        ("TMPDIR".to_owned(), temporary),
    ]);
    env.extend(directory.env.iter().map(|(name, value)| (name.to_string(), value.clone())));
    env.extend(spec.env.iter().map(|(name, value)| (name.to_string(), value.reveal().to_owned())));
    let base = env.get("PATH").map_or(DEFAULT_PATH, String::as_str);
    // Programs of a copied source are the copy's.
    let own = |path: &PathBuf| path.strip_prefix(directory.path).map_or(path.clone(), |p| contained.directory.join(p));
    let prefix = directory.prefix.iter().map(|path| own(path).display().to_string());
    let path = prefix.chain([base.to_owned()]).collect::<Vec<_>>().join(":");
    env.insert("PATH".into(), path);
    env.extend(
        spec.port_env.iter().map(EnvName::to_string).chain(["PORT".into()]).map(|name| (name, port.to_string())),
    );
    env.insert(MARKER.into(), spec.id.to_string());
    env
}
