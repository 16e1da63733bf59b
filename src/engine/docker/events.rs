//! Docker's events as one number that changes: *look again* (law 1).

use super::labels;
use crate::model::InstallationId;
use bollard::Docker;
use bollard::query_parameters::EventsOptionsBuilder;
use futures_util::StreamExt;
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Counts `changes` up at every event of a container of this installation, and whenever the connection was broken:
/// what happened meanwhile is not told. Ends when `stop` is cancelled.
pub(super) async fn watch(
    docker: Docker,
    installation: InstallationId,
    changes: watch::Sender<u64>,
    stop: CancellationToken,
) {
    let mut pause = FIRST_PAUSE;
    loop {
        tokio::select! {
            heard = listen(&docker, &installation, &changes) => if heard { pause = FIRST_PAUSE },
            () = stop.cancelled() => return,
        }
        changes.send_modify(|n| *n += 1);
        tokio::select! {
            () = tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)) => {}
            () = stop.cancelled() => return,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Whether anything was heard before the stream ended.
async fn listen(docker: &Docker, installation: &InstallationId, changes: &watch::Sender<u64>) -> bool {
    let filters = HashMap::from([
        ("type", vec!["container".to_owned()]),
        ("label", vec![format!("{}={installation}", labels::INSTALLATION)]),
    ]);
    let stream = docker.events(Some(EventsOptionsBuilder::default().filters(&filters).build()));
    tokio::pin!(stream);
    let mut heard = false;
    while let Some(Ok(event)) = stream.next().await {
        heard = true;
        // `exec_*` and `top` come from people looking, and change nothing.
        if !event.action.as_deref().is_some_and(|a| a.starts_with("exec_") || a == "top") {
            changes.send_modify(|n| *n += 1);
        }
    }
    heard
}
