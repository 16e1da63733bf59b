//! Connections: access to a provider's repositories (row C1), and the server that each belongs to.

use super::error::Invalid;
use super::names::name;
use super::source::RepositoryUrl;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;

name!(
    /// A connection's name: 4–32 of `[A-Za-z0-9-_]`, starting with a letter or digit (App Runner's rule).
    ConnectionName,
    |text| {
        let fits = (4..=32).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && text.as_bytes()[0].is_ascii_alphanumeric();
        if fits {
            return Ok(());
        }
        Err(Invalid::new(format!("`{}` is not a connection's name", text.escape_debug()))
            .hint("a connection's name has 4 to 32 letters, digits, `-` or `_`, and starts with a letter or digit"))
    }
);

/// A server as people see it: `https://github.com`, `https://git.example.com:8443`. Without encryption on this machine only,
/// since credentials go there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostUrl {
    plain: bool,
    host: String,
    port: u16,
}

impl HostUrl {
    /// Whether it is spoken to without encryption.
    pub fn is_plain(&self) -> bool {
        self.plain
    }

    /// Its name, in lower case; an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether a repository is on it: over HTTP with the same scheme, name and port; over ssh by the name.
    pub fn has(&self, repository: &RepositoryUrl) -> bool {
        match repository {
            RepositoryUrl::Http(url) => Self::of(url).is_ok_and(|host| host == *self),
            RepositoryUrl::Ssh(_) => {
                repository.ssh_target().is_some_and(|target| target.host.eq_ignore_ascii_case(&self.host))
            }
            RepositoryUrl::File(_) | RepositoryUrl::Image(_) => false,
        }
    }

    /// The server of a URL, whatever its path.
    ///
    /// # Errors
    /// When it is no `http` or `https` URL, or carries credentials.
    pub fn of(url: &str) -> Result<Self, Invalid> {
        let odd = || Invalid::new("this is no server").hint("write it like `https://git.example.com`");
        let (plain, rest) = match url.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (false, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (true, rest),
            _ => return Err(odd()),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err(
                Invalid::new("a server's URL must not carry a user name or password").hint("take them out of it")
            );
        }
        let parsed: http::uri::Authority = authority.parse().map_err(|_| odd())?;
        let port = match authority.get(parsed.host().len()..).unwrap_or_default() {
            "" if plain => 80,
            "" => 443,
            port => port[1..].parse().ok().filter(|port| *port != 0).ok_or_else(odd)?,
        };
        Ok(Self { plain, host: parsed.host().to_ascii_lowercase(), port })
    }

    fn is_here(&self) -> bool {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || host.ends_with(".localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl std::str::FromStr for HostUrl {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let host = Self::of(text)?;
        let path = text.split_once("://").map_or("", |(_, rest)| rest);
        if !path.split_once('/').map_or("", |(_, path)| path).is_empty() || path.contains(['?', '#']) {
            return Err(Invalid::new("a connection belongs to a whole server: its URL has no path")
                .hint(format!("write it like `{host}`")));
        }
        if host.plain && !host.is_here() {
            return Err(Invalid::new("credentials are not sent without encryption").hint("use `https://`"));
        }
        Ok(host)
    }
}

impl fmt::Display for HostUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, usual) = if self.plain { ("http", 80) } else { ("https", 443) };
        match self.port {
            port if port == usual => write!(f, "{scheme}://{}", self.host),
            port => write!(f, "{scheme}://{}:{port}", self.host),
        }
    }
}

impl TryFrom<String> for HostUrl {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<HostUrl> for String {
    fn from(host: HostUrl) -> String {
        host.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_written_in_one_way_only() {
        for (written, kept) in [
            ("https://GitHub.com", "https://github.com"),
            ("https://github.com:443/", "https://github.com"),
            ("https://git.example.com:8443", "https://git.example.com:8443"),
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
            ("http://[::1]:3000", "http://[::1]:3000"),
        ] {
            assert_eq!(written.parse::<HostUrl>().unwrap().to_string(), kept);
        }
        for bad in [
            "",
            "github.com",
            "ssh://x",
            "https://",
            "https://me:pw@x",
            "https://x/acme",
            "https://x?y",
            "https://x:0",
            "http://git.example.com",
            "https://x:99999",
            "https://a b",
            "https://x\n",
        ] {
            let error = bad.parse::<HostUrl>().unwrap_err();
            assert!(!error.to_string().contains("pw"), "{bad}");
        }
    }

    #[test]
    fn a_repository_is_on_a_server_by_scheme_name_and_port() {
        let on = |host: &str, url: &str| host.parse::<HostUrl>().unwrap().has(&url.parse().unwrap());
        assert!(on("https://github.com", "https://github.com/acme/shop"));
        assert!(on("https://github.com", "https://GITHUB.com:443/acme/shop"));
        assert!(on("https://github.com", "git@github.com:acme/shop.git"));
        for other in [
            "http://github.com/a/b",
            "https://github.com:444/a/b",
            "https://github.com.evil.example/a/b",
            "https://evil.example/github.com",
            "git@evil.example:github.com/x",
            "/github.com/x",
        ] {
            assert!(!on("https://github.com", other), "{other}");
        }
    }
}
