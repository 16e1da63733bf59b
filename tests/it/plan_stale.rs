//! Whether a stored plan still fits: it is refused with the name of what moved, and only for that.

use crate::plan_builders::{NOON, commit, declared, desired, head, parse, policy, running_view, spec};
use std::sync::Arc;
use std::time::Duration;
use towpath::desired::Desired;
use towpath::model::{ServiceSpec, Timestamp};
use towpath::observed::{EngineView, Observed};
use towpath::plan::{Plan, Report, check_stale, plan};

fn world(spec: &ServiceSpec, head_at: &str) -> Observed {
    Observed {
        services: vec![running_view(spec, 7, commit("aaa"), 1, 20_000)],
        heads: vec![head(spec, Some(commit(head_at)))],
        engine: EngineView::Answered { name: "docker".into() },
        strays: Vec::new(),
        host_memory: None,
        vetted: vec![],
    }
}

fn planned(desired: &Desired, observed: &Observed, at: Timestamp) -> (Plan, Report) {
    plan(Some(desired), observed, &policy(1), at)
}

fn later() -> Timestamp {
    NOON.plus(Duration::from_secs(90))
}

/// What moved between a plan of the first pair and the state of the second.
fn moved(before: (&Desired, &Observed), now: (&Desired, &Observed)) -> Vec<String> {
    let (stored, _) = planned(before.0, before.1, NOON);
    let (fresh, report) = planned(now.0, now.1, later());
    check_stale(&stored, &fresh, &report).err().into_iter().flatten().map(|s| s.to_string()).collect()
}

#[test]
fn a_plan_is_not_stale_because_time_passed() {
    let spec = spec("shop");
    let (state, observed) = (desired(vec![declared(spec.clone(), 9)]), world(&spec, "bbb"));
    assert!(moved((&state, &observed), (&state, &observed)).is_empty());
}

#[test]
fn a_plan_is_not_stale_because_an_instance_was_healed() {
    let spec = spec("shop");
    let state = desired(vec![declared(spec.clone(), 9)]);
    let (mut before, now) = (world(&spec, "bbb"), world(&spec, "bbb"));
    before.services[0].instances[0].observed = None;
    assert!(moved((&state, &before), (&state, &now)).is_empty());
}

#[test]
fn a_newer_commit_makes_a_plan_stale_and_is_named() {
    let spec = spec("shop");
    let state = desired(vec![declared(spec.clone(), 9)]);
    let moved = moved((&state, &world(&spec, "bbb")), (&state, &world(&spec, "ccc")));
    assert_eq!(moved, ["`shop`: its commit is ccc0000 now, not bbb0000"]);
}

#[test]
fn another_declaration_makes_a_plan_stale_and_its_fields_are_named() {
    let old = spec("shop");
    let with = |level: &str| {
        let mut new = old.clone();
        new.env.insert(parse("LEVEL"), level.into());
        desired(vec![declared(new, 9)])
    };
    let observed = world(&old, "aaa");
    let moved = moved((&with("debug"), &observed), (&with("trace"), &observed));
    assert_eq!(moved, ["`shop`: its declaration changed in `env.LEVEL`"]);
}

#[test]
fn what_was_done_meanwhile_makes_a_plan_stale_and_the_reason_is_told() {
    let spec = spec("shop");
    let state = desired(vec![declared(spec.clone(), 9)]);
    let mut now = world(&spec, "bbb");
    Arc::make_mut(&mut now.services[0].record).paused =
        Some(towpath::model::Pause { principal: "alice".into(), reason: None, at: NOON });
    now.services[0].target_size = 0;
    let moved = moved((&state, &world(&spec, "bbb")), (&state, &now));
    assert_eq!(moved.len(), 1);
    assert!(moved[0].starts_with("`shop`: a deployment is not to be done any more: paused by alice"), "{moved:?}");
}

#[test]
fn a_plan_read_from_a_file_is_compared_like_the_one_that_was_written() {
    let spec = spec("shop");
    let (state, observed) = (desired(vec![declared(spec.clone(), 9)]), world(&spec, "bbb"));
    let (stored, _) = planned(&state, &observed, NOON);
    let read: Plan = serde_json::from_str(&serde_json::to_string_pretty(&stored).unwrap()).unwrap();
    let (fresh, report) = planned(&state, &observed, later());
    assert_eq!(check_stale(&read, &fresh, &report), Ok(()));
    assert_ne!(read.changes[0].action.operation(), fresh.changes[0].action.operation(), "ids are of their moment");
}
