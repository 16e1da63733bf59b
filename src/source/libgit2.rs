//! The process-wide options of libgit2. git2 offers them as `unsafe` functions only, or not at all, so this is one
//! of the two places of the crate with unsafe code (`host::pty` is the other): setters of process-wide variables, called once.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

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

/// Lets libgit2 trust the certificate authorities of a file, besides those that it trusts already.
///
/// # Errors
/// What libgit2 says, as text.
pub(super) fn trust(file: &Path) -> Result<(), String> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    #[allow(unsafe_code)] // git2 has no safe form of this setter; see below for why it is sound.
    // SAFETY: adds to libgit2's process-wide TLS context, which OpenSSL guards by a lock of its own; the context is made by
    // the first call, and this room, the only user of git2, connects nowhere before a source has been opened.
    let set = unsafe { git2::opts::set_ssl_cert_file(file) };
    set.map_err(|error| error.message().to_owned())
}

/// Tells libgit2 which directory stands for the user's home: it reads `.ssh/known_hosts` there, to ask a server for a key of
/// a kind that is known, and nothing else. Whether a key is trusted is decided by us. The first directory holds.
///
/// # Errors
/// What libgit2 says, as text.
pub(super) fn set_home(home: &Path) -> Result<(), String> {
    static SET: Mutex<bool> = Mutex::new(false);
    let mut set = SET.lock().unwrap_or_else(PoisonError::into_inner);
    if *set {
        return Ok(());
    }
    let path = std::ffi::CString::new(home.as_os_str().as_bytes()).map_err(|error| error.to_string())?;
    #[allow(unsafe_code)] // git2 has no form of this setter at all; see below for why it is sound.
    // SAFETY: writes a process-wide variable of libgit2 that is unguarded, from a string that outlives the call, which
    // copies it; `SET` lets one thread do so once, before the first connection over ssh, which alone reads it.
    let code = unsafe { libgit2_sys::git_libgit2_opts(libgit2_sys::GIT_OPT_SET_HOMEDIR as _, path.as_ptr()) };
    if code < 0 {
        return Err(git2::Error::last_error(code).message().to_owned());
    }
    *set = true;
    Ok(())
}
