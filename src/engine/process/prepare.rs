//! From an [`InstanceSpec`] to the `spec.json` of the shim: the lease of a port and the whole environment. Blocking.

use super::files::{InstanceDir, MARKER, SpecFile};
use super::ports;
use crate::engine::EngineError;
use crate::model::{Artifact, EnvName, InstallationId, InstanceSpec, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Where commands are looked for when neither build nor user says otherwise.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The log file is turned over at this size, and one older file is kept.
const LOG_LIMIT: u64 = 16 << 20;

/// The parts of an artifact that is a directory.
struct Directory<'a> {
    path: &'a Path,
    prefix: &'a [PathBuf],
    env: &'a BTreeMap<EnvName, String>,
}

/// Leases a port and writes the spec: from now on the instance is known, and its port is its own.
pub fn write_spec(
    root: &Path,
    dir: &InstanceDir,
    installation: &InstallationId,
    spec: &InstanceSpec,
) -> Result<SpecFile, EngineError> {
    let directory = directory(&spec.artifact)?;
    let preferred = spec.sole.then_some(spec.port);
    let seed = u32::from_str_radix(&spec.id.as_str()[..7], 16).unwrap_or(0);
    let leased = leased(root).map_err(|source| io(format!("read {}", root.display()), source))?;
    let port = ports::choose(preferred, seed, &leased).ok_or_else(|| {
        EngineError::Refused(format!(
            "all ports from {} to {} are in use",
            ports::LEASABLE.start(),
            ports::LEASABLE.end()
        ))
    })?;
    let file = spec_file(dir, installation, spec, &directory, port);
    let written = dir.create().and_then(|()| std::fs::create_dir_all(dir.path().join("tmp")));
    written.and_then(|()| dir.write_spec(&file)).map_err(|e| io(format!("write {}", dir.path().display()), e))?;
    Ok(file)
}

fn io(act: String, source: std::io::Error) -> EngineError {
    EngineError::Io { act, source }
}

fn directory(artifact: &Artifact) -> Result<Directory<'_>, EngineError> {
    match artifact {
        Artifact::Directory { path, path_prefix, env } if path.is_dir() => {
            Ok(Directory { path, prefix: path_prefix, env })
        }
        Artifact::Directory { path, .. } => {
            Err(EngineError::Refused(format!("the build in {} is gone; it has to be built again", path.display())))
        }
        Artifact::Image { id } => Err(EngineError::Refused(format!(
            "`{id}` is an image, and the process engine runs directories only; use the Docker engine"
        ))),
    }
}

/// The ports of all instances that were not removed yet, whether they run or not.
fn leased(root: &Path) -> std::io::Result<BTreeSet<u16>> {
    let entries = match std::fs::read_dir(root) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        entries => entries?,
    };
    // A damaged spec holds no lease that could be read; whether its port is listened on is looked at anyway.
    let specs = entries.flatten().filter_map(|e| InstanceDir::new(e.path()).spec().ok().flatten());
    Ok(specs.map(|(spec, _)| spec.port).collect())
}

fn spec_file(
    dir: &InstanceDir,
    installation: &InstallationId,
    spec: &InstanceSpec,
    directory: &Directory<'_>,
    port: u16,
) -> SpecFile {
    SpecFile {
        id: spec.id.clone(),
        installation: installation.clone(),
        service: spec.service.clone(),
        name: spec.name.clone(),
        revision: spec.revision,
        config: spec.config.clone(),
        directory: directory.path.to_owned(),
        env: environment(dir, spec, directory, port),
        pre_run: spec.pre_run.clone(),
        command: spec.command.clone(),
        port,
        cpu: spec.size.cpu.0,
        memory: spec.size.memory.0,
        log: spec.log.clone(),
        log_limit: LOG_LIMIT,
        written_at: Timestamp::now(),
    }
}

/// The whole environment, the weakest first: defaults, the build's, the user's, the port (row S7: the port wins).
fn environment(
    dir: &InstanceDir,
    spec: &InstanceSpec,
    directory: &Directory<'_>,
    port: u16,
) -> BTreeMap<String, String> {
    let mut env = BTreeMap::from([
        ("HOME".to_owned(), dir.path().join("tmp").display().to_string()),
        ("LANG".to_owned(), "C.UTF-8".to_owned()),
        ("TMPDIR".to_owned(), dir.path().join("tmp").display().to_string()),
    ]);
    env.extend(directory.env.iter().map(|(name, value)| (name.to_string(), value.clone())));
    env.extend(spec.env.iter().map(|(name, value)| (name.to_string(), value.reveal().to_owned())));
    let base = env.get("PATH").map_or(DEFAULT_PATH, String::as_str);
    let prefix = directory.prefix.iter().map(|path| path.display().to_string());
    let path = prefix.chain([base.to_owned()]).collect::<Vec<_>>().join(":");
    env.insert("PATH".into(), path);
    env.extend(
        spec.port_env.iter().map(EnvName::to_string).chain(["PORT".into()]).map(|name| (name, port.to_string())),
    );
    env.insert(MARKER.into(), spec.id.to_string());
    env
}
