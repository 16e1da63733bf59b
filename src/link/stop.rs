//! Stopping an ingress that no control plane owns.

use super::error::LinkError;
use super::message::Down;
use super::spawn;
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep};

/// What an ingress gets beyond its own deadline to exit.
const SLACK: Duration = Duration::from_secs(2);

/// Stops the ingress that runs on a directory: running requests finish within the deadline. Returns once its socket is
/// deserted, and whether there was one.
///
/// # Errors
/// An ingress of another version, or one that does not go.
pub async fn stop_running(directory: &Path, deadline: Duration) -> Result<bool, LinkError> {
    let socket = directory.join(super::SOCKET);
    let Some(stream) = connect(&socket).await? else { return Ok(false) };
    let connection = spawn::exchange(stream).await?;
    let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
    connection.sender.send(&Down::Shutdown { deadline_ms }).await?;
    let end = Instant::now() + deadline + SLACK;
    // Its end of this link goes with the process; a new connection would be refused then.
    let mut receiver = connection.receiver;
    while receiver.receive::<super::message::Up>().await.is_ok() && Instant::now() < end {}
    while connect(&socket).await?.is_some() {
        if Instant::now() > end {
            return Err(spawn::late("the end of the ingress", deadline + SLACK));
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok(true)
}

async fn connect(socket: &Path) -> Result<Option<UnixStream>, LinkError> {
    match UnixStream::connect(socket).await {
        Ok(stream) => Ok(Some(stream)),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => Ok(None),
        Err(e) => Err(LinkError::io(format!("connect to `{}`", socket.display()), e)),
    }
}
