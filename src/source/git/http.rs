//! Repositories over HTTP that a connection leads to: its credentials are shown to its own server, and nobody else is asked.
//!
//! libgit2 goes on showing credentials where a server redirects after it has asked for them, so that redirects to other
//! servers are turned off where there are any: by the configuration of the repository that a remote belongs to, which is
//! where libgit2 looks when it connects.

use super::bounds::Bounds;
use super::failure::Fault;
use super::{SourceError, failure, mirror};
use crate::model::RepositoryUrl;
use crate::source::access::Pass;
use git2::{Cred, CredentialType, RemoteCallbacks, RemoteRedirect, Repository, RepositoryInitOptions};

/// `false` is: on the same server only.
const REDIRECTS: &str = "http.followRedirects";

/// Adds what a connection gives to the callbacks of a connection over HTTP.
pub(super) fn authenticate<'a>(callbacks: &mut RemoteCallbacks<'a>, repository: &'a RepositoryUrl, bounds: &'a Bounds) {
    let (RepositoryUrl::Http(_), Some(shown)) = (repository, &bounds.shown) else { return };
    let Pass::Basic { username, password } = &shown.pass else { return };
    let mut tried = false;
    callbacks.credentials(move |asking, _, allowed| {
        // Who asks is where redirects have led to.
        if !shown.is_for(asking) {
            return Err(bounds.refuse(shown.leads_elsewhere(repository)));
        }
        if std::mem::replace(&mut tried, true) || !allowed.contains(CredentialType::USER_PASS_PLAINTEXT) {
            return Err(bounds.refuse(shown.refused(repository)));
        }
        Cred::userpass_plaintext(username, password.reveal())
    });
}

/// Which redirects a download follows: none to another server where there are credentials; never from https to http (libgit2).
pub(super) fn redirects(bounds: &Bounds) -> RemoteRedirect {
    // Hosts redirect a repository that was renamed; only the first request may be.
    if has_credentials(bounds) { RemoteRedirect::None } else { RemoteRedirect::Initial }
}

fn has_credentials(bounds: &Bounds) -> bool {
    bounds.shown.as_ref().is_some_and(crate::source::access::Shown::is_basic)
}

/// Sets a mirror up so that its remotes follow such redirects only.
pub(super) fn keep_to_server(open: &Repository, bounds: &Bounds) -> Result<(), Fault> {
    let mut configuration = open.config()?;
    let kept = configuration.get_string(REDIRECTS).is_ok();
    match (has_credentials(bounds), kept) {
        (true, false) => Ok(configuration.set_bool(REDIRECTS, false)?),
        (false, true) => Ok(configuration.remove(REDIRECTS)?),
        _ => Ok(()),
    }
}

/// A repository without contents that keeps remotes to their server, for questions that need no mirror; none where there
/// are no credentials to keep.
pub(super) fn base(repository: &RepositoryUrl, bounds: &Bounds) -> Result<Option<Repository>, SourceError> {
    if !has_credentials(bounds) {
        return Ok(None);
    }
    let failed = |error: git2::Error| failure::mirror(repository, &error);
    let path = bounds.ssh.asking();
    if let Ok(open) = Repository::open_bare(&path) {
        return Ok(Some(open));
    }
    // Beside its place, and moved there whole: others may be making it too.
    let new = path.with_extension(format!("{:x}", fastrand::u64(..)));
    let private = path.parent().map_or(Ok(()), mirror::make_private);
    private.map_err(|error| failure::mirror_text(repository, &error.to_string()))?;
    let mut options = RepositoryInitOptions::new();
    options.bare(true).external_template(false);
    let made = Repository::init_opts(&new, &options).map_err(failed)?;
    made.config().and_then(|mut configuration| configuration.set_bool(REDIRECTS, false)).map_err(failed)?;
    if std::fs::rename(&new, &path).is_err() {
        // Another was first.
        let _ = std::fs::remove_dir_all(&new);
    }
    Repository::open_bare(&path).map(Some).map_err(failed)
}
