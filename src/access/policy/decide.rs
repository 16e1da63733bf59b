//! The decision: an explicit deny wins, what nothing allows is denied, and every fence has to allow as well.

use super::context::Context;
use super::document::{Choice, Document, Effect, Statement};
use super::operator::short_form;
use super::pattern::Pattern;
use super::principal::{Principal, Trust};

/// A resource as policies name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    arn: String,
}

impl Resource {
    /// The resource of an ARN, or `*` for what is about none.
    pub fn new(arn: impl Into<String>) -> Self {
        Self { arn: arn.into() }
    }

    /// The ARN.
    pub fn arn(&self) -> &str {
        &self.arn
    }

    /// Policies may leave out the id at an ARN's end (row R6).
    fn matches(&self, pattern: &Pattern, context: &Context) -> bool {
        let matches = |arn: &str| pattern.matches_arn(arn, context);
        matches(&self.arn) || short_form(&self.arn).is_some_and(matches)
    }
}

/// What somebody wants to do.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// `apprunner:DeleteService`.
    pub action: &'a str,
    /// What it is done to.
    pub resource: &'a Resource,
    /// What else is known of the request.
    pub context: &'a Context,
    /// Who wants to.
    pub principal: &'a Principal,
}

/// The policies that bear on somebody.
#[derive(Clone, Debug, Default)]
pub struct Grants<'a> {
    /// Those that give rights.
    pub identity: Vec<&'a Document>,
    /// Those that every right has to be in as well: permission boundary, session policy, endpoint policy.
    pub fences: Vec<&'a Document>,
}

/// Whether it may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may.
    Allowed,
    /// A policy says no.
    ExplicitlyDenied,
    /// No policy says yes.
    NotAllowed,
    /// A policy says yes, but a boundary, session or endpoint policy does not.
    Fenced,
}

/// Decides.
pub fn decide(grants: &Grants<'_>, attempt: &Attempt<'_>) -> Decision {
    let action = attempt.action.to_ascii_lowercase();
    let says = |document: &Document, effect: Effect| {
        document.statements.iter().any(|s| s.effect == effect && s.applies(attempt, &action))
    };
    let all = || grants.identity.iter().chain(&grants.fences);
    if all().any(|document| says(document, Effect::Deny)) {
        return Decision::ExplicitlyDenied;
    }
    if !grants.identity.iter().any(|document| says(document, Effect::Allow)) {
        return Decision::NotAllowed;
    }
    if grants.fences.iter().all(|document| says(document, Effect::Allow)) {
        Decision::Allowed
    } else {
        Decision::Fenced
    }
}

/// What a role's trust policy says to who asks: `None` for an explicit deny as well as for no word.
pub fn trust(document: &Document, attempt: &Attempt<'_>) -> Trust {
    let action = attempt.action.to_ascii_lowercase();
    let applying = |effect: Effect| {
        let statements = document.statements.iter().filter(move |s| s.effect == effect);
        statements.filter(|s| s.applies(attempt, &action))
    };
    if applying(Effect::Deny).next().is_some() {
        return Trust::None;
    }
    applying(Effect::Allow).map(|s| s.trust(attempt.principal)).max().unwrap_or(Trust::None)
}

impl Statement {
    fn applies(&self, attempt: &Attempt<'_>, action: &str) -> bool {
        let nowhere = Context::default();
        self.actions.includes(|pattern| pattern.matches(action, &nowhere))
            && self.trust(attempt.principal) != Trust::None
            && self
                .resources
                .as_ref()
                .is_none_or(|choice| choice.includes(|pattern| attempt.resource.matches(pattern, attempt.context)))
            && self.conditions.iter().all(|condition| condition.holds(attempt.context))
    }

    fn trust(&self, principal: &Principal) -> Trust {
        self.principals.as_ref().map_or(Trust::Direct, |principals| principals.trust(principal))
    }
}

impl Choice {
    fn includes(&self, matches: impl Fn(&Pattern) -> bool) -> bool {
        match self {
            Self::Only(patterns) => patterns.iter().any(matches),
            Self::AllBut(patterns) => !patterns.iter().any(matches),
        }
    }
}
