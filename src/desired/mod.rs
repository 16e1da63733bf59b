//! What should run: the manifest (YAML → model with spans, all problems at once) and `apprunner.yaml`; and the
//! way back, [`export`].
//!
//! Imports `model`. Parsing is pure: text in, value and problems out; `files` alone reads a disk.

pub mod apprunner;
pub mod duration;
pub mod export;
mod fields;
pub mod file;
pub mod files;
pub mod findings;
mod keys;
pub mod manifest;
pub mod runtimes;
pub mod schema;
mod withheld;
pub mod yaml;

pub use apprunner::parse_apprunner;
pub use file::{FileKind, check_file};
pub use files::{ManifestFiles, ManifestText};
pub use manifest::{Sealed, parse_manifest, parse_manifest_files};
pub use runtimes::parse_runtimes;

use crate::model::{Digest, Place, Problem, ServiceSpec};
use serde::{Deserialize, Serialize};

/// Which manifest a desired state was read from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestVersion {
    /// The file, as the user named it.
    pub file: String,
    /// The digest of what it declares (contents, not text: comments do not change it).
    pub digest: Digest,
}

/// One service as it is declared, with its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeclaredService {
    /// What is declared.
    pub spec: ServiceSpec,
    /// Where its name stands.
    pub place: Place,
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
