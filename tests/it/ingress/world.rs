//! An installation of nothing but an ingress and the handle to it, and a client that sends bytes.

use super::app::App;
use std::net::SocketAddr;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use towpath::link::{Backend, EntryState, Generation, IngressConfig, IngressHandle, Limits, ServiceEntry};
use towpath::model::ServiceId;

pub const SOON: Duration = Duration::from_secs(20);

pub struct World {
    pub config: IngressConfig,
    handle: Option<IngressHandle>,
    _directory: TempDir,
}

impl World {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut IngressConfig)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = IngressConfig {
            exe: env!("CARGO_BIN_EXE_towpath").into(),
            dir: directory.path().join("ingress"),
            http: vec!["127.0.0.1:0".parse().unwrap()],
            cores: 2,
            user: None,
            engine: "test".into(),
            trusted_proxies: vec![],
            limits: Limits::default(),
            log: directory.path().join("ingress.log"),
            keeper: towpath::link::Keeper::ControlPlane,
        };
        change(&mut config);
        let handle = Some(IngressHandle::start(config.clone()).await.unwrap());
        Self { config, handle, _directory: directory }
    }

    /// With these services, applied.
    pub async fn serving(entries: Vec<ServiceEntry>) -> Self {
        let world = Self::new().await;
        world.settle(entries).await;
        world
    }

    /// Publishes, and says that this is all.
    pub async fn settle(&self, entries: Vec<ServiceEntry>) {
        let newest = entries.into_iter().map(|entry| self.handle().publish(entry)).max();
        let ready = self.handle().ready();
        self.handle().acknowledged(newest.unwrap_or(ready).max(ready), SOON).await.unwrap();
    }

    pub async fn put(&self, entry: ServiceEntry) -> Generation {
        let generation = self.handle().publish(entry);
        self.handle().acknowledged(generation, SOON).await.unwrap();
        generation
    }

    pub fn handle(&self) -> &IngressHandle {
        self.handle.as_ref().unwrap()
    }

    pub fn address(&self) -> SocketAddr {
        self.handle().addresses()[0]
    }

    pub fn pid(&self) -> u32 {
        self.handle().status().pid.unwrap()
    }

    /// The control plane dies: its end of everything is gone, the ingress is left.
    pub fn lose_control_plane(&mut self) {
        self.handle = None;
    }

    pub async fn restart_control_plane(&mut self) {
        self.handle = Some(IngressHandle::start(self.config.clone()).await.unwrap());
    }

    pub fn kill_ingress(&self) -> u32 {
        let pid = self.pid();
        kill(pid);
        pid
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(pid) = self.handle.as_ref().and_then(|handle| handle.status().pid) {
            // The task first, lest it brings back what is killed.
            self.handle = None;
            kill(pid);
        }
    }
}

pub fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

pub fn entry(name: &str, backends: Vec<Backend>) -> ServiceEntry {
    let mut id = [0; 16];
    id[..name.len()].copy_from_slice(name.as_bytes());
    ServiceEntry {
        service: ServiceId::from_random(id),
        name: name.parse().unwrap(),
        hosts: vec![format!("{name}.localhost")],
        state: EntryState::Serving { backends },
    }
}

pub fn on(name: &str, apps: &[&App]) -> ServiceEntry {
    entry(name, apps.iter().map(|app| app.backend()).collect())
}

/// Sends bytes, returns all that comes until the other side closes.
pub async fn exchange(address: SocketAddr, bytes: impl AsRef<[u8]>) -> String {
    let talk = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let _ = stream.write_all(bytes.as_ref()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    };
    tokio::time::timeout(SOON, talk).await.expect("no end of the answer")
}

/// One request over a connection of its own.
pub async fn request(address: SocketAddr, method: &str, host: &str, path: &str) -> String {
    let bytes = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    exchange(address, bytes).await
}

pub async fn get(address: SocketAddr, host: &str, path: &str) -> String {
    exchange(address, format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")).await
}

pub fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|text| text.parse().ok()).unwrap_or(0)
}

pub fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

/// Waits until something holds.
pub async fn eventually(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..400 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("never: {what}");
}
