//! Reaching an ingress: the one that runs, or a new one.

use super::channel::{self, Receiver, Sender};
use super::listen::{self, Group};
use super::message::{Down, Up, VERSION};
use super::{Generation, IngressConfig, Keeper, LinkError};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// How long a new ingress may take until it answers: it has little to do, but a loaded machine may let it wait.
const START_DEADLINE: Duration = Duration::from_secs(15);
/// How long a greeting may take.
const GREETING_DEADLINE: Duration = Duration::from_secs(5);
/// How often a starting ingress is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A greeted ingress.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) sender: Sender,
    pub(super) receiver: Receiver,
    pub(super) pid: u32,
    pub(super) generation: Generation,
    pub(super) cores: usize,
    /// Duplicates of the listeners that it has.
    pub(super) groups: Vec<Group>,
    /// The addresses that it has listeners for.
    pub(super) served: Vec<SocketAddr>,
}

/// Where the ingress of a directory listens for control planes.
pub(super) fn socket_path(config: &IngressConfig) -> PathBuf {
    config.dir.join(crate::link::SOCKET)
}

/// Makes the directory: only its user and root can enter.
pub(super) fn prepare(config: &IngressConfig) -> Result<(), LinkError> {
    channel::check_path(&socket_path(config))?;
    let failed = |e| LinkError::io(format!("prepare the directory `{}`", config.dir.display()), e);
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&config.dir).map_err(failed)?;
    std::fs::set_permissions(&config.dir, std::fs::Permissions::from_mode(0o700)).map_err(failed)?;
    if let Some((uid, gid)) = config.user {
        std::os::unix::fs::chown(&config.dir, Some(uid), Some(gid)).map_err(failed)?;
    }
    Ok(())
}

/// Connects to the ingress that runs, if one does.
pub(super) async fn adopt(config: &IngressConfig) -> Result<Option<Connection>, LinkError> {
    match UnixStream::connect(socket_path(config)).await {
        Ok(stream) => greet(config, stream).await.map(Some),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => Ok(None),
        Err(e) => Err(LinkError::io(format!("connect to `{}`", socket_path(config).display()), e)),
    }
}

/// A new ingress: started here, or awaited where a service manager starts it.
pub(super) async fn obtain(config: &IngressConfig) -> Result<(Connection, Option<Child>), LinkError> {
    match config.keeper {
        Keeper::ControlPlane => spawn(config).await.map(|(connection, child)| (connection, Some(child))),
        Keeper::ServiceManager => Ok((await_ingress(config).await?, None)),
    }
}

async fn await_ingress(config: &IngressConfig) -> Result<Connection, LinkError> {
    let started = Instant::now();
    loop {
        if let Some(connection) = adopt(config).await? {
            return Ok(connection);
        }
        if started.elapsed() > START_DEADLINE {
            let what = format!("the ingress that a service manager keeps on `{}`", socket_path(config).display());
            return Err(late(&what, START_DEADLINE));
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Starts an ingress and connects to it. The child is returned to be reaped; it is not killed when that is dropped.
async fn spawn(config: &IngressConfig) -> Result<(Connection, Child), LinkError> {
    let mut child = command(config)?
        .spawn()
        .map_err(|e| LinkError::io(format!("start the ingress `{}`", config.exe.display()), e))?;
    let started = Instant::now();
    loop {
        if let Some(connection) = adopt(config).await? {
            return Ok((connection, child));
        }
        if let Ok(Some(status)) = child.try_wait() {
            let source = io::Error::other(format!("it ended with {status}; see `{}`", config.log.display()));
            return Err(LinkError::io("start the ingress", source));
        }
        if started.elapsed() > START_DEADLINE {
            // Half-started it would hold the directory's lock against the next try.
            let _ = child.start_kill();
            return Err(late("the start of the ingress", START_DEADLINE));
        }
        sleep(LOOK_EVERY).await;
    }
}

fn command(config: &IngressConfig) -> Result<Command, LinkError> {
    let failed = |e| LinkError::io(format!("open the log `{}`", config.log.display()), e);
    let log = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(&config.log).map_err(failed)?;
    let mut command = Command::new(&config.exe);
    command.arg("ingress").arg("--dir").arg(&config.dir).arg("--cores").arg(config.cores.to_string());
    if let Some((uid, gid)) = config.user {
        command.arg("--uid").arg(uid.to_string()).arg("--gid").arg(gid.to_string());
    }
    // The data plane needs none of the control plane's variables, and secrets may be among them.
    command.env_clear();
    command.stdin(Stdio::null()).stdout(log.try_clone().map_err(failed)?).stderr(log);
    Ok(command)
}

async fn greet(config: &IngressConfig, stream: UnixStream) -> Result<Connection, LinkError> {
    let peer = stream.peer_cred().map_err(|e| LinkError::io("read who is at the other end of the link", e))?;
    let ours = rustix::process::geteuid().as_raw();
    let user = config.user.map(|(uid, _)| uid);
    if peer.uid() != ours && peer.uid() != 0 && Some(peer.uid()) != user {
        return Err(LinkError::Stranger { uid: peer.uid() });
    }
    let greeting = timeout(GREETING_DEADLINE, exchange(stream)).await;
    greeting.unwrap_or_else(|_| Err(late("the greeting of the ingress", GREETING_DEADLINE)))
}

pub(super) async fn exchange(stream: UnixStream) -> Result<Connection, LinkError> {
    let (sender, mut receiver) = channel::split(stream);
    sender.send(&Down::Hello { version: VERSION }).await?;
    let Up::Hello { version, pid, generation, cores, .. } = receiver.receive().await? else {
        return Err(LinkError::Protocol("no greeting".to_owned()));
    };
    if version != VERSION {
        return Err(LinkError::Version { ours: VERSION, theirs: version });
    }
    let mut groups: Vec<Group> = Vec::new();
    loop {
        match receiver.receive().await? {
            Up::Listening { sockets, .. } => groups.extend(group(receiver.take_descriptors(sockets)?)?),
            Up::Ready => {
                let served = groups.iter().map(|group| group.address).collect();
                return Ok(Connection { sender, receiver, pid, generation, cores, groups, served });
            }
            _ => return Err(LinkError::Protocol("a report before the greeting's end".to_owned())),
        }
    }
}

fn group(sockets: Vec<std::os::fd::OwnedFd>) -> Result<Option<Group>, LinkError> {
    let Some(first) = sockets.first() else { return Ok(None) };
    Ok(Some(Group { address: listen::address_of(first)?, sockets }))
}

pub(super) fn late(what: &str, deadline: Duration) -> LinkError {
    LinkError::Deadline { what: what.to_owned(), seconds: deadline.as_secs_f64() }
}
