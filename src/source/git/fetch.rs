//! Brings branches, tags and commits into a mirror: over HTTP with libgit2's transport, from this machine by packing what the mirror has not.
//! (libgit2's own transport for local paths packs every branch each time.)

use super::bounds::Bounds;
use super::failure::{self, Fault, is_full, plain, transport};
use super::head::{self, callbacks, commit_id, listed_head, local_head, open_local, proxy};
use super::mirror::Mirror;
use super::{Head, SourceError, objects};
use crate::model::{Commit, CommitId, CommitPrefix, Reference, RepositoryUrl, Timestamp};
use git2::{AutotagOption, Direction, ErrorClass, ErrorCode, FetchOptions, Oid, RemoteConnection, Repository};
use std::io::Write;
use std::path::Path;

/// Fetches a reference and returns the wanted commit, or the reference's newest.
pub(super) fn fetch(
    mirror: &Mirror,
    repository: &RepositoryUrl,
    reference: &Reference,
    commit: Option<&CommitId>,
    bounds: &Bounds,
) -> Result<Commit, Fault> {
    let open = mirror.open_or_make(repository)?;
    if let Reference::Commit(prefix) = reference {
        let found = fetch_commit(&open, repository, prefix, bounds)?;
        let wanted = commit.is_none_or(|wanted| *wanted == found.id);
        return if wanted { Ok(found) } else { Err(no_commit(repository, prefix.as_str()).into()) };
    }
    let head = bring(&open, repository, reference, bounds)?;
    let wanted = commit.unwrap_or(&head.commit);
    let found = find(&open, repository, wanted)?;
    found.ok_or_else(|| no_commit(repository, wanted.as_str()).into())
}

/// As [`fetch`], into a mirror that was made anew: with the references that the old one had. Those that are gone stay gone.
pub(super) fn refetch(
    mirror: &Mirror,
    repository: &RepositoryUrl,
    reference: &Reference,
    commit: Option<&CommitId>,
    bounds: &Bounds,
) -> Result<Commit, Fault> {
    fetch_all(mirror, repository, &mirror.set_aside_references(), bounds)?;
    fetch(mirror, repository, reference, commit, bounds)
}

/// Fetches several references; those that are not there any more are passed over.
pub(super) fn fetch_all(
    mirror: &Mirror,
    repository: &RepositoryUrl,
    references: &[Reference],
    bounds: &Bounds,
) -> Result<(), Fault> {
    let open = mirror.open_or_make(repository)?;
    references.iter().try_for_each(|reference| bring_if_there(&open, repository, reference, bounds))
}

fn bring_if_there(
    open: &Repository,
    repository: &RepositoryUrl,
    reference: &Reference,
    bounds: &Bounds,
) -> Result<(), Fault> {
    match bring(open, repository, reference, bounds) {
        Ok(_) | Err(Fault::Source(SourceError::NoBranch { .. } | SourceError::NoTag { .. })) => Ok(()),
        Err(fault) => Err(fault),
    }
}

/// One commit by its id or the beginning of it: from the mirror, else on the default branch, else on any branch or tag.
/// (Servers give out a commit by its id alone only if their owner allowed it.)
fn fetch_commit(
    open: &Repository,
    repository: &RepositoryUrl,
    prefix: &CommitPrefix,
    bounds: &Bounds,
) -> Result<Commit, Fault> {
    if let Some(found) = the_one(open, repository, prefix, bounds)? {
        return Ok(found);
    }
    bring_if_there(open, repository, &Reference::Default, bounds)?;
    if let Some(found) = the_one(open, repository, prefix, bounds)? {
        return Ok(found);
    }
    bring_every(open, repository, bounds)?;
    the_one(open, repository, prefix, bounds)?.ok_or_else(|| no_commit(repository, prefix.as_str()).into())
}

/// The one commit of the mirror that begins so.
fn the_one(
    open: &Repository,
    repository: &RepositoryUrl,
    prefix: &CommitPrefix,
    bounds: &Bounds,
) -> Result<Option<Commit>, Fault> {
    if let Some(commit) = prefix.whole() {
        return find(open, repository, &commit);
    }
    let found = Mirror::beginning(open, prefix, || bounds.check(repository))?;
    match found.as_slice() {
        [] => Ok(None),
        [one] => find(open, repository, &commit_id(repository, *one)?),
        more => {
            let found = more.iter().take(5).map(Oid::to_string).collect();
            let (repository, prefix) = (repository.to_string(), prefix.to_string());
            Err(SourceError::Ambiguous { repository, prefix, found }.into())
        }
    }
}

/// Brings every branch and tag into the mirror.
fn bring_every(open: &Repository, repository: &RepositoryUrl, bounds: &Bounds) -> Result<(), Fault> {
    let references = match repository {
        RepositoryUrl::File(path) => head::local_references(&open_local(repository, path)?),
        RepositoryUrl::Http(url) | RepositoryUrl::Ssh(url) => return download_every(open, repository, url, bounds),
        RepositoryUrl::Image(_) => return Err(failure::no_repository(repository).into()),
    };
    references.iter().try_for_each(|reference| bring_if_there(open, repository, reference, bounds))
}

/// [`bring_every`] with one connection.
fn download_every(open: &Repository, repository: &RepositoryUrl, url: &str, bounds: &Bounds) -> Result<(), Fault> {
    let failed = |error: git2::Error| failure::transport(repository, &error);
    super::http::keep_to_server(open, bounds)?;
    let mut remote = open.remote_anonymous(url).map_err(failed)?;
    let mut connection = remote
        .connect_auth(Direction::Fetch, Some(callbacks(repository, bounds)), Some(proxy()))
        .map_err(|error| bounds.explain(repository, &error))?;
    let listed = head::all_listed(connection.list().map_err(failed)?);
    let references = head::listed_references(&listed);
    let heads: Vec<Head> =
        references.iter().map(|reference| listed_head(repository, &listed, reference)).collect::<Result<_, _>>()?;
    let names: Vec<String> = references.iter().filter_map(head::name).collect();
    download_names(&mut connection, repository, &names, bounds)?;
    for head in heads {
        let id = oid(repository, &head.commit)?;
        // A tag may name what is no commit; it is nobody's version.
        if open.find_commit(id).is_ok() {
            Mirror::advance(open, &head.reference, id)?;
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

pub(super) fn no_commit(repository: &RepositoryUrl, commit: &str) -> SourceError {
    SourceError::NoCommit { repository: repository.to_string(), commit: commit.to_owned() }
}

fn details(repository: &RepositoryUrl, commit: &git2::Commit<'_>) -> Result<Commit, SourceError> {
    Ok(Commit {
        id: commit_id(repository, commit.id())?,
        tree: commit.tree_id().to_string(),
        author: plain(&String::from_utf8_lossy(commit.author().name_bytes()), 100),
        summary: plain(&String::from_utf8_lossy(commit.message_bytes()), 200),
        time: Timestamp(commit.time().seconds().saturating_mul(1000)),
        signed_by: None,
    })
}

/// Brings a reference into the mirror and moves it there, forced pushes included.
fn bring(open: &Repository, repository: &RepositoryUrl, reference: &Reference, bounds: &Bounds) -> Result<Head, Fault> {
    let head = match repository {
        RepositoryUrl::Http(url) | RepositoryUrl::Ssh(url) => download(open, repository, url, reference, bounds)?,
        RepositoryUrl::File(path) => copy(open, repository, path, reference, bounds)?,
        RepositoryUrl::Image(_) => return Err(failure::no_repository(repository).into()),
    };
    let id = oid(repository, &head.commit)?;
    if head.reference.tag().is_some() && open.find_commit(id).is_err_and(|error| error.code() == ErrorCode::NotFound) {
        return Err(head::no_commit_there(repository, &head.reference).into());
    }
    Mirror::advance(open, &head.reference, id)?;
    Ok(head)
}

pub(super) fn oid(repository: &RepositoryUrl, commit: &CommitId) -> Result<Oid, SourceError> {
    Oid::from_str(commit.as_str()).map_err(|error| transport(repository, &error))
}

/// One connection lists the references and downloads what is missing.
fn download(
    open: &Repository,
    repository: &RepositoryUrl,
    url: &str,
    reference: &Reference,
    bounds: &Bounds,
) -> Result<Head, Fault> {
    let failed = |error: git2::Error| failure::transport(repository, &error);
    super::http::keep_to_server(open, bounds)?;
    let mut remote = open.remote_anonymous(url).map_err(failed)?;
    let mut connection = remote
        .connect_auth(Direction::Fetch, Some(callbacks(repository, bounds)), Some(proxy()))
        .map_err(|error| bounds.explain(repository, &error))?;
    let head = listed_head(repository, &head::all_listed(connection.list().map_err(failed)?), reference)?;
    Mirror::tips(open)?;
    if open.odb()?.exists(oid(repository, &head.commit)?) {
        return Ok(head);
    }
    download_names(&mut connection, repository, head::name(&head.reference).as_slice(), bounds)?;
    Ok(head)
}

/// Downloads what the mirror has not of some references of an open connection.
pub(super) fn download_names(
    connection: &mut RemoteConnection<'_, '_, '_>,
    repository: &RepositoryUrl,
    names: &[String],
    bounds: &Bounds,
) -> Result<(), Fault> {
    let mut options = FetchOptions::new();
    options.remote_callbacks(callbacks(repository, bounds)).proxy_options(proxy());
    // Hosts redirect a repository that was renamed; only the first request may be, and never from https to http (libgit2).
    options.follow_redirects(super::http::redirects(bounds)).download_tags(AutotagOption::None);
    let done = connection.remote().download(names, Some(&mut options));
    done.map_err(|error| broken_off(repository, error, bounds))
}

/// What a download that failed means: a limit, the network, or a mirror to which the pack does not fit.
fn broken_off(repository: &RepositoryUrl, error: git2::Error, bounds: &Bounds) -> Fault {
    if let Err(limit) = bounds.check(repository) {
        return limit.into();
    }
    match error.class() {
        ErrorClass::Net | ErrorClass::Http | ErrorClass::Ssl => bounds.explain(repository, &error).into(),
        ErrorClass::Os if !is_full(&error) => transport(repository, &error).into(),
        _ => Fault::Mirror(error),
    }
}

/// Brings a branch of a repository on this machine into the mirror.
fn copy(
    open: &Repository,
    repository: &RepositoryUrl,
    path: &Path,
    reference: &Reference,
    bounds: &Bounds,
) -> Result<Head, Fault> {
    let source = open_local(repository, path)?;
    let head = local_head(repository, &source, reference)?;
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
