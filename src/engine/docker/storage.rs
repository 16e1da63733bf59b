//! What the files of an instance may take (row I3): the storage driver's own limit where it has one (overlay2 on xfs with
//! `pquota`, btrfs, zfs). Elsewhere the writable layer is measured now and then, and an instance that took more is ended;
//! it is then replaced like any that ended.

use super::client::{CALL, call};
use super::labels::{self, Labels};
use crate::model::{InstallationId, InstanceId, InstanceSpec, Memory};
use bollard::Docker;
use bollard::models::ContainerSummary;
use bollard::query_parameters::{ListContainersOptionsBuilder, StopContainerOptionsBuilder};
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;

/// How long Docker may take to measure: it reads whole directories.
const MEASURING: Duration = Duration::from_secs(120);
/// Measuring takes no more of the time than one part in this many.
const SHARE: u32 = 30;
/// What an instance that took too much has to end by itself.
const GRACE_SECONDS: i32 = 10;
/// Of a limited layer: from here on it counts as full. Writes of any size fail a little before the last byte.
const FULL_PERCENT: u64 = 98;
/// Notices that nobody took.
const MOST_KEPT: usize = 1000;

/// How instances are held to their storage.
pub(super) struct Storage {
    docker: Docker,
    installation: InstallationId,
    /// What an instance may take whose size does not say.
    default: Memory,
    /// How often is measured.
    pause: Duration,
    /// Whether the driver has a limit, until a start says otherwise.
    limits: AtomicBool,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// When to measure next; `None` while that is done.
    next: Option<Instant>,
    /// The instances of which it was said that they are full.
    full: BTreeSet<InstanceId>,
    notices: Vec<(InstanceId, String)>,
}

/// What an instance is found at.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Room,
    Full,
    Beyond,
}

impl Storage {
    pub fn new(docker: Docker, installation: InstallationId, default: Memory, pause: Duration) -> Self {
        let seen = Seen { next: Some(Instant::now() + pause), ..Seen::default() };
        Self { docker, installation, default, pause, limits: true.into(), seen: Mutex::new(seen) }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the files of an instance may take.
    pub fn of(&self, spec: &InstanceSpec) -> Memory {
        spec.size.storage.unwrap_or(self.default)
    }

    /// The driver's option for a container, where it has one as far as is known.
    pub fn option(&self, spec: &InstanceSpec) -> Option<HashMap<String, String>> {
        let limits = self.limits.load(Ordering::Relaxed);
        limits.then(|| HashMap::from([("size".to_owned(), self.of(spec).0.to_string())]))
    }

    /// Whether Docker refused a container for the limit on its storage: then there is none here, which is kept in mind.
    pub fn is_refused(&self, message: &str) -> bool {
        let message = message.to_ascii_lowercase();
        let refused = ["storage-opt", "storage opt", "quota"].iter().any(|word| message.contains(word));
        if refused && self.limits.swap(false, Ordering::Relaxed) {
            tracing::info!(
                "Docker's storage driver limits no container's files here: they are measured every {} s ({})",
                self.pause.as_secs(),
                message.trim()
            );
        }
        refused
    }

    /// Measures in the background when that is due.
    pub fn look(self: &Arc<Self>) {
        let due = {
            let mut seen = self.seen();
            let due = seen.next.is_some_and(|at| at <= Instant::now());
            if due {
                seen.next = None;
            }
            due
        };
        if due {
            let storage = self.clone();
            tokio::spawn(async move { storage.measure().await });
        }
    }

    pub fn take_notices(&self) -> Vec<(InstanceId, String)> {
        std::mem::take(&mut self.seen().notices)
    }

    async fn measure(&self) {
        let begun = Instant::now();
        let filters = HashMap::from([("label", vec![format!("{}={}", labels::INSTALLATION, self.installation)])]);
        let options = ListContainersOptionsBuilder::default().size(true).filters(&filters).build();
        match tokio::time::timeout(MEASURING, self.docker.list_containers(Some(options))).await {
            Ok(Ok(all)) => {
                for container in &all {
                    self.judge(container).await;
                }
            }
            Ok(Err(error)) => tracing::warn!(%error, "what instances' files take could not be measured"),
            Err(_) => {
                tracing::warn!("what instances' files take could not be measured within {} s", MEASURING.as_secs())
            }
        }
        let pause = self.pause.max(begun.elapsed().saturating_mul(SHARE));
        self.seen().next = Some(Instant::now() + pause);
    }

    async fn judge(&self, container: &ContainerSummary) {
        let Some(labels) = container.labels.as_ref().and_then(Labels::read) else { return };
        let Some((id, storage)) = container.id.as_ref().zip(labels.storage) else { return };
        let taken = Memory(container.size_rw.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0));
        match verdict(taken.0, storage, self.limits.load(Ordering::Relaxed)) {
            Verdict::Room => {}
            Verdict::Full => {
                if self.seen().full.insert(labels.instance.clone()) {
                    self.tell(&labels, format!("its storage of {} is full", Memory(storage))).await;
                }
            }
            Verdict::Beyond => {
                let message = format!("its files take more than its storage of {}, and it is ended", Memory(storage));
                self.tell(&labels, message).await;
                let options = StopContainerOptionsBuilder::default().t(GRACE_SECONDS).build();
                let limit = CALL + Duration::from_secs(u64::from(GRACE_SECONDS.unsigned_abs()));
                let stopped = self.docker.stop_container(id, Some(options));
                match tokio::time::timeout(limit, call("end an instance", stopped)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::warn!(%error, instance = %labels.instance, "it could not be ended"),
                    Err(_) => tracing::warn!(instance = %labels.instance, "it does not end"),
                }
            }
        }
    }

    /// Says it where people look: in the events, and in the instance's log.
    async fn tell(&self, labels: &Labels, message: String) {
        if let Err(error) = append(&labels.log, &message).await {
            tracing::warn!(file = %labels.log.display(), %error, "the log of an instance cannot be written");
        }
        let mut seen = self.seen();
        seen.notices.push((labels.instance.clone(), message));
        seen.notices.truncate(MOST_KEPT);
    }
}

/// A line of towpath's own, with a time as Docker's lines have: they are compared as text.
async fn append(log: &Path, message: &str) -> std::io::Result<()> {
    let mut stamp = crate::model::Timestamp::now().to_string();
    if let Some(at) = stamp.find('Z') {
        stamp.insert_str(at, "000000");
    }
    let mut file = tokio::fs::OpenOptions::new().append(true).create(true).open(log).await?;
    file.write_all(format!("{stamp} towpath: {message}\n").as_bytes()).await?;
    file.flush().await
}

fn verdict(taken: u64, storage: u64, limited: bool) -> Verdict {
    match limited {
        _ if taken > storage => Verdict::Beyond,
        true if taken >= storage / 100 * FULL_PERCENT => Verdict::Full,
        _ => Verdict::Room,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_more_is_ended_and_what_the_driver_holds_back_is_said_to_be_full() {
        assert_eq!(verdict(10, 100, false), Verdict::Room);
        assert_eq!(verdict(99, 100, false), Verdict::Room, "nothing holds it back yet");
        assert_eq!(verdict(101, 100, false), Verdict::Beyond);
        assert_eq!(verdict(990, 1000, true), Verdict::Full);
        assert_eq!(verdict(10, 1000, true), Verdict::Room);
    }
}
