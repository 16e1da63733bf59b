//! `rollback --revert-pr`: a pull request that takes back at the branch what a rollback took back here. The commit is made
//! by GitHub's own API from what the mirror computed, and only if both come to the same tree; it is made once.

use super::link::{Link, advice};
use crate::api::control::{Principal, Refusal};
use crate::model::{Cause, CommitId, EventSeverity, OperationId, Reference, Revision, ServiceRecord};
use crate::reconcile::chain;
use crate::reconcile::core::Core;
use crate::source::git::{Content, Reversal};
use crate::source::github::GitHubError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::fmt::Write;
use std::sync::Arc;

/// What a rollback went from and to.
struct RolledBack {
    record: Arc<ServiceRecord>,
    from: Arc<Revision>,
    to: Arc<Revision>,
    by: String,
}

/// Opens the pull request of a rollback, or finds it. Returns its URL.
///
/// # Errors
/// Where there is nothing to take back, or nobody to ask.
pub async fn propose(core: &Arc<Core>, operation: &OperationId, by: &Principal) -> Result<String, Refusal> {
    let rolled = rolled_back(core, operation, by)?;
    let source = &rolled.from.spec.source;
    let Some(link) = super::link_of(core, &rolled.from.spec) else {
        return Err(Refusal::InvalidState(format!(
            "the source of service `{}` has no connection to GitHub that is available; declare one under \
             `source.connection`, or revert commit {} in a clone",
            rolled.record.name,
            rolled.from.commit.id.short()
        )));
    };
    let base = base(&link, &source.track.reference).await?;
    let branch = format!("towpath/revert-{}-{}", rolled.record.name, rolled.from.commit.id.short());
    if let Some(url) = existing(&link, &branch).await.map_err(|e| refused(&link, &e))? {
        return Ok(url);
    }
    let reference = Reference::Branch(
        base.parse()
            .map_err(|_| Refusal::InvalidState(format!("the branch `{}` cannot be reverted", base.escape_debug())))?,
    );
    let failed =
        |error: &dyn std::error::Error| Refusal::InvalidState(format!("nothing is reverted: {}", chain(error)));
    let head = core.git.fetch(&source.repository, &reference, None).await.map_err(|e| failed(&e))?;
    let (good, bad) = (&rolled.to.commit.id, &rolled.from.commit.id);
    let reversal = core.git.revert(&source.repository, (good, bad), &head.id).await.map_err(|e| failed(&e))?;
    let reversal = reversal
        .map_err(|why| Refusal::InvalidState(format!("commit {} cannot be reverted by itself: {why}", bad.short())))?;
    let url = open(&link, &rolled, &reversal, (&head.id, &base, &branch)).await.map_err(|e| refused(&link, &e))?;
    let message = format!("Pull request {url} reverts what was rolled back from, asked for by {}.", rolled.by);
    core.emit_for(&rolled.record, "RevertProposed", EventSeverity::Info, message).await;
    Ok(url)
}

fn refused(link: &Link, error: &GitHubError) -> Refusal {
    let (connection, why) = (&link.connection, chain(error));
    Refusal::InvalidState(format!(
        "the pull request was not opened over connection `{connection}`: {why}{}; the rollback itself goes on",
        advice(error)
    ))
}

fn rolled_back(core: &Core, operation: &OperationId, by: &Principal) -> Result<RolledBack, Refusal> {
    let state = core.state();
    let none = || Refusal::NotFound(format!("there is no rollback `{operation}`"));
    let operation = state.world.operations.get(operation).ok_or_else(none)?;
    let Cause::Rollback { from, .. } = operation.cause else { return Err(none()) };
    let record = state.world.services.get(&operation.service).ok_or_else(none)?.clone();
    let revision = |number| state.world.revisions.get(&(record.id.clone(), number)).cloned();
    let to = operation.target.revision.and_then(revision).ok_or_else(none)?;
    let from = revision(from).ok_or_else(none)?;
    if from.commit.id == to.commit.id {
        return Err(Refusal::InvalidState(format!(
            "revisions {} and {} are of one commit: there is nothing to revert but the manifest",
            from.number, to.number
        )));
    }
    Ok(RolledBack { from, to, record: record.clone(), by: by.name.clone() })
}

/// The branch that is reverted.
async fn base(link: &Link, reference: &Reference) -> Result<String, Refusal> {
    match reference {
        Reference::Branch(branch) => Ok(branch.to_string()),
        Reference::Default => {
            let repository = link.get("").await.map_err(|e| refused(link, &e))?;
            let branch = repository["default_branch"].as_str().map(str::to_owned);
            branch.ok_or_else(|| Refusal::InvalidState("the repository has no default branch".into()))
        }
        other => Err(Refusal::InvalidState(format!("the service follows {other}, which no pull request can change"))),
    }
}

/// The pull request of a branch of ours, whatever became of it: what a person closed is not opened again.
async fn existing(link: &Link, branch: &str) -> Result<Option<String>, GitHubError> {
    let path = format!("/pulls?state=all&head={}:{branch}&per_page=1", link.slug.owner());
    let found = link.get(&path).await?;
    Ok(found[0]["html_url"].as_str().map(str::to_owned))
}

async fn open(
    link: &Link,
    rolled: &RolledBack,
    reversal: &Reversal,
    (head, base, branch): (&CommitId, &str, &str),
) -> Result<String, GitHubError> {
    let commit = commit(link, rolled, reversal, head).await?;
    let reference = json!({ "ref": format!("refs/heads/{branch}"), "sha": commit });
    match link.post("/git/refs", &reference).await {
        // Of an earlier try: it is ours by its name, and is moved to what is true now.
        Err(GitHubError::Refused { status: 422, .. }) => {
            let moved = json!({ "sha": commit, "force": true });
            link.patch(&format!("/git/refs/heads/{branch}"), &moved).await?;
        }
        made => drop(made?),
    }
    let pull =
        json!({ "title": title(rolled, reversal), "head": branch, "base": base, "body": body(rolled, reversal) });
    let made = link.post("/pulls", &pull).await?;
    let url = made["html_url"].as_str().map(str::to_owned);
    url.ok_or_else(|| GitHubError::Unexpected("a pull request without a URL".into()))
}

/// Makes the commit at GitHub. The tree that it makes has to be the one that was computed here.
async fn commit(link: &Link, rolled: &RolledBack, reversal: &Reversal, head: &CommitId) -> Result<String, GitHubError> {
    let id = |made: &Value| {
        let id = made["sha"].as_str().map(str::to_owned);
        id.ok_or_else(|| GitHubError::Unexpected("an object without an id".into()))
    };
    let mut tree = Vec::with_capacity(reversal.entries.len());
    for entry in &reversal.entries {
        let sha = match &entry.content {
            None => Value::Null,
            Some(Content::Known(id)) => id.as_str().into(),
            Some(Content::New(bytes)) => {
                let blob = json!({ "content": STANDARD.encode(bytes), "encoding": "base64" });
                id(&link.post("/git/blobs", &blob).await?)?.into()
            }
        };
        tree.push(json!({ "path": entry.path, "mode": entry.mode, "type": kind(&entry.mode), "sha": sha }));
    }
    let made = id(&link.post("/git/trees", &json!({ "base_tree": reversal.head_tree, "tree": tree })).await?)?;
    if made != reversal.tree {
        return Err(GitHubError::Unexpected("the files that it made are not those that were meant".into()));
    }
    let message = format!("{}\n\n{}", title(rolled, reversal), undone(reversal));
    let commit = json!({ "message": message, "tree": made, "parents": [head.as_str()] });
    id(&link.post("/git/commits", &commit).await?)
}

fn kind(mode: &str) -> &'static str {
    if mode == "160000" { "commit" } else { "blob" }
}

fn title(rolled: &RolledBack, reversal: &Reversal) -> String {
    match (reversal.count, reversal.undone.first()) {
        (1, Some(only)) => {
            let summary: String = only.split_once(' ').map_or("", |(_, summary)| summary).chars().take(80).collect();
            format!("Revert \"{summary}\"")
        }
        (count, _) => format!("Revert {count} commits up to {}", rolled.from.commit.id.short()),
    }
}

/// The commits that are taken back, each on a line: indented, so that nothing in them means anything in markdown.
fn undone(reversal: &Reversal) -> String {
    let mut text = String::from("This reverts:\n\n");
    for line in &reversal.undone {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "    {line}");
    }
    if reversal.count > reversal.undone.len() {
        let _ = writeln!(text, "    and {} more", reversal.count - reversal.undone.len());
    }
    text
}

fn body(rolled: &RolledBack, reversal: &Reversal) -> String {
    let RolledBack { record, from, to, by } = rolled;
    format!(
        "Service `{}` was rolled back from revision {} ({}) to revision {} ({}) by `{}`. {}\nUntil a newer commit comes, \
         {} is not deployed again.\n",
        record.name,
        from.number,
        from.commit.id.short(),
        to.number,
        to.commit.id.short(),
        by.replace('`', "'"),
        undone(reversal),
        from.commit.id.short(),
    )
}
