//! The checker finds what it is there for: each test breaks one invariant of a clean state or plan.

use crate::plan_builders::{NOON, commit, declared, desired, head, operation, policy, running_view, spec};
use towpath::desired::Desired;
use towpath::model::{
    Digest, Held, HeldReason, InstanceId, InstanceRole, OperationKind, OperationStatus, OperationTarget, Owner, Pause,
    RevisionNumber, ServiceRecord, Step,
};
use towpath::observed::{EngineView, Observed};
use towpath::plan::checker::{Rule, check, check_plan};
use towpath::plan::{Action, Plan, plan};

/// Two services that run as declared.
fn clean() -> (Desired, Observed) {
    let specs = [spec("shop"), spec("orders")];
    let observed = Observed {
        services: specs
            .iter()
            .zip([20_000, 30_000])
            .map(|(s, port)| running_view(s, 7, commit("aaa"), 1, port))
            .collect(),
        heads: specs.iter().map(|s| head(s, Some(commit("aaa")))).collect(),
        engine: EngineView::Answered { name: "docker".into() },
        strays: Vec::new(),
        host_memory: None,
        vetted: vec![],
    };
    (desired(specs.into_iter().zip(1..).map(|(s, line)| declared(s, line)).collect()), observed)
}

fn rules_of_state(breaks: fn(&mut Observed)) -> Vec<Rule> {
    let (_, mut observed) = clean();
    breaks(&mut observed);
    check(&observed).into_iter().map(|v| v.rule).collect()
}

/// A service's record, to be changed.
fn record(observed: &mut Observed, service: usize) -> &mut ServiceRecord {
    std::sync::Arc::make_mut(&mut observed.services[service].record)
}

#[test]
fn a_clean_state_is_clean() {
    assert_eq!(rules_of_state(|_| ()), []);
}

#[test]
fn every_broken_state_is_found() {
    type Case = (Rule, fn(&mut Observed));
    let cases: [Case; 11] = [
        (Rule::UniqueNames, |o| record(o, 1).id = o.services[0].record.id.clone()),
        (Rule::UniqueNames, |o| record(o, 1).name = o.services[0].record.name.clone()),
        (Rule::UniqueNames, |o| record(o, 1).label = o.services[0].record.label.clone()),
        (Rule::UniqueNames, |o| o.strays.extend(o.services[0].instances[0].observed.clone())),
        (Rule::OwnedRecords, |o| o.services[0].instances[0].record.service = o.services[1].record.id.clone()),
        (Rule::ServingHasAddress, |o| o.services[0].instances[0].record.address = None),
        (Rule::OneAddressEach, |o| {
            o.services[0].instances[0].record.address = o.services[1].instances[0].record.address;
        }),
        (Rule::InFlightIsNotFinal, |o| {
            let target = OperationTarget { spec: None, commit: None, revision: None, in_place: false };
            let mut ended = operation(&o.services[0], OperationKind::PauseService, None, target);
            ended.status = OperationStatus::Succeeded;
            o.services[0].operation = Some(ended);
        }),
        (Rule::RevisionsFit, |o| record(o, 0).current = Some(RevisionNumber(3))),
        (Rule::RevisionsFit, |o| record(o, 0).next_revision = 7),
        (Rule::RevisionsFit, |o| record(o, 0).applied = None),
    ];
    for (at, (rule, breaks)) in cases.into_iter().enumerate() {
        let found = rules_of_state(breaks);
        assert!(found.contains(&rule), "case {at}: {found:?} has no {rule:?}");
    }
}

/// A plan with a deployment of `shop` and a healing of `orders`, broken in its plan or in the state around it.
fn rules_of_plan(breaks: fn(&mut Plan, &mut Observed)) -> Vec<Rule> {
    let (state, mut observed) = clean();
    observed.heads[0].commit = Some(commit("bbb"));
    observed.services[1].instances[0].observed = None;
    let (mut made, _) = plan(Some(&state), &observed, &policy(1), NOON);
    assert_eq!(made.changes.len(), 2);
    breaks(&mut made, &mut observed);
    check_plan(&made, &observed, Some(&state), &policy(1)).into_iter().map(|v| v.rule).collect()
}

fn pause() -> Pause {
    Pause { principal: "alice".into(), reason: None, at: NOON }
}

fn stray_id() -> InstanceId {
    InstanceId::from_random([9; 16])
}

/// Deletes a service instead of whatever the change is.
fn delete(plan: &mut Plan, change: usize) {
    let change = &mut plan.changes[change];
    let (Action::Deploy { id, .. } | Action::Heal { id, .. }) = &change.action else { return };
    let operation = crate::plan_builders::operation_id(id.as_str(), "delete");
    change.action = Action::Delete { id: id.clone(), operation };
}

#[test]
fn a_plan_of_the_planner_is_clean() {
    assert_eq!(rules_of_plan(|_, _| ()), []);
}

#[test]
fn every_broken_plan_is_found() {
    type Case = (Rule, fn(&mut Plan, &mut Observed));
    let cases: [Case; 15] = [
        (Rule::OneChangePerService, |p, _| p.changes.push(p.changes[0].clone())),
        (Rule::FreshIds, |p, _| p.changes.push(p.changes[1].clone())),
        (Rule::PausedIsLeftAlone, |_, o| record(o, 0).paused = Some(pause())),
        (Rule::ChangesFitWhatExists, |_, o| drop(o.services.remove(0))),
        (Rule::OneOperationAtATime, |_, o| {
            let target = OperationTarget { spec: None, commit: None, revision: None, in_place: false };
            let running = operation(&o.services[0], OperationKind::StartDeployment, Some(Step::Start), target);
            o.services[0].operation = Some(running);
        }),
        (Rule::FollowsTheDeclaration, |p, _| {
            if let Action::Deploy { spec, .. } = &mut p.changes[0].action {
                spec.scaling.min_size = 9;
            }
        }),
        (Rule::HeldIsNotDeployed, |_, o| {
            let why = HeldReason::Failed;
            let held = Held { commit: commit("bbb"), spec: None, why, message: String::new(), at: NOON };
            record(o, 0).held.push(held);
        }),
        (Rule::HealingKeepsServing, |p, o| {
            o.services[1].instances[0].observed = clean().1.services[1].instances[0].observed.clone();
            if let Action::Heal { start, .. } = &mut p.changes[1].action {
                start.clear();
            }
        }),
        (Rule::HealingKeepsServing, |p, _| {
            if let Action::Heal { start, .. } = &mut p.changes[1].action {
                start.push(stray_id());
            }
        }),
        (Rule::HealingKeepsServing, |_, o| o.services[1].current = None),
        (Rule::HealingKeepsServing, |_, o| {
            let target = OperationTarget { spec: None, commit: None, revision: None, in_place: false };
            let running = operation(&o.services[1], OperationKind::StartDeployment, Some(Step::Check), target);
            o.services[1].instances[0].record.operation = Some(running.id.clone());
            o.services[1].instances[0].record.role = InstanceRole::Starting;
            o.services[1].operation = Some(running);
        }),
        (Rule::UnknownIsNotHealed, |_, o| o.engine = EngineView::Unreachable { message: "down".into() }),
        (Rule::StraysAreNobodys, |p, o| {
            let instances = vec![o.services[0].instances[0].record.id.clone()];
            p.changes[1].action = Action::RemoveStrays { instances };
        }),
        (Rule::DeletesOnlyWhatIsAllowed, |p, _| delete(p, 0)),
        (Rule::DeletesOnlyWhatIsAllowed, |p, o| {
            record(o, 1).owner = Owner::Managed;
            delete(p, 1);
        }),
    ];
    for (at, (rule, breaks)) in cases.into_iter().enumerate() {
        let found = rules_of_plan(breaks);
        assert!(found.contains(&rule), "case {at}: {found:?} has no {rule:?}");
    }
}

#[test]
fn deleting_everything_is_found_unless_that_manifest_was_allowed() {
    let (_, observed) = clean();
    let nothing = desired(Vec::new());
    let mut allowed = policy(1);
    allowed.mass_delete_allowed = Some(nothing.manifest.digest.clone());
    let (deletes, _) = plan(Some(&nothing), &observed, &allowed, NOON);
    assert_eq!(deletes.changes.len(), 2);
    assert_eq!(check_plan(&deletes, &observed, Some(&nothing), &allowed), []);
    let found = check_plan(&deletes, &observed, Some(&nothing), &policy(1));
    assert_eq!(found[0].rule, Rule::DeletesOnlyWhatIsAllowed);
    let mut other = policy(1);
    other.mass_delete_allowed = Some(Digest::of(&"another manifest"));
    assert!(!check_plan(&deletes, &observed, Some(&nothing), &other).is_empty());
}
