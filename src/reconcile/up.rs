//! `towpath up`: puts the parts together, takes over what runs, serves until it is told to go.

use super::core::{Config, Core, Parts};
use super::{control::Control, operation, pass, printer};
use crate::access::audit::{Audit, AuditError, AuditSettings, blocking};
use crate::access::{Access, Place};
use crate::api;
use crate::build::Provision;
use crate::link::Keeper;
use crate::link::handle::{IngressConfig, IngressHandle};
use crate::model::{EventSeverity, HostUrl, InstallationId, InstanceRole, Invalid, Memory, Secret, Timestamp};
use crate::settings::datadir::DataDir;
use crate::settings::{ApplyMode, IngressChoice, ManifestSource, SourceSettings, UpSettings};
use crate::source::SourceError;
use crate::source::git::{GitLimits, GitSource, SshOptions};
use crate::source::poller::Poller;
use crate::source::schedule::Pace;
use crate::store::{Opened, Store, World, Write};
use crate::telemetry::LogStore;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// How many sources are asked at once.
const PARALLEL_POLLS: usize = 8;
/// How long tasks may take to notice that the control plane goes.
const FAREWELL: Duration = Duration::from_millis(500);

/// Why `towpath up` could not start, or ended badly.
#[derive(Debug, thiserror::Error)]
pub enum UpError {
    /// A setting is wrong.
    #[error("{0}")]
    Setting(Invalid),
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] crate::settings::datadir::DataDirError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    /// The data plane cannot be started.
    #[error(transparent)]
    Link(#[from] crate::link::LinkError),
    /// The mirrors cannot be opened.
    #[error(transparent)]
    Source(#[from] crate::source::SourceError),
    /// The engine cannot be used.
    #[error(transparent)]
    Engine(#[from] crate::engine::EngineError),
    /// What builds cannot be used.
    #[error(transparent)]
    Build(#[from] crate::build::BuildError),
    /// Access control cannot be opened.
    #[error(transparent)]
    Access(#[from] crate::access::AccessError),
    /// The audit trail cannot be opened.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The API's certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] crate::api::tls::TlsError),
    /// The control socket cannot be had.
    #[error(transparent)]
    Serve(#[from] crate::api::server::ServeError),
    /// Something of the machine failed.
    #[error("failed to {act}")]
    Io {
        /// What was tried.
        act: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Ctrl-C before it had started, perhaps while it waited for its engine.
    #[error("interrupted before it had started; nothing was stopped")]
    Interrupted,
    /// Instances could not be stopped.
    #[error("{} could not be stopped; `towpath down` tries again", super::heal::instances(*.0))]
    NotStopped(usize),
}

pub(super) fn io(act: impl Into<String>) -> impl FnOnce(std::io::Error) -> UpError {
    let act = act.into();
    move |source| UpError::Io { act, source }
}

impl UpError {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Setting(invalid) => invalid.hint.clone(),
            Self::DataDir(error) => error.hint(),
            Self::Store(error) => error.hint(),
            Self::Source(error) => error.hint(),
            Self::Access(error) => error.hint(),
            Self::Serve(error) => error.hint(),
            Self::Interrupted => Some("`towpath down` stops what an earlier start left".into()),
            Self::Audit(_)
            | Self::Tls(_)
            | Self::Link(_)
            | Self::Build(_)
            | Self::Engine(_)
            | Self::Io { .. }
            | Self::NotStopped(_) => None,
        }
    }
}

/// What ended the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// SIGTERM: traffic and instances go on.
    ControlPlaneOnly,
    /// Ctrl-C or `towpath down`: everything stops.
    Everything,
}

/// Runs until it is told to go.
///
/// # Errors
/// What kept it from starting, or instances that could not be stopped.
pub async fn run(settings: UpSettings) -> Result<(), UpError> {
    let mut signals = Signals::new()?;
    let (core, data, opened) = tokio::select! {
        started = start(&settings) => started?,
        ending = signals.told() => return match ending {
            Ending::ControlPlaneOnly => Ok(()),
            Ending::Everything => Err(UpError::Interrupted),
        },
    };
    printer::greet(&core, &settings, &data);
    // Before the take-over: a store that was restored is nothing to keep from whoever looks at the terminal.
    let printer = tokio::spawn(printer::print(core.clone(), core.events.subscribe(), settings.output));
    take_over(&core, &opened).await?;
    super::feedback::previews::load(&core).await;
    let servers = serve(&core, &data, &settings).await?;
    super::watch::follow(&core);
    forward_changes(&core);
    super::feedback::begin(&core);
    give_up_half_healings(&core).await;
    sweep_one_offs(&core).await;
    operation::spawn_open(&core);
    let looping = tokio::spawn(pass::run(core.clone()));
    let ending = signals.wait(&core).await;
    core.stopping.cancel();
    let _ = tokio::time::timeout(Duration::from_secs(30), looping).await;
    // Nobody could follow them to their end.
    core.one_offs.end_all().await;
    let result = match ending {
        Ending::ControlPlaneOnly => Ok(()),
        Ending::Everything => match super::down::everything(&core).await {
            0 => Ok(()),
            failed => Err(UpError::NotStopped(failed)),
        },
    };
    let _ = tokio::time::timeout(FAREWELL, servers).await;
    printer.abort();
    super::view::end();
    core.store.close().await?;
    result
}

/// Opens everything.
async fn start(settings: &UpSettings) -> Result<(Arc<Core>, DataDir, Opened), UpError> {
    check_exposure(settings)?;
    let root = std::path::absolute(&settings.data_dir).map_err(io("find the working directory"))?;
    let data = DataDir::open(&root)?;
    let (store, mut world, opened) = Store::open(&data.store(), Timestamp::now()).await?;
    super::managed::ensure(&store, &mut world, Timestamp::now()).await?;
    let store = Arc::new(store);
    let installation = installation(&store, &world).await?;
    let authorities = authorities(settings, &data).await?;
    let provision = Provision {
        env: settings.builds.build_env.iter().cloned().collect(),
        proxies: settings.builds.proxies(),
        authorities: authorities.clone(),
    };
    let chosen = super::engines::choose(settings, &data, &store, &world, &installation, provision).await?;
    let (engine, builder) = chosen;
    let identity = engine.identity().await.ok();
    let ingress = IngressHandle::start(ingress_config(settings, &data, identity.as_deref())?).await?;
    let git = git_source(&settings.sources, data.mirrors())?;
    let git = Arc::new(match &authorities {
        Some(file) => git.trusting(file)?,
        None => git,
    });
    let pace = Pace::of(std::slice::from_ref(&settings.poll)).unwrap_or(Pace::At(Vec::new()));
    let poller = Poller::paced(git.clone(), pace, PARALLEL_POLLS);
    let logs = LogStore::new(data.logs());
    let http_port = ingress.addresses().first().map_or(80, std::net::SocketAddr::port);
    let config = config(settings, &data, http_port)?;
    empty_directory(&config.trees)?;
    empty_directory(&config.one_offs)?;
    let core = Core::new(Parts { store, engine, builder, git, poller, ingress, logs, config }, world);
    Ok((core, data, opened))
}

/// All certificate authorities that are trusted, as a file, where the settings add some.
async fn authorities(settings: &UpSettings, data: &DataDir) -> Result<Option<PathBuf>, UpError> {
    let (files, place) = (settings.builds.ca_certificates.clone(), data.certificates());
    let installed = tokio::task::spawn_blocking(move || crate::settings::authorities::install(&files, &place)).await;
    installed.map_err(|e| io("read certificates")(std::io::Error::other(e)))?.map_err(UpError::Setting)
}

fn git_source(settings: &SourceSettings, mirrors: std::path::PathBuf) -> Result<GitSource, SourceError> {
    let (received_bytes, tree_bytes) = (settings.fetch_limit.0, settings.source_limit.0);
    let limits = GitLimits { received_bytes, tree_bytes, ..GitLimits::default() };
    let ssh = SshOptions { known_hosts: settings.known_hosts.clone(), key: settings.ssh_key.clone() };
    let git = GitSource::open(mirrors, limits)?.with_ssh(ssh)?;
    Ok(if settings.proxied { git.through_proxies() } else { git })
}

/// A new, empty directory: what a crash left in it is of no use.
fn empty_directory(path: &std::path::Path) -> Result<(), UpError> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => std::fs::create_dir_all(path),
    }
    .map_err(io(format!("empty the directory {}", path.display())))
}

/// Routes what runs as the records and the engine say, before anything else is decided.
async fn take_over(core: &Arc<Core>, opened: &Opened) -> Result<(), UpError> {
    let identity = core.engine.identity().await.ok();
    if let Opened::Restored { from, .. } = opened {
        let message = format!("The store was damaged; the backup {} was restored.", from.display());
        core.emit_plain("StoreRestored", EventSeverity::Error, message).await;
        super::adopt::adopt(core).await;
    }
    let known = core.state().world.meta.get(super::META_ENGINE_IDENTITY).and_then(|v| v.as_str().map(str::to_owned));
    let moved = identity.is_some() && known.is_some() && identity != known;
    if moved {
        core.emit_plain(
            "EngineReplaced",
            EventSeverity::Warn,
            "The machine or its engine was restarted: instances are started again.".into(),
        )
        .await;
    }
    if let Some(identity) = identity {
        let write = Write::PutMeta(super::META_ENGINE_IDENTITY.into(), identity.into());
        core.transact(|_| (vec![write], ())).await?;
    }
    pass::observe(core).await;
    mark_healthy(core);
    let services: Vec<_> = core.state().world.services.keys().cloned().collect();
    for service in &services {
        core.publish(service);
    }
    core.ingress.ready();
    Ok(())
}

/// What serves was healthy when it was put to serve; the checks that begin now say otherwise where it is not.
fn mark_healthy(core: &Core) {
    let mut state = core.state();
    let serving = state.world.instances.values().filter(|i| i.role == InstanceRole::Serving);
    let serving: Vec<_> = serving.map(|i| i.id.clone()).collect();
    for id in serving {
        state.health.insert(id, super::health::Record::healthy());
    }
}

/// The id that an installation was given at its first start.
pub fn known_installation(world: &World) -> Option<InstallationId> {
    world.meta.get(super::META_INSTALLATION)?.as_str()?.parse().ok()
}

async fn installation(store: &Store, world: &World) -> Result<InstallationId, UpError> {
    if let Some(known) = known_installation(world) {
        return Ok(known);
    }
    let id = InstallationId::from_random(super::random());
    store.write(vec![Write::PutMeta(super::META_INSTALLATION.into(), id.as_str().into())]).await?;
    Ok(id)
}

fn ingress_config(settings: &UpSettings, data: &DataDir, identity: Option<&str>) -> Result<IngressConfig, UpError> {
    let root = rustix::process::geteuid().is_root();
    Ok(IngressConfig {
        exe: executable()?,
        dir: data.ingress(),
        http: settings.http.clone(),
        cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(16),
        // The ingress is never root: an id that no account of the system uses.
        user: root.then_some(INGRESS_USER),
        engine: identity.unwrap_or_default().to_owned(),
        trusted_proxies: settings.trusted_proxies.clone(),
        limits: crate::link::message::Limits::default(),
        log: data.run().join("ingress.log"),
        keeper: match settings.ingress {
            IngressChoice::Own => Keeper::ControlPlane,
            IngressChoice::Await => Keeper::ServiceManager,
        },
    })
}

/// User and group of the ingress where towpath is root: in the range that systemd gives out dynamically, so that no
/// account of the system has it.
const INGRESS_USER: (u32, u32) = (61_584, 61_584);

/// The program itself, for the processes that it starts.
pub fn executable() -> Result<PathBuf, UpError> {
    std::env::current_exe().map_err(io("find the program's own file"))
}

/// Where the API is; on all addresses it is on the loopback one too.
fn api_url(settings: &UpSettings) -> Result<HostUrl, UpError> {
    let (scheme, mut address) = (if settings.api_tls.is_some() { "https" } else { "http" }, settings.api);
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    // Port 0 is any that is free, which is not known yet: an address for tests, where nobody comes back to by a browser.
    let text =
        if address.port() == 0 { format!("{scheme}://{}", address.ip()) } else { format!("{scheme}://{address}") };
    HostUrl::of(&text).map_err(UpError::Setting)
}

fn config(settings: &UpSettings, data: &DataDir, http_port: u16) -> Result<Config, UpError> {
    let manifest = match &settings.manifest {
        ManifestSource::Path(path) => {
            ManifestSource::Path(std::path::absolute(path).map_err(io("find the working directory"))?)
        }
        repository @ ManifestSource::Repository(_) => repository.clone(),
    };
    let environment = crate::settings::environment().into_iter().map(|(k, v)| (k, Secret::new(v))).collect();
    Ok(Config {
        region: settings.region.clone(),
        account: settings.account.clone(),
        base_domain: settings.base_domain.to_string(),
        http_port,
        api_url: api_url(settings)?,
        manifest,
        manifest_shown: settings.manifest.to_string(),
        apply_automatically: settings.apply == ApplyMode::Auto,
        overcommit_percent: settings.overcommit_percent,
        host_memory: host_memory(),
        catalogue: settings.catalogue.clone(),
        trees: data.cache().join("trees"),
        one_offs: data.cache().join("one-offs"),
        secrets: data.secrets(),
        manifests: data.manifests(),
        webhook_secrets: super::webhooks::secrets(&settings.webhooks).map_err(UpError::Setting)?,
        data: data.root().to_owned(),
        mirrors: data.mirrors(),
        caches: data.cache(),
        keep: settings.keep,
        quotas: settings.quotas,
        environment,
        poll: settings.poll.clone(),
        plan_pulls: settings.plan_pulls,
        parallel_builds: std::thread::available_parallelism().map_or(1, std::num::NonZero::get).clamp(1, 4),
    })
}

/// The host's memory as the kernel says it.
fn host_memory() -> Option<Memory> {
    let info = rustix::system::sysinfo();
    let unit = u64::from(info.mem_unit.max(1));
    Some(Memory(info.totalram * unit))
}

/// Whoever reads a request on its way may read what is in it: off this machine the API speaks TLS or not at all.
fn check_exposure(settings: &UpSettings) -> Result<(), UpError> {
    let endpoints = settings.endpoints.iter().map(|endpoint| endpoint.address);
    let mut addresses = std::iter::once(settings.api).chain(endpoints);
    let Some(exposed) = addresses.find(|address| !address.ip().is_loopback() && settings.api_tls.is_none()) else {
        return Ok(());
    };
    let message = format!("the API would answer on {exposed} without TLS, where others can read along");
    let hint = "give it a certificate (`--api-certificate FILE --api-key FILE`), or bind it to a loopback address (`--api 127.0.0.1:8090`)";
    Err(UpError::Setting(Invalid::new(message).hint(hint)))
}

/// Opens access control; at the very first start with a key for the administrator.
async fn open_access(core: &Core, data: &DataDir, settings: &UpSettings) -> Result<Arc<Access>, UpError> {
    let place = Place { region: settings.region.clone(), account: settings.account.clone() };
    let access = Access::open(core.store.clone(), &data.secrets(), place).await?;
    if access.ensure_administrator(&data.admin_credentials(), Timestamp::now()).await? {
        tracing::info!(file = %data.admin_credentials().display(), "made the administrator's access key");
    }
    let access = Arc::new(access);
    Ok(core.access.get_or_init(|| access).clone())
}

/// Opens the audit trail; what is older than is kept goes from it hourly.
fn open_audit(core: &Arc<Core>, data: &DataDir, settings: &UpSettings) -> Result<Arc<Audit>, UpError> {
    let kept = AuditSettings { keep: settings.keep.keep_audit, file_bytes: settings.keep.audit_file.0 };
    let audit = Arc::new(Audit::open(&data.audit(), kept)?);
    let audit = core.audit.get_or_init(|| audit).clone();
    let (pruned, stopping) = (audit.clone(), core.stopping.clone());
    tokio::spawn(async move {
        loop {
            let audit = pruned.clone();
            if let Err(error) = blocking(move || audit.prune(Timestamp::now())).await {
                tracing::warn!(%error, "old audit records could not be removed");
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(3600)) => {}
                () = stopping.cancelled() => return,
            }
        }
    });
    Ok(audit)
}

/// Starts the control socket and the API listener.
async fn serve(
    core: &Arc<Core>,
    data: &DataDir,
    settings: &UpSettings,
) -> Result<impl Future<Output = ()> + use<>, UpError> {
    let control: Arc<dyn api::control::ControlPlane> = Arc::new(Control(core.clone()));
    let logs: Arc<dyn api::logs::LogReader> = Arc::new(super::reading::Reading(core.clone()));
    let listener = tokio::net::TcpListener::bind(settings.api)
        .await
        .map_err(io(format!("listen on {} for the API (`--api` chooses another address)", settings.api)))?;
    let socket = data.control_socket();
    let token =
        api::token::Token::create(&data.control_token()).map_err(io("write the token of the control socket"))?;
    let stop = core.stopping.clone();
    let context = api::dispatch::Context { control, logs };
    let audit = open_audit(core, data, settings)?;
    let door = Arc::new(api::Door::new(context, open_access(core, data, settings).await?, audit));
    let tls = settings.api_tls.as_ref().map(|(certificate, key)| api::tls::acceptor(certificate, key)).transpose()?;
    let webhooks = super::webhooks::open(core).await;
    let for_webhooks = super::webhooks::listen(&settings.webhooks, &webhooks, tls.clone(), &stop).await?;
    let on_endpoints = super::endpoints::serve(&settings.endpoints, &door, tls.as_ref(), &stop).await?;
    let on_network = tokio::spawn(api::serve_api(listener, door.clone(), Some(webhooks), tls, stop.clone()));
    let control_listener = api::server::bind_control(&socket).await?;
    let on_socket = tokio::spawn(async move {
        api::server::serve_control_on(control_listener, &socket, token, door, stop).await;
    });
    let (socket_task, network_task) = (on_socket, on_network);
    Ok(async move {
        let _ = tokio::join!(socket_task, network_task, for_webhooks, on_endpoints);
    })
}

/// What a crash left of commands that run once goes before anything may ask how they ended.
async fn sweep_one_offs(core: &Core) {
    match core.one_offs.sweep().await {
        Ok(0) => {}
        Ok(count) => tracing::warn!(count, "removed commands that an earlier towpath had left"),
        // Tried again every hour.
        Err(error) => tracing::warn!(error = %super::chain(&error), "commands that were left could not be removed"),
    }
}

/// Every source of *look again* in one place.
fn forward_changes(core: &Arc<Core>) {
    for mut changes in [core.engine.changes(), core.poller.changes()] {
        let core = core.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    changed = changes.changed() => match changed {
                        Ok(()) => core.look_again(),
                        Err(_) => return,
                    },
                    () = core.stopping.cancelled() => return,
                }
            }
        });
    }
}

/// Instances that a healing had started when a crash cut it off go; the next plan heals again.
async fn give_up_half_healings(core: &Arc<Core>) {
    let half: Vec<_> = {
        let state = core.state();
        let starting =
            state.world.instances.values().filter(|i| i.role == InstanceRole::Starting && i.operation.is_none());
        starting.map(|i| i.id.clone()).collect()
    };
    let retired = half.iter().map(|id| super::await_healthy::retire(core, id));
    for failure in futures_util::future::join_all(retired).await.into_iter().filter_map(Result::err) {
        tracing::warn!(message = %failure.message, "an instance of a healing could not be removed");
    }
}

struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Self, UpError> {
        let on = |kind| signal(kind).map_err(io("listen for signals"));
        Ok(Self { terminate: on(SignalKind::terminate())?, interrupt: on(SignalKind::interrupt())? })
    }

    async fn told(&mut self) -> Ending {
        tokio::select! {
            _ = self.terminate.recv() => Ending::ControlPlaneOnly,
            _ = self.interrupt.recv() => Ending::Everything,
        }
    }

    async fn wait(&mut self, core: &Core) -> Ending {
        tokio::select! {
            ending = self.told() => ending,
            () = core.down.cancelled() => Ending::Everything,
        }
    }
}
