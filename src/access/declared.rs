//! What a manifest declares of access control, brought about: made, changed, removed. What people made with commands is not
//! touched, and what is declared is not changed by commands (law 3).

use super::authority::Access;
use super::directory::{AccessKey, Change, Directory, Group, KeyStatus, Policy, Record, Role, Sort, User};
use super::error::AccessError;
use super::keys::make_id;
use super::policy::{Document, Kind, managed};
use crate::model::Timestamp;
use std::collections::BTreeSet;

/// Something that is declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// Where it is declared: `towpath.yaml:14 at 3f2a91c`.
    pub spot: String,
    /// What it is.
    pub what: What,
}

/// The kinds of what can be declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A user.
    User {
        /// Its policies.
        policies: BTreeSet<String>,
        /// Its groups.
        groups: BTreeSet<String>,
        /// Its boundary.
        boundary: Option<String>,
    },
    /// A group.
    Group {
        /// Its policies.
        policies: BTreeSet<String>,
    },
    /// A role.
    Role {
        /// Its trust policy.
        trust: String,
        /// Its policies.
        policies: BTreeSet<String>,
        /// Its boundary.
        boundary: Option<String>,
        /// Its longest session.
        max_session_seconds: u32,
    },
    /// A policy.
    Policy {
        /// Its document.
        document: String,
    },
}

/// What was done, for events and the audit trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// `CreateUser`, `UpdateRole`, `DeletePolicy`.
    pub call: String,
    /// `user/ci`.
    pub resource: String,
    /// Where it is declared; of what was removed, where it was.
    pub spot: String,
}

impl What {
    fn sort(&self) -> Sort {
        match self {
            Self::User { .. } => Sort::User,
            Self::Group { .. } => Sort::Group,
            Self::Role { .. } => Sort::Role,
            Self::Policy { .. } => Sort::Policy,
        }
    }

    /// The policies that it names.
    fn policies(&self) -> impl Iterator<Item = &String> {
        let (policies, boundary) = match self {
            Self::User { policies, boundary, .. } | Self::Role { policies, boundary, .. } => {
                (Some(policies), boundary.as_ref())
            }
            Self::Group { policies } => (Some(policies), None),
            Self::Policy { .. } => (None, None),
        };
        policies.into_iter().flatten().chain(boundary)
    }
}

impl Access {
    /// Everything that keeps declarations from being brought about, with the number of the one that it is about.
    pub fn problems_of(&self, wanted: &[Wanted]) -> Vec<(usize, String)> {
        let directory = self.directory();
        let problems = wanted.iter().enumerate().flat_map(|(at, one)| {
            let found = [taken(&directory, one), unread(one)].into_iter().flatten();
            found.chain(unknown(&directory, wanted, one)).map(|problem| (at, problem)).collect::<Vec<_>>()
        });
        problems.collect()
    }

    /// What bringing them about would do.
    ///
    /// # Errors
    /// When there is no randomness for ids.
    pub fn plan(&self, wanted: &[Wanted], now: Timestamp) -> Result<Vec<Done>, AccessError> {
        Ok(decide(&self.directory(), wanted, now)?.1)
    }

    /// Makes what is declared so, and removes what is not declared any more. Keys of users that go are disabled, not removed:
    /// a user that comes back gets none of its old rights by a mistake in a file.
    ///
    /// # Errors
    /// When it cannot be stored; then nothing has changed.
    pub async fn converge(&self, wanted: &[Wanted], now: Timestamp) -> Result<Vec<Done>, AccessError> {
        self.edit(|directory| decide(directory, wanted, now)).await
    }
}

fn decide(directory: &Directory, wanted: &[Wanted], now: Timestamp) -> Result<(Vec<Change>, Vec<Done>), AccessError> {
    let (mut changes, mut done) = (Vec::new(), Vec::new());
    for one in wanted {
        let Some((change, call)) = change(directory, one, now)? else { continue };
        changes.push(change);
        done.extend(call.map(|call| Done::of(call, one.what.sort(), &one.name, &one.spot)));
    }
    for (sort, name, spot) in left(directory, wanted) {
        if sort == Sort::User {
            changes.extend(disabled(directory, &name));
        }
        done.push(Done::of("Delete", sort, &name, &spot));
        changes.push(Change::Delete(sort, name));
    }
    Ok((changes, done))
}

impl Done {
    fn of(call: &str, sort: Sort, name: &str, spot: &str) -> Self {
        let word = sort.word();
        let capital = word[..1].to_ascii_uppercase() + &word[1..];
        Self { call: format!("{call}{capital}"), resource: format!("{word}/{name}"), spot: spot.to_owned() }
    }
}

/// A name that somebody gave by a command.
fn taken(directory: &Directory, one: &Wanted) -> Option<String> {
    let (sort, name) = (one.what.sort(), &one.name);
    let own = match sort {
        Sort::User => directory.users.get(name).map(|user| user.declared.is_none()),
        Sort::Group => directory.groups.get(name).map(|group| group.declared.is_none()),
        Sort::Role => directory.roles.get(name).map(|role| role.declared.is_none()),
        Sort::Policy if managed::MANAGED.iter().any(|policy| policy.name == name) => {
            return Some(format!("`{name}` is a managed policy, which stays as it is: choose another name"));
        }
        Sort::Policy => directory.policies.get(name).map(|policy| policy.declared.is_none()),
        Sort::Key => None,
    };
    let word = sort.word();
    own.filter(|own| *own).map(|_| {
        format!("there is a {word} `{name}` already, made by a command: remove it there, or choose another name")
    })
}

/// A policy that is none.
fn unread(one: &Wanted) -> Option<String> {
    let (text, kind, what) = match &one.what {
        What::Policy { document } => (document, Kind::Identity, "the policy"),
        What::Role { trust, .. } => (trust, Kind::Trust, "the trust policy of the role"),
        What::User { .. } | What::Group { .. } => return None,
    };
    Document::read(text, kind).err().map(|error| format!("{what} `{}`: {error}", one.name))
}

/// Policies and groups that there are not.
fn unknown(directory: &Directory, wanted: &[Wanted], one: &Wanted) -> Vec<String> {
    let declared = |sort: Sort, name: &str| wanted.iter().any(|w| w.what.sort() == sort && w.name == name);
    let policy = |name: &str| match directory.policies.get(name) {
        Some(policy) => policy.declared.is_none(),
        None => directory.document(name).is_some(),
    };
    let own_group = |name: &str| directory.groups.get(name).is_some_and(|group| group.declared.is_none());
    let word = one.what.sort().word();
    let policies = one.what.policies().filter(|name| !declared(Sort::Policy, name) && !policy(name));
    let mut problems: Vec<String> =
        policies.map(|name| format!("the {word} `{}` names a policy `{name}` that there is not", one.name)).collect();
    if let What::User { groups, .. } = &one.what {
        let missing = groups.iter().filter(|name| !declared(Sort::Group, name) && !own_group(name));
        problems
            .extend(missing.map(|name| format!("the user `{}` is in a group `{name}` that there is not", one.name)));
    }
    problems
}

/// The change that makes one so, if it is not, and what a person would call it.
fn change(
    directory: &Directory,
    one: &Wanted,
    now: Timestamp,
) -> Result<Option<(Change, Option<&'static str>)>, AccessError> {
    let (name, declared) = (one.name.clone(), Some(one.spot.clone()));
    let (record, known) = match &one.what {
        What::User { policies, groups, boundary } => {
            let known = directory.users.get(&name);
            let (id, created_at) = known.map_or_else(|| fresh("AIDA", now), |u| Ok((u.id.clone(), u.created_at)))?;
            let (policies, groups, boundary) = (policies.clone(), groups.clone(), boundary.clone());
            let user = User { name, id, created_at, policies, groups, boundary, declared };
            (Record::User(user), known.cloned().map(Record::User))
        }
        What::Group { policies } => {
            let known = directory.groups.get(&name);
            let (id, created_at) = known.map_or_else(|| fresh("AGPA", now), |g| Ok((g.id.clone(), g.created_at)))?;
            let group = Group { name, id, created_at, policies: policies.clone(), declared };
            (Record::Group(group), known.cloned().map(Record::Group))
        }
        What::Role { trust, policies, boundary, max_session_seconds } => {
            let known = directory.roles.get(&name);
            let (id, created_at) = known.map_or_else(|| fresh("AROA", now), |r| Ok((r.id.clone(), r.created_at)))?;
            let (trust, policies, boundary) = (trust.clone(), policies.clone(), boundary.clone());
            let max_session_seconds = *max_session_seconds;
            let role = Role { name, id, created_at, trust, policies, boundary, max_session_seconds, declared };
            (Record::Role(role), known.cloned().map(Record::Role))
        }
        What::Policy { document } => {
            let known = directory.policies.get(&name);
            let (id, created_at) = known.map_or_else(|| fresh("ANPA", now), |p| Ok((p.id.clone(), p.created_at)))?;
            let updated_at = known.filter(|p| p.document == *document).map_or(now, |p| p.updated_at);
            let policy = Policy { name, id, created_at, updated_at, document: document.clone(), declared };
            (Record::Policy(policy), known.cloned().map(Record::Policy))
        }
    };
    if known.as_ref() == Some(&record) {
        return Ok(None);
    }
    let call = match known {
        None => Some("Create"),
        // Only its place moved, with every commit: nothing that anybody wants to hear of.
        Some(ref known) if at(known.clone(), &one.spot) == record => None,
        Some(_) => Some("Update"),
    };
    Ok(Some((Change::Put(record), call)))
}

/// A record as if it were declared there.
fn at(record: Record, spot: &str) -> Record {
    let declared = Some(spot.to_owned());
    match record {
        Record::User(user) => Record::User(User { declared, ..user }),
        Record::Group(group) => Record::Group(Group { declared, ..group }),
        Record::Role(role) => Record::Role(Role { declared, ..role }),
        Record::Policy(policy) => Record::Policy(Policy { declared, ..policy }),
        key @ Record::Key(_) => key,
    }
}

fn fresh(prefix: &str, now: Timestamp) -> Result<(String, Timestamp), AccessError> {
    Ok((make_id(prefix)?, now))
}

/// What was declared and is not any more.
fn left(directory: &Directory, wanted: &[Wanted]) -> Vec<(Sort, String, String)> {
    let users = directory.users.values().map(|u| (Sort::User, &u.name, &u.declared));
    let groups = directory.groups.values().map(|g| (Sort::Group, &g.name, &g.declared));
    let roles = directory.roles.values().map(|r| (Sort::Role, &r.name, &r.declared));
    let policies = directory.policies.values().map(|p| (Sort::Policy, &p.name, &p.declared));
    let declared = users.chain(groups).chain(roles).chain(policies);
    let gone = |(sort, name, spot): (Sort, &String, &Option<String>)| {
        let spot = spot.clone()?;
        let kept = wanted.iter().any(|w| w.what.sort() == sort && &w.name == name);
        (!kept).then(|| (sort, name.clone(), spot))
    };
    declared.filter_map(gone).collect()
}

fn disabled(directory: &Directory, user: &str) -> Vec<Change> {
    let keys = directory.keys.values().filter(|key| key.user == user && key.status == KeyStatus::Active);
    keys.map(|key| Change::Put(Record::Key(AccessKey { status: KeyStatus::Inactive, ..key.clone() }))).collect()
}
