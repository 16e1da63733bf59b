//! The control socket and the commands: a real server on a real Unix socket, the real binary, and a control plane in
//! memory that keeps the contract (`ControlPlane`): it refuses what it must and its operations take their steps.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests, which clippy sees in functions marked so only")]

mod commands;
pub mod fixture;
mod hostile;
pub mod memory;
mod run;
mod usage;
mod wire;

use memory::Memory;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use towpath::access::audit::{Audit, AuditSettings};
use towpath::access::{Access, Place};
use towpath::api::dispatch::Context;
use towpath::api::{Door, Token, serve_control};
use towpath::model::Timestamp;
use towpath::store::Store;

/// The door of a data directory, with a control plane in memory behind it.
pub async fn door(data: &Path, memory: Arc<Memory>) -> Arc<Door> {
    let (store, _, _) = Store::open(&data.join("store"), Timestamp::now()).await.unwrap();
    let place = Place { region: "local-1".into(), account: "000000000000".into() };
    let access = Arc::new(Access::open(Arc::new(store), data, place).await.unwrap());
    let audit = Arc::new(Audit::open(&data.join("audit"), AuditSettings::default()).unwrap());
    Arc::new(Door::new(Context { control: memory.clone(), logs: memory }, access, audit))
}

/// A server on a data directory of its own.
struct Server {
    data: tempfile::TempDir,
    memory: Arc<Memory>,
    token: Token,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    async fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        std::fs::create_dir(data.path().join("run")).unwrap();
        Self::start_on(data, Arc::new(Memory::new())).await
    }

    async fn start_on(data: tempfile::TempDir, memory: Arc<Memory>) -> Self {
        let run = data.path().join("run");
        let token = Token::create(&run.join("token")).unwrap();
        let stop = CancellationToken::new();
        memory.stopped_by(stop.clone());
        let door = door(data.path(), memory.clone()).await;
        let task = {
            let (stop, token) = (stop.clone(), token.clone());
            tokio::spawn(async move {
                let socket = run.join("control.sock");
                serve_control(&socket, token, door, stop).await.unwrap();
            })
        };
        let server = Self { data, memory, token, stop, task };
        server.wait_until_listening().await;
        server
    }

    /// Another server on the same data directory, with another token, after a while without any.
    async fn restart(self) -> Self {
        self.stop.cancel();
        self.task.await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        Self::start_on(self.data, self.memory).await
    }

    async fn wait_until_listening(&self) {
        for _ in 0..500 {
            if tokio::net::UnixStream::connect(self.socket()).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the server does not listen");
    }

    fn socket(&self) -> PathBuf {
        self.data.path().join("run/control.sock")
    }

    /// Runs the binary on this server's data directory.
    async fn towpath(&self, arguments: &[&str]) -> Ran {
        towpath_on(Some(self.data.path()), arguments).await
    }
}

/// What a run of the binary left.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {}{}", self.out, self.err))
    }
}

/// Runs the binary without a terminal, in an empty directory, without `TOWPATH_*` of the machine.
async fn towpath_on(data: Option<&Path>, arguments: &[&str]) -> Ran {
    let here = tempfile::tempdir().unwrap();
    towpath_in(here.path(), data, arguments).await
}

pub async fn towpath_in(here: &Path, data: Option<&Path>, arguments: &[&str]) -> Ran {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_towpath"));
    command.current_dir(here).env_clear().env("HOME", here).stdin(std::process::Stdio::null());
    if let Some(data) = data {
        command.arg("--data-dir").arg(data);
    }
    command.args(arguments);
    let Output { status, stdout, stderr } =
        tokio::time::timeout(Duration::from_secs(30), command.kill_on_drop(true).output()).await.unwrap().unwrap();
    Ran {
        code: status.code().unwrap(),
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
    }
}
