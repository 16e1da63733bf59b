//! The connection to a Docker engine: version, deadlines, and what its errors mean.

use super::podman::{self, Podman};
use crate::engine::EngineError;
use crate::model::{DockerHost, Flavour};
use bollard::errors::Error;
use bollard::models::ContainerInspectResponse;
use bollard::{API_DEFAULT_VERSION, Docker};
use std::future::Future;
use std::time::Duration;

/// How long one call may take, unless the caller waits for something that takes longer by itself.
pub(super) const CALL: Duration = Duration::from_secs(30);

/// How long bollard itself waits for the head of an answer: above every deadline of ours.
const TRANSPORT_SECONDS: u64 = 600;

/// The oldest API that has all that is used here: Docker Engine 20.10.
const OLDEST_API: (usize, usize) = (1, 41);

/// Connects, and agrees on a version of the API; finds out whether it is Podman that answers.
pub(super) async fn connect(host: &DockerHost) -> Result<(Docker, Option<Podman>), EngineError> {
    let made = match host {
        DockerHost::Unix(path) => {
            Docker::connect_with_unix(&path.to_string_lossy(), TRANSPORT_SECONDS, API_DEFAULT_VERSION)
        }
        DockerHost::Tcp(authority) => {
            Docker::connect_with_http(&format!("tcp://{authority}"), TRANSPORT_SECONDS, API_DEFAULT_VERSION)
        }
    };
    let act = format!("connect to Docker at {host}");
    let docker = made.map_err(|error| describe(&act, error))?;
    let docker = call(&act, docker.negotiate_version()).await?;
    let flavour = flavour(&docker).await?;
    let version = docker.client_version();
    if (version.major_version, version.minor_version) < OLDEST_API {
        return Err(EngineError::Refused(format!(
            "the {flavour} engine at {host} speaks API {version}; towpath needs 1.41 (Docker Engine 20.10, Podman 4) or later"
        )));
    }
    let podman = match &flavour {
        Flavour::Docker => None,
        Flavour::Podman { version } => Some(Podman::accept(host, version).await?),
    };
    Ok((docker, podman))
}

async fn flavour(docker: &Docker) -> Result<Flavour, EngineError> {
    let version = call("ask Docker for its version", docker.version()).await?;
    let parts = version.components.unwrap_or_default();
    Ok(Flavour::of(parts.iter().map(|part| (part.name.as_str(), part.version.as_str()))))
}

/// One call within [`CALL`]. `act` completes the sentence *failed to …*.
pub(super) async fn call<T>(act: &str, future: impl Future<Output = Result<T, Error>>) -> Result<T, EngineError> {
    call_within(CALL, act, future).await
}

/// One call within a deadline of its own.
pub(super) async fn call_within<T>(
    limit: Duration,
    act: &str,
    future: impl Future<Output = Result<T, Error>>,
) -> Result<T, EngineError> {
    match tokio::time::timeout(limit, future).await {
        Ok(result) => result.map_err(|error| describe(act, error)),
        Err(_) => Err(unreachable(format!("failed to {act}: no answer within {} s", limit.as_secs()))),
    }
}

/// What `call` says of a missing object becomes `None`; other answers stay what they are.
pub(super) async fn call_optional<T>(
    act: &str,
    future: impl Future<Output = Result<T, Error>>,
) -> Result<Option<T>, EngineError> {
    match tokio::time::timeout(CALL, future).await {
        Ok(Err(error)) if status(&error) == Some(404) => Ok(None),
        Ok(result) => result.map(Some).map_err(|error| describe(act, error)),
        Err(_) => Err(unreachable(format!("failed to {act}: no answer within {} s", CALL.as_secs()))),
    }
}

/// What is known of a container, if it is there.
pub(super) async fn inspect(
    docker: &Docker,
    podman: Option<&Podman>,
    container: &str,
) -> Result<Option<ContainerInspectResponse>, EngineError> {
    match podman {
        Some(podman) => podman.inspect(container).await,
        None => call_optional("inspect a container", docker.inspect_container(container, None)).await,
    }
}

/// The HTTP status of an answer that is an error. Podman says with 500 of a container that goes at this moment that it is gone.
pub(super) fn status(error: &Error) -> Option<u16> {
    match error {
        Error::DockerResponseServerError { status_code: 500, message } if podman::is_gone(message) => Some(404),
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// An engine error from one of Docker's: 4xx needs a person, 5xx may pass, everything else is no answer at all.
pub(super) fn describe(act: &str, error: Error) -> EngineError {
    match error {
        Error::DockerResponseServerError { status_code: 400..=499, message } => {
            EngineError::Refused(format!("Docker refused to {act}: {}", message.trim()))
        }
        Error::DockerResponseServerError { message, .. } => {
            EngineError::Io { act: act.to_owned(), source: std::io::Error::other(message.trim().to_owned()) }
        }
        other => unreachable(format!("failed to {act}: {}", chain(&other))),
    }
}

pub(super) fn unreachable(message: String) -> EngineError {
    EngineError::Unreachable { engine: "docker", message }
}

/// An error with its causes on one line, each once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words = inner.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Class;
    use std::sync::{Arc, Mutex};
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt};

    #[test]
    fn an_answer_decides_who_acts_next() {
        let answer = |status_code| Error::DockerResponseServerError { status_code, message: "no\n".into() };
        assert_eq!(describe("x", answer(409)).class(), Class::Stalled);
        assert_eq!(describe("x", answer(500)).class(), Class::Retry);
        assert_eq!(describe("x", Error::RequestTimeoutError).class(), Class::Wait);
        assert_eq!(describe("create it", answer(400)).to_string(), "Docker refused to create it: no");
    }

    /// An engine that says this version of its API, and these parts, and remembers what it was asked.
    async fn engine(
        api: &'static str,
        parts: &'static str,
    ) -> (tempfile::TempDir, DockerHost, Arc<Mutex<Vec<String>>>) {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("engine.sock");
        let listener = tokio::net::UnixListener::bind(&socket).unwrap();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let noted = asked.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut reader = tokio::io::BufReader::new(stream);
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).await.is_ok_and(|count| count > 0) {}
                noted.lock().unwrap().push(head.lines().next().unwrap_or_default().to_owned());
                let body = format!("{{\"ApiVersion\":\"{api}\",\"Version\":\"1\",\"Components\":[{parts}]}}");
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                );
                let _ = reader.get_mut().write_all(answer.as_bytes()).await;
            }
        });
        (directory, DockerHost::Unix(socket), asked)
    }

    #[tokio::test]
    async fn the_version_of_an_older_engine_is_spoken_and_one_that_is_too_old_refused() {
        let (_directory, host, asked) = engine("1.41", "").await;
        let (docker, podman) = connect(&host).await.unwrap();
        assert_eq!((docker.client_version().to_string().as_str(), podman.is_none()), ("1.41", true));
        let _ = docker.info().await;
        // Asked without a version in its path: the engine answers by its own.
        assert!(asked.lock().unwrap().iter().any(|line| line.starts_with("GET /info ")), "{asked:?}");
        let (_directory, host, _) = engine("1.40", "").await;
        let error = connect(&host).await.unwrap_err();
        assert_eq!(error.class(), Class::Stalled);
        assert!(
            error.to_string().contains("speaks API 1.40; towpath needs 1.41 (Docker Engine 20.10, Podman 4)"),
            "{error}"
        );
        let (_directory, host, _) = engine("1.99", "").await;
        let (docker, _) = connect(&host).await.unwrap();
        assert!(docker.client_version().minor_version < 99, "not what the client does not know");
    }

    #[tokio::test]
    async fn podman_of_another_user_or_elsewhere_is_refused_by_name_with_a_way_on() {
        let refusal = async |parts: String| {
            let (_directory, host, _) = engine("1.41", parts.leak()).await;
            connect(&host).await.map(|_| ()).unwrap_err().to_string()
        };
        let part = r#"{"Name":"Podman Engine","Version":"4.3.1"}"#;
        let elsewhere = refusal(format!(r#"{part}],"host":{{"kernel":"1","hostname":"x"}},"x":[0"#)).await;
        assert!(elsewhere.contains("is Podman 4.3.1 and runs on another machine"), "{elsewhere}");
        assert!(elsewhere.contains("podman.socket") && elsewhere.contains("--engine process"), "{elsewhere}");
        let uname = rustix::system::uname();
        let (kernel, name) = (uname.release().to_string_lossy(), uname.nodename().to_string_lossy());
        let map = r#""idMappings":{"uidmap":[{"container_id":0,"host_id":4000000}]},"security":{"rootless":true}"#;
        let host = format!(r#""host":{{"kernel":"{kernel}","hostname":"{name}",{map}}}"#);
        let others = refusal(format!(r#"{part}],{host},"x":[0"#)).await;
        assert!(others.contains("is Podman 4.3.1 without root and of user 4000000"), "{others}");
        assert!(others.contains("Run towpath as that user"), "{others}");
    }

    #[tokio::test]
    async fn no_engine_is_a_reason_to_wait_and_names_the_address() {
        let error = connect(&DockerHost::Unix("/nonexistent/docker.sock".into())).await.unwrap_err();
        assert_eq!(error.class(), Class::Wait);
        assert!(error.to_string().contains("/nonexistent/docker.sock"), "{error}");
    }
}
