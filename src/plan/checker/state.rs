//! The invariants of an observed state.

use super::{Findings, Rule, repeated};
use crate::model::InstanceRole;
use crate::observed::{Observed, ServiceView};

impl Findings {
    pub(super) fn unique_names(&mut self, observed: &Observed) {
        let records = || observed.services.iter().map(|v| &v.record);
        if let Some(id) = repeated(records().map(|r| &r.id)) {
            self.add(None, Rule::UniqueNames, format!("two services have the id {id}"));
        }
        if let Some(name) = repeated(records().map(|r| &r.name)) {
            self.add(Some(name), Rule::UniqueNames, "two services have this name");
        }
        if let Some(label) = repeated(records().map(|r| &r.label)) {
            self.add(None, Rule::UniqueNames, format!("two services have the host label {label}"));
        }
        let recorded = observed.services.iter().flat_map(|v| &v.instances).map(|i| &i.record.id);
        if let Some(id) = repeated(recorded.chain(observed.strays.iter().map(|s| &s.id))) {
            self.add(None, Rule::UniqueNames, format!("two instances have the id {id}"));
        }
    }

    pub(super) fn owned_records(&mut self, view: &ServiceView) {
        let id = &view.record.id;
        for instance in &view.instances {
            let owned = &instance.record.service == id && instance.observed.as_ref().is_none_or(|o| &o.service == id);
            let found = format!("instance {} belongs to another service", instance.record.id);
            self.require(owned, view, Rule::OwnedRecords, &found);
        }
        let operation = view.operation.as_ref().is_none_or(|o| &o.service == id);
        self.require(operation, view, Rule::OwnedRecords, "its operation belongs to another service");
    }

    pub(super) fn serving(&mut self, view: &ServiceView) {
        for instance in view.instances.iter().filter(|i| i.record.role == InstanceRole::Serving) {
            let found = format!("instance {} serves without an address", instance.record.id);
            self.require(instance.record.address.is_some(), view, Rule::ServingHasAddress, &found);
        }
    }

    pub(super) fn operation(&mut self, view: &ServiceView) {
        let in_flight = view.operation.as_ref().is_none_or(|o| !o.status.is_final());
        self.require(in_flight, view, Rule::InFlightIsNotFinal, "its operation in flight has ended");
    }

    pub(super) fn revisions(&mut self, view: &ServiceView) {
        let record = &view.record;
        let same = record.current == view.current.as_ref().map(|r| r.number);
        self.require(same, view, Rule::RevisionsFit, "its record names another revision than the one that serves");
        let next = record.current.is_none_or(|number| number.0 < record.next_revision);
        self.require(next, view, Rule::RevisionsFit, "its next revision number was given already");
        let applied = record.current.is_none() || record.applied.is_some();
        self.require(applied, view, Rule::RevisionsFit, "it serves a revision and nothing is applied");
    }

    pub(super) fn addresses(&mut self, observed: &Observed) {
        let all = observed.services.iter().flat_map(|v| &v.instances).filter_map(|i| i.record.address);
        if let Some(address) = repeated(all) {
            self.add(None, Rule::OneAddressEach, format!("two instances have the address {address}"));
        }
    }
}
