//! What can be wrong with keys and encrypted texts.

use std::error::Error;
use std::path::PathBuf;

/// Why a secret could not be encrypted or decrypted.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// The keys cannot be read or made.
    #[error("failed to {act} `{}`", path.display())]
    Keys {
        /// What was tried.
        act: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file of keys holds something else.
    #[error("`{}` holds no age identity: {why}", path.display())]
    NotKeys {
        /// Which.
        path: PathBuf,
        /// Where, and what.
        why: String,
    },
    /// None of our identities fits.
    #[error("it is encrypted for another key; this installation decrypts what is encrypted to {0}")]
    OtherKey(String),
    /// The text is none that age made, or it was changed.
    #[error("it cannot be decrypted: {0}")]
    Damaged(String),
    /// The value does not fit.
    #[error("a secret has at most {} bytes", super::MAX_VALUE)]
    TooLong,
    /// Encryption failed.
    #[error("failed to encrypt")]
    Encrypt(#[source] Box<dyn Error + Send + Sync>),
}

impl SecretsError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Keys { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
                Some("run this as the user that runs `towpath up`, or encrypt with `--recipient age1…`".into())
            }
            Self::NotKeys { .. } => {
                Some("put the file back from a backup; without it no secret can be decrypted".into())
            }
            Self::OtherKey(_) => Some("encrypt it again: `towpath secrets encrypt`".into()),
            Self::Damaged(_) => Some("paste the whole text again, from its BEGIN line to its END line".into()),
            _ => None,
        }
    }
}
