//! Ending containers, and removing them.

use super::DockerEngine;
use super::client::{self, CALL, call_optional};
use crate::engine::EngineError;
use bollard::query_parameters::{RemoveContainerOptionsBuilder, StopContainerOptionsBuilder};
use std::time::Duration;

impl DockerEngine {
    /// SIGTERM, `grace`, SIGKILL; waits for the end. A frozen container could not hear SIGTERM: it is thawed first.
    pub(super) async fn end(&self, container: &str, frozen: bool, grace: Duration) -> Result<(), EngineError> {
        if frozen {
            call_optional("thaw a container", self.docker.unpause_container(container)).await?;
        }
        let seconds = i32::try_from(grace.as_millis().div_ceil(1000)).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::default().t(seconds).build();
        let stopped = self.docker.stop_container(container, Some(options));
        match tokio::time::timeout(grace.saturating_add(CALL), stopped).await {
            Ok(Err(error)) if client::status(&error) == Some(404) => Ok(()),
            Ok(result) => result.map_err(|error| client::describe("stop a container", error)),
            Err(_) => Err(client::unreachable("failed to stop a container: no answer in time".into())),
        }
    }

    pub(super) async fn discard(&self, container: &str) -> Result<(), EngineError> {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        match tokio::time::timeout(CALL, self.docker.remove_container(container, Some(options))).await {
            Ok(Err(error)) if client::status(&error) == Some(404) => Ok(()),
            // Somebody removes it at this moment.
            Ok(Err(error)) if client::status(&error) == Some(409) => self.wait_until_gone(container).await,
            Ok(result) => result.map_err(|error| client::describe("remove a container", error)),
            Err(_) => Err(client::unreachable("failed to remove a container: no answer in time".into())),
        }
    }

    async fn wait_until_gone(&self, container: &str) -> Result<(), EngineError> {
        for _ in 0..50 {
            if self.inspect(container).await?.is_none() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(EngineError::Io {
            act: "remove a container".into(),
            source: std::io::Error::other("it is being removed by someone else, and does not go away"),
        })
    }
}
