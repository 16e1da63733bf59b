//! The embedded engine: instances are processes of this machine, each kept by a [`shim`] that outlives the control plane.
//!
//! Everything it knows is on disk (`<data-dir>/instances/<id>/`, see [`files`]) and in `/proc`: a second engine opened on
//! the same directory sees and steers the same instances. Knows no services, no builds and no routing.

mod attach;
mod contain;
pub mod facts;
mod files;
mod firewall;
mod instance;
mod notices;
mod ports;
mod prepare;
pub mod shim;

use crate::host::cgroup;
pub use crate::host::cgroup::limits_enforced;

use super::{Attached, Engine, EngineError, InstanceUsage};
use crate::host::jail::{policy::Policy, users};
use crate::host::{boot_id, files::remove_tree, tree};
use crate::model::{
    Input, InstallationId, InstanceId, InstanceSpec, Memory, ObservedInstance, Purpose, TerminalSize, Timestamp,
};
use async_trait::async_trait;
use files::{ExitFile, InstanceDir, SpecFile, StateFile};
use firewall::Firewall;
use instance::Look;
use notices::Notices;
use rustix::process::{Signal, pidfd_send_signal};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

/// How long a shim may take to start the first process.
const START_DEADLINE: Duration = Duration::from_secs(10);
/// How much longer than its grace a stop may take: the shim kills for up to 5 s, then writes the end.
const STOP_MARGIN: Duration = Duration::from_secs(8);
/// Why the engine is not opened.
const UNISOLATED: &str = "services would run as the user that runs towpath, able to read and change everything of that user: this \
    kernel has no Landlock, and towpath does not run as root";
/// How often freezing looks for processes that were forked meanwhile.
const FREEZE_ROUNDS: u32 = 50;

/// What an installation says about all its instances.
#[derive(Clone, Debug)]
pub struct ProcessOptions {
    /// What the files of an instance may take where its size does not say.
    pub storage: Memory,
    /// The first user id of services, where towpath is root.
    pub first_user: u32,
    /// Whether services may run where nothing keeps them from the files of towpath's own user.
    pub allow_unisolated: bool,
    /// Ports of towpath's own that no service may connect to.
    pub private_ports: Vec<u16>,
}

impl Default for ProcessOptions {
    fn default() -> Self {
        let (storage, first_user) = (Memory(3 << 30), users::DEFAULT_FIRST);
        Self { storage, first_user, allow_unisolated: false, private_ports: Vec::new() }
    }
}

/// The process engine of one installation.
#[derive(Clone)]
pub struct ProcessEngine(Arc<Inner>);

struct Inner {
    root: PathBuf,
    exe: PathBuf,
    installation: InstallationId,
    options: ProcessOptions,
    policy: Policy,
    /// Where services have users of their own.
    firewall: Option<Firewall>,
    changes: watch::Sender<u64>,
    /// The instances whose shims' ends are waited for.
    watched: Mutex<BTreeSet<InstanceId>>,
    /// Our ends of what commands read from, while they run.
    inputs: Mutex<BTreeMap<InstanceId, Arc<OwnedFd>>>,
    /// What instances were refused.
    notices: Mutex<Notices>,
    /// Held from the choice of a port until its lease is on disk.
    leases: Mutex<()>,
}

impl ProcessEngine {
    /// Opens the engine whose instances live in `root` (`<data-dir>/instances`, created when missing); `exe` is the
    /// towpath binary that is started as `exe shim <dir>`. The data directory, which no instance sees, is the one above.
    /// Touches no instance.
    ///
    /// # Errors
    /// When the directory cannot be created, the binary is not there, or nothing would keep services from the files of
    /// towpath's own user and that is not allowed.
    pub fn open(
        root: PathBuf,
        exe: PathBuf,
        installation: InstallationId,
        options: ProcessOptions,
    ) -> Result<Self, EngineError> {
        let failed = |act: String| move |source| EngineError::Io { act, source };
        InstanceDir::new(root.clone()).create().map_err(failed(format!("create {}", root.display())))?;
        let root = root.canonicalize().map_err(failed(format!("open {}", root.display())))?;
        std::fs::metadata(&exe).map_err(failed(format!("find the towpath binary {}", exe.display())))?;
        let data = root.parent().unwrap_or(&root);
        let policy = Policy::of(exe.clone(), data, options.first_user)
            .map_err(failed("find out how services can be kept apart".into()))?;
        if policy.is_open() && !options.allow_unisolated {
            return Err(EngineError::Refused(UNISOLATED.into()));
        }
        cgroup::settle();
        let ours = |users| Firewall::new(installation.as_str(), users, &options.private_ports);
        let firewall = policy.user_range().map(ours);
        let (changes, watched, inputs) = (watch::Sender::new(0), Mutex::default(), Mutex::default());
        let (leases, notices) = (Mutex::default(), Mutex::default());
        let inner =
            Inner { root, exe, installation, options, policy, firewall, changes, watched, inputs, notices, leases };
        Ok(Self(Arc::new(inner)))
    }

    /// How instances are kept apart here; builds are kept apart in the same way.
    pub fn policy(&self) -> &Policy {
        &self.0.policy
    }

    /// Runs blocking work on an instance's directory; `act` names it for the error.
    async fn blocking<T: Send + 'static>(
        &self,
        act: impl Into<String>,
        work: impl FnOnce(&Inner) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, EngineError> {
        let inner = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || work(&inner)).await;
        done.unwrap_or_else(|error| Err(EngineError::Io { act: act.into(), source: io::Error::other(error) }))
    }

    /// Everything of one purpose; ends of what runs are waited for from now on.
    async fn list(&self, purpose: Purpose) -> Result<Vec<ObservedInstance>, EngineError> {
        let found = self.blocking("read the instances", move |inner| inner.observe(purpose)).await?;
        for (instance, state) in &found {
            if let Some(state) = state {
                self.watch(&instance.id, state);
                locked(&self.0.notices).note(&instance.id, &state.notices);
            }
        }
        Ok(found.into_iter().map(|(instance, _)| instance).collect())
    }

    async fn look(&self, id: &InstanceId) -> Result<Look, EngineError> {
        let wanted = id.clone();
        self.blocking(format!("look at instance {id}"), move |inner| inner.look(&wanted)).await
    }

    /// Starts the shim, detached: its own session, nothing inherited.
    fn spawn_shim(&self, dir: &InstanceDir, spec: &InstanceSpec) -> io::Result<tokio::process::Child> {
        let mut command = tokio::process::Command::new(&self.0.exe);
        command.arg("shim").arg(dir.path()).env_clear().current_dir("/");
        command.stdin(self.input(spec)?).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
    }

    /// What a command reads from; our end of it is kept until somebody attaches.
    fn input(&self, spec: &InstanceSpec) -> io::Result<Stdio> {
        let (ours, theirs) = match spec.input {
            Input::Empty => return Ok(Stdio::null()),
            Input::Pipe => {
                let (reader, writer) = io::pipe()?;
                (OwnedFd::from(writer), OwnedFd::from(reader))
            }
            Input::Terminal(size) => crate::host::pty::pair(size.rows, size.columns)?,
        };
        locked(&self.0.inputs).insert(spec.id.clone(), Arc::new(ours));
        Ok(Stdio::from(theirs))
    }

    /// Waits until the shim wrote that it started the instance, or that it could not.
    async fn await_start(&self, id: &InstanceId, shim: &mut Option<tokio::process::Child>) -> Result<(), EngineError> {
        let end = Instant::now() + START_DEADLINE;
        let mut pause = Duration::from_millis(1);
        loop {
            // Asked before the look: a shim that has ended has written all that it will write.
            let ended = shim.as_mut().and_then(|s| s.try_wait().ok().flatten());
            match self.look(id).await? {
                Look::Running(state) => {
                    self.watch(id, &state);
                    return Ok(());
                }
                Look::Ended(exit) => {
                    self.changed();
                    return refused_unless_started(exit);
                }
                Look::Absent => {
                    return Err(EngineError::Refused(format!("instance {id} was removed while it started")));
                }
                Look::Written if ended.is_some_and(|status| !status.success()) => {
                    let source = io::Error::other("its keeper ended at once; is the disk full or read-only?");
                    return Err(EngineError::Io { act: format!("start instance {id}"), source });
                }
                Look::Written | Look::Starting if Instant::now() < end => {}
                Look::Written | Look::Starting => {
                    let message = format!("the keeper of instance {id} started nothing in {START_DEADLINE:?}");
                    return Err(EngineError::Unreachable { engine: "process", message });
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }

    /// Announces a change as soon as the shim of this instance ends; once per instance.
    fn watch(&self, id: &InstanceId, state: &StateFile) {
        if !locked(&self.0.watched).insert(id.clone()) {
            return;
        }
        let (engine, id) = (self.clone(), id.clone());
        let shim = tree::open(state.shim, state.shim_start);
        tokio::spawn(async move {
            if let Some(shim) = shim {
                // An error cannot be repaired here: the next observation looks anyway.
                let _ = ended(shim).await;
            }
            locked(&engine.0.watched).remove(&id);
            engine.changed();
        });
    }

    fn changed(&self) {
        self.0.changes.send_modify(|count| *count += 1);
    }

    /// Stops what a shim keeps, and waits for the end of the shim.
    async fn stop_running(&self, id: &InstanceId, state: StateFile, grace: Duration) -> Result<(), EngineError> {
        let (dir, wanted) = (self.0.dir(id), state.clone());
        let act = format!("stop instance {id}");
        let shim = self
            .blocking(act.clone(), move |_| {
                dir.write_grace(grace).map_err(|source| EngineError::Io { act, source })?;
                let shim = tree::open(wanted.shim, wanted.shim_start);
                // When it is gone there is nobody to signal, and the look below buries what it left.
                let _ = shim.as_ref().map(|s| pidfd_send_signal(s, Signal::TERM));
                Ok(shim)
            })
            .await?;
        if let Some(shim) = shim
            && timeout(grace + STOP_MARGIN, ended(shim)).await.is_err()
        {
            tracing::warn!(instance = %id, "the keeper did not end in time and is killed");
            let shim = tree::read(state.shim).filter(|p| p.start == state.shim_start);
            tree::signal(shim.as_slice(), Signal::KILL);
            sleep(Duration::from_millis(50)).await;
        }
        self.look(id).await.map(|_| ())
    }

    /// The processes of an instance, the shim left out; `None` when it does not run.
    async fn processes(&self, id: &InstanceId) -> Result<Option<Vec<tree::Process>>, EngineError> {
        let Look::Running(state) = self.look(id).await? else { return Ok(None) };
        self.blocking(format!("read the processes of {id}"), move |_| Ok(Some(instance::processes(&state)))).await
    }

    /// Signals all processes of an instance until all are in the wanted state.
    async fn signal_all(&self, id: &InstanceId, signal: Signal, stopped: bool) -> Result<(), EngineError> {
        for _ in 0..FREEZE_ROUNDS {
            let Some(processes) = self.processes(id).await? else {
                return Err(EngineError::Refused(format!("instance {id} does not run")));
            };
            let others: Vec<_> = processes.into_iter().filter(|p| p.is_stopped() != stopped).collect();
            if others.is_empty() {
                return Ok(());
            }
            self.blocking(format!("signal {id}"), move |_| {
                tree::signal(&others, signal);
                Ok(())
            })
            .await?;
            sleep(Duration::from_millis(2)).await;
        }
        let message = format!("the processes of instance {id} do not follow signals");
        Err(EngineError::Unreachable { engine: "process", message })
    }
}

impl Inner {
    fn dir(&self, id: &InstanceId) -> InstanceDir {
        InstanceDir::new(self.root.join(id.as_str()))
    }

    fn look(&self, id: &InstanceId) -> Result<Look, EngineError> {
        let act = || format!("look at instance {id}");
        instance::look(&self.dir(id), id).map_err(|source| EngineError::Io { act: act(), source })
    }

    /// The spec of an instance as it is on disk, written now when there is none.
    fn prepare(&self, spec: &InstanceSpec) -> Result<(SpecFile, Look), EngineError> {
        let _held = locked(&self.leases);
        let dir = self.dir(&spec.id);
        let look = self.look(&spec.id)?;
        match (dir.spec(), look) {
            (Ok(Some((file, _))), look) => Ok((file, look)),
            // Nothing was started yet, so a damaged spec can be written anew.
            (_, Look::Absent | Look::Written) => {
                let common = prepare::Common {
                    root: &self.root,
                    installation: &self.installation,
                    policy: &self.policy,
                    storage: self.options.storage.0,
                };
                let file = prepare::write_spec(&common, &dir, spec)?;
                self.guard();
                Ok((file, Look::Written))
            }
            (_, Look::Ended(exit)) => {
                Err(EngineError::Refused(format!("instance {} ended: {}", spec.id, exit.message)))
            }
            (_, Look::Starting | Look::Running(_)) => {
                Err(EngineError::Refused(format!("spec.json of instance {} is damaged or missing; remove it", spec.id)))
            }
        }
    }

    /// Lets the firewall know all leases. A failure is told, and stops no instance: hosts may forbid it.
    fn guard(&self) {
        let Some(firewall) = &self.firewall else { return };
        let written = ports::leases(&self.root).and_then(|leases| firewall.write(leases));
        if let Err(error) = written {
            static TOLD: Once = Once::new();
            TOLD.call_once(|| {
                tracing::warn!(%error, "services are not kept from each other's ports: no firewall rules can be set");
            });
        }
    }

    /// Everything of one purpose, with the state of what runs.
    fn observe(&self, purpose: Purpose) -> Result<Vec<(ObservedInstance, Option<StateFile>)>, EngineError> {
        let failed = |source| EngineError::Io { act: format!("read {}", self.root.display()), source };
        // After a restart of the machine, and when somebody flushed all rules.
        if self.firewall.as_ref().is_some_and(Firewall::is_due) {
            self.guard();
        }
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.root).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let Some(id) = name.to_str().and_then(|n| n.parse::<InstanceId>().ok()) else { continue };
            match instance::observe(&self.dir(&id), &id, purpose) {
                Ok(Some(instance)) => found.push(instance),
                Ok(None) => {}
                // One bad directory does not hide the others.
                Err(error) => tracing::warn!(instance = %id, %error, "an instance cannot be observed"),
            }
        }
        found.sort_by(|a, b| a.0.id.cmp(&b.0.id));
        Ok(found)
    }

    /// Writes the end of an instance that was never started; false when a shim is at it this moment.
    fn end_unstarted(&self, id: &InstanceId) -> io::Result<bool> {
        let dir = self.dir(id);
        let Some(_lock) = dir.lock()? else { return Ok(false) };
        if dir.state().transpose().is_none() && dir.exit().transpose().is_none() {
            let message = "stopped before it was started".into();
            dir.write_exit(&ExitFile { code: None, signal: None, message, started: false, at: Timestamp::now() })?;
        }
        Ok(true)
    }
}

fn refused_unless_started(exit: ExitFile) -> Result<(), EngineError> {
    if exit.started { Ok(()) } else { Err(EngineError::Refused(exit.message)) }
}

/// A poisoned lock guards nothing that could be half-changed here.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns when the process of this descriptor ended.
#[expect(deprecated, reason = "sound for a descriptor that is owned, as here; the replacement is `unsafe`")]
async fn ended(process: OwnedFd) -> io::Result<()> {
    AsyncFd::with_interest(process, tokio::io::Interest::READABLE)?.readable().await.map(|_| ())
}

#[async_trait]
impl Engine for ProcessEngine {
    fn name(&self) -> &'static str {
        "process"
    }

    async fn identity(&self) -> Result<String, EngineError> {
        let act = "read the boot id";
        self.blocking(act, move |_| boot_id().map_err(|source| EngineError::Io { act: act.into(), source })).await
    }

    async fn observe(&self) -> Result<Vec<ObservedInstance>, EngineError> {
        self.list(Purpose::Serve).await
    }

    async fn one_offs(&self) -> Result<Vec<ObservedInstance>, EngineError> {
        self.list(Purpose::Once).await
    }

    async fn start(&self, spec: &InstanceSpec) -> Result<SocketAddr, EngineError> {
        let wanted = spec.clone();
        let (file, look) = self.blocking("prepare an instance", move |inner| inner.prepare(&wanted)).await?;
        let act = format!("start instance {}", spec.id);
        let mut shim = match look {
            Look::Written => {
                let dir = self.0.dir(&spec.id);
                Some(self.spawn_shim(&dir, spec).map_err(|source| EngineError::Io { act, source })?)
            }
            _ => None,
        };
        self.await_start(&spec.id, &mut shim).await?;
        Ok(instance::address(&file))
    }

    async fn stop(&self, id: &InstanceId, grace: Duration) -> Result<(), EngineError> {
        let end = Instant::now() + START_DEADLINE;
        loop {
            match self.look(id).await? {
                Look::Absent | Look::Ended(_) => return Ok(()),
                Look::Running(state) => return self.stop_running(id, state, grace).await,
                Look::Written | Look::Starting => {
                    let (wanted, act) = (id.clone(), format!("stop instance {id}"));
                    let unstarted = move |inner: &Inner| {
                        inner.end_unstarted(&wanted).map_err(|source| EngineError::Io { act, source })
                    };
                    if self.blocking("stop", unstarted).await? {
                        continue;
                    }
                }
            }
            if Instant::now() > end {
                let message = format!("the keeper of instance {id} neither starts nor ends");
                return Err(EngineError::Unreachable { engine: "process", message });
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    async fn remove(&self, id: &InstanceId) -> Result<(), EngineError> {
        if let Look::Running(_) | Look::Starting = self.look(id).await? {
            return Err(EngineError::Refused(format!("instance {id} still runs and is not removed")));
        }
        locked(&self.0.inputs).remove(id);
        let wanted = id.clone();
        self.blocking(format!("remove instance {id}"), move |inner| {
            let dir = inner.dir(&wanted);
            let groups = dir.state().ok().flatten().map(|s| s.cgroups).unwrap_or_default();
            cgroup::remove(&groups);
            remove_tree(dir.path())
                .map_err(|source| EngineError::Io { act: format!("remove {}", dir.path().display()), source })?;
            inner.guard();
            Ok(())
        })
        .await?;
        self.changed();
        Ok(())
    }

    async fn freeze(&self, id: &InstanceId) -> Result<(), EngineError> {
        self.signal_all(id, Signal::STOP, true).await
    }

    async fn thaw(&self, id: &InstanceId) -> Result<(), EngineError> {
        self.signal_all(id, Signal::CONT, false).await
    }

    async fn usage(&self, id: &InstanceId) -> Result<Option<InstanceUsage>, EngineError> {
        let Some(processes) = self.processes(id).await? else { return Ok(None) };
        let sum = move |_: &Inner| {
            let cpu = processes.iter().map(tree::Process::cpu).sum();
            let memory = processes.iter().map(|p| tree::resident(p.pid)).sum();
            Ok(Some(InstanceUsage { cpu, memory }))
        };
        self.blocking(format!("read the usage of {id}"), sum).await
    }

    async fn listening_ports(&self, id: &InstanceId) -> Result<Vec<u16>, EngineError> {
        let processes = self.processes(id).await?.unwrap_or_default();
        self.blocking(format!("read the ports of {id}"), move |_| Ok(tree::listening_ports(&processes))).await
    }

    async fn unaccepted(&self, id: &InstanceId, port: u16) -> Result<Option<u32>, EngineError> {
        let processes = self.processes(id).await?.unwrap_or_default();
        self.blocking(format!("read the connections of {id}"), move |_| Ok(tree::unaccepted(&processes, port))).await
    }

    async fn attach(&self, id: &InstanceId) -> Result<Attached, EngineError> {
        let ours = locked(&self.0.inputs).remove(id);
        let ours =
            ours.ok_or_else(|| EngineError::Refused(format!("command {id} reads nothing, or somebody is attached")))?;
        let attached =
            attach::attach(&ours).map_err(|source| EngineError::Io { act: format!("attach to {id}"), source })?;
        if attached.output.is_some() {
            // For its size. What a pipe is written to is held by its writer alone: its end is the input's.
            locked(&self.0.inputs).insert(id.clone(), ours);
        }
        Ok(attached)
    }

    async fn resize(&self, id: &InstanceId, size: TerminalSize) -> Result<(), EngineError> {
        let Some(ours) = locked(&self.0.inputs).get(id).cloned() else { return Ok(()) };
        crate::host::pty::resize(&*ours, size.rows, size.columns)
            .map_err(|source| EngineError::Io { act: format!("resize the terminal of {id}"), source })
    }

    async fn dismantle(&self) -> Result<(), EngineError> {
        let act = "remove the firewall rules";
        self.blocking(act, move |inner| match &inner.firewall {
            // Where there is no tool to make rules there are none.
            Some(firewall) if firewall::probe().is_ok() => {
                firewall.remove().map_err(|source| EngineError::Io { act: act.into(), source })
            }
            _ => Ok(()),
        })
        .await
    }

    fn take_notices(&self) -> Vec<(InstanceId, String)> {
        locked(&self.0.notices).take()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }
}
