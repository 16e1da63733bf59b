//! The newest version of a source and its contents: `git` (git2), `registry` (images), the poll schedule (pure) and the polling loop;
//! and GitHub's API (`github`).
//!
//! Imports `model`, and for what polling reports the snapshot type of `observed`. Everything read here is hostile input
//! (law 7): nothing of a repository is executed, no path of it leaves its root, every size and time is bounded.

mod access;
pub mod git;
pub mod github;
mod libgit2;
pub mod past;
pub mod poller;
mod registry;
pub mod schedule;

pub use access::{Access, Means};
pub use git::{GitLimits, GitSource, Head, SshOptions};
pub use libgit2::prepare;
pub use poller::Poller;

pub use registry::Logins;
pub use schedule::PollSchedule;

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
        /// The branches there are, at most five, nearest first, for a hint.
        known: Vec<String>,
    },
    /// The repository is there, the tag is not.
    #[error("repository `{repository}` has no tag `{tag}`")]
    NoTag {
        /// The repository.
        repository: String,
        /// The tag.
        tag: String,
        /// The tags there are, at most five, nearest first, for a hint.
        known: Vec<String>,
    },
    /// The beginning of a commit id fits more than one commit.
    #[error("`{prefix}` begins more than one commit of repository `{repository}`: {}", .found.join(", "))]
    Ambiguous {
        /// The repository.
        repository: String,
        /// What was written.
        prefix: String,
        /// Commits that it fits, at most five.
        found: Vec<String>,
    },
    /// The commit has no such directory.
    #[error("commit {} of repository `{repository}` has no directory `{directory}`{why}", short(.commit))]
    NoDirectory {
        /// The repository.
        repository: String,
        /// The commit.
        commit: String,
        /// The directory.
        directory: String,
        /// What is there instead, where something is: begins with `: `.
        why: String,
        /// Directories that are there, at most five, nearest first, for a hint.
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
    #[error("repository `{repository}`: the server refused the credentials of {whose}")]
    Unauthorized {
        /// The repository.
        repository: String,
        /// Whose they are.
        whose: String,
    },
    /// What it is to be read by does not lead to it.
    #[error("repository `{repository}` cannot be read by {whose}: {problem}")]
    Connection {
        /// The repository.
        repository: String,
        /// Which connection.
        whose: String,
        /// Why not.
        problem: String,
        /// What to do.
        hint: String,
    },
    /// The repository uses what git2 cannot read (SHA-256 objects, reftable, partial clones).
    #[error("repository `{repository}` cannot be read by this version: {message}")]
    Unsupported {
        /// The repository.
        repository: String,
        /// What it uses.
        message: String,
    },
    /// The commit's files cannot be used: a name or a link that leads out of the tree.
    #[error("the files of repository `{repository}` cannot be used: {message}")]
    Tree {
        /// The repository.
        repository: String,
        /// Which path, and what is wrong with it.
        message: String,
    },
    /// The directory that the files are to be written to cannot be written, or is not empty.
    #[error("failed to write the files of repository `{repository}` to `{path}`")]
    Write {
        /// The repository.
        repository: String,
        /// The file or directory.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The key of an ssh server is not one that is trusted.
    #[error("repository `{repository}` is not read: {problem}")]
    HostKey {
        /// The repository.
        repository: String,
        /// Which host, what it showed, and what is known of it.
        problem: String,
        /// What to do.
        hint: String,
    },
    /// There is no private key that an ssh server takes.
    #[error("repository `{repository}` cannot be read over ssh: {problem}")]
    Key {
        /// The repository.
        repository: String,
        /// Which key, and what is wrong with it.
        problem: String,
        /// What to do.
        hint: String,
    },
    /// A registry does not give an image.
    #[error("image `{image}` cannot be used: {problem}")]
    Image {
        /// The image.
        image: String,
        /// Why.
        problem: String,
        /// What to do.
        hint: String,
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
            // Keys and connections are mended outside of the repository: what comes then is no new commit.
            Self::HostKey { .. } | Self::Key { .. } | Self::Unauthorized { .. } | Self::Connection { .. } => {
                Class::Retry
            }
            Self::Transport { .. } | Self::Mirror { .. } | Self::Write { .. } => Class::Retry,
            _ => Class::Stalled,
        }
    }

    /// What a person can do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound { .. } => {
                Some("check the URL; a private repository needs a connection: `source.connection`".to_owned())
            }
            Self::NoBranch { known, .. } if known.is_empty() => Some("push a first commit to it".to_owned()),
            Self::NoBranch { known, .. } => Some(format!("its branches: {}", listed(known))),
            Self::HostKey { hint, .. }
            | Self::Key { hint, .. }
            | Self::Image { hint, .. }
            | Self::Connection { hint, .. } => Some(hint.clone()),
            Self::Unauthorized { .. } => Some("they may be expired or revoked: renew them, and it goes on".to_owned()),
            Self::Limit { .. } => {
                Some("`towpath up --fetch-limit` and `--source-limit` set how large sources may be".to_owned())
            }
            Self::NoTag { known, .. } if known.is_empty() => Some("it has no tags".to_owned()),
            Self::NoTag { known, .. } => Some(format!("its tags: {}", listed(known))),
            Self::NoDirectory { known, .. } if known.is_empty() => {
                Some("correct `source.directory`, or remove it where the application is at the root".to_owned())
            }
            Self::NoDirectory { known, .. } => Some(format!("directories there: {}", listed(known))),
            Self::Ambiguous { .. } => Some("write more digits of it".to_owned()),
            Self::NoCommit { .. } => {
                Some("no branch or tag has it; it may have been removed by a forced push".to_owned())
            }
            _ => None,
        }
    }
}

fn listed(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}
