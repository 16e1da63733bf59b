//! One SQL schema on SQLite: what must survive a restart. Only `towpath up` opens it, under a lock on the data directory.
//!
//! Imports `model`. The reconciler keeps the whole state in memory and writes through: one [`Write`] list is one
//! transaction. [`Store::open`] gives the [`World`]; what is not in it (old operations, events) is read on demand.
//!
//! The database has one writing and one reading connection. A damaged file is set aside and the newest good backup takes
//! its place; without one, nothing is decided.

mod backup;
mod connection;
mod entries;
mod error;
mod files;
mod open;
mod read;
mod record;
#[cfg(test)]
mod tests;
mod world;
mod write;

pub use entries::{Entry, EntryWrite};
pub use error::StoreError;
pub use open::Opened;

use crate::model::{
    BuildId, Event, InstanceId, InstanceRecord, Operation, OperationId, Resource, ResourceId, Revision, RevisionNumber,
    ServiceId, ServiceName, ServiceRecord,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// One change of the stored state.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Inserts or replaces a service.
    PutService(Box<ServiceRecord>),
    /// Inserts or replaces an operation.
    PutOperation(Box<Operation>),
    /// Inserts a revision; an existing number is replaced by an equal one only.
    PutRevision(ServiceId, Box<Revision>),
    /// Removes a revision that nothing needs.
    DeleteRevision(ServiceId, RevisionNumber),
    /// Inserts or replaces an instance.
    PutInstance(InstanceRecord),
    /// Removes an instance that is gone.
    DeleteInstance(InstanceId),
    /// Removes a service with its revisions, operations, instances; events stay to their retention.
    ForgetService(ServiceId),
    /// Inserts or replaces what the API made beside services.
    PutResource(Box<Resource>),
    /// Removes such a resource for good.
    DeleteResource(ResourceId),
    /// Sets a value of the installation (`installation`, `engine`, `pending-mass-delete`, …).
    PutMeta(String, serde_json::Value),
    /// Appends an event.
    AppendEvent(Event),
}

/// The stored state, as it is read at start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct World {
    /// All services.
    pub services: BTreeMap<ServiceId, ServiceRecord>,
    /// All revisions that are kept.
    pub revisions: BTreeMap<(ServiceId, RevisionNumber), Revision>,
    /// Operations: all that are not final, and of each service the newest hundred.
    pub operations: BTreeMap<OperationId, Operation>,
    /// All instances.
    pub instances: BTreeMap<InstanceId, InstanceRecord>,
    /// What the API made beside services.
    pub resources: BTreeMap<ResourceId, Resource>,
    /// Values of the installation.
    pub meta: BTreeMap<String, serde_json::Value>,
    /// The operations that have not ended, by service: asked for on every pass, for every service.
    open: BTreeSet<(ServiceId, OperationId)>,
    /// The services that are not deleted, by name: listed page by page, however many there are.
    live: BTreeSet<(ServiceName, ServiceId)>,
}

/// The open store. All methods take `&self`; writes queue behind each other, reads do not wait for writes.
pub struct Store {
    writer: connection::Connection,
    reader: connection::Connection,
    files: files::Files,
    backing_up: tokio::sync::Mutex<()>,
}

impl Store {
    /// Closes it in good order. Not needed for safety: what was written is durable.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.reader.close().await?;
        self.writer.close().await
    }
}

/// What a service's builds are, for collection: which revisions need which build.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BuildUse {
    /// The build.
    pub build: BuildId,
    /// The revisions that need it.
    pub revisions: Vec<(ServiceId, RevisionNumber)>,
}
