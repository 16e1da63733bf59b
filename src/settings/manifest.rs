//! Where the manifest is: on this machine, or in a git repository that is followed.

use crate::model::{ConnectionName, Invalid, Reference, RepositoryUrl, SourceDirectory, Track, Verify};
use std::fmt;
use std::path::PathBuf;

/// Where the manifest is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestSource {
    /// A file or a directory of this machine.
    Path(PathBuf),
    /// In a git repository.
    Repository(ManifestRepository),
}

/// As the user named it.
impl fmt::Display for ManifestSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Repository(repository) => repository.fmt(f),
        }
    }
}

/// A manifest that is pulled from git.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestRepository {
    /// The repository.
    pub url: RepositoryUrl,
    /// The branch.
    pub reference: Reference,
    /// The file or directory in it, from its root.
    pub path: SourceDirectory,
    /// The connection that it is read by.
    pub connection: Option<ConnectionName>,
    /// What has to hold of a commit before it is put in force. Its keys are of this machine: those of a commit that is not
    /// verified yet would vouch for it themselves.
    pub verify: Verify,
}

impl ManifestRepository {
    /// What of the repository is followed: every commit, so that what is in force always names the newest.
    pub fn track(&self) -> Track {
        self.reference.clone().into()
    }
}

/// `prod/towpath.yaml of https://github.com/acme/infra, main`.
impl fmt::Display for ManifestRepository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}, {}", self.path.as_str(), self.url, self.reference)
    }
}

/// A file or directory in a repository; a `/` at its end is taken as people write it.
///
/// # Errors
/// For what leads out of the repository or names nothing in it.
pub fn parse_manifest_path(text: &str) -> Result<SourceDirectory, Invalid> {
    text.strip_suffix('/').unwrap_or(text).parse().map_err(|_: Invalid| {
        Invalid::new(format!("`{}` names no file or directory in a repository", text.escape_debug()))
            .hint("write it from the repository's root, like `prod` or `prod/towpath.yaml`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_in_its_repository() {
        assert_eq!(parse_manifest_path("prod/").unwrap().as_str(), "prod");
        for bad in ["", "/", "/etc", "..", "a/../b", ".", "a//b", ".git/config", "a\nb"] {
            assert!(parse_manifest_path(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn it_is_shown_as_one_says_it() {
        let url = "https://git.example.com/acme/infra".parse().unwrap();
        let reference = Reference::Branch("main".parse().unwrap());
        let path = parse_manifest_path("prod/").unwrap();
        let (connection, verify) = (None, Verify::default());
        let repository = ManifestRepository { url, reference, path, connection, verify };
        let shown = ManifestSource::Repository(repository).to_string();
        assert_eq!(shown, "prod of https://git.example.com/acme/infra, main");
    }
}
