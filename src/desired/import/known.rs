//! What the documents say beside services: scaling configurations, tags, domains, and what belongs to the account.

use super::draft::Draft;
use super::field::{Field, Members};
use super::note::{Note, Outcome};
use super::place::About;
use super::scaling::{Scaled, Settings};
use crate::desired::export::text::Yaml;
use std::collections::BTreeMap;

/// Gathered from all documents before the services are read.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Scaling configurations.
    pub(super) scalings: Vec<Settings>,
    /// Tags by the ARN of what has them.
    pub(super) tags: BTreeMap<String, Vec<(String, String)>>,
    /// The ARNs of services that were described, and of those that were only listed, with a note for each of these.
    pub(super) described: Vec<String>,
    /// Services that were only listed.
    pub(super) listed: Vec<(String, Note)>,
    /// Notes about no service.
    pub(super) notes: Vec<Note>,
    /// Notes of scaling configurations: what becomes of one depends on who uses it.
    pub(super) scaling_notes: Vec<(String, Note)>,
}

impl Known {
    /// A note about no service.
    pub(super) fn note(&mut self, file: &str, field: &Field, outcome: Outcome, why: &str, todo: &str) {
        let about = About { file: file.to_owned(), service: None };
        self.notes.push(about.told(field, outcome, why, todo));
    }

    /// What nobody took is said.
    pub(super) fn rest(&mut self, file: &str, members: Members) {
        for (_, field) in members.rest() {
            let why = "this version of `towpath import` does not know it";
            self.note(file, &field, Outcome::LeftOut, why, "look at what it does");
        }
    }

    /// Ends the reading: services that were only listed, scaling configurations that nobody uses.
    pub(super) fn close(&mut self, drafts: &[Draft]) {
        for (arn, note) in std::mem::take(&mut self.listed) {
            let described = self.described.contains(&arn);
            let outcome = if described { Outcome::NotNeeded } else { note.outcome };
            let [why, todo] = [note.why, note.todo].map(|text| text.filter(|_| !described));
            self.notes.push(Note { outcome, why, todo, ..note });
        }
        for (reference, note) in std::mem::take(&mut self.scaling_notes) {
            let used = drafts.iter().any(|draft| match &draft.scaling {
                Scaled::Named(settings) => settings.reference == reference,
                Scaled::Default => false,
            });
            let why = (!used).then(|| "no service that was read uses it".to_owned());
            let outcome = if used { Outcome::Carried } else { Outcome::LeftOut };
            self.notes.push(Note { outcome, why, ..note });
        }
    }

    /// The scaling settings that services share by name: those whose name means one thing only.
    pub(super) fn shared(&self, drafts: &[Draft]) -> BTreeMap<String, Yaml> {
        let mut shared: BTreeMap<String, Vec<Yaml>> = BTreeMap::new();
        for draft in drafts {
            let Scaled::Named(settings) = &draft.scaling else { continue };
            let all = shared.entry(settings.name.clone()).or_default();
            let yaml = settings.yaml();
            if settings.can_be_shared() && !all.contains(&yaml) {
                all.push(yaml);
            }
        }
        shared.into_iter().filter_map(|(name, all)| <[Yaml; 1]>::try_from(all).ok().map(|[one]| (name, one))).collect()
    }
}
