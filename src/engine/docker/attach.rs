//! Speaking to a command in a container: its standard input, and its terminal.

use super::DockerEngine;
use super::client::{CALL, call_optional, call_within};
use super::observe;
use crate::engine::{Attached, EngineError};
use crate::model::{Input, InstanceId, InstanceSpec, TerminalSize};
use bollard::container::LogOutput;
use bollard::query_parameters::{AttachContainerOptionsBuilder, ResizeContainerTTYOptionsBuilder};
use futures_util::StreamExt;
use std::io;
use std::sync::PoisonError;

impl DockerEngine {
    /// Attaches to a container that reads, before it is started: what it shows first, a prompt, is in no log.
    pub(super) async fn attach_before_start(&self, spec: &InstanceSpec, container: &str) -> Result<(), EngineError> {
        let terminal = match spec.input {
            Input::Empty => return Ok(()),
            Input::Pipe => false,
            Input::Terminal(_) => true,
        };
        // Without a terminal, output is read from the log.
        let options = AttachContainerOptionsBuilder::default().stream(true).stdin(true);
        let options = options.stdout(terminal).stderr(terminal).build();
        let attaching = self.docker.attach_container(container, Some(options));
        let attached = call_within(CALL, "attach to a command", attaching).await?;
        let output = attached.output.map(|piece| piece.map(LogOutput::into_bytes).map_err(io::Error::other));
        let attached = Attached { input: Box::new(attached.input), output: terminal.then(|| output.boxed()) };
        self.attached.lock().unwrap_or_else(PoisonError::into_inner).insert(spec.id.clone(), attached);
        Ok(())
    }

    pub(super) fn take_attached(&self, id: &InstanceId) -> Option<Attached> {
        self.attached.lock().unwrap_or_else(PoisonError::into_inner).remove(id)
    }

    pub(super) async fn resize_terminal(&self, id: &InstanceId, size: TerminalSize) -> Result<(), EngineError> {
        let Some(inspect) = self.find(id).await?.filter(observe::is_alive) else { return Ok(()) };
        let (rows, columns) = (i32::from(size.rows), i32::from(size.columns));
        let options = ResizeContainerTTYOptionsBuilder::default().h(rows).w(columns).build();
        let container = inspect.id.unwrap_or_default();
        call_optional("resize a terminal", self.docker.resize_container_tty(&container, options)).await.map(|_| ())
    }
}
