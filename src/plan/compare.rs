//! Two states of a manifest, compared without looking at what runs: what going from one to the other creates, changes and
//! deletes. For a review of a change before it is in force. Pure.

use super::deletion::is_mass;
use super::operations::declared_fields;
use super::page::Mark;
use super::words::{count, listed};
use super::{FieldChange, Note, NoteKind, diff, rebuilds, replaces};
use crate::desired::{DeclaredSecret, DeclaredService, Desired};
use crate::model::{Place, ServiceName, ServiceSpec};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What differs from one state of a manifest to another.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The manifest, as the user named it.
    pub file: String,
    /// The state before, in words: `main (3f2a91c)`.
    pub from: String,
    /// The state after, in words: `the working tree`.
    pub to: String,
    /// What differs, in the order of the state after; what is only in the state before comes last.
    pub changes: Vec<Difference>,
    /// What a reader should know beside it.
    pub notes: Vec<Note>,
}

/// One service that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The service.
    pub service: ServiceName,
    /// Where it is declared; for what is declared no more, where it was.
    pub place: Place,
    /// How it differs.
    #[serde(rename = "action")]
    pub kind: DifferenceKind,
    /// Which fields differ; of a new service what tells it from others.
    pub fields: Vec<FieldChange>,
    /// What the change means for what runs.
    pub effect: String,
}

/// How a service differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum DifferenceKind {
    /// It is new.
    Create,
    /// Its declaration differs.
    Update {
        /// Nothing that instances are made of differs.
        in_place: bool,
        /// It has to be built anew.
        rebuilds: bool,
    },
    /// It is not declared any more.
    Delete,
}

impl DifferenceKind {
    pub(super) fn mark(self) -> Mark {
        match self {
            Self::Create => Mark::Create,
            Self::Update { .. } => Mark::Change,
            Self::Delete => Mark::Delete,
        }
    }
}

impl Comparison {
    /// As [`super::exit_code`] of a plan: 0 nothing differs, 2 something does.
    pub fn exit_code(&self) -> u8 {
        let unknown = self.notes.iter().any(|note| note.kind == NoteKind::Unknown);
        if self.changes.is_empty() && !unknown { 0 } else { 2 }
    }
}

/// What a manifest declares at one time.
#[derive(Clone, Copy, Debug)]
pub struct State<'a> {
    /// The time in words: `main (3f2a91c)`.
    pub name: &'a str,
    /// What it declares; `None` where the manifest is not there.
    pub desired: Option<&'a Desired>,
    /// The encrypted text of a secret, by its name, where the manifest declares it.
    pub sealed: &'a BTreeMap<String, String>,
}

/// Compares two states of the manifest `file`.
pub fn compare(file: &str, before: &State, after: &State) -> Comparison {
    let (old, new) = (services(before), services(after));
    let was: BTreeMap<&ServiceName, &DeclaredService> = old.iter().map(|s| (&s.spec.name, s)).collect();
    let names: BTreeSet<&ServiceName> = new.iter().map(|s| &s.spec.name).collect();
    let changed = new.iter().filter_map(|service| match was.get(&service.spec.name) {
        None => Some(created(service)),
        Some(old) => updated(&old.spec, service),
    });
    let gone = old.iter().filter(|service| !names.contains(&service.spec.name)).map(deleted);
    let changes: Vec<Difference> = changed.chain(gone).collect();
    let notes = guard(&changes, old.len()).into_iter().chain(resealed(before, after)).collect();
    Comparison { file: file.to_owned(), from: shown(before), to: shown(after), changes, notes }
}

fn services<'a>(state: &State<'a>) -> &'a [DeclaredService] {
    state.desired.map_or(&[], |desired| &desired.services)
}

fn created(service: &DeclaredService) -> Difference {
    let size = count(service.spec.scaling.min_size as usize, "instance");
    Difference {
        service: service.spec.name.clone(),
        place: service.place.clone(),
        kind: DifferenceKind::Create,
        fields: declared_fields(&service.spec),
        effect: format!("first deployment: {size}"),
    }
}

fn updated(old: &ServiceSpec, service: &DeclaredService) -> Option<Difference> {
    let fields = diff(old, &service.spec);
    if fields.is_empty() {
        return None;
    }
    let (in_place, rebuilds) = (!replaces(old, &service.spec), rebuilds(old, &service.spec));
    let effect = match (in_place, rebuilds) {
        (true, _) => "in place, without a restart",
        (false, true) => "rebuilds, new revision: replaces its instances",
        (false, false) => "new revision: replaces its instances",
    };
    Some(Difference {
        service: service.spec.name.clone(),
        place: service.place.clone(),
        kind: DifferenceKind::Update { in_place, rebuilds },
        fields,
        effect: effect.into(),
    })
}

fn deleted(service: &DeclaredService) -> Difference {
    Difference {
        service: service.spec.name.clone(),
        place: service.place.clone(),
        kind: DifferenceKind::Delete,
        fields: Vec::new(),
        effect: "not declared any more: deletes the service, its instances, revisions and builds".into(),
    }
}

fn note(kind: NoteKind, message: String) -> Note {
    Note { service: None, place: None, kind, message, until: None }
}

/// A manifest that is not there declares nothing: said, since a mistyped name would look the same.
fn shown(state: &State) -> String {
    let absent = if state.desired.is_none() { ", where it is not there and declares nothing" } else { "" };
    format!("{}{absent}", state.name)
}

/// What the guard against mass deletion will say (where all of them are declared by this manifest).
fn guard(changes: &[Difference], of: usize) -> Option<Note> {
    let gone: Vec<String> =
        changes.iter().filter(|c| c.kind == DifferenceKind::Delete).map(|c| c.service.to_string()).collect();
    let message = format!(
        "{} of {} are not declared any more ({}): nothing is deleted or created until `towpath apply --allow-mass-delete` \
         allows it",
        gone.len(),
        count(of, "service"),
        listed(&gone)
    );
    is_mass(gone.len(), of).then(|| note(NoteKind::NeedsPerson, message))
}

/// Secrets whose encrypted text differs: whether their values do is known only where they can be decrypted.
fn resealed(before: &State, after: &State) -> Vec<Note> {
    let secrets = after.desired.map_or(&[][..], |desired| &desired.secrets);
    let differs = |secret: &&DeclaredSecret| {
        let (old, new) = (before.sealed.get(&secret.name), after.sealed.get(&secret.name));
        old.is_some() && old != new
    };
    let told = |secret: &DeclaredSecret| Note {
        place: Some(secret.place.clone()),
        ..note(
            NoteKind::Unknown,
            format!(
                "the encrypted text of the secret `{}` differs: if its value does, the services that use it get a new revision",
                secret.name
            ),
        )
    };
    secrets.iter().filter(differs).map(told).collect()
}
