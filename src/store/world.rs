//! The world in memory, changed by the same writes that the database takes.

use super::{World, Write};
use crate::model::ServiceId;

impl World {
    /// Applies writes that were stored.
    pub fn apply(&mut self, writes: Vec<Write>) {
        for write in writes {
            self.apply_one(write);
        }
    }

    fn apply_one(&mut self, write: Write) {
        match write {
            Write::PutService(record) => drop(self.services.insert(record.id.clone(), *record)),
            Write::PutOperation(operation) => drop(self.operations.insert(operation.id.clone(), *operation)),
            Write::PutRevision(service, revision) => {
                self.revisions.insert((service, revision.number), *revision);
            }
            Write::DeleteRevision(service, number) => drop(self.revisions.remove(&(service, number))),
            Write::PutInstance(instance) => drop(self.instances.insert(instance.id.clone(), instance)),
            Write::DeleteInstance(id) => drop(self.instances.remove(&id)),
            Write::ForgetService(id) => self.forget(&id),
            Write::PutMeta(key, value) => drop(self.meta.insert(key, value)),
            // Events are read from the database when someone asks.
            Write::AppendEvent(_) => {}
        }
    }

    fn forget(&mut self, service: &ServiceId) {
        self.services.remove(service);
        self.revisions.retain(|(owner, _), _| owner != service);
        self.operations.retain(|_, o| &o.service != service);
        self.instances.retain(|_, i| &i.service != service);
    }
}
