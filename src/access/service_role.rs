//! Roles that a service of ours takes on: what an instance role lets an application have (row A7).

use super::authority::Access;
use super::caller::{Caller, Identity, Session};
use super::directory::Role;
use super::policy::{Attempt, Context, Decision, Document, Kind, Principal, Resource, Trust, trust};
use super::rights::{RequestFacts, facts_of};
use crate::model::Timestamp;

/// The service that instances take their role on as.
pub const INSTANCES: &str = "tasks.apprunner.amazonaws.com";

impl Access {
    /// Whether instances with this role may do something: the role is here, trusts them, and its policies allow it.
    ///
    /// # Errors
    /// In words, with what to do.
    pub fn instances_may(&self, role_arn: &str, action: &str, resource: &str, now: Timestamp) -> Result<(), String> {
        let directory = self.directory();
        let name = role_arn.rsplit_once(":role/").map_or(role_arn, |(_, name)| name);
        let own = format!("arn:aws:iam::{}:role/{name}", self.place().account);
        let Some(role) = directory.roles.get(name).filter(|_| own == role_arn) else {
            return Err(format!(
                "there is no role `{role_arn}` here: `towpath roles put {name} --trust FILE` makes it"
            ));
        };
        let resource = Resource::new(resource);
        if !self.trusts_instances(role, now) {
            return Err(format!(
                "the role `{name}` does not trust `{INSTANCES}`: its trust policy has to name that service"
            ));
        }
        let session = Session {
            role: role.name.clone(),
            role_id: role.id.clone(),
            name: "instance".into(),
            account: self.place().account.clone(),
            since: now,
            policy: None,
        };
        let caller = Caller { identity: Identity::Session(session), key_id: None };
        let (principal, context) = facts_of(&caller, &RequestFacts::local("", now));
        let attempt = Attempt { action, resource: &resource, context: &context, principal: &principal };
        match self.decide(&directory, &caller, &attempt, &[]) {
            Decision::Allowed => Ok(()),
            _ => Err(format!(
                "the policies of the role `{name}` do not allow `{action}` on `{}`",
                attempt.resource.arn()
            )),
        }
    }

    fn trusts_instances(&self, role: &Role, now: Timestamp) -> bool {
        let Ok(document) = Document::read(&role.trust, Kind::Trust) else { return false };
        let principal = Principal { service: Some(INSTANCES.into()), ..Principal::default() };
        let mut context = Context::default();
        context.set("aws:CurrentTime", now.to_string());
        context.set("aws:SourceAccount", &self.place().account);
        let resource = Resource::new("*");
        let attempt =
            Attempt { action: "sts:AssumeRole", resource: &resource, context: &context, principal: &principal };
        trust(&document, &attempt) == Trust::Direct
    }
}
