//! What the control plane has published and what the ingress has said: all state of the handle, without any I/O.

use super::message::{Down, Ejection, Totals, Up};
use super::{EntryState, Generation, ServiceEntry};
use crate::model::{InstanceId, ServiceId};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Ejections kept for the reconciler to fetch; older ones are dropped, as they are hints only.
const MAX_EJECTIONS: usize = 256;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: BTreeMap<ServiceId, (ServiceEntry, Generation)>,
    removed: BTreeMap<ServiceId, Generation>,
    /// Instances that are routed no more, with the generation that took them out; until they are seen empty.
    left: HashMap<InstanceId, Generation>,
    newest: Generation,
    /// The generation of the first full state; `None` while nothing may be sent.
    ready: Option<Generation>,
    applied: Generation,
    gauged: Generation,
    in_flight: HashMap<InstanceId, u64>,
    epoch: u64,
    totals: BTreeMap<ServiceId, Totals>,
    ejections: VecDeque<Ejection>,
    /// The process id of the ingress while the link stands.
    pub(super) pid: Option<u32>,
    /// How often the link was lost.
    pub(super) losses: u64,
    /// Why the link does not stand.
    pub(super) error: Option<String>,
}

impl Ledger {
    /// Keeps an entry; of one service only the latest counts.
    pub(super) fn publish(&mut self, entry: ServiceEntry) -> Generation {
        let generation = self.advance();
        for instance in instances(&entry) {
            self.left.remove(instance);
        }
        self.removed.remove(&entry.service);
        if let Some((old, _)) = self.entries.insert(entry.service.clone(), (entry.clone(), generation)) {
            self.leave(&old, Some(&entry), generation);
        }
        generation
    }

    /// Forgets a service.
    pub(super) fn remove(&mut self, service: &ServiceId) -> Generation {
        let generation = self.advance();
        if let Some((old, _)) = self.entries.remove(service) {
            self.leave(&old, None, generation);
        }
        self.removed.insert(service.clone(), generation);
        generation
    }

    fn leave(&mut self, old: &ServiceEntry, new: Option<&ServiceEntry>, generation: Generation) {
        for instance in instances(old) {
            if !new.is_some_and(|entry| instances(entry).any(|i| i == instance)) {
                self.left.insert(instance.clone(), generation);
            }
        }
    }

    fn advance(&mut self) -> Generation {
        self.newest.0 += 1;
        self.newest
    }

    /// From now on the table may be sent.
    pub(super) fn ready(&mut self) -> Generation {
        *self.ready.get_or_insert(self.newest)
    }

    /// The link stands. Generations go on above those of the ingress, which may have outlived an earlier control plane.
    pub(super) fn connected(&mut self, pid: u32, theirs: Generation) {
        if self.ready.is_none() {
            self.newest = Generation(self.newest.0.max(theirs.0 + 1));
        } else {
            self.newest = self.newest.max(theirs);
        }
        (self.pid, self.error) = (Some(pid), None);
        self.forget_reports();
    }

    /// The link is lost. What was in flight is unknown until the next gauges.
    pub(super) fn lost(&mut self, error: String) {
        self.losses += u64::from(self.pid.is_some());
        (self.pid, self.error) = (None, Some(error));
        self.forget_reports();
    }

    fn forget_reports(&mut self) {
        self.applied = Generation(0);
        self.gauged = Generation(0);
        self.in_flight.clear();
    }

    /// What to send to an ingress that was sent all up to `sent` (`None`: nothing yet), and the generation it then has.
    pub(super) fn pending(&mut self, sent: Option<Generation>) -> (Vec<Down>, Option<Generation>) {
        if self.ready.is_none() || sent == Some(self.newest) {
            return (Vec::new(), sent);
        }
        let messages = match sent {
            None => vec![self.full()],
            Some(sent) => self.changes_since(sent),
        };
        self.removed.clear();
        (messages, Some(self.newest))
    }

    fn full(&self) -> Down {
        let entries = self.entries.values().map(|(entry, _)| entry.clone()).collect();
        Down::Full { entries, generation: self.newest }
    }

    fn changes_since(&self, sent: Generation) -> Vec<Down> {
        let removed = self.removed.iter().filter(|(_, g)| **g > sent);
        let removed = removed.map(|(service, g)| (*g, Down::Remove { service: service.clone(), generation: *g }));
        let put = self.entries.values().filter(|(_, g)| *g > sent);
        let put = put.map(|(entry, g)| (*g, Down::Put { entry: entry.clone(), generation: *g }));
        let mut changes: Vec<_> = removed.chain(put).collect();
        changes.sort_by_key(|(g, _)| *g);
        changes.into_iter().map(|(_, down)| down).collect()
    }

    /// Takes a report of the ingress.
    pub(super) fn take(&mut self, up: Up) {
        match up {
            Up::Applied { generation } => self.applied = self.applied.max(generation),
            Up::Gauges { generation, in_flight } => self.take_gauges(generation, in_flight),
            Up::Totals { epoch, totals } => {
                if epoch != self.epoch {
                    self.totals.clear();
                }
                self.epoch = epoch;
                self.totals.extend(totals);
            }
            Up::InstanceEjected(ejection) => {
                self.ejections.truncate(MAX_EJECTIONS - 1);
                self.ejections.push_front(ejection);
            }
            Up::Hello { .. } | Up::Listening { .. } | Up::Ready => {}
        }
    }

    fn take_gauges(&mut self, generation: Generation, changed: Vec<(InstanceId, u64)>) {
        self.gauged = generation;
        self.in_flight.extend(changed);
        self.in_flight.retain(|_, count| *count > 0);
        self.left.retain(|instance, left| *left > generation || self.in_flight.contains_key(instance));
    }

    /// Whether all cores apply a generation.
    pub(super) fn is_applied(&self, generation: Generation) -> bool {
        self.pid.is_some() && self.applied >= generation
    }

    /// Requests in flight, when the link stands.
    pub(super) fn in_flight(&self, instance: &InstanceId) -> Option<u64> {
        self.pid?;
        Some(self.in_flight.get(instance).copied().unwrap_or(0))
    }

    /// Whether an instance gets no new requests on any core, and finished the old: known, not assumed.
    pub(super) fn is_drained(&self, instance: &InstanceId) -> bool {
        let Some(ready) = self.ready else { return false };
        let left = self.left.get(instance).copied().unwrap_or(ready);
        let known = self.pid.is_some() && self.gauged >= left && self.gauged >= ready;
        known && !self.in_flight.contains_key(instance) && !self.is_routed(instance)
    }

    fn is_routed(&self, instance: &InstanceId) -> bool {
        self.entries.values().any(|(entry, _)| instances(entry).any(|i| i == instance))
    }

    /// Totals of a service and the epoch that they count from.
    pub(super) fn totals(&self, service: &ServiceId) -> Option<(u64, Totals)> {
        self.totals.get(service).map(|totals| (self.epoch, *totals))
    }

    /// The ejections since the last call, oldest first.
    pub(super) fn take_ejections(&mut self) -> Vec<Ejection> {
        self.ejections.drain(..).rev().collect()
    }

    /// The newest published generation and the one that all cores apply.
    pub(super) fn generations(&self) -> (Generation, Generation) {
        (self.newest, self.applied)
    }
}

fn instances(entry: &ServiceEntry) -> impl Iterator<Item = &InstanceId> {
    let backends = match &entry.state {
        EntryState::Serving { backends } => backends.as_slice(),
        EntryState::Unavailable { .. } => &[],
    };
    backends.iter().map(|backend| &backend.instance)
}

#[cfg(test)]
mod tests {
    use super::super::Backend;
    use super::*;

    fn service(n: u8) -> ServiceId {
        ServiceId::from_random([n; 16])
    }

    fn instance(n: u8) -> InstanceId {
        InstanceId::from_random([n; 16])
    }

    fn entry(n: u8, on: &[u8]) -> ServiceEntry {
        let address = "127.0.0.1:1".parse().unwrap();
        let backends = on.iter().map(|i| Backend { instance: instance(*i), address }).collect();
        let (name, hosts) = ("test".parse().unwrap(), vec!["test.localhost".into()]);
        ServiceEntry { service: service(n), name, hosts, state: EntryState::Serving { backends } }
    }

    fn running() -> Ledger {
        let mut ledger = Ledger::default();
        ledger.connected(1, Generation(0));
        ledger
    }

    #[test]
    fn nothing_goes_down_before_the_caller_is_ready_and_then_everything_at_once() {
        let mut ledger = running();
        ledger.publish(entry(1, &[1]));
        assert_eq!(ledger.pending(None), (vec![], None));
        ledger.ready();
        let newest = ledger.publish(entry(2, &[2]));
        let (messages, sent) = ledger.pending(None);
        let expected = Down::Full { entries: vec![entry(1, &[1]), entry(2, &[2])], generation: newest };
        assert_eq!((messages, sent), (vec![expected], Some(newest)));
        assert_eq!(ledger.pending(sent), (vec![], sent));
    }

    #[test]
    fn of_several_changes_of_one_service_only_the_latest_is_sent() {
        let mut ledger = running();
        ledger.ready();
        let (_, sent) = ledger.pending(None);
        ledger.publish(entry(1, &[1]));
        let put = ledger.publish(entry(1, &[2]));
        ledger.publish(entry(2, &[3]));
        let removed = ledger.remove(&service(2));
        let expected = vec![
            Down::Put { entry: entry(1, &[2]), generation: put },
            Down::Remove { service: service(2), generation: removed },
        ];
        assert_eq!(ledger.pending(sent).0, expected);
    }

    #[test]
    fn generations_go_on_above_those_of_an_ingress_that_outlived_a_control_plane() {
        let mut ledger = Ledger::default();
        ledger.connected(1, Generation(41));
        assert!(ledger.publish(entry(1, &[1])) > Generation(41));
    }

    #[test]
    fn an_instance_is_drained_only_by_gauges_read_after_its_removal_was_applied() {
        let mut ledger = running();
        ledger.ready();
        let with = ledger.publish(entry(1, &[1]));
        ledger.take(Up::Gauges { generation: with, in_flight: vec![(instance(1), 2)] });
        assert!(!ledger.is_drained(&instance(1)), "it is routed");
        let without = ledger.publish(entry(1, &[2]));
        ledger.take(Up::Gauges { generation: with, in_flight: vec![(instance(1), 0)] });
        assert!(!ledger.is_drained(&instance(1)), "a core may still route to it");
        ledger.take(Up::Gauges { generation: without, in_flight: vec![(instance(1), 1)] });
        assert!(!ledger.is_drained(&instance(1)), "one request is in flight");
        ledger.take(Up::Gauges { generation: without, in_flight: vec![(instance(1), 0)] });
        assert!(ledger.is_drained(&instance(1)));
    }

    #[test]
    fn after_a_lost_link_nothing_counts_as_drained_until_the_new_ingress_has_spoken() {
        let mut ledger = running();
        ledger.ready();
        ledger.publish(entry(1, &[1]));
        let without = ledger.remove(&service(1));
        ledger.take(Up::Gauges { generation: without, in_flight: vec![] });
        assert!(ledger.is_drained(&instance(1)));
        ledger.lost("gone".into());
        assert!(!ledger.is_drained(&instance(1)));
        assert_eq!(ledger.in_flight(&instance(1)), None);
    }
}
