//! The network namespace that all containers of Podman without root share with their bridges. It is the user's own: a firewall in it
//! is put there by `podman unshare --rootless-netns`, as that user.
//!
//! It is there while a container on a bridge runs, and goes with all its rules. So one is held on the builds' bridge as long as
//! the installation is there: a pod with nothing in it. Commands of builds are run in such pods, too: on a bridge of that
//! namespace Podman's builder could run none, and without a word it runs them on this machine's own network.

use super::guard::run_command;
use super::labels;
use super::machine::{self, Route};
use super::network::{self, Kind};
use super::podman::Podman;
use super::ports;
use crate::engine::EngineError;
use crate::model::{Guarded, InstallationId};
use bollard::Docker;
use serde_json::json;
use std::fs::File;
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::process::Command;

/// How often what holds the namespace is looked at, made or started until it runs.
const ATTEMPTS: usize = 4;
/// How often, and how long apart, processes of a build that is over are looked for.
const LOOKS: u32 = 8;
const LOOK: Duration = Duration::from_millis(250);
/// What slirp4netns calls its interface.
const SLIRP: &str = "tap0";
/// Where pasta, which makes the way out in Podman 5, answers for the machine's name server.
const PASTA_DNS: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);

/// What there is beyond the bridges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outside {
    /// Name servers of the way out.
    pub nameservers: Vec<Ipv4Addr>,
    /// This machine, by all its names.
    pub machine: Vec<String>,
}

/// The namespace, as one installation uses it.
pub(super) struct Namespace {
    docker: Docker,
    podman: Podman,
    installation: InstallationId,
    /// Making is for one at a time.
    making: tokio::sync::Mutex<()>,
    /// What it was last found to be like, by what it is entered by.
    seen: Mutex<Option<(String, Way)>>,
}

/// How packets leave the namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// By slirp4netns, which is at this address.
    Slirp(Ipv4Addr),
    /// By pasta.
    Pasta,
    /// Not at all.
    None,
}

impl Namespace {
    pub fn new(docker: Docker, podman: Podman, installation: InstallationId) -> Self {
        Self { docker, podman, installation, making: tokio::sync::Mutex::default(), seen: Mutex::default() }
    }

    /// Sees to it that the namespace stays; what it is entered by, another one each time that it was gone.
    pub async fn hold(&self) -> Result<String, String> {
        self.ensure(&self.name("anchor")).await.map(|(path, _)| path)
    }

    /// A namespace for the commands of one build, on the builds' bridge; it goes with what is returned.
    pub async fn room(self: &Arc<Self>) -> Result<(String, Guarded), String> {
        let pod = self.name(&format!("build-{:08x}", fastrand::u32(..)));
        // From here on: what was begun is removed also where it did not come to its end.
        let mut room = Room { namespace: self.clone(), pod: pod.clone(), there: None };
        let (path, there) = self.ensure(&pod).await?;
        room.there = there;
        Ok((path, Box::new(room)))
    }

    fn name(&self, what: &str) -> String {
        format!("towpath-{}-{what}", &self.installation.as_str()[..12])
    }

    async fn ensure(&self, pod: &str) -> Result<(String, Option<File>), String> {
        let _one = self.making.lock().await;
        let held = self.pod(pod).await;
        held.map_err(|error| format!("the network of Podman without root cannot be held: {}", said(&error)))
    }

    /// The pod's network namespace, once it runs: its path, which is the user's alone to see, and itself.
    async fn pod(&self, name: &str) -> Result<(String, Option<File>), EngineError> {
        for _ in 0..ATTEMPTS {
            let Some(pod) = self.podman.get("look at a pod", &format!("/v4.0.0/libpod/pods/{name}/json")).await? else {
                self.make(name).await?;
                continue;
            };
            if pod["Labels"][labels::ANCHOR_OF] != self.installation.as_str() {
                return Err(EngineError::Refused(format!("another pod has the name `{name}`")));
            }
            if pod["State"] != "Running" {
                self.podman.post("start a pod", &format!("/v4.0.0/libpod/pods/{name}/start"), None).await?;
                continue;
            }
            let id = pod["InfraContainerID"].as_str().unwrap_or_default();
            let infra = self.podman.get("look at a pod", &format!("/v1.41/containers/{id}/json")).await?;
            let infra = infra.unwrap_or_default();
            if let Some(path) = infra["NetworkSettings"]["SandboxKey"].as_str().filter(|path| !path.is_empty()) {
                return Ok((path.to_owned(), open(infra["State"]["Pid"].as_i64(), id).await));
            }
        }
        Err(EngineError::Refused(format!(
            "pod `{name}` does not run, although it was started; remove it with `podman pod rm -f {name}`"
        )))
    }

    async fn make(&self, name: &str) -> Result<(), EngineError> {
        let bridge = network::ensure(&self.docker, Some(&self.podman), &self.installation, Kind::Builds).await?;
        // Its neighbours on the bridge would reach it past the firewall by version 6.
        let off = ["all", "default"].map(|which| (format!("net.ipv6.conf.{which}.disable_ipv6"), json!("1")));
        let off = if self.podman.ipv6 { off.into_iter().collect() } else { serde_json::Map::new() };
        let body = json!({
            "name": name, "labels": { labels::ANCHOR_OF: self.installation }, "netns": { "nsmode": "bridge" },
            "Networks": { bridge.name: {} }, "share_parent": false, "sysctl": off,
        });
        match self.podman.post("make a pod", "/v4.0.0/libpod/pods/create", Some(body)).await {
            // By another start at this moment.
            Err(EngineError::Refused(why)) if why.contains("already exists") => Ok(()),
            made => made,
        }
    }

    /// What there is beyond the bridges of the namespace.
    pub async fn outside(&self, held: &str) -> Result<Outside, String> {
        let mut outside = Outside { machine: machine::closed().await?.into_iter().collect(), ..Outside::default() };
        match self.way(held).await? {
            // It is this machine's loopback, where that is open; the next address its name server.
            Way::Slirp(gateway) => {
                outside.machine.push(gateway.to_string());
                outside.nameservers.push(Ipv4Addr::from(u32::from(gateway).wrapping_add(1)));
            }
            Way::Pasta => outside.nameservers.push(PASTA_DNS),
            Way::None => {}
        }
        Ok(outside)
    }

    /// Looked at from inside, so that it is certain that this user's `podman` sees the same namespace as the service.
    async fn way(&self, held: &str) -> Result<Way, String> {
        let seen = || self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, way)) = seen().as_ref().filter(|(at, _)| at == held) {
            return Ok(*way);
        }
        let table = self.inside(held, &["cat", "/proc/net/route"], "").await?;
        let routes: Vec<Route<'_>> = Route::read(&table).collect();
        let bridge = Kind::Builds.interface(&self.installation);
        if !routes.iter().any(|route| route.interface == bridge) {
            return Err(
                "`podman` does not see here what the service behind the socket runs: give towpath the service's \
                        `XDG_RUNTIME_DIR`, `HOME` and `CONTAINERS_CONF`"
                    .into(),
            );
        }
        let way = match routes.iter().find(|route| route.is_default()) {
            Some(out) if out.interface == SLIRP => Way::Slirp(out.gateway),
            Some(_) => Way::Pasta,
            None => Way::None,
        };
        *seen() = Some((held.to_owned(), way));
        Ok(way)
    }

    /// Gives a script to `nft` in the namespace.
    pub async fn nft(&self, held: &str, script: &str) -> Result<(), String> {
        self.inside(held, &["nft", "-f", "-"], script).await.map(|_| ())
    }

    async fn inside(&self, held: &str, words: &[&str], input: &str) -> Result<String, String> {
        // Not every user's search path has the directories of `nft`.
        let line =
            "PATH=\"$PATH:/usr/local/sbin:/usr/sbin:/sbin\"; export PATH; exec podman unshare --rootless-netns \"$@\"";
        let mut command = Command::new("/bin/sh");
        command.args(["-c", line, "podman"]).args(words).env_remove("CONTAINER_HOST").env_remove("DOCKER_HOST");
        // Beside the namespaces of the service's containers is the one that is meant.
        if let Some((runtime, _)) = held.rsplit_once("/netns/") {
            command.env("XDG_RUNTIME_DIR", runtime);
        }
        run_command("podman unshare", command, input).await
    }

    /// Removes a table, where the namespace is there.
    pub async fn forget(&self, script: &str) {
        let anchor = format!("/v4.0.0/libpod/pods/{}/json", self.name("anchor"));
        if let Ok(Some(pod)) = self.podman.get("look at a pod", &anchor).await
            && pod["State"] == "Running"
            && let Ok(held) = self.hold().await
        {
            let _ = self.nft(&held, script).await;
        }
    }

    /// Removes the pods of builds that a crash left.
    pub async fn sweep(&self) {
        self.remove_all(|name| name != self.name("anchor")).await;
    }

    /// Lets go of the namespace.
    pub async fn remove(&self) {
        self.remove_all(|_| true).await;
    }

    async fn remove_all(&self, which: impl Fn(&str) -> bool) {
        let filter = json!({ "label": [format!("{}={}", labels::ANCHOR_OF, self.installation)] }).to_string();
        let path = format!("/v4.0.0/libpod/pods/json?filters={}", super::podman::encoded(&filter));
        let pods = match self.podman.get("list pods", &path).await {
            Ok(pods) => pods.unwrap_or_default(),
            Err(error) => return tracing::warn!(error = %said(&error), "pods of this installation stay"),
        };
        let names = pods.as_array().into_iter().flatten().filter_map(|pod| pod["Name"].as_str());
        for name in names.filter(|name| which(name)) {
            self.remove_pod(name).await;
        }
    }

    async fn remove_pod(&self, name: &str) {
        if let Err(error) = self.podman.delete("remove a pod", &format!("/v4.0.0/libpod/pods/{name}?force=true")).await
        {
            tracing::warn!(error = %said(&error), pod = name, "a pod stays");
        }
    }
}

/// The pod of one build.
struct Room {
    namespace: Arc<Namespace>,
    pod: String,
    /// Its network namespace, held open: the number of one that is gone is given to the next.
    there: Option<File>,
}

impl Drop for Room {
    fn drop(&mut self) {
        let (namespace, pod, there) = (self.namespace.clone(), std::mem::take(&mut self.pod), self.there.take());
        // Without a runtime the process ends, and the next one sweeps.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                namespace.remove_pod(&pod).await;
                let Some(there) = there else { return };
                // Podman's builder lets a command of a build that was given up go on to its own end.
                let _ = tokio::task::spawn_blocking(move || kill_all(&there)).await;
            });
        }
    }
}

/// The network namespace that a container's process is in. Never this process' own.
async fn open(pid: Option<i64>, container: &str) -> Option<File> {
    let pid = pid.filter(|pid| *pid > 0)?;
    let its = File::open(format!("/proc/{pid}/ns/net")).ok()?;
    let ours = std::fs::metadata("/proc/self/ns/net").ok()?.ino();
    (ports::is_of(pid, container).await && its.metadata().ok()?.ino() != ours).then_some(its)
}

/// Kills what is in a network namespace, for a while. This user may: the namespaces of his containers are his.
fn kill_all(there: &File) {
    let Ok(inode) = there.metadata().map(|there| there.ino()) else { return };
    let is_in = |number: &i32| std::fs::metadata(format!("/proc/{number}/ns/net")).is_ok_and(|at| at.ino() == inode);
    for _ in 0..LOOKS {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        for process in numbers.filter(is_in).filter_map(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
        }
        std::thread::sleep(LOOK);
    }
}

/// An error with what was answered.
fn said(error: &EngineError) -> String {
    match error {
        EngineError::Io { source, .. } => format!("{error}: {source}"),
        other => other.to_string(),
    }
}
