//! Secrets, which redact themselves wherever they could be printed.

use super::ids::Digest;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

/// A secret value. `Debug` and `Display` print `••••••`; it cannot be serialized.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    pub fn new(value: String) -> Self {
        Self(value)
    }

    /// The value itself, for the one place that needs it: the environment of an instance.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("••••••")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("••••••")
    }
}

/// Where a secret's value is read from when an instance starts. The reference is stored, never the value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SecretRef {
    /// A file, by absolute path; one trailing newline is not part of the value.
    File(PathBuf),
    /// A variable of towpath's own environment.
    Env(String),
    /// A secret that stands encrypted in git.
    Sealed {
        /// Its name in the manifest.
        name: String,
        /// Which value it has: a digest under a key of the installation, so that it tells nothing of the value.
        value: Digest,
    },
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Env(name) => write!(f, "environment variable {name}"),
            Self::Sealed { name, value } => write!(f, "secret {name} (value {})", value.short()),
        }
    }
}
