//! What runs instances: the trait `Engine` and its implementations `process` (embedded) and `docker`.
//!
//! An engine knows nothing of a service's history: it starts what an [`InstanceSpec`] says, labels it, and reports what
//! it sees. It restarts nothing by itself; healing is the reconciler's. Imports `model` only.

pub mod docker;
pub mod once;
pub mod process;

use crate::model::{Class, InstanceId, InstanceSpec, ObservedInstance, TerminalSize};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::AsyncWrite;
use tokio::sync::watch;

/// What failed on an engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The engine does not answer.
    #[error("the {engine} engine does not answer: {message}")]
    Unreachable {
        /// Which engine.
        engine: &'static str,
        /// What was tried and heard.
        message: String,
    },
    /// The instance could not be started; trying the same again will not help.
    #[error("{0}")]
    Refused(String),
    /// A file or process operation failed.
    #[error("failed to {act}")]
    Io {
        /// What was tried, with its object: `create directory …`.
        act: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl EngineError {
    /// Who acts next.
    pub fn class(&self) -> Class {
        match self {
            Self::Unreachable { .. } => Class::Wait,
            Self::Refused(_) => Class::Stalled,
            Self::Io { .. } => Class::Retry,
        }
    }
}

/// What an instance uses, read at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InstanceUsage {
    /// CPU time since its start.
    pub cpu: Duration,
    /// Resident memory in bytes.
    pub memory: u64,
}

/// Both ends of a command that is spoken to.
pub struct Attached {
    /// To its standard input.
    pub input: Box<dyn AsyncWrite + Send + Unpin>,
    /// From its terminal.
    pub output: Option<BoxStream<'static, io::Result<Bytes>>>,
}

/// An engine. Every method has its own deadline inside; every method is idempotent and safe to repeat after a crash.
#[async_trait]
pub trait Engine: Send + Sync {
    /// `process` or `docker`.
    fn name(&self) -> &'static str;

    /// Changes when the engine itself was replaced or the machine rebooted: addresses from before mean nothing then.
    async fn identity(&self) -> Result<String, EngineError>;

    /// Every instance of this installation that is on the engine, ended ones too until they are removed.
    async fn observe(&self) -> Result<Vec<ObservedInstance>, EngineError>;

    /// Every command of this installation that runs once ([`Purpose::Once`]) and is on the engine, ended ones too until
    /// they are removed. [`Engine::observe`] names none of them.
    ///
    /// [`Purpose::Once`]: crate::model::Purpose::Once
    async fn one_offs(&self) -> Result<Vec<ObservedInstance>, EngineError>;

    /// Starts an instance and returns where it will answer. Starting an id that was started already returns the
    /// address of the one that is there. Returns once the process or container runs, not once it is healthy.
    async fn start(&self, spec: &InstanceSpec) -> Result<SocketAddr, EngineError>;

    /// SIGTERM, then after `grace` SIGKILL to everything that is left of it. Returns once it ended. Its address stays
    /// leased until [`Engine::remove`]. Nothing to stop is success.
    async fn stop(&self, id: &InstanceId, grace: Duration) -> Result<(), EngineError>;

    /// Removes what is left of an ended instance and frees its address. Nothing to remove is success. The caller has
    /// the ingress' acknowledgement that it is not routed any more.
    async fn remove(&self, id: &InstanceId) -> Result<(), EngineError>;

    /// Stops an instance in its tracks, memory kept.
    async fn freeze(&self, id: &InstanceId) -> Result<(), EngineError>;

    /// Lets a frozen instance go on.
    async fn thaw(&self, id: &InstanceId) -> Result<(), EngineError>;

    /// What an instance uses; `None` when it does not run.
    async fn usage(&self, id: &InstanceId) -> Result<Option<InstanceUsage>, EngineError>;

    /// The TCP ports that the instance's processes listen on, to tell a person where an application listens instead.
    async fn listening_ports(&self, id: &InstanceId) -> Result<Vec<u16>, EngineError>;

    /// How many connections to one of the instance's ports the kernel has taken and the application has not: a server that binds
    /// before its workers have loaded listens, but is not there yet. `None` where that cannot be seen from here.
    async fn unaccepted(&self, id: &InstanceId, port: u16) -> Result<Option<u32>, EngineError>;

    /// What was refused to instances since the last call, for people: a full disk, a process killed for want of memory.
    /// Found while observing.
    fn take_notices(&self) -> Vec<(InstanceId, String)> {
        Vec::new()
    }

    /// What the standard input of a command that was started with one is written to, and what comes from its terminal, if it
    /// has one. Once for each; its input ends when the writer is shut down or dropped.
    async fn attach(&self, id: &InstanceId) -> Result<Attached, EngineError> {
        Err(EngineError::Refused(format!("the {} engine gives commands no standard input ({id})", self.name())))
    }

    /// Tells a command how large its terminal is now. One that has ended is not told.
    async fn resize(&self, _id: &InstanceId, _size: TerminalSize) -> Result<(), EngineError> {
        Ok(())
    }

    /// Whether something between accepts connections before the application listens: then only an answer says that an
    /// instance is there.
    fn is_proxied(&self) -> bool {
        false
    }

    /// Removes what the engine made for the installation as a whole, once no instance is left. The next start makes it
    /// again.
    async fn dismantle(&self) -> Result<(), EngineError> {
        Ok(())
    }

    /// Changes whenever something may have happened to an instance: *look again* (law 1).
    fn changes(&self) -> watch::Receiver<u64>;
}
