//! Whom something is said to: one repository at GitHub, with what talks to it.

use crate::model::{CommitId, RepositoryUrl};
use crate::source::github::{GitHub, GitHubError};
use serde_json::Value;
use std::fmt;

/// A repository at GitHub: `acme/shop`. Both parts are of letters, digits, `-`, `_` and `.`, and never `.` or `..`, so that
/// they can stand in a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slug {
    owner: String,
    name: String,
}

impl Slug {
    /// Of the path of a URL; `None` where it is none of a repository.
    pub fn of_path(path: &str) -> Option<Self> {
        let path = path.trim_matches('/');
        let (owner, name) = path.strip_suffix(".git").unwrap_or(path).split_once('/')?;
        let plain = |part: &str| {
            let characters = part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
            characters && (1..=100).contains(&part.len()) && part != "." && part != ".."
        };
        (plain(owner) && plain(name)).then(|| Self { owner: owner.to_owned(), name: name.to_owned() })
    }

    /// Who has it.
    pub fn owner(&self) -> &str {
        &self.owner
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

/// A repository with what talks to it.
#[derive(Clone, Debug)]
pub struct Link {
    /// The connection's name.
    pub connection: String,
    /// The repository.
    pub slug: Slug,
    /// Whether the credential is of an App, which alone may write check runs.
    pub is_app: bool,
    /// What asks.
    pub github: GitHub,
}

impl Link {
    fn path(&self, below: &str) -> String {
        format!("/repos/{}{below}", self.slug)
    }

    /// What is there, below the repository's own path.
    ///
    /// # Errors
    /// Whatever is no success.
    pub async fn get(&self, below: &str) -> Result<Value, GitHubError> {
        Ok(self.github.api().get(self.path(below), None::<&()>).await?)
    }

    /// Makes something new there.
    ///
    /// # Errors
    /// Whatever is no success.
    pub async fn post(&self, below: &str, body: &Value) -> Result<Value, GitHubError> {
        Ok(self.github.api().post(self.path(below), Some(body)).await?)
    }

    /// Changes what is there.
    ///
    /// # Errors
    /// Whatever is no success.
    pub async fn patch(&self, below: &str, body: &Value) -> Result<Value, GitHubError> {
        Ok(self.github.api().patch(self.path(below), Some(body)).await?)
    }
}

/// Whether something may have been done although no success was heard: it is looked for before it is asked for again.
pub fn perhaps_done(error: &GitHubError) -> bool {
    matches!(error, GitHubError::Failed { .. } | GitHubError::Transport { .. } | GitHubError::Unexpected(_))
}

/// What a person can do about a refusal, as the end of a sentence.
pub fn advice(error: &GitHubError) -> &'static str {
    match error {
        GitHubError::Unauthorized(_) => "; give the connection a new credential",
        GitHubError::Forbidden(_) => "; give the connection's credential the permission",
        GitHubError::NotFound(_) => "; see that the connection's credential may write to the repository",
        _ => "",
    }
}

/// The statuses of a commit, where they are asked for and given.
pub fn statuses_of(commit: &CommitId) -> String {
    format!("/statuses/{commit}")
}

/// Host and path of a repository as it is read, over https or ssh.
pub fn place_of(repository: &RepositoryUrl) -> Option<(String, String)> {
    match repository {
        RepositoryUrl::Http(url) => {
            let (_, rest) = url.split_once("://")?;
            let (host, path) = rest.split_once('/')?;
            Some((host.to_ascii_lowercase(), path.to_owned()))
        }
        RepositoryUrl::Ssh(url) => {
            let host = repository.ssh_target()?.host.to_ascii_lowercase();
            let path = match url.split_once("://") {
                Some((_, rest)) => rest.split_once('/')?.1,
                None => url.split_once(':')?.1,
            };
            Some((host, path.to_owned()))
        }
        RepositoryUrl::File(_) | RepositoryUrl::Image(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_an_owner_and_a_name_and_nothing_that_leads_elsewhere() {
        assert_eq!(Slug::of_path("/acme/shop.git/").unwrap().to_string(), "acme/shop");
        for bad in ["acme", "acme/..", "../x", "a/b/c", "acme/sh op", "acme/shop?x", "acme/", "/", "a%2f/b", "acme/x#y"]
        {
            assert!(Slug::of_path(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_repository_is_found_over_https_and_ssh() {
        for url in ["https://github.com/acme/shop", "git@github.com:acme/shop", "ssh://git@GitHub.com/acme/shop"] {
            let (host, path) = place_of(&url.parse().unwrap()).unwrap();
            assert_eq!((host.as_str(), path.as_str()), ("github.com", "acme/shop"), "{url}");
        }
        assert_eq!(place_of(&"/srv/git/shop".parse().unwrap()), None);
    }
}
