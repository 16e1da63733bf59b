//! Who may do what, as a manifest declares it: users, groups, roles and policies. Documents of policies are texts here;
//! whether they are policies is found out where policies are known (`access`), before anything of the manifest counts.

use crate::model::Place;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Everything of access control that a manifest declares, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identities {
    /// Users.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub users: BTreeMap<String, DeclaredUser>,
    /// Groups.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<String, DeclaredGroup>,
    /// Roles.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<String, DeclaredRole>,
    /// Policies that are shared by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub policies: BTreeMap<String, DeclaredPolicy>,
}

/// What gives rights: policies by name, and policies in place by the names that they have there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rights {
    /// Policies by name: managed ones, those of the manifest, those of the installation.
    pub policies: BTreeSet<String>,
    /// Policies that belong to this one alone.
    pub inline: BTreeMap<String, String>,
}

/// A user. Its access keys are made with `towpath keys create`: a manifest holds no secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeclaredUser {
    /// Its own rights.
    pub rights: Rights,
    /// The groups that it is in.
    pub groups: BTreeSet<String>,
    /// The policy that all its rights have to be in as well.
    pub boundary: Option<String>,
    /// Where it is declared.
    pub place: Place,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeclaredGroup {
    /// The rights of all its members.
    pub rights: Rights,
    /// Where it is declared.
    pub place: Place,
}

/// A role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeclaredRole {
    /// Its rights.
    pub rights: Rights,
    /// Who may assume it.
    pub trust: String,
    /// The policy that all its rights have to be in as well.
    pub boundary: Option<String>,
    /// The longest session, in seconds.
    pub max_session_seconds: u32,
    /// Where it is declared.
    pub place: Place,
}

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeclaredPolicy {
    /// Its document, JSON.
    pub document: String,
    /// Where it is declared.
    pub place: Place,
}

impl Identities {
    /// Whether nothing is declared.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty() && self.groups.is_empty() && self.roles.is_empty() && self.policies.is_empty()
    }
}
