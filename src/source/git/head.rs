//! Asks a repository for the commits of branches and tags. libgit2 lists every reference; over
//! HTTP `ls_refs` asks for less first.

use super::bounds::Bounds;
use super::failure::{transport, transport_text};
use super::pkt::Listed;
use super::{Head, SourceError};
use crate::model::{BranchName, CommitId, Reference, RepositoryUrl, TagName};
use git2::{Direction, ErrorCode, Oid, ProxyOptions, Remote, RemoteCallbacks, RemoteHead, Repository};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// How many branches or tags a hint names.
const HINTS: usize = 5;

/// The heads of some references, in their order. A commit is none of them.
pub(super) fn heads(
    repository: &RepositoryUrl,
    references: &[Reference],
    bounds: &Bounds,
) -> Result<Vec<Result<Head, SourceError>>, SourceError> {
    match repository {
        RepositoryUrl::File(path) => {
            let source = open_local(repository, path)?;
            Ok(references.iter().map(|reference| local_head(repository, &source, reference)).collect())
        }
        RepositoryUrl::Http(url) | RepositoryUrl::Ssh(url) => {
            let base = super::http::base(repository, bounds)?;
            let remote = match &base {
                Some(base) => base.remote_anonymous(url),
                None => Remote::create_detached(url.as_str()),
            };
            let mut remote = remote.map_err(|error| transport(repository, &error))?;
            let connection = remote
                .connect_auth(Direction::Fetch, Some(callbacks(repository, bounds)), Some(proxy()))
                .map_err(|error| bounds.explain(repository, &error))?;
            let listed = all_listed(connection.list().map_err(|error| transport(repository, &error))?);
            Ok(references.iter().map(|reference| listed_head(repository, &listed, reference)).collect())
        }
        RepositoryUrl::Image(_) => Err(super::failure::no_repository(repository)),
    }
}

/// Callbacks that hold a transfer within its bounds, over ssh check the host and show a key, and over HTTP show what a
/// connection gives.
pub(super) fn callbacks<'a>(repository: &'a RepositoryUrl, bounds: &'a Bounds) -> RemoteCallbacks<'a> {
    let mut callbacks = RemoteCallbacks::new();
    callbacks.transfer_progress(|progress| bounds.allow(progress.received_bytes() as u64));
    callbacks.sideband_progress(|_| bounds.allow(0));
    super::ssh::authenticate(&mut callbacks, repository, bounds);
    super::http::authenticate(&mut callbacks, repository, bounds);
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

/// The head of a reference of a repository on this machine.
pub(super) fn local_head(
    repository: &RepositoryUrl,
    source: &Repository,
    reference: &Reference,
) -> Result<Head, SourceError> {
    let wanted = match reference {
        Reference::Default => local_default(source).map(Reference::Branch),
        named => Some(named.clone()),
    };
    let found = wanted.as_ref().and_then(name).map(|name| source.find_reference(&name));
    match (wanted, found) {
        (Some(wanted), Some(Ok(found))) => {
            let commit = found.peel_to_commit().map_err(|error| unpeeled(repository, &wanted, &error))?;
            Ok(Head { reference: wanted, commit: commit_id(repository, commit.id())? })
        }
        (_, Some(Err(error))) if error.code() != ErrorCode::NotFound => Err(transport(repository, &error)),
        _ => Err(absent(repository, reference, &local_names(source))),
    }
}

/// A tag may name a file or a directory.
fn unpeeled(repository: &RepositoryUrl, wanted: &Reference, error: &git2::Error) -> SourceError {
    match wanted {
        Reference::Tag(_) => no_commit_there(repository, wanted),
        _ => transport(repository, error),
    }
}

pub(super) fn no_commit_there(repository: &RepositoryUrl, reference: &Reference) -> SourceError {
    super::failure::tree(repository, format!("{reference} names no commit"))
}

/// The branch that `HEAD` names; none when it is detached or no branch that we could name.
fn local_default(source: &Repository) -> Option<BranchName> {
    let head = source.find_reference("HEAD").ok()?;
    short(head.symbolic_target().ok()??)
}

fn local_names(source: &Repository) -> Vec<String> {
    let Ok(references) = source.references() else { return Vec::new() };
    references.flatten().filter_map(|reference| reference.name().ok().map(str::to_owned)).collect()
}

/// All branches and tags of a repository on this machine.
pub(super) fn local_references(source: &Repository) -> Vec<Reference> {
    local_names(source).iter().filter_map(|name| named(name)).collect()
}

/// All branches and tags among what a server listed.
pub(super) fn listed_references(listed: &[Listed]) -> Vec<Reference> {
    listed.iter().filter_map(|head| named(&head.name)).collect()
}

/// What a server listed to libgit2.
pub(super) fn all_listed(heads: &[RemoteHead<'_>]) -> Vec<Listed> {
    let listed = |head: &RemoteHead<'_>| Listed {
        name: head.name().to_owned(),
        id: head.oid(),
        symref: head.symref_target().map(str::to_owned),
    };
    heads.iter().map(listed).collect()
}

/// The head of a reference among what a server listed.
pub(super) fn listed_head(
    repository: &RepositoryUrl,
    listed: &[Listed],
    reference: &Reference,
) -> Result<Head, SourceError> {
    let entry = |name: &str| listed.iter().find(|head| head.name == name);
    let found = match (reference, name(reference)) {
        (Reference::Default, _) => {
            entry("HEAD").and_then(|head| Some((Reference::Branch(listed_default(listed, head)?), head.id)))
        }
        // An annotated tag is an object of its own; its commit is listed beside it.
        (named, Some(name)) => {
            let head = entry(&format!("{name}^{{}}")).filter(|_| named.tag().is_some()).or_else(|| entry(&name));
            head.map(|head| (named.clone(), head.id))
        }
        (_, None) => None,
    };
    match found {
        Some((reference, id)) => Ok(Head { reference, commit: commit_id(repository, id)? }),
        None => {
            let names: Vec<String> = listed.iter().map(|head| head.name.clone()).collect();
            Err(absent(repository, reference, &names))
        }
    }
}

/// The branch that `HEAD` stands for. A server that does not say which (older than git 1.8.5) leaves those that have the
/// same commit; then the field's usual names decide.
fn listed_default(listed: &[Listed], head: &Listed) -> Option<BranchName> {
    if let Some(target) = &head.symref {
        return short(target);
    }
    let same = || listed.iter().filter(|other| other.id == head.id).filter_map(|other| short(&other.name));
    let usual = same().find(|name| matches!(name.as_str(), "main" | "master"));
    usual.or_else(|| same().next())
}

/// What git calls a reference, if it has a name.
pub(super) fn name(reference: &Reference) -> Option<String> {
    match reference {
        Reference::Branch(branch) => Some(format!("refs/heads/{branch}")),
        Reference::Tag(tag) => Some(format!("refs/tags/{tag}")),
        Reference::Default | Reference::Commit(_) => None,
    }
}

/// The branch or tag that git calls so.
fn named(name: &str) -> Option<Reference> {
    let branch = || Some(Reference::Branch(short(name)?));
    branch().or_else(|| Some(Reference::Tag(short_tag(name)?)))
}

fn short(name: &str) -> Option<BranchName> {
    name.strip_prefix("refs/heads/")?.parse().ok()
}

fn short_tag(name: &str) -> Option<TagName> {
    name.strip_prefix("refs/tags/")?.parse().ok()
}

pub(super) fn commit_id(repository: &RepositoryUrl, id: Oid) -> Result<CommitId, SourceError> {
    id.to_string().parse().map_err(|_| transport_text(repository, "it named a commit that is none"))
}

/// A reference that is not among these names, with the nearest that are.
pub(super) fn absent(repository: &RepositoryUrl, reference: &Reference, names: &[String]) -> SourceError {
    let repository = repository.to_string();
    if let Some(tag) = reference.tag() {
        let known = names.iter().filter_map(|name| short_tag(name)).map(String::from).collect();
        return SourceError::NoTag { repository, tag: tag.to_string(), known: nearest(known, tag.as_str()) };
    }
    let branch = reference.branch().map_or("HEAD", BranchName::as_str).to_owned();
    let known = names.iter().filter_map(|name| short(name)).map(String::from).collect();
    SourceError::NoBranch { repository, known: nearest(known, &branch), branch }
}

/// The nearest to what was written, at most as many as a hint names.
pub(super) fn nearest(mut known: Vec<String>, wanted: &str) -> Vec<String> {
    known.sort_by_cached_key(|name| (strsim::damerau_levenshtein(name, wanted), name.clone()));
    known.truncate(HINTS);
    known
}
