//! Podman behind Docker's API: all that it means otherwise, decided once, when towpath connects.
//!
//! - It has no log `local`, but `k8s-file`, bounded as well. Its records are pieces of lines, with times of whole seconds: see `records`
//!   and `follow`.
//! - Its bridges let containers reach each other: `guard` keeps them apart, and without it nothing is started. A bridge is there
//!   while a container is on it only, so rules name it before it is.
//! - A network's interface and name service can be chosen in its own API only.
//! - An empty entry point is the image's.
//! - It knows states that Docker has no word for, which the client would not read.
//! - A container's environment is in no order: the names of ours are kept in a label.
//! - Without root it has a network of its user's (see `namespace`) and not every limit (see `rootless`).
//!
//! That of another user, or on another machine, is refused: from here nothing could keep instances apart there.

use super::client::{CALL, describe, unreachable};
use super::labels;
use super::rootless::{self, Limits};
use crate::engine::EngineError;
use crate::model::DockerHost;
use bollard::errors::Error;
use bollard::models::{ContainerCreateBody, ContainerInspectResponse, ContainerSummary, HostConfigLogConfig};
use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::collections::HashMap;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;

/// Where a log of an instance begins anew; lines of the quarter of a second in which it does are lost.
const LOG: &str = "32m";

/// The longest answer that is read: thousands of containers.
const LONGEST: usize = 64 << 20;

/// A Podman of this machine, as root or as this user.
#[derive(Clone, Debug)]
pub(super) struct Podman {
    host: DockerHost,
    /// `4.3.1`.
    pub version: String,
    /// Whether this machine speaks IPv6, by which neighbours would reach each other past the firewall.
    pub ipv6: bool,
    /// Where its store is. It has no id that stays.
    pub store: String,
    /// What it holds containers to, without root.
    pub rootless: Option<Limits>,
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

impl Podman {
    /// Refuses one of another user, or not on this machine.
    pub async fn accept(host: &DockerHost, version: &str) -> Result<Self, EngineError> {
        let ipv6 = tokio::fs::try_exists("/proc/sys/net/ipv6").await.unwrap_or(false);
        let mut podman =
            Self { host: host.clone(), version: version.to_owned(), ipv6, store: String::new(), rootless: None };
        // Asked once: it asks the system's package manager for each of its parts.
        let info = podman.get("ask Podman what it is", "/v4.0.0/libpod/info").await?.unwrap_or_default();
        podman.store = info["store"]["graphRoot"].as_str().unwrap_or_default().to_owned();
        let (info, name) = (&info["host"], rustix::system::uname());
        let here =
            |kernel: &str, host: &str| name.release().to_str() == Ok(kernel) && name.nodename().to_str() == Ok(host);
        match (info["kernel"].as_str(), info["hostname"].as_str()) {
            (Some(kernel), Some(host)) if here(kernel, host) => {}
            _ => return Err(elsewhere(host, version)),
        }
        if info["security"]["rootless"] == true {
            refuse_others(host, version, rootless::owner(info))?;
            podman.rootless = Some(Limits::of(info));
        }
        Ok(podman)
    }

    /// Whether what an instance uses can be told from what others use.
    pub fn measures(&self) -> bool {
        self.rootless.as_ref().is_none_or(Limits::are_measured)
    }

    /// What keeps instances apart where it is missing.
    pub fn mend(&self) -> &'static str {
        match self.rootless {
            None => "Run towpath as root with `nft` (package `nftables`)",
            Some(_) => "Install `nft` (package `nftables`), and run towpath as this user with `podman` in its `PATH`",
        }
    }

    /// Makes a network with this interface and without a name service: instances ask the host's name servers, and neither
    /// learn each other's names nor need a port of the host.
    pub async fn create_network(&self, network: &NewNetwork<'_>) -> Result<(), EngineError> {
        let (label, owner) = network.label;
        let body = json!({
            "name": network.name, "driver": "bridge", "network_interface": network.interface, "dns_enabled": false,
            "subnets": [{ "subnet": network.subnet, "gateway": network.gateway }],
            "labels": { label: owner }, "options": { "isolate": "true" },
        });
        let path = "/v4.0.0/libpod/networks/create";
        self.post("create the instances' network", path, Some(body)).await
    }

    /// Containers with all of these labels, in every state.
    pub async fn list(&self, wanted: &[String]) -> Result<Vec<ContainerSummary>, EngineError> {
        let path =
            format!("/v1.41/containers/json?all=true&filters={}", encoded(&json!({ "label": wanted }).to_string()));
        let mut all = self.get("list containers", &path).await?.unwrap_or_default();
        for container in all.as_array_mut().into_iter().flatten() {
            let state = container["State"].as_str().map(|state| docker_state(state).to_owned());
            container["State"] = json!(state);
        }
        read(all)
    }

    /// What is known of a container, if it is there.
    pub async fn inspect(&self, container: &str) -> Result<Option<ContainerInspectResponse>, EngineError> {
        let path = format!("/v1.41/containers/{}/json", encoded(container));
        let Some(mut found) = self.get("inspect a container", &path).await? else { return Ok(None) };
        correct(&mut found["State"]);
        read(found).map(Some)
    }

    /// What a container for Docker is for Podman.
    pub fn adapt(&self, body: &mut ContainerCreateBody) {
        let names: Vec<&str> = body
            .env
            .iter()
            .flatten()
            .map(|line| line.split_once('=').map_or(line.as_str(), |(name, _)| name))
            .collect();
        let names = json!(names).to_string();
        body.labels.get_or_insert_default().insert(labels::VARIABLES.into(), names);
        if body.entrypoint.as_ref().is_some_and(Vec::is_empty) {
            // An empty one is none said to Podman, which would take the image's.
            let mut words = body.cmd.take().unwrap_or_default();
            body.cmd = Some(words.split_off(words.len().min(1)));
            body.entrypoint = Some(words);
        }
        let host = body.host_config.get_or_insert_default();
        host.log_config = Some(HostConfigLogConfig {
            typ: Some("k8s-file".into()),
            config: Some(HashMap::from([("max-size".into(), LOG.into())])),
        });
        if let Some(limits) = &self.rootless {
            limits.adapt(body);
        }
        let host = body.host_config.get_or_insert_default();
        if self.ipv6 {
            let off = ["all", "default"].map(|which| (format!("net.ipv6.conf.{which}.disable_ipv6"), "1".to_owned()));
            host.sysctls = Some(off.into());
        }
    }

    /// Reads an object; `None` where there is no such.
    pub async fn get(&self, act: &str, path: &str) -> Result<Option<Value>, EngineError> {
        self.ask(act, Method::GET, path, None).await
    }

    /// Makes or changes something.
    pub async fn post(&self, act: &str, path: &str, body: Option<Value>) -> Result<(), EngineError> {
        self.ask(act, Method::POST, path, body).await.map(|_| ())
    }

    /// Removes an object. There being none is success.
    pub async fn delete(&self, act: &str, path: &str) -> Result<(), EngineError> {
        self.ask(act, Method::DELETE, path, None).await.map(|_| ())
    }

    /// One request; `None` where there is no such object.
    async fn ask(
        &self,
        act: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Option<Value>, EngineError> {
        let answer = tokio::time::timeout(CALL, self.exchange(act, method, path, body)).await;
        let (status, bytes) =
            answer.map_err(|_| unreachable(format!("failed to {act}: no answer within {} s", CALL.as_secs())))??;
        let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        // Of pods it says what each of their containers failed at.
        let said = value["message"].as_str().or_else(|| value["Errs"][0].as_str());
        let message = said.unwrap_or("it did not say why").to_owned();
        // One that goes at this moment is not there in other words, with another status.
        if status == StatusCode::NOT_FOUND || (status.is_server_error() && is_gone(&message)) {
            return Ok(None);
        }
        // What is so already is not done again.
        if !status.is_success() && status != StatusCode::NOT_MODIFIED {
            return Err(describe(act, Error::DockerResponseServerError { status_code: status.as_u16(), message }));
        }
        Ok(Some(value))
    }

    async fn exchange(
        &self,
        act: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<(StatusCode, Bytes), EngineError> {
        let lost = |error: &dyn std::error::Error| unreachable(format!("failed to {act}: {}: {error}", self.host));
        let stream: Box<dyn Io> = match &self.host {
            DockerHost::Unix(path) => Box::new(UnixStream::connect(path).await.map_err(|e| lost(&e))?),
            DockerHost::Tcp(authority) => Box::new(TcpStream::connect(authority).await.map_err(|e| lost(&e))?),
        };
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|e| lost(&e))?;
        // Ends with this exchange. Its error reaches whoever reads the answer as well.
        let mut task = JoinSet::new();
        task.spawn(async move { drop(connection.await) });
        let body = body.map(|json| json.to_string()).unwrap_or_default();
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::HOST, "podman")
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|e| lost(&e))?;
        let response = sender.send_request(request).await.map_err(|e| lost(&e))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LONGEST).collect().await.map_err(|e| lost(&*e))?;
        Ok((status, body.to_bytes()))
    }
}

/// A network to be.
pub(super) struct NewNetwork<'a> {
    pub name: &'a str,
    pub interface: &'a str,
    pub subnet: String,
    pub gateway: String,
    pub label: (&'a str, &'a str),
}

fn elsewhere(host: &DockerHost, version: &str) -> EngineError {
    EngineError::Refused(format!(
        "the engine at {host} is Podman {version} and runs on another machine, or in a virtual machine: nothing could keep \
         instances from each other and from that host. Use Podman of this machine, as root (`systemctl enable --now \
         podman.socket`, `--docker-host unix:///run/podman/podman.sock`) or as your user (`systemctl --user enable --now \
         podman.socket`, `--docker-host unix://$XDG_RUNTIME_DIR/podman/podman.sock`), Docker, or the process engine \
         (`--engine process`)"
    ))
}

/// The network of a user's containers can be entered by that user only.
fn refuse_others(host: &DockerHost, version: &str, owner: Option<u64>) -> Result<(), EngineError> {
    let me = u64::from(rustix::process::geteuid().as_raw());
    if owner == Some(me) {
        return Ok(());
    }
    let whose = owner.map_or_else(|| "a user that it does not name".to_owned(), |uid| format!("user {uid}"));
    Err(EngineError::Refused(format!(
        "the engine at {host} is Podman {version} without root and of {whose}, while towpath runs as user {me}: it could not keep \
         instances from each other and from this machine. Run towpath as that user, or use a Podman of your own (as root: \
         `systemctl enable --now podman.socket`, `--docker-host unix:///run/podman/podman.sock`)"
    )))
}

/// Whether an error says that the container goes at this moment.
pub(super) fn is_gone(message: &str) -> bool {
    message.contains("no such container") || message.contains("container has already been removed")
}

/// A container's state as Docker tells it. One that ran when the machine went down is as new to Podman.
fn correct(state: &mut Value) {
    if state["Status"] == STOPPING {
        // It is told not to run, while its processes finish what they do.
        state["Running"] = json!(true);
    }
    let status = state["Status"].as_str().map(|status| docker_state(status).to_owned());
    let ran = state["StartedAt"].as_str().is_some_and(|at| !at.starts_with("0001-"));
    let over = ran && status.as_deref() == Some("created");
    state["Status"] = if over { json!("exited") } else { json!(status) };
    if over {
        state["Error"] = json!("it ended with the machine");
    }
}

/// Its processes were told to end, and may be there still.
const STOPPING: &str = "stopping";

/// Docker's word for a state.
fn docker_state(state: &str) -> &str {
    match state {
        "configured" | "initialized" => "created",
        "stopped" => "exited",
        STOPPING => "running",
        "unknown" => "",
        same => same,
    }
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, EngineError> {
    serde_json::from_value(value).map_err(|error| unreachable(format!("Podman's answer cannot be read: {error}")))
}

/// Percent-encodes all but what RFC 3986 §2.3 calls unreserved.
pub(super) fn encoded(text: &str) -> String {
    let escape = |b: u8| match b {
        b if b.is_ascii_alphanumeric() || b"-._~".contains(&b) => char::from(b).to_string(),
        b => format!("%{b:02X}"),
    };
    text.bytes().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_for_podman_has_a_log_that_it_knows_its_command_whole_and_the_names_of_its_variables() {
        let podman = Podman {
            host: DockerHost::default(),
            version: "4.3.1".into(),
            ipv6: true,
            store: String::new(),
            rootless: None,
        };
        let mut body = ContainerCreateBody { env: Some(vec!["A=1=2".into(), "B=".into()]), ..Default::default() };
        (body.entrypoint, body.cmd) = (Some(vec![]), Some(vec!["sh".into(), "-c".into()]));
        podman.adapt(&mut body);
        assert_eq!((body.entrypoint.unwrap(), body.cmd.unwrap()), (vec!["sh".to_owned()], vec!["-c".to_owned()]));
        assert_eq!(body.labels.unwrap()[labels::VARIABLES], r#"["A","B"]"#);
        let host = body.host_config.unwrap();
        assert_eq!(host.log_config.unwrap().typ.as_deref(), Some("k8s-file"));
        assert_eq!(host.sysctls.unwrap()["net.ipv6.conf.all.disable_ipv6"], "1");
    }

    #[test]
    fn states_that_docker_has_no_word_for_are_read_as_the_nearest() {
        for (state, read) in
            [("initialized", "created"), ("stopped", "exited"), ("stopping", "running"), ("paused", "paused")]
        {
            assert_eq!(docker_state(state), read);
        }
    }

    #[test]
    fn what_is_being_stopped_is_alive() {
        let mut state = json!({ "Status": "stopping", "Running": false, "StartedAt": "2026-11-26T22:37:16Z" });
        correct(&mut state);
        assert_eq!((&state["Status"], &state["Running"]), (&json!("running"), &json!(true)));
    }

    #[test]
    fn what_ran_before_a_reboot_has_ended() {
        let after = |started: &str| {
            let mut state = json!({ "Status": "created", "StartedAt": started, "Error": "" });
            correct(&mut state);
            state
        };
        assert_eq!(after("0001-01-01T00:00:00Z")["Status"], "created");
        let ended = after("2026-11-26T22:37:16.373565998Z");
        assert_eq!((&ended["Status"], &ended["Error"]), (&json!("exited"), &json!("it ended with the machine")));
    }
}
