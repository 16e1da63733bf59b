//! Kept HTTP connections, plain and over TLS, to the servers of repositories.
//!
//! TLS is OpenSSL's, which libgit2 brings anyway, so both trust the same certificate authorities and one library is kept up
//! to date. An idle connection is watched by its own task, which ends with it.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use openssl::ssl::{SslConnector, SslMethod};
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

const CONNECT: Duration = Duration::from_secs(10);

/// How long a connection is kept unused. Servers keep them for a minute or so.
const KEPT: Duration = Duration::from_secs(90);

/// How many unused connections are kept to one server.
const MOST_KEPT: usize = 8;

/// A server: scheme, host, port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::source) struct Origin {
    plain: bool,
    host: String,
    port: u16,
}

impl Origin {
    /// The server and the path of a URL.
    pub(in crate::source) fn split(url: &str) -> Result<(Self, String), String> {
        let odd = || format!("`{}` is not a URL of a repository", url.escape_debug());
        let uri: http::Uri = url.parse().map_err(|_| odd())?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(odd()) };
        let plain = match scheme {
            "https" => false,
            "http" => true,
            _ => return Err(odd()),
        };
        if authority.as_str().contains('@') || uri.query().is_some() {
            return Err(odd());
        }
        let port = authority.port_u16().unwrap_or(if plain { 80 } else { 443 });
        let path = uri.path().trim_end_matches('/').to_owned();
        Ok((Self::new(plain, authority.host(), port), path))
    }

    /// A server by its parts.
    pub(in crate::source) fn new(plain: bool, host: &str, port: u16) -> Self {
        Self { plain, host: host.to_ascii_lowercase(), port }
    }

    pub(in crate::source) fn is_plain(&self) -> bool {
        self.plain
    }

    pub(in crate::source) fn authority(&self) -> String {
        match (self.plain, self.port) {
            (true, 80) | (false, 443) => self.host.clone(),
            (_, port) => format!("{}:{port}", self.host),
        }
    }

    pub(in crate::source) fn url(&self) -> String {
        format!("{}://{}", if self.plain { "http" } else { "https" }, self.authority())
    }

    /// The host without the brackets of an IPv6 address.
    fn bare_host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }
}

/// One open connection.
#[derive(Debug)]
pub(in crate::source) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    since: Instant,
}

impl Connection {
    /// Sends a request and waits for the head of its answer.
    pub(in crate::source) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, String> {
        self.sender.ready().await.map_err(|error| format!("the connection was closed: {error}"))?;
        self.sender.send_request(request).await.map_err(|error| format!("the request failed: {error}"))
    }

    /// The same, giving the request back where nothing of it was sent.
    pub(in crate::source) async fn try_send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, (String, Option<Box<Request<Full<Bytes>>>>)> {
        if let Err(error) = self.sender.ready().await {
            return Err((format!("the connection was closed: {error}"), Some(Box::new(request))));
        }
        self.sender.try_send_request(request).await.map_err(|mut error| {
            let unsent = error.take_message().map(Box::new);
            (format!("the request failed: {}", error.error()), unsent)
        })
    }
}

/// The connections that are kept.
pub(in crate::source) struct Connections {
    tls: SslConnector,
    kept: Mutex<HashMap<Origin, Vec<Connection>>>,
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connections").finish_non_exhaustive()
    }
}

impl Connections {
    /// With the system's certificate authorities, as `SSL_CERT_FILE` and `SSL_CERT_DIR` name them.
    pub(in crate::source) fn new() -> Result<Self, String> {
        let builder = SslConnector::builder(SslMethod::tls_client()).map_err(|error| error.to_string())?;
        Ok(Self { tls: builder.build(), kept: Mutex::default() })
    }

    /// The same with those of a PEM file besides.
    pub(in crate::source) fn trusting(file: &std::path::Path) -> Result<Self, String> {
        let mut builder = SslConnector::builder(SslMethod::tls_client()).map_err(|error| error.to_string())?;
        builder.set_ca_file(file).map_err(|error| error.to_string())?;
        Ok(Self { tls: builder.build(), kept: Mutex::default() })
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<Origin, Vec<Connection>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A kept connection that is still open, the one used last first: servers close the oldest.
    pub(in crate::source) fn take(&self, origin: &Origin) -> Option<Connection> {
        let mut kept = self.kept();
        let connections = kept.get_mut(origin)?;
        connections.retain(|connection| !connection.sender.is_closed() && connection.since.elapsed() < KEPT);
        let taken = connections.pop();
        if connections.is_empty() {
            kept.remove(origin);
        }
        taken
    }

    /// Keeps a connection whose answer was read for the next request.
    pub(in crate::source) fn give_back(&self, origin: Origin, connection: Connection) {
        let mut kept = self.kept();
        let connections = kept.entry(origin).or_default();
        if connections.len() < MOST_KEPT {
            connections.push(Connection { since: Instant::now(), ..connection });
        }
    }

    /// Opens a connection.
    pub(in crate::source) async fn open(&self, origin: &Origin) -> Result<Connection, String> {
        let opening = self.open_stream(origin);
        let stream = tokio::time::timeout(CONNECT, opening).await;
        let stream = stream.unwrap_or_else(|_| Err(format!("no connection within {} s", CONNECT.as_secs())))?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| format!("the connection failed: {error}"))?;
        tokio::spawn(async move {
            // Ends when the server closes it or nobody holds its other half; whoever uses it next sees that.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a kept connection ended");
            }
        });
        Ok(Connection { sender, since: Instant::now() })
    }

    async fn open_stream(&self, origin: &Origin) -> Result<Box<dyn Stream>, String> {
        let host = origin.bare_host();
        let tcp = TcpStream::connect((host, origin.port)).await;
        let tcp = tcp.map_err(|error| format!("failed to connect to {}: {error}", origin.authority()))?;
        if let Err(error) = tcp.set_nodelay(true) {
            tracing::debug!(%error, "small requests may wait for each other");
        }
        if origin.plain {
            return Ok(Box::new(tcp));
        }
        let failed = |error: String| format!("no trusted connection to {}: {error}", origin.authority());
        let ssl = self.tls.configure().and_then(|configuration| configuration.into_ssl(host));
        let mut stream = ssl.and_then(|ssl| SslStream::new(ssl, tcp)).map_err(|error| failed(error.to_string()))?;
        Pin::new(&mut stream).connect().await.map_err(|error| failed(error.to_string()))?;
        Ok(Box::new(stream))
    }
}

/// Plain and TLS connections alike.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_server_and_a_path() {
        let (origin, path) = Origin::split("https://git.example/acme/hello").unwrap();
        assert_eq!((origin.url().as_str(), path.as_str()), ("https://git.example", "/acme/hello"));
        let (origin, _) = Origin::split("http://[::1]:3000/x/").unwrap();
        assert_eq!((origin.authority().as_str(), origin.bare_host()), ("[::1]:3000", "::1"));
        for bad in ["ftp://x/y", "/x", "https://me:pw@x/y", "https://x/y?z", "https://", ""] {
            assert!(Origin::split(bad).is_err(), "{bad}");
        }
    }
}
