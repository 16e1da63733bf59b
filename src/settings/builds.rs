//! What an installation gives to every build: variables, a proxy, certificate authorities.

use crate::model::{EnvName, Invalid, Secret};
use clap::Args;
use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::path::PathBuf;

/// What builds are given; each is a flag of `up` and a variable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct Builds {
    /// Certificate authorities to trust besides the machine's own, as PEM: for repositories and in builds; repeatable
    #[arg(long, value_name = "FILE", value_delimiter = ',', env = "TOWPATH_CA_CERTIFICATES", hide_env_values = true)]
    pub ca_certificates: Vec<PathBuf>,
    /// The proxy of builds, in place of towpath's own http_proxy and https_proxy
    #[arg(long, value_name = "URL", value_parser = parse_proxy, env = "TOWPATH_BUILD_PROXY", hide_env_values = true)]
    pub build_proxy: Option<Secret>,
    /// A variable of every build, which is an argument of a Dockerfile; repeatable, in the variable one a line
    #[arg(
        long,
        value_name = "NAME=VALUE",
        value_parser = parse_variable,
        value_delimiter = '\n',
        env = "TOWPATH_BUILD_ENV",
        hide_env_values = true
    )]
    pub build_env: Vec<(EnvName, String)>,
    /// An address of this machine that builds in containers may reach, such as a package index on it; repeatable
    #[arg(long, value_name = "ADDRESS:PORT", value_delimiter = ',', env = "TOWPATH_BUILD_REACH")]
    pub build_reach: Vec<SocketAddrV4>,
}

/// The variables of a proxy. Docker hands on these to a build without its Dockerfile declaring them.
const PROXIED: [&str; 4] = ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"];
/// Those that are handed on beside them.
const BESIDE: [&str; 4] = ["no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"];

impl Builds {
    /// The proxies of builds by their variables: the one of the settings, else those of towpath's own environment.
    pub fn proxies(&self) -> BTreeMap<String, Secret> {
        let mut environment = super::environment();
        environment.retain(|name, value| !value.is_empty() && PROXIED.iter().chain(&BESIDE).any(|known| known == name));
        let mut proxies: BTreeMap<String, Secret> =
            environment.into_iter().map(|(name, value)| (name, Secret::new(value))).collect();
        if let Some(proxy) = &self.build_proxy {
            proxies.extend(PROXIED.map(|name| (name.to_owned(), proxy.clone())));
        }
        proxies
    }
}

/// `http://[user:password@]host[:port]`. The text is in no message: it may hold a password.
///
/// # Errors
/// For anything else.
fn parse_proxy(text: &str) -> Result<Secret, Invalid> {
    let uri: Option<http::Uri> = text.parse().ok();
    let fits = uri.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https" | "socks5" | "socks5h"))
            && uri.host().is_some_and(|host| !host.is_empty())
            && uri.path_and_query().is_none_or(|path| path == "/")
    });
    match fits {
        true => Ok(Secret::new(text.to_owned())),
        false => Err(Invalid::new("write a proxy like `http://proxy.example.com:3128`")),
    }
}

/// `NAME=VALUE`.
///
/// # Errors
/// Without `=`, and for a name that no variable can have, or that decides how a build finds its programs.
fn parse_variable(text: &str) -> Result<(EnvName, String), Invalid> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| Invalid::new("write it like `PIP_INDEX_URL=https://pypi.example.com/simple`"))?;
    if matches!(name, "PATH" | "HOME" | "TMPDIR" | "LD_PRELOAD" | "LD_LIBRARY_PATH") {
        return Err(Invalid::new(format!("`{name}` is each build's own")));
    }
    if value.chars().any(char::is_control) {
        return Err(Invalid::new(format!("the value of `{name}` holds control characters")));
    }
    Ok((name.parse()?, value.to_owned()))
}

/// Host and port of a proxy, for looking up its address.
pub fn place_of(proxy: &Secret) -> Option<(String, u16)> {
    let uri: http::Uri = proxy.reveal().parse().ok()?;
    let port = uri.port_u16().unwrap_or(match uri.scheme_str() {
        Some("https") => 443,
        Some("socks5" | "socks5h") => 1080,
        _ => 80,
    });
    Some((uri.host()?.trim_matches(['[', ']']).to_owned(), port))
}

/// Whether a proxy is on the machine's loopback, which in a container is the container's own.
pub fn is_on_loopback(proxy: &Secret) -> bool {
    let text = proxy.reveal();
    let authority = text.split_once("://").map_or(text, |(_, rest)| rest);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = host.split('/').next().unwrap_or_default();
    ["localhost", "127.", "[::1]", "::1"].iter().any(|start| host.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_urls_and_say_nothing_of_themselves() {
        for good in ["http://proxy:3128", "http://user:pw@proxy.example.com:3128/", "https://p", "socks5://[::1]:1"] {
            assert_eq!(parse_proxy(good).unwrap().reveal(), good);
        }
        for bad in ["", "proxy:3128", "ftp://proxy", "http://", "http://proxy/path", "http://pro xy"] {
            assert!(parse_proxy(bad).is_err(), "{bad}");
        }
        let given = Builds { build_proxy: Some(Secret::new("http://user:pw@p:1".into())), ..Builds::default() };
        assert!(!format!("{given:?}").contains("pw"));
        let proxies = given.proxies();
        assert!(PROXIED.iter().all(|name| proxies[*name].reveal() == "http://user:pw@p:1"));
    }

    #[test]
    fn the_place_of_a_proxy_is_host_and_port() {
        let place = |text: &str| place_of(&Secret::new(text.into()));
        assert_eq!(place("http://user:pw@10.0.0.7:3128"), Some(("10.0.0.7".into(), 3128)));
        assert_eq!(place("https://proxy/"), Some(("proxy".into(), 443)));
        assert_eq!(place("localhost,10.0.0.0/8"), None);
    }

    #[test]
    fn a_proxy_on_the_loopback_is_told() {
        for (proxy, on_it) in [
            ("http://127.0.0.1:3128", true),
            ("http://user:pw@localhost:3128", true),
            ("http://[::1]:3128/", true),
            ("localhost:1", true),
            ("http://proxy:3128", false),
            ("http://127@proxy", false),
        ] {
            assert_eq!(is_on_loopback(&Secret::new(proxy.into())), on_it, "{proxy}");
        }
    }

    #[test]
    fn variables_have_names_and_keep_their_values() {
        assert_eq!(parse_variable("A=b=c d,e").unwrap(), ("A".parse().unwrap(), "b=c d,e".into()));
        for bad in ["A", "=x", "PATH=/x", "A=x\u{1b}", "A B=x"] {
            assert!(parse_variable(bad).is_err(), "{bad}");
        }
    }
}
