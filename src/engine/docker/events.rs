//! Docker's events as one number that changes: *look again* (law 1).

use super::client::call;
use super::labels;
use crate::model::{InstallationId, Timestamp};
use bollard::Docker;
use bollard::query_parameters::EventsOptionsBuilder;
use futures_util::StreamExt;
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A connection that lasted this long was a good one.
const LASTED: Duration = Duration::from_secs(30);

/// Counts `changes` up at every event of a container of this installation, and whenever a connection begins or breaks:
/// what happened meanwhile is not told. Ends when `stop` is cancelled.
pub(super) async fn watch(
    docker: Docker,
    installation: InstallationId,
    changes: watch::Sender<u64>,
    stop: CancellationToken,
) {
    let mut pause = FIRST_PAUSE;
    loop {
        let began = tokio::time::Instant::now();
        tokio::select! {
            () = listen(&docker, &installation, &changes) => {}
            () = stop.cancelled() => return,
        }
        if began.elapsed() > LASTED {
            pause = FIRST_PAUSE;
        }
        tokio::select! {
            () = tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)) => {}
            () = stop.cancelled() => return,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Hears events until the connection breaks.
async fn listen(docker: &Docker, installation: &InstallationId, changes: &watch::Sender<u64>) {
    if call("reach Docker", docker.ping()).await.is_err() {
        return;
    }
    // From a second before this moment on: nothing falls between the count here and the first event.
    let since = (Timestamp::now().0 / 1000 - 1).to_string();
    changes.send_modify(|n| *n += 1);
    let filters = HashMap::from([
        ("type", vec!["container".to_owned()]),
        ("label", vec![format!("{}={installation}", labels::INSTALLATION)]),
    ]);
    let options = EventsOptionsBuilder::default().since(&since).filters(&filters).build();
    let stream = docker.events(Some(options));
    tokio::pin!(stream);
    while let Some(Ok(event)) = stream.next().await {
        // `exec_*` and `top` come from people looking, and change nothing.
        if !event.action.as_deref().is_some_and(|a| a.starts_with("exec_") || a == "top") {
            changes.send_modify(|n| *n += 1);
        }
    }
    changes.send_modify(|n| *n += 1);
}
