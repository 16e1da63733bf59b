//! One instance as all cores see it: its load, its ejection, and each core's own idle connections to it.

use super::core::Core;
use super::ejection::Ejection;
use super::upstream::Connection;
use crate::model::{InstanceId, ServiceId};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The most idle connections per core and instance: what one core can keep busy is far below.
const MOST_IDLE: usize = 512;

/// What is one core's own. On cache lines of its own, as it is written with every request.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Slot {
    /// Written by its core only, so that no locked instruction is needed.
    in_flight: AtomicU64,
    /// Last in, first out: few connections stay warm, the others age and go. Locked by its core only, but for sweeps.
    idle: Mutex<Vec<Connection>>,
}

/// See the module. An address that comes back with another instance is another one of these, with its own connections.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) id: InstanceId,
    pub(super) service: ServiceId,
    pub(super) address: SocketAddr,
    pub(super) ejection: Ejection,
    retired: AtomicBool,
    slots: Box<[Slot]>,
}

impl Instance {
    pub(super) fn new(id: InstanceId, service: ServiceId, address: SocketAddr, cores: usize) -> Self {
        let slots = (0..cores).map(|_| Slot::default()).collect();
        Self { id, service, address, ejection: Ejection::default(), retired: AtomicBool::new(false), slots }
    }

    /// Requests in flight on all cores.
    pub(super) fn load(&self) -> u64 {
        self.slots.iter().map(|slot| slot.in_flight.load(Relaxed)).sum()
    }

    /// Whether no table routes to it any more.
    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Relaxed)
    }

    /// Sets whether a table routes to it. Cores see it when they get that table, at the latest.
    pub(super) fn set_retired(&self, retired: bool) {
        self.retired.store(retired, Relaxed);
    }

    /// The warmest idle connection of a core that was used within `fresh`.
    pub(super) fn check_out(&self, core: usize, fresh: Duration) -> Option<Connection> {
        let connection = self.idle(core).pop()?;
        if connection.idle_for(Instant::now()) <= fresh {
            return Some(connection);
        }
        // All below are older still. They stay for requests that may be repeated.
        self.idle(core).push(connection);
        None
    }

    /// Keeps a connection for the next request of this core.
    pub(super) fn check_in(&self, core: usize, mut connection: Connection) {
        if self.is_retired() {
            return;
        }
        connection.touch(Instant::now());
        let mut idle = self.idle(core);
        if idle.len() < MOST_IDLE {
            idle.push(connection);
        }
    }

    /// Closes the idle connections of a core that are too old or that the application has closed.
    pub(super) fn sweep(&self, core: usize, now: Instant, limit: Duration) {
        self.idle(core).retain_mut(|connection| connection.idle_for(now) < limit && connection.is_open());
    }

    /// Closes all idle connections of a core.
    pub(super) fn close_idle(&self, core: usize) {
        self.idle(core).clear();
    }

    fn idle(&self, core: usize) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.slots[core].idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, core: usize, change: impl FnOnce(u64) -> u64) -> u64 {
        let slot = &self.slots[core].in_flight;
        let now = change(slot.load(Relaxed));
        slot.store(now, Relaxed);
        now
    }
}

/// One request in flight, from the choice of its instance to the last byte of its answer.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) instance: Arc<Instance>,
    core: Arc<Core>,
}

impl InFlight {
    /// Counts a request. Must run on the core's own thread, as must the drop.
    pub(super) fn begin(instance: Arc<Instance>, core: Arc<Core>) -> Self {
        instance.add(core.index, |load| load + 1);
        core.reports.touch();
        Self { instance, core }
    }

    /// The instance, to be remembered.
    pub(super) fn instance(&self) -> Arc<Instance> {
        Arc::clone(&self.instance)
    }

    /// Gives a connection back whose answer was read to its end.
    pub(super) fn give_back(&self, connection: Connection) {
        self.instance.check_in(self.core.index, connection);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let left = self.instance.add(self.core.index, |load| load.saturating_sub(1));
        self.core.reports.touch();
        if left == 0 && self.instance.is_retired() {
            self.core.reports.hurry();
        }
    }
}
