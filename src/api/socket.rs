//! The control socket itself: where it stands, whose it is, and who is at its other end.

use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::path::Path;
use tokio::net::{UnixListener, UnixStream};

/// What the kernel takes for a Unix socket's path, without the closing zero.
const SOCKET_PATH_BYTES: usize = 107;

/// Why a listener could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Another process listens on the socket.
    #[error("another towpath listens on `{0}`")]
    InUse(String),
    /// The path is longer than a Unix socket's may be.
    #[error("`{0}` is too long for a Unix socket's path, which has at most 107 bytes: choose a shorter data directory")]
    PathTooLong(String),
    /// Something that is no socket stands there.
    #[error("`{0}` is not a socket: remove it")]
    NotASocket(String),
    /// A file or socket operation failed.
    #[error("failed to {act}")]
    Io {
        /// What was tried, with its object.
        act: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl ServeError {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::InUse(_) => Some("one towpath runs per data directory; `towpath down` ends it".into()),
            Self::PathTooLong(_) | Self::NotASocket(_) | Self::Io { .. } => None,
        }
    }
}

/// Listens on a socket that only this user and root can reach.
pub async fn bind_control(socket: &Path) -> Result<UnixListener, ServeError> {
    let name = socket.display().to_string();
    if name.len() > SOCKET_PATH_BYTES {
        return Err(ServeError::PathTooLong(name));
    }
    let io = |act: &str| {
        let act = format!("{act} `{name}`");
        move |source| ServeError::Io { act, source }
    };
    if let Some(directory) = socket.parent() {
        private_directory(directory).map_err(io("make the directory of"))?;
    }
    remove_stale(socket, &name).await?;
    let listener = UnixListener::bind(socket).map_err(io("listen on"))?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600)).map_err(io("set the mode of"))?;
    Ok(listener)
}

/// The directory is private before the socket stands in it, so that there is no moment in which others reach it.
fn private_directory(directory: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700))
}

async fn remove_stale(socket: &Path, name: &str) -> Result<(), ServeError> {
    let io = |act: &str, source| ServeError::Io { act: format!("{act} `{name}`"), source };
    match std::fs::symlink_metadata(socket) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io("look at", error)),
        Ok(found) if !found.file_type().is_socket() => return Err(ServeError::NotASocket(name.to_owned())),
        Ok(_) => {}
    }
    match UnixStream::connect(socket).await {
        Ok(_) => Err(ServeError::InUse(name.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(socket).map_err(|e| io("remove the stale socket", e))
        }
        Err(error) => Err(io("connect to", error)),
    }
}

/// Who is at the other end of the control socket, by the kernel's word (`SO_PEERCRED`).
#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// Whether it may call at all.
    pub admitted: bool,
    /// `local:<user>`.
    pub name: String,
}

impl Peer {
    /// Asks the kernel.
    pub async fn of(stream: &UnixStream) -> Self {
        match stream.peer_cred() {
            Ok(peer) => {
                let admitted = is_admitted(peer.uid(), rustix::process::geteuid().as_raw());
                Self { admitted, name: format!("local:{}", user_name(peer.uid()).await) }
            }
            Err(_) => Self { admitted: false, name: "local:unknown".into() },
        }
    }
}

/// The server's own user and root may call.
fn is_admitted(peer: u32, own: u32) -> bool {
    peer == own || peer == 0
}

/// The login name of a user; its number where `/etc/passwd` does not know it (directory services are not asked).
async fn user_name(uid: u32) -> String {
    let passwd = tokio::fs::read_to_string("/etc/passwd").await.unwrap_or_default();
    let named = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| uid.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_root_and_the_servers_own_user_are_admitted() {
        assert!(is_admitted(0, 1000) && is_admitted(1000, 1000) && is_admitted(0, 0));
        assert!(!is_admitted(1001, 1000) && !is_admitted(1000, 0));
    }
}
