//! The world in memory, changed by the same writes that the database takes.

use super::{World, Write};
use crate::model::{Operation, OperationId, ServiceId, ServiceName, ServiceRecord};
use std::collections::{BTreeMap, BTreeSet};

impl World {
    /// The operation of a service that has not ended: there is at most one.
    pub fn open_operation(&self, service: &ServiceId) -> Option<&Operation> {
        let from = (service.clone(), OperationId::from_random([0; 16]));
        let (_, id) = self.open.range(from..).next().filter(|(owner, _)| owner == service)?;
        self.operations.get(id)
    }

    /// The number of a service's next operation.
    pub fn next_operation_number(&self, service: &ServiceId) -> u64 {
        let numbers = self.operations.values().filter(|o| &o.service == service).map(|o| o.number);
        numbers.max().unwrap_or(0).saturating_add(1)
    }

    /// All operations that have not ended.
    pub fn open_operations(&self) -> impl Iterator<Item = &Operation> {
        self.open.iter().filter_map(|(_, id)| self.operations.get(id))
    }

    /// The services that are not deleted, in the order of their names.
    pub fn live_by_name(&self) -> &BTreeSet<(ServiceName, ServiceId)> {
        &self.live
    }

    /// Finds the operations that have not ended and the services that are not deleted, where a world was not made by [`World::apply`].
    pub(super) fn index(&mut self) {
        let open = self.operations.values().filter(|o| !o.status.is_final());
        self.open = open.map(|o| (o.service.clone(), o.id.clone())).collect();
        let live = self.services.values().filter(|s| s.deleted_at.is_none());
        self.live = live.map(|s| (s.name.clone(), s.id.clone())).collect();
    }

    /// Applies writes that were stored.
    pub fn apply(&mut self, writes: Vec<Write>) {
        for write in writes {
            self.apply_one(write);
        }
    }

    fn apply_one(&mut self, write: Write) {
        match write {
            Write::PutService(record) => self.put_service(*record),
            Write::PutOperation(operation) => self.put_operation(*operation),
            Write::PutRevision(service, revision) => {
                self.revisions.insert((service, revision.number), *revision);
            }
            Write::DeleteRevision(service, number) => drop(self.revisions.remove(&(service, number))),
            Write::PutInstance(instance) => drop(self.instances.insert(instance.id.clone(), instance)),
            Write::DeleteInstance(id) => drop(self.instances.remove(&id)),
            Write::ForgetService(id) => self.forget(&id),
            Write::PutResource(resource) => drop(self.resources.insert(resource.id.clone(), *resource)),
            Write::DeleteResource(id) => drop(self.resources.remove(&id)),
            Write::PutMeta(key, value) => drop(self.meta.insert(key, value)),
            // Events are read from the database when someone asks.
            Write::AppendEvent(_) => {}
        }
    }

    /// Keeps of each service the newest operations, and all that have not ended.
    pub fn prune_operations(&mut self, kept: usize) {
        let mut of_service: BTreeMap<&ServiceId, Vec<&Operation>> = BTreeMap::new();
        for operation in self.operations.values().filter(|o| o.status.is_final()) {
            of_service.entry(&operation.service).or_default().push(operation);
        }
        let mut excess: Vec<OperationId> = Vec::new();
        for mut ended in of_service.into_values() {
            ended.sort_by_key(|o| o.order());
            let many = ended.len().saturating_sub(kept);
            excess.extend(ended.drain(..many).map(|o| o.id.clone()));
        }
        for id in excess {
            self.operations.remove(&id);
        }
    }

    fn put_service(&mut self, record: ServiceRecord) {
        let place = (record.name.clone(), record.id.clone());
        if record.deleted_at.is_some() {
            self.live.remove(&place);
        } else {
            self.live.insert(place);
        }
        self.services.insert(record.id.clone(), record);
    }

    fn put_operation(&mut self, operation: Operation) {
        let place = (operation.service.clone(), operation.id.clone());
        if operation.status.is_final() {
            self.open.remove(&place);
        } else {
            self.open.insert(place);
        }
        self.operations.insert(operation.id.clone(), operation);
    }

    fn forget(&mut self, service: &ServiceId) {
        self.open.retain(|(owner, _)| owner != service);
        self.live.retain(|(_, owner)| owner != service);
        self.services.remove(service);
        self.revisions.retain(|(owner, _), _| owner != service);
        self.operations.retain(|_, o| &o.service != service);
        self.instances.retain(|_, i| &i.service != service);
    }
}
