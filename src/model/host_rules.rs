//! What a service has to do with the host of its repository beside reading it: what is said there, and what is waited for.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The rules of one service. They touch nothing that instances are made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HostRules {
    /// Whether what becomes of deployments is said there, where a connection can.
    #[serde(skip_serializing_if = "std::clone::Clone::clone")]
    pub report: bool,
    /// The checks that a commit has to pass there before it is deployed by itself.
    #[serde(skip_serializing_if = "RequiredChecks::is_none")]
    pub require_checks: RequiredChecks,
}

impl Default for HostRules {
    fn default() -> Self {
        Self { report: true, require_checks: RequiredChecks::None }
    }
}

impl HostRules {
    /// Whether nothing but the defaults holds.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Checks that a commit has to pass.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RequiredChecks {
    /// None.
    #[default]
    None,
    /// All that the host knows of the commit, and at least one.
    All,
    /// These, by their names.
    Named(Vec<String>),
}

impl RequiredChecks {
    /// Whether none are waited for.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// As the manifest writes it.
impl fmt::Display for RequiredChecks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("false"),
            Self::All => f.write_str("true"),
            Self::Named(names) => write!(f, "[{}]", names.join(", ")),
        }
    }
}
