//! `kill -9` of the control plane at every step of every operation type, enumerated from the step machine itself.

use super::site::{RELEASE, Site, operations};
use crate::installation::{Installation, get};
use towpath::model::{Catalogue, OperationKind, OperationTarget, RevisionNumber, Step};
use towpath::reconcile::steps;

/// A target with a release command, as `shop` and `fresh` have: operations that build have a step for it.
fn released() -> OperationTarget {
    let manifest = format!("services:\n{}", crate::faults::node::service("shop", RELEASE));
    let parsed = towpath::desired::parse_manifest("t", "/".as_ref(), &manifest, &Catalogue::builtin());
    OperationTarget::deploying(parsed.value.unwrap().services[0].spec.clone(), None)
}

/// Both moments of every step of an operation.
fn points(kind: OperationKind, revision: Option<u32>, in_place: bool) -> Vec<String> {
    let target = OperationTarget { revision: revision.map(RevisionNumber), in_place, ..released() };
    let name = |value: serde_json::Value| value.as_str().unwrap().to_owned();
    let (kind_name, steps) = (name(serde_json::to_value(kind).unwrap()), steps::sequence(kind, &target));
    let moments = |step: &Step| {
        ["entered", "done"].map(|m| format!("{kind_name}/{}/{m}", name(serde_json::to_value(step).unwrap())))
    };
    assert!(!steps.is_empty());
    steps.iter().flat_map(moments).collect()
}

/// Runs a fault of a service that is there before and after: one operation more, which succeeded.
fn crash(site: &mut Site, service: &str, fault: &str, act: impl Fn(&mut Site)) {
    let before = operations(&site.installation, service);
    let kind = fault.split('/').next().unwrap();
    let ended = |i: &Installation| {
        let now = operations(i, service);
        now.len() > before.len() && now[0].1 == "SUCCEEDED"
    };
    site.crash(fault, act, ended);
    let now = operations(&site.installation, service);
    assert_eq!(now.len(), before.len() + 1, "{fault}: nothing happens twice: {now:?}\n{}", site.installation.log());
    assert_eq!(now[0].0, kind, "{fault}: {now:?}");
}

fn revision(site: &Site, service: &str) -> u64 {
    site.installation.service(service)["revision"].as_u64().unwrap()
}

#[test]
fn a_crash_at_any_step_of_a_deployment_loses_nothing_and_is_finished_by_the_next_start() {
    let mut site = Site::new();
    for fault in points(OperationKind::StartDeployment, None, false) {
        let before = revision(&site, "shop");
        crash(&mut site, "shop", &fault, Site::commit);
        assert_eq!(revision(&site, "shop"), before + 1, "{fault}: one revision");
    }
    for fault in points(OperationKind::StartDeployment, Some(1), false) {
        let wanted = revision(&site, "shop");
        site.commit();
        site.installation.until("a newer one serves", std::time::Duration::from_secs(30), |i| {
            i.service("shop")["revision"].as_u64() > Some(wanted) && operations(i, "shop")[0].1 == "SUCCEEDED"
        });
        crash(&mut site, "shop", &fault, |s| drop(s.installation.run(&["rollback", "shop"])));
        assert_eq!(revision(&site, "shop"), wanted, "{fault}: back");
    }
    assert!(site.finish() > 1000);
}

#[test]
fn a_crash_at_any_step_of_an_update_loses_nothing_and_is_finished_by_the_next_start() {
    let mut site = Site::new();
    for fault in points(OperationKind::UpdateService, None, false) {
        let before = revision(&site, "shop");
        crash(&mut site, "shop", &fault, Site::change_environment);
        assert_eq!(revision(&site, "shop"), before + 1, "{fault}: one revision");
    }
    for fault in points(OperationKind::UpdateService, None, true) {
        let before = revision(&site, "shop");
        crash(&mut site, "shop", &fault, Site::change_check);
        assert_eq!(revision(&site, "shop"), before, "{fault}: in place");
    }
    assert!(site.finish() > 1000);
}

#[test]
fn a_crash_at_any_step_of_a_pause_or_a_resume_is_finished_by_the_next_start() {
    let mut site = Site::new();
    let status = |s: &Site| get(s.installation.http, "rest").unwrap().status;
    for fault in points(OperationKind::PauseService, None, false) {
        crash(&mut site, "rest", &fault, |s| drop(s.installation.run(&["pause", "rest"])));
        assert_eq!((status(&site), revision(&site, "rest")), (503, 1), "{fault}");
        site.installation.ok(&["resume", "rest", "--wait"]);
    }
    for fault in points(OperationKind::ResumeService, Some(1), false) {
        site.installation.ok(&["pause", "rest", "--wait"]);
        crash(&mut site, "rest", &fault, |s| drop(s.installation.run(&["resume", "rest"])));
        assert_eq!((status(&site), revision(&site, "rest")), (200, 1), "{fault}");
    }
    site.finish();
}

#[test]
fn a_crash_at_any_step_of_a_creation_or_a_deletion_is_finished_by_the_next_start() {
    let mut site = Site::new();
    let created = |i: &Installation| operations(i, "fresh").first().is_some_and(|o| o.1 == "SUCCEEDED");
    let gone = |i: &Installation| i.try_json(&["status"]).is_some() && i.service("fresh").is_null();
    let mut deletions = points(OperationKind::DeleteService, None, false).into_iter();
    for fault in points(OperationKind::CreateService, None, false) {
        site.crash(&fault, |s| s.declare_fresh(true), created);
        assert_eq!(operations(&site.installation, "fresh").len(), 1, "{fault}: created once");
        assert_eq!(revision(&site, "fresh"), 1, "{fault}: one revision");
        assert_eq!(get(site.installation.http, "fresh").unwrap().status, 200, "{fault}");
        match deletions.next() {
            Some(fault) => site.crash(&fault, |s| s.declare_fresh(false), gone),
            None => {
                site.declare_fresh(false);
                site.installation.until("it is deleted", std::time::Duration::from_secs(30), gone);
            }
        }
        assert_eq!(get(site.installation.http, "fresh").unwrap().status, 404, "{fault}");
    }
    assert!(deletions.next().is_none(), "every step of a deletion had its turn");
    site.finish();
}
