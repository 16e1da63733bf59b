//! Declarations of App Runner's services in the words of others, written as a manifest: what `towpath import` prints.
//!
//! Texts in: answers of AWS' API, CloudFormation templates, AWS Copilot's manifests. A manifest out, which our own reader
//! accepts, and a note for every member of the texts: what became of it. Nothing is dropped without a word: what no code
//! here takes is noted as unknown. Pure.

mod answers;
mod copilot;
mod copilot_image;
mod documents;
mod draft;
mod field;
mod functions;
mod known;
mod note;
mod place;
mod scaling;
mod service;
mod source;
mod template;
mod variables;

pub use note::{Note, Outcome};

use super::Parsed;
use super::export::text::Yaml;
use super::manifest::parse_manifest;
use crate::model::{Catalogue, HostLabel, Problem, ServiceName};
use documents::{Document, Kind};
use draft::Draft;
use known::Known;
use std::collections::{BTreeMap, HashSet};
use std::path::Path;

/// What stands for a value that only a person knows.
pub const FILL_IN: &str = "FILL_IN";
const HEAD: &str = "# Written by `towpath import`. Read it before it is applied, and look for `FILL_IN`.\n";

/// One text to read.
#[derive(Clone, Debug)]
pub struct Input {
    /// The file, as the user named it.
    pub file: String,
    /// Its text.
    pub text: String,
    /// The repository that it stands in, where there is one.
    pub repository: Option<Whereabouts>,
}

/// The repository that a file stands in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whereabouts {
    /// Its URL, or its absolute path where it has none.
    pub url: String,
    /// Where in it the workspace is that paths are relative to, if not at its root.
    pub directory: Option<String>,
    /// The name of the application, where the workspace says it.
    pub application: Option<String>,
}

/// What the texts do not say.
#[derive(Clone, Debug, Default)]
pub struct Choices {
    /// Values of a template's parameters.
    pub parameters: BTreeMap<String, String>,
    /// The environment of AWS Copilot whose overrides hold.
    pub environment: Option<String>,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Imported {
    /// The manifest; `None` where no service was found, or a text cannot be read.
    pub text: Option<String>,
    /// The names of the services in it.
    pub services: Vec<String>,
    /// What became of each member.
    pub notes: Vec<Note>,
    /// Why a text cannot be read, and what our own reader says of the manifest.
    pub problems: Vec<Problem>,
}

/// Reads texts and writes one manifest for all services in them.
pub fn import(inputs: &[Input], choices: &Choices, catalogue: &Catalogue) -> Imported {
    let mut imported = Imported::default();
    let mut read = Vec::new();
    for input in inputs {
        match documents::read(input) {
            Ok(documents) => read.extend(documents),
            Err(problems) => imported.problems.extend(problems),
        }
    }
    if !imported.problems.is_empty() {
        return imported;
    }
    let mut known = Known::default();
    for document in &mut read {
        document.learn(choices, &mut known);
    }
    let mut drafts = Vec::new();
    for document in &read {
        drafts.extend(document.drafts(choices, &mut known, catalogue));
    }
    known.close(&drafts);
    tell_apart(&mut drafts);
    if !drafts.is_empty() {
        let text = written(&mut drafts, &known);
        let Parsed { problems, .. } = parse_manifest("the manifest", Path::new("/"), &text, catalogue);
        imported.problems = problems;
        imported.text = Some(text);
    }
    imported.services = drafts.iter().map(|draft| draft.name.clone()).collect();
    imported.notes = drafts.into_iter().flat_map(|draft| draft.notes).chain(known.notes).collect();
    imported
}

impl Document {
    /// What services of other documents refer to.
    fn learn(&mut self, choices: &Choices, known: &mut Known) {
        match self.kind {
            Kind::Answer => answers::learn(self, known),
            Kind::Template => template::learn(self, choices, known),
            Kind::Copilot => {}
        }
    }

    /// The services in it.
    fn drafts(&self, choices: &Choices, known: &mut Known, catalogue: &Catalogue) -> Vec<Draft> {
        match self.kind {
            Kind::Answer => answers::draft(self, known, catalogue).into_iter().collect(),
            Kind::Template => template::drafts(self, known, catalogue),
            Kind::Copilot => copilot::draft(self, choices, known).into_iter().collect(),
        }
    }
}

/// Services of several accounts, regions or environments may share a name, or a host.
fn tell_apart(drafts: &mut [Draft]) {
    let mut labels: HashSet<HostLabel> = HashSet::new();
    for draft in drafts {
        let wanted = draft.name.clone();
        let numbered = (2..).map(|number| {
            let room = 40 - 1 - usize::to_string(&number).len();
            let short: String = wanted.chars().take(room).collect();
            format!("{}-{number}", short.trim_end_matches(['-', '_']))
        });
        let free = std::iter::once(wanted.clone())
            .chain(numbered)
            .find(|name| name.parse::<ServiceName>().is_ok_and(|name| labels.insert(name.host_label())));
        if let Some(free) = free.filter(|free| *free != wanted) {
            draft.rename(&wanted, &free, "another service has this name, or one that is the same host name");
        }
    }
}

fn written(drafts: &mut [Draft], known: &Known) -> String {
    drafts.sort_by(|a, b| a.name.cmp(&b.name));
    let shared = known.shared(drafts);
    let mut yaml = Yaml::new();
    yaml.put_some("autoscaling", Yaml::map(shared.iter().map(|(name, settings)| (name.as_str(), settings.clone()))));
    let mut services = Yaml::new();
    for draft in drafts.iter() {
        services.remarks(draft.remarks.iter().map(String::as_str));
        services.put(&draft.name, draft.yaml(|name| shared.contains_key(name)));
    }
    yaml.put("services", services);
    format!("{HEAD}{yaml}")
}

#[cfg(test)]
mod tests;
