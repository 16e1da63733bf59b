//! What fails in access control, and what to do about it.

use std::path::PathBuf;

use super::caller::Caller;

/// The kinds of refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// There is no such thing.
    NotFound,
    /// There is one already, or it is needed.
    Conflict,
    /// The request is wrong.
    Malformed,
}

/// What failed.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// A file of keys cannot be read or written.
    #[error("failed to {act} `{}`", path.display())]
    File {
        /// What was tried.
        act: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The key that secrets are stored under is none.
    #[error("`{}` is not a key of 64 hex digits", .0.display())]
    NotAKey(PathBuf),
    /// A stored secret cannot be decrypted.
    #[error("the secret of `{0}` is not encrypted with this installation's key")]
    OtherKey(String),
    /// Encryption or randomness failed.
    #[error("failed to {act}: {why}")]
    Crypto {
        /// What was tried.
        act: &'static str,
        /// Why.
        why: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    /// The caller may not (row A5).
    #[error("{0}")]
    Denied(String),
    /// What was asked for cannot be done.
    #[error("{message}")]
    Refused {
        /// What kind of refusal.
        code: Code,
        /// Why, and what to do.
        message: String,
    },
    /// A policy's document is none.
    #[error("the policy `{name}`: {why}")]
    BadPolicy {
        /// The policy.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// A stored record is not what this version reads.
    #[error("a stored {kind} cannot be read: `{name}`")]
    Unreadable {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
        /// Where reading stopped.
        #[source]
        source: serde_json::Error,
    },
}

impl AccessError {
    /// A refusal in the words of row A5.
    pub fn denied(caller: &Caller, action: &str, resource: &str) -> Self {
        Self::Denied(format!("User: {} is not authorized to perform: {action} on resource: {resource}", caller.name()))
    }

    pub(super) fn refused(code: Code, message: String) -> Self {
        Self::Refused { code, message }
    }

    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotAKey(_) | Self::OtherKey(_) => {
                Some("put the file back from a backup; without it stored access keys cannot be used, and new ones have to be made".into())
            }
            Self::Store(error) => error.hint(),
            _ => None,
        }
    }
}
