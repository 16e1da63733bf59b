//! What keeps the commands of builds from what instances are kept from (row A11). The engine that builds are made on does;
//! builders ask for it.

use async_trait::async_trait;

/// In force until it is dropped.
pub type Guarded = Box<dyn Send + Sync>;

/// A host that builds by BuildKit name, `NAME:ADDRESS`, so that the engine can tell their commands from others'. The same for
/// all: it is part of what their cache is found by.
pub const BUILD_HOST: &str = "build.towpath.invalid:127.0.0.1";

/// What of its limits a build is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuildLimits {
    /// Its memory.
    pub memory: bool,
    /// Its share of CPU.
    pub cpu: bool,
    /// Whether a control group can be made for it.
    pub group: bool,
}

impl BuildLimits {
    /// To all of them.
    pub const ALL: Self = Self { memory: true, cpu: true, group: true };
}

/// The networks of an engine, as builders need them.
#[async_trait]
pub trait BuildNetwork: Send + Sync {
    /// A guarded network, for a builder that takes one, as that builder names it, and what keeps it for as long as it is kept; or why
    /// there is none.
    async fn own(&self) -> Result<(String, Guarded), String>;

    /// What the engine can hold a build to.
    fn limits(&self) -> BuildLimits {
        BuildLimits::ALL
    }

    /// Guards the network that a builder uses which takes none; or why that cannot be.
    async fn guard(&self) -> Result<Guarded, String>;
}
