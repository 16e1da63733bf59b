//! Policies in IAM's JSON language: read strictly, evaluated purely.
//!
//! A [`Document`] is read once, with every mistake refused that AWS refuses: what is not understood must not turn into a right.
//! [`decide`] takes documents, the request and nothing else. Missing and empty keys, negated operators and sets are
//! treated as IAM's reference states for each.

mod condition;
mod context;
mod decide;
mod document;
mod element;
#[cfg(test)]
mod fuzz;
pub mod managed;
mod operator;
mod pattern;
mod principal;
#[cfg(test)]
mod tests;

pub use context::{Context, Values};
pub use decide::{Attempt, Decision, Grants, Resource, decide, trust};
pub use document::{Document, Kind, PolicyError};
pub use principal::{Principal, Trust};
