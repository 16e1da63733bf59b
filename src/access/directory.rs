//! The directory: users, groups, roles, policies and access keys, as they are stored and kept in memory. Pure.

use super::error::AccessError;
use super::policy::{Document, Kind, managed};
use crate::model::Timestamp;
use crate::store::{Entry, EntryWrite};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Whether a key may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyStatus {
    /// It may.
    Active,
    /// Not now.
    Inactive,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// The name.
    pub name: String,
    /// `AIDA…`: never given twice, so that a new user of an old name is told from it.
    pub id: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Names of the policies attached to it.
    #[serde(default)]
    pub policies: BTreeSet<String>,
    /// Groups that it is in.
    #[serde(default)]
    pub groups: BTreeSet<String>,
    /// The policy that all its rights have to be in as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boundary: Option<String>,
    /// Where the manifest declares it, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared: Option<String>,
}

/// A group of users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// The name.
    pub name: String,
    /// `AGPA…`.
    pub id: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Names of the policies attached to it.
    #[serde(default)]
    pub policies: BTreeSet<String>,
    /// Where the manifest declares it, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared: Option<String>,
}

/// A role: rights that those whom it trusts may take on for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Role {
    /// The name.
    pub name: String,
    /// `AROA…`.
    pub id: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who may assume it: a trust policy's text.
    pub trust: String,
    /// Names of the policies attached to it.
    #[serde(default)]
    pub policies: BTreeSet<String>,
    /// The policy that all its rights have to be in as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boundary: Option<String>,
    /// The longest session, in seconds.
    pub max_session_seconds: u32,
    /// Where the manifest declares it, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared: Option<String>,
}

/// A policy of the installation's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// The name.
    pub name: String,
    /// `ANPA…`.
    pub id: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its document was last changed.
    pub updated_at: Timestamp,
    /// Its document's text.
    pub document: String,
    /// Where the manifest declares it, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared: Option<String>,
}

/// An access key. Its secret is stored encrypted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessKey {
    /// `AKIA…`.
    pub id: String,
    /// Whose.
    pub user: String,
    /// Whether it may be used.
    pub status: KeyStatus,
    /// When it was made.
    pub created_at: Timestamp,
    /// The secret, encrypted for this key.
    pub sealed: String,
}

/// Everything that is known of who may call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Directory {
    /// Users by name.
    pub users: BTreeMap<String, User>,
    /// Groups by name.
    pub groups: BTreeMap<String, Group>,
    /// Roles by name.
    pub roles: BTreeMap<String, Role>,
    /// Policies by name, managed ones left out.
    pub policies: BTreeMap<String, Policy>,
    /// Access keys by id.
    pub keys: BTreeMap<String, AccessKey>,
    /// Documents by policy name, ready to be evaluated; managed ones too.
    documents: BTreeMap<String, Arc<Document>>,
}

/// A thing in the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A user.
    User(User),
    /// A group.
    Group(Group),
    /// A role.
    Role(Role),
    /// A policy.
    Policy(Policy),
    /// An access key.
    Key(AccessKey),
}

/// The kinds of things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// Users.
    User,
    /// Groups.
    Group,
    /// Roles.
    Role,
    /// Policies.
    Policy,
    /// Access keys.
    Key,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Inserts or replaces one.
    Put(Record),
    /// Removes one, by its name or id.
    Delete(Sort, String),
}

impl Sort {
    const ALL: [Self; 5] = [Self::User, Self::Group, Self::Role, Self::Policy, Self::Key];

    /// The word that it is stored and spoken of by.
    pub fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
            Self::Role => "role",
            Self::Policy => "policy",
            Self::Key => "key",
        }
    }
}

impl Directory {
    /// The kinds of entries that it is stored as.
    pub fn kinds() -> [&'static str; 5] {
        Sort::ALL.map(Sort::word)
    }

    /// Reads it from what is stored.
    ///
    /// # Errors
    /// For an entry that this version does not read.
    pub fn read(entries: Vec<Entry>) -> Result<Self, AccessError> {
        let mut directory = Self::default();
        for policy in managed::MANAGED {
            let document = Document::read(policy.document, Kind::Identity);
            let document = document.map_err(|error| unreadable(policy.name, &error.0))?;
            directory.documents.insert(policy.name.to_owned(), Arc::new(document));
        }
        for entry in entries {
            let record = match entry.kind.as_str() {
                "user" => Record::User(value(entry)?),
                "group" => Record::Group(value(entry)?),
                "role" => Record::Role(value(entry)?),
                "policy" => Record::Policy(value(entry)?),
                "key" => Record::Key(value(entry)?),
                _ => continue,
            };
            directory.apply(Change::Put(record))?;
        }
        Ok(directory)
    }

    /// Applies a change.
    ///
    /// # Errors
    /// For a policy whose document is none; nothing is changed then.
    pub fn apply(&mut self, change: Change) -> Result<(), AccessError> {
        match change {
            Change::Put(Record::User(user)) => drop(self.users.insert(user.name.clone(), user)),
            Change::Put(Record::Group(group)) => drop(self.groups.insert(group.name.clone(), group)),
            Change::Put(Record::Role(role)) => drop(self.roles.insert(role.name.clone(), role)),
            Change::Put(Record::Key(key)) => drop(self.keys.insert(key.id.clone(), key)),
            Change::Put(Record::Policy(policy)) => self.put_policy(policy)?,
            Change::Delete(Sort::User, name) => drop(self.users.remove(&name)),
            Change::Delete(Sort::Group, name) => drop(self.groups.remove(&name)),
            Change::Delete(Sort::Role, name) => drop(self.roles.remove(&name)),
            Change::Delete(Sort::Key, name) => drop(self.keys.remove(&name)),
            Change::Delete(Sort::Policy, name) => {
                self.policies.remove(&name);
                self.documents.remove(&name);
            }
        }
        Ok(())
    }

    fn put_policy(&mut self, policy: Policy) -> Result<(), AccessError> {
        let document = Document::read(&policy.document, Kind::Identity);
        let document = document.map_err(|error| unreadable(&policy.name, &error.0))?;
        self.documents.insert(policy.name.clone(), Arc::new(document));
        self.policies.insert(policy.name.clone(), policy);
        Ok(())
    }

    /// A policy's document, managed or own.
    pub fn document(&self, policy: &str) -> Option<&Document> {
        self.documents.get(policy).map(Arc::as_ref)
    }

    /// The policies that give a user rights: its own, and its groups'.
    pub fn policies_of<'a>(&'a self, user: &'a User) -> impl Iterator<Item = &'a str> {
        let groups = user.groups.iter().filter_map(|name| self.groups.get(name));
        user.policies.iter().chain(groups.flat_map(|group| &group.policies)).map(String::as_str)
    }

    /// Who has a policy attached, or as a boundary: in words.
    pub fn users_of_policy(&self, policy: &str) -> Vec<String> {
        let has = |policies: &BTreeSet<String>, boundary: Option<&String>| {
            policies.contains(policy) || boundary.is_some_and(|name| name == policy)
        };
        let users =
            self.users.values().filter(|u| has(&u.policies, u.boundary.as_ref())).map(|u| format!("user `{}`", u.name));
        let groups = self.groups.values().filter(|g| has(&g.policies, None)).map(|g| format!("group `{}`", g.name));
        let roles =
            self.roles.values().filter(|r| has(&r.policies, r.boundary.as_ref())).map(|r| format!("role `{}`", r.name));
        users.chain(groups).chain(roles).collect()
    }
}

fn unreadable(name: &str, why: &str) -> AccessError {
    AccessError::BadPolicy { name: name.to_owned(), why: why.to_owned() }
}

fn value<T: DeserializeOwned>(entry: Entry) -> Result<T, AccessError> {
    let Entry { kind, name, value } = entry;
    serde_json::from_value(value).map_err(|source| AccessError::Unreadable { kind, name, source })
}

impl Change {
    /// The change as the store takes it.
    pub fn write(&self) -> EntryWrite {
        match self {
            Self::Put(record) => EntryWrite::Put(record.entry()),
            Self::Delete(sort, name) => EntryWrite::Delete { kind: sort.word().into(), name: name.clone() },
        }
    }
}

impl Record {
    /// These types have string keys and no failing serializers.
    fn entry(&self) -> Entry {
        let (sort, name, value) = match self {
            Self::User(user) => (Sort::User, &user.name, serde_json::to_value(user)),
            Self::Group(group) => (Sort::Group, &group.name, serde_json::to_value(group)),
            Self::Role(role) => (Sort::Role, &role.name, serde_json::to_value(role)),
            Self::Policy(policy) => (Sort::Policy, &policy.name, serde_json::to_value(policy)),
            Self::Key(key) => (Sort::Key, &key.id, serde_json::to_value(key)),
        };
        Entry { kind: sort.word().into(), name: name.clone(), value: value.unwrap_or_default() }
    }
}
