//! The network listener: a real server on a real TCP port, a real store, and the control plane in memory that the control
//! socket's tests have.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests, which clippy sees in functions marked so only")]

mod afar;
mod again;
mod differential;
mod endpoints;
mod hostile;
mod identity;
mod log_groups;
mod policy_speed;
mod rights;
mod sessions;
mod signed;
mod trail;

use crate::cli::{door, memory::Memory};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use towpath::access::audit::Audit;
use towpath::access::signature::{self, Credentials};
use towpath::access::{Access, Attached};
use towpath::api::serve_api;
use towpath::model::{Secret, Timestamp};

const REGION: &str = "local-1";
const ACCOUNT: &str = "000000000000";

/// A network listener on a data directory of its own.
struct Server {
    data: tempfile::TempDir,
    address: SocketAddr,
    door: Arc<towpath::api::Door>,
    access: Arc<Access>,
    audit: Arc<Audit>,
    admin: Credentials,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    async fn start() -> Self {
        Self::start_on(tempfile::tempdir().unwrap()).await
    }

    async fn start_on(data: tempfile::TempDir) -> Self {
        let memory = Arc::new(Memory::new());
        let door = door(data.path(), memory.clone()).await;
        let (access, audit) = (door.access.clone(), door.audit.clone());
        let file = data.path().join("admin.credentials");
        access.ensure_administrator(&file, Timestamp::now()).await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let task = tokio::spawn(serve_api(listener, door.clone(), None, None, stop.clone()));
        let admin = credentials(&file);
        Self { data, address, door, access, audit, admin, stop, task }
    }

    fn credentials_file(&self) -> PathBuf {
        self.data.path().join("admin.credentials")
    }

    async fn stop(self) -> tempfile::TempDir {
        self.stop.cancel();
        tokio::time::timeout(std::time::Duration::from_secs(10), self.task).await.unwrap().unwrap();
        self.data
    }

    /// A user with these policies, and a key of it.
    async fn user(&self, name: &str, policies: &[&str]) -> Credentials {
        let now = Timestamp::now();
        self.access.create_user(name, now).await.unwrap();
        for policy in policies {
            self.access.attach(Attached::User, name, policy).await.unwrap();
        }
        let (key, secret) = self.access.create_key(name, now).await.unwrap();
        Credentials { key_id: key.id, secret, token: None }
    }

    /// A call of STS, and the text of its answer.
    async fn sts(&self, credentials: &Credentials, form: &str) -> Answer {
        let mut draft = Draft::new(self.address, form);
        draft.headers.insert("content-type", "application/x-www-form-urlencoded".parse().unwrap());
        self.send(draft.sign(credentials, "sts", Timestamp::now())).await
    }

    /// A call signed as AWS' clients sign it.
    async fn call(&self, credentials: &Credentials, target: &str, input: Value) -> Answer {
        self.send(self.signed(credentials, target, &input.to_string())).await
    }

    fn signed(&self, credentials: &Credentials, target: &str, body: &str) -> Request<Full<Bytes>> {
        let mut draft = Draft::new(self.address, body);
        draft.headers.insert("content-type", "application/x-amz-json-1.0".parse().unwrap());
        draft.headers.insert("x-amz-target", target.parse().unwrap());
        let service = match target.split('.').next() {
            Some("com") => "cloudtrail",
            Some("Logs_20140328") => "logs",
            _ => "apprunner",
        };
        draft.sign(credentials, service, Timestamp::now())
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let stream = tokio::net::TcpStream::connect(self.address).await.unwrap();
        let io = hyper_util::rt::TokioIo::new(stream);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        let (head, body) = sender.send_request(request).await.unwrap().into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Answer { status: head.status.as_u16(), headers: head.headers, text }
    }
}

/// A request that is being made.
struct Draft {
    method: &'static str,
    headers: HeaderMap,
    body: String,
    region: &'static str,
}

impl Draft {
    fn new(address: SocketAddr, body: &str) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert("host", address.to_string().parse().unwrap());
        Self { method: "POST", headers, body: body.to_owned(), region: REGION }
    }

    fn sign(mut self, credentials: &Credentials, service: &str, now: Timestamp) -> Request<Full<Bytes>> {
        self.headers.insert("x-amz-date", signature::stamp(now).parse().unwrap());
        if let Some(token) = &credentials.token {
            self.headers.insert("x-amz-security-token", token.parse().unwrap());
        }
        let (headers, body) = (&self.headers, self.body.as_bytes());
        let request = signature::Request { method: self.method, path: "/", query: "", headers, body };
        let header = signature::sign(&request, credentials, self.region, service, now);
        self.headers.insert("authorization", header.parse().unwrap());
        self.unsigned()
    }

    fn unsigned(self) -> Request<Full<Bytes>> {
        let mut request = Request::builder().method(self.method).uri("/").body(Full::from(self.body)).unwrap();
        *request.headers_mut() = self.headers;
        request
    }
}

/// One answer.
struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    /// Asserts that it is an error in AWS JSON's shape, and gives its message.
    fn assert_error(&self, status: u16, code: &str) -> String {
        self.assert_error_of("application/x-amz-json-1.0", status, code)
    }

    fn assert_error_of(&self, kind: &str, status: u16, code: &str) -> String {
        let body = self.json();
        assert_eq!((self.status, body["__type"].as_str()), (status, Some(code)), "{body}");
        assert_eq!(self.headers["x-amzn-errortype"], code);
        assert_eq!(self.headers["content-type"], kind);
        assert_eq!(self.headers["x-amzn-requestid"].len(), 36);
        body["Message"].as_str().unwrap().to_owned()
    }
}

/// Reads an AWS credentials file as its clients do.
fn credentials(file: &std::path::Path) -> Credentials {
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.starts_with("[default]\n"), "{text}");
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.split_once('=').filter(|(n, _)| n.trim() == name));
        line.unwrap().1.trim().to_owned()
    };
    let secret = Secret::new(value("aws_secret_access_key"));
    Credentials { key_id: value("aws_access_key_id"), secret, token: None }
}
