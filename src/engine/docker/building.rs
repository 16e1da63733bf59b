//! The firewall around the commands of builds (row A11): they reach the internet, and neither this host's listeners nor
//! metadata addresses.
//!
//! The classic builder takes a network, and gets one of the installation's own with the same rules as the instances'; so does
//! Podman's, which would run commands on this machine's own network else, and is given none that is not guarded. Without root it
//! is given the network of a pod, one for each build.
//! BuildKit takes none: it runs commands on the engine's default bridge. So that bridge is guarded while a build of ours
//! runs, in a table whose elements time out by themselves, and what others have on it is let through: containers, and
//! commands of their BuildKit builds. Those are told from ours by the file of hosts that BuildKit mounts for them, which no
//! command can change or hide as another: ours have one of their own, since towpath's builders name a host.

use super::guard::{self, Guard, Isolation, reach_rules};
use super::namespace::Namespace;
use super::network::{self, Bridge, Kind};
use super::podman::Podman;
use super::{DockerEngine, client::call};
use crate::model::{BuildLimits, BuildNetwork, Guarded, InstallationId};
use async_trait::async_trait;
use bollard::Docker;
use bollard::query_parameters::ListContainersOptionsBuilder;
use std::collections::{BTreeSet, HashMap};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// How often others' containers on the bridge are looked for.
const RENEWAL: Duration = Duration::from_millis(500);
/// How long rules hold that nobody renews, because towpath was killed.
const LEASE_SECONDS: u32 = 15;
/// Docker's own network for what names none.
const DEFAULT: &str = "bridge";

/// Guards what builds run on.
pub(super) struct BuildGuard {
    docker: Docker,
    podman: Option<Podman>,
    namespace: Option<Arc<Namespace>>,
    installation: InstallationId,
    table: String,
    /// What may be reached although it is on this host, or looks like a metadata address.
    reach: Vec<SocketAddrV4>,
    own: Guard,
    /// Whether the network is given although it cannot be guarded.
    unguarded: AtomicBool,
    /// The builds that run.
    running: Mutex<usize>,
}

impl BuildGuard {
    pub fn new(
        docker: Docker,
        podman: Option<Podman>,
        namespace: Option<Arc<Namespace>>,
        installation: &InstallationId,
        reach: Vec<SocketAddrV4>,
    ) -> Self {
        let name = guard::name(installation);
        let own = Guard::named(format!("{name}-b"), Vec::new(), reach.clone()).keeping_apart(podman.is_some());
        Self {
            own: own.within(namespace.clone()),
            docker,
            podman,
            namespace,
            installation: installation.clone(),
            table: format!("{name}-builds"),
            reach,
            unguarded: false.into(),
            running: Mutex::new(0),
        }
    }

    /// Gives out the network also where it cannot be guarded.
    pub fn allow_unguarded(&self) {
        self.unguarded.store(true, Ordering::Relaxed);
    }

    async fn begin(&self) -> Result<(), String> {
        let mut running = self.running.lock().await;
        self.write().await?;
        *running += 1;
        Ok(())
    }

    async fn end(&self) {
        let mut running = self.running.lock().await;
        *running = running.saturating_sub(1);
        if *running == 0 {
            self.remove_table().await;
        }
    }

    async fn renew_until(&self, ended: CancellationToken) {
        loop {
            tokio::select! {
                () = ended.cancelled() => return self.end().await,
                () = tokio::time::sleep(RENEWAL) => {}
            }
            let _running = self.running.lock().await;
            if let Err(error) = self.write().await {
                tracing::warn!(%error, "the firewall around builds could not be renewed");
            }
        }
    }

    /// The rules as of now.
    async fn write(&self) -> Result<(), String> {
        let bridge = network::default_bridge(&self.docker, DEFAULT).await.map_err(|e| e.to_string())?;
        let bridge = bridge.ok_or("the engine has no network `bridge`")?;
        let interface = guard::local_interface(&bridge).await?;
        let others = self.others().await?;
        let nameservers = guard::nameservers().await;
        let script = script(&self.table, &interface, &bridge, &others, &nameservers, &self.reach);
        guard::run("nft", &["-f", "-"], &script).await
    }

    /// The addresses of containers on the default bridge.
    async fn others(&self) -> Result<BTreeSet<Ipv4Addr>, String> {
        let filters = HashMap::from([("network", vec![DEFAULT.to_owned()])]);
        let options = ListContainersOptionsBuilder::default().filters(&filters).build();
        let listed = call("list containers", self.docker.list_containers(Some(options))).await;
        let networks = listed.map_err(|e| e.to_string())?.into_iter().filter_map(|c| c.network_settings?.networks);
        let addresses = networks.filter_map(|mut all| all.remove(DEFAULT)?.ip_address?.parse().ok());
        Ok(addresses.chain(self.others_commands().await?).collect())
    }

    /// The addresses of commands that BuildKit runs for others.
    async fn others_commands(&self) -> Result<Vec<Ipv4Addr>, String> {
        let network = call("look at a network", self.docker.inspect_network(DEFAULT, None)).await;
        let there = network.map_err(|e| e.to_string())?.containers.unwrap_or_default();
        let address = |text: String| text.split('/').next().and_then(|ip| ip.parse::<Ipv4Addr>().ok());
        // Containers have 64 digits, commands of builds another id.
        let commands: Vec<(String, Ipv4Addr)> = there
            .into_iter()
            .filter(|(id, _)| id.len() < 64)
            .filter_map(|(id, at)| Some((id, address(at.ipv4_address?)?)))
            .collect();
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let found = tokio::task::spawn_blocking(move || {
            commands.into_iter().filter(|(id, _)| is_of_others(id)).map(|(_, address)| address).collect()
        });
        found.await.map_err(|e| e.to_string())
    }

    async fn remove_table(&self) {
        let _ = guard::run("nft", &["-f", "-"], &removal(&self.table)).await;
    }

    /// The installation's own network for builds, guarded.
    async fn own_network(&self) -> Result<(String, Guarded), String> {
        let bridge = network::ensure(&self.docker, self.podman.as_ref(), &self.installation, Kind::Builds).await;
        let bridge = bridge.map_err(|e| e.to_string())?;
        self.own.ensure(&bridge).await;
        match (self.own.state(), &self.namespace) {
            (Some(Isolation::Open(why)), _) if !self.unguarded.load(Ordering::Relaxed) => {
                Err(self.podman.as_ref().map_or(why.clone(), |podman| format!("{why}. {}", podman.mend())))
            }
            (_, Some(namespace)) => namespace.room().await,
            (_, None) => Ok((bridge.name, Box::new(()))),
        }
    }

    /// Removes what was made. There being nothing is success.
    pub async fn remove(&self) {
        self.own.remove().await;
        if let Some(namespace) = &self.namespace {
            namespace.remove().await;
        }
        if let Err(error) = network::remove(&self.docker, &self.installation, Kind::Builds).await {
            tracing::warn!(%error, "the network of builds stays");
        }
        if rustix::process::geteuid().is_root() {
            self.remove_table().await;
        }
    }
}

#[async_trait]
impl BuildNetwork for DockerEngine {
    async fn own(&self) -> Result<(String, Guarded), String> {
        self.builds.own_network().await
    }

    fn limits(&self) -> BuildLimits {
        let held = self.podman.as_ref().and_then(|podman| podman.rootless.as_ref());
        held.map_or(BuildLimits::ALL, |held| BuildLimits { memory: held.memory, cpu: held.cpu, group: false })
    }

    async fn guard(&self) -> Result<Guarded, String> {
        self.builds.begin().await?;
        let ended = CancellationToken::new();
        let builds: Arc<BuildGuard> = self.builds.clone();
        let task = ended.clone();
        tokio::spawn(async move { builds.renew_until(task).await });
        Ok(Box::new(ended.drop_guard()))
    }
}

/// Whether the command with this id is of a build that is not towpath's. One that cannot be seen (any more) is not said to
/// be.
fn is_of_others(id: &str) -> bool {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let read = |process: &std::fs::DirEntry, file: &str| std::fs::read_to_string(process.path().join(file)).ok();
    let its_own = |process: &std::fs::DirEntry| {
        read(process, "cgroup").is_some_and(|groups| groups.lines().any(|group| group.contains(id)))
    };
    processes
        .filter(its_own)
        .filter_map(|process| read(&process, "mountinfo"))
        .any(|mounts| mounts.lines().any(is_common_hosts))
}

/// Whether a line of `mountinfo` mounts the file of hosts that BuildKit gives to builds which name no host.
fn is_common_hosts(mount: &str) -> bool {
    let mut fields = mount.split(' ').skip(3);
    let (root, point) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
    point == "/etc/hosts" && root.ends_with("/executor/hosts")
}

fn removal(table: &str) -> String {
    format!("add table inet {table}\ndelete table inet {table}\n")
}

/// One transaction that replaces the table. Nothing in it comes from a repository or a manifest.
fn script(
    table: &str,
    interface: &str,
    bridge: &Bridge,
    others: &BTreeSet<Ipv4Addr>,
    nameservers: &[Ipv4Addr],
    reach: &[SocketAddrV4],
) -> String {
    let lease = format!("timeout {LEASE_SECONDS}s");
    let listed: Vec<String> = others.iter().map(|address| format!("{address} {lease}")).collect();
    let others = if listed.is_empty() { String::new() } else { format!("elements = {{ {} }}", listed.join(", ")) };
    let allowed = reach_rules(nameservers, reach);
    // What is not of the fourth version is others' only: BuildKit's commands have no other address.
    let begin = format!(
        "    iifname != \"{interface}\" accept\n    ct state established,related accept\n    meta nfproto ipv6 accept\n    \
         ip saddr != @building accept\n    ip saddr @others accept\n{allowed}"
    );
    format!(
        "{}table inet {table} {{\n  set building {{ type ipv4_addr; flags interval, timeout; elements = {{ {} {lease} }} }}\n  \
         set others {{ type ipv4_addr; flags timeout; {others} }}\n  chain input {{\n    type filter hook input priority \
         -10; policy accept;\n{begin}    drop\n  }}\n  chain forward {{\n    type filter hook forward priority -10; policy \
         accept;\n{begin}    oifname \"{interface}\" drop\n    ip daddr {{ {} }} drop\n  }}\n}}\n",
        removal(table),
        bridge.subnet,
        guard::metadata()
    )
}

#[cfg(test)]
mod tests {
    use super::super::network::Subnet;
    use super::*;

    #[test]
    fn commands_of_others_builds_are_told_by_their_hosts() {
        let mount = |root: &str, point: &str| format!("612 590 254:0 {root} {point} ro,relatime - ext4 /dev/vda rw");
        assert!(is_common_hosts(&mount("/var/lib/docker/buildkit/executor/hosts", "/etc/hosts")));
        for ours in [
            mount("/var/lib/docker/buildkit/executor/hosts.1mz3y", "/etc/hosts"),
            mount("/var/lib/docker/buildkit/executor/hosts", "/hosts"),
            "612".into(),
        ] {
            assert!(!is_common_hosts(&ours), "{ours}");
        }
    }

    #[test]
    fn rules_for_builds_end_by_themselves_and_let_others_through() {
        let subnet = Subnet::new(Ipv4Addr::new(10, 250, 0, 0), 24);
        let bridge =
            Bridge { name: "bridge".into(), subnet, interface: Some("docker0".into()), routed: true, transient: false };
        let others = BTreeSet::from([Ipv4Addr::new(10, 250, 0, 3)]);
        let reach = ["10.0.0.5:3128".parse().unwrap()];
        let text = script("t-builds", "docker0", &bridge, &others, &[Ipv4Addr::new(169, 254, 169, 253)], &reach);
        let input = text.split("chain input").nth(1).unwrap().split("chain forward").next().unwrap();
        let order = [
            "ip saddr != @building accept",
            "ip saddr @others accept",
            "169.254.169.253 udp dport 53 accept",
            "ip daddr 10.0.0.5 tcp dport 3128 accept",
            "    drop",
        ];
        let places: Vec<usize> =
            order.iter().map(|part| input.find(part).unwrap_or_else(|| panic!("{part}: {input}"))).collect();
        assert!(places.is_sorted(), "{input}");
        assert!(
            text.contains("{ 10.250.0.0/24 timeout 15s }") && text.contains("{ 10.250.0.3 timeout 15s }"),
            "{text}"
        );
        let none = script("t", "docker0", &bridge, &BTreeSet::new(), &[], &[]);
        assert!(none.contains("set others { type ipv4_addr; flags timeout;  }"), "{none}");
    }
}
