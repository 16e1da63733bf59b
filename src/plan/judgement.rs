//! What each recorded instance is worth: the facts of record, engine and health checks, judged without acting.

use super::operations::rested;
use crate::model::{Digest, InstanceRole, InstanceState, Operation, RevisionNumber, Timestamp};
use crate::observed::{Health, InstanceView, ServiceView};
use std::time::Duration;

/// What a stopped instance may take beyond its drain: SIGTERM, grace, SIGKILL, removal.
const STOP_SLACK: Duration = Duration::from_secs(30);

/// The judgement on one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It serves as it should.
    Fine,
    /// A healing starts it, within its deadline.
    Coming,
    /// It should serve and is not as it should be.
    Broken(Fault, String),
    /// Nothing needs it.
    Leftover,
    /// An operation or a healing in progress has it.
    Busy,
}

/// What is wrong with an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    /// The engine does not have it.
    Gone,
    /// It ended.
    Ended,
    /// Its checks fail.
    Unhealthy,
    /// It is not what its revision says.
    Changed,
    /// A healing started it and it did not come to serve.
    NeverServed,
}

/// What all instances of a service are judged by.
pub(super) struct Judge<'a> {
    view: &'a ServiceView,
    operation: Option<&'a Operation>,
    current: Option<(RevisionNumber, Digest)>,
    drain: Duration,
    start_deadline: Duration,
    now: Timestamp,
}

impl<'a> Judge<'a> {
    pub(super) fn new(view: &'a ServiceView, now: Timestamp) -> Self {
        let spec = view.record.applied.as_ref().or(view.current.as_ref().map(|r| &r.spec));
        let deploy = spec.map(|s| s.deploy.clone()).unwrap_or_default();
        Self {
            view,
            operation: view.operation.as_ref().filter(|o| !o.status.is_final()),
            current: view.current.as_ref().map(|r| (r.number, r.config_digest())),
            drain: deploy.drain,
            start_deadline: deploy.start_deadline,
            now,
        }
    }

    pub(super) fn judge(&self, instance: &InstanceView) -> Verdict {
        if self.is_owned(instance) {
            return Verdict::Busy;
        }
        match instance.record.role {
            InstanceRole::Retiring => self.retiring(),
            _ if self.view.record.paused.is_some() => Verdict::Leftover,
            InstanceRole::Starting => self.starting(instance),
            InstanceRole::Serving => self.serving(instance),
        }
    }

    fn is_owned(&self, instance: &InstanceView) -> bool {
        self.operation.is_some_and(|o| {
            instance.record.operation.as_ref() == Some(&o.id) || o.instances.contains(&instance.record.id)
        })
    }

    /// Retiring takes a drain: it is left over only when no operation and no recent healing can still be at it.
    fn retiring(&self) -> Verdict {
        let healing = self.view.heals.last().map(|at| rested(*at, self.drain + STOP_SLACK, self.now));
        if self.operation.is_some() || healing.is_some_and(|end| end > self.now) {
            return Verdict::Busy;
        }
        Verdict::Leftover
    }

    fn starting(&self, instance: &InstanceView) -> Verdict {
        let of_current = self.current.as_ref().is_some_and(|(number, _)| *number == instance.record.revision);
        if instance.record.operation.is_some() || !of_current {
            return Verdict::Leftover;
        }
        if let Some(InstanceState::Exited { message, .. }) = instance.observed.as_ref().map(|o| &o.state) {
            return Verdict::Broken(Fault::NeverServed, message.clone());
        }
        let deadline = instance.record.created_at.plus(self.start_deadline);
        if deadline <= self.now {
            let message = format!("not healthy within {} s", self.start_deadline.as_secs());
            return Verdict::Broken(Fault::NeverServed, message);
        }
        Verdict::Coming
    }

    fn serving(&self, instance: &InstanceView) -> Verdict {
        let Some((number, config)) = &self.current else { return Verdict::Leftover };
        let broken = |fault, message: String| Verdict::Broken(fault, message);
        let Some(observed) = &instance.observed else { return broken(Fault::Gone, "gone".into()) };
        if let InstanceState::Exited { message, .. } = &observed.state {
            return broken(Fault::Ended, message.clone());
        }
        // Its kernel still accepts connections, so no TCP check would ever notice.
        if observed.state == InstanceState::Frozen {
            return broken(Fault::Unhealthy, "frozen: it was paused by hand".into());
        }
        if let Health::Unhealthy { message } = &instance.health {
            return broken(Fault::Unhealthy, message.clone());
        }
        if !observed.drift.is_empty() {
            return broken(Fault::Changed, observed.drift.join("; "));
        }
        if instance.record.revision != *number {
            // While an operation runs, sets change places.
            if self.operation.is_some() {
                return Verdict::Busy;
            }
            // Deployed after the backup that the store was restored from: newer than all that is known, and it works.
            if instance.record.revision > *number {
                return Verdict::Fine;
            }
            return broken(Fault::Changed, format!("runs revision {}, not {number}", instance.record.revision));
        }
        if observed.revision != *number || observed.config != *config {
            return broken(Fault::Changed, format!("its configuration is not that of revision {number}"));
        }
        Verdict::Fine
    }
}
