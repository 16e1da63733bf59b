//! The repository's own Dockerfile as build (row S9), as it is declared.

use super::error::Invalid;
use super::names::{EnvName, name};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// A build by the repository's own Dockerfile (row S9). Paths are relative to the source directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DockerfileBuild {
    /// The Dockerfile.
    pub path: RepositoryPath,
    /// The directory that `COPY` reads from; the source directory itself if none.
    pub context: Option<RepositoryPath>,
    /// The stage to build; the last one if none.
    pub target: Option<String>,
    /// Build arguments. They stand in the image's history: no place for secrets.
    pub args: BTreeMap<EnvName, String>,
}

name!(
    /// A path inside a repository: relative, `/` between its parts, none of them `.`, `..` or empty.
    RepositoryPath,
    |text| {
        let bad = |why: &str| Err(Invalid::new(format!("`{}` is not a path in a repository: {why}", text.escape_debug())));
        if text.is_empty() || text.len() > 1024 {
            return bad("it has 1 to 1024 characters");
        }
        if text.starts_with('/') {
            return bad("it is relative to the root of the source");
        }
        if text.chars().any(|c| c.is_control() || c == '\\') {
            return bad("it contains a control character or a backslash");
        }
        if text.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return bad("it contains an empty part, `.` or `..`");
        }
        Ok(())
    }
);

impl RepositoryPath {
    /// `Dockerfile`, in the root of the source.
    pub fn dockerfile() -> Self {
        Self("Dockerfile".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_leaves_the_repository_is_none() {
        for bad in ["", "/etc/passwd", "..", "a/../b", "a//b", "./a", "a/", "a\\b", "a\nb"] {
            assert!(bad.parse::<RepositoryPath>().is_err(), "{bad:?}");
        }
        for good in ["Dockerfile", "docker/prod.Dockerfile", ".docker/x", "a b", "..a"] {
            assert!(good.parse::<RepositoryPath>().is_ok(), "{good:?}");
        }
    }
}
