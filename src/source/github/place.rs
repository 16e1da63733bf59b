//! Where GitHub's API is, from where people see GitHub.

use crate::model::HostUrl;
use crate::source::git::connection::Origin;

/// The version of the API that we speak is octocrab's to say; the path of one's own GitHub is its address.
const OF_ENTERPRISE: &str = "/api/v3";

/// Where an API is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiBase {
    pub(super) origin: Origin,
    /// Before every path: empty, or `/api/v3`.
    pub(super) path: &'static str,
}

impl ApiBase {
    /// The API of `https://github.com`, of a tenant (`https://acme.ghe.com`), or of one's own GitHub Enterprise Server.
    pub fn of(web: &HostUrl) -> Self {
        let origin = |host: &str| Origin::new(web.is_plain(), host, web.port());
        match web.host() {
            "github.com" => Self { origin: origin("api.github.com"), path: "" },
            tenant if tenant.ends_with(".ghe.com") => Self { origin: origin(&format!("api.{tenant}")), path: "" },
            own => Self { origin: origin(own), path: OF_ENTERPRISE },
        }
    }

    /// The path and query that a request of octocrab means here: relative to the API, or a whole URL on its server.
    pub(super) fn target(&self, uri: &http::Uri) -> Option<String> {
        let asked = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        match uri.authority() {
            None => Some(format!("{}{asked}", self.path)),
            Some(_) => self.on_this_server(uri).then(|| asked.to_owned()),
        }
    }

    fn on_this_server(&self, uri: &http::Uri) -> bool {
        let server = uri.authority().map(|authority| format!("{}://{authority}", uri.scheme_str().unwrap_or_default()));
        server.and_then(|url| Origin::split(&url).ok()).is_some_and(|(origin, _)| origin == self.origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(web: &str) -> ApiBase {
        ApiBase::of(&web.parse().unwrap())
    }

    #[test]
    fn every_kind_of_github_has_its_api_somewhere_else() {
        let at = |web: &str| {
            let base = base(web);
            format!("{}{}", base.origin.url(), base.target(&"/user?x=1".parse().unwrap()).unwrap())
        };
        assert_eq!(at("https://github.com"), "https://api.github.com/user?x=1");
        assert_eq!(at("https://acme.ghe.com"), "https://api.acme.ghe.com/user?x=1");
        assert_eq!(at("https://git.example.com:8443"), "https://git.example.com:8443/api/v3/user?x=1");
        assert_eq!(at("http://127.0.0.1:3000"), "http://127.0.0.1:3000/api/v3/user?x=1");
    }

    #[test]
    fn whole_urls_are_followed_on_the_same_server_only() {
        let own = base("https://git.example.com");
        let target = |url: &str| own.target(&url.parse().unwrap());
        assert_eq!(target("https://git.example.com/api/v3/x?page=2").as_deref(), Some("/api/v3/x?page=2"));
        for other in ["https://evil.example/api/v3/x", "http://git.example.com/x", "https://git.example.com:444/x"] {
            assert_eq!(target(other), None, "{other}");
        }
    }
}
