//! The heart: desired × observed → plan and report. First every service is decided on by itself; then memory is given
//! out in order, healing before anything new; then ids are made.

use super::admission::{Budget, Need};
use super::deletion::{Deletions, Fate};
use super::healing::{self, Illness};
use super::ids::Ids;
use super::operations::{self, Next, Proposed, Surroundings};
use super::subject::{Heads, Subject};
use super::trusted::Verdicts;
use super::words::count;
use super::{Action, Change, Note, NoteKind, Plan, Policy, Report, stale};
use crate::desired::{DeclaredService, Desired};
use crate::model::{Digest, InstanceId, OperationKind, Owner, RequiredChecks, ServiceName, ServiceSpec, Timestamp};
use crate::observed::{EngineView, HeadView, Observed, ServiceView};
use std::collections::{BTreeSet, HashMap};

/// Plans: what has to be done so that what runs is what is declared, and what is not done, and why. Pure: the same
/// arguments give the same plan, ids included.
///
/// With `desired` of `None` (no valid manifest yet) nothing is created, changed or deleted; what was in force before is
/// healed and follows its branches. Changes come in the order of the manifest, then by name, strays last; of one
/// service at most one operation, and before it at most one healing.
///
/// What execution owes the next plan: a failed version is written to `held` with [`Digest::of`] its declaration; a
/// healing appends to `heals`; a rollback holds what it goes back from; a started instance is a record with role
/// `Starting` before the engine hears of it.
pub fn plan(desired: Option<&Desired>, observed: &Observed, policy: &Policy, now: Timestamp) -> (Plan, Report) {
    let deletions = Deletions::find(desired, observed, policy);
    let mut planning = Planning::new(observed, policy, now);
    planning.report.notes.extend(deletions.note());
    let mut decided = planning.decide(desired, &deletions);
    super::restraint::restrain(&mut decided, desired.map_or(&policy.windows, |d| &d.windows), now);
    planning.heal(&mut decided);
    planning.admit(&mut decided);
    let changes = planning.changes(decided);
    let plan = Plan { manifest: desired.map(|d| d.manifest.clone()), at: now, changes };
    (plan, planning.report)
}

/// One service with what was decided for it so far.
pub(super) struct Decided<'a> {
    pub(super) subject: Subject<'a>,
    illness: Option<Illness<'a>>,
    healing: Option<Change>,
    pub(super) proposed: Option<Proposed<'a>>,
    pub(super) notes: Vec<Note>,
}

struct Planning<'a> {
    observed: &'a Observed,
    now: Timestamp,
    ids: Ids,
    budget: Budget,
    report: Report,
    /// What the engine said instead of answering.
    engine_error: Option<&'a str>,
}

impl<'a> Planning<'a> {
    fn new(observed: &'a Observed, policy: &Policy, now: Timestamp) -> Self {
        let engine_error = match &observed.engine {
            EngineView::Answered { .. } => None,
            EngineView::Unreachable { message } => Some(message.as_str()),
        };
        let unreachable = engine_error.map(|message| Note {
            service: None,
            place: None,
            kind: NoteKind::Unknown,
            message: format!("the engine does not answer: {message}; nothing is healed or started until it does"),
            until: None,
        });
        let report = Report { notes: unreachable.into_iter().collect() };
        Self { observed, now, ids: Ids::new(policy, now), budget: Budget::new(observed, policy), report, engine_error }
    }

    fn decide(&self, desired: Option<&'a Desired>, deletions: &Deletions) -> Vec<Decided<'a>> {
        let around = Surroundings {
            now: self.now,
            hosts: self.observed.services.iter().map(|v| (v.record.name.host_label(), &v.record.name)).collect(),
            guarded: deletions.is_guarded(),
            without_images: matches!(&self.observed.engine, EngineView::Answered { name } if name == "process"),
        };
        let subjects = subjects(desired, self.observed);
        subjects.into_iter().map(|subject| self.decide_one(subject, deletions, &around)).collect()
    }

    fn decide_one(&self, subject: Subject<'a>, deletions: &Deletions, around: &Surroundings<'a>) -> Decided<'a> {
        let fate = if subject.declared.is_some() { Fate::Stays } else { deletions.fate(subject.name) };
        let decision = operations::decide(&subject, fate, around);
        let goes = matches!(decision.proposed, Some(Proposed { next: Next::Delete, .. }));
        let examined = subject.view.filter(|_| self.engine_error.is_none() && !goes);
        let illness = examined.and_then(|view| healing::examine(view, subject.operation(), self.now));
        Decided { subject, illness, healing: None, proposed: decision.proposed, notes: decision.notes }
    }

    /// Healing has the first right to memory: what runs comes before what is new.
    fn heal(&mut self, decided: &mut [Decided<'a>]) {
        for one in decided {
            let Some(illness) = one.illness.take() else { continue };
            let (remedy, notes) = illness.decide(&one.subject, &mut self.budget, self.now);
            one.notes.extend(notes);
            one.healing = remedy.and_then(|remedy| self.healing_change(&one.subject, remedy));
        }
    }

    fn healing_change(&self, subject: &Subject<'a>, remedy: healing::Remedy) -> Option<Change> {
        let view = subject.view?;
        let name = subject.name.as_str();
        let start: Vec<InstanceId> = (0..remedy.start).map(|i| self.ids.instance(name, i)).collect();
        Some(Change {
            service: Some(subject.name.clone()),
            place: subject.place(),
            action: Action::Heal { id: view.record.id.clone(), start, stop: remedy.stop },
            fields: remedy.fields,
            effect: remedy.effect,
            basis: stale::healing_basis(view, &remedy.verdicts),
        })
    }

    /// Holds back what has no engine to run on, or does not fit into memory.
    fn admit(&mut self, decided: &mut [Decided<'a>]) {
        for one in decided {
            let Some(proposed) = &one.proposed else { continue };
            if let Err(why) = self.admit_one(&one.subject, proposed) {
                let what = verb(&proposed.next);
                one.notes.push(one.subject.note(NoteKind::Waits, format!("its {what} {why}")));
                one.proposed = None;
            }
        }
    }

    fn admit_one(&mut self, subject: &Subject<'a>, proposed: &Proposed<'a>) -> Result<(), String> {
        let in_place = matches!(proposed.next, Next::Update { in_place: true, .. });
        if self.engine_error.is_some() && !in_place {
            return Err("needs the engine, which does not answer".into());
        }
        let Some(spec) = proposed.spec.filter(|_| !in_place) else { return Ok(()) };
        if let (Some(view), Some(_)) = (subject.view, proposed.supersedes) {
            self.budget.release(view);
        }
        self.budget.take_all(Need::of_new_set(spec, subject.view))
    }

    fn changes(&mut self, decided: Vec<Decided<'a>>) -> Vec<Change> {
        let taken: BTreeSet<&str> = self.observed.services.iter().map(|v| v.record.label.as_str()).collect();
        let mut changes = Vec::new();
        for one in decided {
            self.report.notes.extend(one.notes);
            changes.extend(one.healing);
            changes.extend(one.proposed.and_then(|p| self.operation_change(&one.subject, p, &taken)));
        }
        changes.extend(self.strays());
        changes
    }

    fn operation_change(
        &self,
        subject: &Subject<'a>,
        proposed: Proposed<'a>,
        taken: &BTreeSet<&str>,
    ) -> Option<Change> {
        let basis = stale::operation_basis(subject, &proposed);
        let name = subject.name.as_str();
        let operation = self.ids.operation(name, verb(&proposed.next));
        let existing = subject.view.map(|v| v.record.id.clone());
        let spec = proposed.spec.map(|s| Box::new(s.clone()));
        let action = match proposed.next {
            Next::Create { commit } => Action::Create {
                id: self.ids.service(name),
                label: self.ids.label(name, taken),
                operation,
                spec: spec?,
                commit,
            },
            Next::Deploy { commit } => Action::Deploy { id: existing?, operation, spec: spec?, commit },
            Next::Update { commit, in_place } => {
                Action::Update { id: existing?, operation, spec: spec?, commit, in_place }
            }
            Next::Delete => Action::Delete { id: existing?, operation },
        };
        let (fields, effect) = (proposed.fields, proposed.effect);
        Some(Change { service: Some(subject.name.clone()), place: subject.place(), action, fields, effect, basis })
    }

    fn strays(&self) -> Option<Change> {
        let instances: Vec<InstanceId> = self.observed.strays.iter().map(|s| s.id.clone()).collect();
        if instances.is_empty() || self.engine_error.is_some() {
            return None;
        }
        Some(Change {
            service: None,
            place: None,
            fields: Vec::new(),
            effect: format!("removes {} of ours that nothing knows", count(instances.len(), "instance")),
            basis: Digest::of(&instances),
            action: Action::RemoveStrays { instances },
        })
    }
}

pub(super) fn verb(next: &Next) -> &'static str {
    match next {
        Next::Create { .. } => "creation",
        Next::Deploy { .. } => "deployment",
        Next::Update { .. } => "update",
        Next::Delete => "deletion",
    }
}

/// All services: the declared in the order of the manifest, then the others by name.
pub(super) fn subjects<'a>(desired: Option<&'a Desired>, observed: &'a Observed) -> Vec<Subject<'a>> {
    let heads: Heads = {
        let required = |head: &'a HeadView| head.checks.as_ref().map_or(&RequiredChecks::None, |c| &c.required);
        observed.heads.iter().map(|head| ((&head.repository, &head.track, required(head)), head)).collect()
    };
    let verdicts = Verdicts::of(observed);
    let mut views: HashMap<&ServiceName, &ServiceView> =
        observed.services.iter().map(|v| (&v.record.name, v)).collect();
    let mut subjects = Vec::with_capacity(views.len());
    for declared in desired.iter().flat_map(|d| &d.services) {
        let view = views.remove(&declared.spec.name);
        let wanted = wanted(Some(declared), view, true);
        subjects.push(Subject::new(&declared.spec.name, Some(declared), view, wanted, &heads).trusting(&verdicts));
    }
    let mut others: Vec<&ServiceView> = views.into_values().collect();
    others.sort_by(|a, b| a.record.name.cmp(&b.record.name));
    for view in others {
        let wanted = wanted(None, Some(view), desired.is_some());
        subjects.push(Subject::new(&view.record.name, None, Some(view), wanted, &heads).trusting(&verdicts));
    }
    subjects
}

/// What an operation on a service of the API is to put in force: nobody else declares it, so nothing supersedes that.
fn asked_for(view: Option<&ServiceView>) -> Option<&ServiceSpec> {
    let operation = view?.operation.as_ref()?;
    let sets = matches!(operation.kind, OperationKind::CreateService | OperationKind::UpdateService);
    operation.target.spec.as_ref().filter(|_| sets)
}

/// What should be in force for a service: exactly one owner says (law 3). Without any manifest, what was said last.
fn wanted<'a>(
    declared: Option<&'a DeclaredService>,
    view: Option<&'a ServiceView>,
    has_manifest: bool,
) -> Option<&'a ServiceSpec> {
    let applied = view.and_then(|v| v.record.applied.as_ref());
    match view.map(|v| v.record.owner) {
        Some(Owner::Managed) => asked_for(view).or(applied),
        Some(Owner::Declared) if !has_manifest => applied,
        _ => declared.map(|d| &d.spec),
    }
}
