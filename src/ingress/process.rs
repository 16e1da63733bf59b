//! The process: one per directory, without privileges, in a session of its own.

use super::board::Board;
use super::control::{Control, Order};
use super::core::{self, Command, Core};
use super::reports::Reports;
use super::table::Table;
use super::{IngressArgs, snapshot};
use crate::link::{LinkError, SOCKET, channel};
use rustix::fs::FlockOperation;
use rustix::process::{Resource, Rlimit};
use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_res_uid};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

/// What requests get to finish when a service manager, not the control plane, ends the ingress.
const SIGNAL_DEADLINE: Duration = Duration::from_secs(30);
/// Listener commands waiting for a core; they are few.
const COMMANDS: usize = 64;
/// Beyond that many threads the listeners of an address do not fit one message any more.
const MOST_CORES: usize = channel::MAX_DESCRIPTORS;

/// Runs an ingress until it is told to stop.
pub(super) fn run(args: &IngressArgs) -> Result<(), LinkError> {
    channel::check_path(&args.dir.join(SOCKET))?;
    let failed = |e| LinkError::io(format!("make the directory `{}`", args.dir.display()), e);
    DirBuilder::new().recursive(true).mode(0o700).create(&args.dir).map_err(failed)?;
    let args = &inside(args)?;
    let socket_path = args.dir.join(SOCKET);
    // Before any thread: credentials are per thread on Linux, and threads inherit them.
    drop_privileges(args)?;
    // A Ctrl-C for the control plane, or its terminal's end, is none of our business. Fails where we lead a process group,
    // started by a shell or a service manager: there that is right as it is.
    let _ = rustix::process::setsid();
    raise_descriptor_limit();
    let _lock = lock(&args.dir)?;
    let runtime = runtime().map_err(|e| LinkError::io("start the control thread", e))?;
    runtime.block_on(serve(args, &socket_path))
}

/// Where privileges are dropped, the directory is entered first and used from within: its parents, root's home say, may
/// let nobody else through.
fn inside(args: &IngressArgs) -> Result<IngressArgs, LinkError> {
    if args.user.is_none() {
        return Ok(args.clone());
    }
    let failed = |e| LinkError::io(format!("enter the directory `{}`", args.dir.display()), e);
    std::env::set_current_dir(&args.dir).map_err(failed)?;
    Ok(IngressArgs { dir: ".".into(), ..args.clone() })
}

fn drop_privileges(args: &IngressArgs) -> Result<(), LinkError> {
    let Some((uid, gid)) = args.user.filter(|_| rustix::process::geteuid().is_root()) else { return Ok(()) };
    let (user, group) = (rustix::process::Uid::from_raw(uid), rustix::process::Gid::from_raw(gid));
    set_thread_groups(&[])
        .and_then(|()| set_thread_gid(group))
        .and_then(|()| set_thread_res_uid(user, user, user))
        .map_err(|e| LinkError::io(format!("become user {uid} and group {gid}"), e))
}

/// Two descriptors per request. Where the hard limit is low, `accept` pauses instead.
fn raise_descriptor_limit() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let _ = rustix::process::setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

fn lock(directory: &Path) -> Result<File, LinkError> {
    let path = directory.join("lock");
    let failed = |e| LinkError::io(format!("open `{}`", path.display()), e);
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(LinkError::Locked {
            directory: std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned()),
        }),
        Err(e) => Err(LinkError::io(format!("lock `{}`", path.display()), e)),
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

fn bind(path: &Path) -> Result<UnixListener, LinkError> {
    // Ours to remove: we hold the lock.
    let _ = std::fs::remove_file(path);
    let failed = |e| LinkError::io(format!("listen on `{}`", path.display()), e);
    let socket = UnixListener::bind(path).map_err(failed)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(socket)
}

async fn serve(args: &IngressArgs, socket_path: &Path) -> Result<(), LinkError> {
    let (control, threads) = build(args)?;
    let socket = bind(socket_path)?;
    let signals = |e| LinkError::io("listen for signals", e);
    let mut terminate = signal(SignalKind::terminate()).map_err(signals)?;
    // Caught and ignored: it is meant for the control plane.
    let _interrupt = signal(SignalKind::interrupt()).map_err(signals)?;
    let order = tokio::select! {
        order = control.run(&socket) => order,
        _ = terminate.recv() => Order { deadline: SIGNAL_DEADLINE, _link: None },
    };
    tracing::info!(deadline = ?order.deadline, "stopping");
    drop(socket);
    control.shut_down().await;
    if timeout(order.deadline, joined(threads)).await.is_err() {
        tracing::warn!("requests were cut off: they took longer than the deadline");
    }
    let _ = std::fs::remove_file(socket_path);
    Ok(())
}

/// Waits for the cores. The closing of a channel tells: joining a thread would block.
async fn joined(threads: Vec<Alive>) {
    for alive in threads {
        alive.closed().await;
    }
}

/// Closed when a core's thread has ended.
type Alive = mpsc::Sender<std::convert::Infallible>;

fn build(args: &IngressArgs) -> Result<(Control, Vec<Alive>), LinkError> {
    let cores = args.cores.clamp(1, MOST_CORES);
    let mut board = Board::new(cores, snapshot::boot_id(), snapshot::read(&args.dir));
    let (reports, ejections) = Reports::new(cores);
    let reports = Arc::new(reports);
    let table = Arc::new(board.table(crate::link::Generation(0)));
    let tables = watch::Sender::new(Arc::clone(&table));
    let (mut commands, mut threads) = (Vec::new(), Vec::new());
    let began = Instant::now();
    for index in 0..cores {
        let core = Core::new(index, began, Arc::clone(&reports), Arc::clone(&table));
        let (sender, receiver) = mpsc::channel(COMMANDS);
        threads.push(spawn(core, tables.subscribe(), receiver)?);
        commands.push(sender);
    }
    let control = Control {
        directory: args.dir.clone(),
        board: RefCell::new(board),
        reports,
        ejections: RefCell::new(ejections),
        tables,
        cores: commands,
        listeners: RefCell::new(BTreeMap::new()),
        epoch: fastrand::u64(..),
    };
    Ok((control, threads))
}

fn spawn(
    core: Arc<Core>,
    tables: watch::Receiver<Arc<Table>>,
    commands: mpsc::Receiver<Command>,
) -> Result<Alive, LinkError> {
    let (alive, kept) = mpsc::channel(1);
    let failed = |e| LinkError::io("start a core", e);
    let runtime = runtime().map_err(failed)?;
    let work = move || {
        let _whole = AllOrNothing;
        runtime.block_on(core::run(core, tables, commands));
        drop(kept);
    };
    std::thread::Builder::new().name("core".to_owned()).spawn(work).map_err(failed)?;
    Ok(alive)
}

/// Ends the process if a core panics outside of its connections: the control plane starts the ingress again at once, but
/// a core that is missing would keep its part of the connections waiting.
struct AllOrNothing;

impl Drop for AllOrNothing {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}
