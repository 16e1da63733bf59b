//! What is said back to where a commit came from, and read of pull requests: by connections to GitHub.
//!
//! - [`desk`] says what becomes of deployments: commit statuses and deployments, as [`report`] words them and [`outbox`]
//!   keeps them.
//! - [`review`] plans pull requests against the manifest's repository; [`pulls`] is what they are.
//! - [`gate`] holds commits back until their checks have passed, as [`checks`] judges them.
//! - [`revert`] opens the pull request of a rollback.
//! - [`previews`] gives pull requests of applications services of their own.
//!
//! Everything here happens beside the work and never in its way: what GitHub refuses or cannot take is an event.

pub mod checks;
pub mod desk;
pub mod gate;
pub mod link;
pub mod outbox;
#[cfg(test)]
mod outbox_tests;
pub mod previews;
pub mod pulls;
pub mod report;
pub mod revert;
pub mod review;

use self::link::{Link, Slug, place_of};
use super::connections;
use crate::model::{Provider, RepositoryUrl, ServiceSpec};
use crate::reconcile::core::Core;
use crate::settings::ManifestRepository;
use crate::source::github::{ApiBase, Credentials, GitHub};
use crate::source::{Access, Means};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Clients of GitHub that were made, by the connection, each with what it was made of.
#[derive(Debug, Default)]
pub struct Clients(Mutex<BTreeMap<String, (Arc<Access>, GitHub)>>);

/// Begins to say and to look, until the control plane stops.
pub fn begin(core: &Arc<Core>) {
    tokio::spawn(desk::run(core.clone()));
    tokio::spawn(review::run(core.clone()));
    tokio::spawn(gate::run(core.clone()));
    tokio::spawn(previews::run(core.clone()));
}

/// Looks soon at what a git host says something happened to.
pub fn hint(core: &Core, named: &[RepositoryUrl]) {
    let mut state = core.state();
    for ((repository, ..), gate) in &mut state.gates {
        if named.iter().any(|n| n.same_place(repository)) {
            gate.hasten();
        }
    }
    drop(state);
    core.host_hints.send_modify(|number| *number = number.wrapping_add(1));
}

/// Who is told of a service; `None` where its source has no connection to GitHub that can be used.
pub fn link_of(core: &Core, spec: &ServiceSpec) -> Option<Link> {
    link(core, &connections::bound(core, spec)?, &spec.source.repository)
}

/// Who is asked about the manifest's own repository; `None` where it has no connection to GitHub.
pub fn link_of_manifest(core: &Core, repository: &ManifestRepository) -> Option<Link> {
    link(core, repository.connection.as_ref()?.as_str(), &repository.url)
}

fn link(core: &Core, name: &str, repository: &RepositoryUrl) -> Option<Link> {
    let (provider, access) = connections::opened(core, name)?;
    let host = access.host.as_ref().filter(|host| provider == Provider::GitHub && host.has(repository))?;
    let credentials = match &access.means {
        Means::Basic { password, .. } => Credentials::Token(password.clone()),
        Means::Installation(installation) => Credentials::Installation(installation.clone()),
        Means::Key(_) | Means::Unusable { .. } => return None,
    };
    let is_app = matches!(credentials, Credentials::Installation(_));
    let slug = Slug::of_path(&place_of(repository)?.1)?;
    let mut clients = core.clients.0.lock().unwrap_or_else(PoisonError::into_inner);
    let known = clients.get(name).filter(|(made_of, _)| Arc::ptr_eq(made_of, &access));
    let github = match known {
        Some((_, github)) => github.clone(),
        None => {
            let github = GitHub::new(core.git.wire(), ApiBase::of(host), credentials);
            clients.insert(name.to_owned(), (access.clone(), github.clone()));
            github
        }
    };
    Some(Link { connection: name.to_owned(), slug, is_app, github })
}
