//! `requireChecks` as planning sees it: what passed its checks is the head, and what did not is said.

use crate::plan_builders::{NOON, commit, declared, desired, head, policy, running_view, spec};
use towpath::model::{CommitId, RequiredChecks, ServiceSpec};
use towpath::observed::{Checks, EngineView, HeadView, Observed, ServiceView};
use towpath::plan::{Action, NoteKind, Plan, Report, plan};

fn shop() -> ServiceSpec {
    let mut spec = spec("shop");
    spec.source.host.require_checks = RequiredChecks::All;
    spec
}

/// The head of now, and beside it what has passed.
fn heads(spec: &ServiceSpec, newest: &str, green: Option<&str>, why: Option<&str>, failed: bool) -> Vec<HeadView> {
    let newest = commit(newest);
    let checks = Checks {
        required: RequiredChecks::All,
        newest: Some(newest.clone()),
        newer: newer(&newest, green),
        why: why.map(str::to_owned),
        failed,
    };
    let passed = HeadView { checks: Some(checks), ..head(spec, green.map(commit)) };
    vec![head(spec, Some(newest)), passed]
}

/// What came after the one that passed.
fn newer(newest: &CommitId, green: Option<&str>) -> Vec<CommitId> {
    let newest = Some(newest).filter(|newest| green.is_some_and(|green| commit(green) != **newest));
    newest.cloned().into_iter().collect()
}

fn planned(spec: &ServiceSpec, services: Vec<ServiceView>, heads: Vec<HeadView>) -> (Plan, Report) {
    let engine = EngineView::Answered { name: "docker".into() };
    let observed = Observed { services, heads, engine, strays: Vec::new(), host_memory: None, vetted: Vec::new() };
    plan(Some(&desired(vec![declared(spec.clone(), 1)])), &observed, &policy(1), NOON)
}

fn deployed(plan: &Plan) -> Vec<CommitId> {
    let commits = plan.changes.iter().filter_map(|change| match &change.action {
        Action::Deploy { commit, .. } => Some(commit.clone()),
        Action::Create { commit, .. } | Action::Update { commit, .. } => commit.clone(),
        _ => None,
    });
    commits.collect()
}

fn notes(report: &Report) -> Vec<(NoteKind, String)> {
    report.notes.iter().map(|note| (note.kind, note.message.clone())).collect()
}

#[test]
fn a_commit_waits_for_its_checks_and_says_which() {
    let spec = shop();
    let running = vec![running_view(&spec, 1, commit("aaa"), 1, 20_000)];
    let (plan, report) = planned(&spec, running, heads(&spec, "bbb", None, Some("it waits for check `test`"), false));
    assert!(plan.changes.is_empty(), "{plan:?}");
    let said = "commit bbb0000 is not deployed yet: it waits for check `test`".to_owned();
    assert_eq!(notes(&report), [(NoteKind::Waits, said)]);
}

#[test]
fn a_commit_that_passed_is_deployed() {
    let spec = shop();
    let running = vec![running_view(&spec, 1, commit("aaa"), 1, 20_000)];
    let (plan, report) = planned(&spec, running, heads(&spec, "bbb", Some("bbb"), None, false));
    assert_eq!(deployed(&plan), [commit("bbb")]);
    assert!(report.notes.is_empty(), "{report:?}");
}

#[test]
fn a_failed_check_leaves_the_last_good_one_and_says_what_goes_on() {
    let spec = shop();
    let running = vec![running_view(&spec, 1, commit("aaa"), 1, 20_000)];
    let (plan, report) = planned(&spec, running, heads(&spec, "bbb", Some("aaa"), Some("check `test` failed"), true));
    assert!(plan.changes.is_empty(), "{plan:?}");
    let [(NoteKind::Held, said)] = &notes(&report)[..] else { panic!("{report:?}") };
    assert!(said.starts_with("commit bbb0000 is not deployed: check `test` failed;"), "{said}");
}

#[test]
fn of_many_pushes_the_newest_that_passed_is_deployed() {
    let spec = shop();
    let running = vec![running_view(&spec, 1, commit("aaa"), 1, 20_000)];
    let pending = heads(&spec, "ccc", Some("bbb"), Some("it waits for check `test`"), false);
    let (plan, report) = planned(&spec, running, pending);
    assert_eq!(deployed(&plan), [commit("bbb")]);
    assert!(report.notes.iter().any(|n| n.message.contains("commit ccc0000")), "{report:?}");
}

#[test]
fn a_new_service_waits_too_also_while_nothing_is_known_of_its_checks() {
    let spec = shop();
    let (plan, report) =
        planned(&spec, Vec::new(), heads(&spec, "bbb", None, Some("it waits for check `test`"), false));
    assert!(plan.changes.is_empty() && report.notes.len() == 1, "{plan:?} {report:?}");
    let (plan, report) = planned(&spec, Vec::new(), vec![head(&spec, Some(commit("bbb")))]);
    assert!(plan.changes.is_empty() && notes(&report)[0].1.contains("until its checks are known"), "{report:?}");
    let (plan, _) = planned(&spec, Vec::new(), heads(&spec, "bbb", Some("bbb"), None, false));
    assert_eq!(deployed(&plan), [commit("bbb")]);
}

#[test]
fn a_changed_declaration_of_what_runs_does_not_wait() {
    let before = shop();
    let mut spec = before.clone();
    spec.env.insert("A".parse().unwrap(), "1".into());
    let running = vec![running_view(&before, 1, commit("aaa"), 1, 20_000)];
    let (plan, _) = planned(&spec, running, heads(&spec, "bbb", None, Some("it waits for check `test`"), false));
    assert_eq!(deployed(&plan), [commit("aaa")]);
}

#[test]
fn a_service_that_requires_none_is_planned_by_the_newest_head() {
    let spec = spec("shop");
    let running = vec![running_view(&spec, 1, commit("aaa"), 1, 20_000)];
    let (plan, report) = planned(&spec, running, heads(&spec, "bbb", None, Some("x"), true));
    assert_eq!(deployed(&plan), [commit("bbb")]);
    assert!(report.notes.is_empty(), "{report:?}");
}

#[test]
fn what_a_person_deployed_in_spite_of_its_checks_stays() {
    let spec = shop();
    let running = vec![running_view(&spec, 2, commit("bbb"), 1, 20_000)];
    let (plan, _) = planned(&spec, running, heads(&spec, "bbb", Some("aaa"), Some("check `test` failed"), true));
    assert!(plan.changes.is_empty(), "{plan:?}");
}
