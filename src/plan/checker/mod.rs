//! The independent checker (house rule 3): the invariants of any observed state and of any plan, written without the
//! planner, so that one mistake is not made twice. Used by tests, by the simulation and by `towpath doctor`.

mod plan;
mod state;

use super::{Plan, Policy};
use crate::desired::Desired;
use crate::model::{ServiceId, ServiceName, ServiceSpec};
use crate::observed::{Observed, ServiceView};
use serde::Serialize;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::Hash;

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// The service it is about, if one.
    pub service: Option<ServiceName>,
    /// What does not hold.
    pub rule: Rule,
    /// What was found, for people.
    pub found: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let service = self.service.as_ref().map(|s| format!("`{s}`: ")).unwrap_or_default();
        write!(f, "{service}{:?}: {}", self.rule, self.found)
    }
}

/// The invariants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Rule {
    /// No id, name or host label is there twice.
    UniqueNames,
    /// Every operation and instance belongs to the service it is listed under.
    OwnedRecords,
    /// What serves has an address.
    ServingHasAddress,
    /// No two instances have one address.
    OneAddressEach,
    /// What is listed as in flight is not final.
    InFlightIsNotFinal,
    /// A service's revision, applied declaration and next number fit together.
    RevisionsFit,
    /// What a plan makes is new.
    FreshIds,
    /// One operation per service, and beside it at most a healing.
    OneChangePerService,
    /// A plan begins an operation only where none runs that cannot be superseded.
    OneOperationAtATime,
    /// A plan changes only what exists, creates only what does not.
    ChangesFitWhatExists,
    /// A plan works towards what is declared, and leaves what the API made to the API.
    FollowsTheDeclaration,
    /// What is paused is not changed.
    PausedIsLeftAlone,
    /// What is held back is not deployed.
    HeldIsNotDeployed,
    /// Only what the manifest declared once is deleted, and not most of it at once.
    DeletesOnlyWhatIsAllowed,
    /// No healing takes away the last that serves, nor starts more than should serve.
    HealingKeepsServing,
    /// Nothing is healed on what is not known.
    UnknownIsNotHealed,
    /// Strays are nobody's.
    StraysAreNobodys,
}

/// Checks a state. Clean is empty; the order is that of the state.
pub fn check(observed: &Observed) -> Vec<Violation> {
    let mut found = Findings::default();
    found.unique_names(observed);
    for view in &observed.services {
        found.owned_records(view);
        found.serving(view);
        found.operation(view);
        found.revisions(view);
    }
    found.addresses(observed);
    found.0
}

/// Checks a plan against the state and the declaration that it was computed from.
pub fn check_plan(plan: &Plan, observed: &Observed, desired: Option<&Desired>, policy: &Policy) -> Vec<Violation> {
    let mut found = Findings::default();
    let context = Context::new(observed, desired);
    found.fresh_ids(plan, observed);
    found.one_change(plan);
    for change in &plan.changes {
        found.change(change, &context);
    }
    found.deletions(plan, &context, policy);
    found.0
}

struct Context<'a> {
    observed: &'a Observed,
    desired: Option<&'a Desired>,
    by_id: HashMap<&'a ServiceId, &'a ServiceView>,
    names: HashSet<&'a ServiceName>,
}

impl<'a> Context<'a> {
    fn new(observed: &'a Observed, desired: Option<&'a Desired>) -> Self {
        let by_id = observed.services.iter().map(|v| (&v.record.id, v)).collect();
        let names = observed.services.iter().map(|v| &v.record.name).collect();
        Self { observed, desired, by_id, names }
    }

    fn declared(&self, name: &ServiceName) -> Option<&'a ServiceSpec> {
        self.desired?.services.iter().map(|d| &d.spec).find(|s| &s.name == name)
    }
}

#[derive(Default)]
struct Findings(Vec<Violation>);

/// The first value that is there twice.
fn repeated<T: Eq + Hash + Clone>(values: impl IntoIterator<Item = T>) -> Option<T> {
    let mut seen = HashSet::new();
    values.into_iter().find(|v| !seen.insert(v.clone()))
}

impl Findings {
    fn add(&mut self, service: Option<&ServiceName>, rule: Rule, found: impl Into<String>) {
        self.0.push(Violation { service: service.cloned(), rule, found: found.into() });
    }

    fn require(&mut self, holds: bool, view: &ServiceView, rule: Rule, found: &str) {
        if !holds {
            self.add(Some(&view.record.name), rule, found);
        }
    }
}
