//! GitHub's REST API, by octocrab over our own HTTP connections: one TLS library, one set of trusted authorities.
//!
//! In go the place of the API and what to show it; out comes a client whose every request carries what its credentials say, has
//! bounds of time and size, and follows redirects on its own server only. Failures are values ([`GitHubError`]), rate limits among
//! them. Nothing is tried twice here, but for a token of an installation that was refused: that one is renewed, once.

mod app;
mod credentials;
mod error;
mod installation;
mod place;
mod sender;
mod wire;

pub use app::AppKey;
pub use credentials::Credentials;
pub use error::GitHubError;
pub use installation::Installation;
pub use place::ApiBase;
pub use wire::Wire;

use octocrab::{AuthState, Octocrab, OctocrabBuilder};

/// A client of GitHub's API. Cheap to clone; made within a tokio runtime.
#[derive(Clone, Debug)]
pub struct GitHub(Octocrab);

impl GitHub {
    /// A client of one place with one set of credentials.
    pub fn new(wire: &Wire, base: ApiBase, credentials: Credentials) -> Self {
        let service = sender::Sender::new(wire.clone(), base, credentials);
        let Ok(octocrab) = OctocrabBuilder::new_empty().with_service(service).with_auth(AuthState::None).build();
        Self(octocrab)
    }

    /// What speaks the API. Its errors become [`GitHubError`] by `?`.
    pub fn api(&self) -> &Octocrab {
        &self.0
    }
}
