//! Users, groups, roles, policies and access keys, for our own command: IAM's operations by their names, in shapes of ours.

use super::control::Refusal;
use super::dispatch::{Call, output, unknown};
use super::door::Door;
use super::errors::ApiError;
use crate::access::policy::managed;
use crate::access::{AccessError, Attached, Code, Directory, KeyStatus};
use crate::model::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;

impl From<AccessError> for ApiError {
    fn from(error: AccessError) -> Self {
        match error {
            AccessError::Denied(message) => super::errors::Fault::Denied(message).into(),
            AccessError::Refused { code: Code::NotFound, message } => Refusal::NotFound(message).into(),
            AccessError::Refused { code: Code::Conflict, message } => Refusal::InvalidState(message).into(),
            AccessError::Refused { code: Code::Malformed, message } => Refusal::InvalidRequest(message).into(),
            error => {
                let message = match std::error::Error::source(&error) {
                    Some(source) => format!("{error}: {source}"),
                    None => error.to_string(),
                };
                Refusal::Internal(message).into()
            }
        }
    }
}

/// A user, group or role, as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Its policies.
    pub policies: BTreeSet<String>,
    /// A user's groups.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<String>,
    /// Its boundary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boundary: Option<String>,
    /// Whom a role trusts: the text of its trust policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<String>,
}

/// A policy, as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListedPolicy {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// Whether it is there from the start.
    pub managed: bool,
    /// Who has it.
    pub used_by: Vec<String>,
    /// Its document's text.
    pub document: String,
}

/// An access key, as it is listed: without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListedKey {
    /// Its id.
    pub id: String,
    /// Whose.
    pub user: String,
    /// Whether it may be used.
    pub status: KeyStatus,
    /// When it was made.
    pub created_at: Timestamp,
}

/// An access key as it is made: the only time that its secret is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct MadeKey {
    /// Its id.
    pub id: String,
    /// Whose.
    pub user: String,
    /// Its secret.
    pub secret: String,
    /// The region to sign for.
    pub region: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ByName {
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Nothing {}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Membership {
    user: String,
    group: String,
}

/// What a policy is attached to.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum KindWord {
    User,
    Group,
    Role,
}

impl From<KindWord> for Attached {
    fn from(word: KindWord) -> Self {
        match word {
            KindWord::User => Self::User,
            KindWord::Group => Self::Group,
            KindWord::Role => Self::Role,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Attachment {
    kind: KindWord,
    name: String,
    policy: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct PutRole {
    name: String,
    trust: String,
    max_session_seconds: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct PutPolicy {
    name: String,
    document: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ByUser {
    user: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ById {
    id: String,
    status: Option<KeyStatus>,
}

/// Answers a call of one of these operations.
pub(super) async fn answer(door: &Door, call: &Call, operation: &str) -> Result<Value, ApiError> {
    let (access, now) = (&door.access, Timestamp::now());
    match operation {
        "CreateUser" => drop(access.create_user(&call.read::<ByName>()?.name, now).await?),
        "DeleteUser" => access.delete_user(&call.read::<ByName>()?.name).await?,
        "CreateGroup" => drop(access.create_group(&call.read::<ByName>()?.name, now).await?),
        "DeleteGroup" => access.delete_group(&call.read::<ByName>()?.name).await?,
        "AddUserToGroup" => {
            let Membership { user, group } = call.read()?;
            access.join(&user, &group).await?;
        }
        "RemoveUserFromGroup" => {
            let Membership { user, group } = call.read()?;
            access.leave(&user, &group).await?;
        }
        "AttachPolicy" => {
            let Attachment { kind, name, policy } = call.read()?;
            access.attach(kind.into(), &name, &policy.unwrap_or_default()).await?;
        }
        "DetachPolicy" => {
            let Attachment { kind, name, policy } = call.read()?;
            access.detach(kind.into(), &name, &policy.unwrap_or_default()).await?;
        }
        "PutPermissionsBoundary" => {
            let Attachment { kind, name, policy } = call.read()?;
            access.bound(kind.into(), &name, policy.as_deref()).await?;
        }
        "PutRole" => {
            let PutRole { name, trust, max_session_seconds } = call.read()?;
            access.put_role(&name, &trust, max_session_seconds.unwrap_or(3600), now).await?;
        }
        "DeleteRole" => access.delete_role(&call.read::<ByName>()?.name).await?,
        "PutPolicy" => {
            let PutPolicy { name, document } = call.read()?;
            access.put_policy(&name, &document, now).await?;
        }
        "DeletePolicy" => access.delete_policy(&call.read::<ByName>()?.name).await?,
        "CreateAccessKey" => return create_key(door, &call.read::<ByUser>()?.user, now).await,
        "UpdateAccessKey" => {
            let ById { id, status } = call.read()?;
            access.set_key_status(&id, status.unwrap_or(KeyStatus::Active)).await?;
        }
        "DeleteAccessKey" => access.delete_key(&call.read::<ById>()?.id).await?,
        listing => return list(door, call, listing),
    }
    Ok(json!({}))
}

async fn create_key(door: &Door, user: &str, now: Timestamp) -> Result<Value, ApiError> {
    let (key, secret) = door.access.create_key(user, now).await?;
    let region = door.access.place().region.clone();
    output(&MadeKey { id: key.id, user: key.user, secret: secret.reveal().to_owned(), region })
}

fn list(door: &Door, call: &Call, operation: &str) -> Result<Value, ApiError> {
    let directory = door.access.directory();
    let account = &door.access.place().account;
    if operation == "GetPolicy" {
        let name = call.read::<ByName>()?.name;
        let found = policies(&directory, account).into_iter().find(|policy| policy.name == name);
        return match found {
            Some(policy) => output(&policy),
            None => Err(Refusal::NotFound(format!("there is no policy `{}`", name.escape_debug())).into()),
        };
    }
    let Nothing {} = call.read()?;
    match operation {
        "ListUsers" => output(&users(&directory, account)),
        "ListGroups" => output(&groups(&directory, account)),
        "ListRoles" => output(&roles(&directory, account)),
        "ListPolicies" => output(&policies(&directory, account)),
        "ListAccessKeys" => output(&keys(&directory)),
        _ => Err(unknown(&call.target).into()),
    }
}

fn users(directory: &Directory, account: &str) -> Vec<Listed> {
    let listed = directory.users.values().map(|user| Listed {
        name: user.name.clone(),
        arn: format!("arn:aws:iam::{account}:user/{}", user.name),
        created_at: user.created_at,
        policies: user.policies.clone(),
        groups: user.groups.clone(),
        boundary: user.boundary.clone(),
        trust: None,
    });
    listed.collect()
}

fn groups(directory: &Directory, account: &str) -> Vec<Listed> {
    let listed = directory.groups.values().map(|group| Listed {
        name: group.name.clone(),
        arn: format!("arn:aws:iam::{account}:group/{}", group.name),
        created_at: group.created_at,
        policies: group.policies.clone(),
        groups: BTreeSet::new(),
        boundary: None,
        trust: None,
    });
    listed.collect()
}

fn roles(directory: &Directory, account: &str) -> Vec<Listed> {
    let listed = directory.roles.values().map(|role| Listed {
        name: role.name.clone(),
        arn: format!("arn:aws:iam::{account}:role/{}", role.name),
        created_at: role.created_at,
        policies: role.policies.clone(),
        groups: BTreeSet::new(),
        boundary: role.boundary.clone(),
        trust: Some(role.trust.clone()),
    });
    listed.collect()
}

fn policies(directory: &Directory, account: &str) -> Vec<ListedPolicy> {
    let managed = managed::MANAGED.iter().map(|policy| ListedPolicy {
        name: policy.name.to_owned(),
        arn: policy.arn(),
        managed: true,
        used_by: directory.users_of_policy(policy.name),
        document: policy.document.to_owned(),
    });
    let own = directory.policies.values().map(|policy| ListedPolicy {
        name: policy.name.clone(),
        arn: format!("arn:aws:iam::{account}:policy/{}", policy.name),
        managed: false,
        used_by: directory.users_of_policy(&policy.name),
        document: policy.document.clone(),
    });
    managed.chain(own).collect()
}

fn keys(directory: &Directory) -> Vec<ListedKey> {
    let listed = directory.keys.values().map(|key| ListedKey {
        id: key.id.clone(),
        user: key.user.clone(),
        status: key.status,
        created_at: key.created_at,
    });
    listed.collect()
}
