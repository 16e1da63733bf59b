//! Which engine runs instances: `auto` is resolved once and recorded; afterwards that engine is waited for.

use super::up::UpError;
use super::{META_DOCKER_HOST, META_ENGINE};
use crate::build::docker::{Backend, DockerBuilder, DockerBuilderOptions};
use crate::build::process::{ProcessBuilder, ProcessBuilderOptions};
use crate::build::{BuildError, Builder, Provision};
use crate::engine::docker::{DockerEngine, MEASURED, Reach};
use crate::engine::process::{ProcessEngine, ProcessOptions};
use crate::engine::{Engine, EngineError};
use crate::model::{DockerHost, InstallationId, Invalid};
use crate::settings::datadir::DataDir;
use crate::settings::{DockerReach, EngineChoice, UpSettings, is_on_loopback};
use crate::store::{Store, World, Write};
use std::net::{SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How long the address of a proxy may take to be found.
const LOOKUP: Duration = Duration::from_secs(3);

/// The engine, and what builds for it.
pub type Pair = (Arc<dyn Engine>, Arc<dyn Builder>);

/// The engine that the settings and the record say.
///
/// # Errors
/// A choice that contradicts the record, an engine that does not answer.
pub async fn choose(
    settings: &UpSettings,
    data: &DataDir,
    store: &Store,
    world: &World,
    installation: &InstallationId,
    provision: Provision,
) -> Result<Pair, UpError> {
    let host = docker_host(settings.docker_host.as_deref())?;
    match resolve(settings.engine, recorded(world), &host, installation).await? {
        EngineChoice::Docker => {
            let provision = in_containers(provision, settings)?;
            let pair = match recorded(world) {
                Some(_) => docker_patiently(settings, &host, installation, &provision).await?,
                None => docker(settings, &host, installation, &provision).await?,
            };
            record(store, "docker", Some(&host)).await?;
            Ok(pair)
        }
        _ => {
            let engine = process(data, installation, process_options(settings))?;
            let builder = process_builder(settings, data, &engine, provision)?;
            builder.sweep().await?;
            record(store, "process", None).await?;
            Ok((Arc::new(engine), Arc::new(builder)))
        }
    }
}

/// The engine of an installation as it was recorded, to stop what it left.
///
/// # Errors
/// An engine that does not answer.
pub async fn of_record(
    data: &DataDir,
    world: &World,
    installation: &InstallationId,
) -> Result<Arc<dyn Engine>, UpError> {
    if recorded(world) != Some(EngineChoice::Docker) {
        let options = ProcessOptions { allow_unisolated: true, ..ProcessOptions::default() };
        return Ok(Arc::new(process(data, installation, options)?));
    }
    let host = world.meta.get(META_DOCKER_HOST).and_then(|v| v.as_str());
    let host = docker_host(host)?;
    Ok(Arc::new(DockerEngine::connect(&host, installation.clone(), Reach::Auto).await?))
}

fn recorded(world: &World) -> Option<EngineChoice> {
    match world.meta.get(META_ENGINE)?.as_str()? {
        "docker" => Some(EngineChoice::Docker),
        "process" => Some(EngineChoice::Process),
        _ => None,
    }
}

fn docker_host(text: Option<&str>) -> Result<DockerHost, UpError> {
    text.map_or(Ok(DockerHost::default()), str::parse).map_err(UpError::Setting)
}

async fn resolve(
    wanted: EngineChoice,
    recorded: Option<EngineChoice>,
    host: &DockerHost,
    installation: &InstallationId,
) -> Result<EngineChoice, UpError> {
    match (wanted, recorded) {
        (EngineChoice::Auto, Some(recorded)) => Ok(recorded),
        (EngineChoice::Auto, None) => {
            let answers = DockerEngine::connect(host, installation.clone(), Reach::Auto).await.is_ok();
            Ok(if answers { EngineChoice::Docker } else { EngineChoice::Process })
        }
        (wanted, Some(recorded)) if wanted != recorded => {
            let (wanted, recorded) = (name(wanted), name(recorded));
            let message = format!("this data directory was made with the {recorded} engine, not with {wanted}");
            let hint = format!("say `--engine {recorded}` (or `auto`), or use another `--data-dir`");
            Err(UpError::Setting(Invalid::new(message).hint(hint)))
        }
        (wanted, _) => Ok(wanted),
    }
}

fn name(choice: EngineChoice) -> &'static str {
    match choice {
        EngineChoice::Auto => "auto",
        EngineChoice::Process => "process",
        EngineChoice::Docker => "docker",
    }
}

async fn record(store: &Store, engine: &str, host: Option<&DockerHost>) -> Result<(), UpError> {
    let mut writes = vec![Write::PutMeta(META_ENGINE.into(), engine.into())];
    writes.extend(host.map(|h| Write::PutMeta(META_DOCKER_HOST.into(), h.to_string().into())));
    Ok(store.write(writes).await?)
}

fn process_options(settings: &UpSettings) -> ProcessOptions {
    ProcessOptions {
        storage: settings.instance_storage,
        first_user: settings.first_user,
        allow_unisolated: settings.allow_unisolated,
        private_ports: vec![settings.api.port()],
    }
}

fn process(data: &DataDir, installation: &InstallationId, options: ProcessOptions) -> Result<ProcessEngine, UpError> {
    Ok(ProcessEngine::open(data.instances(), super::up::executable()?, installation.clone(), options)?)
}

fn process_builder(
    settings: &UpSettings,
    data: &DataDir,
    engine: &ProcessEngine,
    provision: Provision,
) -> Result<ProcessBuilder, UpError> {
    Ok(ProcessBuilder::new(ProcessBuilderOptions {
        builds: data.builds(),
        cache: data.cache(),
        cache_limit: settings.keep.keep_cache,
        catalogue: settings.catalogue.clone(),
        search: crate::settings::search_path(),
        passthrough: crate::settings::passed_on_to_builds(),
        provision,
        policy: engine.policy().clone(),
    })?)
}

/// What builds in containers are given: a loopback there is the container's own, so that a proxy on this machine's is not
/// one for them.
fn in_containers(mut provision: Provision, settings: &UpSettings) -> Result<Provision, UpError> {
    if settings.builds.build_proxy.as_ref().is_some_and(is_on_loopback) {
        let message = "`--build-proxy` names this machine's loopback, which builds in containers cannot reach";
        let hint = "let the proxy listen on an address that containers reach, and name that";
        return Err(UpError::Setting(Invalid::new(message).hint(hint)));
    }
    provision.proxies.retain(|_, proxy| !is_on_loopback(proxy));
    Ok(provision)
}

async fn docker(
    settings: &UpSettings,
    host: &DockerHost,
    installation: &InstallationId,
    provision: &Provision,
) -> Result<Pair, UpError> {
    let reached = match settings.docker_reach {
        DockerReach::Auto => Reach::Auto,
        DockerReach::Published => Reach::Published,
    };
    let engine = DockerEngine::connect(host, installation.clone(), reached).await?;
    let engine = engine
        .with_open_ports(settings.http.iter().map(SocketAddr::port).collect())
        .with_reach_of_builds(reach(settings, provision).await)
        .with_storage(settings.instance_storage, MEASURED)
        .unisolated(settings.allow_unisolated);
    engine.examine_isolation().await?;
    let engine = Arc::new(engine);
    let builder = DockerBuilder::connect(DockerBuilderOptions {
        host: host.clone(),
        installation: installation.clone(),
        catalogue: settings.catalogue.clone(),
        images: settings.runtime_images.clone(),
        provision: provision.clone(),
        backend: Backend::default(),
        network: Some(engine.clone()),
    })
    .await?;
    Ok((engine, Arc::new(builder)))
}

/// What builds may reach although it is on this machine: what the operator says, and the proxies.
async fn reach(settings: &UpSettings, provision: &Provision) -> Vec<SocketAddrV4> {
    let mut reach = settings.builds.build_reach.clone();
    for place in provision.proxies.values().filter_map(crate::settings::place_of) {
        let found = tokio::time::timeout(LOOKUP, tokio::net::lookup_host(place)).await;
        // Where there is no answer, the proxy is not on this machine, or has no name yet.
        reach.extend(found.into_iter().flatten().flatten().filter_map(|address| match address {
            SocketAddr::V4(address) => Some(address),
            SocketAddr::V6(_) => None,
        }));
    }
    reach.sort_unstable();
    reach.dedup();
    reach
}

/// Waits for an engine that was in use before, since what it runs is ours: after a reboot it may start after us.
async fn docker_patiently(
    settings: &UpSettings,
    host: &DockerHost,
    installation: &InstallationId,
    provision: &Provision,
) -> Result<Pair, UpError> {
    let mut wait = FIRST_WAIT;
    loop {
        let error = match docker(settings, host, installation, provision).await {
            Err(error) if is_unreachable(&error) => error,
            result => return result,
        };
        if wait == FIRST_WAIT {
            tracing::warn!(error = %super::chain(&error), "waiting for the docker engine at {host}");
        }
        tokio::time::sleep(wait.mul_f64(0.75 + fastrand::f64() / 2.0)).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

fn is_unreachable(error: &UpError) -> bool {
    matches!(error, UpError::Engine(EngineError::Unreachable { .. }) | UpError::Build(BuildError::Unreachable(_)))
}
