//! What cores have to tell the control thread: that gauges changed, that something cannot wait, that a table is applied.

use crate::link::{Ejection, Generation};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::{Notify, mpsc};

/// Ejections are hints: beyond that many unsent ones the newer are dropped.
const MAX_EJECTIONS: usize = 64;

/// Shared by all cores and the control thread.
#[derive(Debug)]
pub(super) struct Reports {
    dirty: AtomicBool,
    changed: Notify,
    urgent: Notify,
    applied: Box<[AtomicU64]>,
    ejections: mpsc::Sender<Ejection>,
}

impl Reports {
    /// Reports of that many cores, and the ejections among them.
    pub(super) fn new(cores: usize) -> (Self, mpsc::Receiver<Ejection>) {
        let (ejections, receiver) = mpsc::channel(MAX_EJECTIONS);
        let applied = (0..cores).map(|_| AtomicU64::new(0)).collect();
        let reports =
            Self { dirty: AtomicBool::new(false), changed: Notify::new(), urgent: Notify::new(), applied, ejections };
        (reports, receiver)
    }

    /// A gauge changed. Cheap while nobody has read the last change: one load of a line that is seldom written.
    pub(super) fn touch(&self) {
        if !self.dirty.load(Ordering::Relaxed) && !self.dirty.swap(true, Ordering::AcqRel) {
            self.changed.notify_one();
        }
    }

    /// Someone waits for this change.
    pub(super) fn hurry(&self) {
        self.urgent.notify_one();
    }

    /// A core applies a generation. What it did before is seen by whoever reads that.
    pub(super) fn apply(&self, core: usize, generation: Generation) {
        self.applied[core].store(generation.0, Ordering::Release);
        self.hurry();
    }

    /// The generation that all cores apply.
    pub(super) fn applied(&self) -> Generation {
        Generation(self.applied.iter().map(|core| core.load(Ordering::Acquire)).min().unwrap_or(0))
    }

    /// An instance was ejected.
    pub(super) fn eject(&self, ejection: Ejection) {
        let _ = self.ejections.try_send(ejection);
    }

    /// Waits for a change that may be late by a little.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Waits for a change that may not be late.
    pub(super) async fn urgent(&self) {
        self.urgent.notified().await;
    }

    /// Call before reading gauges: changes from here on notify again.
    pub(super) fn begin_reading(&self) {
        self.dirty.swap(false, Ordering::AcqRel);
    }
}
