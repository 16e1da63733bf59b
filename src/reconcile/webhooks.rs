//! Webhooks, as the control plane takes them: their secrets, what a delivery hastens, and which were taken.

use super::control::Control;
use super::core::Core;
use super::up::{UpError, io};
use crate::api::webhooks::{Hints, Page, Provider, Visit};
use crate::api::{Webhooks, serve_webhooks};
use crate::model::{Invalid, RepositoryUrl, Secret};
use crate::settings::WebhookSettings;
use crate::store::{Entry, EntryWrite};
use async_trait::async_trait;
use openssl::ssl::SslAcceptor;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Where the store keeps the ids of deliveries.
const KIND: &str = "webhooks";
const NAME: &str = "deliveries";
/// The longest secret that is read.
const SECRET_BYTES: u64 = 4096;

/// The secrets of the files that are named.
///
/// # Errors
/// For a file that cannot be read, and for one that holds nothing: a delivery signed with nothing could be anybody's.
pub fn secrets(settings: &WebhookSettings) -> Result<BTreeMap<Provider, Secret>, Invalid> {
    let named = settings.secret_files.iter().filter_map(|(name, file)| Some((Provider::named(name)?, file)));
    named.map(|(provider, file)| Ok((provider, secret(provider, file)?))).collect()
}

fn secret(provider: Provider, file: &std::path::Path) -> Result<Secret, Invalid> {
    let refused = |why: &str| {
        let hint =
            "put the secret that the git host was given into it, and nothing else: `openssl rand -hex 32` makes one";
        Invalid::new(format!("`{}` of `{}` {why}", file.display(), provider.flag())).hint(hint)
    };
    let text =
        crate::desired::files::read_text(file, SECRET_BYTES).map_err(|why| refused(&format!("is not taken: {why}")))?;
    match text.trim() {
        "" => Err(refused("is empty")),
        secret => Ok(Secret::new(secret.to_owned())),
    }
}

/// Begins to take deliveries.
pub async fn open(core: &Arc<Core>) -> Arc<Webhooks> {
    let hints: Arc<dyn Hints> = Arc::new(Control(core.clone()));
    Webhooks::new(core.config.webhook_secrets.clone(), hints, core.stopping.clone()).await
}

/// Serves the listener for webhooks alone, if one is set, with the API's certificate, if there is one. The future ends when it has stopped.
///
/// # Errors
/// When the address cannot be had.
pub async fn listen(
    settings: &WebhookSettings,
    webhooks: &Arc<Webhooks>,
    tls: Option<SslAcceptor>,
    stop: &CancellationToken,
) -> Result<impl Future<Output = ()> + use<>, UpError> {
    let task = match settings.listen {
        None => None,
        Some(address) => {
            let listener = tokio::net::TcpListener::bind(address).await;
            let listener = listener.map_err(io(format!("listen on {address} for webhooks (`--webhooks`)")))?;
            Some(tokio::spawn(serve_webhooks(listener, webhooks.clone(), tls, stop.clone())))
        }
    };
    Ok(async move {
        if let Some(task) = task {
            // It ends by its own, or with the runtime.
            let _ = task.await;
        }
    })
}

#[async_trait]
impl Hints for Control {
    fn look_at(&self, repositories: &[RepositoryUrl]) -> usize {
        super::feedback::hint(&self.0, repositories);
        self.0.poller.hint(repositories)
    }

    fn secrets_of_apps(&self) -> Vec<Secret> {
        super::connections::webhook_secrets(&self.0)
    }

    async fn visit(&self, visit: Visit) -> Page {
        super::app_handshake::visit(&self.0, &visit).await
    }

    async fn deliveries(&self) -> Vec<String> {
        let entries = self.0.store.entries(&[KIND]).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the webhooks that were taken are not known; those sent again are looked at again");
            Vec::new()
        });
        let kept = entries.into_iter().find(|entry| entry.name == NAME).map(|entry| entry.value);
        kept.and_then(|ids| serde_json::from_value(ids).ok()).unwrap_or_default()
    }

    async fn keep_deliveries(&self, ids: Vec<String>) {
        let entry = Entry { kind: KIND.into(), name: NAME.into(), value: ids.into() };
        if let Err(error) = self.0.store.write_entries(&[EntryWrite::Put(entry)]).await {
            tracing::warn!(error = %super::chain(&error), "the webhooks that were taken could not be stored");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_empty() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret");
        let read = || secrets(&WebhookSettings { secret_files: [("github", file.clone())].into(), listen: None });
        assert!(read().unwrap_err().to_string().contains("--github-webhook-secret-file"));
        std::fs::write(&file, " \n").unwrap();
        assert!(read().unwrap_err().to_string().contains("is empty"));
        std::fs::write(&file, "s3cret\n").unwrap();
        assert_eq!(read().unwrap()[&Provider::GitHub].reveal(), "s3cret");
    }
}
