//! An App where it is installed: its tokens, which live an hour and are renewed before they end.

use super::{GitHub, GitHubError};
use crate::model::{Secret, Timestamp};
use serde::Deserialize;
use tokio::sync::{Mutex, OnceCell};

/// A token is not given out in its last minutes: a fetch that begins with it should end with it.
const SPARE: i64 = 10 * 60 * 1000;

/// One installation of an App.
#[derive(Debug)]
pub struct Installation {
    app: GitHub,
    id: OnceCell<u64>,
    kept: Mutex<Option<Kept>>,
}

#[derive(Debug)]
struct Kept {
    token: Secret,
    until: Timestamp,
}

/// `POST /app/installations/{id}/access_tokens`.
#[derive(Deserialize)]
struct Given {
    token: String,
    expires_at: String,
}

/// One of `GET /app/installations`.
#[derive(Deserialize)]
struct Listed {
    id: u64,
    account: Option<Account>,
}

#[derive(Deserialize)]
struct Account {
    login: String,
}

/// The only place where an App is installed.
async fn find(app: &GitHub) -> Result<u64, GitHubError> {
    let all: Vec<Listed> = app.api().get("/app/installations", Some(&[("per_page", "30")])).await?;
    match all.as_slice() {
        [only] => Ok(only.id),
        [] => Err(GitHubError::NotFound("the App is installed nowhere".into())),
        many => {
            let named = |l: &Listed| format!("{} ({})", l.id, l.account.as_ref().map_or("?", |a| a.login.as_str()));
            let named: Vec<String> = many.iter().map(named).collect();
            let message = format!("the App is installed more than once, say which is meant: {}", named.join(", "));
            Err(GitHubError::NotFound(message))
        }
    }
}

impl Installation {
    /// The installation with an id, of the App that a client speaks for.
    pub fn new(app: GitHub, id: u64) -> Self {
        Self { app, id: OnceCell::new_with(Some(id)), kept: Mutex::default() }
    }

    /// The only installation of an App, which is found out when it is needed.
    pub fn the_only(app: GitHub) -> Self {
        Self { app, id: OnceCell::new(), kept: Mutex::default() }
    }

    /// Its id.
    ///
    /// # Errors
    /// When it has to be found out, and that fails, or there is not exactly one.
    pub async fn id(&self) -> Result<u64, GitHubError> {
        self.id.get_or_try_init(|| find(&self.app)).await.copied()
    }

    /// A token that is good for a while. Whoever asks meanwhile waits, and gets the same.
    ///
    /// # Errors
    /// When GitHub gives none out.
    pub async fn token(&self) -> Result<Secret, GitHubError> {
        let mut kept = self.kept.lock().await;
        let good = kept.as_ref().filter(|kept| kept.until.0 - SPARE > Timestamp::now().0);
        if let Some(good) = good {
            return Ok(good.token.clone());
        }
        let path = format!("/app/installations/{}/access_tokens", self.id().await?);
        let given: Given = self.app.api().post(path, None::<&()>).await?;
        let until = given.expires_at.parse::<jiff::Timestamp>();
        let until = until.map_err(|_| GitHubError::unexpected("`expires_at` of a token is no time"))?;
        let fresh = Kept { token: Secret::new(given.token), until: Timestamp(until.as_millisecond()) };
        Ok(kept.insert(fresh).token.clone())
    }

    /// Forgets a token that was refused; not one that another has got since.
    pub(in crate::source) async fn forget(&self, token: &str) {
        let mut kept = self.kept.lock().await;
        if kept.as_ref().is_some_and(|kept| kept.token.reveal() == token) {
            *kept = None;
        }
    }
}
