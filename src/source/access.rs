//! What a connection gives to whoever reads one of its repositories, and how it is shown: to the connection's server, nobody else.

use super::SourceError;
use super::github::{ApiBase, Credentials, GitHub, GitHubError, Installation, Wire};
use crate::model::{HostUrl, RepositoryUrl, Secret};
use base64::Engine;
use http::HeaderValue;
use std::sync::Arc;

/// Access to the repositories of one server.
#[derive(Debug)]
pub struct Access {
    /// Whose it is, for messages: ``connection `acme-github` ``.
    pub whose: String,
    /// The server that it is shown to; nobody if there is none.
    pub host: Option<HostUrl>,
    /// What is shown.
    pub means: Means,
}

/// How a connection gets in.
#[derive(Debug)]
pub enum Means {
    /// A user name with a password, or with a token in its place.
    Basic {
        /// The name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A GitHub App where it is installed.
    Installation(Arc<Installation>),
    /// A private key for ssh.
    Key(Secret),
    /// Nothing that could be shown.
    Unusable {
        /// Why.
        problem: String,
        /// What to do.
        hint: String,
    },
}

/// What is shown in one act. Tokens of installations change from act to act.
#[derive(Clone, Debug)]
pub(in crate::source) struct Shown {
    access: Arc<Access>,
    pub(in crate::source) pass: Pass,
}

#[derive(Clone, Debug)]
pub(in crate::source) enum Pass {
    Basic { username: String, password: Secret },
    Key(Secret),
}

impl Access {
    /// What to show now.
    ///
    /// # Errors
    /// When there is nothing, with what to do.
    pub(in crate::source) async fn show(self: &Arc<Self>, repository: &RepositoryUrl) -> Result<Shown, SourceError> {
        if let Some(host) = self.host.as_ref().filter(|host| !host.has(repository)) {
            let hint = "its credentials are shown to that server only: name a connection that belongs to this one";
            return Err(self.failed(repository, &format!("it belongs to {host}"), hint));
        }
        let pass = match &self.means {
            Means::Basic { username, password } => {
                Pass::Basic { username: username.clone(), password: password.clone() }
            }
            Means::Key(key) => Pass::Key(key.clone()),
            Means::Installation(installation) => match installation.token().await {
                Ok(password) => Pass::Basic { username: "x-access-token".into(), password },
                Err(error) => return Err(self.without_token(repository, &error)),
            },
            Means::Unusable { problem, hint } => return Err(self.failed(repository, problem, hint)),
        };
        Ok(Shown { access: self.clone(), pass })
    }

    fn failed(&self, repository: &RepositoryUrl, problem: &str, hint: &str) -> SourceError {
        SourceError::Connection {
            repository: repository.to_string(),
            whose: self.whose.clone(),
            problem: problem.to_owned(),
            hint: hint.to_owned(),
        }
    }

    fn without_token(&self, repository: &RepositoryUrl, error: &GitHubError) -> SourceError {
        let hint = match error {
            GitHubError::Unauthorized(_) => {
                "check that the App and its private key are still there, and that this machine's clock is right"
            }
            GitHubError::NotFound(_) | GitHubError::Forbidden(_) => {
                "check that the App is installed, not suspended, and that the id of the installation is right"
            }
            _ => "it is tried again",
        };
        self.failed(repository, &error.to_string(), hint)
    }
}

impl Access {
    /// A client of GitHub's API with what is shown, if this is GitHub's.
    pub(in crate::source) fn github(&self, wire: &Wire) -> Option<GitHub> {
        let host = self.host.as_ref()?;
        let credentials = match &self.means {
            Means::Installation(installation) => Credentials::Installation(installation.clone()),
            Means::Basic { username, password } if username == "x-access-token" => Credentials::Token(password.clone()),
            _ => return None,
        };
        Some(GitHub::new(wire, ApiBase::of(host), credentials))
    }
}

impl Shown {
    /// The value of `Authorization` for a server; none for any but the connection's own.
    pub(in crate::source) fn authorization(&self, url: &str) -> Option<HeaderValue> {
        let Pass::Basic { username, password } = &self.pass else { return None };
        if !self.is_for(url) {
            return None;
        }
        let pair = format!("{username}:{}", password.reveal());
        let text = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Whether a URL is on the connection's server.
    pub(in crate::source) fn is_for(&self, url: &str) -> bool {
        HostUrl::of(url).is_ok_and(|host| Some(host) == self.access.host)
    }

    /// Its key for ssh, and whose it is.
    pub(in crate::source) fn key(&self) -> Option<(&str, &Secret)> {
        match &self.pass {
            Pass::Key(key) => Some((&self.access.whose, key)),
            Pass::Basic { .. } => None,
        }
    }

    /// Whether it is shown over HTTP.
    pub(in crate::source) fn is_basic(&self) -> bool {
        matches!(self.pass, Pass::Basic { .. })
    }

    /// Forgets what was refused. Whether there may be something better to show.
    pub(in crate::source) async fn renew(&self) -> bool {
        match (&self.access.means, &self.pass) {
            (Means::Installation(installation), Pass::Basic { password, .. }) => {
                installation.forget(password.reveal()).await;
                true
            }
            _ => false,
        }
    }

    /// The server does not take it.
    pub(in crate::source) fn refused(&self, repository: &RepositoryUrl) -> SourceError {
        SourceError::Unauthorized { repository: repository.to_string(), whose: self.access.whose.clone() }
    }

    /// The server takes it, and does not let it read this.
    pub(in crate::source) fn forbidden(&self, repository: &RepositoryUrl, status: u16) -> SourceError {
        let problem = format!("the server does not let it read this (HTTP status {status})");
        self.access.failed(repository, &problem, "give it the right to read this repository's contents")
    }

    /// A redirect leads elsewhere.
    pub(in crate::source) fn leads_elsewhere(&self, repository: &RepositoryUrl) -> SourceError {
        let hint = "write the repository's new URL, and give that server a connection of its own";
        self.access.failed(repository, "the server redirects to another one, which is not shown the credentials", hint)
    }

    /// What an error means to someone who has a connection.
    pub(in crate::source) fn explain(&self, repository: &RepositoryUrl, error: SourceError) -> SourceError {
        match error {
            SourceError::NotFound { .. } => {
                let hint = "check the URL, and that the connection's credentials may read this repository";
                self.access.failed(repository, "there is no such repository, or it is hidden from it", hint)
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn credentials_are_for_one_server_and_never_printed() {
        let access = Arc::new(Access {
            whose: "connection `acme`".into(),
            host: Some("https://git.example.com".parse().unwrap()),
            means: Means::Basic { username: "ada".into(), password: Secret::new("hunter2".into()) },
        });
        let elsewhere = "https://evil.example/acme/shop".parse().unwrap();
        assert!(
            access.show(&elsewhere).await.unwrap_err().to_string().contains("it belongs to https://git.example.com")
        );
        let repository = "https://git.example.com/acme/shop".parse().unwrap();
        let shown = access.show(&repository).await.unwrap();
        assert_eq!(shown.authorization("https://git.example.com/acme/shop").unwrap(), "Basic YWRhOmh1bnRlcjI=");
        for other in
            ["https://evil.example/git.example.com", "http://git.example.com/x", "https://git.example.com:8443/x"]
        {
            assert!(shown.authorization(other).is_none(), "{other}");
        }
        assert!(!format!("{access:?} {shown:?} {:?}", shown.refused(&repository)).contains("hunter2"));
    }
}
