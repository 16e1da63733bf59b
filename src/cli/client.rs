//! Calls to a server, by the control socket of its data directory or from afar: one connection each, bounded in time and size.

use super::failure::Failure;
use super::remote::Remote;
use crate::api::Token;
use crate::api::errors::{CONTENT_TYPE, REQUEST_ID};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout};

const CONNECT_TIME: Duration = Duration::from_secs(2);
const CALL_TIME: Duration = Duration::from_secs(30);
/// The largest answer: status of thousands of services, or ten thousand long log lines.
const ANSWER_BYTES: usize = 64 << 20;
/// How long following goes on without a server: a restart takes seconds.
const PATIENCE: Duration = Duration::from_secs(60);
const PATIENCE_PAUSE: Duration = Duration::from_millis(500);

/// Why a call gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody listens.
    #[error("no towpath runs on data directory `{0}`")]
    NoServer(String),
    /// The socket or the token is not ours to use.
    #[error("this user may not use the towpath of data directory `{0}`")]
    NotAllowed(String),
    /// The server said no.
    #[error("{message}")]
    Refused {
        /// The code on the wire (`ResourceNotFoundException`).
        code: String,
        /// What it said.
        message: String,
    },
    /// It did not answer in time.
    #[error("towpath did not answer `{0}` in time")]
    Late(String),
    /// The connection or the answer was broken.
    #[error("failed to {act}")]
    Broken {
        /// What was tried.
        act: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl CallError {
    /// Whether the same call may go through in a moment, because the server is being restarted.
    fn may_pass(&self) -> bool {
        match self {
            Self::NoServer(_) | Self::Broken { .. } => true,
            // The token is made anew at each start: one that was read before is refused once.
            Self::Refused { code, .. } => code == "UnrecognizedClientException",
            Self::NotAllowed(_) | Self::Late(_) => false,
        }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let failure = match std::error::Error::source(&error) {
            Some(source) => Self::caused(error.to_string(), source),
            None => Self::new(error.to_string()),
        };
        match error {
            CallError::NoServer(_) => failure.hint("start it with `towpath up`, or name another one with `--data-dir`"),
            CallError::NotAllowed(_) => failure.hint("run this as the user that runs `towpath up`, or as root"),
            CallError::Late(_) => failure.hint("what was asked for may have begun: look with `towpath status`"),
            _ => failure,
        }
    }
}

/// The server, as the CLI reaches it.
#[derive(Clone, Debug)]
pub struct Client(Way);

/// How the server is reached.
#[derive(Clone, Debug)]
enum Way {
    /// By the control socket of a data directory.
    Socket(PathBuf),
    /// From afar.
    Network(Box<Remote>),
}

#[derive(Deserialize)]
struct WireError {
    #[serde(rename = "__type")]
    code: String,
    #[serde(rename = "Message")]
    message: String,
}

impl Client {
    /// The client of a data directory. Nothing is opened yet.
    pub fn new(data_dir: &Path) -> Self {
        Self(Way::Socket(data_dir.to_owned()))
    }

    /// The client of a server from afar. Nothing is opened yet.
    pub fn remote(remote: Remote) -> Self {
        Self(Way::Network(Box::new(remote)))
    }

    /// Whether the server is one from afar.
    pub fn is_remote(&self) -> bool {
        matches!(self.0, Way::Network(_))
    }

    /// Whether somebody listens.
    pub async fn is_up(&self) -> bool {
        match &self.0 {
            Way::Socket(data_dir) => connect(data_dir).await.is_ok(),
            Way::Network(remote) => remote.connect().await.is_ok(),
        }
    }

    /// Calls an operation: `Towpath.GetStatus`.
    ///
    /// # Errors
    /// Everything of [`CallError`].
    pub async fn call<T: DeserializeOwned>(&self, target: &str, input: &Value) -> Result<T, CallError> {
        match timeout(CALL_TIME, self.exchange(target, input)).await {
            Ok(answer) => answer,
            Err(_) => Err(CallError::Late(target.to_owned())),
        }
    }

    /// As [`Client::call`], through a restart of the server.
    ///
    /// # Errors
    /// As [`Client::call`], a missing server only after a minute.
    pub async fn call_patiently<T: DeserializeOwned>(&self, target: &str, input: &Value) -> Result<T, CallError> {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.call(target, input).await {
                Err(error) if error.may_pass() && Instant::now() < end => sleep(PATIENCE_PAUSE).await,
                answer => return answer,
            }
        }
    }

    async fn exchange<T: DeserializeOwned>(&self, target: &str, input: &Value) -> Result<T, CallError> {
        match &self.0 {
            Way::Socket(data_dir) => {
                let stream = connect(data_dir).await?;
                send(stream, local_request(data_dir, target, input)?).await
            }
            Way::Network(remote) => send(remote.connect().await?, remote.request(target, input)?).await,
        }
    }
}

fn local_request(data_dir: &Path, target: &str, input: &Value) -> Result<Request<Full<Bytes>>, CallError> {
    let token = Token::read(&data_dir.join("run/token")).map_err(|e| unreachable(data_dir, e))?;
    Request::post("/")
        .header(header::HOST, "towpath")
        .header(header::AUTHORIZATION, token.header())
        .header(header::CONTENT_TYPE, CONTENT_TYPE)
        .header(header::USER_AGENT, concat!("towpath/", env!("CARGO_PKG_VERSION")))
        .header("x-amz-target", target)
        .body(Full::new(Bytes::from(input.to_string())))
        .map_err(broken("make a request"))
}

async fn send<T, S>(stream: S, request: Request<Full<Bytes>>) -> Result<T, CallError>
where
    T: DeserializeOwned,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken("talk to towpath"))?;
    // It ends with the sender; the runtime is this command's own.
    tokio::spawn(connection);
    read(sender.send_request(request).await.map_err(broken("talk to towpath"))?).await
}

async fn connect(data_dir: &Path) -> Result<UnixStream, CallError> {
    match timeout(CONNECT_TIME, UnixStream::connect(data_dir.join("run/control.sock"))).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(unreachable(data_dir, error)),
        Err(_) => Err(CallError::Late("connect".into())),
    }
}

fn unreachable(data_dir: &Path, error: io::Error) -> CallError {
    let directory = data_dir.display().to_string();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => CallError::NoServer(directory),
        io::ErrorKind::PermissionDenied => CallError::NotAllowed(directory),
        _ => broken(&format!("reach the towpath of data directory `{directory}`"))(error),
    }
}

/// What broke, with its cause.
pub fn broken<E: std::error::Error + Send + Sync + 'static>(act: &str) -> impl FnOnce(E) -> CallError {
    let act = act.to_owned();
    move |source| CallError::Broken { act, source: Box::new(source) }
}

async fn read<T: DeserializeOwned>(response: Response<hyper::body::Incoming>) -> Result<T, CallError> {
    let (head, body) = response.into_parts();
    let bytes = match Limited::new(body, ANSWER_BYTES).collect().await {
        Ok(body) => body.to_bytes(),
        Err(source) => return Err(CallError::Broken { act: "read the answer".into(), source }),
    };
    if head.status == StatusCode::OK {
        return serde_json::from_slice(&bytes).map_err(broken("understand the answer"));
    }
    match serde_json::from_slice::<WireError>(&bytes) {
        Ok(WireError { code, message }) => Err(CallError::Refused { code, message }),
        Err(error) => {
            let id = head.headers.get(REQUEST_ID).and_then(|v| v.to_str().ok()).unwrap_or("none");
            Err(broken(&format!("understand the answer {} (request {id})", head.status.as_u16()))(error))
        }
    }
}
