//! Connections: access to a provider's repositories (row C1), and the server that each belongs to.

use super::error::Invalid;
use super::names::name;
use super::secret::SecretRef;
use super::source::RepositoryUrl;
use super::time::Timestamp;
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

    /// Whether it is this machine itself.
    pub fn is_here(&self) -> bool {
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

/// Who keeps the repositories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Provider {
    /// GitHub, or one's own GitHub Enterprise Server.
    #[serde(rename = "GITHUB")]
    GitHub,
    /// Bitbucket.
    #[serde(rename = "BITBUCKET")]
    Bitbucket,
    /// Any other git server; App Runner has none such.
    #[serde(rename = "GIT")]
    Git,
}

impl Provider {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::GitHub, Self::Bitbucket, Self::Git];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GitHub => "GITHUB",
            Self::Bitbucket => "BITBUCKET",
            Self::Git => "GIT",
        }
    }

    /// Its server, where everybody has the same.
    pub fn host(self) -> Option<HostUrl> {
        let host = |name: &str| HostUrl { plain: false, host: name.to_owned(), port: 443 };
        match self {
            Self::GitHub => Some(host("github.com")),
            Self::Bitbucket => Some(host("bitbucket.org")),
            Self::Git => None,
        }
    }

    /// The user name that goes with a token over HTTP.
    pub fn token_user(self) -> &'static str {
        match self {
            Self::GitHub => "x-access-token",
            Self::Bitbucket => "x-token-auth",
            // Hosts that take a token as a password do not look at the name, or want this one (GitLab).
            Self::Git => "oauth2",
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Provider {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::ALL.into_iter().find(|provider| provider.as_str() == text).ok_or_else(|| {
            Invalid::new(format!("`{}` is not a provider", text.escape_debug()))
                .hint("there are `GITHUB`, `BITBUCKET`, and `GIT` for every other server")
        })
    }
}

/// How a declared connection gets in. References only: values are read when they are needed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Means {
    /// A token.
    Token(SecretRef),
    /// A user name and a password.
    Basic {
        /// The name.
        username: String,
        /// The password.
        password: SecretRef,
    },
    /// A private key, for repositories over ssh.
    SshKey(SecretRef),
    /// A GitHub App.
    App {
        /// Its id.
        id: u64,
        /// Its private key.
        key: SecretRef,
        /// Where it is installed; found out if it is installed once.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        installation: Option<u64>,
    },
}

impl Means {
    /// What it is called: the manifest's key.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Token(_) => "token",
            Self::Basic { .. } => "basic",
            Self::SshKey(_) => "sshKey",
            Self::App { .. } => "app",
        }
    }

    /// What it keeps secret.
    pub fn secret(&self) -> &SecretRef {
        match self {
            Self::Token(secret) | Self::SshKey(secret) => secret,
            Self::Basic { password, .. } => password,
            Self::App { key, .. } => key,
        }
    }

    /// The same, to be changed.
    pub fn secret_mut(&mut self) -> &mut SecretRef {
        match self {
            Self::Token(secret) | Self::SshKey(secret) => secret,
            Self::Basic { password, .. } => password,
            Self::App { key, .. } => key,
        }
    }
}

/// What a handshake was completed with. The secret of it is encrypted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Handshake {
    /// How it gets in.
    pub entrance: Entrance,
    /// The token, the password or the private key, encrypted under the installation's key.
    pub sealed: String,
    /// What the App's webhooks are signed with, encrypted too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed_webhook: Option<String>,
    /// When it was shown to work; not yet if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
}

/// How a connection gets in, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Entrance {
    /// With a token.
    Token,
    /// With a user name and a password.
    Basic {
        /// The name.
        username: String,
    },
    /// With a key over ssh.
    SshKey {
        /// Its public half, as a provider wants it.
        public: String,
    },
    /// As a GitHub App.
    App {
        /// Its id.
        id: u64,
        /// What its pages are called at GitHub.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        slug: Option<String>,
        /// Where it is installed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        installation: Option<u64>,
    },
}

impl Entrance {
    /// What it is called: the manifest's key.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Basic { .. } => "basic",
            Self::SshKey { .. } => "sshKey",
            Self::App { .. } => "app",
        }
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
