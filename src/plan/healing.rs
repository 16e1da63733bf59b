//! Healing (row G3): as many instances of the current revision as should serve, each as it was started.
//!
//! New ones are started before those that still work are stopped; restarts back off, 1 s doubling to 60 s. While a
//! deployment builds, starts and checks its new set (which may take half an hour), the old set is healed as well.

use super::admission::{Budget, Need};
use super::judgement::{Fault, Judge, Verdict};
use super::subject::Subject;
use super::words::{count, listed};
use super::{FieldChange, Note, NoteKind};
use crate::model::{
    Drift, InstanceId, InstanceState, Memory, Operation, OperationKind, OperationStatus, Step, Timestamp,
};
use crate::observed::{Health, InstanceView, ServiceView};
use std::cmp::Reverse;
use std::time::Duration;

/// After so long without a healing, the next one is the first again.
const QUIET: Duration = Duration::from_secs(300);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What a service's instances need, before memory is asked for.
pub(super) struct Illness<'a> {
    view: &'a ServiceView,
    target: usize,
    fine: Vec<&'a InstanceView>,
    coming: Vec<&'a InstanceView>,
    broken: Vec<(&'a InstanceView, Fault, String)>,
    leftover: Vec<&'a InstanceView>,
    /// Changed by hand, and left so (`drift: report`): they serve.
    reported: Vec<&'a InstanceView>,
    verdicts: Vec<String>,
    in_operation: bool,
}

/// What to do about it, fully decided but for the new ids.
pub(super) struct Remedy {
    pub(super) start: usize,
    pub(super) stop: Vec<InstanceId>,
    pub(super) fields: Vec<FieldChange>,
    pub(super) effect: String,
    /// What it was computed from, for the basis.
    pub(super) verdicts: Vec<String>,
}

/// Whether healing is allowed beside the operation in flight: old instances serve until traffic shifts.
pub(super) fn heals_beside(operation: Option<&Operation>) -> bool {
    let Some(operation) = operation else { return true };
    matches!(operation.kind, OperationKind::StartDeployment | OperationKind::UpdateService)
        && matches!(operation.status, OperationStatus::Pending | OperationStatus::InProgress)
        && operation.step.is_none_or(|s| s < Step::Shift)
}

/// Examines a service's instances; `None` when there is nothing to do.
pub(super) fn examine<'a>(view: &'a ServiceView, operation: Option<&Operation>, now: Timestamp) -> Option<Illness<'a>> {
    if !heals_beside(operation) {
        return None;
    }
    let judge = Judge::new(view, now);
    let serves = view.current.is_some() && view.record.paused.is_none();
    let target = if serves { view.target_size as usize } else { 0 };
    let mut illness = Illness {
        view,
        target,
        fine: Vec::new(),
        coming: Vec::new(),
        broken: Vec::new(),
        leftover: Vec::new(),
        reported: Vec::new(),
        verdicts: Vec::new(),
        in_operation: operation.is_some(),
    };
    for instance in &view.instances {
        illness.sort_in(instance, judge.judge(instance));
    }
    illness.is_any().then_some(illness)
}

impl<'a> Illness<'a> {
    fn sort_in(&mut self, instance: &'a InstanceView, verdict: Verdict) {
        if verdict != Verdict::Busy {
            self.verdicts.push(format!("{} {verdict:?}", instance.record.id));
        }
        match verdict {
            Verdict::Fine => self.fine.push(instance),
            Verdict::Coming => self.coming.push(instance),
            Verdict::Broken(Fault::Changed, _) if self.is_left(instance) => {
                self.reported.push(instance);
                self.fine.push(instance);
            }
            Verdict::Broken(fault, why) => self.broken.push((instance, fault, why)),
            Verdict::Leftover => self.leftover.push(instance),
            Verdict::Busy => {}
        }
    }

    fn is_any(&self) -> bool {
        self.missing() > 0 || self.surplus() > 0 || self.stops_now() || !self.reported.is_empty()
    }

    /// Whether what was changed by hand on an instance that works is only said.
    fn is_left(&self, instance: &InstanceView) -> bool {
        let by_hand = instance.observed.as_ref().is_some_and(|observed| !observed.drift.is_empty());
        let applied = self.view.record.applied.as_ref();
        by_hand && works(instance, Fault::Changed) && applied.is_some_and(|spec| spec.restraint.drift == Drift::Report)
    }

    /// What is only said.
    fn left(&self, subject: &Subject) -> Option<Note> {
        let changed = |i: &&InstanceView| {
            let drift = i.observed.as_ref().map(|o| o.drift.join("; ")).unwrap_or_default();
            format!("instance {}: {drift}", &i.record.id.as_str()[..8])
        };
        let changed: Vec<String> = self.reported.iter().map(changed).collect();
        let message = format!(
            "changed by hand, and left so (`drift: report`): {}; `towpath deploy {}` replaces it",
            listed(&changed),
            subject.name
        );
        (!changed.is_empty()).then(|| subject.note(NoteKind::Held, message))
    }

    fn missing(&self) -> usize {
        self.target.saturating_sub(self.fine.len() + self.coming.len())
    }

    /// More than should serve, of which some are stopped. Not while an operation counts on the set that serves.
    fn surplus(&self) -> usize {
        let there = self.fine.len() + self.coming.len();
        if self.in_operation { 0 } else { there.saturating_sub(self.target) }
    }

    /// What is broken or left over goes once its replacement serves; while that is coming, the healing that started it
    /// does so.
    fn stops_now(&self) -> bool {
        // Of a surplus, those that are coming are the first that go.
        let coming = self.coming.len().saturating_sub(self.surplus());
        coming == 0 && !(self.broken.is_empty() && self.leftover.is_empty())
    }

    /// Decides, with what memory allows and not before the backoff ends.
    pub(super) fn decide(&self, subject: &Subject, budget: &mut Budget, now: Timestamp) -> (Option<Remedy>, Vec<Note>) {
        let (remedy, note) = self.cure(subject, budget, now);
        (remedy, note.into_iter().chain(self.left(subject)).collect())
    }

    fn cure(&self, subject: &Subject, budget: &mut Budget, now: Timestamp) -> (Option<Remedy>, Option<Note>) {
        let each = self.view.current.as_ref().map_or(Memory(0), |r| r.spec.instance.memory);
        let wanted = Need { instances: self.missing(), each };
        let again = backoff(&self.view.heals, now).filter(|again| wanted.instances > 0 && *again > now);
        if let Some(again) = again {
            let note =
                subject.note_until(again, format!("{}; the next start backs off{}", self.complaint(), self.again(now)));
            return (self.remedy(0, self.useless_only()), Some(note));
        }
        let start = budget.take_some(wanted);
        if start == wanted.instances {
            return (self.remedy(start, self.all_stops(start)), None);
        }
        let rest = Need { instances: wanted.instances - start, ..wanted };
        let note = subject.note(NoteKind::Waits, format!("{}; healing {}", self.complaint(), budget.refusal(rest)));
        (self.remedy(start, self.all_stops(start)), Some(note))
    }

    /// That it is always the same, where it is.
    fn again(&self, now: Timestamp) -> String {
        let lately = self.view.heals.iter().filter(|at| now.since(**at) < QUIET).count();
        let changed = self.broken.iter().any(|(_, fault, _)| *fault == Fault::Changed);
        match lately {
            times @ 3.. if changed => {
                format!(": somebody keeps changing it, it was healed {times} times within 5 minutes")
            }
            _ => String::new(),
        }
    }

    fn remedy(&self, start: usize, stop: Vec<InstanceId>) -> Option<Remedy> {
        if start == 0 && stop.is_empty() {
            return None;
        }
        let does = match (start, stop.len()) {
            (0, stops) => format!("stops {stops}"),
            (starts, 0) => format!("starts {starts}"),
            (starts, stops) => format!("starts {starts}, stops {stops}"),
        };
        Some(Remedy {
            start,
            stop,
            fields: self.fields(),
            effect: format!("{}; {does}", self.complaint()),
            verdicts: self.verdicts.clone(),
        })
    }

    /// What can be stopped whenever: nothing needs it.
    fn useless_only(&self) -> Vec<InstanceId> {
        self.leftover.iter().map(|i| i.record.id.clone()).collect()
    }

    /// Everything that goes when `start` new ones come: what works of the broken ones only as far as others replace it.
    fn all_stops(&self, start: usize) -> Vec<InstanceId> {
        let mut stops = self.useless_only();
        if start > 0 || self.stops_now() {
            let (working, dead): (Vec<_>, Vec<_>) = self.broken.iter().partition(|(i, fault, _)| works(i, *fault));
            let floor = self.target.min(self.fine.len() + working.len());
            let spare = (self.fine.len() + start + working.len()).saturating_sub(floor);
            stops.extend(dead.iter().map(|(i, ..)| i.record.id.clone()));
            stops.extend(working.iter().take(spare).map(|(i, ..)| i.record.id.clone()));
        }
        stops.extend(self.least_useful(self.surplus()));
        stops
    }

    /// The ones that a smaller set misses least: not serving yet, frozen, not known healthy, the youngest.
    fn least_useful(&self, number: usize) -> Vec<InstanceId> {
        let mut all: Vec<(u8, &InstanceView)> = self.coming.iter().map(|i| (0, *i)).collect();
        all.extend(self.fine.iter().map(|i| (usefulness(i), *i)));
        all.sort_by_key(|(useful, i)| (*useful, Reverse(i.record.created_at), i.record.id.clone()));
        all.iter().take(number).map(|(_, i)| i.record.id.clone()).collect()
    }

    /// What is wrong, in words: `drift: 1 of 2 instances is gone`.
    fn complaint(&self) -> String {
        let mut parts = Vec::new();
        if !self.broken.is_empty() {
            parts.push(format!("drift: {}", self.faults()));
        }
        let unexplained = self.missing().saturating_sub(self.broken.len());
        if unexplained > 0 {
            parts.push(format!("{unexplained} of {} {} missing", count(self.target, "instance"), are(unexplained)));
        }
        if self.surplus() > 0 {
            parts.push(match self.target {
                0 => format!("{} should not run", count(self.surplus(), "instance")),
                target => format!("{} should run, not {}", count(target, "instance"), target + self.surplus()),
            });
        }
        match self.leftover.len() {
            0 => {}
            left if self.view.record.paused.is_some() => {
                parts.push(format!("paused with {} left", count(left, "instance")))
            }
            left => parts.push(format!("{} left over", count(left, "instance"))),
        }
        parts.join("; ")
    }

    fn faults(&self) -> String {
        let of = self.target.max(self.broken.len());
        let mut kinds: Vec<Fault> = self.broken.iter().map(|(_, fault, _)| *fault).collect();
        kinds.sort_unstable();
        let mut said = Vec::new();
        for group in kinds.chunk_by(PartialEq::eq) {
            said.push(fault_words(group[0], group.len()));
        }
        let (first, rest) = said.split_first().map_or(("", &[][..]), |(f, r)| (f.as_str(), r));
        let (number, verb) = first.split_once(' ').unwrap_or((first, ""));
        let head = format!("{number} of {} {verb}", count(of, "instance"));
        listed(&[&[head], rest].concat())
    }

    /// One line per instance whose fault has more to say than its word.
    fn fields(&self) -> Vec<FieldChange> {
        let told = self.broken.iter().filter(|(_, fault, _)| *fault != Fault::Gone);
        told.flat_map(|(instance, fault, why)| fields_of(instance, *fault, why)).collect()
    }
}

/// What was changed by hand field by field, from what it is to what it was meant to be; of another fault what it says.
fn fields_of(instance: &InstanceView, fault: Fault, why: &str) -> Vec<FieldChange> {
    let name = format!("instance {}", &instance.record.id.as_str()[..8]);
    let drift = instance.observed.as_ref().map_or(&[][..], |observed| &observed.drift);
    if fault != Fault::Changed || drift.is_empty() {
        return vec![FieldChange { field: name, from: Some(why.to_owned()), to: None }];
    }
    let field = |text: &String| match text.split_once(": ").map(|(field, values)| (field, values.split_once(" → "))) {
        Some((field, Some((meant, is)))) => {
            FieldChange { field: format!("{name}: {field}"), from: Some(is.to_owned()), to: Some(meant.to_owned()) }
        }
        _ => FieldChange { field: name.clone(), from: Some(text.clone()), to: None },
    };
    drift.iter().map(field).collect()
}

/// Whether a broken instance still answers requests.
fn works(instance: &InstanceView, fault: Fault) -> bool {
    let healthy = !matches!(instance.health, Health::Unhealthy { .. });
    fault == Fault::Changed && healthy
}

fn usefulness(instance: &InstanceView) -> u8 {
    let frozen = instance.observed.as_ref().is_some_and(|o| o.state == InstanceState::Frozen);
    match instance.health {
        _ if frozen => 1,
        Health::Healthy => 3,
        _ => 2,
    }
}

fn are(number: usize) -> &'static str {
    if number == 1 { "is" } else { "are" }
}

fn fault_words(fault: Fault, number: usize) -> String {
    let have = if number == 1 { "has" } else { "have" };
    let were = if number == 1 { "was" } else { "were" };
    match fault {
        Fault::Gone => format!("{number} {} gone", are(number)),
        Fault::Ended => format!("{number} {have} ended"),
        Fault::Unhealthy => format!("{number} {} unhealthy", are(number)),
        Fault::Changed => format!("{number} {were} changed"),
        Fault::NeverServed => format!("{number} never came to serve"),
    }
}

/// When the next start is due after these healings: 1 s after the first of a row, then 2 s, 4 s, … 60 s.
fn backoff(heals: &[Timestamp], now: Timestamp) -> Option<Timestamp> {
    let last = *heals.last()?;
    // A clock that was set back must not keep a service down until it has caught up.
    if last > now || now.since(last) >= QUIET {
        return None;
    }
    let gaps = heals.windows(2).rev().take_while(|pair| pair[1].since(pair[0]) < QUIET).count();
    let wait = Duration::from_secs(1_u64 << gaps.min(6)).min(LONGEST_WAIT);
    Some(last.plus(wait))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn healing_backs_off_from_one_second_to_sixty_and_forgets_after_quiet() {
        let at = |seconds: i64| Timestamp(seconds * 1000);
        assert_eq!(backoff(&[], at(0)), None);
        let mut heals = Vec::new();
        for (moment, wait) in [(0, 1), (1, 2), (3, 4), (7, 8), (15, 16), (31, 32), (63, 60), (123, 60)] {
            heals.push(at(moment));
            assert_eq!(backoff(&heals, at(moment)), Some(at(moment + wait)), "after {moment} s");
        }
        assert_eq!(backoff(&heals, at(123 + 300)), None);
        assert_eq!(backoff(&[at(0), at(400)], at(400)), Some(at(401)));
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_stop_healing_and_the_backoff_goes_on_from_there() {
        let mut heals = vec![Timestamp(10_000_000), Timestamp(10_001_000)];
        assert_eq!(backoff(&heals, Timestamp(0)), None);
        heals.push(Timestamp(0));
        assert_eq!(backoff(&heals, Timestamp(500)), Some(Timestamp(4_000)), "the third in a row");
    }
}
