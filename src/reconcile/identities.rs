//! Users, groups, roles and policies of the manifest: looked at before it is put in force, brought about when it is.

use super::core::Core;
use crate::access::audit::{Own, record_of_own};
use crate::access::{Wanted, What};
use crate::desired::identities::{Identities, Rights};
use crate::desired::{Desired, ManifestVersion, Parsed};
use crate::model::{EventSeverity, Place, Problem, Severity};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Adds what keeps the declarations from being brought about: policies that are none, names that there are not or that
/// somebody gave by a command.
pub fn check(core: &Core, mut parsed: Parsed<Desired>) -> Parsed<Desired> {
    let (Some(access), Some(desired)) = (core.access.get(), &parsed.value) else { return parsed };
    let (wanted, places) = wanted(&desired.identities, &desired.manifest);
    let problems: Vec<Problem> =
        access.problems_of(&wanted).into_iter().map(|(at, why)| problem(places[at], why)).collect();
    if !problems.is_empty() {
        parsed.problems.extend(problems);
        parsed.value = None;
    }
    parsed
}

/// What bringing about a manifest's declarations would do, a line each.
pub fn planned(core: &Core, desired: &Desired) -> Vec<String> {
    let Some(access) = core.access.get() else { return Vec::new() };
    let (wanted, _) = wanted(&desired.identities, &desired.manifest);
    let done = access.plan(&wanted, core.now()).unwrap_or_default();
    done.iter().map(|done| format!("access: {} {}, declared at {}", done.call, done.resource, done.spot)).collect()
}

/// Brings about what the manifest in force declares.
pub async fn converge(core: &Arc<Core>) {
    let Some(access) = core.access.get() else { return };
    let Some(desired) = core.state().desired.clone() else { return };
    let (wanted, _) = wanted(&desired.identities, &desired.manifest);
    match access.converge(&wanted, core.now()).await {
        Ok(done) if done.is_empty() => {}
        Ok(done) => {
            for one in &done {
                record(core, one).await;
            }
            let told: Vec<String> = done.iter().map(|d| format!("{} {}", d.call, d.resource)).collect();
            let message = format!("Access control follows {}: {}.", desired.manifest, told.join(", "));
            core.emit_plain("IdentitiesChanged", EventSeverity::Info, message).await;
        }
        Err(error) => {
            tracing::error!(error = %super::chain(&error), "what the manifest declares of access control was not stored");
            // Read anew by the next pass, which tries again.
            core.state().manifest_read = None;
        }
    }
}

/// Records a change that the manifest caused (row O6).
async fn record(core: &Core, done: &crate::access::Done) {
    let (Some(audit), Some(access)) = (core.audit.get(), core.access.get()) else { return };
    let place = access.place();
    let own = Own {
        now: core.now(),
        service: "iam",
        name: &done.call,
        resource: &format!("arn:aws:iam::{}:{}", place.account, done.resource),
        cause: &format!("declared at {}", done.spot),
        operation: None,
        event_id: &crate::model::ids::uuid4(core.random()),
    };
    if let Err(error) = audit.write(&record_of_own(&own, place)).await {
        tracing::error!(error = %super::chain(&error), "a change of access control was not recorded");
    }
}

/// What is declared, as access control takes it, each with its place.
fn wanted<'d>(identities: &'d Identities, version: &ManifestVersion) -> (Vec<Wanted>, Vec<&'d Place>) {
    let mut all: Vec<(Wanted, &Place)> = Vec::new();
    let mut add = |name: String, place: &'d Place, what: What| {
        all.push((Wanted { name, spot: version.spot(place), what }, place));
    };
    for (name, policy) in &identities.policies {
        add(name.clone(), &policy.place, What::Policy { document: policy.document.clone() });
    }
    let users = identities.users.iter().map(|(n, u)| ("user", n, &u.rights, &u.place));
    let groups = identities.groups.iter().map(|(n, g)| ("group", n, &g.rights, &g.place));
    let roles = identities.roles.iter().map(|(n, r)| ("role", n, &r.rights, &r.place));
    for (word, owner, rights, place) in users.chain(groups).chain(roles) {
        for (name, document) in &rights.inline {
            add(inline(word, owner, name), place, What::Policy { document: document.clone() });
        }
    }
    for (name, group) in &identities.groups {
        add(name.clone(), &group.place, What::Group { policies: policies("group", name, &group.rights) });
    }
    for (name, role) in &identities.roles {
        let (trust, boundary) = (role.trust.clone(), role.boundary.clone());
        let (policies, max_session_seconds) = (policies("role", name, &role.rights), role.max_session_seconds);
        add(name.clone(), &role.place, What::Role { trust, policies, boundary, max_session_seconds });
    }
    for (name, user) in &identities.users {
        let (groups, boundary) = (user.groups.clone(), user.boundary.clone());
        add(name.clone(), &user.place, What::User { policies: policies("user", name, &user.rights), groups, boundary });
    }
    all.into_iter().unzip()
}

/// What a policy in place is called: no command can give such a name.
fn inline(word: &str, owner: &str, name: &str) -> String {
    format!("{word}/{owner}/{name}")
}

fn policies(word: &str, owner: &str, rights: &Rights) -> BTreeSet<String> {
    rights.policies.iter().cloned().chain(rights.inline.keys().map(|name| inline(word, owner, name))).collect()
}

fn problem(place: &Place, message: String) -> Problem {
    Problem {
        class: "access".into(),
        severity: Severity::Error,
        place: place.clone(),
        length: 1,
        message,
        hint: None,
        source_line: None,
    }
}
