//! Pull requests as GitHub lists them. What others wrote in them is data, never a name of ours.

use super::link::Link;
use crate::model::CommitId;
use crate::source::github::GitHubError;
use crate::telemetry::logs::clean;
use serde_json::Value;

/// How many are on a page, and how many pages are read.
const PAGE: usize = 100;
const PAGES: usize = 3;
/// The longest title that is repeated.
const TITLE: usize = 120;

/// One pull request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pull {
    /// Its number.
    pub number: u64,
    /// Its title, cleaned and cut.
    pub title: String,
    /// Its newest commit.
    pub head: CommitId,
    /// The branch that it is to be merged into.
    pub base: String,
    /// Whether it comes from another repository.
    pub from_fork: bool,
    /// Whether it is open.
    pub is_open: bool,
    /// What it was merged as, if it was.
    pub merged: Option<CommitId>,
}

impl Pull {
    /// Of GitHub's JSON; `None` if that is not of a pull request.
    pub fn read(json: &Value) -> Option<Self> {
        let repository = |side: &str| json[side]["repo"]["id"].as_u64();
        let merged = json["merged_at"].is_string() || json["merged"].as_bool() == Some(true);
        let merge = json["merge_commit_sha"].as_str().and_then(|id| id.parse().ok());
        Some(Self {
            number: json["number"].as_u64().filter(|number| *number > 0)?,
            title: clean(json["title"].as_str().unwrap_or_default()).chars().take(TITLE).collect(),
            head: json["head"]["sha"].as_str()?.parse().ok()?,
            base: json["base"]["ref"].as_str()?.to_owned(),
            // The repository of a fork may be gone: then nobody knows whose it was.
            from_fork: repository("head").is_none() || repository("head") != repository("base"),
            is_open: json["state"] == "open",
            merged: merge.filter(|_| merged),
        })
    }
}

/// All open ones, those changed last first; of a repository with more than a few hundred these.
///
/// # Errors
/// Whatever GitHub answers but a list.
pub async fn open(link: &Link) -> Result<Vec<Pull>, GitHubError> {
    let mut all = Vec::new();
    for page in 1..=PAGES {
        let path = format!("/pulls?state=open&sort=updated&direction=desc&per_page={PAGE}&page={page}");
        let listed = link.get(&path).await?;
        let listed =
            listed.as_array().ok_or_else(|| GitHubError::Unexpected("a list of pull requests is none".into()))?;
        all.extend(listed.iter().filter_map(Pull::read));
        if listed.len() < PAGE {
            break;
        }
    }
    Ok(all)
}

/// One of them.
///
/// # Errors
/// Whatever GitHub answers but a pull request.
pub async fn one(link: &Link, number: u64) -> Result<Pull, GitHubError> {
    let answer = link.get(&format!("/pulls/{number}")).await?;
    Pull::read(&answer).ok_or_else(|| GitHubError::Unexpected("a pull request is none".into()))
}

/// The comment on a pull request that begins with a marker, if there is one.
///
/// # Errors
/// Whatever GitHub answers but a list.
pub async fn comment_with(link: &Link, number: u64, marker: &str) -> Result<Option<u64>, GitHubError> {
    for page in 1..=PAGES {
        let listed = link.get(&format!("/issues/{number}/comments?per_page={PAGE}&page={page}")).await?;
        let listed = listed.as_array().cloned().unwrap_or_default();
        let ours = listed.iter().find(|one| one["body"].as_str().is_some_and(|body| body.starts_with(marker)));
        if let Some(id) = ours.and_then(|one| one["id"].as_u64()) {
            return Ok(Some(id));
        }
        if listed.len() < PAGE {
            break;
        }
    }
    Ok(None)
}

/// Says something on a pull request, in place of what was said under the same marker. Returns the comment's id.
///
/// # Errors
/// Whatever is no success.
pub async fn comment(
    link: &Link,
    number: u64,
    known: Option<u64>,
    marker: &str,
    text: &str,
) -> Result<u64, GitHubError> {
    let body = serde_json::json!({ "body": text });
    if let Some(id) = known {
        match link.patch(&format!("/issues/comments/{id}"), &body).await {
            // Somebody removed it.
            Err(GitHubError::NotFound(_)) => {}
            done => return done.map(|_| id),
        }
    }
    // After a crash it may be there although nobody remembers.
    if let Some(id) = comment_with(link, number, marker).await? {
        return link.patch(&format!("/issues/comments/{id}"), &body).await.map(|_| id);
    }
    let made = link.post(&format!("/issues/{number}/comments"), &body).await?;
    made["id"].as_u64().ok_or_else(|| GitHubError::Unexpected("a comment without an id".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pull(more: &[(&str, Value)]) -> Value {
        let mut json = json!({
            "number": 17, "title": "x", "state": "open", "merge_commit_sha": "b".repeat(40), "merged_at": null,
            "head": { "sha": "a".repeat(40), "ref": "--upload-pack=x", "repo": { "id": 1 } },
            "base": { "sha": "c".repeat(40), "ref": "main", "repo": { "id": 1 } },
        });
        for (pointer, value) in more {
            *json.pointer_mut(pointer).unwrap() = value.clone();
        }
        json
    }

    #[test]
    fn one_of_another_repository_or_of_one_that_is_gone_comes_from_a_fork() {
        assert!(!Pull::read(&pull(&[])).unwrap().from_fork);
        assert!(Pull::read(&pull(&[("/head/repo/id", json!(2))])).unwrap().from_fork);
        assert!(Pull::read(&pull(&[("/head/repo", Value::Null)])).unwrap().from_fork);
    }

    #[test]
    fn the_trial_merge_of_an_open_one_is_not_its_merge() {
        let open = Pull::read(&pull(&[])).unwrap();
        assert!(open.is_open && open.merged.is_none());
        let merged = Pull::read(&pull(&[("/state", json!("closed")), ("/merged_at", json!("2026-11-26T18:00:00Z"))]));
        assert_eq!(merged.unwrap().merged.unwrap().as_str(), "b".repeat(40));
    }

    #[test]
    fn what_others_wrote_is_cut_and_cannot_steer_a_terminal() {
        let title = format!("\x1b[2J{}\u{202e}", "x".repeat(4096));
        let read = Pull::read(&pull(&[("/title", json!(title))])).unwrap();
        assert!(read.title.chars().count() <= TITLE && !read.title.contains('\x1b'), "{}", read.title);
        for (pointer, bad) in [
            ("/number", json!("17; rm -rf /")),
            ("/number", json!(-1)),
            ("/number", json!(0)),
            ("/head/sha", json!("--upload-pack=x")),
            ("/head/sha", Value::Null),
            ("/base/ref", json!(1)),
        ] {
            assert_eq!(Pull::read(&pull(&[(pointer, bad.clone())])), None, "{pointer} {bad}");
        }
        assert_eq!(Pull::read(&json!([])), None);
    }
}
