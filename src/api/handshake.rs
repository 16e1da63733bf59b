//! Connections beyond App Runner's own calls: what one is in full, and its handshake, which AWS leaves to its console (row C1).

use super::apprunner::connections;
use super::control::Refusal;
use super::dispatch::{Call, Context};
use super::errors::ApiError;
use super::facts::{Change, Facts, looked};
use crate::model::{
    ConnectionName, Entrance, HostUrl, Invalid, Provider, RepositoryUrl, Resource, ResourceId, ResourceKind,
    ResourceType, Secret,
};
use serde::Deserialize;
use serde_json::{Value, json};

/// What a handshake is completed with.
#[derive(Debug)]
pub struct Given {
    /// The connection's name.
    pub connection: String,
    /// The server; what is known already if none.
    pub host: Option<HostUrl>,
    /// How it gets in.
    pub entrance: Entrance,
    /// The token, password or key; the key that was made for it if none.
    pub secret: Option<Secret>,
    /// What it is tried on.
    pub repository: Option<RepositoryUrl>,
}

/// A GitHub App that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppWanted {
    /// The connection's name.
    pub connection: String,
    /// The server; what is known already if none.
    pub host: Option<HostUrl>,
    /// The organisation that is to own it; the person who makes it if none.
    pub organization: Option<String>,
    /// Where a browser reaches our listener; the API's own address if none.
    pub listener: Option<HostUrl>,
}

fn invalid(error: &Invalid) -> ApiError {
    let hint = error.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
    Refusal::InvalidRequest(format!("{}{hint}", error.message)).into()
}

fn parsed<T: std::str::FromStr<Err = Invalid>>(text: Option<String>) -> Result<Option<T>, ApiError> {
    text.map(|text| text.parse()).transpose().map_err(|error| invalid(&error))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Describe {
    connection_name: Option<String>,
}

/// `Towpath.DescribeConnections`.
pub(super) fn describe(context: &Context, input: &Describe) -> Result<Value, ApiError> {
    let name = input.connection_name.as_deref();
    let look = |facts: &Facts<'_>| -> Vec<Value> {
        let mut all: Vec<&Resource> = all(facts).filter(|r| name.is_none_or(|name| r.name == name)).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all.into_iter().map(|resource| shape(facts, resource)).collect()
    };
    let found = looked(&*context.control, look).unwrap_or_default();
    match (name, found.is_empty()) {
        (Some(name), true) => Err(missing(name).into()),
        _ => Ok(json!({ "Connections": found })),
    }
}

fn all<'a>(facts: &Facts<'a>) -> impl Iterator<Item = &'a Resource> + use<'a> {
    facts.resources.values().filter(|r| r.of_type() == ResourceType::Connection && r.is_active())
}

/// There is no connection of this name.
pub fn missing(name: &str) -> Refusal {
    let shown: String = name.chars().take(40).flat_map(char::escape_debug).collect();
    Refusal::NotFound(format!(
        "there is no connection `{shown}`: `towpath connections list` shows those that there are"
    ))
}

fn shape(facts: &Facts<'_>, resource: &Resource) -> Value {
    let mut shape = connections::shape(facts, resource, connections::status(facts, resource));
    let declared = connections::declared(facts, resource);
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            shape[name] = value;
        }
    };
    put("Url", connections::host(facts, resource).map(|host| host.to_string().into()));
    put("DeclaredAt", declared.map(|declared| declared.place.to_string().into()));
    let means = declared.and_then(|declared| declared.spec.means.as_ref());
    let ResourceKind::Connection { handshake, .. } = &resource.kind else { return shape };
    let entrance = handshake.as_ref().filter(|_| means.is_none()).map(|handshake| &handshake.entrance);
    put("Entrance", means.map(|means| means.word()).or(entrance.map(Entrance::word)).map(Value::from));
    match entrance {
        Some(Entrance::Basic { username }) => put("Username", Some(username.clone().into())),
        Some(Entrance::SshKey { public }) => put("PublicKey", Some(public.clone().into())),
        Some(Entrance::App { id, installation, .. }) => {
            put("AppId", Some((*id).into()));
            put("Installation", installation.map(Value::from));
        }
        Some(Entrance::Token) | None => {}
    }
    let completed = handshake.as_ref().and_then(|handshake| handshake.completed_at);
    put("CompletedAt", completed.map(|at| at.epoch_seconds().into()));
    put("Services", Some(users(facts, resource).into()));
    shape
}

/// The services that are read by a connection.
fn users(facts: &Facts<'_>, resource: &Resource) -> Vec<String> {
    let named = |record| {
        let spec = facts.spec(record);
        spec.and_then(|spec| spec.source.connection.as_ref()).is_some_and(|name| name.as_str() == resource.name)
    };
    let users = facts.live().filter(|record| facts.uses(record, &resource.id) || named(record));
    let mut names: Vec<String> = users.map(|record| record.name.to_string()).collect();
    names.sort();
    names
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Create {
    connection_name: String,
    provider_type: String,
    url: Option<String>,
}

/// `Towpath.CreateConnection`: as App Runner's, for every kind of server.
pub(super) async fn create(context: &Context, call: &Call) -> Result<Value, ApiError> {
    let input: Create = call.read()?;
    let name: ConnectionName = input.connection_name.parse().map_err(|error| invalid(&error))?;
    let provider: Provider = input.provider_type.parse().map_err(|error| invalid(&error))?;
    let host: Option<HostUrl> = parsed(input.url)?;
    if host.is_none() && provider.host().is_none() {
        let message = format!("a connection to a server of provider {provider} needs its URL (`--url https://…`)");
        return Err(Refusal::InvalidRequest(message).into());
    }
    let id = ResourceId::from_random(context.control.random());
    let edit = move |facts: &Facts<'_>| {
        connections::may_be_made(facts, name.as_str())?;
        let kind = ResourceKind::Connection { provider, host, declared: false, handshake: None };
        let made = Resource::made(id, name.to_string(), kind, facts.now);
        let answer = json!({ "Connection": shape(facts, &made) });
        Ok((vec![Change::Put(Box::new(made))], answer))
    };
    Ok(context.control.edit(Box::new(edit)).await?)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Complete {
    connection_name: String,
    url: Option<String>,
    kind: String,
    username: Option<String>,
    secret: Option<String>,
    app_id: Option<u64>,
    installation: Option<u64>,
    repository: Option<String>,
}

/// `Towpath.CompleteHandshake`.
pub(super) async fn complete(context: &Context, call: &Call) -> Result<Value, ApiError> {
    let input: Complete = call.read()?;
    let needs = |what: &str| -> ApiError { Refusal::InvalidRequest(format!("`{what}` is required")).into() };
    let entrance = match input.kind.as_str() {
        "token" => Entrance::Token,
        "basic" => Entrance::Basic { username: username(input.username.ok_or_else(|| needs("Username"))?)? },
        "sshKey" => Entrance::SshKey { public: String::new() },
        "app" => {
            let id = input.app_id.ok_or_else(|| needs("AppId"))?;
            Entrance::App { id, slug: None, installation: input.installation }
        }
        _ => return Err(Refusal::InvalidRequest("`Kind` is one of token, basic, sshKey and app".into()).into()),
    };
    let secret = input.secret.filter(|secret| !secret.trim().is_empty()).map(Secret::new);
    if secret.is_none() && !matches!(entrance, Entrance::SshKey { .. }) {
        return Err(needs("Secret"));
    }
    let given = Given {
        connection: input.connection_name,
        host: parsed(input.url)?,
        entrance,
        secret,
        repository: parsed(input.repository)?,
    };
    let name = given.connection.clone();
    context.control.complete_handshake(given).await?;
    describe(context, &Describe { connection_name: Some(name) })
}

fn username(text: String) -> Result<String, ApiError> {
    let fits = !text.is_empty() && text.len() <= 255 && !text.chars().any(|c| c.is_control() || c == ':');
    let wrong = || Refusal::InvalidRequest("`Username` has 1 to 255 characters and no `:`".into());
    if fits { Ok(text) } else { Err(wrong().into()) }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct MakeKey {
    connection_name: String,
    url: Option<String>,
}

/// `Towpath.CreateDeployKey`: makes a key pair, keeps the private half, gives the public one.
pub(super) async fn make_key(context: &Context, call: &Call) -> Result<Value, ApiError> {
    let input: MakeKey = call.read()?;
    let public = context.control.make_key(&input.connection_name, parsed(input.url)?).await?;
    Ok(json!({ "PublicKey": public }))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Begin {
    connection_name: String,
    url: Option<String>,
    organization: Option<String>,
    listener: Option<String>,
}

/// `Towpath.BeginHandshake`: where a browser goes to make a GitHub App.
pub(super) async fn begin(context: &Context, call: &Call) -> Result<Value, ApiError> {
    let input: Begin = call.read()?;
    let plain = |name: &String| {
        !name.is_empty()
            && name.len() <= 100
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if input.organization.as_ref().is_some_and(|name| !plain(name)) {
        return Err(Refusal::InvalidRequest("`Organization` is the name of one, as in its URL".into()).into());
    }
    let wanted = AppWanted {
        connection: input.connection_name,
        host: parsed(input.url)?,
        organization: input.organization,
        listener: parsed(input.listener)?,
    };
    let url = context.control.begin_app(wanted).await?;
    Ok(json!({ "BrowserUrl": url }))
}
