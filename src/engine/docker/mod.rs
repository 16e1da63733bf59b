//! The engine `docker`: an instance is a container on a bridge of the installation's own.
//!
//! Everything is found again by labels; nothing is remembered here that a restart would lose. What an instance is made
//! of is decided in `container`, what is seen of it in `observe`: both pure. Secrets stand in a container's
//! environment, readable to whoever may use Docker on the host.

mod attach;
mod building;
mod client;
mod container;
mod events;
mod examine;
mod follow;
mod guard;
mod isolation;
mod labels;
mod lease;
mod logfile;
mod machine;
mod namespace;
mod network;
mod observe;
mod podman;
mod ports;
mod records;
mod rootless;
mod start;
mod stop;
mod storage;

pub use examine::{DockerFacts, examine};
pub use rootless::Limits;

use super::{Attached, Engine, EngineError, InstanceUsage};
use crate::model::{
    DockerHost, InstallationId, InstanceId, InstanceSpec, Memory, ObservedInstance, Purpose, TerminalSize,
};
use async_trait::async_trait;
use bollard::Docker;
use bollard::models::{ContainerInspectResponse, ContainerStatsResponse, ContainerSummary};
use bollard::query_parameters::{ListContainersOptionsBuilder, StatsOptionsBuilder};
use building::BuildGuard;
use client::{CALL, call, call_within};
use follow::Followers;
use futures_util::{StreamExt, TryStreamExt};
use guard::Guard;
pub use guard::Isolation;
use namespace::Namespace;
use network::{Bridge, Kind};
use podman::Podman;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use storage::Storage;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Containers inspected at the same time.
const PARALLEL: usize = 8;

/// What instances may take that nobody says (row I3).
const STORAGE: Memory = Memory(3 << 30);
/// How often what they take is measured.
pub const MEASURED: Duration = Duration::from_secs(30);

/// How long a look at instances may wait for the last lines of those that have just ended.
const SETTLED: Duration = Duration::from_secs(2);

/// How long the rest of an ended container's output may take.
const LAST_LINES: Duration = Duration::from_secs(10);

/// How instances are reached from this host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// By the container's address where this host routes to the bridge, else as `Published`.
    #[default]
    Auto,
    /// By a port of this host's loopback. Docker's proxy accepts before the application listens: use HTTP checks only.
    Published,
}

/// The Docker engine. Dropping it ends its background tasks; containers go on.
pub struct DockerEngine {
    docker: Docker,
    /// What answers, where that is Podman.
    podman: Option<Podman>,
    /// Where its containers' network is, without root.
    namespace: Option<Arc<Namespace>>,
    /// Whether instances may run where nothing keeps them apart.
    unisolated: bool,
    installation: InstallationId,
    reach: Reach,
    /// Where the search for a free lease goes on; held from the choice until the container carries it.
    leasing: tokio::sync::Mutex<u32>,
    /// Whether Docker has its init process, until a start says otherwise.
    init: AtomicBool,
    /// Whether instances are reached through Docker's proxy, as last seen.
    proxied: AtomicBool,
    followers: Followers,
    guard: Guard,
    builds: Arc<BuildGuard>,
    /// Connections to commands that read, until somebody takes them.
    attached: Mutex<HashMap<InstanceId, Attached>>,
    storage: Arc<Storage>,
    changes: watch::Receiver<u64>,
    _events: DropGuard,
}

impl DockerEngine {
    /// Connects to the engine at `host`, agrees on an API version (1.41 or later), makes the installation's bridge, and
    /// goes on copying the output of instances that run. Fails with [`EngineError::Unreachable`] when nothing answers,
    /// with [`EngineError::Refused`] when the engine is too old or on another machine, or another user's Podman.
    pub async fn connect(host: &DockerHost, installation: InstallationId, reach: Reach) -> Result<Self, EngineError> {
        let (docker, podman) = client::connect(host).await?;
        let bridge = network::ensure(&docker, podman.as_ref(), &installation, Kind::Instances).await?;
        refuse_remote(host, &bridge)?;
        let rootless = podman.clone().filter(|podman| podman.rootless.is_some());
        let namespace = rootless.map(|p| Arc::new(Namespace::new(docker.clone(), p, installation.clone())));
        let (sender, changes) = watch::channel(0);
        let stop = CancellationToken::new();
        tokio::spawn(events::watch(docker.clone(), installation.clone(), sender, stop.clone()));
        let guard = Guard::new(&installation, Vec::new()).keeping_apart(podman.is_some());
        let builds = BuildGuard::new(docker.clone(), podman.clone(), namespace.clone(), &installation, Vec::new());
        let engine = Self {
            followers: Followers::new(docker.clone(), podman.clone()),
            guard: guard.within(namespace.clone()),
            builds: Arc::new(builds),
            namespace,
            attached: Mutex::default(),
            storage: Arc::new(Storage::new(docker.clone(), installation.clone(), STORAGE, MEASURED)),
            docker,
            podman,
            unisolated: false,
            installation,
            reach,
            leasing: tokio::sync::Mutex::new(fastrand::u32(..)),
            init: true.into(),
            proxied: false.into(),
            changes,
            _events: stop.drop_guard(),
        };
        engine.observe().await?;
        Ok(engine)
    }

    /// The same engine, on which instances may use these ports of the host: the ingress', so that a service can call
    /// another by its URL.
    #[must_use]
    pub fn with_open_ports(self, ports: Vec<u16>) -> Self {
        let guard = Guard::new(&self.installation, ports).keeping_apart(self.podman.is_some());
        Self { guard: guard.within(self.namespace.clone()), ..self }
    }

    /// The same engine, on which instances whose size does not say may take this storage, measured this often where the
    /// storage driver has no limit.
    #[must_use]
    pub fn with_storage(self, default: Memory, measured: Duration) -> Self {
        let storage = Storage::new(self.docker.clone(), self.installation.clone(), default, measured);
        Self { storage: Arc::new(storage), ..self }
    }

    /// The same engine, on which builds may reach these addresses although they are this host's.
    #[must_use]
    pub fn with_reach_of_builds(self, reach: Vec<std::net::SocketAddrV4>) -> Self {
        let (docker, podman) = (self.docker.clone(), self.podman.clone());
        let builds = BuildGuard::new(docker, podman, self.namespace.clone(), &self.installation, reach);
        Self { builds: Arc::new(builds), ..self }
    }

    async fn bridge(&self) -> Result<Bridge, EngineError> {
        network::ensure(&self.docker, self.podman.as_ref(), &self.installation, Kind::Instances).await
    }

    /// Whether instances are kept from the host and from metadata addresses, as last seen.
    pub fn isolation(&self) -> Option<Isolation> {
        self.guard.state()
    }

    /// Whether instances are reached by a published port only: then TCP health checks say nothing.
    pub async fn publishes(&self) -> Result<bool, EngineError> {
        Ok(!self.is_direct(&self.bridge().await?))
    }

    fn is_direct(&self, bridge: &Bridge) -> bool {
        bridge.routed && self.reach == Reach::Auto
    }

    /// Containers of this installation, or of one instance, in every state.
    async fn list(&self, instance: Option<&InstanceId>) -> Result<Vec<ContainerSummary>, EngineError> {
        let mut wanted = vec![format!("{}={}", labels::INSTALLATION, self.installation)];
        wanted.extend(instance.map(|id| format!("{}={id}", labels::INSTANCE)));
        if let Some(podman) = &self.podman {
            return podman.list(&wanted).await;
        }
        let filters = HashMap::from([("label", wanted)]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        call("list containers", self.docker.list_containers(Some(options))).await
    }

    /// The container of an instance.
    async fn find(&self, id: &InstanceId) -> Result<Option<ContainerInspectResponse>, EngineError> {
        for summary in self.list(Some(id)).await? {
            let Some(container) = summary.id else { continue };
            if let Some(inspect) = self.inspect(&container).await? {
                return Ok(Some(inspect));
            }
        }
        Ok(None)
    }

    /// The first process of an instance that runs, by the engine's own numbers, and its container.
    async fn process(&self, id: &InstanceId) -> Result<Option<(i64, String)>, EngineError> {
        let Some(inspect) = self.find(id).await?.filter(observe::is_alive) else { return Ok(None) };
        Ok(inspect.state.and_then(|s| s.pid).filter(|pid| *pid > 0).zip(inspect.id))
    }

    /// Everything of one purpose; the output of all that runs is copied from now on.
    async fn observe_of(&self, purpose: Purpose) -> Result<Vec<ObservedInstance>, EngineError> {
        let bridge = self.bridge().await?;
        self.proxied.store(!self.is_direct(&bridge), Ordering::Relaxed);
        self.guard.ensure(&bridge).await;
        self.storage.look();
        let ids: Vec<String> = self.list(None).await?.into_iter().filter_map(|c| c.id).collect();
        let inspections: Vec<_> = ids.iter().map(|id| self.inspect(id)).collect();
        let inspected: Vec<Option<ContainerInspectResponse>> =
            futures_util::stream::iter(inspections).buffered(PARALLEL).try_collect().await?;
        inspected.iter().flatten().for_each(|inspect| self.follow(inspect));
        if self.podman.is_some() {
            // An end is told with its last lines; Docker's are there at once.
            let ended = inspected.iter().flatten().filter(|inspect| !observe::is_alive(inspect));
            let ended = ended.filter_map(observe::labels).map(|labels| labels.instance).collect();
            self.followers.settle(&ended, SETTLED).await;
        }
        let present = inspected.iter().flatten();
        let seen: Vec<_> = present.filter_map(|inspect| observe::instance(inspect, &bridge.name, purpose)).collect();
        self.followers.keep(&inspected.iter().flatten().filter_map(observe::labels).map(|l| l.instance).collect());
        Ok(seen)
    }

    async fn inspect(&self, container: &str) -> Result<Option<ContainerInspectResponse>, EngineError> {
        client::inspect(&self.docker, self.podman.as_ref(), container).await
    }

    /// Sees to it that the output of a container that was started is copied.
    fn follow(&self, inspect: &ContainerInspectResponse) {
        let (Some(labels), Some(container)) = (observe::labels(inspect), &inspect.id) else { return };
        if observe::was_started(inspect) {
            self.followers.ensure(&labels.instance, container, labels.log, observe::is_alive(inspect));
        }
    }

    /// The container's id and what is known of it, where an instance must be there.
    async fn existing(&self, id: &InstanceId) -> Result<(String, ContainerInspectResponse), EngineError> {
        let inspect = self.find(id).await?;
        inspect
            .and_then(|inspect| Some((inspect.id.clone()?, inspect)))
            .ok_or_else(|| EngineError::Refused(format!("there is no container for instance `{id}`")))
    }
}

/// A published port of another machine's loopback cannot be reached.
fn refuse_remote(host: &DockerHost, bridge: &Bridge) -> Result<(), EngineError> {
    let DockerHost::Tcp(authority) = host else { return Ok(()) };
    let name = authority.rsplit_once(':').map_or(authority.as_str(), |(name, _)| name);
    if bridge.routed || name == "localhost" || name == "[::1]" || name.starts_with("127.") {
        return Ok(());
    }
    Err(EngineError::Refused(format!(
        "the Docker engine at {host} is on another machine, and instances there could not be reached; run towpath there"
    )))
}

/// The kernel's id of this boot; empty where there is none to read.
async fn boot_id() -> String {
    let text = tokio::fs::read_to_string("/proc/sys/kernel/random/boot_id").await;
    text.map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// CPU and memory of a one-shot sample; cache that the kernel can drop is no memory in use.
fn usage(stats: &ContainerStatsResponse) -> Option<InstanceUsage> {
    let cpu = stats.cpu_stats.as_ref()?.cpu_usage.as_ref()?.total_usage?;
    let memory = stats.memory_stats.as_ref()?;
    let used = memory.usage?;
    let cache = memory.stats.as_ref().and_then(|s| s.get("inactive_file").or_else(|| s.get("total_inactive_file")));
    Some(InstanceUsage { cpu: Duration::from_nanos(cpu), memory: used.saturating_sub(cache.copied().unwrap_or(0)) })
}

#[async_trait]
impl Engine for DockerEngine {
    fn name(&self) -> &'static str {
        "docker"
    }

    async fn identity(&self) -> Result<String, EngineError> {
        let id = match &self.podman {
            Some(podman) => podman.store.clone(),
            None => call("ask Docker who it is", self.docker.info()).await?.id.unwrap_or_default(),
        };
        Ok(format!("{id}/{}", boot_id().await))
    }

    async fn observe(&self) -> Result<Vec<ObservedInstance>, EngineError> {
        self.observe_of(Purpose::Serve).await
    }

    async fn one_offs(&self) -> Result<Vec<ObservedInstance>, EngineError> {
        self.observe_of(Purpose::Once).await
    }

    async fn start(&self, spec: &InstanceSpec) -> Result<SocketAddr, EngineError> {
        self.start_instance(spec).await
    }

    async fn stop(&self, id: &InstanceId, grace: Duration) -> Result<(), EngineError> {
        match self.find(id).await? {
            Some(inspect) if observe::is_alive(&inspect) => {
                let container = inspect.id.clone().unwrap_or_default();
                self.end(&container, observe::is_frozen(&inspect), grace).await?;
                self.followers.ended(id);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn remove(&self, id: &InstanceId) -> Result<(), EngineError> {
        drop(self.take_attached(id));
        let Some(inspect) = self.find(id).await? else {
            self.followers.finish(id, Duration::ZERO).await;
            return Ok(());
        };
        let container = inspect.id.clone().unwrap_or_default();
        if observe::is_alive(&inspect) {
            self.end(&container, observe::is_frozen(&inspect), Duration::ZERO).await?;
        }
        self.follow(&inspect);
        self.followers.finish(id, LAST_LINES).await;
        self.discard(&container).await
    }

    async fn freeze(&self, id: &InstanceId) -> Result<(), EngineError> {
        let (container, inspect) = self.existing(id).await?;
        if observe::is_frozen(&inspect) {
            return Ok(());
        }
        call("freeze an instance", self.docker.pause_container(&container)).await
    }

    async fn thaw(&self, id: &InstanceId) -> Result<(), EngineError> {
        let (container, inspect) = self.existing(id).await?;
        if !observe::is_frozen(&inspect) {
            return Ok(());
        }
        call("thaw an instance", self.docker.unpause_container(&container)).await
    }

    async fn usage(&self, id: &InstanceId) -> Result<Option<InstanceUsage>, EngineError> {
        let measured = self.podman.as_ref().is_none_or(Podman::measures);
        let Some(inspect) = self.find(id).await?.filter(|found| measured && observe::is_alive(found)) else {
            return Ok(None);
        };
        let container = inspect.id.unwrap_or_default();
        let options = StatsOptionsBuilder::default().stream(false).one_shot(true).build();
        let mut samples = Box::pin(self.docker.stats(&container, Some(options)));
        let first = call_within(CALL, "read an instance's usage", async { samples.next().await.transpose() }).await?;
        Ok(first.as_ref().and_then(usage))
    }

    async fn listening_ports(&self, id: &InstanceId) -> Result<Vec<u16>, EngineError> {
        let Some((pid, container)) = self.process(id).await? else { return Ok(Vec::new()) };
        Ok(ports::listening(pid, &container).await)
    }

    async fn unaccepted(&self, id: &InstanceId, port: u16) -> Result<Option<u32>, EngineError> {
        let Some((pid, container)) = self.process(id).await? else { return Ok(None) };
        Ok(ports::unaccepted(pid, &container, port).await)
    }

    async fn attach(&self, id: &InstanceId) -> Result<Attached, EngineError> {
        self.take_attached(id)
            .ok_or_else(|| EngineError::Refused(format!("command {id} reads nothing, or somebody is attached to it")))
    }

    async fn resize(&self, id: &InstanceId, size: TerminalSize) -> Result<(), EngineError> {
        self.resize_terminal(id, size).await
    }

    fn take_notices(&self) -> Vec<(InstanceId, String)> {
        self.storage.take_notices()
    }

    fn is_proxied(&self) -> bool {
        self.proxied.load(Ordering::Relaxed)
    }

    async fn dismantle(&self) -> Result<(), EngineError> {
        network::remove(&self.docker, &self.installation, Kind::Instances).await?;
        self.guard.remove().await;
        self.builds.remove().await;
        Ok(())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }
}
