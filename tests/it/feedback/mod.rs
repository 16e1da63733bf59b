//! What towpath says at GitHub and reads there: against a stand-in that holds every request against GitHub's documentation.

mod checks;
pub mod hub;
mod plans;
mod previews;
mod reports;
mod reverts;

use self::hub::Hub;
use crate::faults::node;
use crate::installation::{Installation, Repository};
use std::time::Duration;

/// The token of the connection.
pub const TOKEN: &str = "github_pat_0123456789";
pub const SOON: Duration = Duration::from_secs(60);

/// An installation with a repository at the hub, and a connection to it.
pub struct Shop {
    pub installation: Installation,
    pub hub: Hub,
    pub app: Repository,
    /// The URL of the repository.
    pub url: String,
    /// How the connection gets in, as a manifest says it.
    pub means: String,
}

impl Shop {
    pub fn new() -> Self {
        Self::at(Hub::new())
    }

    pub fn at(hub: Hub) -> Self {
        let installation = Installation::new();
        std::fs::write(installation.path().join("token"), TOKEN).unwrap();
        let app = installation.repository("app");
        let url = hub.repository("shop", app.path());
        Self { installation, hub, app, url, means: "token: { file: ./token }".into() }
    }

    /// The connections of a manifest.
    pub fn connections(&self) -> String {
        let github = self.hub.github.url();
        format!("connections:\n  acme-github: {{ provider: GITHUB, url: \"{github}\", {} }}\n", self.means)
    }

    /// A service of the repository, with more about its source and more lines.
    pub fn service(&self, name: &str, source: &str, more: &str) -> String {
        let source = format!("{{ repository: \"{}\", branch: main, connection: acme-github{source} }}", self.url);
        node::service(name, more).replace("{ repository: ./app }", &source)
    }

    pub fn declare(&self, source: &str, more: &str) {
        let text = format!("{}services:\n{}", self.connections(), self.service("shop", source, more));
        self.installation.declare(&text);
    }

    pub fn until(&self, what: &str, holds: impl Fn(&Hub) -> bool) {
        self.installation.until(what, SOON, |_| holds(&self.hub));
    }

    /// Waits until the last status of a commit is this one.
    pub fn until_said(&self, commit: &str, state: &str) {
        self.until(&format!("{commit} is {state}"), |hub| hub.last(commit, "towpath/shop")["state"] == state);
    }
}
