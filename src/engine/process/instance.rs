//! One instance as its directory and `/proc` show it: the look that every act of the engine starts with. Blocking.

use super::files::{ExitFile, InstanceDir, MARKER, SpecFile, StateFile};
use crate::host::cgroup;
use crate::host::{boot_id, tree};
use crate::model::{Digest, InstanceId, InstanceState, ObservedInstance, Purpose, Timestamp};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// How long left-overs of a killed shim may take to die.
const BURY_LIMIT: Duration = Duration::from_secs(2);
/// How long after its spec was written an instance that nobody started counts as starting.
const START_LIMIT: Duration = Duration::from_secs(30);

/// What there is of an instance.
#[derive(Debug)]
pub enum Look {
    /// Nothing.
    Absent,
    /// Its spec; nothing was started yet.
    Written,
    /// A shim that has not started the application yet.
    Starting,
    /// A shim that keeps it.
    Running(StateFile),
    /// Its end.
    Ended(ExitFile),
}

/// Looks at an instance. One whose shim is gone without having written an end is buried: what is left of it is killed,
/// and the end is written.
pub fn look(dir: &InstanceDir, id: &InstanceId) -> io::Result<Look> {
    if let Some(exit) = read_exit(dir) {
        return Ok(Look::Ended(exit));
    }
    if dir.is_locked()? {
        // A state that cannot be read yet is not there yet: it is renamed into place.
        return Ok(dir.state().ok().flatten().map_or(Look::Starting, Look::Running));
    }
    // The shim may have ended between the two looks; its end was written before it let the lock go.
    if let Some(exit) = read_exit(dir) {
        return Ok(Look::Ended(exit));
    }
    match dir.state() {
        Ok(None) if dir.spec().transpose().is_some() => Ok(Look::Written),
        Ok(None) => Ok(Look::Absent),
        Ok(Some(state)) if state.boot != boot_id()? => bury(dir, id, &state.cgroups, "the machine was restarted"),
        Ok(Some(state)) => bury(dir, id, &state.cgroups, "its keeper was killed"),
        Err(_) => bury(dir, id, &[], "its keeper was killed"),
    }
}

/// The end, when there is one; a damaged file still says that there was an end.
fn read_exit(dir: &InstanceDir) -> Option<ExitFile> {
    dir.exit().unwrap_or_else(|error| Some(unseen(&format!("it ended, and how is unknown: {error}"))))
}

fn unseen(message: &str) -> ExitFile {
    ExitFile { code: None, signal: None, message: message.into(), started: true, at: Timestamp::now() }
}

fn bury(dir: &InstanceDir, id: &InstanceId, groups: &[std::path::PathBuf], message: &str) -> io::Result<Look> {
    let marker = format!("{MARKER}={id}");
    tree::kill_until_gone(BURY_LIMIT, || left_over(&marker, groups));
    cgroup::remove(groups);
    let exit = unseen(message);
    dir.write_exit(&exit)?;
    Ok(Look::Ended(exit))
}

/// Processes of an instance whose shim is gone: by marker, which children inherit, and by control group.
fn left_over(marker: &str, groups: &[std::path::PathBuf]) -> Vec<tree::Process> {
    let mut found = tree::marked(marker);
    found.extend(cgroup::members(groups).into_iter().filter_map(tree::read).filter(|p| !p.has_ended()));
    found
}

/// The processes of an instance that a shim keeps, the shim left out. Parents come before their children.
pub fn processes(state: &StateFile) -> Vec<tree::Process> {
    let all = tree::all();
    let inside = cgroup::members(&state.cgroups);
    let mut found = tree::descendants(&[state.shim], &all);
    // In the group without being a descendant: only while the shim itself is inside to start a process.
    found.extend(all.into_iter().filter(|p| inside.contains(&p.pid) && p.pid != state.shim));
    found.sort_by_key(|p| p.pid);
    found.dedup_by_key(|p| p.pid);
    found
}

/// Where an instance with this lease answers.
pub fn address(spec: &SpecFile) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, spec.port).into()
}

/// An instance as the reconciler sees it; `None` when there is none of this purpose, or when its spec cannot say whose it is.
pub fn observe(
    dir: &InstanceDir,
    id: &InstanceId,
    purpose: Purpose,
) -> io::Result<Option<(ObservedInstance, Option<StateFile>)>> {
    let look = look(dir, id)?;
    let Some((spec, digest)) = dir.spec()?.filter(|(spec, _)| spec.purpose == purpose) else { return Ok(None) };
    let mut drift = Vec::new();
    let (state, live) = match look {
        Look::Absent => return Ok(None),
        Look::Written if Timestamp::now().since(spec.written_at) < START_LIMIT => (InstanceState::Starting, None),
        Look::Written => (exited(None, "it was written down, but never started"), None),
        Look::Starting => (InstanceState::Starting, None),
        Look::Ended(exit) => (exited(exit.code, &exit.message), None),
        Look::Running(state) => {
            drift = changed_by_hand(&state, &spec, &digest);
            (if is_frozen(&state) { InstanceState::Frozen } else { InstanceState::Running }, Some(state))
        }
    };
    let started_at = live.as_ref().map_or(spec.written_at, |s| s.started_at);
    let address = Some(address(&spec));
    let SpecFile { id, service, revision, config, .. } = spec;
    Ok(Some((ObservedInstance { id, service, revision, config, state, address, started_at, drift }, live)))
}

fn exited(code: Option<i32>, message: &str) -> InstanceState {
    InstanceState::Exited { code, message: message.into() }
}

/// Frozen is what is stopped as a whole; the process that runs now speaks for all.
fn is_frozen(state: &StateFile) -> bool {
    tree::read(state.app).is_some_and(|p| p.is_stopped())
}

fn changed_by_hand(state: &StateFile, spec: &SpecFile, digest: &Digest) -> Vec<String> {
    let mut drift = if state.limited { cgroup::drift(&state.cgroups, spec.memory) } else { Vec::new() };
    let build = spec.files.layered.as_ref().unwrap_or(&spec.directory);
    if !spec.files.copied && !build.is_dir() {
        drift.push(format!("its build was removed: there is no {} any more", build.display()));
    }
    if state.spec != *digest {
        drift.push("spec.json: edited since the instance was started".into());
    }
    drift
}
