//! Pull requests: brought into the mirror, and merged there into a commit of their base, so that what they come to can be
//! read before anybody merges them. Nothing of them is checked out or run, and nothing is written anywhere but to the mirror.

use super::SourceError;
use super::bounds::Bounds;
use super::failure::{Fault, transport, transport_text};
use super::fetch::{download_names, find, no_commit, oid};
use super::head::{all_listed, callbacks, proxy};
use super::mirror::Mirror;
use crate::model::{Commit, CommitId, RepositoryUrl};
use git2::{Direction, ErrorCode, Oid, Repository, Signature, Time};

/// What a pull request comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// The merge; its head alone where it cannot be merged, or has all of its base already.
    pub commit: Commit,
    /// Whether it can be merged without a person.
    pub clean: bool,
}

/// Where the merge of a pull request is kept.
fn place(number: u64) -> String {
    format!("refs/pulls/{number}")
}

/// Brings the head of a pull request into the mirror and merges it there.
pub(super) fn merge(
    mirror: &Mirror,
    repository: &RepositoryUrl,
    (number, head): (u64, &CommitId),
    base: &CommitId,
    bounds: &Bounds,
) -> Result<Merged, Fault> {
    let open = mirror.open_or_make(repository)?;
    let (head, base) = (oid(repository, head)?, oid(repository, base)?);
    if !open.odb()?.exists(head) {
        bring(&open, repository, number, head, bounds)?;
    }
    let (id, clean) = merged(&open, repository, head, base)?;
    open.reference(&place(number), id, true, "pull request")?;
    let id = id.to_string().parse().map_err(|_| transport_text(repository, "a merge got no id"))?;
    let commit = find(&open, repository, &id)?.ok_or_else(|| no_commit(repository, id.as_str()))?;
    Ok(Merged { commit, clean })
}

/// Downloads the head of a pull request, as GitHub names it. It may have been pushed to again since it was asked for.
fn bring(open: &Repository, repository: &RepositoryUrl, number: u64, head: Oid, bounds: &Bounds) -> Result<(), Fault> {
    let (RepositoryUrl::Http(url) | RepositoryUrl::Ssh(url)) = repository else {
        return Err(transport_text(repository, "it has no pull requests").into());
    };
    let failed = |error: git2::Error| transport(repository, &error);
    let mut remote = open.remote_anonymous(url).map_err(failed)?;
    let mut connection = remote
        .connect_auth(Direction::Fetch, Some(callbacks(repository, bounds)), Some(proxy()))
        .map_err(|error| bounds.explain(repository, &error))?;
    let name = format!("refs/pull/{number}/head");
    let listed = all_listed(connection.list().map_err(failed)?);
    if !listed.iter().any(|one| one.name == name && one.id == head) {
        return Err(SourceError::NoCommit { repository: repository.to_string(), commit: head.to_string() }.into());
    }
    download_names(&mut connection, repository, &[name], bounds)
}

/// The merge of two commits, made if there is none yet: the same commits make the same one.
fn merged(open: &Repository, repository: &RepositoryUrl, head: Oid, base: Oid) -> Result<(Oid, bool), Fault> {
    let theirs = open.find_commit(head)?;
    let ours = match open.find_commit(base) {
        Err(error) if error.code() == ErrorCode::NotFound => {
            return Err(no_commit(repository, &base.to_string()).into());
        }
        found => found?,
    };
    if head == base || open.graph_descendant_of(head, base)? {
        return Ok((head, true));
    }
    let mut index = match open.merge_commits(&ours, &theirs, None) {
        Err(error) if error.code() == ErrorCode::MergeConflict => return Ok((head, false)),
        made => made?,
    };
    if index.has_conflicts() {
        return Ok((head, false));
    }
    let tree = open.find_tree(index.write_tree_to(open)?)?;
    let at = Time::new(ours.time().seconds().max(theirs.time().seconds()), 0);
    let us = Signature::new("towpath", "towpath@localhost", &at)?;
    let id = open.commit(None, &us, &us, "Merge, to see what it comes to", &tree, &[&ours, &theirs])?;
    Ok((id, true))
}

/// Lets go of a pull request that is closed.
pub(super) fn forget(mirror: &Mirror, number: u64) -> Result<(), Fault> {
    let Some(open) = mirror.open()? else { return Ok(()) };
    match open.find_reference(&place(number)) {
        Err(error) if error.code() == ErrorCode::NotFound => Ok(()),
        found => Ok(found?.delete()?),
    }
}
