//! What should run: the manifest (YAML → model with spans, all problems at once) and `apprunner.yaml`; and the
//! way back, [`export`]; and declarations in the words of others, [`import`].
//!
//! Imports `model`. Parsing is pure: text in, value and problems out; `files` alone reads a disk.

pub mod apprunner;
pub mod duration;
pub mod export;
mod fields;
pub mod file;
pub mod files;
pub mod findings;
#[cfg(test)]
mod fuzz;
pub mod identities;
pub mod import;
mod keys;
pub mod manifest;
pub mod previews;
pub mod runtimes;
pub mod schema;
mod withheld;
pub mod yaml;

pub use apprunner::parse_apprunner;
pub use file::{FileKind, check_file};
pub use files::{ManifestFiles, ManifestText};
pub use identities::Identities;
pub use manifest::{Sealed, parse_manifest, parse_manifest_files};
pub use runtimes::parse_runtimes;

use crate::model::{
    CommitId, ConnectionName, Digest, HostUrl, Means, Place, Previews, Problem, Provider, ServiceName, ServiceSpec,
    Timestamp, Window,
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Which manifest a desired state was read from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestVersion {
    /// The file, as the user named it.
    pub file: String,
    /// The digest of what it declares (contents, not text: comments do not change it).
    pub digest: Digest,
    /// The commit it was read from, where it is followed in a git repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<ManifestCommit>,
}

/// For sentences: `prod/towpath.yaml at 3f2a91c`, and without a commit `towpath.yaml (contents 50d910a)`.
impl fmt::Display for ManifestVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.commit {
            Some(commit) => write!(f, "{} at {}", self.file, commit.id.short()),
            None => write!(f, "{} (contents {})", self.file, &self.digest.short()[..7]),
        }
    }
}

impl ManifestVersion {
    /// A place in it: `towpath.yaml:14 at 3f2a91c`, and of no commit `towpath.yaml:14 (contents 50d910a)`.
    pub fn spot(&self, place: &Place) -> String {
        match &self.commit {
            Some(commit) => format!("{place} at {}", commit.id.short()),
            None => format!("{place} (contents {})", &self.digest.short()[..7]),
        }
    }
}

/// A commit of the repository that a manifest is followed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestCommit {
    /// Its id.
    pub id: CommitId,
    /// Who wrote it.
    pub author: String,
    /// The first line of its message.
    pub summary: String,
    /// When it was committed.
    pub time: Timestamp,
    /// Who signed it, where that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<String>,
}

/// One service as it is declared, with its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeclaredService {
    /// What is declared.
    pub spec: ServiceSpec,
    /// Where its name stands.
    pub place: Place,
    /// How pull requests of its repository are previewed, if they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previews: Option<Previews>,
}

/// The desired state of an installation, as of one valid manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Desired {
    /// Which manifest.
    pub manifest: ManifestVersion,
    /// The services in the order of the files; names and host labels are unique.
    pub services: Vec<DeclaredService>,
    /// The encrypted secrets that services use.
    #[serde(default)]
    pub secrets: Vec<DeclaredSecret>,
    /// The deploy windows.
    #[serde(default)]
    pub windows: Vec<DeclaredWindow>,
    /// Who may do what.
    #[serde(default, skip_serializing_if = "Identities::is_empty")]
    pub identities: Identities,
    /// The connections, in the order of their names.
    #[serde(default)]
    pub connections: Vec<DeclaredConnection>,
}

/// A deploy window, with its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeclaredWindow {
    /// What is declared.
    pub window: Window,
    /// Where it stands.
    pub place: Place,
}

/// A connection as it is declared (row C1), with its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeclaredConnection {
    /// Its name.
    pub name: ConnectionName,
    /// Whose it is, and how it gets in.
    pub spec: ConnectionSpec,
    /// Where its name stands.
    pub place: Place,
}

/// What is declared of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionSpec {
    /// Who keeps the repositories.
    pub provider: Provider,
    /// The server.
    pub host: HostUrl,
    /// How it gets in; left to `towpath connections handshake` if nothing is said.
    pub means: Option<Means>,
}

impl Desired {
    /// Where a service is declared, as of the version in force, if it is.
    pub fn spot_of(&self, name: &ServiceName) -> Option<String> {
        let declared = self.services.iter().find(|service| &service.spec.name == name)?;
        Some(self.manifest.spot(&declared.place))
    }
}

/// A secret that stands encrypted in git, with its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeclaredSecret {
    /// Its name.
    pub name: String,
    /// Where its encrypted text stands.
    pub sealed: Sealed,
    /// Where it is declared.
    pub place: Place,
}

/// What parsing a file gives: a value unless there are errors, and every problem found, in the order of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed<T> {
    /// The value; `None` when any problem is an error.
    pub value: Option<T>,
    /// Errors and warnings.
    pub problems: Vec<Problem>,
}
