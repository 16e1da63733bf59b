//! `POST /build`, by hand: bollard's own cannot read BuildKit's progress without its `buildkit` feature, which needs
//! a gRPC session and some fifty crates more. The Engine API takes a context in the body for BuildKit as well, and then
//! needs no session as long as the base image is there.

use super::context::{self, Context};
use crate::build::BuildError;
use crate::model::DockerHost;
use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;

/// One message of a build's answer is never longer.
const LONGEST_MESSAGE: usize = 4 << 20;

/// The body of an error answer that is read at the most.
const LONGEST_ERROR: usize = 64 << 10;

/// A build that Docker works on. Dropping it closes the connection, and Docker ends the build.
pub(super) struct Building {
    body: Incoming,
    buffer: Vec<u8>,
    _connection: JoinSet<()>,
}

/// What a build is asked for.
pub(super) struct Request {
    /// The agreed version of the API: `1.41`.
    pub version: String,
    /// Query parameters, not encoded yet.
    pub query: Vec<(&'static str, String)>,
    pub context: Context,
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

impl Building {
    /// Sends the request, and the context as far as Docker reads it.
    pub async fn begin(host: &DockerHost, request: Request) -> Result<Self, BuildError> {
        let stream: Box<dyn Io> = match host {
            DockerHost::Unix(path) => Box::new(UnixStream::connect(path).await.map_err(|e| lost(host, &e))?),
            DockerHost::Tcp(authority) => Box::new(TcpStream::connect(authority).await.map_err(|e| lost(host, &e))?),
        };
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| lost(host, &e))?;
        let mut task = JoinSet::new();
        task.spawn(async move {
            // Its error reaches the reader of the body as well.
            let _ = connection.await;
        });
        let blocks = context::stream(request.context);
        let body = futures_util::stream::unfold(blocks, |mut blocks| async { Some((blocks.recv().await?, blocks)) });
        let uri = format!("/v{}/build?{}", request.version, encode(&request.query));
        let request = http::Request::post(uri)
            .header(http::header::HOST, "docker")
            .header(http::header::CONTENT_TYPE, "application/x-tar")
            .body(StreamBody::new(body.map(|block| block.map(Frame::data))))
            .map_err(|e| lost(host, &e))?;
        let response = sender.send_request(request).await.map_err(|e| lost(host, &e))?;
        let status = response.status();
        let mut building = Self { body: response.into_body(), buffer: Vec::new(), _connection: task };
        if status.is_success() { Ok(building) } else { Err(building.refusal(status).await) }
    }

    /// The next message, a JSON text; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, BuildError> {
        loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let rest = self.buffer.split_off(end + 1);
                return Ok(Some(std::mem::replace(&mut self.buffer, rest)));
            }
            if self.buffer.len() > LONGEST_MESSAGE {
                return Err(BuildError::Unreachable("it sent a message without an end".into()));
            }
            match self.data().await? {
                Some(bytes) => self.buffer.extend_from_slice(&bytes),
                None if self.buffer.trim_ascii().is_empty() => return Ok(None),
                None => return Ok(Some(std::mem::take(&mut self.buffer))),
            }
        }
    }

    async fn data(&mut self) -> Result<Option<Bytes>, BuildError> {
        match self.body.frame().await {
            Some(Ok(frame)) => Ok(Some(frame.into_data().unwrap_or_default())),
            Some(Err(error)) => Err(BuildError::Unreachable(format!("the connection broke: {error}"))),
            None => Ok(None),
        }
    }

    async fn refusal(&mut self, status: http::StatusCode) -> BuildError {
        let mut text = Vec::new();
        while let Ok(Some(bytes)) = self.data().await {
            text.extend_from_slice(&bytes);
            if text.len() > LONGEST_ERROR {
                break;
            }
        }
        let json: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        let message = json["message"].as_str().unwrap_or("it did not say why").to_owned();
        if status.is_server_error() {
            return BuildError::Io { act: "build an image".into(), source: std::io::Error::other(message) };
        }
        BuildError::Runtime(format!("Docker refused the build: {message}"))
    }
}

fn lost(host: &DockerHost, error: &dyn std::error::Error) -> BuildError {
    BuildError::Unreachable(format!("{host}: {error}"))
}

/// Percent-encodes all but what RFC 3986 §2.3 calls unreserved.
fn encode(query: &[(&str, String)]) -> String {
    let escape = |text: &str| -> String {
        text.bytes()
            .map(|b| match b {
                b if b.is_ascii_alphanumeric() || b"-._~".contains(&b) => char::from(b).to_string(),
                b => format!("%{b:02X}"),
            })
            .collect()
    };
    let pairs: Vec<String> = query.iter().map(|(key, value)| format!("{key}={}", escape(value))).collect();
    pairs.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_holds_any_value_as_it_is() {
        assert_eq!(
            encode(&[("t", "a/b:1".into()), ("labels", "{\"k\":\"ä&\"}".into())]),
            "t=a%2Fb%3A1&labels=%7B%22k%22%3A%22%C3%A4%26%22%7D"
        );
    }
}
