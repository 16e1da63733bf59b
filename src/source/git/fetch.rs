//! Brings branches into a mirror: over HTTP with libgit2's transport, from this machine by packing what the mirror has not.
//! (libgit2's own transport for local paths packs every branch each time.)

use super::bounds::Bounds;
use super::failure::{self, Fault, is_full, plain, transport};
use super::head::{self, callbacks, commit_id, listed_head, local_head, open_local, proxy};
use super::mirror::Mirror;
use super::{Head, SourceError, objects};
use crate::model::{BranchName, Commit, CommitId, RepositoryUrl, Timestamp};
use git2::{AutotagOption, Direction, ErrorClass, ErrorCode, FetchOptions, Oid, RemoteRedirect, Repository};
use std::io::Write;
use std::path::Path;

/// Fetches a branch and returns the wanted commit, or the branch's newest.
pub(super) fn fetch(
    mirror: &Mirror,
    repository: &RepositoryUrl,
    branch: Option<&BranchName>,
    commit: Option<&CommitId>,
    bounds: &Bounds,
) -> Result<Commit, Fault> {
    let open = mirror.open_or_make(repository)?;
    let head = bring(&open, repository, branch, bounds)?;
    let wanted = commit.unwrap_or(&head.commit);
    let found = find(&open, repository, wanted)?;
    found.ok_or_else(|| no_commit(repository, wanted).into())
}

/// As [`fetch`], into a mirror that was made anew: with the branches that the old one had. Those that are gone stay gone.
pub(super) fn refetch(
    mirror: &Mirror,
    repository: &RepositoryUrl,
    branch: Option<&BranchName>,
    commit: Option<&CommitId>,
    bounds: &Bounds,
) -> Result<Commit, Fault> {
    fetch_branches(mirror, repository, &mirror.set_aside_branches(), bounds)?;
    fetch(mirror, repository, branch, commit, bounds)
}

/// Fetches several branches; those that are not there any more are passed over.
pub(super) fn fetch_branches(
    mirror: &Mirror,
    repository: &RepositoryUrl,
    branches: &[BranchName],
    bounds: &Bounds,
) -> Result<(), Fault> {
    let open = mirror.open_or_make(repository)?;
    for branch in branches {
        match bring(&open, repository, Some(branch), bounds) {
            Ok(_) | Err(Fault::Source(SourceError::NoBranch { .. })) => {}
            Err(fault) => return Err(fault),
        }
    }
    Ok(())
}

/// The details of a commit that is or was in the history of a mirrored branch, if the mirror has it. A mirror that lost
/// commits is damaged.
pub(super) fn find(open: &Repository, repository: &RepositoryUrl, id: &CommitId) -> Result<Option<Commit>, Fault> {
    let Ok(oid) = Oid::from_str(id.as_str()) else { return Ok(None) };
    match open.find_commit(oid) {
        Ok(commit) if Mirror::reaches(open, oid)? => Ok(Some(details(repository, &commit)?)),
        Ok(_) => Ok(None),
        Err(error) if error.code() == ErrorCode::NotFound => Mirror::tips(open).map(|_| None),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn no_commit(repository: &RepositoryUrl, commit: &CommitId) -> SourceError {
    SourceError::NoCommit { repository: repository.to_string(), commit: commit.to_string() }
}

fn details(repository: &RepositoryUrl, commit: &git2::Commit<'_>) -> Result<Commit, SourceError> {
    Ok(Commit {
        id: commit_id(repository, commit.id())?,
        tree: commit.tree_id().to_string(),
        author: plain(&String::from_utf8_lossy(commit.author().name_bytes()), 100),
        summary: plain(&String::from_utf8_lossy(commit.message_bytes()), 200),
        time: Timestamp(commit.time().seconds().saturating_mul(1000)),
    })
}

/// Brings a branch into the mirror and moves its reference there, forced pushes included.
fn bring(
    open: &Repository,
    repository: &RepositoryUrl,
    branch: Option<&BranchName>,
    bounds: &Bounds,
) -> Result<Head, Fault> {
    let head = match repository {
        RepositoryUrl::Http(url) => download(open, repository, url, branch, bounds)?,
        RepositoryUrl::File(path) => copy(open, repository, path, branch, bounds)?,
    };
    Mirror::advance(open, &head.branch, oid(repository, &head.commit)?)?;
    Ok(head)
}

fn oid(repository: &RepositoryUrl, commit: &CommitId) -> Result<Oid, SourceError> {
    Oid::from_str(commit.as_str()).map_err(|error| transport(repository, &error))
}

/// One connection lists the references and downloads what is missing.
fn download(
    open: &Repository,
    repository: &RepositoryUrl,
    url: &str,
    branch: Option<&BranchName>,
    bounds: &Bounds,
) -> Result<Head, Fault> {
    let failed = |error: git2::Error| failure::transport(repository, &error);
    let mut remote = open.remote_anonymous(url).map_err(failed)?;
    let mut connection =
        remote.connect_auth(Direction::Fetch, Some(callbacks(bounds)), Some(proxy())).map_err(failed)?;
    let head = listed_head(repository, connection.list().map_err(failed)?, branch)?;
    Mirror::tips(open)?;
    if open.odb()?.exists(oid(repository, &head.commit)?) {
        return Ok(head);
    }
    let mut options = FetchOptions::new();
    options.remote_callbacks(callbacks(bounds)).proxy_options(proxy());
    // Hosts redirect a repository that was renamed; only the first request may be, and never from https to http (libgit2).
    options.follow_redirects(RemoteRedirect::Initial).download_tags(AutotagOption::None);
    let name = head::reference(&head.branch);
    match connection.remote().download(&[name], Some(&mut options)) {
        Ok(()) => Ok(head),
        Err(error) => Err(broken_off(repository, error, bounds)),
    }
}

/// What a download that failed means: a limit, the network, or a mirror to which the pack does not fit.
fn broken_off(repository: &RepositoryUrl, error: git2::Error, bounds: &Bounds) -> Fault {
    if let Err(limit) = bounds.check(repository) {
        return limit.into();
    }
    match error.class() {
        ErrorClass::Net | ErrorClass::Http | ErrorClass::Ssl => transport(repository, &error).into(),
        ErrorClass::Os if !is_full(&error) => transport(repository, &error).into(),
        _ => Fault::Mirror(error),
    }
}

/// Brings a branch of a repository on this machine into the mirror.
fn copy(
    open: &Repository,
    repository: &RepositoryUrl,
    path: &Path,
    branch: Option<&BranchName>,
    bounds: &Bounds,
) -> Result<Head, Fault> {
    let source = open_local(repository, path)?;
    let head = local_head(repository, &source, branch)?;
    let tips = Mirror::tips(open)?;
    let id = oid(repository, &head.commit)?;
    // Without a reference, what is there may be half of a copy that was cut off.
    if !tips.is_empty() && open.odb()?.exists(id) {
        return Ok(head);
    }
    copy_shallow(open, &source)?;
    if tips.is_empty() && objects::copy_all(open, repository, &source, bounds)? {
        return Ok(head);
    }
    pack_missing(open, repository, &source, (id, &tips), bounds)?;
    Ok(head)
}

/// Packs the history of a commit as far as the mirror has it not, and writes it there.
fn pack_missing(
    open: &Repository,
    repository: &RepositoryUrl,
    source: &Repository,
    (wanted, tips): (Oid, &[Oid]),
    bounds: &Bounds,
) -> Result<(), Fault> {
    let failed = |error: git2::Error| failure::transport(repository, &error);
    let mut walk = source.revwalk().map_err(failed)?;
    walk.push(wanted).map_err(failed)?;
    let odb = source.odb().map_err(failed)?;
    tips.iter().filter(|tip| odb.exists(**tip)).try_for_each(|tip| walk.hide(*tip)).map_err(failed)?;
    let mut builder = source.packbuilder().map_err(failed)?;
    let watch = bounds.watch();
    builder.set_progress_callback(move |_, _, _| watch.goes_on()).map_err(failed)?;
    let packed = builder.insert_walk(&mut walk);
    packed.map_err(|error| bounds.check(repository).err().unwrap_or_else(|| failed(error)))?;
    write_pack(open, repository, &mut builder, bounds)
}

fn write_pack(
    open: &Repository,
    repository: &RepositoryUrl,
    builder: &mut git2::PackBuilder<'_>,
    bounds: &Bounds,
) -> Result<(), Fault> {
    let odb = open.odb()?;
    let mut writer = odb.packwriter()?;
    let (mut received, mut written) = (0_u64, Ok(()));
    let packed = builder.foreach(|bytes| {
        received += bytes.len() as u64;
        if written.is_ok() {
            // libgit2's own words, while they are there: the `io::Error` has none.
            written = writer.write_all(bytes).map_err(|_| git2::Error::last_error(-1));
        }
        written.is_ok() && bounds.allow(received)
    });
    written?;
    bounds.check(repository)?;
    packed.map_err(|error| failure::transport(repository, &error))?;
    writer.commit()?;
    Ok(())
}

/// A clone of limited depth says where its history ends; the mirror must know it too.
fn copy_shallow(open: &Repository, source: &Repository) -> Result<(), Fault> {
    if source.is_shallow() {
        std::fs::copy(source.commondir().join("shallow"), open.path().join("shallow"))?;
    }
    Ok(())
}
