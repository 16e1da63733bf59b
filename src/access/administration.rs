//! Changing the directory: users, groups, roles, policies, access keys. Every change is checked against the state that the one
//! before left, stored, and only then made.

use super::authority::Access;
use super::directory::{AccessKey, Change, Directory, Group, KeyStatus, Policy, Record, Role, Sort, User};
use super::error::{AccessError, Code};
use super::keys::make_id;
use super::policy::{Document, Kind, managed};
use crate::model::{Secret, Timestamp};
use std::collections::BTreeSet;

/// Keys that a user may have at a time, as on AWS: one in use, and one to change to.
const MOST_KEYS: usize = 2;
/// Things of one kind.
const MOST: usize = 5000;
/// The limits of a role's longest session, as on AWS.
const SESSION_SECONDS: std::ops::RangeInclusive<u32> = 3600..=43_200;

/// What policies are attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attached {
    /// To a user.
    User,
    /// To a group.
    Group,
    /// To a role.
    Role,
}

impl Access {
    /// Makes a user without policies.
    ///
    /// # Errors
    /// For a name that is taken or none, and when it cannot be stored.
    pub async fn create_user(&self, name: &str, now: Timestamp) -> Result<User, AccessError> {
        check_name(name)?;
        let user = self.new_user(name, &[], now)?;
        self.edit(|directory| {
            check_free(Sort::User, name, directory.users.contains_key(name), directory.users.len())?;
            Ok((vec![put(Record::User(user.clone()))], user))
        })
        .await
    }

    /// Removes a user with its access keys.
    ///
    /// # Errors
    /// When there is none, and when it cannot be stored.
    pub async fn delete_user(&self, name: &str) -> Result<(), AccessError> {
        self.edit(|directory| {
            let user = find(Sort::User, name, directory.users.get(name), directory.users.keys())?;
            refuse_declared(Sort::User, name, user.declared.as_ref())?;
            let keys = directory.keys.values().filter(|key| key.user == name);
            let keys = keys.map(|key| Change::Delete(Sort::Key, key.id.clone()));
            Ok((keys.chain([Change::Delete(Sort::User, name.into())]).collect(), ()))
        })
        .await
    }

    /// Makes a group without policies.
    ///
    /// # Errors
    /// As [`Access::create_user`].
    pub async fn create_group(&self, name: &str, now: Timestamp) -> Result<Group, AccessError> {
        check_name(name)?;
        let group = Group {
            name: name.into(),
            id: make_id("AGPA")?,
            created_at: now,
            policies: BTreeSet::new(),
            declared: None,
        };
        self.edit(|directory| {
            check_free(Sort::Group, name, directory.groups.contains_key(name), directory.groups.len())?;
            Ok((vec![put(Record::Group(group.clone()))], group))
        })
        .await
    }

    /// Removes a group that nobody is in.
    ///
    /// # Errors
    /// When there is none, or somebody is in it.
    pub async fn delete_group(&self, name: &str) -> Result<(), AccessError> {
        self.edit(|directory| {
            let group = find(Sort::Group, name, directory.groups.get(name), directory.groups.keys())?;
            refuse_declared(Sort::Group, name, group.declared.as_ref())?;
            let members: Vec<&str> =
                directory.users.values().filter(|u| u.groups.contains(name)).map(|u| u.name.as_str()).collect();
            if !members.is_empty() {
                return Err(conflict(format!("the group `{name}` has members: {}", members.join(", "))));
            }
            Ok((vec![Change::Delete(Sort::Group, name.into())], ()))
        })
        .await
    }

    /// Puts a user into a group.
    ///
    /// # Errors
    /// When there is no such user or group.
    pub async fn join(&self, user: &str, group: &str) -> Result<(), AccessError> {
        self.edit(|directory| {
            find(Sort::Group, group, directory.groups.get(group), directory.groups.keys())?;
            let mut user = find(Sort::User, user, directory.users.get(user), directory.users.keys())?.clone();
            refuse_declared(Sort::User, &user.name, user.declared.as_ref())?;
            user.groups.insert(group.into());
            Ok((vec![put(Record::User(user))], ()))
        })
        .await
    }

    /// Takes a user out of a group.
    ///
    /// # Errors
    /// When there is no such user, or it is not in the group.
    pub async fn leave(&self, user: &str, group: &str) -> Result<(), AccessError> {
        self.edit(|directory| {
            let mut user = find(Sort::User, user, directory.users.get(user), directory.users.keys())?.clone();
            refuse_declared(Sort::User, &user.name, user.declared.as_ref())?;
            if !user.groups.remove(group) {
                return Err(AccessError::refused(
                    Code::NotFound,
                    format!("the user `{}` is not in a group `{group}`", user.name),
                ));
            }
            Ok((vec![put(Record::User(user))], ()))
        })
        .await
    }

    /// Makes a role, or changes whom it trusts and how long its sessions may be.
    ///
    /// # Errors
    /// For a trust policy that is none, and as [`Access::create_user`].
    pub async fn put_role(&self, name: &str, trust: &str, seconds: u32, now: Timestamp) -> Result<Role, AccessError> {
        check_name(name)?;
        Document::read(trust, Kind::Trust)
            .map_err(|e| AccessError::refused(Code::Malformed, format!("the trust policy: {e}")))?;
        if !SESSION_SECONDS.contains(&seconds) {
            return Err(AccessError::refused(Code::Malformed, "a role's longest session is 1h to 12h".into()));
        }
        let id = make_id("AROA")?;
        self.edit(|directory| {
            let known = directory.roles.get(name).cloned();
            refuse_declared(Sort::Role, name, known.as_ref().and_then(|role| role.declared.as_ref()))?;
            let fresh = Role {
                name: name.into(),
                id,
                created_at: now,
                trust: String::new(),
                policies: BTreeSet::new(),
                boundary: None,
                max_session_seconds: seconds,
                declared: None,
            };
            check_room(Sort::Role, directory.roles.len())?;
            let role = Role { trust: trust.into(), max_session_seconds: seconds, ..known.unwrap_or(fresh) };
            Ok((vec![put(Record::Role(role.clone()))], role))
        })
        .await
    }

    /// Removes a role; its sessions end with it.
    ///
    /// # Errors
    /// When there is none.
    pub async fn delete_role(&self, name: &str) -> Result<(), AccessError> {
        self.edit(|directory| {
            let role = find(Sort::Role, name, directory.roles.get(name), directory.roles.keys())?;
            refuse_declared(Sort::Role, name, role.declared.as_ref())?;
            Ok((vec![Change::Delete(Sort::Role, name.into())], ()))
        })
        .await
    }

    /// Makes a policy, or changes its document.
    ///
    /// # Errors
    /// For a document that is none, a managed policy's name, and as [`Access::create_user`].
    pub async fn put_policy(&self, name: &str, document: &str, now: Timestamp) -> Result<Policy, AccessError> {
        check_name(name)?;
        if managed::MANAGED.iter().any(|policy| policy.name == name) {
            return Err(conflict(format!("`{name}` is a managed policy, which stays as it is: choose another name")));
        }
        Document::read(document, Kind::Identity).map_err(|e| AccessError::refused(Code::Malformed, e.to_string()))?;
        let id = make_id("ANPA")?;
        self.edit(|directory| {
            let known = directory.policies.get(name).cloned();
            refuse_declared(Sort::Policy, name, known.as_ref().and_then(|policy| policy.declared.as_ref()))?;
            check_room(Sort::Policy, directory.policies.len())?;
            let fresh = Policy {
                name: name.into(),
                id,
                created_at: now,
                updated_at: now,
                document: String::new(),
                declared: None,
            };
            let policy = Policy { document: document.into(), updated_at: now, ..known.unwrap_or(fresh) };
            Ok((vec![put(Record::Policy(policy.clone()))], policy))
        })
        .await
    }

    /// Removes a policy that nothing has.
    ///
    /// # Errors
    /// When there is none, or something has it.
    pub async fn delete_policy(&self, name: &str) -> Result<(), AccessError> {
        self.edit(|directory| {
            let policy = find(Sort::Policy, name, directory.policies.get(name), directory.policies.keys())?;
            refuse_declared(Sort::Policy, name, policy.declared.as_ref())?;
            let users = directory.users_of_policy(name);
            if !users.is_empty() {
                return Err(conflict(format!("the policy `{name}` is in use: {}", users.join(", "))));
            }
            Ok((vec![Change::Delete(Sort::Policy, name.into())], ()))
        })
        .await
    }

    /// Attaches a policy.
    ///
    /// # Errors
    /// When there is no such policy, user, group or role.
    pub async fn attach(&self, to: Attached, name: &str, policy: &str) -> Result<(), AccessError> {
        self.edit(|directory| {
            check_policy(directory, policy)?;
            let change = with_policies(directory, to, name, |policies| {
                policies.insert(policy.into());
                Ok(())
            })?;
            Ok((vec![change], ()))
        })
        .await
    }

    /// Detaches a policy.
    ///
    /// # Errors
    /// When it is not attached.
    pub async fn detach(&self, from: Attached, name: &str, policy: &str) -> Result<(), AccessError> {
        self.edit(|directory| {
            let change = with_policies(directory, from, name, |policies| {
                let missing =
                    || AccessError::refused(Code::NotFound, format!("`{name}` has no policy `{policy}` attached"));
                policies.remove(policy).then_some(()).ok_or_else(missing)
            })?;
            Ok((vec![change], ()))
        })
        .await
    }

    /// Sets, or takes away, the policy that all rights of a user or role have to be in as well.
    ///
    /// # Errors
    /// When there is no such policy, user or role; groups have none.
    pub async fn bound(&self, of: Attached, name: &str, policy: Option<&str>) -> Result<(), AccessError> {
        self.edit(|directory| {
            policy.map(|policy| check_policy(directory, policy)).transpose()?;
            let boundary = policy.map(str::to_owned);
            let record = match of {
                Attached::User => {
                    let user = find(Sort::User, name, directory.users.get(name), directory.users.keys())?;
                    refuse_declared(Sort::User, name, user.declared.as_ref())?;
                    Record::User(User { boundary, ..user.clone() })
                }
                Attached::Role => {
                    let role = find(Sort::Role, name, directory.roles.get(name), directory.roles.keys())?;
                    refuse_declared(Sort::Role, name, role.declared.as_ref())?;
                    Record::Role(Role { boundary, ..role.clone() })
                }
                Attached::Group => return Err(AccessError::refused(Code::Malformed, "groups have no boundary".into())),
            };
            Ok((vec![put(record)], ()))
        })
        .await
    }

    /// Makes an access key. This is the only time that its secret is told.
    ///
    /// # Errors
    /// When there is no such user, or it has two.
    pub async fn create_key(&self, user: &str, now: Timestamp) -> Result<(AccessKey, Secret), AccessError> {
        let (key, secret) = self.new_key(user, now)?;
        self.edit(|directory| {
            find(Sort::User, user, directory.users.get(user), directory.users.keys())?;
            if directory.keys.values().filter(|key| key.user == user).count() >= MOST_KEYS {
                return Err(conflict(format!("the user `{user}` has {MOST_KEYS} access keys: delete one first")));
            }
            Ok((vec![put(Record::Key(key.clone()))], (key, secret)))
        })
        .await
    }

    /// Lets a key be used, or not.
    ///
    /// # Errors
    /// When there is none.
    pub async fn set_key_status(&self, id: &str, status: KeyStatus) -> Result<(), AccessError> {
        self.edit(|directory| {
            let key = find(Sort::Key, id, directory.keys.get(id), directory.keys.keys())?;
            Ok((vec![put(Record::Key(AccessKey { status, ..key.clone() }))], ()))
        })
        .await
    }

    /// Removes a key.
    ///
    /// # Errors
    /// When there is none.
    pub async fn delete_key(&self, id: &str) -> Result<(), AccessError> {
        self.edit(|directory| {
            find(Sort::Key, id, directory.keys.get(id), directory.keys.keys())?;
            Ok((vec![Change::Delete(Sort::Key, id.into())], ()))
        })
        .await
    }
}

/// What the manifest declares is changed there (law 3).
fn refuse_declared(sort: Sort, name: &str, declared: Option<&String>) -> Result<(), AccessError> {
    match declared {
        None => Ok(()),
        Some(spot) => Err(conflict(format!(
            "the {} `{name}` is declared at {spot}; change it there, and towpath follows",
            sort.word()
        ))),
    }
}

fn put(record: Record) -> Change {
    Change::Put(record)
}

/// A change of what policies something has.
fn with_policies(
    directory: &Directory,
    of: Attached,
    name: &str,
    change: impl FnOnce(&mut BTreeSet<String>) -> Result<(), AccessError>,
) -> Result<Change, AccessError> {
    Ok(put(match of {
        Attached::User => {
            let mut user = find(Sort::User, name, directory.users.get(name), directory.users.keys())?.clone();
            refuse_declared(Sort::User, name, user.declared.as_ref())?;
            change(&mut user.policies)?;
            Record::User(user)
        }
        Attached::Group => {
            let mut group = find(Sort::Group, name, directory.groups.get(name), directory.groups.keys())?.clone();
            refuse_declared(Sort::Group, name, group.declared.as_ref())?;
            change(&mut group.policies)?;
            Record::Group(group)
        }
        Attached::Role => {
            let mut role = find(Sort::Role, name, directory.roles.get(name), directory.roles.keys())?.clone();
            refuse_declared(Sort::Role, name, role.declared.as_ref())?;
            change(&mut role.policies)?;
            Record::Role(role)
        }
    }))
}

fn check_policy(directory: &Directory, name: &str) -> Result<(), AccessError> {
    if directory.document(name).is_some() {
        return Ok(());
    }
    let managed = managed::MANAGED.iter().map(|policy| policy.name.to_owned());
    let names: Vec<String> = managed.chain(directory.policies.keys().cloned()).collect();
    find(Sort::Policy, name, None::<&()>, names.iter()).map(|_| ())
}

/// What was looked for, or a refusal that names what is most like it.
fn find<'a, 'n, T>(
    sort: Sort,
    name: &str,
    found: Option<&'a T>,
    names: impl Iterator<Item = &'n String>,
) -> Result<&'a T, AccessError> {
    found.ok_or_else(|| {
        let like =
            names.map(|known| (strsim::damerau_levenshtein(known, name), known)).filter(|(far, _)| *far <= 3).min();
        let meant = like.map(|(_, known)| format!("; is `{known}` meant?")).unwrap_or_default();
        let shown: String = name.chars().take(100).flat_map(char::escape_debug).collect();
        AccessError::refused(Code::NotFound, format!("there is no {} `{shown}`{meant}", sort.word()))
    })
}

fn check_free(sort: Sort, name: &str, taken: bool, count: usize) -> Result<(), AccessError> {
    if taken {
        return Err(conflict(format!("there is a {} `{name}` already", sort.word())));
    }
    check_room(sort, count)
}

fn check_room(sort: Sort, count: usize) -> Result<(), AccessError> {
    if count < MOST {
        Ok(())
    } else {
        Err(conflict(format!("there are {MOST} entries of kind {}, which is the most", sort.word())))
    }
}

fn conflict(message: String) -> AccessError {
    AccessError::refused(Code::Conflict, message)
}

/// Names as IAM has them. They stand in ARNs, where `/` and `:` mean something.
fn check_name(name: &str) -> Result<(), AccessError> {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b));
    if (1..=64).contains(&name.len()) && plain {
        return Ok(());
    }
    let message = "a name has 1 to 64 of the characters A-Z, a-z, 0-9 and `_+=,.@-`";
    Err(AccessError::refused(Code::Malformed, message.into()))
}
