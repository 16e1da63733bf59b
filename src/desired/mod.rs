//! What should run: the manifest (YAML → model with spans, all problems at once) and `apprunner.yaml`.
//!
//! Imports `model`, `source`, `store`. Parsing is pure: text in, value and problems out.

pub mod apprunner;
pub mod duration;
mod fields;
pub mod file;
pub mod findings;
mod keys;
pub mod manifest;
mod withheld;
pub mod yaml;

pub use apprunner::parse_apprunner;
pub use file::{FileKind, check_file};
pub use manifest::parse_manifest;

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
    /// The services in the order of the file; names and host labels are unique.
    pub services: Vec<DeclaredService>,
}

/// What parsing a file gives: a value unless there are errors, and every problem found, in the order of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed<T> {
    /// The value; `None` when any problem is an error.
    pub value: Option<T>,
    /// Errors and warnings.
    pub problems: Vec<Problem>,
}
