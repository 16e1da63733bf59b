//! What became of one member of a text.

use serde::Serialize;

/// What became of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// A person has to fill in something before the service can run.
    Missing,
    /// It is not in the manifest.
    LeftOut,
    /// It is in the manifest, but not as it was.
    Changed,
    /// It is in the manifest, or as it is without a word.
    Carried,
    /// A fact about the resource at AWS, which has no counterpart.
    NotNeeded,
}

/// One member of a text and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// The file it stands in.
    pub file: String,
    /// Its line, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// The service that it belongs to; none for what belongs to the account or the template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Its path: `InstanceConfiguration.InstanceRoleArn`. What is below it shares its fate.
    pub field: String,
    /// What became of it.
    pub outcome: Outcome,
    /// Why, unless it is carried or a mere fact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub todo: Option<String>,
}

impl Note {
    /// Its path for people: what tells it from its neighbours.
    pub fn short(&self) -> &str {
        let mut dots = self.field.rmatch_indices('.').map(|(at, _)| at);
        dots.nth(1).map_or(self.field.as_str(), |at| &self.field[at + 1..])
    }
}
