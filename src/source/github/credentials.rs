//! What a client shows GitHub with each request.

use super::{AppKey, GitHubError, Installation};
use crate::model::{Secret, Timestamp};
use http::HeaderValue;
use std::sync::Arc;

/// What a client shows.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// Nothing: public things only, and few of them.
    Anonymous,
    /// A token: a person's fine-grained one.
    Token(Secret),
    /// An App for itself: to ask for its installations.
    App(Arc<AppKey>),
    /// An App where it is installed.
    Installation(Arc<Installation>),
}

impl Credentials {
    /// The value of `Authorization`.
    pub(super) async fn authorization(&self) -> Result<Option<HeaderValue>, GitHubError> {
        let secret = match self {
            Self::Anonymous => return Ok(None),
            Self::Token(token) => token.clone(),
            Self::App(key) => {
                let signed = key.token(Timestamp::now());
                signed.map_err(|error| GitHubError::unexpected(&format!("OpenSSL signs nothing: {error}")))?
            }
            Self::Installation(installation) => installation.token().await?,
        };
        let mut value = HeaderValue::from_str(&format!("Bearer {}", secret.reveal()))
            .map_err(|_| GitHubError::Unauthorized("the token holds characters that no token has".into()))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    /// Hears that what was shown is refused. Whether there is something else to show.
    pub(super) async fn refused(&self, shown: &HeaderValue) -> bool {
        match self {
            Self::Installation(installation) => {
                let token = shown.to_str().ok().and_then(|text| text.strip_prefix("Bearer "));
                installation.forget(token.unwrap_or_default()).await;
                true
            }
            _ => false,
        }
    }
}
