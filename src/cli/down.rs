//! `towpath down`: stops everything, with a control plane and without one.

use super::client::{CallError, Client};
use super::failure::Failure;
use super::screen::Screen;
use crate::reconcile::up::UpError;
use crate::settings::datadir::DataDirError;
use serde_json::{Value, json};
use std::error::Error;
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a person waits for drain and grace of all instances. What is not
/// down by then goes on stopping by itself.
const STOP_TIME: Duration = Duration::from_secs(180);
/// How long a data directory may be locked though no server answers: one that was interrupted may be in its last moments.
const LAST_MOMENTS: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(200);

/// What was found running, and stopped, in a data directory without a control plane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// Whether an ingress was.
    pub ingress: bool,
    /// How many instances were.
    pub instances: usize,
}

type StopLeftovers = fn(&Path) -> Result<Leftovers, Box<dyn Error + Send + Sync>>;

/// Asks the server to stop and waits until it has; then stops what is left. Nothing to stop is success.
pub async fn down(
    screen: &Screen,
    client: &Client,
    data_dir: &Path,
    stop_leftovers: StopLeftovers,
) -> Result<(), Failure> {
    let ran = match client.call::<Value>("Towpath.ShutDown", &json!({})).await {
        Ok(_) => {
            wait_until_gone(client).await?;
            true
        }
        Err(CallError::NoServer(_)) => false,
        Err(error) => return Err(error.into()),
    };
    let left = stop_rest(data_dir, stop_leftovers, if ran { STOP_TIME } else { LAST_MOMENTS }).await?;
    report(screen, data_dir, ran, left)
}

/// A server that stops closes its socket first and lets its data directory go last: until then it is waited for.
async fn stop_rest(data_dir: &Path, stop_leftovers: StopLeftovers, limit: Duration) -> Result<Leftovers, Failure> {
    let end = Instant::now() + limit;
    loop {
        let directory = data_dir.to_owned();
        // It stops processes and waits for them: not on the runtime's one thread.
        let stopped = tokio::task::spawn_blocking(move || stop_leftovers(&directory))
            .await
            .map_err(|e| Failure::caused("failed to stop what a control plane left", &e))?;
        match stopped {
            Ok(left) => return Ok(left),
            Err(error) if is_locked(&*error) && Instant::now() < end => sleep(PAUSE).await,
            Err(error) => return Err(Failure::caused("failed to stop what a control plane left", &*error)),
        }
    }
}

fn is_locked(error: &(dyn Error + Send + Sync + 'static)) -> bool {
    matches!(error.downcast_ref(), Some(UpError::DataDir(DataDirError::Locked { .. })))
}

async fn wait_until_gone(client: &Client) -> Result<(), Failure> {
    let end = Instant::now() + STOP_TIME;
    while client.is_up().await {
        if Instant::now() >= end {
            return Err(Failure::new("towpath is still stopping after 3 minutes")
                .hint("it goes on by itself; look again with `towpath status`"));
        }
        sleep(PAUSE).await;
    }
    Ok(())
}

fn report(screen: &Screen, data_dir: &Path, ran: bool, left: Leftovers) -> Result<(), Failure> {
    if screen.is_json() {
        let stopped = json!({ "server": ran, "ingress": ran || left.ingress, "leftover_instances": left.instances });
        return screen.print_json(&stopped);
    }
    let what = match (ran, left) {
        (true, _) => "towpath stopped, with all instances.".to_owned(),
        (false, Leftovers { ingress: false, instances: 0 }) => {
            format!("Nothing runs on data directory `{}`.", data_dir.display())
        }
        (false, Leftovers { ingress, instances }) => {
            let ingress = if ingress { "the ingress and " } else { "" };
            let word = if instances == 1 { "instance" } else { "instances" };
            format!("No control plane ran; stopped {ingress}{instances} {word} that were left.")
        }
    };
    screen.print(&format!("{what}\n"))
}
