//! Whether instances may be started where nothing keeps them from each other: on Docker the bridge always does, on Podman only
//! the firewall.

use super::DockerEngine;
use super::guard::Isolation;
use super::rootless::Limits;
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

    /// Whether instances can be started as they have to be; what they are not held to is logged. What a crash left of builds is
    /// removed, so that it is for the one control plane.
    ///
    /// # Errors
    /// On Podman, when nothing keeps instances from each other and from this host, and nobody allowed that.
    pub async fn examine_isolation(&self) -> Result<(), EngineError> {
        if let Some(podman) = &self.podman {
            if let Some((missing, mend)) = podman.rootless.as_ref().and_then(Limits::missing) {
                tracing::warn!("{missing}: {mend}");
            }
            if let Some(namespace) = &self.namespace {
                namespace.sweep().await;
            }
            let bridge = self.bridge().await?;
            self.guard.ensure(&bridge).await;
        }
        self.refuse_unisolated()
    }

    pub(super) fn refuse_unisolated(&self) -> Result<(), EngineError> {
        match (&self.podman, self.guard.state()) {
            (Some(podman), Some(Isolation::Open(why))) if !self.unisolated => Err(EngineError::Refused(format!(
                "Podman {} does not keep instances from each other and from this machine, and towpath cannot do it: {why}. {}, or \
                 allow that with `--allow-unisolated`",
                podman.version,
                podman.mend()
            ))),
            _ => Ok(()),
        }
    }
}
