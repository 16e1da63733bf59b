//! The newest version of a source and its contents: `git` (git2) and the poll schedule (pure).
//!
//! Imports `model`. Everything read here is hostile input (law 7).

use crate::model::Class;

/// What failed at a source. Never carries credentials.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The repository does not exist or is not readable with what we have.
    #[error("repository `{repository}` was not found, or needs credentials")]
    NotFound {
        /// The repository.
        repository: String,
    },
    /// The repository is there, the branch is not.
    #[error("repository `{repository}` has no branch `{branch}`")]
    NoBranch {
        /// The repository.
        repository: String,
        /// The branch, or `HEAD` when it has no default branch.
        branch: String,
        /// The branches there are, at most five, for a hint.
        known: Vec<String>,
    },
    /// The commit is not on the branch, or not there at all.
    #[error("repository `{repository}` has no commit `{commit}`")]
    NoCommit {
        /// The repository.
        repository: String,
        /// The commit.
        commit: String,
    },
    /// The other side refused the credentials.
    #[error("repository `{repository}` refused the credentials")]
    Unauthorized {
        /// The repository.
        repository: String,
    },
    /// The network, the server or the transport failed.
    #[error("failed to read repository `{repository}`: {message}")]
    Transport {
        /// The repository.
        repository: String,
        /// What was heard.
        message: String,
    },
    /// It is larger or slower than the limits allow.
    #[error("repository `{repository}` is over a limit: {message}")]
    Limit {
        /// The repository.
        repository: String,
        /// Which limit, with both numbers.
        message: String,
    },
    /// Our own mirror failed (disk full, damaged).
    #[error("failed to keep the mirror of `{repository}`: {message}")]
    Mirror {
        /// The repository.
        repository: String,
        /// What failed.
        message: String,
    },
}

impl SourceError {
    /// Who acts next.
    pub fn class(&self) -> Class {
        match self {
            Self::Transport { .. } | Self::Mirror { .. } => Class::Retry,
            _ => Class::Stalled,
        }
    }
}
