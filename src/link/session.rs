//! The task that keeps the link: sends what is published, takes reports, and brings a dead ingress back.

use super::handle::Shared;
use super::listen::Group;
use super::message::{Down, Settings};
use super::spawn::{self, Connection};
use super::{Generation, IngressConfig, LinkError};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::process::Child;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};

/// An ingress that lived that long has not died of its start: the next one is started at once.
const STEADY: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// What an ingress gets beyond its own deadline to exit.
const STOP_SLACK: Duration = Duration::from_secs(2);

/// The order to stop the ingress.
#[derive(Debug)]
pub(super) struct Stop {
    pub(super) deadline: Duration,
    pub(super) done: oneshot::Sender<()>,
}

/// Owns the listeners' duplicates and the link.
pub(super) struct Session {
    pub(super) config: IngressConfig,
    pub(super) shared: Arc<Shared>,
    pub(super) groups: Vec<Group>,
    pub(super) child: Option<Child>,
    pub(super) orders: mpsc::Receiver<Stop>,
}

impl Session {
    /// Runs until the ingress is to stop. Dropped, it leaves the ingress running.
    pub(super) async fn run(mut self, mut connection: Connection) {
        let mut pause = Duration::ZERO;
        loop {
            let since = Instant::now();
            let error = match self.serve(connection).await {
                Ended::Stopped(stop) => {
                    let _ = stop.done.send(());
                    return;
                }
                Ended::Lost(error) => error,
            };
            self.shared.lose(&error);
            tracing::warn!(error = %error, "the ingress is gone, bringing it back");
            if since.elapsed() > STEADY {
                pause = Duration::ZERO;
            }
            match self.restore(&mut pause).await {
                Some(restored) => connection = restored,
                None => return,
            }
        }
    }

    /// Connects again, for as long as it takes. `None`: it was told to stop meanwhile.
    async fn restore(&mut self, pause: &mut Duration) -> Option<Connection> {
        loop {
            tokio::select! {
                () = sleep(jittered(*pause)) => {}
                Some(stop) = self.orders.recv() => { let _ = stop.done.send(()); return None; }
            }
            match self.reach().await {
                Ok(connection) => {
                    // The next death soon after this start waits; the first of all is answered at once.
                    *pause = longer(*pause);
                    return Some(connection);
                }
                Err(error) => {
                    tracing::error!(error = %error, cause = ?error, "failed to bring the ingress back");
                    self.shared.lose(&error);
                }
            }
            *pause = longer(*pause);
        }
    }

    async fn reach(&mut self) -> Result<Connection, LinkError> {
        if let Some(connection) = spawn::adopt(&self.config).await? {
            return Ok(connection);
        }
        if let Some(mut old) = self.child.take() {
            // Its socket refuses: it is dead or dying. Reaped here, so that no zombie stays.
            let _ = timeout(STOP_SLACK, old.wait()).await;
        }
        let (connection, child) = spawn::obtain(&self.config).await?;
        self.child = child;
        Ok(connection)
    }

    async fn serve(&mut self, connection: Connection) -> Ended {
        let Connection { sender, mut receiver, pid, generation, served, .. } = connection;
        self.shared.with(|ledger| ledger.connected(pid, generation));
        let shared = Arc::clone(&self.shared);
        let settings = self.config.settings();
        let write = write(&shared, &sender, &self.groups, &served, settings);
        let read = async {
            loop {
                match receiver.receive().await {
                    Ok(up) => shared.with(|ledger| ledger.take(up)),
                    Err(error) => break error,
                }
            }
        };
        tokio::select! {
            error = read => Ended::Lost(error),
            error = write => Ended::Lost(error),
            Some(stop) = self.orders.recv() => {
                // Without our duplicates the kernel refuses connections as soon as the ingress closes its own.
                self.groups.clear();
                let shutdown = Down::Shutdown { deadline_ms: u64::try_from(stop.deadline.as_millis()).unwrap_or(u64::MAX) };
                let gone = async {
                    sender.send(&shutdown).await?;
                    loop { shared.with_up(receiver.receive().await?); }
                };
                let _: Result<Result<(), LinkError>, _> = timeout(stop.deadline + STOP_SLACK, gone).await;
                self.finish(pid).await;
                Ended::Stopped(stop)
            }
        }
    }

    /// Makes sure that a stopped ingress is gone.
    async fn finish(&mut self, pid: u32) {
        if let Some(child) = &mut self.child {
            if timeout(STOP_SLACK, child.wait()).await.is_err() {
                let _ = child.kill().await;
            }
            return;
        }
        // Not our child: its id may only be used while its socket shows that it still lives.
        if let Ok(Some(connection)) = spawn::adopt(&self.config).await
            && connection.pid == pid
            && let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

enum Ended {
    Stopped(Stop),
    Lost(LinkError),
}

/// Sends settings, the table, the listeners, then every change. The table goes before new listeners: an ingress that was
/// killed may have an old snapshot, whose addresses may have new owners.
async fn write(
    shared: &Shared,
    sender: &super::channel::Sender,
    groups: &[Group],
    served: &[SocketAddr],
    settings: Settings,
) -> LinkError {
    let greeting = async {
        sender.send(&Down::Settings(settings)).await?;
        let sent = flush(shared, sender, None).await?;
        for group in groups.iter().filter(|group| !served.contains(&group.address)) {
            let fds: Vec<_> = group.sockets.iter().map(AsFd::as_fd).collect();
            sender.send_with(&Down::Listen { address: group.address, sockets: fds.len() }, &fds).await?;
        }
        sender.send(&Down::ListenOnly { addresses: groups.iter().map(|g| g.address).collect() }).await?;
        Ok::<_, LinkError>(sent)
    };
    let mut sent = match greeting.await {
        Ok(sent) => sent,
        Err(error) => return error,
    };
    loop {
        shared.published.notified().await;
        sent = match flush(shared, sender, sent).await {
            Ok(sent) => sent,
            Err(error) => return error,
        };
    }
}

async fn flush(
    shared: &Shared,
    sender: &super::channel::Sender,
    sent: Option<Generation>,
) -> Result<Option<Generation>, LinkError> {
    let (messages, now) = shared.quietly(|ledger| ledger.pending(sent));
    for message in messages {
        sender.send(&message).await?;
    }
    Ok(now)
}

fn longer(pause: Duration) -> Duration {
    (pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE)
}

fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.75 + fastrand::f64() / 2.0)
}
