//! Handshakes of connections: what is given is tried on the real server, and only then kept, encrypted, and `AVAILABLE`.

use super::connections::{self, purpose, vault};
use super::control::internal;
use super::core::Core;
use crate::api::control::Refusal;
use crate::api::handshake::{Given, missing};
use crate::model::{
    Entrance, Handshake, HostUrl, Provider, RepositoryUrl, Resource, ResourceId, ResourceKind, Secret, Timestamp,
};
use crate::source::github::{ApiBase, AppKey, Credentials, GitHub, GitHubError, Installation};
use crate::source::{Access, Means, SourceError};
use crate::store::Write;
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{LineEnding, PrivateKey};
use std::sync::Arc;

/// The connection that a handshake is of.
pub struct Target {
    /// Its resource's id.
    pub id: ResourceId,
    /// Its name.
    pub name: String,
    /// Who keeps the repositories.
    pub provider: Provider,
    /// The server.
    pub host: HostUrl,
}

/// What is kept of a handshake.
pub struct Kept {
    /// How it gets in.
    pub entrance: Entrance,
    /// The token, password or key.
    pub secret: Secret,
    /// What the App's webhooks are signed with.
    pub webhook_secret: Option<Secret>,
    /// Whether it was shown to work.
    pub completed_at: Option<Timestamp>,
}

fn refused(message: impl Into<String>) -> Refusal {
    Refusal::InvalidRequest(message.into())
}

/// Finds a connection whose handshake is not the manifest's business.
///
/// # Errors
/// When there is none, when the manifest says how it gets in, and when its server is not known.
pub fn target(core: &Core, name: &str, host: Option<HostUrl>) -> Result<Target, Refusal> {
    let state = core.state();
    let resource = connections::find(&state.world, name).ok_or_else(|| missing(name))?;
    let ResourceKind::Connection { provider, host: known, .. } = &resource.kind else { return Err(missing(name)) };
    let declared = state.desired.iter().flat_map(|d| &d.connections).find(|c| c.name.as_str() == name);
    if let Some((declared, means)) = declared.and_then(|d| Some((d, d.spec.means.as_ref()?))) {
        return Err(Refusal::InvalidState(format!(
            "the connection `{name}` is declared at {} with `{}`: it needs no handshake; change it there",
            declared.place,
            means.word()
        )));
    }
    let fixed = declared.map(|declared| declared.spec.host.clone());
    if let (Some(fixed), Some(given)) = (&fixed, &host)
        && fixed != given
    {
        let message = format!("the connection `{name}` is declared with {fixed}, not {given}: change it there");
        return Err(Refusal::InvalidState(message));
    }
    let host = host.or(fixed).or_else(|| known.clone()).or_else(|| provider.host());
    let host = host.ok_or_else(|| refused("its server is not known: name it with `--url https://…`"))?;
    Ok(Target { id: resource.id.clone(), name: name.to_owned(), provider: *provider, host })
}

/// Completes a handshake.
///
/// # Errors
/// When what is given does not get in.
pub async fn complete(core: &Core, given: Given) -> Result<(), Refusal> {
    let Given { connection, host, entrance, secret, repository } = given;
    let target = target(core, &connection, host)?;
    let secret = match secret {
        Some(secret) => secret,
        None => made_key(core, &target)?,
    };
    let entrance = prove(core, &target, entrance, &secret, repository.as_ref()).await?;
    let completed_at = Some(core.now());
    keep(core, &target, Kept { entrance, secret, webhook_secret: None, completed_at }).await
}

/// The key that was made for a connection before.
fn made_key(core: &Core, target: &Target) -> Result<Secret, Refusal> {
    let none = || refused("there is no key yet: give one, or have one made first (`--generate-key`)");
    let handshake = kept(core, &target.id).filter(|h| matches!(h.entrance, Entrance::SshKey { .. }));
    let handshake = handshake.ok_or_else(none)?;
    connections::stored_secret(core, &target.id, &handshake)
        .map_err(|(problem, hint)| refused(format!("{problem}; {hint}")))
}

/// What is kept of a connection's handshake.
pub fn kept(core: &Core, id: &ResourceId) -> Option<Handshake> {
    match &core.state().world.resources.get(id)?.kind {
        ResourceKind::Connection { handshake, .. } => handshake.clone(),
        _ => None,
    }
}

/// Shows what is given to the real server. Returns how it gets in, with what was learned.
async fn prove(
    core: &Core,
    target: &Target,
    entrance: Entrance,
    secret: &Secret,
    repository: Option<&RepositoryUrl>,
) -> Result<Entrance, Refusal> {
    let whose = format!("connection `{}`", target.name);
    let host = Some(target.host.clone());
    let one_line = || connections::one_line(secret);
    let (means, entrance) = match entrance {
        Entrance::Token => {
            let means = Means::Basic { username: target.provider.token_user().into(), password: one_line() };
            if repository.is_none() && target.provider == Provider::GitHub {
                prove_token(core, target, one_line()).await?;
                return Ok(Entrance::Token);
            }
            (means, Entrance::Token)
        }
        Entrance::Basic { username } => {
            (Means::Basic { username: username.clone(), password: one_line() }, Entrance::Basic { username })
        }
        Entrance::SshKey { .. } => {
            (Means::Key(connections::whole(secret)), Entrance::SshKey { public: public_half(secret) })
        }
        Entrance::App { id, slug, installation } => {
            let installed = prove_app(core, target, (id, installation), secret).await?;
            let found = installed.id().await.map_err(|error| of_github(&error))?;
            let entrance = Entrance::App { id, slug, installation: Some(found) };
            if repository.is_none() {
                return Ok(entrance);
            }
            (Means::Installation(Arc::new(installed)), entrance)
        }
    };
    let repository = repository.ok_or_else(|| {
        refused("name a repository that it is to be tried on (`--repository URL`): one that needs it, a public one proves nothing")
    })?;
    let tried = core.git.try_access(repository, &Arc::new(Access { whose, host, means })).await;
    tried.map_err(|error| of_source(&error))?;
    Ok(entrance)
}

async fn prove_token(core: &Core, target: &Target, token: Secret) -> Result<(), Refusal> {
    let github = GitHub::new(core.git.wire(), ApiBase::of(&target.host), Credentials::Token(token));
    let asked = github.api().get::<serde_json::Value, _, ()>("/user", None).await;
    asked.map(drop).map_err(|error| of_github(&GitHubError::from(error)))
}

/// An App whose key is good, where it is installed.
///
/// # Errors
/// When it does not get a token.
pub async fn prove_app(
    core: &Core,
    target: &Target,
    (id, installation): (u64, Option<u64>),
    key: &Secret,
) -> Result<Installation, Refusal> {
    let key = AppKey::new(id, key)
        .map_err(|error| refused(format!("{}; {}", error.message, error.hint.unwrap_or_default())))?;
    let installed = connections::installation(core.git.wire(), &target.host, key, installation);
    installed.token().await.map_err(|error| of_github(&error))?;
    Ok(installed)
}

/// What GitHub says to a handshake.
pub fn of_github(error: &GitHubError) -> Refusal {
    refused(format!("the handshake is not completed: {error}"))
}

fn of_source(error: &SourceError) -> Refusal {
    let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
    refused(format!("the handshake is not completed: {}{hint}", super::chain(error)))
}

/// The public half of a private key, if it is in a form that is understood here; ssh understands more.
fn public_half(secret: &Secret) -> String {
    let key = PrivateKey::from_openssh(secret.reveal()).ok();
    key.and_then(|key| key.public_key().to_openssh().ok()).unwrap_or_default()
}

/// Makes a key pair for a connection, keeps the private half, and returns the public one.
///
/// # Errors
/// When it cannot be made or stored.
pub async fn make_key(core: &Core, name: &str, host: Option<HostUrl>) -> Result<String, Refusal> {
    let target = target(core, name, host)?;
    if kept(core, &target.id).is_some_and(|handshake| handshake.completed_at.is_some()) {
        let todo = "make another connection, and delete this one when nothing uses it any more";
        return Err(Refusal::InvalidState(format!("the handshake of `{name}` is completed: {todo}")));
    }
    let failed = |error: ssh_key::Error| Refusal::Internal(format!("a key could not be made: {error}"));
    let pair = KeypairData::from(Ed25519Keypair::from_seed(&core.random()));
    let key = PrivateKey::new(pair, format!("towpath {name}")).map_err(failed)?;
    let public = key.public_key().to_openssh().map_err(failed)?;
    let secret = Secret::new(key.to_openssh(LineEnding::LF).map_err(failed)?.to_string());
    let entrance = Entrance::SshKey { public: public.clone() };
    keep(core, &target, Kept { entrance, secret, webhook_secret: None, completed_at: None }).await?;
    Ok(public)
}

/// Stores what is kept of a handshake, its secrets encrypted.
///
/// # Errors
/// When it cannot be encrypted or stored, or the connection is gone.
pub async fn keep(core: &Core, target: &Target, kept: Kept) -> Result<(), Refusal> {
    let seal = |secret: &Secret| {
        let vault = vault(core).map_err(Refusal::Internal)?;
        let sealed = vault.seal(&purpose(&target.id), secret.reveal().as_bytes());
        sealed.map_err(|error| Refusal::Internal(super::chain(&error)))
    };
    let Kept { entrance, secret, webhook_secret, completed_at } = kept;
    let (sealed, sealed_webhook) = (seal(&secret)?, webhook_secret.as_ref().map(seal).transpose()?);
    let fresh = Handshake { entrance, sealed, sealed_webhook, completed_at };
    let stored = core.transact(|world| match world.resources.get(&target.id) {
        Some(resource) => (vec![with(resource, target, fresh)], true),
        None => (Vec::new(), false),
    });
    if !stored.await.map_err(|error| internal(&error))? {
        return Err(missing(&target.name));
    }
    core.look_again();
    Ok(())
}

fn with(resource: &Resource, target: &Target, fresh: Handshake) -> Write {
    let mut resource = resource.clone();
    if let ResourceKind::Connection { host, handshake, .. } = &mut resource.kind {
        *host = Some(target.host.clone());
        *handshake = Some(fresh);
    }
    Write::PutResource(Box::new(resource))
}
