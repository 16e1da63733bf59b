//! What connections give (row C1): read anew in each pass, so that a credential that was renewed counts at once.
//!
//! A connection is declared in the manifest, or made by the API; either way it is one resource, under one name. What is
//! declared holds; where nothing is said of how it gets in, it is what the handshake was completed with.

use super::core::{Core, State};
use crate::access::Vault;
use crate::desired::ConnectionSpec;
use crate::model::{
    Digest, Entrance, Handshake, HostUrl, Invalid, Means, Provider, RepositoryUrl, Resource, ResourceId, ResourceKind,
    ResourceType, Secret, SecretRef, ServiceSpec,
};
use crate::settings::ManifestSource;
use crate::source::github::{ApiBase, AppKey, Credentials, GitHub, Installation, Wire};
use crate::source::{Access, Means as Shown};
use crate::store::{World, Write};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

/// What was read last, by the names of connections.
#[derive(Debug, Default)]
pub struct Book {
    read: Mutex<BTreeMap<String, Read>>,
    /// Those that repositories were to be read by, and that were not there.
    missing: Mutex<BTreeSet<String>>,
    /// Held from looking at what is used until that is set: what was looked at earlier never comes later.
    turn: tokio::sync::Mutex<()>,
    /// Those who make a GitHub App.
    pub(super) browsers: super::app_handshake::Browsers,
}

#[derive(Debug)]
struct Read {
    /// Of everything that it was made of, the secret too.
    digest: Digest,
    access: Arc<Access>,
}

/// What there is to know of a connection before its secret is read.
struct Known {
    host: Option<HostUrl>,
    provider: Provider,
    found: Found,
}

enum Found {
    Declared(Means),
    Completed(ResourceId, Handshake),
    Pending,
}

/// A connection with its secret.
struct Opened {
    host: Option<HostUrl>,
    provider: Provider,
    entrance: Entrance,
    secret: Secret,
}

/// A connection that gives nothing: whose server it is, why, and what to do.
type Unreadable = (Option<HostUrl>, String, String);

/// Reads what all connections give that are used, and hastens the repositories of those that give something else now.
pub async fn refresh(core: &Core) {
    let _turn = core.connections.turn.lock().await;
    adopt(core).await;
    let (readers, known) = {
        let state = core.state();
        let readers = readers(&state, &core.config.manifest);
        let names: Vec<String> = readers.iter().map(|(_, name)| name.clone()).collect();
        let known: BTreeMap<String, Known> =
            names.into_iter().filter_map(|n| Some((n.clone(), known(&state, &n)?))).collect();
        (readers, known)
    };
    let there: BTreeSet<String> = known.keys().cloned().collect();
    let mut changed = core.connections.found(readers.iter().map(|(_, name)| name), &there);
    for (name, known) in known {
        let opened = open(core, &name, known).await;
        if core.connections.take(core, &name, opened) {
            changed.push(name);
        }
    }
    let mut read = core.connections.read.lock().unwrap_or_else(PoisonError::into_inner);
    // What one gave that is deleted is shown no more.
    read.retain(|name, _| there.contains(name));
    let access = |name: &String| read.get(name).map_or_else(|| Arc::new(gone(name)), |read| read.access.clone());
    let map: HashMap<RepositoryUrl, Arc<Access>> =
        readers.iter().rev().map(|(repository, name)| (repository.clone(), access(name))).collect();
    core.git.set_access(map);
    drop(read);
    for (repository, _) in readers.iter().filter(|(_, name)| changed.contains(name)) {
        core.poller.hasten(repository);
    }
}

impl Book {
    /// Takes note of what is missing; those that were and are there now.
    fn found<'n>(&self, used: impl Iterator<Item = &'n String>, there: &BTreeSet<String>) -> Vec<String> {
        let missing = used.filter(|name| !there.contains(*name)).cloned().collect();
        let before = std::mem::replace(&mut *self.missing.lock().unwrap_or_else(PoisonError::into_inner), missing);
        before.intersection(there).cloned().collect()
    }

    /// Takes what was read; whether it is something else than before.
    fn take(&self, core: &Core, name: &str, opened: Result<Opened, Unreadable>) -> bool {
        let digest = match &opened {
            Ok(o) => Digest::of(&(&o.host, o.provider, &o.entrance, o.secret.reveal())),
            Err(why) => Digest::of(why),
        };
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let before = read.get(name).map(|read| read.digest.clone());
        if before.as_ref() == Some(&digest) {
            return false;
        }
        let access = Arc::new(access(core, name, opened));
        read.insert(name.to_owned(), Read { digest, access });
        before.is_some()
    }
}

/// Which repositories are read by which connections. What is declared comes first, and wins.
fn readers(state: &State, manifest: &ManifestSource) -> Vec<(RepositoryUrl, String)> {
    let declared = state.desired.iter().flat_map(|d| d.services.iter().map(|s| &s.spec));
    let live = state.world.services.values().filter(|r| r.deleted_at.is_none());
    let stored = live.flat_map(|r| r.applied.iter().chain(r.requested.as_deref()));
    let targets = state.world.open_operations().filter_map(|o| o.target.spec.as_ref());
    let services = declared.chain(stored).chain(targets);
    let services = services.filter_map(|spec| Some((spec.source.repository.clone(), name_of(&state.world, spec)?)));
    let own = match manifest {
        ManifestSource::Repository(repository) => {
            repository.connection.as_ref().map(|name| (repository.url.clone(), name.to_string()))
        }
        ManifestSource::Path(_) => None,
    };
    own.into_iter().chain(services).collect()
}

/// Why a service must not read its repository: the API made it, it names no connection, and others read it by one. What they
/// read lies in a mirror that all share.
pub fn must_not_read(core: &Core, spec: &ServiceSpec) -> Option<String> {
    let by_another = spec.wire.is_some() && core.git.is_read_by_connection(&spec.source.repository);
    if !by_another || name_of(&core.state().world, spec).is_some() {
        return None;
    }
    Some(format!(
        "repository `{}` is read by a connection by another service: name a connection that leads to it \
         (`AuthenticationConfiguration`)",
        spec.source.repository
    ))
}

/// The connection that a service is bound to, by its name.
fn name_of(world: &World, spec: &ServiceSpec) -> Option<String> {
    let bound = || world.resources.get(spec.wire.as_ref()?.connection.as_ref()?).map(|r| r.name.clone());
    spec.source.connection.as_ref().map(ToString::to_string).or_else(bound)
}

/// The resource of a connection.
pub fn find<'w>(world: &'w World, name: &str) -> Option<&'w Resource> {
    world.resources.values().find(|r| r.of_type() == ResourceType::Connection && r.is_active() && r.name == name)
}

fn known(state: &State, name: &str) -> Option<Known> {
    let declared = state.desired.iter().flat_map(|d| &d.connections).find(|c| c.name.as_str() == name);
    let resource = find(&state.world, name)?;
    let ResourceKind::Connection { provider, host, handshake, .. } = &resource.kind else { return None };
    let spec = declared.map(|declared| &declared.spec);
    let completed = handshake.as_ref().filter(|handshake| handshake.completed_at.is_some());
    let found = match (spec.and_then(|spec| spec.means.clone()), completed) {
        (Some(means), _) => Found::Declared(means),
        (None, Some(handshake)) => Found::Completed(resource.id.clone(), handshake.clone()),
        (None, None) => Found::Pending,
    };
    let host = spec.map(|spec| spec.host.clone()).or_else(|| host.clone());
    let provider = spec.map_or(*provider, |spec| spec.provider);
    Some(Known { host: host.or_else(|| provider.host()), provider, found })
}

/// What the purpose of a connection's secret is, for the vault.
pub fn purpose(id: &ResourceId) -> String {
    format!("connection:{id}")
}

/// Reads the secret; why that cannot be done, and what to do about it, otherwise.
async fn open(core: &Core, name: &str, known: Known) -> Result<Opened, Unreadable> {
    let Known { host, provider, found } = known;
    let pending = "its handshake is not completed";
    let todo = format!("complete it: `towpath connections handshake {name}`");
    let (entrance, secret) = match found {
        Found::Pending => return Err((host, pending.to_owned(), todo)),
        Found::Declared(means) => (entrance_of(&means), declared_secret(core, means.secret()).await),
        Found::Completed(id, handshake) => (handshake.entrance.clone(), stored_secret(core, &id, &handshake)),
    };
    match secret {
        Ok(secret) => Ok(Opened { host, provider, entrance, secret }),
        Err((problem, hint)) => Err((host, problem, hint)),
    }
}

fn entrance_of(means: &Means) -> Entrance {
    match means {
        Means::Token(_) => Entrance::Token,
        Means::Basic { username, .. } => Entrance::Basic { username: username.clone() },
        Means::SshKey(_) => Entrance::SshKey { public: String::new() },
        Means::App { id, installation, .. } => Entrance::App { id: *id, slug: None, installation: *installation },
    }
}

async fn declared_secret(core: &Core, reference: &SecretRef) -> Result<Secret, (String, String)> {
    let hint = "correct it in the manifest, or put the secret there: it is read again by itself".to_owned();
    match super::secrets::resolve(reference, core).await {
        Ok(secret) if secret.reveal().trim().is_empty() => Err((format!("{reference} is empty"), hint)),
        Ok(secret) => Ok(secret),
        Err(why) => Err((format!("its secret cannot be read: {why}"), hint)),
    }
}

/// The secret that a handshake was made with; why it cannot be read, and what to do, otherwise.
pub(super) fn stored_secret(core: &Core, id: &ResourceId, handshake: &Handshake) -> Result<Secret, (String, String)> {
    let unsealed = vault(core).and_then(|vault| {
        let bytes = vault.unseal(&purpose(id), &handshake.sealed).ok_or("it was encrypted under another key")?;
        String::from_utf8(bytes).map_err(|_| "it is no text".to_owned())
    });
    let hint = "complete the handshake again: `towpath connections handshake NAME`".to_owned();
    unsealed.map(Secret::new).map_err(|why| (format!("its stored secret cannot be read: {why}"), hint))
}

/// What the webhooks of a connection's App are signed with.
pub(super) fn stored_webhook_secret(core: &Core, id: &ResourceId, handshake: &Handshake) -> Option<Secret> {
    let bytes = vault(core).ok()?.unseal(&purpose(id), handshake.sealed_webhook.as_ref()?)?;
    String::from_utf8(bytes).ok().filter(|text| !text.is_empty()).map(Secret::new)
}

/// What the webhooks of all our Apps are signed with.
pub(super) fn webhook_secrets(core: &Core) -> Vec<Secret> {
    let kept: Vec<(ResourceId, Handshake)> = {
        let state = core.state();
        let all = state.world.resources.values().filter(|r| r.is_active());
        let kept = all.filter_map(|r| match &r.kind {
            ResourceKind::Connection { handshake: Some(handshake), .. } if handshake.sealed_webhook.is_some() => {
                Some((r.id.clone(), handshake.clone()))
            }
            _ => None,
        });
        kept.collect()
    };
    kept.iter().filter_map(|(id, handshake)| stored_webhook_secret(core, id, handshake)).collect()
}

/// What secrets are stored under.
///
/// # Errors
/// In words.
pub fn vault(core: &Core) -> Result<Vault, String> {
    Vault::open(&core.config.secrets.join("access.key")).map_err(|error| super::chain(&error))
}

fn gone(name: &str) -> Access {
    let problem = "there is no such connection".to_owned();
    let hint = format!("make it: `towpath connections create {name}`, or declare it in the manifest");
    Access { whose: whose(name), host: None, means: Shown::Unusable { problem, hint } }
}

fn whose(name: &str) -> String {
    format!("connection `{name}`")
}

/// What is shown for a connection.
fn access(core: &Core, name: &str, opened: Result<Opened, Unreadable>) -> Access {
    let whose = whose(name);
    let Opened { host, provider, entrance, secret } = match opened {
        Ok(opened) => opened,
        Err((host, problem, hint)) => return Access { whose, host, means: Shown::Unusable { problem, hint } },
    };
    let means = match entrance {
        Entrance::Token => Shown::Basic { username: provider.token_user().to_owned(), password: one_line(&secret) },
        Entrance::Basic { username } => Shown::Basic { username, password: one_line(&secret) },
        Entrance::SshKey { .. } => Shown::Key(whole(&secret)),
        Entrance::App { id, installation, .. } => match (AppKey::new(id, &secret), &host) {
            (Ok(key), Some(host)) => {
                Shown::Installation(Arc::new(self::installation(core.git.wire(), host, key, installation)))
            }
            (Err(Invalid { message, hint }), _) => Shown::Unusable { problem: message, hint: hint.unwrap_or_default() },
            (Ok(_), None) => Shown::Unusable { problem: "it has no server".into(), hint: "give it a `url`".into() },
        },
    };
    Access { whose, host, means }
}

/// A key ends with a line end, whatever became of it on the way here.
pub(super) fn whole(key: &Secret) -> Secret {
    Secret::new(format!("{}\n", key.reveal().trim_end()))
}

/// Files end with a line end, tokens and passwords do not.
pub(super) fn one_line(secret: &Secret) -> Secret {
    Secret::new(secret.reveal().trim_end_matches(['\n', '\r']).to_owned())
}

/// An App where it is installed.
pub fn installation(wire: &Wire, host: &HostUrl, key: AppKey, id: Option<u64>) -> Installation {
    let app = GitHub::new(wire, ApiBase::of(host), Credentials::App(Arc::new(key)));
    match id {
        Some(id) => Installation::new(app, id),
        None => Installation::the_only(app),
    }
}

/// Makes a resource of each declared connection, so that the API shows and tags them like all others. One that is not
/// declared any more goes, unless its handshake was completed or a service of the API is bound to it: then it is the API's.
async fn adopt(core: &Core) {
    let declared = {
        let state = core.state();
        let Some(desired) = &state.desired else { return };
        let declared: Vec<_> = desired.connections.iter().map(|c| (c.name.to_string(), c.spec.clone())).collect();
        if due(core, &state.world, &declared).is_empty() {
            return;
        }
        declared
    };
    if let Err(error) = core.transact(|world| (due(core, world, &declared), ())).await {
        tracing::warn!(error = %super::chain(&error), "declared connections could not be stored; the next pass tries again");
    }
}

fn due(core: &Core, world: &World, named: &[(String, ConnectionSpec)]) -> Vec<Write> {
    let there = |(name, spec): &(String, ConnectionSpec)| match find(world, name) {
        None => Some(Write::PutResource(Box::new(made(core, name, spec)))),
        Some(resource) => marked(resource, true),
    };
    let mut writes: Vec<Write> = named.iter().filter_map(there).collect();
    let all = world.resources.values().filter(|r| r.of_type() == ResourceType::Connection && r.is_active());
    for resource in all.filter(|r| named.iter().all(|(name, _)| *name != r.name)) {
        let ResourceKind::Connection { handshake, declared: true, .. } = &resource.kind else { continue };
        let bound = |spec: &ServiceSpec| spec.wire.as_ref().is_some_and(|wire| wire.names(&resource.id));
        let live = world.services.values().filter(|r| r.deleted_at.is_none());
        let mut specs = live.flat_map(|r| r.applied.iter().chain(r.requested.as_deref()));
        let kept = handshake.is_some() || specs.any(bound);
        writes.extend(if kept { marked(resource, false) } else { Some(Write::DeleteResource(resource.id.clone())) });
    }
    writes
}

/// The write that marks a connection as the manifest's or the API's, if it is not so already.
fn marked(resource: &Resource, as_declared: bool) -> Option<Write> {
    let mut resource = resource.clone();
    let ResourceKind::Connection { declared, .. } = &mut resource.kind else { return None };
    let other = *declared != as_declared;
    *declared = as_declared;
    other.then(|| Write::PutResource(Box::new(resource)))
}

fn made(core: &Core, name: &str, spec: &ConnectionSpec) -> Resource {
    let host = Some(spec.host.clone());
    let kind = ResourceKind::Connection { provider: spec.provider, host, declared: true, handshake: None };
    Resource::made(ResourceId::from_random(core.random()), name.to_owned(), kind, core.now())
}

/// The connection that a service is bound to, by its name.
pub fn bound(core: &Core, spec: &ServiceSpec) -> Option<String> {
    name_of(&core.state().world, spec)
}

/// What a connection gives, as it was read last, and whose repositories it is for.
pub fn opened(core: &Core, name: &str) -> Option<(Provider, Arc<Access>)> {
    let provider = known(&core.state(), name)?.provider;
    let read = core.connections.read.lock().unwrap_or_else(PoisonError::into_inner);
    Some((provider, read.get(name)?.access.clone()))
}
