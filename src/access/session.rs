//! Temporary credentials: a session token carries everything that they are, encrypted for this installation. Nothing is
//! stored, so that sessions outlive restarts and cost nothing; a role that is deleted, or made again, ends its sessions.

use super::authority::Access;
use super::caller::Session;
use super::directory::{Directory, Role};
use super::error::{AccessError, Code};
use super::keys::{make_id, make_secret};
use super::policy::{Attempt, Decision, Document, Kind, Principal, Resource, Trust, trust};
use super::rights::{RequestFacts, facts_of};
use super::signature::SignatureFault;
use super::vault::Vault;
use super::{Caller, Identity};
use crate::model::{Secret, Timestamp};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The shortest session, as on AWS.
const SHORTEST: u32 = 900;
/// How long one is where nothing else is asked for.
const USUAL: u32 = 3600;
/// The longest that a session of a session may be.
const LONGEST_CHAINED: u32 = 3600;
/// What a token is encrypted for.
const PURPOSE: &str = "session-token";

/// What a token says.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Token {
    key_id: String,
    secret: String,
    role: String,
    role_id: String,
    session: String,
    since: Timestamp,
    until: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
}

/// What `AssumeRole` asks for.
#[derive(Clone, Debug, Default)]
pub struct AssumeRole {
    /// The role's ARN.
    pub role_arn: String,
    /// The session's name.
    pub session_name: String,
    /// How many seconds it lives; an hour if that is not said.
    pub seconds: Option<u32>,
    /// A policy that all its rights have to be in as well.
    pub policy: Option<String>,
    /// A word that the trust policy may ask for.
    pub external_id: Option<String>,
}

/// Temporary credentials.
#[derive(Clone, Debug)]
pub struct Temporary {
    /// `ASIA…`.
    pub key_id: String,
    /// Its secret.
    pub secret: Secret,
    /// The token that goes with every request.
    pub token: String,
    /// When it ends.
    pub until: Timestamp,
    /// Who one is with it.
    pub session: Session,
}

impl Access {
    /// Gives out temporary credentials of a role, if its trust policy and the caller's own policies let the caller have it.
    ///
    /// # Errors
    /// `Denied` in the words of row A5, and for values that are not taken.
    pub fn assume_role(
        &self,
        caller: &Caller,
        asked: &AssumeRole,
        request: &RequestFacts,
    ) -> Result<Temporary, AccessError> {
        check_session_name(&asked.session_name)?;
        let directory = self.directory();
        let denied = || AccessError::denied(caller, "sts:AssumeRole", &asked.role_arn);
        let role = self.role_of(&directory, &asked.role_arn).ok_or_else(denied)?;
        if !self.may_assume(&directory, caller, role, asked, request) {
            return Err(denied());
        }
        if let Some(policy) = &asked.policy {
            Document::read(policy, Kind::Identity)
                .map_err(|e| AccessError::refused(Code::Malformed, format!("the session policy: {e}")))?;
        }
        let seconds = session_seconds(caller, role, asked.seconds)?;
        self.make_session(role, asked, request.now, seconds)
    }

    fn role_of<'a>(&self, directory: &'a Directory, arn: &str) -> Option<&'a Role> {
        let name = arn.strip_prefix(&format!("arn:aws:iam::{}:role/", self.place().account))?;
        directory.roles.get(name)
    }

    /// A role that trusts somebody by name needs no more; one that trusts the account leaves it to the caller's policies. An
    /// explicit deny of these counts in both cases.
    fn may_assume(
        &self,
        directory: &Directory,
        caller: &Caller,
        role: &Role,
        asked: &AssumeRole,
        request: &RequestFacts,
    ) -> bool {
        let Ok(document) = Document::read(&role.trust, Kind::Trust) else { return false };
        let (principal, mut context) = facts_of(caller, request);
        context.set("sts:RoleSessionName", &asked.session_name);
        if let Some(external) = &asked.external_id {
            context.set("sts:ExternalId", external);
        }
        let principal = match &caller.identity {
            // The machine's administrator is the account itself.
            Identity::Local { .. } => Principal { account: self.place().account.clone(), ..principal },
            _ => principal,
        };
        let resource = Resource::new(&asked.role_arn);
        let attempt =
            Attempt { action: "sts:AssumeRole", resource: &resource, context: &context, principal: &principal };
        if request.endpoint.as_ref().is_some_and(|endpoint| !endpoint.lets(&attempt)) {
            return false;
        }
        let own = self.decide(directory, caller, &attempt, &[]);
        match trust(&document, &attempt) {
            Trust::None => false,
            Trust::Account => own == Decision::Allowed,
            Trust::Direct => own != Decision::ExplicitlyDenied,
        }
    }

    fn make_session(
        &self,
        role: &Role,
        asked: &AssumeRole,
        now: Timestamp,
        seconds: u32,
    ) -> Result<Temporary, AccessError> {
        let (key_id, secret) = (make_id("ASIA")?, make_secret()?);
        let until = now.plus(Duration::from_secs(seconds.into()));
        let token = Token {
            key_id: key_id.clone(),
            secret: secret.reveal().to_owned(),
            role: role.name.clone(),
            role_id: role.id.clone(),
            session: asked.session_name.clone(),
            since: now,
            until,
            policy: asked.policy.clone(),
        };
        let text =
            serde_json::to_vec(&token).map_err(|e| AccessError::Crypto { act: "write a token", why: e.to_string() })?;
        let session = session_of(&token, &self.place().account);
        Ok(Temporary { key_id, secret, token: self.vault().seal(PURPOSE, &text)?, until, session })
    }
}

/// Who signs with a session token, and with which secret.
pub(super) fn open_session(
    vault: &Vault,
    directory: &Directory,
    account: &str,
    key_id: &str,
    sealed: &str,
    now: Timestamp,
) -> Result<(Session, Secret), SignatureFault> {
    let text = vault.unseal(PURPOSE, sealed).ok_or(SignatureFault::UnknownKey)?;
    let token: Token = serde_json::from_slice(&text).map_err(|_| SignatureFault::UnknownKey)?;
    let role = directory.roles.get(&token.role).filter(|role| role.id == token.role_id);
    if token.key_id != key_id || role.is_none() {
        return Err(SignatureFault::UnknownKey);
    }
    if token.until <= now {
        return Err(SignatureFault::ExpiredToken);
    }
    Ok((session_of(&token, account), Secret::new(token.secret.clone())))
}

fn session_of(token: &Token, account: &str) -> Session {
    Session {
        role: token.role.clone(),
        role_id: token.role_id.clone(),
        name: token.session.clone(),
        account: account.to_owned(),
        since: token.since,
        policy: token.policy.clone(),
    }
}

fn session_seconds(caller: &Caller, role: &Role, asked: Option<u32>) -> Result<u32, AccessError> {
    let chained = matches!(caller.identity, Identity::Session(_));
    let longest = if chained { role.max_session_seconds.min(LONGEST_CHAINED) } else { role.max_session_seconds };
    let seconds = asked.unwrap_or(USUAL.min(longest));
    if (SHORTEST..=longest).contains(&seconds) {
        return Ok(seconds);
    }
    let role = &role.name;
    Err(AccessError::refused(
        Code::Malformed,
        format!("`DurationSeconds` is {SHORTEST} to {longest} for the role `{role}`, not {seconds}"),
    ))
}

fn check_session_name(name: &str) -> Result<(), AccessError> {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_=,.@-".contains(&b));
    if (2..=64).contains(&name.len()) && plain {
        return Ok(());
    }
    Err(AccessError::refused(
        Code::Malformed,
        "`RoleSessionName` has 2 to 64 of the characters A-Z, a-z, 0-9 and `_=,.@-`".into(),
    ))
}
