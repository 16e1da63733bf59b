//! The independent checker (house rule 3): the invariants of any observed state and of any plan, written without the
//! planner, so that one mistake is not made twice. Used by tests, by the simulation and by `towpath doctor`.

use super::{Action, Change, Plan, Policy};
use crate::desired::Desired;
use crate::model::{
    Digest, InstanceId, InstanceRole, InstanceState, Operation, OperationKind, Owner, ServiceId, ServiceName, Step,
};
use crate::observed::{EngineView, Health, InstanceView, Observed, ServiceView};
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

    fn declared(&self, name: &ServiceName) -> Option<&'a crate::model::ServiceSpec> {
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

    fn unique_names(&mut self, observed: &Observed) {
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

    fn owned_records(&mut self, view: &ServiceView) {
        let id = &view.record.id;
        for instance in &view.instances {
            let owned = &instance.record.service == id && instance.observed.as_ref().is_none_or(|o| &o.service == id);
            let found = format!("instance {} belongs to another service", instance.record.id);
            self.require(owned, view, Rule::OwnedRecords, &found);
        }
        let operation = view.operation.as_ref().is_none_or(|o| &o.service == id);
        self.require(operation, view, Rule::OwnedRecords, "its operation belongs to another service");
    }

    fn serving(&mut self, view: &ServiceView) {
        for instance in view.instances.iter().filter(|i| i.record.role == InstanceRole::Serving) {
            let found = format!("instance {} serves without an address", instance.record.id);
            self.require(instance.record.address.is_some(), view, Rule::ServingHasAddress, &found);
        }
    }

    fn operation(&mut self, view: &ServiceView) {
        let in_flight = view.operation.as_ref().is_none_or(|o| !o.status.is_final());
        self.require(in_flight, view, Rule::InFlightIsNotFinal, "its operation in flight has ended");
    }

    fn revisions(&mut self, view: &ServiceView) {
        let record = &view.record;
        let same = record.current == view.current.as_ref().map(|r| r.number);
        self.require(same, view, Rule::RevisionsFit, "its record names another revision than the one that serves");
        let next = record.current.is_none_or(|number| number.0 < record.next_revision);
        self.require(next, view, Rule::RevisionsFit, "its next revision number was given already");
        let applied = record.current.is_none() || record.applied.is_some();
        self.require(applied, view, Rule::RevisionsFit, "it serves a revision and nothing is applied");
    }

    fn addresses(&mut self, observed: &Observed) {
        let all = observed.services.iter().flat_map(|v| &v.instances).filter_map(|i| i.record.address);
        if let Some(address) = repeated(all) {
            self.add(None, Rule::OneAddressEach, format!("two instances have the address {address}"));
        }
    }

    fn fresh_ids(&mut self, plan: &Plan, observed: &Observed) {
        let mut known: HashSet<&str> = HashSet::new();
        for view in &observed.services {
            known.extend([view.record.id.as_str(), view.record.label.as_str()]);
            known.extend(view.operation.as_ref().map(|o| o.id.as_str()));
            known.extend(view.instances.iter().map(|i| i.record.id.as_str()));
        }
        known.extend(observed.strays.iter().map(|s| s.id.as_str()));
        for id in plan.changes.iter().flat_map(|c| made(&c.action)) {
            if !known.insert(id) {
                self.add(None, Rule::FreshIds, format!("the id {id} is used again"));
            }
        }
    }

    fn one_change(&mut self, plan: &Plan) {
        let mut seen: HashMap<&ServiceName, Vec<&Action>> = HashMap::new();
        for change in &plan.changes {
            if let Some(service) = &change.service {
                seen.entry(service).or_default().push(&change.action);
            }
        }
        for (service, actions) in seen {
            let heals = actions.iter().filter(|a| matches!(a, Action::Heal { .. })).count();
            let deletes = actions.iter().any(|a| matches!(a, Action::Delete { .. }));
            if heals > 1 || actions.len() - heals > 1 || (deletes && heals > 0) {
                self.add(Some(service), Rule::OneChangePerService, format!("{} changes at once", actions.len()));
            }
        }
    }

    fn change(&mut self, change: &Change, context: &Context) {
        match &change.action {
            Action::Create { spec, .. } => self.create(&spec.name, spec, context),
            Action::Deploy { id, spec, commit, .. } => {
                self.operation_on(change, id, context);
                self.towards(change, id, spec, Some(commit), context);
            }
            Action::Update { id, spec, commit, .. } => {
                self.operation_on(change, id, context);
                self.towards(change, id, spec, commit.as_ref(), context);
            }
            Action::Delete { id, .. } => self.operation_on(change, id, context),
            Action::Heal { id, start, stop } => self.heal(change, id, start, stop, context),
            Action::RemoveStrays { instances } => self.remove_strays(instances, context),
        }
    }

    fn create(&mut self, name: &ServiceName, spec: &crate::model::ServiceSpec, context: &Context) {
        if context.names.contains(name) {
            self.add(Some(name), Rule::ChangesFitWhatExists, "is created and exists");
        }
        if context.declared(name) != Some(spec) {
            self.add(Some(name), Rule::FollowsTheDeclaration, "is created as nobody declares it");
        }
    }

    fn operation_on(&mut self, change: &Change, id: &ServiceId, context: &Context) {
        let service = change.service.as_ref();
        let Some(view) = context.by_id.get(id).filter(|v| Some(&v.record.name) == service) else {
            return self.add(service, Rule::ChangesFitWhatExists, "is changed and does not exist");
        };
        let Some(running) = &view.operation else { return };
        let deletes = matches!(change.action, Action::Delete { .. });
        if deletes || !has_started_nothing(running) {
            self.add(service, Rule::OneOperationAtATime, format!("operation {} runs", running.id));
        }
    }

    fn towards(
        &mut self,
        change: &Change,
        id: &ServiceId,
        spec: &crate::model::ServiceSpec,
        commit: Option<&crate::model::CommitId>,
        context: &Context,
    ) {
        let Some(view) = context.by_id.get(id) else { return };
        self.require(view.record.paused.is_none(), view, Rule::PausedIsLeftAlone, "is changed while paused");
        let declared = context.declared(&view.record.name).filter(|_| view.record.owner == Owner::Declared);
        let follows = declared.or(view.record.applied.as_ref()) == Some(spec);
        self.require(follows, view, Rule::FollowsTheDeclaration, "is changed to what nobody declares");
        let updates = matches!(change.action, Action::Update { .. });
        let api = view.record.owner == Owner::Managed && updates;
        self.require(!api, view, Rule::FollowsTheDeclaration, "was made by the API and is updated by the manifest");
        let held = commit.and_then(|c| view.record.held(c, &Digest::of(spec)));
        self.require(held.is_none(), view, Rule::HeldIsNotDeployed, "is changed to a version that is held back");
    }

    fn heal(&mut self, change: &Change, id: &ServiceId, start: &[InstanceId], stop: &[InstanceId], context: &Context) {
        let service = change.service.as_ref();
        if matches!(context.observed.engine, EngineView::Unreachable { .. }) {
            self.add(service, Rule::UnknownIsNotHealed, "is healed while the engine does not answer");
        }
        let Some(view) = context.by_id.get(id) else {
            return self.add(service, Rule::ChangesFitWhatExists, "is healed and does not exist");
        };
        self.heal_start(view, start, stop);
        self.heal_stop(view, start, stop);
    }

    fn heal_start(&mut self, view: &ServiceView, start: &[InstanceId], stop: &[InstanceId]) {
        let may = view.current.is_some() && view.record.paused.is_none();
        self.require(start.is_empty() || may, view, Rule::HealingKeepsServing, "is started where nothing should serve");
        let stays = view.instances.iter().filter(|i| !stop.contains(&i.record.id) && is_useful(i)).count();
        let enough = start.is_empty() || stays + start.len() <= view.target_size as usize + drained_later(view, stop);
        self.require(enough, view, Rule::HealingKeepsServing, "more is started than should serve");
    }

    fn heal_stop(&mut self, view: &ServiceView, start: &[InstanceId], stop: &[InstanceId]) {
        let own: HashSet<&InstanceId> = view.instances.iter().map(|i| &i.record.id).collect();
        self.require(
            stop.iter().all(|i| own.contains(i)),
            view,
            Rule::HealingKeepsServing,
            "stops what it does not have",
        );
        let operation = view.operation.as_ref().filter(|o| !o.status.is_final());
        let taken = |i: &InstanceView| operation.is_some_and(|o| i.record.operation.as_ref() == Some(&o.id));
        let takes = view.instances.iter().any(|i| stop.contains(&i.record.id) && taken(i));
        self.require(!takes, view, Rule::HealingKeepsServing, "stops what an operation has started");
        if view.record.paused.is_some() || view.current.is_none() {
            return;
        }
        let useful: Vec<&InstanceView> = view.instances.iter().filter(|i| is_useful(i)).collect();
        let after = useful.iter().filter(|i| !stop.contains(&i.record.id)).count() + start.len();
        let floor = useful.len().min(view.target_size as usize);
        self.require(after >= floor, view, Rule::HealingKeepsServing, "falls below what should serve");
    }

    fn remove_strays(&mut self, instances: &[InstanceId], context: &Context) {
        if matches!(context.observed.engine, EngineView::Unreachable { .. }) {
            self.add(None, Rule::UnknownIsNotHealed, "strays are removed while the engine does not answer");
        }
        let recorded: HashSet<&InstanceId> =
            context.observed.services.iter().flat_map(|v| &v.instances).map(|i| &i.record.id).collect();
        let strays: HashSet<&InstanceId> = context.observed.strays.iter().map(|s| &s.id).collect();
        for id in instances.iter().filter(|i| recorded.contains(i) || !strays.contains(i)) {
            self.add(None, Rule::StraysAreNobodys, format!("instance {id} is removed as a stray"));
        }
    }

    fn deletions(&mut self, plan: &Plan, context: &Context, policy: &Policy) {
        let rule = Rule::DeletesOnlyWhatIsAllowed;
        let mut fresh = 0;
        for change in plan.changes.iter().filter(|c| matches!(c.action, Action::Delete { .. })) {
            let Action::Delete { id, .. } = &change.action else { continue };
            let Some(view) = context.by_id.get(id) else { continue };
            self.require(view.record.owner == Owner::Declared, view, rule, "was made by the API and is deleted");
            if view.record.delete_failed.is_some() {
                continue;
            }
            fresh += 1;
            let gone = context.desired.is_some() && context.declared(&view.record.name).is_none();
            self.require(gone, view, rule, "is declared and deleted");
        }
        let allowed = context.desired.map(|d| &d.manifest.digest) == policy.mass_delete_allowed.as_ref();
        if !allowed && fresh > 0 && is_too_much(fresh, could_be_deleted(context.observed)) {
            self.add(None, rule, format!("{fresh} services are deleted at once"));
        }
    }
}

/// What an action makes: ids and labels that must be new.
fn made(action: &Action) -> Vec<&str> {
    let mut ids: Vec<&str> = action.operation().map(|o| o.as_str()).into_iter().collect();
    match action {
        Action::Create { id, label, .. } => ids.extend([id.as_str(), label.as_str()]),
        Action::Heal { start, .. } => ids.extend(start.iter().map(InstanceId::as_str)),
        _ => {}
    }
    ids
}

/// An operation that a newer one may replace: a deployment that has not come to its start step.
fn has_started_nothing(operation: &Operation) -> bool {
    let deploys = !matches!(
        operation.kind,
        OperationKind::PauseService | OperationKind::ResumeService | OperationKind::DeleteService
    );
    deploys && operation.step.is_none_or(|s| s < Step::Start) && operation.instances.is_empty()
}

/// Whether requests can be answered by an instance, or soon: it is there, and checks do not say otherwise.
fn is_useful(instance: &InstanceView) -> bool {
    let there = instance.observed.as_ref().is_some_and(|o| !matches!(o.state, InstanceState::Exited { .. }));
    let serves = instance.record.role == InstanceRole::Serving;
    there && serves && !matches!(instance.health, Health::Unhealthy { .. })
}

/// Instances that serve and stay only until their replacements do: started ones stand beside them for a while.
fn drained_later(view: &ServiceView, stop: &[InstanceId]) -> usize {
    let changed = |i: &InstanceView| i.observed.as_ref().is_some_and(|o| !o.drift.is_empty());
    view.instances.iter().filter(|i| is_useful(i) && !stop.contains(&i.record.id) && changed(i)).count()
}

fn is_too_much(deleted: usize, of: usize) -> bool {
    deleted >= of || (deleted > 2 && deleted > of - deleted)
}

/// The services whose number a mass deletion is measured by: declared ones whose deletion has not begun.
fn could_be_deleted(observed: &Observed) -> usize {
    let begun = |v: &ServiceView| {
        v.record.delete_failed.is_some() || v.operation.as_ref().is_some_and(|o| o.kind == OperationKind::DeleteService)
    };
    observed.services.iter().filter(|v| v.record.owner == Owner::Declared && !begun(v)).count()
}
