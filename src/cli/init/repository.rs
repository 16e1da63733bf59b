//! The git repository that one stands in, read from its own files: no git is run, no configuration of it is obeyed.

use super::super::failure::Failure;
use serde::Serialize;
use std::io::Read;
use std::path::{Path, PathBuf};

/// How much of `.git/config` and `.git/HEAD` is read.
const MOST_BYTES: u64 = 64 << 10;

/// A repository, as the manifest names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Repository {
    /// Its path relative to where one stands: `.`, `..`, `../..`.
    pub path: String,
    /// Where one stands inside it, if not at its root.
    pub directory: Option<String>,
    /// The branch that is checked out.
    pub branch: Option<String>,
    /// The URL of `origin`, without credentials.
    pub origin: Option<String>,
    /// The name of its directory.
    pub name: String,
    /// What a person should know.
    #[serde(skip)]
    pub notes: Vec<String>,
}

/// Looks upwards from a directory.
///
/// # Errors
/// When there is no repository, with the commands that make one.
pub fn find(here: &Path) -> Result<Repository, Failure> {
    let Some(root) = here.ancestors().find(|d| d.join(".git").exists()) else {
        return Err(Failure::new(format!("`{}` is in no git repository", here.display()))
            .hint("towpath deploys commits: `git init && git add -A && git commit -m \"First version\"`, then again"));
    };
    let git = git_directory(root);
    let head = read(&git.join("HEAD"));
    let branch = head.as_deref().and_then(|h| h.trim().strip_prefix("ref: refs/heads/")).map(str::to_owned);
    let origin = read(&common(&git).join("config")).and_then(|text| origin_of(&text));
    let depth = here.strip_prefix(root).map_or(0, |inside| inside.components().count());
    let directory = here.strip_prefix(root).ok().filter(|inside| inside.components().count() > 0);
    let mut notes = Vec::new();
    if branch.as_deref().is_some_and(|b| !has_commit(&git, b)) {
        notes.push("nothing is committed yet; towpath deploys commits: `git add -A && git commit`".to_owned());
    }
    Ok(Repository {
        path: if depth == 0 { ".".to_owned() } else { vec![".."; depth].join("/") },
        directory: directory.map(|d| d.to_string_lossy().into_owned()),
        branch,
        origin,
        name: root.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default(),
        notes,
    })
}

/// A work tree of another repository has a file `.git` that names the directory.
fn git_directory(root: &Path) -> PathBuf {
    let dot = root.join(".git");
    let named = read(&dot).and_then(|text| Some(root.join(text.trim().strip_prefix("gitdir: ")?)));
    named.unwrap_or(dot)
}

/// Where the parts are that work trees share.
fn common(git: &Path) -> PathBuf {
    read(&git.join("commondir")).map_or_else(|| git.to_path_buf(), |text| git.join(text.trim()))
}

fn has_commit(git: &Path, branch: &str) -> bool {
    let common = common(git);
    let packed = read(&common.join("packed-refs")).unwrap_or_default();
    common.join("refs/heads").join(branch).is_file() || packed.contains(&format!("refs/heads/{branch}"))
}

fn read(path: &Path) -> Option<String> {
    let mut text = Vec::new();
    std::fs::File::open(path).ok()?.take(MOST_BYTES).read_to_end(&mut text).ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// `url` of `[remote "origin"]`; none where it carries credentials, which must not be copied.
fn origin_of(config: &str) -> Option<String> {
    let mut inside = false;
    for line in config.lines().map(str::trim) {
        if line.starts_with('[') {
            inside = line == "[remote \"origin\"]";
        } else if let Some((key, url)) = line.split_once('=').filter(|_| inside)
            && key.trim() == "url"
        {
            let url = url.trim();
            let authority = url.split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or(""));
            let secret = authority.contains('@') && url.starts_with("http");
            return (!secret && !url.chars().any(char::is_control)).then(|| url.to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_origin_is_found_and_credentials_in_it_are_not_copied() {
        let config =
            |url: &str| format!("[core]\n\turl = x\n[remote \"up\"]\n\turl = y\n[remote \"origin\"]\n\turl = {url}\n");
        assert_eq!(origin_of(&config("https://github.com/acme/shop")).as_deref(), Some("https://github.com/acme/shop"));
        assert_eq!(origin_of(&config("git@github.com:acme/shop")).as_deref(), Some("git@github.com:acme/shop"));
        assert_eq!(origin_of(&config("https://me:hunter2@github.com/acme/shop")), None);
    }

    #[test]
    fn a_directory_below_the_root_knows_the_way_up() {
        let root = tempfile::tempdir().unwrap();
        let below = root.path().join("services/web");
        std::fs::create_dir_all(&below).unwrap();
        std::fs::create_dir_all(root.path().join(".git")).unwrap();
        std::fs::write(root.path().join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
        let found = find(&below).unwrap();
        assert_eq!((found.path.as_str(), found.directory.as_deref()), ("../..", Some("services/web")));
        assert_eq!(found.branch.as_deref(), Some("main"));
        assert_eq!(found.notes.len(), 1, "nothing is committed");
    }
}
