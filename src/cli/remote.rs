//! A server from afar: its API on the network, signed with an AWS access key, over TLS or plain.

use super::client::{CallError, broken};
use super::failure::Failure;
use crate::access::signature::{self, Credentials};
use crate::api::errors::CONTENT_TYPE;
use crate::model::Timestamp;
use crate::settings::{AwsProfile, aws_profile};
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Request, Uri};
use openssl::ssl::{SslConnector, SslMethod};
use serde_json::Value;
use std::pin::Pin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

const CONNECT_TIME: Duration = Duration::from_secs(10);

/// A connection of either kind.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A server, and what calls to it are signed with.
#[derive(Clone, Debug)]
pub struct Remote {
    host: String,
    port: u16,
    secure: bool,
    credentials: Credentials,
    region: String,
}

impl Remote {
    /// The server of a URL, with an AWS profile's key.
    ///
    /// # Errors
    /// For what is no such URL, and when there is no key.
    pub fn new(url: &str, profile: Option<&str>) -> Result<Self, Failure> {
        let wrong = || {
            Failure::new(format!("`{}` is no server", url.escape_debug()))
                .hint("write it like `https://towpath.example.com:8090`")
        };
        let parsed: Uri = url.parse().map_err(|_| wrong())?;
        let secure = match parsed.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong()),
        };
        let host = parsed.host().filter(|_| matches!(parsed.path(), "" | "/")).ok_or_else(wrong)?.to_owned();
        let port = parsed.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let AwsProfile { key_id, secret, token, region } = aws_profile(profile).map_err(|invalid| {
            let failure = Failure::new(invalid.message);
            match invalid.hint {
                Some(hint) => failure.hint(hint),
                None => failure,
            }
        })?;
        Ok(Self { host, port, secure, credentials: Credentials { key_id, secret, token }, region })
    }

    /// The server in words.
    pub fn shown(&self) -> String {
        format!("{}://{}", if self.secure { "https" } else { "http" }, self.authority())
    }

    fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// A connection to it.
    ///
    /// # Errors
    /// When nobody answers there, in time, or its certificate is not to be trusted.
    pub async fn connect(&self) -> Result<Pin<Box<dyn Stream>>, CallError> {
        let failed = || format!("reach `{}`", self.shown());
        // An address of version 6 stands in brackets in a URL.
        let host = self.host.trim_matches(['[', ']']);
        let stream = match timeout(CONNECT_TIME, TcpStream::connect((host, self.port))).await {
            Ok(stream) => stream.map_err(broken(&failed()))?,
            Err(_) => return Err(CallError::Late("connect".into())),
        };
        if !self.secure {
            return Ok(Box::pin(stream));
        }
        let connector = SslConnector::builder(SslMethod::tls_client()).map_err(broken(&failed()))?.build();
        let tls = connector.configure().and_then(|c| c.into_ssl(host)).map_err(broken(&failed()))?;
        let mut stream = tokio_openssl::SslStream::new(tls, stream).map_err(broken(&failed()))?;
        match timeout(CONNECT_TIME, Pin::new(&mut stream).connect()).await {
            Ok(connected) => connected.map_err(broken(&failed()))?,
            Err(_) => return Err(CallError::Late("connect".into())),
        }
        Ok(Box::pin(stream))
    }

    /// A signed call.
    ///
    /// # Errors
    /// For a value that no header can carry.
    pub fn request(&self, target: &str, input: &Value) -> Result<Request<Full<Bytes>>, CallError> {
        let now = Timestamp::now();
        let value = |text: &str| HeaderValue::from_str(text).map_err(broken("make a request"));
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, value(&self.authority())?);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        headers.insert("x-amz-date", value(&signature::stamp(now))?);
        headers.insert("x-amz-target", value(target)?);
        if let Some(token) = &self.credentials.token {
            headers.insert("x-amz-security-token", value(token)?);
        }
        let body = input.to_string();
        let signed =
            signature::Request { method: "POST", path: "/", query: "", headers: &headers, body: body.as_bytes() };
        let authorization = signature::sign(&signed, &self.credentials, &self.region, "apprunner", now);
        headers.insert(header::AUTHORIZATION, value(&authorization)?);
        headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("towpath/", env!("CARGO_PKG_VERSION"))));
        let mut request = Request::post("/").body(Full::new(Bytes::from(body))).map_err(broken("make a request"))?;
        *request.headers_mut() = headers;
        Ok(request)
    }
}
