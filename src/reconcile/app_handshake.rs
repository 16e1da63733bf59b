//! Making a GitHub App with a browser: GitHub's manifest flow, then the App's installation.
//!
//! A browser carries a `state` from page to page: 32 random bytes, good once, for an hour, and forgotten by a restart.
//! `begin` shows a form that posts the App's manifest to GitHub; GitHub comes back with a code, which is changed for the App's
//! id and keys; the browser goes on to install the App, and GitHub comes back with the installation.

use super::core::Core;
use super::handshake::{self, Kept, Target, of_github, prove_app};
use crate::api::control::Refusal;
use crate::api::handshake::AppWanted;
use crate::api::webhooks::{Page, Visit};
use crate::model::ids::hex;
use crate::model::{Entrance, HostUrl, Provider, Secret};
use crate::source::github::{ApiBase, Credentials, GitHub, GitHubError};
use serde::Deserialize;
use serde_json::json;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a browser may take from page to page; GitHub's code lives as long.
const PATIENCE: Duration = Duration::from_secs(3600);
/// How many browsers may be on their way.
const MOST_WAITING: usize = 64;
/// The longest name that GitHub takes for an App.
const LONGEST_NAME: usize = 34;

/// The browsers that are on their way.
#[derive(Debug, Default)]
pub struct Browsers(Mutex<HashMap<String, Waiting>>);

#[derive(Clone, Debug)]
struct Waiting {
    connection: String,
    host: HostUrl,
    organization: Option<String>,
    /// Our own listener, as the browser reaches it.
    listener: HostUrl,
    until: Instant,
    stage: Stage,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    Making,
    Installing,
}

/// `POST /app-manifests/{code}/conversions`.
#[derive(Deserialize)]
struct Converted {
    id: u64,
    slug: String,
    pem: String,
    webhook_secret: Option<String>,
}

impl Browsers {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Waiting>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, waiting| waiting.until > Instant::now());
        all
    }

    fn expect(&self, state: String, waiting: Waiting) -> Result<(), Refusal> {
        let mut all = self.all();
        if all.len() >= MOST_WAITING {
            let message = format!("{MOST_WAITING} handshakes are under way: complete one, or wait an hour");
            return Err(Refusal::QuotaExceeded(message));
        }
        all.insert(state, waiting);
        Ok(())
    }

    fn look(&self, state: &str) -> Option<Waiting> {
        self.all().get(state).cloned()
    }

    fn take(&self, state: &str, stage: &Stage) -> Option<Waiting> {
        let mut all = self.all();
        let fits = all.get(state).is_some_and(|waiting| waiting.stage == *stage);
        if fits { all.remove(state) } else { None }
    }
}

/// Begins: returns where the browser goes.
///
/// # Errors
/// When the connection is no GitHub's, or too many are under way.
pub fn begin(core: &Core, wanted: AppWanted) -> Result<String, Refusal> {
    let AppWanted { connection, host, organization, listener } = wanted;
    let target = handshake::target(core, &connection, host)?;
    if target.provider != Provider::GitHub {
        let message = format!("{} has no Apps: give a token, a password or a key", target.provider);
        return Err(Refusal::InvalidRequest(message));
    }
    let listener = listener.unwrap_or_else(|| core.config.api_url.clone());
    let state = hex(&core.random::<32>());
    let url = format!("{listener}/connections/begin?state={state}");
    let until = Instant::now() + PATIENCE;
    let (host, stage) = (target.host, Stage::Making);
    core.connections.browsers.expect(state, Waiting { connection, host, organization, listener, until, stage })?;
    Ok(url)
}

/// Answers a browser.
pub async fn visit(core: &Core, visit: &Visit) -> Page {
    let state = visit.query.get("state").map(String::as_str).unwrap_or_default();
    let code = visit.query.get("code");
    let installation = visit.query.get("installation_id").and_then(|id| id.parse::<u64>().ok());
    let went = match (visit.page.as_str(), code, installation) {
        ("begin", ..) => core.connections.browsers.look(state).map(|waiting| Ok(form(core, state, &waiting))),
        ("callback", Some(code), None) => match core.connections.browsers.take(state, &Stage::Making) {
            Some(waiting) => Some(made(core, waiting, code).await),
            None => None,
        },
        ("callback", _, Some(id)) => match core.connections.browsers.take(state, &Stage::Installing) {
            Some(waiting) => Some(installed(core, &waiting, id).await),
            None => None,
        },
        _ => None,
    };
    match went {
        Some(Ok(page)) => page,
        Some(Err(refusal)) => Page::Failed(format!("{refusal}.")),
        None => Page::Failed(
            "This handshake is not under way: it was completed, took longer than an hour, or towpath was restarted. Begin it \
             again with `towpath connections handshake`."
                .into(),
        ),
    }
}

/// The form that posts the App's manifest.
fn form(core: &Core, state: &str, waiting: &Waiting) -> Page {
    let Waiting { connection, host, organization, listener, .. } = waiting;
    let callback = format!("{listener}/connections/callback");
    let suffix = hex(&core.random::<2>());
    let name: String = format!("towpath-{connection}").chars().take(LONGEST_NAME - suffix.len() - 1).collect();
    let manifest = json!({
        "name": format!("{name}-{suffix}"),
        "url": listener.to_string(),
        "hook_attributes": { "url": format!("{listener}/webhooks/github"), "active": !listener.is_here() },
        "redirect_url": callback,
        "setup_url": callback,
        "public": false,
        "default_permissions": {
            "contents": "read",
            "metadata": "read",
            "statuses": "write",
            "deployments": "write",
            "checks": "write",
            "pull_requests": "write",
        },
        // Each is covered by a permission above; GitHub refuses others.
        "default_events": ["push", "create", "delete", "pull_request", "check_run", "check_suite", "status"],
    });
    let owner = organization.as_ref().map(|name| format!("/organizations/{name}")).unwrap_or_default();
    let text = format!(
        "The connection `{connection}` is to be a GitHub App of its own at {host}, which may read the repositories that you \
         choose, and report on commits and pull requests."
    );
    let action = format!("{host}{owner}/settings/apps/new?state={state}");
    Page::Form { text, action, server: host.to_string(), field: ("manifest", manifest.to_string()) }
}

/// GitHub has made the App.
async fn made(core: &Core, waiting: Waiting, code: &str) -> Result<Page, Refusal> {
    let plain =
        code.len() <= 128 && !code.is_empty() && code.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    if !plain {
        return Err(Refusal::InvalidRequest("the code is none of GitHub's".into()));
    }
    let target = handshake::target(core, &waiting.connection, Some(waiting.host.clone()))?;
    let github = GitHub::new(core.git.wire(), ApiBase::of(&target.host), Credentials::Anonymous);
    let converted = github.api().post::<(), Converted>(format!("/app-manifests/{code}/conversions"), None).await;
    let app = converted.map_err(|error| of_github(&GitHubError::from(error)))?;
    let slug = Some(app.slug.clone()).filter(|slug| slug.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
    let slug = slug.ok_or_else(|| Refusal::InvalidRequest("GitHub named the App oddly".into()))?;
    let entrance = Entrance::App { id: app.id, slug: Some(slug.clone()), installation: None };
    let webhook_secret = app.webhook_secret.filter(|secret| !secret.is_empty()).map(Secret::new);
    let kept = Kept { entrance, secret: Secret::new(app.pem), webhook_secret, completed_at: None };
    handshake::keep(core, &target, kept).await?;
    let state = hex(&core.random::<32>());
    // Pages of Apps are elsewhere on a GitHub Enterprise Server.
    let pages = if target.host.host() == "github.com" { "apps" } else { "github-apps" };
    let place = format!("{}/{pages}/{slug}/installations/new?state={state}", target.host);
    let until = Instant::now() + PATIENCE;
    core.connections.browsers.expect(state, Waiting { until, stage: Stage::Installing, ..waiting })?;
    Ok(Page::Elsewhere(place))
}

/// The App was installed.
async fn installed(core: &Core, waiting: &Waiting, id: u64) -> Result<Page, Refusal> {
    let target = handshake::target(core, &waiting.connection, Some(waiting.host.clone()))?;
    complete(core, &target, Some(id)).await?;
    let name = &target.name;
    Ok(Page::Done(format!("The connection `{name}` is AVAILABLE: services can name it now. You can close this page.")))
}

/// Completes the handshake of an App that was made before, where it is installed now.
async fn complete(core: &Core, target: &Target, installation: Option<u64>) -> Result<(), Refusal> {
    let none = || Refusal::InvalidState("the App of this connection was not made yet".into());
    let known = handshake::kept(core, &target.id).ok_or_else(none)?;
    let Entrance::App { id, slug, .. } = known.entrance.clone() else { return Err(none()) };
    let unread = |(problem, hint): (String, String)| Refusal::InvalidState(format!("{problem}; {hint}"));
    let secret = super::connections::stored_secret(core, &target.id, &known).map_err(unread)?;
    let found = prove_app(core, target, (id, installation), &secret).await?;
    let installation = Some(found.id().await.map_err(|error| of_github(&error))?);
    let webhook_secret = super::connections::stored_webhook_secret(core, &target.id, &known);
    let entrance = Entrance::App { id, slug, installation };
    handshake::keep(core, target, Kept { entrance, secret, webhook_secret, completed_at: Some(core.now()) }).await
}
