//! What keeps the commands of builds from what instances are kept from (row A11). The engine that builds are made on does;
//! builders ask for it.

use async_trait::async_trait;

/// In force until it is dropped.
pub type Guarded = Box<dyn Send + Sync>;

/// A host that builds by BuildKit name, `NAME:ADDRESS`, so that the engine can tell their commands from others'. The same for
/// all: it is part of what their cache is found by.
pub const BUILD_HOST: &str = "build.towpath.invalid:127.0.0.1";

/// The networks of an engine, as builders need them.
#[async_trait]
pub trait BuildNetwork: Send + Sync {
    /// The name of a guarded network, for a builder that takes one; or why there is none.
    async fn own(&self) -> Result<String, String>;

    /// Guards the network that a builder uses which takes none; or why that cannot be.
    async fn guard(&self) -> Result<Guarded, String>;
}
