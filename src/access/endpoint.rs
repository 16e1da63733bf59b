//! Private endpoints (row A10): a listener with a policy that everything called through it has to be in as well.

use super::policy::{Attempt, Decision, Document, Grants, Kind, PolicyError, decide};

/// An endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    name: String,
    policy: Option<Document>,
}

impl Endpoint {
    /// An endpoint with a policy's text; without one it lets everything through that identity policies do.
    ///
    /// # Errors
    /// For a text that is no policy.
    pub fn new(name: &str, policy: Option<&str>) -> Result<Self, PolicyError> {
        let policy = policy.map(|text| Document::read(text, Kind::Endpoint)).transpose()?;
        Ok(Self { name: name.to_owned(), policy })
    }

    /// Its name: `aws:SourceVpce` in policies.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its policy.
    pub fn policy(&self) -> Option<&Document> {
        self.policy.as_ref()
    }

    /// Whether its policy lets something through, whatever else decides.
    pub(super) fn lets(&self, attempt: &Attempt<'_>) -> bool {
        let alone = |document| Grants { identity: vec![document], fences: Vec::new() };
        self.policy.as_ref().is_none_or(|document| decide(&alone(document), attempt) == Decision::Allowed)
    }
}
