//! The control thread: one control plane at a time tells what to do; what the cores do is reported to it.
//!
//! It carries no traffic. Nothing here is needed to go on serving.

use super::board::Board;
use super::core::Command;
use super::reports::Reports;
use super::snapshot;
use super::table::Table;
use crate::link::channel::{self, Receiver, Sender};
use crate::link::message::{Down, Up, VERSION};
use crate::link::{Ejection, Generation, LinkError, Totals};
use crate::model::{InstanceId, ServiceId};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

/// Gauges are sent at most that often, unless someone waits for them.
const GAUGES_EVERY: Duration = Duration::from_millis(20);
const TOTALS_EVERY: Duration = Duration::from_secs(1);
/// A peer that greets more slowly is no control plane.
const GREETING_DEADLINE: Duration = Duration::from_secs(5);

/// See the module.
pub(super) struct Control {
    pub(super) directory: PathBuf,
    pub(super) board: RefCell<Board>,
    pub(super) reports: Arc<Reports>,
    pub(super) ejections: RefCell<mpsc::Receiver<Ejection>>,
    pub(super) tables: watch::Sender<Arc<Table>>,
    pub(super) cores: Vec<mpsc::Sender<Command>>,
    /// Our own duplicates, to be given back to the next control plane.
    pub(super) listeners: RefCell<BTreeMap<SocketAddr, Vec<OwnedFd>>>,
    pub(super) epoch: u64,
}

impl Control {
    /// Serves control planes until one orders the end.
    pub(super) async fn run(&self, socket: &UnixListener) -> Order {
        let mut session: Option<Pin<Box<dyn Future<Output = Option<Order>> + '_>>> = None;
        loop {
            let ended = async {
                match &mut session {
                    Some(session) => session.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                accepted = socket.accept() => match accepted {
                    // The newer one is the living one: a control plane that was killed may linger as a half-open end.
                    Ok((stream, _)) => session = Some(Box::pin(self.serve(stream))),
                    Err(error) => {
                        tracing::warn!(%error, "failed to accept a control plane");
                        sleep(GAUGES_EVERY).await;
                    }
                },
                end = ended => {
                    session = None;
                    if let Some(order) = end { return order; }
                }
            }
        }
    }

    async fn serve(&self, stream: UnixStream) -> Option<Order> {
        if let Err(error) = check_peer(&stream) {
            tracing::warn!(%error, "refused a connection to the link");
            return None;
        }
        let (sender, mut receiver) = channel::split(stream);
        let ended = tokio::select! {
            ended = self.obey(&mut receiver) => ended,
            ended = self.report(&sender) => ended.map(|never| match never {}),
        };
        match ended {
            Ok(deadline) => Some(Order { deadline, _link: Some(sender) }),
            Err(LinkError::Closed) => None,
            Err(error) => {
                tracing::warn!(%error, "the link to the control plane broke");
                None
            }
        }
    }

    async fn obey(&self, receiver: &mut Receiver) -> Result<Duration, LinkError> {
        let first = timeout(GREETING_DEADLINE, receiver.receive()).await.map_err(|_| LinkError::Closed)??;
        let Down::Hello { version } = first else { return Err(LinkError::Protocol("no greeting".to_owned())) };
        if version != VERSION {
            return Err(LinkError::Version { ours: VERSION, theirs: version });
        }
        loop {
            // Changes that came together are applied together.
            let message = match receiver.try_next()? {
                Some(message) => message,
                None => {
                    self.commit().await;
                    receiver.receive().await?
                }
            };
            let other = self.board.borrow_mut().change(message);
            let Some(message) = other else { continue };
            self.commit().await;
            if let Some(deadline) = self.act(message, receiver).await? {
                return Ok(deadline);
            }
        }
    }

    async fn act(&self, message: Down, receiver: &mut Receiver) -> Result<Option<Duration>, LinkError> {
        match message {
            Down::Listen { address, sockets } => self.listen(address, receiver.take_descriptors(sockets)?).await?,
            Down::ListenOnly { addresses } => self.listen_only(addresses).await,
            Down::Shutdown { deadline_ms } => {
                snapshot::remove(&self.directory);
                return Ok(Some(Duration::from_millis(deadline_ms)));
            }
            _ => return Err(LinkError::Protocol("a second greeting".to_owned())),
        }
        Ok(None)
    }

    /// Writes down what changed, then lets the cores apply it. In this order: an address may be used again as soon as the
    /// cores are without it, so no snapshot may have it then.
    async fn commit(&self) {
        if !self.board.borrow().is_changed() {
            return;
        }
        let (directory, snapshot) = (self.directory.clone(), self.board.borrow().snapshot());
        let write = move || snapshot::write(&directory, &snapshot);
        if let Ok(Err(error)) = tokio::task::spawn_blocking(write).await {
            tracing::error!(%error, "failed to write the snapshot of the routing table");
        }
        let table = self.board.borrow_mut().table(self.reports.applied());
        self.tables.send_replace(Arc::new(table));
    }

    async fn listen(&self, address: SocketAddr, sockets: Vec<OwnedFd>) -> Result<(), LinkError> {
        if self.listeners.borrow().contains_key(&address) {
            return Ok(());
        }
        for (index, socket) in sockets.iter().enumerate() {
            let copy = socket.try_clone().map_err(|e| LinkError::io("duplicate a listener", e))?;
            let listener = TcpListener::from(copy);
            listener.set_nonblocking(true).map_err(|e| LinkError::io("prepare a listener", e))?;
            let _ = self.cores[index % self.cores.len()].send(Command::Listen(address, listener)).await;
        }
        self.listeners.borrow_mut().insert(address, sockets);
        Ok(())
    }

    async fn listen_only(&self, addresses: Vec<SocketAddr>) {
        self.listeners.borrow_mut().retain(|address, _| addresses.contains(address));
        for core in &self.cores {
            let _ = core.send(Command::ListenOnly(addresses.clone())).await;
        }
    }

    /// Tells all cores to end.
    pub(super) async fn shut_down(&self) {
        self.listeners.borrow_mut().clear();
        for core in &self.cores {
            let _ = core.send(Command::Shutdown).await;
        }
    }

    async fn report(&self, sender: &Sender) -> Result<std::convert::Infallible, LinkError> {
        self.greet(sender).await?;
        let mut said = Said::default();
        let mut ticks = interval(TOTALS_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.report_changes(sender, &mut said).await?;
            tokio::select! {
                () = self.reports.urgent() => {}
                () = self.reports.changed() => tokio::select! {
                    () = sleep(GAUGES_EVERY) => {}
                    () = self.reports.urgent() => {}
                },
                _ = ticks.tick() => self.report_totals(sender, &mut said).await?,
            }
        }
    }

    async fn greet(&self, sender: &Sender) -> Result<(), LinkError> {
        let hello = {
            let board = self.board.borrow();
            let (generation, boot) = (board.generation(), board.boot().to_owned());
            Up::Hello { version: VERSION, pid: std::process::id(), generation, boot, cores: self.cores.len() }
        };
        sender.send(&hello).await?;
        let duplicate = |(address, sockets): (&SocketAddr, &Vec<OwnedFd>)| {
            let copies: Result<Vec<_>, _> = sockets.iter().map(OwnedFd::try_clone).collect();
            copies.map(|copies| (*address, copies)).map_err(|e| LinkError::io("duplicate a listener", e))
        };
        let groups: Vec<_> = self.listeners.borrow().iter().map(duplicate).collect::<Result<_, _>>()?;
        for (address, sockets) in &groups {
            let fds: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
            sender.send_with(&Up::Listening { address: *address, sockets: fds.len() }, &fds).await?;
        }
        sender.send(&Up::Ready).await
    }

    async fn report_changes(&self, sender: &Sender, said: &mut Said) -> Result<(), LinkError> {
        self.reports.begin_reading();
        // Read before the gauges: they then tell of cores that apply at least this.
        let applied = self.reports.applied();
        let (now, changed) = {
            let mut board = self.board.borrow_mut();
            let now = board.gauges();
            board.collect(applied);
            let changed = said.difference(&now);
            (now, changed)
        };
        if applied > said.applied {
            sender.send(&Up::Applied { generation: applied }).await?;
        }
        if applied > said.applied || !changed.is_empty() {
            sender.send(&Up::Gauges { generation: applied, in_flight: changed }).await?;
        }
        (said.applied, said.gauges) = (applied, now);
        while let Some(ejection) = self.next_ejection() {
            sender.send(&Up::InstanceEjected(ejection)).await?;
        }
        Ok(())
    }

    fn next_ejection(&self) -> Option<Ejection> {
        self.ejections.borrow_mut().try_recv().ok()
    }

    async fn report_totals(&self, sender: &Sender, said: &mut Said) -> Result<(), LinkError> {
        let mut totals = self.board.borrow().totals();
        totals.retain(|(service, now)| said.totals.insert(service.clone(), *now) != Some(*now));
        if totals.is_empty() {
            return Ok(());
        }
        sender.send(&Up::Totals { epoch: self.epoch, totals }).await
    }
}

/// The order to end.
pub(super) struct Order {
    pub(super) deadline: Duration,
    /// Held until the process ends: its closing tells the control plane that all requests are done.
    pub(super) _link: Option<Sender>,
}

/// What was reported on this connection.
#[derive(Default)]
struct Said {
    applied: Generation,
    gauges: HashMap<InstanceId, u64>,
    totals: HashMap<ServiceId, Totals>,
}

impl Said {
    fn difference(&self, now: &HashMap<InstanceId, u64>) -> Vec<(InstanceId, u64)> {
        let changed = now.iter().filter(|(id, load)| self.gauges.get(id) != Some(load));
        let gone = self.gauges.keys().filter(|id| !now.contains_key(id));
        changed.map(|(id, load)| (id.clone(), *load)).chain(gone.map(|id| (id.clone(), 0))).collect()
    }
}

fn check_peer(stream: &UnixStream) -> Result<(), LinkError> {
    let peer = stream.peer_cred().map_err(|e| LinkError::io("read who is at the other end of the link", e))?;
    if peer.uid() == 0 || peer.uid() == rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    Err(LinkError::Stranger { uid: peer.uid() })
}
