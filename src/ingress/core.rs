//! One core: a thread with a runtime of its own, its sockets, its connections, its copy of the routing table.

use super::client::Client;
use super::failure::Failure;
use super::instance::{InFlight, Instance};
use super::reports::Reports;
use super::table::{Route, State, Table};
use super::{choice, client, ejection, host};
use crate::link::{Ejection, Limits};
use arc_swap::ArcSwap;
use http::HeaderValue;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, sleep_until};

/// How often idle connections to instances are looked after.
const SWEEP_EVERY: Duration = Duration::from_secs(5);
/// How often clients' times are looked at: a quarter of the shortest limit, between these.
const CHECK_LEAST: Duration = Duration::from_millis(25);
const CHECK_MOST: Duration = Duration::from_secs(1);
/// The pause after `accept` failed, mostly for want of descriptors: trying at once would only burn the core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What the control thread tells a core, besides tables.
#[derive(Debug)]
pub(super) enum Command {
    /// Accept on this socket.
    Listen(SocketAddr, std::net::TcpListener),
    /// Stop accepting on all addresses but these.
    ListenOnly(Vec<SocketAddr>),
    /// Stop accepting, let connections end, return.
    Shutdown,
}

/// What the tasks of one core share.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) index: usize,
    pub(super) reports: Arc<Reports>,
    table: ArcSwap<Table>,
    /// Zero of [`Core::now`].
    began: Instant,
    /// Where the ring of equally loaded instances starts next.
    turn: AtomicUsize,
    connections: AtomicUsize,
    freed: Notify,
    closing: AtomicBool,
    /// The last time that was read, in milliseconds since the ingress started.
    clock: AtomicU64,
    /// Client connections by number; used by this core's thread only.
    clients: Mutex<(u64, HashMap<u64, Arc<Client>>)>,
}

impl Core {
    /// All cores must be given the same `began`: ejections are shared between them.
    pub(super) fn new(index: usize, began: Instant, reports: Arc<Reports>, table: Arc<Table>) -> Arc<Self> {
        Arc::new(Self {
            index,
            reports,
            table: ArcSwap::new(table),
            began,
            turn: AtomicUsize::new(index),
            connections: AtomicUsize::new(0),
            freed: Notify::new(),
            closing: AtomicBool::new(false),
            clock: AtomicU64::new(0),
            clients: Mutex::default(),
        })
    }

    /// Sizes and times in force.
    pub(super) fn limits(&self) -> Limits {
        self.table.load().settings.limits
    }

    /// Whether a peer's word on others is believed.
    pub(super) fn trusts(&self, peer: std::net::IpAddr) -> bool {
        self.table.load().settings.trusted_proxies.iter().any(|net| net.contains(peer))
    }

    /// Whether connections are to end.
    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Relaxed)
    }

    /// The time in milliseconds since the ingress started, remembered for [`Core::clock`].
    pub(super) fn read_clock(&self, now: Instant) -> u64 {
        let elapsed = now.saturating_duration_since(self.began).as_millis();
        let elapsed = u64::try_from(elapsed).unwrap_or(u64::MAX);
        self.clock.store(elapsed, Relaxed);
        elapsed
    }

    /// The time that was read last: no later than the last check of clients, at least.
    pub(super) fn clock(&self) -> u64 {
        self.clock.load(Relaxed)
    }

    /// Has a client's times looked after, until it is unregistered by the key returned.
    pub(super) fn register(&self, client: &Arc<Client>) -> u64 {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.0 += 1;
        let key = clients.0;
        clients.1.insert(key, Arc::clone(client));
        key
    }

    pub(super) fn unregister(&self, key: u64) {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner).1.remove(&key);
    }

    fn each_client(&self, act: impl Fn(&Client)) {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner).1.values().for_each(|client| act(client));
    }

    fn check_clients(&self) {
        let now = self.read_clock(Instant::now());
        self.each_client(|client| client.check(now));
    }

    fn check_every(&self) -> Duration {
        let limits = self.limits();
        (limits.head().min(limits.request()) / 4).clamp(CHECK_LEAST, CHECK_MOST)
    }

    fn close(&self) {
        self.closing.store(true, Relaxed);
        self.each_client(Client::wake);
    }

    /// The service of a host.
    ///
    /// What is found must be used before the next `await`: by applying a table a core promises that no request is sent
    /// by an older one from then on.
    pub(super) fn find(&self, host: &HeaderValue) -> Result<Arc<Route>, Failure> {
        let table = self.table.load();
        let name = host::name(host).ok_or(Failure::BadHost)?;
        match table.route(&name) {
            _ if !table.settled => Err(Failure::Unsettled),
            None => Err(Failure::UnknownHost),
            Some(route) => Ok(Arc::clone(route)),
        }
    }

    /// Chooses an instance and counts the request on it. `None`: all of them were tried.
    pub(super) fn pick(self: &Arc<Self>, route: &Route, tried: &[Arc<Instance>]) -> Result<Option<InFlight>, Failure> {
        let instances = match &route.state {
            State::Unavailable(message) => return Err(Failure::Unavailable(message.clone())),
            State::Serving(instances) if instances.is_empty() => return Err(Failure::NoInstance),
            State::Serving(instances) => instances,
        };
        let turn = self.turn.load(Relaxed);
        self.turn.store(turn.wrapping_add(1), Relaxed);
        let candidates = instances.iter().map(|instance| self.candidate(instance, tried));
        let Some(index) = choice::choose(candidates, turn % instances.len()) else { return Ok(None) };
        let instance = &instances[index];
        if instance.ejection.is_marked() {
            instance.ejection.claim(self.now());
        }
        Ok(Some(InFlight::begin(Arc::clone(instance), Arc::clone(self))))
    }

    fn candidate(&self, instance: &Arc<Instance>, tried: &[Arc<Instance>]) -> choice::Candidate {
        let ejection = &instance.ejection;
        choice::Candidate {
            load: instance.load(),
            ejected: ejection.is_marked() && ejection.health(self.now()) == ejection::Health::Resting,
            tried: tried.iter().any(|other| Arc::ptr_eq(other, instance)),
        }
    }

    /// Notes that an instance could not be connected to.
    pub(super) fn eject(&self, instance: &Instance, error: &std::io::Error) {
        let Some(for_ms) = instance.ejection.fail(self.now()) else { return };
        tracing::warn!(instance = %instance.id, address = %instance.address, %error, for_ms, "instance ejected");
        let (service, id) = (instance.service.clone(), instance.id.clone());
        self.reports.eject(Ejection { service, instance: id, for_ms, error: error.to_string() });
    }

    fn now(&self) -> u64 {
        self.read_clock(Instant::now())
    }

    /// Counts a client connection.
    pub(super) fn enter(&self) {
        self.connections.fetch_add(1, Relaxed);
    }

    /// Uncounts it.
    pub(super) fn leave(&self) {
        self.connections.fetch_sub(1, Relaxed);
        self.freed.notify_one();
    }

    async fn below(&self, limit: usize) {
        while self.connections.load(Relaxed) >= limit.max(1) {
            self.freed.notified().await;
        }
    }

    fn apply(&self, table: &Arc<Table>) {
        self.table.store(Arc::clone(table));
        for instance in &table.retired {
            instance.close_idle(self.index);
        }
        self.reports.apply(self.index, table.generation);
    }

    fn sweep(&self) {
        let (table, now) = (self.table.load(), Instant::now());
        let idle = table.settings.limits.idle();
        for route in table.hosts.values() {
            if let State::Serving(instances) = &route.state {
                instances.iter().for_each(|instance| instance.sweep(self.index, now, idle));
            }
        }
    }
}

/// Runs a core until it was told to shut down and its last connection ended.
pub(super) async fn run(
    core: Arc<Core>,
    mut tables: watch::Receiver<Arc<Table>>,
    mut commands: mpsc::Receiver<Command>,
) {
    let mut accepting: HashMap<SocketAddr, Vec<AbortHandle>> = HashMap::new();
    let mut sweeps = interval(SWEEP_EVERY);
    sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    core.apply(&tables.borrow_and_update().clone());
    let mut next_check = tokio::time::Instant::now();
    loop {
        // Tables first: whoever sends a table and then a listener must not see the listener answer by the old table.
        tokio::select! {
            biased;
            Ok(()) = tables.changed() => {
                core.apply(&tables.borrow_and_update().clone());
                // Limits may have become shorter.
                next_check = next_check.min(tokio::time::Instant::now() + core.check_every());
            }
            command = commands.recv() => match command {
                Some(Command::Listen(address, listener)) => {
                    accepting.entry(address).or_default().extend(accept(&core, listener));
                }
                Some(Command::ListenOnly(addresses)) => accepting.retain(|address, tasks| {
                    let keep = addresses.contains(address);
                    if !keep { tasks.iter().for_each(AbortHandle::abort); }
                    keep
                }),
                Some(Command::Shutdown) | None => break,
            },
            _ = sweeps.tick() => core.sweep(),
            () = sleep_until(next_check) => {
                core.check_clients();
                next_check = tokio::time::Instant::now() + core.check_every();
            }
        }
    }
    accepting.into_values().flatten().for_each(|task| task.abort());
    core.close();
    let mut checks = interval(core.check_every());
    loop {
        tokio::select! {
            () = core.below(1) => return,
            _ = checks.tick() => core.check_clients(),
        }
    }
}

fn accept(core: &Arc<Core>, listener: std::net::TcpListener) -> Option<AbortHandle> {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "failed to use a listener");
            return None;
        }
    };
    let core = Arc::clone(core);
    let task = tokio::spawn(async move {
        loop {
            core.below(core.limits().connections).await;
            match listener.accept().await {
                Ok((stream, peer)) => client::serve(&core, stream, peer),
                Err(error) => {
                    tracing::warn!(%error, "failed to accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    });
    Some(task.abort_handle())
}
