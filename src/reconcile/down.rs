//! Stopping everything: traffic first, then instances. Services stay declared and stored; the next start runs them again.

use super::await_healthy;
use super::core::Core;
use super::engines;
use super::up::UpError;
use crate::cli::Leftovers;
use crate::engine::{Engine, EngineError};
use crate::model::{InstanceId, ObservedInstance, Timestamp};
use crate::settings::datadir::DataDir;
use crate::store::{Store, World, Write};
use futures_util::stream::{self, StreamExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long requests in flight may go on when everything stops.
const TRAFFIC_GRACE: Duration = Duration::from_secs(30);
/// How many instances are stopped at once.
const AT_ONCE: usize = 16;

/// Ends traffic gracefully, then every instance. Returns how many instances could not be stopped.
pub async fn everything(core: &Arc<Core>) -> usize {
    core.ingress.stop(TRAFFIC_GRACE).await;
    let recorded: Vec<InstanceId> = core.state().world.instances.keys().cloned().collect();
    let stops = stream::iter(recorded).map(|id| stop_recorded(core, id)).buffer_unordered(AT_ONCE);
    let failed = stops.filter(|stopped| std::future::ready(!stopped)).count().await;
    // What carries our label though no record knows it goes too.
    let failed = failed + labelled(&core.engine).await.failed;
    if failed == 0 {
        dismantle(&core.engine).await;
    }
    failed
}

/// What is left on the engine beside instances costs little: that it could not be removed fails nothing.
async fn dismantle(engine: &Arc<dyn Engine>) {
    if let Err(error) = engine.dismantle().await {
        tracing::warn!(error = %super::chain(&error), "what the engine had for this installation could not be removed");
    }
}

async fn stop_recorded(core: &Arc<Core>, id: InstanceId) -> bool {
    match await_healthy::retire(core, &id).await {
        Ok(()) => true,
        Err(failure) => {
            tracing::error!(instance = %id, message = %failure.message, "an instance could not be stopped");
            false
        }
    }
}

struct Stopped {
    gone: Vec<InstanceId>,
    failed: usize,
}

/// Instances, and commands that run once.
async fn everything_on(engine: &Arc<dyn Engine>) -> Result<Vec<ObservedInstance>, EngineError> {
    let mut all = engine.observe().await?;
    all.extend(engine.one_offs().await?);
    Ok(all)
}

/// Stops and removes everything on an engine that carries our label.
async fn labelled(engine: &Arc<dyn Engine>) -> Stopped {
    let observed = match everything_on(engine).await {
        Ok(observed) => observed,
        Err(error) => {
            tracing::error!(error = %super::chain(&error), "what runs could not be listed");
            return Stopped { gone: Vec::new(), failed: 1 };
        }
    };
    let all = observed.len();
    let stops = stream::iter(observed).map(|i| async move {
        let stopped = match engine.stop(&i.id, super::deploy::GRACE).await {
            Ok(()) => engine.remove(&i.id).await,
            failed => failed,
        };
        stopped
            .inspect_err(|e| tracing::error!(instance = %i.id, error = %super::chain(e), "could not be stopped"))
            .ok()
            .map(|()| i.id)
    });
    let gone: Vec<InstanceId> = stops.buffer_unordered(AT_ONCE).filter_map(std::future::ready).collect().await;
    Stopped { failed: all - gone.len(), gone }
}

/// Stops what runs on a data directory without a control plane. Nothing there is nothing to stop.
///
/// # Errors
/// A control plane that runs, a store or an engine that cannot be opened, instances that could not be stopped.
pub async fn leftovers(path: &Path) -> Result<Leftovers, UpError> {
    let there = path.join("store").exists();
    if !there {
        return Ok(Leftovers::default());
    }
    let data = DataDir::open(path)?;
    let ingress = crate::link::stop_running(&data.ingress(), TRAFFIC_GRACE).await?;
    let (store, world, _) = Store::open(&data.store(), Timestamp::now()).await?;
    let Some(installation) = super::up::known_installation(&world) else {
        return Ok(Leftovers { ingress, instances: 0 });
    };
    let engine = engines::of_record(&data, &world, &installation).await?;
    let stopped = labelled(&engine).await;
    if stopped.failed == 0 {
        dismantle(&engine).await;
    }
    store.write(forget(&world, &stopped.gone)).await?;
    store.close().await?;
    match stopped.failed {
        0 => Ok(Leftovers { ingress, instances: stopped.gone.len() }),
        failed => Err(UpError::NotStopped(failed)),
    }
}

/// Records of instances that are gone go; those that could not be stopped stay, so that the next start knows them.
fn forget(world: &World, gone: &[InstanceId]) -> Vec<Write> {
    let recorded = world.instances.keys().filter(|id| gone.contains(id));
    recorded.map(|id| Write::DeleteInstance(id.clone())).collect()
}
