//! The domain in types: names, ids, sizes, services, revisions, operations, instances, problems.
//!
//! Imports nothing of ours. Everything here is plain data with validation at construction, so that a value of these
//! types can be trusted by every other room.

mod build_network;
mod connection;
pub mod cron;
pub mod docker_host;
pub mod dockerfile;
pub mod error;
mod flavour;
pub mod host_rules;
pub mod ids;
pub mod image;
pub mod instance;
pub mod lines;
pub mod names;
mod node_range;
pub mod operation;
pub mod preview;
pub mod problem;
pub mod quota;
pub mod record;
pub mod resource;
pub mod restraint;
pub mod revision;
pub mod runtime;
pub mod secret;
pub mod service;
pub mod source;
mod ssh_url;
pub mod status;
pub mod time;
pub mod track;
pub mod units;
mod value_from;
pub mod verify;
pub mod window;
pub mod wire_settings;

pub use self::cron::{Cron, Poll, Times, Zone};
pub use build_network::{BUILD_HOST, BuildLimits, BuildNetwork, Guarded};
pub use connection::{ConnectionName, Entrance, Handshake, HostUrl, Means, Provider};
pub use docker_host::DockerHost;
pub use dockerfile::{DockerfileBuild, RepositoryPath};
pub use error::{Class, Invalid};
pub use flavour::Flavour;
pub use host_rules::{HostRules, RequiredChecks};
pub use ids::{BuildId, Digest, InstallationId, InstanceId, OperationId, ResourceId, ServiceId};
pub use image::{ImageName, RegistryCredentials, RegistryLogin};
pub use instance::{
    Artifact, Input, InstanceSpec, InstanceState, ObservedInstance, Purpose, StartCommand, TerminalSize,
};
pub use lines::{LineSink, LineSource};
pub use names::{EnvName, HostLabel, RuntimeName, ServiceName};
pub use node_range::NodeRange;
pub use operation::{
    Cause, Failure, Operation, OperationKind, OperationStatus, OperationTarget, QUOTES, Reason, ReleaseProgress, Step,
    Undo, headline,
};
pub use preview::{OpenPull, PreviewOf, Previews};
pub use problem::{Place, Problem, Severity};
pub use quota::Quotas;
pub use record::{Event, EventSeverity, Held, HeldReason, InstanceRecord, InstanceRole, Owner, Pause, ServiceRecord};
pub use resource::{Resource, ResourceKind, ResourceType, ValidationRecord};
pub use restraint::{Drift, Restraint, Suspend};
pub use revision::{Revision, RevisionNumber};
pub use runtime::{Catalogue, Language, Runtime, parse_runtime_image};
pub use secret::{Secret, SecretRef};
pub use service::{
    AppSettings, BuildSource, DeploySettings, HealthCheck, HealthProtocol, InstanceSize, Scaling, ServiceSpec,
    VersionLock,
};
pub use source::{BranchName, CodeSource, Commit, CommitId, RepositoryUrl};
pub use ssh_url::SshTarget;
pub use status::ServiceStatus;
pub use time::Timestamp;
pub use track::{CommitPrefix, Contents, Reference, SourceDirectory, TagName, Track};
pub use units::{Cpu, Memory};
pub use value_from::{ValueFrom, is_secret_name};
pub use verify::{KeyGroup, KeyText, Verify};
pub use window::{Window, WindowEffect};
pub use wire_settings::{Observing, WireSettings};
