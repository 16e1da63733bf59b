//! Which text and which service notes are about.

use super::field::Field;
use super::note::{Note, Outcome};

/// Makes notes of one text, about one service or none.
#[derive(Clone, Debug)]
pub(super) struct About {
    /// The file.
    pub(super) file: String,
    /// The service.
    pub(super) service: Option<String>,
}

impl About {
    /// A note of a member.
    pub(super) fn note(&self, field: &Field, outcome: Outcome) -> Note {
        Note {
            file: self.file.clone(),
            line: field.line(),
            service: self.service.clone(),
            field: field.path.clone(),
            outcome,
            why: None,
            todo: None,
        }
    }

    /// A note with its reason.
    pub(super) fn told(
        &self,
        field: &Field,
        outcome: Outcome,
        why: impl Into<String>,
        todo: impl Into<String>,
    ) -> Note {
        let [why, todo] = [why.into(), todo.into()].map(|text| Some(text).filter(|text| !text.is_empty()));
        Note { why, todo, ..self.note(field, outcome) }
    }
}
