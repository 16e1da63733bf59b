//! What of a repository a service follows: a branch, a tag or a commit, and a directory in it.

use super::error::Invalid;
use super::names::name;
use super::source::{BranchName, CommitId, is_reference_name};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Which version of a repository counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reference {
    /// The newest commit of the repository's default branch.
    #[default]
    Default,
    /// The newest commit of a branch.
    Branch(BranchName),
    /// The commit that a tag names. It may be moved.
    Tag(TagName),
    /// One commit, which never moves.
    Commit(CommitPrefix),
}

impl Reference {
    /// The branch, if one is named.
    pub fn branch(&self) -> Option<&BranchName> {
        match self {
            Self::Branch(branch) => Some(branch),
            _ => None,
        }
    }

    /// The tag, if it is one.
    pub fn tag(&self) -> Option<&TagName> {
        match self {
            Self::Tag(tag) => Some(tag),
            _ => None,
        }
    }

    /// The commit or its prefix, if it is one.
    pub fn commit(&self) -> Option<&CommitPrefix> {
        match self {
            Self::Commit(commit) => Some(commit),
            _ => None,
        }
    }
}

/// For sentences: `main`, `tag v1.2`, `commit 3f2a91c`, `the default branch`.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the default branch"),
            Self::Branch(branch) => write!(f, "{branch}"),
            Self::Tag(tag) => write!(f, "tag {tag}"),
            Self::Commit(commit) => write!(f, "commit {commit}"),
        }
    }
}

/// What a service follows in its repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Track {
    /// Which version.
    pub reference: Reference,
    /// The directory that the application is in; the root if none (row L1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<SourceDirectory>,
}

impl From<Reference> for Track {
    fn from(reference: Reference) -> Self {
        Self { reference, directory: None }
    }
}

name!(
    /// A tag: named as git allows it, and never something that looks like an option.
    TagName,
    |text| is_reference_name(text, "tag")
);

name!(
    /// A commit id or the beginning of one: 7 to 64 hex digits.
    CommitPrefix,
    |text| {
        let hex = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if hex && (7..=64).contains(&text.len()) {
            return Ok(());
        }
        Err(Invalid::new(format!("`{}` is not a commit id", text.escape_debug()))
            .hint("write all 40 digits of it, or the first 7 or more, in lower case"))
    }
);

impl CommitPrefix {
    /// The commit, where all its digits are written.
    pub fn whole(&self) -> Option<CommitId> {
        self.as_str().parse().ok()
    }

    /// Whether a commit begins so.
    pub fn fits(&self, commit: &CommitId) -> bool {
        commit.as_str().starts_with(self.as_str())
    }
}

name!(
    /// A directory in a repository, relative to its root: `services/web`. It cannot lead out of it.
    SourceDirectory,
    |text| {
        let bad = |why: &str| {
            Err(Invalid::new(format!("`{}` is not a directory in a repository: {why}", text.escape_debug()))
                .hint("write it from the repository's root, like `services/web`"))
        };
        if text.starts_with('/') {
            return bad("it is absolute");
        }
        if text.is_empty() || text.len() > 1024 {
            return bad("it has 1 to 1024 characters");
        }
        // None of these means anything to a shell, a Dockerfile or a list of paths, where it stands as text.
        if text.chars().any(|c| c.is_control() || "\\\"'`$:".contains(c)) {
            return bad("it contains a character that is not taken here");
        }
        for part in text.split('/') {
            match part {
                "" => return bad("it has an empty part"),
                "." | ".." => return bad("it has no part `.` or `..`"),
                part if part.eq_ignore_ascii_case(".git") => return bad("`.git` is no part of a commit"),
                part if part.trim() != part => return bad("a part begins or ends with a space"),
                _ => {}
            }
        }
        Ok(())
    }
);

impl SourceDirectory {
    /// The path of something in it, from the repository's root.
    pub fn join(&self, name: &str) -> String {
        format!("{}/{name}", self.as_str())
    }
}

/// What a commit has in a directory that is followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Contents {
    /// A directory, by the id of its tree: equal ids, equal contents.
    Tree(String),
    /// No directory.
    Missing,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn directories_that_could_lead_elsewhere_are_refused() {
        for bad in
            ["", "/", "/a", "a//b", "a/", "..", "a/../b", ".", "./a", "a\nb", "a/.GIT/b", "$HOME", "a\\b", " a", "a:b"]
        {
            assert!(bad.parse::<SourceDirectory>().is_err(), "{bad:?}");
        }
        for good in ["web", "services/web", "a b/c", "...", "-x", "dienste/größe", ".config/x"] {
            assert!(good.parse::<SourceDirectory>().is_ok(), "{good:?}");
        }
    }

    #[test]
    fn a_commit_is_written_with_seven_digits_or_more() {
        for bad in ["abcdef", "ABCDEF1", "main", "", "g123456", &"a".repeat(65)] {
            assert!(bad.parse::<CommitPrefix>().is_err(), "{bad:?}");
        }
        let prefix: CommitPrefix = "3f2a91c".parse().unwrap();
        assert_eq!(prefix.whole(), None);
        assert!(prefix.fits(&"3f2a91c0d9e8f7a6b5c4d3e2f1a0b9c8d7e6f5a4".parse().unwrap()));
        assert!("a".repeat(40).parse::<CommitPrefix>().unwrap().whole().is_some());
    }

    proptest! {
        #[test]
        fn a_directory_that_is_taken_stays_below_the_root(text in "[a-z./ ~$-]{1,12}") {
            if let Ok(directory) = text.parse::<SourceDirectory>() {
                let normal = |c: std::path::Component<'_>| matches!(c, std::path::Component::Normal(_));
                prop_assert!(std::path::Path::new(directory.as_str()).components().all(normal));
            }
        }
    }
}
