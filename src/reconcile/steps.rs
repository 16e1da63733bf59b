//! The deployment step machine, pure: which steps an operation has, in which order, and what a failure of one means.

use crate::model::{DeploySettings, OperationKind, OperationTarget, Step};
use std::time::Duration;

const BUILT: &[Step] = &[Step::Fetch, Step::Build, Step::Start, Step::Check, Step::Shift, Step::Drain, Step::Retire];
const RELEASED: &[Step] =
    &[Step::Fetch, Step::Build, Step::Release, Step::Start, Step::Check, Step::Shift, Step::Drain, Step::Retire];
const KEPT: &[Step] = &[Step::Start, Step::Check, Step::Shift, Step::Drain, Step::Retire];
const IN_PLACE: &[Step] = &[Step::Shift];
const PAUSED: &[Step] = &[Step::Shift, Step::Drain, Step::Retire];
const DELETED: &[Step] = &[Step::Shift, Step::Drain, Step::Retire, Step::Clean];

/// The steps of an operation, in order.
pub fn sequence(kind: OperationKind, target: &OperationTarget) -> &'static [Step] {
    match kind {
        OperationKind::PauseService => PAUSED,
        OperationKind::DeleteService => DELETED,
        _ if target.in_place => IN_PLACE,
        _ if target.revision.is_some() => KEPT,
        _ if target.spec.as_ref().is_some_and(|spec| !spec.deploy.release.is_empty()) => RELEASED,
        _ => BUILT,
    }
}

/// The step after `done`, or `None` when the operation is through.
pub fn after(kind: OperationKind, target: &OperationTarget, done: Step) -> Option<Step> {
    let steps = sequence(kind, target);
    let place = steps.iter().position(|s| *s == done)?;
    steps.get(place + 1).copied()
}

/// How long a step may take before the operation fails, with the settings that hold for the service. `None` for a build,
/// which may wait for others, and for a release command: both keep their own deadlines, and clean up after themselves.
pub fn deadline(step: Step, deploy: &DeploySettings) -> Option<Duration> {
    // The waits have deadlines of their own, with better messages: these margins let them speak first.
    match step {
        Step::Fetch => Some(Duration::from_secs(600)),
        Step::Build | Step::Release => None,
        Step::Start => Some(Duration::from_secs(120)),
        Step::Check => Some(deploy.start_deadline + Duration::from_secs(30)),
        Step::Shift => Some(Duration::from_secs(30)),
        Step::Drain => Some(deploy.drain + Duration::from_secs(10)),
        Step::Retire | Step::Clean => Some(Duration::from_secs(120)),
    }
}

/// What a failed step does to the operation (row D3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterFailure {
    /// Nothing was shifted: the new instances go, the old never stopped serving. The operation is `FAILED`.
    Discard,
    /// The shift began: routing goes back to what served before. The operation is `ROLLBACK_SUCCEEDED`.
    PutBack,
    /// Traffic has moved and stays moved; what is left over is collected by healing. The operation goes on.
    GoOn,
    /// What is left over would be forgotten by the steps after it: the operation is `FAILED` as it stands.
    Stop,
}

/// What the failure of a step means.
pub fn after_failure(kind: OperationKind, step: Step) -> AfterFailure {
    match step {
        Step::Drain | Step::Retire | Step::Clean if kind == OperationKind::DeleteService => AfterFailure::Stop,
        Step::Fetch | Step::Build | Step::Release | Step::Start | Step::Check => AfterFailure::Discard,
        Step::Shift => AfterFailure::PutBack,
        Step::Drain | Step::Retire | Step::Clean => AfterFailure::GoOn,
    }
}

/// Whether a person or a newer version may still stop the operation at this step.
pub fn can_be_cancelled(step: Step) -> bool {
    step < Step::Shift
}

/// Whether a newer version takes the place of a deployment that is at this step (before its start step). Not while its
/// release command runs: a newer commit is no reason to cut a migration; it waits its turn.
pub fn can_be_superseded(step: Step) -> bool {
    matches!(step, Step::Fetch | Step::Build)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RevisionNumber;

    fn target(revision: Option<u32>, in_place: bool) -> OperationTarget {
        OperationTarget { spec: None, commit: None, revision: revision.map(RevisionNumber), in_place }
    }

    #[test]
    fn every_operation_ends_after_its_last_step() {
        for (kind, target, last, count) in [
            (OperationKind::CreateService, target(None, false), Step::Retire, 7),
            (OperationKind::StartDeployment, target(Some(3), false), Step::Retire, 5),
            (OperationKind::UpdateService, target(None, true), Step::Shift, 1),
            (OperationKind::PauseService, target(None, false), Step::Retire, 3),
            (OperationKind::ResumeService, target(Some(1), false), Step::Retire, 5),
            (OperationKind::DeleteService, target(None, false), Step::Clean, 4),
        ] {
            let mut step = sequence(kind, &target)[0];
            let mut steps = 1;
            while let Some(next) = after(kind, &target, step) {
                step = next;
                steps += 1;
            }
            assert_eq!((step, steps), (last, count), "{kind:?}");
        }
    }

    #[test]
    fn a_release_command_runs_between_build_and_start_and_only_where_something_was_built() {
        let manifest = "services:\n  shop:\n    source: { repository: ./shop }\n    build: apprunner.yaml\n    \
            deploy: { release: ./migrate }\n";
        let parsed = crate::desired::parse_manifest("t", "/".as_ref(), manifest, &crate::model::Catalogue::builtin());
        let spec = Some(parsed.value.unwrap().services[0].spec.clone());
        let with = |revision, in_place| OperationTarget { spec: spec.clone(), ..target(revision, in_place) };
        let steps = sequence(OperationKind::StartDeployment, &with(None, false));
        assert_eq!(steps[1..4], [Step::Build, Step::Release, Step::Start]);
        for (kind, target) in [
            (OperationKind::StartDeployment, with(Some(1), false)),
            (OperationKind::ResumeService, with(Some(1), false)),
            (OperationKind::UpdateService, with(None, true)),
            (OperationKind::PauseService, with(None, false)),
            (OperationKind::DeleteService, with(None, false)),
            (OperationKind::CreateService, target(None, false)),
        ] {
            assert!(!sequence(kind, &target).contains(&Step::Release), "{kind:?}");
        }
    }

    #[test]
    fn a_deletion_that_cannot_remove_everything_fails_instead_of_forgetting_it() {
        assert_eq!(after_failure(OperationKind::DeleteService, Step::Retire), AfterFailure::Stop);
        assert_eq!(after_failure(OperationKind::PauseService, Step::Retire), AfterFailure::GoOn);
        assert_eq!(after_failure(OperationKind::DeleteService, Step::Shift), AfterFailure::PutBack);
    }

    #[test]
    fn a_drain_gets_the_time_that_the_service_declares() {
        let deploy = DeploySettings { drain: Duration::from_secs(120), ..DeploySettings::default() };
        assert!(deadline(Step::Drain, &deploy).unwrap() > Duration::from_secs(120));
        assert_eq!(deadline(Step::Build, &deploy), None);
    }

    #[test]
    fn nothing_can_be_cancelled_once_traffic_shifts() {
        for step in [Step::Shift, Step::Drain, Step::Retire, Step::Clean] {
            assert!(!can_be_cancelled(step) && !can_be_superseded(step), "{step:?}");
        }
        for step in [Step::Release, Step::Check] {
            assert!(can_be_cancelled(step) && !can_be_superseded(step), "{step:?}");
        }
    }
}
