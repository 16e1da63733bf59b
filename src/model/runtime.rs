//! The catalogue of managed runtimes as data (row S3): names, wire names, versions, base images.

use super::names::RuntimeName;
use super::service::VersionLock;
use serde::{Deserialize, Serialize};

/// The language that a runtime is for: decides which interpreters are looked for and how a build is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// Python, with a virtual environment.
    Python,
    /// Node.js.
    Node,
    /// Java (Corretto).
    Java,
    /// Go.
    Go,
    /// .NET.
    Dotnet,
    /// PHP.
    Php,
    /// Ruby.
    Ruby,
}

/// One managed runtime.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Runtime {
    /// The name in files: `python3`.
    pub name: RuntimeName,
    /// The name on the wire: `PYTHON_3`. `None` for names of ours.
    #[serde(default)]
    pub wire: Option<String>,
    /// Its language.
    pub language: Language,
    /// The `major.minor` (or `major` where minors do not matter) that it offers, the newest first.
    pub versions: Vec<VersionLock>,
    /// The base image for the Docker engine; `{version}` stands for the chosen version.
    pub image: String,
}

/// All runtimes that an installation offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// The runtimes.
    pub runtimes: Vec<Runtime>,
}

impl Runtime {
    /// Whether a lock is one of this runtime's versions: equal as far as both say (row S4).
    pub fn accepts(&self, lock: &VersionLock) -> bool {
        self.versions.iter().any(|v| v.0.iter().zip(&lock.0).all(|(a, b)| a == b))
    }
}

impl Catalogue {
    /// The catalogue that is compiled in: every name that App Runner has, and newer ones of ours.
    pub fn builtin() -> Self {
        // A test reads it: the text is part of this binary.
        serde_json::from_str(include_str!("runtimes.json")).unwrap_or(Self { runtimes: Vec::new() })
    }

    /// The runtime of this name.
    pub fn find(&self, name: &RuntimeName) -> Option<&Runtime> {
        self.runtimes.iter().find(|r| &r.name == name)
    }
}
