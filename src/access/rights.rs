//! Whether a caller may do something: its policies, collected from the directory and evaluated.

use super::authority::Access;
use super::caller::{Caller, Identity};
use super::directory::Directory;
use super::endpoint::Endpoint;
use super::policy::{Attempt, Context, Decision, Document, Grants, Kind, Principal, Resource, decide};
use crate::model::Timestamp;
use std::net::IpAddr;
use std::sync::Arc;

/// What is known of every request, whatever it asks.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestFacts {
    /// The request's id, which its answer carries too.
    pub request_id: String,
    /// When it came.
    pub now: Timestamp,
    /// Where from; none over the control socket.
    pub source: Option<IpAddr>,
    /// Whether TLS protects it.
    pub secure: bool,
    /// What its client calls itself.
    pub user_agent: Option<String>,
    /// What its client calls this call: the same for every attempt at it.
    pub invocation: Option<String>,
    /// The private endpoint that it came by.
    pub endpoint: Option<Arc<Endpoint>>,
}

impl RequestFacts {
    /// A request of this machine's own, of which nothing else is known.
    pub fn local(request_id: &str, now: Timestamp) -> Self {
        let (source, user_agent, invocation, endpoint) = (None, None, None, None);
        Self { request_id: request_id.to_owned(), now, source, secure: true, user_agent, invocation, endpoint }
    }
}

impl Access {
    /// Whether a caller may do this to that. `keys` are the condition keys that the operation brings. The policy of the endpoint
    /// that the request came by has to allow it, too.
    pub fn may(
        &self,
        caller: &Caller,
        action: &str,
        resource: &str,
        keys: &Context,
        request: &RequestFacts,
    ) -> Decision {
        let fences: Vec<&Document> = request.endpoint.iter().filter_map(|endpoint| endpoint.policy()).collect();
        let directory = self.directory();
        let (principal, mut context) = facts_of(caller, request);
        context.set("aws:RequestedRegion", &self.place().region);
        context.add(keys);
        let resource = Resource::new(resource);
        self.decide(
            &directory,
            caller,
            &Attempt { action, resource: &resource, context: &context, principal: &principal },
            &fences,
        )
    }

    /// The decision on an attempt that is made already.
    pub(super) fn decide(
        &self,
        directory: &Directory,
        caller: &Caller,
        attempt: &Attempt<'_>,
        fences: &[&Document],
    ) -> Decision {
        let (policies, boundary): (Vec<&str>, Option<&String>) = match &caller.identity {
            // By the machine's word, which no policy bounds.
            Identity::Local { .. } => return Decision::Allowed,
            Identity::User { name, id, .. } => match directory.users.get(name).filter(|user| user.id == *id) {
                Some(user) => (directory.policies_of(user).collect(), user.boundary.as_ref()),
                None => return Decision::NotAllowed,
            },
            Identity::Session(session) => {
                match directory.roles.get(&session.role).filter(|r| r.id == session.role_id) {
                    Some(role) => (role.policies.iter().map(String::as_str).collect(), role.boundary.as_ref()),
                    None => return Decision::NotAllowed,
                }
            }
        };
        let own = match session_policy(caller) {
            Ok(own) => own,
            Err(()) => return Decision::NotAllowed,
        };
        let mut grants = Grants {
            identity: policies.into_iter().filter_map(|p| directory.document(p)).collect(),
            fences: fences.to_vec(),
        };
        match boundary.map(|name| directory.document(name)) {
            Some(Some(document)) => grants.fences.push(document),
            // A boundary that is gone bounds everything.
            Some(None) => return Decision::Fenced,
            None => {}
        }
        grants.fences.extend(own.as_ref());
        decide(&grants, attempt)
    }
}

/// The policy that a session was given. It was read once when the session was made: one that is none now allows nothing.
fn session_policy(caller: &Caller) -> Result<Option<Document>, ()> {
    match &caller.identity {
        Identity::Session(session) => {
            session.policy.as_ref().map(|text| Document::read(text, Kind::Identity).map_err(|_| ())).transpose()
        }
        _ => Ok(None),
    }
}

/// Who a caller is to policies, and the condition keys that every request has.
pub(super) fn facts_of(caller: &Caller, request: &RequestFacts) -> (Principal, Context) {
    let mut context = Context::default();
    context.set("aws:CurrentTime", request.now.to_string());
    context.set("aws:EpochTime", (request.now.0 / 1000).to_string());
    context.set("aws:SecureTransport", request.secure.to_string());
    context.set("aws:ViaAWSService", "false");
    context.set("aws:PrincipalArn", caller.name());
    context.set("aws:userid", caller.id());
    if let Some(source) = request.source {
        context.set("aws:SourceIp", source.to_canonical().to_string());
    }
    if let Some(endpoint) = &request.endpoint {
        context.set("aws:SourceVpce", endpoint.name());
    }
    if let Some(agent) = &request.user_agent {
        context.set("aws:UserAgent", agent);
    }
    let principal = match &caller.identity {
        Identity::Local { name } => Principal { arns: vec![name.clone()], ..Principal::default() },
        Identity::User { name, account, .. } => {
            context.set("aws:username", name);
            context.set("aws:PrincipalType", "User");
            context.set("aws:PrincipalAccount", account);
            Principal { arns: vec![caller.name()], account: account.clone(), service: None }
        }
        Identity::Session(session) => {
            context.set("aws:PrincipalType", "AssumedRole");
            context.set("aws:PrincipalAccount", &session.account);
            context.set("aws:PrincipalArn", session.role_arn());
            context.set("aws:TokenIssueTime", session.since.to_string());
            context.set("aws:MultiFactorAuthPresent", "false");
            let arns = vec![caller.name(), session.role_arn()];
            Principal { arns, account: session.account.clone(), service: None }
        }
    };
    (principal, context)
}
