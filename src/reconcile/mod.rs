//! The loop that wakes, plans and executes: operations, the deployment step machine, health checks, healing, collection.
//!
//! Imports every room above it. Decisions are `plan`'s and the pure parts' here (`steps`, `routes`, `health::Record`);
//! the rest performs them. Wake-ups carry no input: every pass compares whole states (law 1).

pub mod adopt;
pub mod advice;
pub mod app_handshake;
pub mod await_healthy;
pub mod collect;
pub mod commands;
pub mod connections;
pub mod contained;
pub mod control;
pub mod core;
pub mod deploy;
pub mod doctor;
pub mod down;
pub mod drift;
mod endpoints;
pub mod engines;
pub mod entry;
pub mod fault;
pub mod feedback;
pub mod handshake;
pub mod heal;
pub mod health;
pub mod history;
mod identities;
mod managed;
pub mod manifest;
pub mod monitor;
pub mod operation;
pub mod pass;
pub mod printer;
pub mod reading;
mod rebuild;
mod recorded;
pub mod retry;
pub mod rewritten;
pub mod routes;
pub mod sealed;
pub mod secrets;
pub mod signers;
pub mod snapshot;
pub mod steps;
pub mod up;
pub mod vetting;
pub mod view;
mod watch;
mod webhooks;

/// The key of page tokens, in hex.
const META_TOKEN_KEY: &str = "page-token-key";
/// The digest of the one manifest that may delete many services, once a person allowed it.
pub const META_MASS_DELETE: &str = "mass-delete-allowed";
/// The id of this installation.
pub const META_INSTALLATION: &str = "installation";
/// The engine that `auto` was resolved to; afterwards that engine is waited for.
pub const META_ENGINE: &str = "engine";
/// Where the Docker engine listens, if it is the engine.
pub const META_DOCKER_HOST: &str = "docker-host";
/// The identity of the engine when addresses were last known: after another one they mean nothing.
pub const META_ENGINE_IDENTITY: &str = "engine-identity";
/// The commit of the manifest that was in force last, where it is pulled from git.
pub const META_MANIFEST_COMMIT: &str = "manifest-commit";
/// The deploy windows that were in force last, for a start without a valid manifest.
const META_WINDOWS: &str = "deploy-windows";

/// An error with its causes in one line, for the edges.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// Random bytes for ids. The system's generator failing is not survivable: ids must not repeat.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    match getrandom::fill(&mut bytes) {
        Ok(()) => bytes,
        Err(error) => panic!("the system's random generator failed: {error}"),
    }
}
