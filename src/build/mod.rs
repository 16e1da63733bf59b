//! From a commit and its settings to an artifact: the recipe (pure) and the builders.
//!
//! Imports `model` and `source`. Knows nothing of operations, stores or routing.

mod dependencies;
pub mod docker;
pub mod process;
pub mod provision;
pub mod recipe;
mod system;

pub use provision::Provision;

use crate::model::{
    AppSettings, Artifact, BuildId, Class, Commit, InstanceSize, LineSink, Memory, RegistryLogin, ServiceName,
    SourceDirectory,
};
use async_trait::async_trait;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What the commands of a build have at least, however small its instances are: compilers and bundlers need it.
const LEAST_MEMORY: Memory = Memory(4 << 30);

/// What a build failed at. `Display` is worded as App Runner words it where that is known.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A command of one of the phases failed.
    #[error("Failed to execute '{phase}' command.")]
    Command {
        /// `pre-build`, `build`, `post-build` or `pre-run`.
        phase: &'static str,
        /// The command.
        command: String,
        /// Its exit code or signal, in words.
        ended: String,
    },
    /// No interpreter or base image meets the runtime and its lock.
    #[error("{0}")]
    Runtime(String),
    /// The repository's own Dockerfile cannot be built as it is.
    #[error("{0}")]
    Dockerfile(String),
    /// It ran over a limit: time, output, size.
    #[error("{0}")]
    Limit(String),
    /// It was cancelled.
    #[error("the build was cancelled")]
    Cancelled,
    /// The engine that builds does not answer.
    #[error("the build engine does not answer: {0}")]
    Unreachable(String),
    /// A file or process operation failed.
    #[error("failed to {act}")]
    Io {
        /// What was tried, with its object.
        act: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl BuildError {
    /// Who acts next.
    pub fn class(&self) -> Class {
        match self {
            Self::Unreachable(_) => Class::Wait,
            Self::Io { .. } => Class::Retry,
            _ => Class::Stalled,
        }
    }
}

/// Everything that a build needs.
#[derive(Clone)]
pub struct BuildJob {
    /// The build's id: the digest of its inputs, see the recipe.
    pub id: BuildId,
    /// The service, for names that people see.
    pub name: ServiceName,
    /// The commit.
    pub commit: Commit,
    /// A directory with the commit's files, the builder's to consume (it may move it).
    pub tree: PathBuf,
    /// The directory of the tree that commands run in, at build and run time; its root if none (row L1).
    pub directory: Option<SourceDirectory>,
    /// Who pulls it, where it is an image that not everybody may pull.
    pub login: Option<RegistryLogin>,
    /// The settings.
    pub settings: AppSettings,
    /// The size that instances will have; builds get at least that much.
    pub size: InstanceSize,
    /// How long all commands together may take.
    pub deadline: Duration,
}

impl BuildJob {
    /// The memory that its commands may take.
    fn memory(&self) -> Memory {
        self.size.memory.max(LEAST_MEMORY)
    }
}

/// Makes artifacts. One per engine.
#[async_trait]
pub trait Builder: Send + Sync {
    /// The id of the build that these inputs make: same inputs, same id. Includes which interpreter or base image is
    /// chosen here (row S4: an unlocked runtime moves when the host's does).
    async fn identify(&self, commit: &Commit, settings: &AppSettings) -> Result<BuildId, BuildError>;

    /// The artifact of a build that is there already.
    async fn find(&self, id: &BuildId) -> Result<Option<Artifact>, BuildError>;

    /// Builds. A build that was cut off half-way leaves nothing that `find` would take for a result.
    async fn build(&self, job: BuildJob, log: &dyn LineSink, cancel: CancellationToken)
    -> Result<Artifact, BuildError>;

    /// Removes a build's result. Nothing to remove is success.
    async fn remove(&self, id: &BuildId) -> Result<(), BuildError>;

    /// All results that are there with the room that each takes, where that is known.
    async fn usage(&self) -> Result<Vec<(BuildId, Option<u64>)>, BuildError> {
        Ok(self.list().await?.into_iter().map(|id| (id, None)).collect())
    }

    /// Removes what is kept between builds for other services than these, and what has grown too large. Not while
    /// anything is built.
    async fn tidy(&self, _services: &BTreeSet<ServiceName>) -> Result<(), BuildError> {
        Ok(())
    }

    /// The ids of all results that are there, for collection.
    async fn list(&self) -> Result<Vec<BuildId>, BuildError>;
}
