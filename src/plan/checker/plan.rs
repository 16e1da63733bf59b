//! The invariants of a plan, against the state and the declaration that it was computed from.

use super::{Context, Findings, Rule};
use crate::model::{
    CommitId, Digest, InstanceId, InstanceRole, InstanceState, Operation, OperationKind, Owner, ServiceId, ServiceName,
    ServiceSpec, Step,
};
use crate::observed::{EngineView, Health, InstanceView, Observed, ServiceView};
use crate::plan::{Action, Change, Plan, Policy};
use std::collections::{HashMap, HashSet};

impl Findings {
    pub(super) fn fresh_ids(&mut self, plan: &Plan, observed: &Observed) {
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

    pub(super) fn one_change(&mut self, plan: &Plan) {
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

    pub(super) fn change(&mut self, change: &Change, context: &Context) {
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

    fn create(&mut self, name: &ServiceName, spec: &ServiceSpec, context: &Context) {
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
        spec: &ServiceSpec,
        commit: Option<&CommitId>,
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
        let enough = start.is_empty() || stays + start.len() <= view.target_size as usize;
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

    pub(super) fn deletions(&mut self, plan: &Plan, context: &Context, policy: &Policy) {
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
