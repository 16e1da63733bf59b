//! The process-wide options of libgit2. git2 offers them as `unsafe` functions only, so this is the one place of the
//! crate with unsafe code: four setters of process-wide variables, called once.

use std::sync::OnceLock;

/// How long libgit2 waits for a connection, in milliseconds.
const CONNECT_TIMEOUT: i32 = 10_000;

/// How long libgit2 waits for the next byte of a server, in milliseconds.
const SERVER_TIMEOUT: i32 = 30_000;

/// Sets libgit2 up for untrusted repositories; repeated calls do nothing. Call it first thing in `main`, while there is
/// one thread: finding the system's certificates sets `SSL_CERT_FILE` and `SSL_CERT_DIR` where they are not set (values
/// that are set are honoured), and setting variables races with threads that read them.
///
/// # Errors
/// What libgit2 says, as text, when an option cannot be set.
pub fn prepare() -> Result<(), String> {
    static DONE: OnceLock<Result<(), String>> = OnceLock::new();
    DONE.get_or_init(|| set_options().map_err(|error| error.message().to_owned())).clone()
}

#[allow(unsafe_code)] // git2 has no safe form of these setters; see each call for why it is sound.
fn set_options() -> Result<(), git2::Error> {
    use git2::{ConfigLevel, opts};
    const LEVELS: [ConfigLevel; 4] =
        [ConfigLevel::System, ConfigLevel::Global, ConfigLevel::XDG, ConfigLevel::ProgramData];
    for level in LEVELS {
        // No configuration but a repository's own is read: `url.insteadOf` or `http.followRedirects` of the machine's
        // or the user's git would silently change where code comes from.
        // SAFETY: writes a process-wide variable of libgit2 that is unguarded; `DONE` lets one thread do so once, and
        // this room, the only user of git2, opens no repository before `prepare` has returned.
        unsafe { opts::set_search_path(level, "")? };
    }
    // SAFETY: as above, each of the following.
    unsafe {
        // git refuses repositories that another user owns since their hooks and commands would run as us. libgit2 runs
        // neither, and reading other users' repositories is what towpath, often root or a user of its own, is for.
        opts::set_verify_owner_validation(false)?;
        opts::set_server_connect_timeout_in_milliseconds(CONNECT_TIMEOUT)?;
        opts::set_server_timeout_in_milliseconds(SERVER_TIMEOUT)?;
    }
    Ok(())
}
