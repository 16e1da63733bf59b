//! What the control thread knows: entries as they came, the instances among them, and the tables made of both.

use super::instance::Instance;
use super::snapshot::Snapshot;
use super::table::{Route, State, Table};
use super::totals::Counters;
use crate::link::message::Down;
use crate::link::{EntryState, Generation, ServiceEntry, Settings, Totals};
use crate::model::{InstanceId, ServiceId};
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

/// See the module.
#[derive(Debug)]
pub(super) struct Board {
    cores: usize,
    boot: String,
    entries: BTreeMap<ServiceId, ServiceEntry>,
    generation: Generation,
    settings: Settings,
    settled: bool,
    /// All that are routed, and those that were until they are empty: `Some` is the generation without them.
    instances: HashMap<(InstanceId, SocketAddr), (Arc<Instance>, Option<Generation>)>,
    counters: BTreeMap<ServiceId, Arc<Counters>>,
    /// Changed since the last table was made.
    changed: bool,
}

impl Board {
    /// Begins with a snapshot. It is believed if it is of this boot.
    pub(super) fn new(cores: usize, boot: String, snapshot: Option<Snapshot>) -> Self {
        let settled = snapshot.as_ref().is_some_and(|s| s.boot == boot && !boot.is_empty());
        let Snapshot { generation, settings, entries, .. } = snapshot.unwrap_or_default();
        let entries = entries.into_iter().map(|entry| (entry.service.clone(), entry)).collect();
        let (instances, counters) = (HashMap::new(), BTreeMap::new());
        Self { cores, boot, entries, generation, settings, settled, instances, counters, changed: true }
    }

    /// Takes a message if it is about the table.
    pub(super) fn change(&mut self, message: Down) -> Option<Down> {
        match message {
            Down::Settings(settings) => self.configure(settings),
            Down::Full { entries, generation } => {
                self.entries = entries.into_iter().map(|entry| (entry.service.clone(), entry)).collect();
                (self.generation, self.settled) = (generation, true);
            }
            Down::Put { entry, generation } => {
                self.entries.insert(entry.service.clone(), entry);
                self.generation = generation;
            }
            Down::Remove { service, generation } => {
                self.entries.remove(&service);
                self.generation = generation;
            }
            other => return Some(other),
        }
        self.changed = true;
        None
    }

    fn configure(&mut self, settings: Settings) {
        // On another engine the same addresses belong to others.
        if settings.engine != self.settings.engine && !self.entries.is_empty() {
            self.settled = false;
        }
        self.settings = settings;
    }

    /// Whether there is a table to make.
    pub(super) fn is_changed(&self) -> bool {
        self.changed
    }

    /// What to write down before a table of it is applied.
    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot {
            boot: self.boot.clone(),
            generation: self.generation,
            settings: self.settings.clone(),
            entries: self.entries.values().cloned().collect(),
        }
    }

    /// The generation of the newest table.
    pub(super) fn generation(&self) -> Generation {
        self.generation
    }

    /// The boot that this process lives in.
    pub(super) fn boot(&self) -> &str {
        &self.boot
    }

    /// Makes the table of all that is known. `applied` is what all cores apply now.
    pub(super) fn table(&mut self, applied: Generation) -> Table {
        self.changed = false;
        self.collect(applied);
        for (instance, left) in self.instances.values_mut() {
            left.get_or_insert(self.generation);
            instance.set_retired(true);
        }
        let entries = std::mem::take(&mut self.entries);
        let mut hosts = HashMap::new();
        for entry in entries.values() {
            let route = Arc::new(self.route(entry));
            for host in &entry.hosts {
                hosts.entry(Arc::from(host.as_str())).or_insert_with(|| Arc::clone(&route));
            }
        }
        self.counters.retain(|service, _| entries.contains_key(service));
        self.entries = entries;
        let retired = self.instances.values().filter(|(_, left)| left.is_some()).map(|(i, _)| Arc::clone(i)).collect();
        let settings = Arc::new(self.settings.clone());
        Table { generation: self.generation, hosts, settled: self.settled, settings, retired }
    }

    fn route(&mut self, entry: &ServiceEntry) -> Route {
        let state = match &entry.state {
            EntryState::Unavailable { message } => State::Unavailable(message.clone()),
            EntryState::Serving { backends } => {
                let routed = backends.iter().map(|b| self.routed(&entry.service, &b.instance, b.address));
                State::Serving(routed.collect())
            }
        };
        let cores = self.cores;
        let counters = self.counters.entry(entry.service.clone()).or_insert_with(|| Arc::new(Counters::new(cores)));
        Route { name: entry.name.clone(), state, counters: Arc::clone(counters) }
    }

    fn routed(&mut self, service: &ServiceId, id: &InstanceId, address: SocketAddr) -> Arc<Instance> {
        let new = || (Arc::new(Instance::new(id.clone(), service.clone(), address, self.cores)), None);
        let (instance, left) = self.instances.entry((id.clone(), address)).or_insert_with(new);
        *left = None;
        instance.set_retired(false);
        Arc::clone(instance)
    }

    /// Forgets the instances that no core routes to and that have answered everything.
    pub(super) fn collect(&mut self, applied: Generation) {
        self.instances.retain(|_, (instance, left)| left.is_none_or(|left| left > applied) || instance.load() > 0);
    }

    /// Requests in flight of every instance that has any.
    pub(super) fn gauges(&self) -> HashMap<InstanceId, u64> {
        let mut gauges = HashMap::new();
        for (instance, _) in self.instances.values() {
            let load = instance.load();
            if load > 0 {
                *gauges.entry(instance.id.clone()).or_insert(0) += load;
            }
        }
        gauges
    }

    /// Totals of every service.
    pub(super) fn totals(&self) -> Vec<(ServiceId, Totals)> {
        self.counters.iter().map(|(service, counters)| (service.clone(), counters.sum())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Backend;

    fn entry(instances: &[u8]) -> ServiceEntry {
        let backends = instances
            .iter()
            .map(|n| Backend { instance: InstanceId::from_random([*n; 16]), address: ([127, 0, 0, 1], 9).into() })
            .collect();
        ServiceEntry {
            service: ServiceId::from_random([1; 16]),
            name: "shop".parse().unwrap(),
            hosts: vec!["shop.localhost".into()],
            state: EntryState::Serving { backends },
        }
    }

    fn instances(table: &Table) -> Vec<Arc<Instance>> {
        match &table.route("shop.localhost").unwrap().state {
            State::Serving(instances) => instances.clone(),
            State::Unavailable(_) => vec![],
        }
    }

    #[test]
    fn an_instance_stays_the_same_over_tables_and_a_new_one_on_its_address_is_another() {
        let mut board = Board::new(1, "b".into(), None);
        board.change(Down::Full { entries: vec![entry(&[1])], generation: Generation(1) });
        let first = instances(&board.table(Generation(0)));
        board.change(Down::Put { entry: entry(&[1, 2]), generation: Generation(2) });
        let both = instances(&board.table(Generation(1)));
        assert!(Arc::ptr_eq(&first[0], &both[0]) && !Arc::ptr_eq(&both[0], &both[1]));
        board.change(Down::Put { entry: entry(&[2]), generation: Generation(3) });
        let table = board.table(Generation(2));
        assert!(Arc::ptr_eq(&table.retired[0], &first[0]) && first[0].is_retired());
        assert!(!both[1].is_retired());
        board.collect(Generation(3));
        assert_eq!(board.instances.len(), 1);
    }

    #[test]
    fn a_snapshot_of_another_boot_or_engine_is_not_served() {
        let snapshot = |boot: &str| Snapshot { boot: boot.into(), entries: vec![entry(&[1])], ..Snapshot::default() };
        assert!(!Board::new(1, "b".into(), Some(snapshot("a"))).table(Generation(0)).settled);
        assert!(!Board::new(1, String::new(), Some(snapshot(""))).table(Generation(0)).settled);
        let mut board = Board::new(1, "b".into(), Some(snapshot("b")));
        assert!(board.table(Generation(0)).settled);
        board.change(Down::Settings(Settings { engine: "other".into(), ..Settings::default() }));
        assert!(!board.table(Generation(0)).settled);
        board.change(Down::Full { entries: vec![], generation: Generation(1) });
        assert!(board.table(Generation(0)).settled);
    }
}
