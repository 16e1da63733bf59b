//! The connection to a Docker engine: version, deadlines, and what its errors mean.

use crate::engine::EngineError;
use crate::model::DockerHost;
use bollard::errors::Error;
use bollard::{API_DEFAULT_VERSION, Docker};
use std::future::Future;
use std::time::Duration;

/// How long one call may take, unless the caller waits for something that takes longer by itself.
pub(super) const CALL: Duration = Duration::from_secs(30);

/// How long bollard itself waits for the head of an answer: above every deadline of ours.
const TRANSPORT_SECONDS: u64 = 600;

/// The oldest API that has all that is used here: Docker Engine 20.10.
const OLDEST_API: (usize, usize) = (1, 41);

/// Connects, and agrees on a version of the API.
pub(super) async fn connect(host: &DockerHost) -> Result<Docker, EngineError> {
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
    let version = docker.client_version();
    if (version.major_version, version.minor_version) < OLDEST_API {
        return Err(EngineError::Refused(format!(
            "the Docker engine at {host} speaks API {version}; towpath needs 1.41 (Docker Engine 20.10) or later"
        )));
    }
    Ok(docker)
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

/// The HTTP status of an answer that is an error.
pub(super) fn status(error: &Error) -> Option<u16> {
    match error {
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

    #[test]
    fn an_answer_decides_who_acts_next() {
        let answer = |status_code| Error::DockerResponseServerError { status_code, message: "no\n".into() };
        assert_eq!(describe("x", answer(409)).class(), Class::Stalled);
        assert_eq!(describe("x", answer(500)).class(), Class::Retry);
        assert_eq!(describe("x", Error::RequestTimeoutError).class(), Class::Wait);
        assert_eq!(describe("create it", answer(400)).to_string(), "Docker refused to create it: no");
    }

    #[tokio::test]
    async fn no_engine_is_a_reason_to_wait_and_names_the_address() {
        let error = connect(&DockerHost::Unix("/nonexistent/docker.sock".into())).await.unwrap_err();
        assert_eq!(error.class(), Class::Wait);
        assert!(error.to_string().contains("/nonexistent/docker.sock"), "{error}");
    }
}
