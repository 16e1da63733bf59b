//! What every part of the reconciler shares: its dependencies, the state in memory, and the one way to change it.
//!
//! The stored state is kept whole in memory and written through: [`Core::transact`] computes writes from the present
//! world, stores them in one transaction, and only then changes memory. A failed write changes nothing.

use super::health;
use super::routes::{self, Liveness};
use crate::api::control::{ManifestState, Snapshot};
use crate::api::webhooks::Provider;
use crate::build::Builder;
use crate::desired::Desired;
use crate::engine::Engine;
use crate::engine::once::OneOffs;
use crate::link::Generation;
use crate::link::handle::IngressHandle;
use crate::model::InstanceId;
use crate::model::{
    Catalogue, Digest, Event, EventSeverity, HostUrl, Memory, ObservedInstance, OperationId, OperationKind, Secret,
    ServiceId, ServiceRecord, Timestamp,
};
use crate::observed::EngineView;
use crate::plan::Policy;
use crate::settings::ManifestSource;
use crate::source::git::GitSource;
use crate::source::poller::Poller;
use crate::store::{Store, StoreError, World, Write};
use crate::telemetry::LogStore;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, broadcast};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What does not change while the control plane runs.
pub struct Config {
    /// Region for ARNs and default domains.
    pub region: String,
    /// Account for ARNs, 12 digits.
    pub account: String,
    /// Services answer at `<name>.<base domain>`.
    pub base_domain: String,
    /// The port of the first HTTP listener.
    pub http_port: u16,
    /// Where the API is, for browsers of this machine.
    pub api_url: HostUrl,
    /// The manifest that is followed; a path is absolute.
    pub manifest: ManifestSource,
    /// Where its commits are written out, where it is pulled from git.
    pub manifests: PathBuf,
    /// The manifest as the user named it, for messages.
    pub manifest_shown: String,
    /// Whether plans are applied by themselves.
    pub apply_automatically: bool,
    /// How far instance memory may exceed the host's, in percent.
    pub overcommit_percent: u32,
    /// The host's memory, for admission.
    pub host_memory: Option<Memory>,
    /// The runtimes.
    pub catalogue: Catalogue,
    /// Where commits are written out for a build.
    pub trees: PathBuf,
    /// The data directory.
    pub data: PathBuf,
    /// Where the mirrors of repositories lie.
    pub mirrors: PathBuf,
    /// Where builds keep what makes them faster.
    pub caches: PathBuf,
    /// What is kept on disk.
    pub keep: crate::settings::Keep,
    /// Where the output of commands that run once lies meanwhile.
    pub one_offs: PathBuf,
    /// How many of each the API may make.
    pub quotas: crate::model::Quotas,
    /// Where the keys of encrypted secrets lie.
    pub secrets: PathBuf,
    /// What webhooks are signed with, by the host that sends them.
    pub webhook_secrets: BTreeMap<Provider, Secret>,
    /// towpath's own environment, for `{ env: … }` secrets.
    pub environment: BTreeMap<String, Secret>,
    /// How many builds run at once.
    pub parallel_builds: usize,
    /// How often git hosts are asked for what they have besides commits.
    pub poll: crate::model::Poll,
    /// What pull requests against the manifest's repository are planned.
    pub plan_pulls: crate::settings::PlanPulls,
}

/// Why a running operation is asked to stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// A person cancelled it.
    Cancelled(String),
    /// A newer version takes its place.
    Superseded(String),
}

/// An operation that a task works on.
pub struct Running {
    /// Cancelled when it should stop.
    pub token: CancellationToken,
    /// Why, once it should.
    pub reason: Option<StopReason>,
}

/// What was planned when a commit of the manifest came into force.
#[derive(Debug)]
pub struct FirstPlan {
    /// The commit.
    pub commit: crate::model::CommitId,
    /// The plan.
    pub plan: crate::plan::Plan,
    /// Beside it.
    pub report: crate::plan::Report,
}

/// The state in memory. Its lock is never held across an await.
pub struct State {
    /// What is stored.
    pub world: World,
    /// What the engine last said, by instance.
    pub instances: BTreeMap<InstanceId, ObservedInstance>,
    /// When instances were last known to run by other means than the engine's list: a list that was asked for before
    /// that says nothing about them.
    pub alive_at: BTreeMap<InstanceId, Instant>,
    /// When instances were removed: a list that was asked for before that may still name them.
    pub gone_at: BTreeMap<InstanceId, Instant>,
    /// Whether it answered.
    pub engine: EngineView,
    /// Instances that have ended, and verdicts, as routing needs them.
    pub live: Liveness,
    /// How each checked instance fared.
    pub health: BTreeMap<InstanceId, health::Record>,
    /// What the last valid manifest declares.
    pub desired: Option<Desired>,
    /// The same without the previews in it: as it stands in the files.
    pub declared: Option<Desired>,
    /// The pull requests that have a preview now.
    pub previews: crate::desired::previews::Open,
    /// The manifest's state.
    pub manifest: ManifestState,
    /// What was read of it last.
    pub manifest_read: Option<Digest>,
    /// Whether it names encrypted secrets or files of keys, which change by themselves.
    pub manifest_has_secrets: bool,
    /// How its repository is followed, where it is pulled from git.
    pub manifest_followed: super::manifest::repository::Followed,
    /// What is held back until its checks have passed.
    pub gates: BTreeMap<super::feedback::gate::Followed, super::feedback::gate::Gate>,
    /// What was planned first with the commit of the manifest that is in force, where it is pulled from git.
    pub manifest_first_plan: Option<Arc<FirstPlan>>,
    /// The commit that was planned with last, in this process or before it.
    pub manifest_planned: Option<crate::model::CommitId>,
    /// What was told of instances that were changed by hand.
    pub drift_told: super::drift::Told,
    /// The last known heads of branches that are followed.
    pub heads: super::rewritten::Heads,
    /// What is known of commits that are not deployed yet.
    pub vetting: super::vetting::Vetting,
    /// When everything was as the manifest in force declares, once it was.
    pub manifest_converged: Option<Timestamp>,
    /// Operations that tasks work on.
    pub running: BTreeMap<OperationId, Running>,
    /// Services that are being healed; cancelled when an operation wants the turn.
    pub healing: BTreeMap<ServiceId, CancellationToken>,
    /// When services were healed, oldest first, at most ten each.
    pub heals: BTreeMap<ServiceId, Vec<Timestamp>>,
    /// The last entry that the ingress was told, by service.
    pub published: BTreeMap<ServiceId, (crate::link::ServiceEntry, Generation)>,
    /// The present state as the wire shows it.
    pub snapshot: Arc<Snapshot>,
    /// One turn per service: an operation from its shift step on, or a healing.
    pub turns: BTreeMap<ServiceId, Arc<tokio::sync::Mutex<()>>>,
}

impl State {
    /// Notes that an instance runs, as its start or a passed check has shown.
    pub fn is_alive(&mut self, instance: ObservedInstance) {
        self.alive_at.insert(instance.id.clone(), Instant::now());
        self.live.ended.remove(&instance.id);
        self.instances.insert(instance.id.clone(), instance);
    }

    /// Takes in what the engine listed; `asked` is when it was asked.
    pub fn take_list(&mut self, listed: Vec<ObservedInstance>, asked: Instant) {
        let newer = |id: &InstanceId| self.alive_at.get(id).is_some_and(|at| *at >= asked);
        // Lists are taken one after the other: what went before this question was asked is in no later answer.
        self.gone_at.retain(|_, at| *at >= asked);
        let listed = listed.into_iter().filter(|i| !self.gone_at.contains_key(&i.id));
        let mut instances: BTreeMap<_, _> = listed.map(|i| (i.id.clone(), i)).collect();
        for (id, known) in &self.instances {
            if newer(id) && !instances.contains_key(id) {
                instances.insert(id.clone(), known.clone());
            }
        }
        self.instances = instances;
    }

    /// Forgets an instance that was removed.
    pub fn forget(&mut self, id: &InstanceId) {
        self.health.remove(id);
        self.instances.remove(id);
        self.alive_at.remove(id);
        self.gone_at.insert(id.clone(), Instant::now());
        self.live.health.remove(id);
        self.live.ended.remove(id);
    }
}

/// What the reconciler is given to work with.
pub struct Parts {
    /// What must survive a restart.
    pub store: Arc<Store>,
    /// What runs instances.
    pub engine: Arc<dyn Engine>,
    /// What makes artifacts.
    pub builder: Arc<dyn Builder>,
    /// Repositories.
    pub git: Arc<GitSource>,
    /// What watches them.
    pub poller: Poller,
    /// The data plane.
    pub ingress: IngressHandle,
    /// Log files.
    pub logs: LogStore,
    /// Settings.
    pub config: Config,
}

/// Everything that the reconciler works with: its [`Parts`], which it can be used as, and what it keeps of its own.
pub struct Core {
    parts: Arc<Parts>,
    /// How the installation is called in ARNs and domains.
    pub installed: crate::api::facts::Installed,
    /// The key of what clients carry for us: tokens of pages.
    pub token_key: [u8; 32],
    /// Held while a person's act is admitted and stored.
    pub admitting: tokio::sync::Mutex<()>,
    /// Who may do what; set once, before anything is deployed.
    pub access: std::sync::OnceLock<Arc<crate::access::Access>>,
    /// Who did what; set once, before anything is deployed.
    pub audit: std::sync::OnceLock<Arc<crate::access::audit::Audit>>,
    /// What connections give, as it was last read.
    pub connections: super::connections::Book,
    /// Commands that run once.
    pub one_offs: OneOffs,
    /// Those of them that people asked for.
    pub commands: super::commands::Commands,
    /// Held while strays are removed.
    pub sweeping: tokio::sync::Mutex<()>,
    /// Bounds the builds that run at once.
    pub builds: Semaphore,
    /// Held shared from the search for an artifact until a revision names it, alone while artifacts are removed.
    pub artifacts: tokio::sync::RwLock<()>,
    /// The directories that changes of the manifest show in.
    pub manifest_directories: tokio::sync::watch::Sender<super::manifest::Directories>,
    /// *Look again.*
    pub wake: Notify,
    /// What speaks to GitHub, by the connection.
    pub clients: super::feedback::Clients,
    /// Changes whenever a git host says that something happened.
    pub host_hints: tokio::sync::watch::Sender<u64>,
    /// Every event, for whoever prints them. Slow readers lose the oldest.
    pub events: broadcast::Sender<Event>,
    /// Cancelled when the control plane goes; what runs is left as after a crash.
    pub stopping: CancellationToken,
    /// Cancelled when everything is to stop: traffic and instances too.
    pub down: CancellationToken,
    state: Arc<Mutex<State>>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl std::ops::Deref for Core {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

/// How many events may wait for a slow printer.
const EVENT_BACKLOG: usize = 1024;

impl Core {
    /// Puts the parts together around the stored world.
    pub fn new(parts: Parts, world: World) -> Arc<Self> {
        // Stored at the first start; where a test stores none, it holds until the process ends.
        let token_key = super::managed::token_key(&world).unwrap_or_else(super::random);
        let installed = super::managed::installed(&parts.config, parts.engine.name());
        let snapshot = Arc::new(super::snapshot::empty(&parts.config, parts.engine.name()));
        let manifest_planned = super::manifest::repository::remembered_commit(&world);
        let state = State {
            world,
            instances: BTreeMap::new(),
            alive_at: BTreeMap::new(),
            gone_at: BTreeMap::new(),
            engine: EngineView::Unreachable { message: "not asked yet".into() },
            live: Liveness::default(),
            health: BTreeMap::new(),
            desired: None,
            declared: None,
            previews: BTreeMap::new(),
            manifest: ManifestState::None,
            manifest_read: None,
            manifest_has_secrets: false,
            manifest_followed: Default::default(),
            gates: BTreeMap::new(),
            manifest_first_plan: None,
            manifest_planned,
            manifest_converged: None,
            drift_told: super::drift::Told::default(),
            heads: super::rewritten::Heads::default(),
            vetting: super::vetting::Vetting::default(),
            running: BTreeMap::new(),
            healing: BTreeMap::new(),
            heals: BTreeMap::new(),
            published: BTreeMap::new(),
            snapshot,
            turns: BTreeMap::new(),
        };
        Arc::new(Self {
            one_offs: OneOffs::new(parts.engine.clone(), parts.config.one_offs.clone()),
            commands: super::commands::Commands::default(),
            connections: super::connections::Book::default(),
            installed,
            access: std::sync::OnceLock::new(),
            audit: std::sync::OnceLock::new(),
            token_key,
            builds: Semaphore::new(parts.config.parallel_builds),
            artifacts: tokio::sync::RwLock::new(()),
            parts: Arc::new(parts),
            admitting: tokio::sync::Mutex::new(()),
            sweeping: tokio::sync::Mutex::new(()),
            manifest_directories: tokio::sync::watch::Sender::default(),
            wake: Notify::new(),
            clients: super::feedback::Clients::default(),
            host_hints: tokio::sync::watch::Sender::default(),
            events: broadcast::channel(EVENT_BACKLOG).0,
            stopping: CancellationToken::new(),
            down: CancellationToken::new(),
            state: Arc::new(Mutex::new(state)),
            turn: Arc::default(),
        })
    }

    /// The state. A panic while it was held leaves it as it was: every change of it is a single assignment.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    /// Random bytes for ids.
    pub fn random<const N: usize>(&self) -> [u8; N] {
        super::random()
    }

    /// Reads the world, computes writes, stores them in one transaction, then changes memory. One at a time.
    pub async fn transact<T>(&self, compute: impl FnOnce(&World) -> (Vec<Write>, T)) -> Result<T, StoreError> {
        let turn = self.turn.clone().lock_owned().await;
        let (writes, value) = compute(&self.state().world);
        if writes.is_empty() {
            return Ok(value);
        }
        let (parts, state) = (self.parts.clone(), self.state.clone());
        // In a task of its own: whoever waits may be dropped half-way (a cancelled step, a client that went away), and
        // then the store would hold what memory does not know.
        let written = tokio::spawn(async move {
            let _turn = turn;
            parts.store.write(writes.clone()).await?;
            state.lock().unwrap_or_else(PoisonError::into_inner).world.apply(writes);
            Ok(())
        });
        match written.await.map_err(tokio::task::JoinError::try_into_panic) {
            Ok(result) => result.map(|()| value),
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            // The runtime shuts down, and this with it.
            Err(Err(_)) => std::future::pending().await,
        }
    }

    /// [`Core::transact`] that waits until the store takes it, since nothing may go on without: a full disk passes.
    /// Gives up only when the control plane stops.
    pub async fn transact_patiently<T>(&self, compute: impl Fn(&World) -> (Vec<Write>, T)) -> Option<T> {
        let mut wait = Duration::from_millis(200);
        loop {
            match self.transact(&compute).await {
                Ok(value) => return Some(value),
                Err(error) => self.complain(&error),
            }
            let jitter = wait.mul_f64(0.5 + fastrand::f64());
            tokio::select! {
                () = tokio::time::sleep(jitter) => wait = (wait * 2).min(Duration::from_secs(15)),
                () = self.stopping.cancelled() => return None,
            }
        }
    }

    /// Says on the log of the process that the store failed; it cannot take an event then.
    fn complain(&self, error: &StoreError) {
        tracing::error!(error = %crate::reconcile::chain(error), "the store failed; trying again");
    }

    /// Tells the loop to look again.
    pub fn look_again(&self) {
        self.wake.notify_one();
    }

    /// Records an event: in the store, in the service's `events` log, and for whoever prints.
    pub async fn emit(&self, event: Event) {
        tracing::debug!(kind = %event.kind, message = %event.message, "event");
        self.logs.event(&event);
        // An event that cannot be stored is still printed and in the log file; it must not stop the work.
        let stored = event.clone();
        if let Err(error) = self.transact(move |_| (vec![Write::AppendEvent(stored)], ())).await {
            tracing::warn!(error = %crate::reconcile::chain(&error), "an event could not be stored");
        }
        let _ = self.events.send(event);
    }

    /// An event about a service.
    pub async fn emit_for(&self, record: &ServiceRecord, kind: &str, severity: EventSeverity, message: String) {
        self.emit(Event {
            at: self.now(),
            service: Some(record.id.clone()),
            name: Some(record.name.clone()),
            operation: None,
            kind: kind.into(),
            severity,
            message,
            detail: None,
        })
        .await;
    }

    /// An event about the installation.
    pub async fn emit_plain(&self, kind: &str, severity: EventSeverity, message: String) {
        let kind = kind.to_owned();
        let at = self.now();
        self.emit(Event { at, service: None, name: None, operation: None, kind, severity, message, detail: None })
            .await;
    }

    /// The URL that people type: the service's name under the base domain.
    pub fn url(&self, name: &crate::model::ServiceName) -> String {
        let port = match self.config.http_port {
            80 => String::new(),
            port => format!(":{port}"),
        };
        format!("http://{}.{}{port}/", name.host_label(), self.config.base_domain)
    }

    /// Tells the ingress what holds for a service now, if that changed. Returns the generation to wait for.
    pub fn publish(&self, service: &ServiceId) -> Generation {
        let mut state = self.state();
        let Some(record) = state.world.services.get(service).filter(|r| r.deleted_at.is_none() && !unrouted(&state, r))
        else {
            state.published.remove(service);
            return self.ingress.remove(service);
        };
        let entry = routes::entry(&state.world, record, &state.live, &self.config.region, &self.config.base_domain);
        match state.published.get(service) {
            Some((last, generation)) if *last == entry => *generation,
            _ => {
                let generation = self.ingress.publish(entry.clone());
                state.published.insert(service.clone(), (entry, generation));
                generation
            }
        }
    }

    /// The turn of a service: whoever holds its lock may change which instances it has.
    pub fn turn_of(&self, service: &ServiceId) -> Arc<tokio::sync::Mutex<()>> {
        self.state().turns.entry(service.clone()).or_default().clone()
    }

    /// How long git hosts are left alone after they were asked.
    pub fn poll_rest(&self) -> Duration {
        self.config.poll.rest(self.now())
    }

    /// What planning obeys.
    pub fn policy(&self) -> Policy {
        let (allowed, kept_windows) = {
            let meta = &self.state().world.meta;
            (meta.get(super::META_MASS_DELETE).cloned(), meta.get(super::META_WINDOWS).cloned())
        };
        Policy {
            seed: self.random(),
            mass_delete_allowed: allowed.and_then(|v| serde_json::from_value(v).ok()),
            overcommit_percent: self.config.overcommit_percent,
            apply_automatically: self.config.apply_automatically,
            windows: kept_windows.and_then(|v| serde_json::from_value(v).ok()).unwrap_or_default(),
        }
    }
}

/// A service that is being deleted and past its shift is not routed any more; a private one never is (row L7).
fn unrouted(state: &State, record: &ServiceRecord) -> bool {
    let spec = record.applied.as_ref().or(record.requested.as_deref());
    if spec.and_then(|s| s.wire.as_ref()).is_some_and(|wire| wire.private) {
        return true;
    }
    let open = state.world.open_operation(&record.id);
    open.is_some_and(|o| o.kind == OperationKind::DeleteService && o.step.is_some())
}
