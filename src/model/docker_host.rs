//! Where a Docker engine listens, as `DOCKER_HOST` spells it.

use super::error::Invalid;
use std::fmt;
use std::path::PathBuf;

/// The address of a Docker engine's API: `unix:///var/run/docker.sock` or `tcp://127.0.0.1:2375` (without TLS).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DockerHost {
    /// A Unix socket, by absolute path.
    Unix(PathBuf),
    /// `host:port` of an engine that listens on TCP without TLS.
    Tcp(String),
}

impl Default for DockerHost {
    /// Docker's own default.
    fn default() -> Self {
        Self::Unix(PathBuf::from("/var/run/docker.sock"))
    }
}

impl std::str::FromStr for DockerHost {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let bad = || {
            Invalid::new(format!("`{}` is not the address of a Docker engine", text.escape_debug()))
                .hint("write it like `unix:///var/run/docker.sock` or `tcp://127.0.0.1:2375`")
        };
        match text.split_once("://") {
            Some(("unix", path)) if path.starts_with('/') && !path.contains('\0') => Ok(Self::Unix(path.into())),
            Some(("tcp" | "http", authority)) => parse_authority(authority).map(Self::Tcp).ok_or_else(bad),
            Some((scheme @ ("ssh" | "https" | "npipe" | "fd"), _)) => {
                Err(Invalid::new(format!("a Docker engine over `{scheme}://` is not in this version"))
                    .hint("use the engine's Unix socket, `unix:///var/run/docker.sock`"))
            }
            _ => Err(bad()),
        }
    }
}

fn parse_authority(text: &str) -> Option<String> {
    let authority: http::uri::Authority = text.trim_end_matches('/').parse().ok()?;
    let plain = !authority.as_str().contains('@') && !authority.host().is_empty();
    plain.then(|| format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(2375)))
}

impl fmt::Display for DockerHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(authority) => write!(f, "tcp://{authority}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_and_print_alike() {
        for text in ["unix:///var/run/docker.sock", "tcp://127.0.0.1:2375", "tcp://[::1]:2376"] {
            assert_eq!(text.parse::<DockerHost>().unwrap().to_string(), text);
        }
        assert_eq!("tcp://localhost".parse::<DockerHost>().unwrap().to_string(), "tcp://localhost:2375");
    }

    #[test]
    fn what_is_no_address_is_refused_with_a_hint() {
        for bad in
            ["", "/var/run/docker.sock", "unix://docker.sock", "tcp://", "tcp://me:pw@host", "ssh://host", "x://y"]
        {
            assert!(bad.parse::<DockerHost>().unwrap_err().hint.is_some(), "{bad:?}");
        }
    }
}
