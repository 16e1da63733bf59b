//! Whose signatures count for a source: named groups of public keys, and whether its history may be rewritten.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What has to hold of a commit before it is deployed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verify {
    /// Who may sign: any key of any group. Empty: signatures are not asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signed_by: Vec<KeyGroup>,
    /// Whether only what descends from the commit that runs is deployed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fast_forward_only: bool,
}

impl Verify {
    /// The names of the groups, for sentences: `release-team, ci-keys`.
    pub fn names(&self) -> String {
        let names: Vec<&str> = self.signed_by.iter().map(|group| group.name.as_str()).collect();
        names.join(", ")
    }
}

/// Public keys under one name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyGroup {
    /// Its name in the manifest.
    pub name: String,
    /// The keys as they are written, whole in every declaration that uses them: what is stored says by itself whom it
    /// trusts.
    pub keys: Vec<KeyText>,
}

/// One or more public keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum KeyText {
    /// An OpenPGP public key in text form, or lines of an `allowed_signers` file.
    Text(String),
    /// The file that holds them, by its absolute path; read where the manifest is put in force.
    File(PathBuf),
}
