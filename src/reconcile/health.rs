//! Active health checks (row I4): the verdict (pure) and the probe.

use crate::engine::Engine;
use crate::model::{HealthCheck, HealthProtocol};
use crate::observed::Health;
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;

/// How an instance fared so far: successes or failures in a row, and the verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    passed: u32,
    failed: u32,
    /// What follows from the thresholds.
    pub verdict: Health,
}

impl Default for Record {
    fn default() -> Self {
        Self { passed: 0, failed: 0, verdict: Health::Unknown }
    }
}

impl Record {
    /// The record of an instance that passed its checks before it was put to serve.
    pub fn healthy() -> Self {
        Self { passed: 1, failed: 0, verdict: Health::Healthy }
    }

    /// The record after one more check.
    #[must_use]
    pub fn with(&self, result: Result<(), String>, check: &HealthCheck) -> Self {
        match result {
            Ok(()) => {
                let passed = self.passed.saturating_add(1);
                let healthy = passed >= check.healthy_threshold;
                Self { passed, failed: 0, verdict: if healthy { Health::Healthy } else { self.verdict.clone() } }
            }
            Err(message) => {
                let failed = self.failed.saturating_add(1);
                let unhealthy = failed >= check.unhealthy_threshold;
                let verdict = if unhealthy { Health::Unhealthy { message } } else { self.verdict.clone() };
                Self { passed: 0, failed, verdict }
            }
        }
    }
}

/// How a check reaches an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A connection says that the application listens.
    Direct,
    /// Through something that accepts before the application listens: only an answer says anything, whatever it is.
    Proxied,
}

impl Way {
    /// The way to the instances of an engine.
    pub fn to(engine: &dyn Engine) -> Self {
        if engine.is_proxied() { Self::Proxied } else { Self::Direct }
    }
}

/// Whether a check that passed proves no more than that a port is bound: the kernel takes connections from then on, the application
/// may not do so for long.
pub fn is_of_the_port_only(check: &HealthCheck, way: Way) -> bool {
    (check.protocol, way) == (HealthProtocol::Tcp, Way::Direct)
}

/// Asks an instance once. The error is for people: `connection refused`, `answered 503`, `no answer within 2 s`.
pub async fn probe(address: SocketAddr, check: &HealthCheck, way: Way, timeout: Duration) -> Result<(), String> {
    match tokio::time::timeout(timeout, ask(address, check, way)).await {
        Ok(result) => result,
        Err(_) => Err(format!("no answer within {} s", timeout.as_secs_f32())),
    }
}

async fn ask(address: SocketAddr, check: &HealthCheck, way: Way) -> Result<(), String> {
    let stream = TcpStream::connect(address).await.map_err(|e| connect_failure(&e))?;
    match (check.protocol, way) {
        (HealthProtocol::Tcp, Way::Direct) => Ok(()),
        (HealthProtocol::Tcp, Way::Proxied) => get(stream, address, "/").await.map(|_| ()),
        (HealthProtocol::Http, _) => verdict_of(&get(stream, address, &check.path).await?),
    }
}

fn connect_failure(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connection refused: nothing listens there".into(),
        _ => error.to_string(),
    }
}

async fn get(stream: TcpStream, address: SocketAddr, path: &str) -> Result<http::StatusCode, String> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
    let request = http::Request::get(path)
        .header(http::header::HOST, address.to_string())
        .header(http::header::USER_AGENT, "towpath-health-check")
        .header(http::header::CONNECTION, "close")
        .body(Empty::<bytes::Bytes>::new())
        .map_err(|e| e.to_string())?;
    let mut answer = std::pin::pin!(sender.send_request(request));
    // The connection does its work only while it is polled, beside the answer that it brings.
    let ended = tokio::select! {
        answer = &mut answer => return Ok(answer.map_err(|e| e.to_string())?.status()),
        ended = connection => ended,
    };
    // It may have brought the answer and come to its end in one go.
    let closed = || ended.err().map_or("the connection was closed without an answer".into(), |e| e.to_string());
    answer.await.map(|answer| answer.status()).map_err(|_| closed())
}

fn verdict_of(status: &http::StatusCode) -> Result<(), String> {
    if status.is_success() || status.is_redirection() { Ok(()) } else { Err(format!("answered {}", status.as_u16())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    #[test]
    fn thresholds_count_results_in_a_row() {
        let check = HealthCheck { healthy_threshold: 2, unhealthy_threshold: 3, ..HealthCheck::default() };
        let fail = || Err("answered 500".to_owned());
        let mut record = Record::default().with(Ok(()), &check);
        assert_eq!(record.verdict, Health::Unknown);
        record = record.with(Ok(()), &check);
        assert_eq!(record.verdict, Health::Healthy);
        record = record.with(fail(), &check).with(fail(), &check);
        assert_eq!(record.verdict, Health::Healthy);
        record = record.with(Ok(()), &check).with(fail(), &check).with(fail(), &check);
        assert_eq!(record.verdict, Health::Healthy, "a success in between starts the count again");
        record = record.with(fail(), &check);
        assert_eq!(record.verdict, Health::Unhealthy { message: "answered 500".into() });
    }

    async fn answering(text: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(text.as_bytes()).await;
                if text.is_empty() {
                    tokio::time::sleep(Duration::from_secs(5)).await;
                }
            }
        });
        address
    }

    #[tokio::test]
    async fn an_http_check_wants_a_success_or_a_redirect() {
        let check = HealthCheck { protocol: HealthProtocol::Http, ..HealthCheck::default() };
        let second = Duration::from_secs(1);
        for (answer, good) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", true),
            ("HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n", true),
            ("HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n", false),
            ("garbage\r\n\r\n", false),
        ] {
            let address = answering(answer).await;
            assert_eq!(probe(address, &check, Way::Direct, second).await.is_ok(), good, "{answer}");
        }
        let silent = answering("").await;
        let error = probe(silent, &check, Way::Direct, Duration::from_millis(100)).await.unwrap_err();
        assert_eq!(error, "no answer within 0.1 s");
    }

    #[tokio::test]
    async fn a_tcp_check_wants_a_connection() {
        let address = answering("").await;
        let check = HealthCheck::default();
        assert_eq!(probe(address, &check, Way::Direct, Duration::from_secs(1)).await, Ok(()));
        let gone = { std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap() };
        assert!(probe(gone, &check, Way::Direct, Duration::from_secs(1)).await.unwrap_err().contains("refused"));
    }

    /// As Docker's proxy does where nothing listens behind it.
    async fn hanging_up() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { while listener.accept().await.is_ok() {} });
        address
    }

    #[tokio::test]
    async fn behind_a_proxy_a_tcp_check_wants_an_answer_whatever_it_is() {
        let (check, second) = (HealthCheck::default(), Duration::from_secs(1));
        let nothing_behind = hanging_up().await;
        assert_eq!(probe(nothing_behind, &check, Way::Direct, second).await, Ok(()));
        assert!(probe(nothing_behind, &check, Way::Proxied, second).await.is_err());
        let there = answering("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await;
        assert_eq!(probe(there, &check, Way::Proxied, second).await, Ok(()));
    }
}
