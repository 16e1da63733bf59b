//! Asks a repository for the newest commits of branches. Behind one function, [`heads`], so that HTTP can later be asked
//! with one protocol-v2 `ls-refs` request; libgit2 lists every reference.

use super::bounds::Bounds;
use super::failure::{transport, transport_text};
use super::{Head, SourceError};
use crate::model::{BranchName, CommitId, RepositoryUrl};
use git2::{Direction, ErrorCode, Oid, ProxyOptions, Remote, RemoteCallbacks, RemoteHead, Repository};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// How many branches a hint names.
const HINTS: usize = 5;

/// The heads of some branches, in their order.
pub(super) fn heads(
    repository: &RepositoryUrl,
    branches: &[Option<BranchName>],
    bounds: &Bounds,
) -> Result<Vec<Result<Head, SourceError>>, SourceError> {
    match repository {
        RepositoryUrl::File(path) => {
            let source = open_local(repository, path)?;
            Ok(branches.iter().map(|branch| local_head(repository, &source, branch.as_ref())).collect())
        }
        RepositoryUrl::Http(url) => {
            let mut remote = Remote::create_detached(url.as_str()).map_err(|error| transport(repository, &error))?;
            let connection = remote
                .connect_auth(Direction::Fetch, Some(callbacks(bounds)), Some(proxy()))
                .map_err(|error| transport(repository, &error))?;
            let listed = connection.list().map_err(|error| transport(repository, &error))?;
            Ok(branches.iter().map(|branch| listed_head(repository, listed, branch.as_ref())).collect())
        }
    }
}

/// Callbacks that hold a transfer within its bounds. There are none for credentials: this version has none.
pub(super) fn callbacks(bounds: &Bounds) -> RemoteCallbacks<'_> {
    let mut callbacks = RemoteCallbacks::new();
    callbacks.transfer_progress(|progress| bounds.allow(progress.received_bytes() as u64));
    callbacks.sideband_progress(|_| bounds.allow(0));
    callbacks
}

/// The proxy that `https_proxy`, `http_proxy` and `no_proxy` name, if any.
pub(super) fn proxy<'a>() -> ProxyOptions<'a> {
    let mut options = ProxyOptions::new();
    options.auto();
    options
}

/// Opens a repository on this machine: a bare one, or the `.git` of a work tree. Parent directories are not searched.
pub(super) fn open_local(repository: &RepositoryUrl, path: &Path) -> Result<Repository, SourceError> {
    // libgit2 takes a path with a NUL for a panic-free error, but an empty one for the current directory.
    if path.as_os_str().as_bytes().is_empty() {
        return Err(SourceError::NotFound { repository: repository.to_string() });
    }
    Repository::open(path).map_err(|error| transport(repository, &error))
}

/// The head of a branch of a repository on this machine.
pub(super) fn local_head(
    repository: &RepositoryUrl,
    source: &Repository,
    branch: Option<&BranchName>,
) -> Result<Head, SourceError> {
    let wanted = match branch {
        Some(branch) => Some(branch.clone()),
        None => local_default(source),
    };
    let found = wanted.as_ref().map(|branch| source.find_reference(&reference(branch)));
    match (wanted, found) {
        (Some(branch), Some(Ok(found))) => {
            let commit = found.peel_to_commit().map_err(|error| transport(repository, &error))?;
            Ok(Head { branch, commit: commit_id(repository, commit.id())? })
        }
        (_, Some(Err(error))) if error.code() != ErrorCode::NotFound => Err(transport(repository, &error)),
        _ => Err(no_branch(repository, branch, local_names(source))),
    }
}

/// The branch that `HEAD` names; none when it is detached or no branch that we could name.
fn local_default(source: &Repository) -> Option<BranchName> {
    let head = source.find_reference("HEAD").ok()?;
    short(head.symbolic_target().ok()??)
}

fn local_names(source: &Repository) -> Vec<BranchName> {
    let Ok(references) = source.references_glob("refs/heads/*") else { return Vec::new() };
    references.flatten().filter_map(|reference| short(reference.name().ok()?)).collect()
}

/// The head of a branch among what a server listed.
pub(super) fn listed_head(
    repository: &RepositoryUrl,
    listed: &[RemoteHead<'_>],
    branch: Option<&BranchName>,
) -> Result<Head, SourceError> {
    let wanted = branch.cloned().or_else(|| listed_default(listed));
    let found = wanted.and_then(|branch| {
        let name = reference(&branch);
        listed.iter().find(|head| head.name() == name).map(|head| (branch, head.oid()))
    });
    match found {
        Some((branch, id)) => Ok(Head { branch, commit: commit_id(repository, id)? }),
        None => Err(no_branch(repository, branch, listed.iter().filter_map(|head| short(head.name())).collect())),
    }
}

/// The branch that `HEAD` stands for. A server that does not say which (older than git 1.8.5) leaves those that have the
/// same commit; then the field's usual names decide.
fn listed_default(listed: &[RemoteHead<'_>]) -> Option<BranchName> {
    let head = listed.iter().find(|head| head.name() == "HEAD")?;
    if let Some(target) = head.symref_target() {
        return short(target);
    }
    let same = || listed.iter().filter(|other| other.oid() == head.oid()).filter_map(|other| short(other.name()));
    let usual = same().find(|name| matches!(name.as_str(), "main" | "master"));
    usual.or_else(|| same().next())
}

/// A branch's reference.
pub(super) fn reference(branch: &BranchName) -> String {
    format!("refs/heads/{branch}")
}

fn short(reference: &str) -> Option<BranchName> {
    reference.strip_prefix("refs/heads/")?.parse().ok()
}

pub(super) fn commit_id(repository: &RepositoryUrl, id: Oid) -> Result<CommitId, SourceError> {
    id.to_string().parse().map_err(|_| transport_text(repository, "it named a commit that is none"))
}

fn no_branch(repository: &RepositoryUrl, branch: Option<&BranchName>, known: Vec<BranchName>) -> SourceError {
    let branch = branch.map_or("HEAD", BranchName::as_str).to_owned();
    let mut known: Vec<String> = known.into_iter().map(String::from).collect();
    known.sort_by_cached_key(|name| (strsim::damerau_levenshtein(name, &branch), name.clone()));
    known.truncate(HINTS);
    SourceError::NoBranch { repository: repository.to_string(), branch, known }
}
