//! Starting an instance: found again by label, else created with a lease; repeated until it runs or cannot.

use super::client::{CALL, status};
use super::container::{Place, container, container_name};
use super::labels::Labels;
use super::lease::next_free;
use super::{DockerEngine, client, observe};
use crate::engine::EngineError;
use crate::model::{Input, InstanceSpec};
use bollard::errors::Error;
use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::CreateContainerOptionsBuilder;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;

/// How often a start is tried with another lease, or without Docker's init process.
const ATTEMPTS: usize = 8;

/// Why a created container does not run.
enum Stumble {
    /// Its address is somebody else's: another lease will do.
    Address,
    /// Docker has no init process here: without it.
    Init,
    /// Anything else.
    Failed(EngineError),
}

impl DockerEngine {
    pub(super) async fn start_instance(&self, spec: &InstanceSpec) -> Result<SocketAddr, EngineError> {
        for _ in 0..ATTEMPTS {
            let found = match self.find(&spec.id).await? {
                Some(found) => found,
                None => self.create(spec).await?,
            };
            let (Some(labels), Some(id)) = (observe::labels(&found), found.id.clone()) else {
                return Err(damaged(spec));
            };
            if observe::was_started(&found) {
                self.follow(&found);
                return Ok(labels.address);
            }
            self.attach_before_start(spec, &id).await?;
            match self.launch(&id).await {
                Ok(()) => {
                    if let Input::Terminal(size) = spec.input {
                        // Before there is a process the terminal has no size.
                        self.resize_terminal(&spec.id, size).await?;
                    }
                    self.followers.ensure(&spec.id, &id, labels.log, true);
                    return Ok(labels.address);
                }
                // It may run all the same: the next start or observation will see.
                Err(Stumble::Failed(error @ EngineError::Unreachable { .. })) => return Err(error),
                Err(stumble) => {
                    self.discard(&id).await?;
                    self.learn(stumble)?;
                }
            }
        }
        Err(EngineError::Refused(format!(
            "no free address for instance `{}` after {ATTEMPTS} tries: other containers or programs take them",
            spec.id
        )))
    }

    /// What a stumble teaches for the next try, or the error that ends trying.
    fn learn(&self, stumble: Stumble) -> Result<(), EngineError> {
        match stumble {
            Stumble::Address => Ok(()),
            Stumble::Init if self.init.swap(false, Ordering::Relaxed) => {
                tracing::warn!(
                    "the engine has no init process here (`docker-init`, Podman's `catatonit`): instances run without"
                );
                Ok(())
            }
            Stumble::Init => Err(EngineError::Refused("Docker asks for its init process without being told to".into())),
            Stumble::Failed(error) => Err(error),
        }
    }

    /// Creates the container under a lease that is free now.
    async fn create(&self, spec: &InstanceSpec) -> Result<ContainerInspectResponse, EngineError> {
        let bridge = self.bridge().await?;
        self.guard.ensure(&bridge).await;
        self.refuse_unisolated()?;
        let mut cursor = self.leasing.lock().await;
        let taken = self.leased().await?;
        let lease = next_free(&bridge, self.is_direct(&bridge), &taken, *cursor).ok_or_else(|| {
            EngineError::Refused("every address for instances is in use; pause or delete a service".into())
        })?;
        // Onward by one: on the next try the same address counts as taken, or was found to be.
        *cursor = cursor.wrapping_add(1);
        let place = Place {
            installation: &self.installation,
            network: &bridge.name,
            lease,
            init: self.init.load(Ordering::Relaxed),
            storage: self.storage.of(spec),
            storage_option: self.storage.option(spec),
        };
        let mut created = self.create_container(spec, &place).await?;
        if let Ok(Err(Error::DockerResponseServerError { message, .. })) = &created
            && place.storage_option.is_some()
            && self.storage.is_refused(message)
        {
            let place = Place { storage_option: None, ..place };
            created = self.create_container(spec, &place).await?;
        }
        drop(cursor);
        match created {
            Ok(Ok(())) => {}
            Ok(Err(error)) if is_conflict(&error) => {}
            Ok(Err(error)) if status(&error) == Some(404) => return Err(missing_image(spec, error)),
            Ok(Err(error)) => return Err(client::describe("create a container", error)),
            Err(_) => return Err(client::unreachable("failed to create a container: no answer in time".into())),
        }
        // After a conflict too: if the container of this name is this instance's, it is the one.
        self.find(&spec.id).await?.ok_or_else(|| {
            EngineError::Refused(format!(
                "another container has the name `{0}`; remove it with `docker rm -f {0}`",
                container_name(spec)
            ))
        })
    }

    /// Docker's answer, or none in time; an instance that cannot be one is refused before.
    async fn create_container(
        &self,
        spec: &InstanceSpec,
        place: &Place<'_>,
    ) -> Result<Result<Result<(), Error>, tokio::time::error::Elapsed>, EngineError> {
        let mut body = container(spec, place)?;
        if let Some(podman) = &self.podman {
            podman.adapt(&mut body);
        }
        let options = CreateContainerOptionsBuilder::default().name(&container_name(spec)).build();
        let created = tokio::time::timeout(CALL, self.docker.create_container(Some(options), body)).await;
        Ok(created.map(|answer| answer.map(|_| ())))
    }

    /// The addresses of all containers of this installation, whatever their state.
    async fn leased(&self) -> Result<BTreeSet<SocketAddr>, EngineError> {
        let all = self.list(None).await?;
        Ok(all.iter().filter_map(|c| Labels::read(c.labels.as_ref()?)).map(|labels| labels.address).collect())
    }

    async fn launch(&self, container: &str) -> Result<(), Stumble> {
        let started = tokio::time::timeout(CALL, self.docker.start_container(container, None)).await;
        match started {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(stumble(error)),
            Err(_) => {
                Err(Stumble::Failed(client::unreachable("failed to start a container: no answer in time".into())))
            }
        }
    }
}

/// Whether the name is another container's. Podman says that with 500.
fn is_conflict(error: &Error) -> bool {
    match error {
        Error::DockerResponseServerError { status_code: 500, message } => message.contains("name is already in use"),
        other => status(other) == Some(409),
    }
}

fn stumble(error: Error) -> Stumble {
    let Error::DockerResponseServerError { message, .. } = &error else {
        return Stumble::Failed(client::describe("start a container", error));
    };
    let says = |part: &str| message.to_ascii_lowercase().contains(part);
    if says("address already in use") || says("already allocated") {
        Stumble::Address
    } else if says("docker-init") || says("catatonit") {
        Stumble::Init
    } else if says("runtime create failed") || says("executable file") || says("oci runtime attempted") {
        // Docker answers some of these with 500, but the same again will not help.
        Stumble::Failed(EngineError::Refused(format!("the start command cannot be run: {}", cause(message))))
    } else {
        Stumble::Failed(client::describe("start a container", error))
    }
}

/// The last, telling part of a container runtime's message.
fn cause(message: &str) -> String {
    let words = message.trim().trim_end_matches(": unknown");
    // Podman's own words for it.
    let words = words.split_once(": OCI runtime attempted").map_or(words, |(before, _)| before);
    words.split_once("exec: ").map_or(words, |(_, rest)| rest).to_owned()
}

fn missing_image(spec: &InstanceSpec, error: Error) -> EngineError {
    match error {
        Error::DockerResponseServerError { message, .. } if message.to_ascii_lowercase().contains("image") => {
            EngineError::Refused(format!(
                "the image of service `{}` revision {} is not on the Docker engine any more; deploy the service again",
                spec.name, spec.revision
            ))
        }
        other => client::describe("create a container", other),
    }
}

fn damaged(spec: &InstanceSpec) -> EngineError {
    EngineError::Refused(format!("the container of instance `{}` has damaged labels; remove it by hand", spec.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_is_not_in_the_image_is_named() {
        let message = "OCI runtime create failed: container_linux.go:380: starting container process caused: exec: \
                       \"gunicorn\": executable file not found in $PATH: unknown";
        let error = Error::DockerResponseServerError { status_code: 400, message: message.into() };
        let Stumble::Failed(error) = stumble(error) else { panic!() };
        assert_eq!(
            error.to_string(),
            "the start command cannot be run: \"gunicorn\": executable file not found in $PATH"
        );
        let message = "runc: runc create failed: unable to start container process: exec: \"gunicorn\": executable file not \
                       found in $PATH: OCI runtime attempted to invoke a command that was not found";
        let error = Error::DockerResponseServerError { status_code: 500, message: message.into() };
        let Stumble::Failed(error) = stumble(error) else { panic!() };
        assert_eq!(
            error.to_string(),
            "the start command cannot be run: \"gunicorn\": executable file not found in $PATH"
        );
    }
}
