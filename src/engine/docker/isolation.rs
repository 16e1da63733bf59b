//! Whether instances may be started where nothing keeps them from each other: on Docker the bridge always does, on Podman only
//! the firewall.

use super::DockerEngine;
use super::guard::Isolation;
use crate::engine::EngineError;

impl DockerEngine {
    /// The same engine, on which instances and builds run also where nothing keeps them apart. To be called last.
    #[must_use]
    pub fn unisolated(self, allowed: bool) -> Self {
        if allowed {
            self.builds.allow_unguarded();
        }
        Self { unisolated: allowed, ..self }
    }

    /// Whether instances can be started as they have to be.
    ///
    /// # Errors
    /// On Podman, when nothing keeps instances from each other and from this host, and nobody allowed that.
    pub async fn examine_isolation(&self) -> Result<(), EngineError> {
        if self.podman.is_some() {
            let bridge = self.bridge().await?;
            self.guard.ensure(&bridge).await;
        }
        self.refuse_unisolated()
    }

    pub(super) fn refuse_unisolated(&self) -> Result<(), EngineError> {
        match (&self.podman, self.guard.state()) {
            (Some(podman), Some(Isolation::Open(why))) if !self.unisolated => Err(EngineError::Refused(format!(
                "Podman {} does not keep instances from each other and from this machine, and towpath cannot do it: {why}. Run \
                 towpath as root with `nft` (package `nftables`), or allow that with `--allow-unisolated`",
                podman.version
            ))),
            _ => Ok(()),
        }
    }
}
