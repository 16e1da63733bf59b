//! What fails between control plane and ingress.

use super::frame::FrameError;
use crate::model::Class;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What failed on the link, or in starting the ingress.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Someone else listens on an address.
    #[error(
        "the address {address} is in use by another program: stop that program, or serve elsewhere with `--http \
         {}:<another port>`", address.ip()
    )]
    AddressInUse {
        /// The address.
        address: SocketAddr,
    },
    /// An address cannot be bound.
    #[error("failed to listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The path of the link's socket does not fit a socket address.
    #[error("the path `{}` is too long for a Unix socket ({} of at most 107 bytes): choose a shorter data directory", path.display(), path.as_os_str().len())]
    PathTooLong {
        /// The path.
        path: PathBuf,
    },
    /// The ingress runs another version of the protocol.
    #[error(
        "the running ingress speaks version {theirs} of the link, this program version {ours}: stop it with `towpath \
         down`, then start again"
    )]
    Version {
        /// Ours.
        ours: u32,
        /// Theirs.
        theirs: u32,
    },
    /// Someone who is neither of our user, nor root, nor the ingress' user is at the other end.
    #[error("the process at the other end of the link belongs to user {uid}, which is not ours")]
    Stranger {
        /// Their user.
        uid: u32,
    },
    /// Another ingress serves this directory.
    #[error("another ingress runs on `{}`", directory.display())]
    Locked {
        /// The directory.
        directory: PathBuf,
    },
    /// The other end sent what makes no sense here.
    #[error("the other end of the link does not keep to the protocol: {0}")]
    Protocol(String),
    /// The stream is damaged.
    #[error("the link is damaged")]
    Frame(#[from] FrameError),
    /// The other end is gone.
    #[error("the other end of the link is gone")]
    Closed,
    /// It took too long.
    #[error("{what} took longer than {seconds:.1} s")]
    Deadline {
        /// What was waited for.
        what: String,
        /// How long.
        seconds: f64,
    },
    /// A system call failed.
    #[error("failed to {act}")]
    Io {
        /// What was tried, with its object.
        act: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl LinkError {
    /// A system call that failed.
    pub fn io(act: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Io { act: act.into(), source: source.into() }
    }

    /// Who acts next.
    pub fn class(&self) -> Class {
        match self {
            Self::Closed | Self::Deadline { .. } | Self::Io { .. } | Self::Frame(_) => Class::Retry,
            _ => Class::Stalled,
        }
    }
}
