//! Who calls.

use crate::model::Timestamp;

/// Who calls, once that is certain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Who.
    pub identity: Identity,
    /// The access key that signed; none over the control socket.
    pub key_id: Option<String>,
}

/// The kinds of callers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Root, or the server's own user, over the control socket: the administrator by the machine's word.
    Local {
        /// `local:<user>`.
        name: String,
    },
    /// A user by an access key.
    User {
        /// The user's name.
        name: String,
        /// `AIDA…`.
        id: String,
        /// The installation's account.
        account: String,
    },
    /// Somebody who assumed a role.
    Session(Session),
}

/// A role's session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The role's name.
    pub role: String,
    /// The role's id: `AROA…`.
    pub role_id: String,
    /// The name that the session was given.
    pub name: String,
    /// The installation's account.
    pub account: String,
    /// When it began.
    pub since: Timestamp,
    /// The policy that all its rights have to be in as well, if it was given one.
    pub policy: Option<String>,
}

impl Session {
    /// The role's ARN.
    pub fn role_arn(&self) -> String {
        format!("arn:aws:iam::{}:role/{}", self.account, self.role)
    }
}

impl Caller {
    /// The caller of the control socket.
    pub fn local(name: &str) -> Self {
        Self { identity: Identity::Local { name: name.to_owned() }, key_id: None }
    }

    /// Who it is, in one word: an ARN, or `local:<user>`.
    pub fn name(&self) -> String {
        match &self.identity {
            Identity::Local { name } => name.clone(),
            Identity::User { name, account, .. } => format!("arn:aws:iam::{account}:user/{name}"),
            Identity::Session(session) => {
                format!("arn:aws:sts::{}:assumed-role/{}/{}", session.account, session.role, session.name)
            }
        }
    }

    /// `AIDA…` of a user, `AROA…:<session>` of a session, the name of who is local.
    pub fn id(&self) -> String {
        match &self.identity {
            Identity::Local { name } => name.clone(),
            Identity::User { id, .. } => id.clone(),
            Identity::Session(session) => format!("{}:{}", session.role_id, session.name),
        }
    }
}
