//! What an installation gives to every build besides what the service says: variables, proxies, certificate authorities.

use crate::model::{BuildId, Digest, EnvName, Secret};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The variables by which tools are told which file of certificate authorities to trust, each in place of their own list:
/// OpenSSL (and with it Ruby, PHP, .NET, Go, uv), Python's requests, curl, pip, Node (and npm, yarn), git, Cargo and AWS' tools.
const TRUST: [&str; 9] = [
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "PIP_CERT",
    "NODE_EXTRA_CA_CERTS",
    // A machine's own npmrc may name another file, which then is all that npm trusts.
    "npm_config_cafile",
    "GIT_SSL_CAINFO",
    "CARGO_HTTP_CAINFO",
    "AWS_CA_BUNDLE",
];

/// What every build gets.
#[derive(Clone, Debug, Default)]
pub struct Provision {
    /// The operator's variables: of every command, and arguments of a Dockerfile. A build depends on them.
    pub env: BTreeMap<EnvName, String>,
    /// Proxies, by the variables that tools read. No build depends on them.
    pub proxies: BTreeMap<String, Secret>,
    /// A PEM file of all certificate authorities that are trusted; without one each tool trusts what it always does.
    pub authorities: Option<PathBuf>,
}

/// The variables that make tools trust the authorities in a file.
pub fn trust(file: &str) -> impl Iterator<Item = (&'static str, &str)> {
    TRUST.into_iter().map(move |name| (name, file))
}

impl Provision {
    /// The variables of commands that run on this machine.
    pub fn variables(&self) -> BTreeMap<String, String> {
        let proxies = self.proxies.iter().map(|(name, proxy)| (name.clone(), proxy.reveal().to_owned()));
        let mut all: BTreeMap<String, String> = proxies.collect();
        if let Some(file) = &self.authorities {
            all.extend(trust(&file.to_string_lossy()).map(|(name, file)| (name.to_owned(), file.to_owned())));
        }
        all.extend(self.env.iter().map(|(name, value)| (name.to_string(), value.clone())));
        all
    }

    /// A build's id with what it depends on here; the same id where that is nothing.
    pub fn identify(&self, id: BuildId) -> BuildId {
        if self.env.is_empty() { id } else { Digest::of(&(&id, &self.env)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_depends_on_variables_and_not_on_the_way_to_the_network() {
        let id = Digest::of(&"x");
        let proxies = BTreeMap::from([("https_proxy".to_owned(), Secret::new("http://user:pw@proxy:1".into()))]);
        let mut given = Provision { proxies, authorities: Some("/ca.pem".into()), ..Provision::default() };
        assert_eq!(given.identify(id.clone()), id);
        assert!(!format!("{given:?}").contains("pw"), "{given:?}");
        given.env.insert("PIP_CERT".parse().unwrap(), "/mine.pem".into());
        assert_ne!(given.identify(id.clone()), id);
        let variables = given.variables();
        assert_eq!((variables["SSL_CERT_FILE"].as_str(), variables["PIP_CERT"].as_str()), ("/ca.pem", "/mine.pem"));
        assert_eq!(variables["https_proxy"], "http://user:pw@proxy:1");
    }
}
