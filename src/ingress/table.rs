//! The routing table: an immutable value that every core swaps in as a whole.

use super::instance::Instance;
use super::totals::Counters;
use crate::link::{Generation, Settings};
use crate::model::ServiceName;
use std::collections::HashMap;
use std::sync::Arc;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) generation: Generation,
    /// Host, lower case and without port, to service.
    pub(super) hosts: HashMap<Arc<str>, Arc<Route>>,
    /// Whether the addresses in it are known to belong to our instances. Until then all is answered with 503.
    pub(super) settled: bool,
    pub(super) settings: Arc<Settings>,
    /// The instances that this table took out: their idle connections are to be closed.
    pub(super) retired: Vec<Arc<Instance>>,
}

/// One service.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) name: ServiceName,
    pub(super) state: State,
    pub(super) counters: Arc<Counters>,
}

/// What is done with its requests. A service that is *held* while it wakes will be a third state.
#[derive(Debug)]
pub(super) enum State {
    /// They go to one of these.
    Serving(Vec<Arc<Instance>>),
    /// They are answered with 503 and this sentence.
    Unavailable(String),
}

impl Table {
    /// The service of a host.
    pub(super) fn route(&self, host: &str) -> Option<&Arc<Route>> {
        self.hosts.get(host)
    }
}
