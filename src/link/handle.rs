//! The control plane's end of the link: everything that it needs of the data plane.

use super::ledger::Ledger;
use super::listen::{self, Group};
use super::message::{Ejection, Limits, Settings, Subnet, Totals, Up};
use super::session::{Session, Stop};
use super::spawn::{self, Connection};
use super::{Generation, LinkError, ServiceEntry};
use crate::model::{InstanceId, ServiceId};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How an ingress is started and what it is told.
#[derive(Clone, Debug)]
pub struct IngressConfig {
    /// The program, started as `<exe> ingress --dir …`: this one.
    pub exe: PathBuf,
    /// The ingress' directory: socket, lock, snapshot. Made if missing, 0700.
    pub dir: PathBuf,
    /// The addresses for plain HTTP. Port 0 takes a free one, see [`IngressHandle::addresses`].
    pub http: Vec<SocketAddr>,
    /// Threads of the ingress, each with a socket per address: 1 to 64.
    pub cores: usize,
    /// User and group that the ingress runs as, where this process is root.
    pub user: Option<(u32, u32)>,
    /// The engine's identity; see [`Settings::engine`].
    pub engine: String,
    /// Peers whose `X-Forwarded-*` are believed.
    pub trusted_proxies: Vec<Subnet>,
    /// Sizes and times.
    pub limits: Limits,
    /// Where a new ingress writes what it has to say.
    pub log: PathBuf,
    /// Who starts the ingress.
    pub keeper: Keeper,
}

/// Who starts the ingress, and starts it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Keeper {
    /// The control plane itself.
    #[default]
    ControlPlane,
    /// A service manager: the control plane waits for one to come.
    ServiceManager,
}

impl IngressConfig {
    pub(super) fn settings(&self) -> Settings {
        Settings { engine: self.engine.clone(), trusted_proxies: self.trusted_proxies.clone(), limits: self.limits }
    }
}

/// The state of the link, for `status` and `doctor`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngressStatus {
    /// The process id of the ingress; `None` while the link is down.
    pub pid: Option<u32>,
    /// The newest generation that was published.
    pub published: Generation,
    /// The newest generation that all cores of the ingress apply.
    pub applied: Generation,
    /// How often the link was lost since the start.
    pub losses: u64,
    /// Why the link is down.
    pub error: Option<String>,
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// The ingress reported, after it took the instances out, that no request is in flight.
    Empty,
    /// The deadline passed with that many requests in flight (`None`: the link is down).
    Deadline {
        /// Requests in flight.
        in_flight: Option<u64>,
    },
}

/// What the handle and its task share.
#[derive(Debug)]
pub(super) struct Shared {
    ledger: Mutex<Ledger>,
    changed: watch::Sender<u64>,
    /// There is something to send.
    pub(super) published: Notify,
}

impl Shared {
    fn new() -> Self {
        Self { ledger: Mutex::default(), changed: watch::Sender::new(0), published: Notify::new() }
    }

    /// Changes or reads the ledger, telling nobody.
    pub(super) fn quietly<T>(&self, act: impl FnOnce(&mut Ledger) -> T) -> T {
        act(&mut self.ledger.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the ledger and says *look again*.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Ledger) -> T) -> T {
        let result = self.quietly(act);
        self.changed.send_modify(|count| *count += 1);
        result
    }

    pub(super) fn with_up(&self, up: Up) {
        self.with(|ledger| ledger.take(up));
    }

    pub(super) fn lose(&self, error: &LinkError) {
        self.with(|ledger| ledger.lost(error.to_string()));
    }

    /// Waits until the ledger says so.
    async fn until(&self, deadline: Duration, done: impl Fn(&Ledger) -> bool) -> bool {
        let mut changes = self.changed.subscribe();
        let wait = async {
            loop {
                changes.borrow_and_update();
                if self.quietly(|ledger| done(ledger)) {
                    return;
                }
                // The sender lives in `self`.
                let _ = changes.changed().await;
            }
        };
        timeout(deadline, wait).await.is_ok()
    }
}

/// See the module. Dropping it, or dying, leaves the ingress running.
#[derive(Debug)]
pub struct IngressHandle {
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
    orders: mpsc::Sender<Stop>,
    task: JoinHandle<()>,
}

impl IngressHandle {
    /// Adopts the ingress that runs on the directory, with its listeners, or binds and starts one.
    ///
    /// Nothing of the routing table goes down before [`IngressHandle::ready`]: an adopted ingress serves what it has.
    /// Blocks for a few small file operations.
    ///
    /// # Errors
    /// An address in use, a directory or program that does not work, an ingress of another version.
    pub async fn start(config: IngressConfig) -> Result<Self, LinkError> {
        spawn::prepare(&config)?;
        let mut adopted = spawn::adopt(&config).await?;
        let (running, cores) = match &mut adopted {
            Some(connection) => (connection.groups.split_off(0), connection.cores),
            None => (Vec::new(), config.cores),
        };
        let served: Vec<SocketAddr> = running.iter().map(|group| group.address).collect();
        let groups = match_or_bind(&config.http, running, cores)?;
        let (mut connection, child) = match adopted {
            Some(connection) => (connection, None),
            None => spawn::obtain(&config).await?,
        };
        connection.served = served;
        Ok(Self::launch(config, groups, child, connection))
    }

    fn launch(
        config: IngressConfig,
        groups: Vec<Group>,
        child: Option<tokio::process::Child>,
        connection: Connection,
    ) -> Self {
        let shared = Arc::new(Shared::new());
        shared.with(|ledger| ledger.connected(connection.pid, connection.generation));
        let addresses = groups.iter().map(|group| group.address).collect();
        let (orders, receiver) = mpsc::channel(1);
        let session = Session { config, shared: Arc::clone(&shared), groups, child, orders: receiver };
        let task = tokio::spawn(session.run(connection));
        Self { shared, addresses, orders, task }
    }

    /// The addresses that are served, with their real ports, in the order of the configuration.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.addresses.clone()
    }

    /// Sets what the ingress knows of a service. The latest wins; it is sent again to an ingress that was restarted.
    pub fn publish(&self, entry: ServiceEntry) -> Generation {
        let generation = self.shared.with(|ledger| ledger.publish(entry));
        self.shared.published.notify_one();
        generation
    }

    /// Takes a service out.
    pub fn remove(&self, service: &ServiceId) -> Generation {
        let generation = self.shared.with(|ledger| ledger.remove(service));
        self.shared.published.notify_one();
        generation
    }

    /// Says that all services are published: from now on the table goes down, first whole, then every change at once.
    /// Until then an adopted ingress keeps the table of the control plane before. Returns the generation to wait for.
    pub fn ready(&self) -> Generation {
        let generation = self.shared.with(Ledger::ready);
        self.shared.published.notify_one();
        generation
    }

    /// Waits until *all* cores of the ingress apply a generation (or a later one).
    ///
    /// # Errors
    /// [`LinkError::Deadline`]; what was published stays so and is applied as soon as the link stands.
    pub async fn acknowledged(&self, generation: Generation, deadline: Duration) -> Result<(), LinkError> {
        if self.shared.until(deadline, |ledger| ledger.is_applied(generation)).await {
            return Ok(());
        }
        Err(spawn::late(&format!("the ingress' acknowledgement of generation {}", generation.0), deadline))
    }

    /// Requests in flight on an instance, WebSockets included; `None` while the link is down.
    pub fn in_flight(&self, instance: &InstanceId) -> Option<u64> {
        self.shared.quietly(|ledger| ledger.in_flight(instance))
    }

    /// Waits until no request is in flight on these instances, which must have been unpublished before: what counts is
    /// only what the ingress read after all its cores had taken them out.
    pub async fn drained(&self, instances: &[InstanceId], deadline: Duration) -> Drained {
        if self.shared.until(deadline, |ledger| instances.iter().all(|i| ledger.is_drained(i))).await {
            return Drained::Empty;
        }
        Drained::Deadline { in_flight: instances.iter().map(|i| self.in_flight(i)).sum() }
    }

    /// Says *look again* whenever anything here may have changed. The number carries no meaning.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }

    /// The state of the link.
    pub fn status(&self) -> IngressStatus {
        self.shared.quietly(|ledger| {
            let (published, applied) = ledger.generations();
            IngressStatus { pid: ledger.pid, published, applied, losses: ledger.losses, error: ledger.error.clone() }
        })
    }

    /// What a service did, with the epoch that the totals count from: a new epoch starts at zero.
    pub fn totals(&self, service: &ServiceId) -> Option<(u64, Totals)> {
        self.shared.quietly(|ledger| ledger.totals(service))
    }

    /// The passive ejections since the last call, oldest first.
    pub fn take_ejections(&self) -> Vec<Ejection> {
        self.shared.quietly(Ledger::take_ejections)
    }

    /// Stops the ingress: no new connections, running requests finish within the deadline, then it exits.
    pub async fn stop(&self, deadline: Duration) {
        let (done, wait) = oneshot::channel();
        if self.orders.send(Stop { deadline, done }).await.is_ok() {
            // An error means that the task is gone, and with it what there was to stop.
            let _ = wait.await;
        }
    }
}

impl Drop for IngressHandle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Each configured address' group: from the running ingress, or bound now.
fn match_or_bind(wanted: &[SocketAddr], mut running: Vec<Group>, cores: usize) -> Result<Vec<Group>, LinkError> {
    let mut groups = Vec::with_capacity(wanted.len());
    for address in wanted {
        let fits =
            |group: &Group| group.address == *address || (address.port() == 0 && group.address.ip() == address.ip());
        match running.iter().position(fits) {
            Some(at) => groups.push(running.remove(at)),
            None => groups.push(listen::bind(*address, cores.clamp(1, super::channel::MAX_DESCRIPTORS))?),
        }
    }
    Ok(groups)
}
