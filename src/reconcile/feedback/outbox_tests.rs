//! Tests of [`super::outbox`]: what is said in which order, once, whatever fails in between.

use super::outbox::{Act, Next, Outbox, Way};
use super::report::Stage;
use crate::model::{
    Cause, Class, Failure, Operation, OperationId, OperationKind, OperationStatus, OperationTarget, Reason, ServiceId,
    Timestamp,
};
use std::collections::BTreeMap;

const NOW: Timestamp = Timestamp(1_000_000);

fn operation(number: u64, status: OperationStatus) -> Operation {
    let commit = format!("{number:040x}").parse().unwrap();
    let target = OperationTarget { commit: Some(commit), ..OperationTarget::nothing() };
    let (id, service) = (OperationId::from_random([1; 16]), ServiceId::from_random([2; 16]));
    let cause = Cause::Manual { principal: "x".into(), reason: None };
    let accepted = Operation::accepted(id, service, OperationKind::StartDeployment, cause, target, Timestamp(0));
    let ended_at = status.is_final().then_some(NOW);
    Operation { number, status, started_at: Some(Timestamp(0)), ended_at, ..accepted }
}

fn ended(number: u64, reason: Reason) -> Operation {
    let failure = Failure { reason, class: Class::Wait, message: "x".into(), step: None };
    Operation { failure: Some(failure), ..operation(number, OperationStatus::Failed) }
}

/// GitHub, as far as it matters here: what it was told, and whether the next answer is lost.
#[derive(Default)]
struct World {
    said: Vec<(u64, Act)>,
    lost: bool,
}

impl World {
    /// Says everything that can be said now; an answer that is lost was heard all the same.
    fn tell(&mut self, outbox: &mut Outbox, operations: &[Operation]) -> Next {
        let operations: Vec<&Operation> = operations.iter().collect();
        for _ in 0..100 {
            outbox.pass_over(&operations);
            let next = outbox.next(&operations, |_| true, NOW);
            let Next::Say { number, act, look_first } = next else { return next };
            outbox.told(number).asked = Some(act);
            let found = look_first && self.said.contains(&(number, act));
            if !found {
                self.said.push((number, act));
            }
            match std::mem::take(&mut self.lost) {
                true => drop(outbox.told(number).failed(true, None, Timestamp(0), 0.0)),
                false => outbox.told(number).done(act, Some(number)),
            }
        }
        panic!("it goes on for ever: {:?}", self.said);
    }

    fn stages(&self, number: u64) -> Vec<Act> {
        self.said.iter().filter(|(n, _)| *n == number).map(|(_, act)| *act).collect()
    }
}

#[test]
fn a_deployment_is_told_from_beginning_to_end_and_once() {
    let (mut world, mut outbox) = (World::default(), Outbox::default());
    let running = [operation(1, OperationStatus::InProgress)];
    assert_eq!(world.tell(&mut outbox, &running), Next::Done);
    assert_eq!(world.tell(&mut outbox, &running), Next::Done);
    let done = [operation(1, OperationStatus::Succeeded)];
    assert_eq!(world.tell(&mut outbox, &done), Next::Done);
    assert_eq!(
        world.stages(1),
        [
            Act::Deploy,
            Act::Status(Stage::InProgress),
            Act::Deployed(Stage::InProgress),
            Act::Status(Stage::Succeeded),
            Act::Deployed(Stage::Succeeded),
        ]
    );
    assert_eq!((outbox.through, outbox.told.len()), (1, 0));
}

#[test]
fn an_answer_that_was_lost_leads_to_nothing_said_twice() {
    for lost_at in 0..5 {
        let (mut world, mut outbox) = (World::default(), Outbox::default());
        let done = [operation(1, OperationStatus::Succeeded)];
        let running = [operation(1, OperationStatus::InProgress)];
        for step in 0..8 {
            world.lost = step == lost_at;
            world.tell(&mut outbox, if step < 4 { &running } else { &done });
            // As after a restart.
            outbox = serde_json::from_value(serde_json::to_value(&outbox).unwrap()).unwrap();
        }
        let mut once = world.said.clone();
        once.dedup();
        assert_eq!(once, world.said, "lost at {lost_at}");
        assert_eq!(outbox.through, 1, "lost at {lost_at}");
    }
}

#[test]
fn what_nobody_heard_of_and_came_to_nothing_is_passed_over() {
    let (mut world, mut outbox) = (World::default(), Outbox::default());
    let operations =
        [ended(1, Reason::Superseded), ended(2, Reason::Cancelled), operation(3, OperationStatus::Succeeded)];
    world.tell(&mut outbox, &operations);
    assert!(world.said.iter().all(|(number, _)| *number == 3), "{:?}", world.said);
    assert_eq!(outbox.through, 3);
}

#[test]
fn a_superseded_deployment_that_was_told_of_is_ended_before_its_successor_begins() {
    let (mut world, mut outbox) = (World::default(), Outbox::default());
    world.tell(&mut outbox, &[operation(1, OperationStatus::InProgress)]);
    world.tell(&mut outbox, &[ended(1, Reason::Superseded), operation(2, OperationStatus::InProgress)]);
    let last_of_one = world.said.iter().rposition(|(number, _)| *number == 1).unwrap();
    let first_of_two = world.said.iter().position(|(number, _)| *number == 2).unwrap();
    assert!(last_of_one < first_of_two);
    assert_eq!(world.stages(1).last(), Some(&Act::Deployed(Stage::Superseded)));
}

#[test]
fn of_what_piled_up_while_github_was_away_only_the_newest_is_told() {
    let (mut world, mut outbox) = (World::default(), Outbox::default());
    let operations: Vec<Operation> = (1..=50).map(|n| operation(n, OperationStatus::Succeeded)).collect();
    world.tell(&mut outbox, &operations);
    let told: BTreeMap<u64, ()> = world.said.iter().map(|(number, _)| (*number, ())).collect();
    assert_eq!(told.into_keys().collect::<Vec<_>>(), (41..=50).collect::<Vec<_>>());
}

#[test]
fn what_is_refused_is_not_asked_for_again_and_the_other_way_goes_on() {
    let (mut world, mut outbox) = (World::default(), Outbox::default());
    let operations = [operation(1, OperationStatus::InProgress)];
    outbox.told(1).refused(Way::Deployment);
    assert_eq!(world.tell(&mut outbox, &operations), Next::Done);
    assert_eq!(world.said, [(1, Act::Status(Stage::InProgress))]);
}

#[test]
fn tries_rest_longer_and_longer_and_come_to_an_end() {
    let mut outbox = Outbox::default();
    let told = outbox.told(1);
    let mut rests = Vec::new();
    while !told.failed(false, None, NOW, 0.5) {
        rests.push(told.rest_until.unwrap().since(NOW).as_secs());
        assert!(rests.len() < 100);
    }
    assert_eq!(rests, [2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600, 600]);
    let operations = [operation(1, OperationStatus::Succeeded)];
    let operations: Vec<&Operation> = operations.iter().collect();
    outbox.pass_over(&operations);
    assert_eq!((outbox.through, outbox.next(&operations, |_| true, NOW)), (1, Next::Done));
    // GitHub's own word is kept where it is later.
    let told = outbox.told(2);
    told.failed(false, Some(Timestamp(NOW.0 + 90_000)), NOW, 0.0);
    assert_eq!(told.rest_until, Some(Timestamp(NOW.0 + 90_000)));
}

#[test]
fn a_service_that_begins_to_report_says_nothing_of_long_ago() {
    let long_ago = Operation { ended_at: Some(Timestamp(1)), ..operation(1, OperationStatus::Succeeded) };
    let (just_now, under_way) = (operation(2, OperationStatus::Succeeded), operation(3, OperationStatus::InProgress));
    let outbox = Outbox::begin(&[&long_ago, &just_now, &under_way], NOW);
    assert_eq!(outbox.through, 1);
    let quick = Operation { started_at: Some(NOW), ..under_way };
    assert_eq!(Outbox::default().next(&[&quick], |_| true, NOW), Next::Rest(Timestamp(NOW.0 + 1000)));
}

#[test]
fn of_the_log_the_line_is_said_that_names_the_error_and_not_what_follows_it() {
    let says = |log: &[&str]| {
        let quoted: Vec<String> = log.iter().map(|line| format!("  | {line}")).collect();
        let message = format!("the application exited with code 1\n{}", quoted.join("\n"));
        let mut failed = ended(1, Reason::StartFailed);
        failed.failure.as_mut().unwrap().message = message;
        let commit = failed.target.commit.clone().unwrap();
        super::report::describe(&failed, Stage::Failed, &commit, &[])
    };
    let node = ["Error: no database", "    at Object.<anonymous> (/app/server.js:1:7)", "Node.js v20.20.2"];
    assert_eq!(says(&node), "Deployment failed: the application exited with code 1 | Error: no database");
    let python = [
        "Traceback (most recent call last):",
        "  File \"app.py\", line 1",
        "ModuleNotFoundError: No module named 'flask'",
    ];
    assert!(says(&python).ends_with("| ModuleNotFoundError: No module named 'flask'"), "{}", says(&python));
    assert!(says(&["starting", "giving up", ""]).ends_with("| giving up"), "{}", says(&["starting", "giving up", ""]));
    assert_eq!(says(&[]), "Deployment failed: the application exited with code 1");
}
