//! What holds a service back although there is something to do: a suspension, a closed deploy window, a service that it
//! depends on. Healing and what changes in place are never held.

use super::operations::{Next, Proposed};
use super::planner::Decided;
use super::windows::closed;
use super::words::operation_noun;
use super::{Note, NoteKind};
use crate::desired::DeclaredWindow;
use crate::model::{HeldReason, InstanceRole, InstanceState, ServiceName, ServiceSpec, Timestamp};
use crate::observed::{Health, InstanceView};
use std::collections::{BTreeMap, BTreeSet};

/// Words of messages that say themselves until when.
pub(super) const SAY_WHEN: [&str; 2] = ["deploy window closed until ", "waits: suspended until "];

/// Withdraws what is held back, and says why.
pub(super) fn restrain(decided: &mut [Decided<'_>], windows: &[DeclaredWindow], now: Timestamp) {
    // What is suspended is as it should be: nothing waits for what comes after.
    for one in decided.iter_mut() {
        hold(one, |one| suspended(one, now));
    }
    let waits = Dependencies::of(decided).waits(decided);
    for (one, waits) in decided.iter_mut().zip(waits) {
        hold(one, |one| shut(one, windows, now));
        hold(one, |one| waits.map(|message| one.subject.note(NoteKind::Waits, message)));
    }
}

fn hold(one: &mut Decided<'_>, why: impl FnOnce(&Decided<'_>) -> Option<Note>) {
    if one.proposed.as_ref().is_none_or(is_in_place) {
        return;
    }
    if let Some(note) = why(one) {
        one.proposed = None;
        one.notes.push(note);
    }
}

fn is_in_place(proposed: &Proposed) -> bool {
    matches!(proposed.next, Next::Update { in_place: true, .. })
}

fn verb(one: &Decided<'_>) -> &'static str {
    one.proposed.as_ref().map_or("deployment", |proposed| super::planner::verb(&proposed.next))
}

fn suspended(one: &Decided<'_>, now: Timestamp) -> Option<Note> {
    let suspend = one.subject.wanted?.restraint.suspended(now)?;
    let message = format!("its {} waits: suspended until {} ({})", verb(one), suspend.until, suspend.reason);
    Some(one.subject.note_until(suspend.until, message))
}

fn shut(one: &Decided<'_>, windows: &[DeclaredWindow], now: Timestamp) -> Option<Note> {
    let closed = closed(windows, one.subject.name, now)?;
    let message = format!("its {} waits: deploy window closed until {} ({})", verb(one), closed.shown, closed.place);
    Some(match closed.until {
        Some(until) => one.subject.note_until(until, message),
        None => one.subject.note(NoteKind::Waits, message),
    })
}

/// Who depends on whom.
struct Dependencies<'a> {
    /// As it should be.
    wanted: BTreeMap<&'a ServiceName, &'a [ServiceName]>,
    /// As it is in force.
    applied: BTreeMap<&'a ServiceName, &'a [ServiceName]>,
}

impl<'a> Dependencies<'a> {
    fn of(decided: &[Decided<'a>]) -> Self {
        let wanted = decided.iter().filter_map(|one| Some((one.subject.name, one.subject.wanted?)));
        let applied =
            decided.iter().filter_map(|one| Some((one.subject.name, one.subject.view?.record.applied.as_ref()?)));
        Self {
            wanted: wanted.map(|(name, spec)| (name, spec.restraint.depends_on.as_slice())).collect(),
            applied: applied.map(|(name, spec)| (name, spec.restraint.depends_on.as_slice())).collect(),
        }
    }

    /// Why each of them waits for others, if it does.
    fn waits(&self, decided: &[Decided<'a>]) -> Vec<Option<String>> {
        let unready: BTreeMap<&ServiceName, String> =
            decided.iter().filter_map(|one| Some((one.subject.name, unready(one)?))).collect();
        let known: BTreeSet<&ServiceName> = decided.iter().map(|one| one.subject.name).collect();
        decided.iter().map(|one| self.wait(one, &unready, &known)).collect()
    }

    fn wait(
        &self,
        one: &Decided<'a>,
        unready: &BTreeMap<&ServiceName, String>,
        known: &BTreeSet<&ServiceName>,
    ) -> Option<String> {
        let (name, proposed) = (one.subject.name, one.proposed.as_ref()?);
        if matches!(proposed.next, Next::Delete) {
            let above =
                self.applied.iter().find(|(other, on)| on.contains(name) && !reaches(&self.applied, name, other))?;
            return Some(format!("its deletion waits: `{}` depends on it and goes first", above.0));
        }
        let on = self.wanted.get(name)?.iter().filter(|on| !reaches(&self.wanted, on, name));
        let why = |on: &ServiceName| match unready.get(on) {
            Some(why) => Some(why.clone()),
            None => (!known.contains(on)).then(|| "does not exist".to_owned()),
        };
        let (on, why) = on.filter_map(|on| Some((on, why(on)?))).next()?;
        Some(format!("its {} waits for `{on}`, which {why}", verb(one)))
    }
}

/// Whether one service depends on another, by whatever way. Declarations have no circles; what is in force may have one
/// for a moment, while a dependency is turned round.
fn reaches(graph: &BTreeMap<&ServiceName, &[ServiceName]>, from: &ServiceName, to: &ServiceName) -> bool {
    let (mut ahead, mut seen) = (vec![from], BTreeSet::new());
    while let Some(name) = ahead.pop() {
        for next in graph.get(name).into_iter().flat_map(|on| on.iter()) {
            if next == to {
                return true;
            }
            if seen.insert(next) {
                ahead.push(next);
            }
        }
    }
    false
}

/// Why others wait for a service, in words that go after "which".
fn unready(one: &Decided<'_>) -> Option<String> {
    let Some(view) = one.subject.view else { return Some("does not exist yet".into()) };
    if let Some(failure) = view.record.create_failed.as_ref().filter(|_| view.current.is_none()) {
        return Some(format!("failed: {}", failure.headline()));
    }
    if let Some(operation) = one.subject.operation() {
        return Some(format!("has its {} in progress", operation_noun(operation.kind)));
    }
    if view.record.paused.is_some() {
        return Some("is paused".into());
    }
    if let Some(proposed) = one.proposed.as_ref().filter(|proposed| !is_in_place(proposed)) {
        return Some(format!("has its {} first", super::planner::verb(&proposed.next)));
    }
    let Some(current) = &view.current else { return Some("never came to serve".into()) };
    let wanted = one.subject.wanted?;
    let candidates = one.subject.news(current).into_iter().chain([&current.commit.id]);
    let failed = candidates
        .filter_map(|commit| one.subject.held(commit, wanted))
        .find(|held| matches!(held.why, HeldReason::Failed | HeldReason::Transient));
    if let Some(held) = failed {
        return Some(format!("failed with commit {}: {}", held.commit.short(), held.message.trim_end_matches('.')));
    }
    let healthy = view.instances.iter().filter(|instance| is_healthy(instance)).count();
    let wanted = view.target_size as usize;
    (healthy < wanted).then(|| format!("has {healthy} of {wanted} instances healthy"))
}

fn is_healthy(instance: &InstanceView) -> bool {
    let runs = instance.observed.as_ref().is_some_and(|o| o.state == InstanceState::Running);
    instance.record.role == InstanceRole::Serving && runs && instance.health == Health::Healthy
}

/// Whether a person's deployment is held, and what to do.
///
/// # Errors
/// Why, in words that go after "service `shop`".
pub fn may_deploy(
    name: &ServiceName,
    wanted: Option<&ServiceSpec>,
    windows: &[DeclaredWindow],
    now: Timestamp,
) -> Result<(), String> {
    if let Some(suspend) = wanted.and_then(|spec| spec.restraint.suspended(now)) {
        return Err(format!("is suspended until {} ({})", suspend.until, suspend.reason));
    }
    match closed(windows, name, now) {
        Some(closed) => Err(format!("has its deploy window closed until {} ({})", closed.shown, closed.place)),
        None => Ok(()),
    }
}
