//! The firewall around the instances' bridge (row A11): an instance reaches the internet, and neither the host's
//! listeners nor the addresses at which clouds answer with credentials. That instances do not reach each other is the
//! bridge's own setting, see `network`; Podman's has none, and there it is a rule of a second table.
//!
//! One table of nftables, or two chains of iptables, with the installation's name. Each call replaces them as a whole,
//! so a firewall that somebody flushed comes back. Only where this process is root on the engine's own machine, or where
//! the engine is Podman without root, in the network of its user (see `namespace`); elsewhere the state says why not.

use super::namespace::{Namespace, Outside};
use super::network::{Bridge, Subnet};
use crate::model::InstallationId;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// How long one call of a firewall tool may take.
const LIMIT: Duration = Duration::from_secs(10);

/// How long rules are believed to be there.
const FRESH: Duration = Duration::from_secs(30);

/// Where clouds answer instances with credentials: link-local (AWS, Azure, Google and most others), Alibaba, Oracle, and
/// Azure's wire server.
const METADATA: [(Ipv4Addr, u8); 4] = [
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(100, 100, 100, 200), 32),
    (Ipv4Addr::new(192, 0, 0, 192), 32),
    (Ipv4Addr::new(168, 63, 129, 16), 32),
];

/// What holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Rules are in force, by this tool.
    Guarded(&'static str),
    /// There are none, and why.
    Open(String),
}

/// Keeps the rules of one installation.
pub(super) struct Guard {
    /// `towpath-` and the beginning of the installation's id: the name of the table.
    name: String,
    /// Ports of this host that instances may use: the ingress'.
    open_ports: Vec<u16>,
    /// What may be reached in any case.
    reach: Vec<SocketAddrV4>,
    /// Whether neighbours on the bridge are kept apart here: see `podman`.
    apart: bool,
    /// Where the rules are put, if not on this machine's own network.
    namespace: Option<Arc<Namespace>>,
    last: Mutex<Option<Last>>,
}

/// What was found last.
struct Last {
    at: Instant,
    /// The namespace, where it is held: another one has no rules.
    held: Option<Result<String, String>>,
    state: Isolation,
}

impl Guard {
    pub fn new(installation: &InstallationId, open_ports: Vec<u16>) -> Self {
        Self::named(name(installation), open_ports, Vec::new())
    }

    /// For another bridge than the instances', with exceptions.
    pub fn named(name: String, open_ports: Vec<u16>, reach: Vec<SocketAddrV4>) -> Self {
        Self { name, open_ports, reach, apart: false, namespace: None, last: Mutex::new(None) }
    }

    /// The same, which keeps neighbours on the bridge apart as well.
    pub fn keeping_apart(self, apart: bool) -> Self {
        Self { apart, ..self }
    }

    /// The same, whose rules are put in this namespace, if there is one.
    pub fn within(self, namespace: Option<Arc<Namespace>>) -> Self {
        Self { namespace, ..self }
    }

    /// What was found last.
    pub fn state(&self) -> Option<Isolation> {
        self.last().as_ref().map(|last| last.state.clone())
    }

    /// Sees to it that the rules are there, unless that was done a moment ago.
    pub async fn ensure(&self, bridge: &Bridge) {
        let held = match &self.namespace {
            Some(namespace) => Some(namespace.hold().await),
            None => None,
        };
        let fresh = self.last().as_ref().is_some_and(|last| last.at.elapsed() < FRESH && last.held == held);
        if fresh {
            return;
        }
        let state = match self.put(bridge, held.as_ref()).await {
            Ok(tool) => Isolation::Guarded(tool),
            Err(why) => Isolation::Open(why),
        };
        let mut last = self.last();
        if let Isolation::Open(why) = &state
            && last.as_ref().is_none_or(|last| last.state != state)
        {
            tracing::warn!(table = %self.name, "instances or builds can reach this host's ports and cloud metadata addresses: {why}");
        }
        *last = Some(Last { at: Instant::now(), held, state });
    }

    async fn put(&self, bridge: &Bridge, held: Option<&Result<String, String>>) -> Result<&'static str, String> {
        if let (Some(namespace), Some(held)) = (&self.namespace, held) {
            let held = held.as_ref().map_err(Clone::clone)?;
            let interface = bridge.interface.clone().ok_or("the bridge's interface is not known")?;
            let rules = self.rules(bridge, interface, namespace.outside(held).await?).await;
            namespace.nft(held, &rules.nftables()).await?;
            // As below.
            let _ = namespace.nft(held, &rules.whole_bridge()).await;
            return Ok("nftables");
        }
        let rules = self.rules(bridge, local_interface(bridge).await?, Outside::default()).await;
        let nft = run("nft", &["-f", "-"], &rules.nftables()).await;
        let Err(without_nft) = nft else {
            if rules.apart.is_some() {
                // All that neighbours could say to each other, where the kernel knows the bridge of a frame (`nft_meta_bridge`).
                // Elsewhere the addresses in the table above have to do.
                let _ = run("nft", &["-f", "-"], &rules.whole_bridge()).await;
            }
            return Ok("nftables");
        };
        if rules.apart.is_some() {
            return Err(format!(
                "only nftables keep instances on Podman apart, and they cannot be used ({without_nft})"
            ));
        }
        for (chain, parent) in [(rules.input(), "INPUT"), (rules.forward(), "FORWARD")] {
            run("iptables-restore", &["--wait", "5", "--noflush"], &rules.iptables(&chain))
                .await
                .map_err(|why| format!("neither nftables ({without_nft}) nor iptables ({why}) can be used"))?;
            // First in line: Docker's own rules accept before anything that stands behind them.
            let jump = ["-j", chain.as_str()];
            if run("iptables", &[&["--wait", "5", "-C", parent], &jump[..]].concat(), "").await.is_err() {
                run("iptables", &[&["--wait", "5", "-I", parent], &jump[..]].concat(), "").await?;
            }
        }
        Ok("iptables")
    }

    async fn rules(&self, bridge: &Bridge, interface: String, outside: Outside) -> Rules {
        let mut nameservers = nameservers().await;
        nameservers.extend(outside.nameservers);
        Rules {
            name: self.name.clone(),
            interface,
            nameservers,
            ports: self.open_ports.clone(),
            reach: self.reach.clone(),
            apart: self.apart.then_some(bridge.subnet),
            machine: outside.machine,
        }
    }

    /// Removes the rules. There being none is success.
    pub async fn remove(&self) {
        *self.last() = None;
        // `delete` fails where there is no table; `add` before it makes sure that there is one.
        let script = format!("add table inet {0}\ndelete table inet {0}\n", self.name);
        let bridged = script.replace("table inet", "table bridge");
        if let Some(namespace) = &self.namespace {
            return namespace.forget(&(script + &bridged)).await;
        }
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let rules = Rules { name: self.name.clone(), ..Rules::default() };
        let _ = run("nft", &["-f", "-"], &script).await;
        if self.apart {
            let _ = run("nft", &["-f", "-"], &bridged).await;
        }
        for (chain, parent) in [(rules.input(), "INPUT"), (rules.forward(), "FORWARD")] {
            if run("iptables", &["--wait", "5", "-D", parent, "-j", &chain], "").await.is_ok() {
                let _ = run("iptables", &["--wait", "5", "-F", &chain], "").await;
                let _ = run("iptables", &["--wait", "5", "-X", &chain], "").await;
            }
        }
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Option<Last>> {
        self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The name of an installation's table: `towpath-` and the beginning of its id.
pub(super) fn name(installation: &InstallationId) -> String {
    format!("towpath-{}", &installation.as_str()[..12])
}

/// The interface of a bridge on this machine, where this process may set rules for it; else why not.
pub(super) async fn local_interface(bridge: &Bridge) -> Result<String, String> {
    if !bridge.routed {
        return Err("the engine runs in a virtual machine, without root, or elsewhere".into());
    }
    if !rustix::process::geteuid().is_root() {
        return Err("towpath does not run as root".into());
    }
    let interface = bridge.interface.clone().ok_or("the bridge's interface is not known")?;
    if !bridge.transient && !tokio::fs::try_exists(format!("/sys/class/net/{interface}")).await.unwrap_or(false) {
        return Err(format!("the bridge's interface {interface} is not on this host"));
    }
    Ok(interface)
}

/// What may be reached in any case, as lines of a chain: name servers, and single ports.
pub(super) fn reach_rules(nameservers: &[Ipv4Addr], reach: &[SocketAddrV4]) -> String {
    let dns = nameservers
        .iter()
        .flat_map(|server| ["udp", "tcp"].map(|l4| format!("    ip daddr {server} {l4} dport 53 accept\n")));
    dns.chain(reach.iter().map(|at| format!("    ip daddr {} tcp dport {} accept\n", at.ip(), at.port()))).collect()
}

/// [`METADATA`] as the elements of a set.
pub(super) fn metadata() -> String {
    METADATA.map(|(net, prefix)| format!("{net}/{prefix}")).join(", ")
}

/// The rules as text. Nothing in them comes from a repository or a manifest.
#[derive(Clone, Debug, Default)]
struct Rules {
    name: String,
    interface: String,
    /// Name servers that may be asked, wherever they are: on some clouds at a metadata address.
    nameservers: Vec<Ipv4Addr>,
    ports: Vec<u16>,
    reach: Vec<SocketAddrV4>,
    /// The bridge's addresses, where the rules keep neighbours apart.
    apart: Option<Subnet>,
    /// What this machine is reached by through the way out, where that is a program of its.
    machine: Vec<String>,
}

impl Rules {
    /// Names of chains of iptables have at most 28 characters.
    fn input(&self) -> String {
        format!("{}-in", self.name)
    }

    fn forward(&self) -> String {
        format!("{}-fw", self.name)
    }

    /// One transaction that replaces the table.
    fn nftables(&self) -> String {
        let Self { name, interface, .. } = self;
        let dns = reach_rules(&self.nameservers, &self.reach);
        let ports: String = self.ports.iter().map(|port| format!("    tcp dport {port} accept\n")).collect();
        format!(
            "add table inet {name}\ndelete table inet {name}\ntable inet {name} {{\n\
             \x20 chain input {{\n    type filter hook input priority -10; policy accept;\n\
             \x20   iifname != \"{interface}\" accept\n    ct state established,related accept\n{dns}{ports}    drop\n  }}\n\
             \x20 chain forward {{\n    type filter hook forward priority -10; policy accept;\n{}\
             \x20   iifname != \"{interface}\" accept\n    ct state established,related accept\n{dns}{}\
             \x20   oifname \"{interface}\" drop\n    ip daddr {{ {} }} drop\n\
             \x20   ip6 daddr {{ fe80::/10, fd00:ec2::/32, fd20:ce::/32 }} drop\n  }}\n{}}}\n{}",
            self.inward(),
            self.machine(),
            metadata(),
            self.strangers(),
            self.neighbours()
        )
    }

    /// Nobody else's packets are forwarded to Podman's bridge: neither those of builds nor those of other machines.
    fn inward(&self) -> String {
        let (to, Some(_)) = (format!("    oifname \"{}\"", self.interface), self.apart) else { return String::new() };
        format!("{to} ct state established,related accept\n{to} drop\n")
    }

    /// From a network whose packets this machine does not forward but connects for, it is out there like everything else.
    fn machine(&self) -> String {
        let own = self.machine.iter().filter(|place| !place.contains('/'));
        let open = own
            .flat_map(|at| self.ports.iter().map(move |port| format!("    ip daddr {at} tcp dport {port} accept\n")));
        open.chain(self.machine.iter().map(|place| format!("    ip daddr {place} drop\n"))).collect()
    }

    /// While nothing is on it, Podman's bridge is not there: what is for an address of an instance would leave this machine, and a
    /// stranger could answer.
    fn strangers(&self) -> String {
        let (interface, Some(subnet)) = (&self.interface, self.apart) else { return String::new() };
        format!(
            "  chain output {{\n    type filter hook output priority -10; policy accept;\n\
             \x20   ip daddr {subnet} oifname != {{ \"{interface}\", \"lo\" }} reject\n  }}\n"
        )
    }

    /// The table in which frames between neighbours end. They are never routed, so that the other table does not see them;
    /// without raw sockets nobody can give himself another address.
    fn neighbours(&self) -> String {
        let (name, Some(subnet)) = (&self.name, self.apart) else { return String::new() };
        format!(
            "add table bridge {name}\ndelete table bridge {name}\ntable bridge {name} {{\n  chain forward {{\n\
             \x20   type filter hook forward priority -10; policy accept;\n\
             \x20   ip saddr {subnet} ip daddr {subnet} drop\n  }}\n}}\n"
        )
    }

    fn whole_bridge(&self) -> String {
        format!("add rule bridge {} forward meta ibrname \"{}\" drop\n", self.name, self.interface)
    }

    /// One chain for `iptables-restore`, emptied and filled at once.
    fn iptables(&self, chain: &str) -> String {
        let mut lines = vec![format!("! -i {} -j RETURN", self.interface)];
        lines.push("-m conntrack --ctstate ESTABLISHED,RELATED -j RETURN".into());
        for server in &self.nameservers {
            lines.extend(["udp", "tcp"].map(|l4| format!("-d {server}/32 -p {l4} --dport 53 -j RETURN")));
        }
        lines.extend(self.reach.iter().map(|at| format!("-d {}/32 -p tcp --dport {} -j RETURN", at.ip(), at.port())));
        if chain == self.input() {
            lines.extend(self.ports.iter().map(|port| format!("-p tcp --dport {port} -j RETURN")));
            lines.push("-j DROP".into());
        } else {
            lines.push(format!("-o {} -j DROP", self.interface));
            lines.extend(METADATA.iter().map(|(net, prefix)| format!("-d {net}/{prefix} -j DROP")));
        }
        let lines: String = lines.into_iter().map(|line| format!("-A {chain} {line}\n")).collect();
        format!("*filter\n:{chain} - [0:0]\n{lines}COMMIT\n")
    }
}

/// The name servers that Docker gives to containers: the host's, loopback ones left out, for which it asks itself.
pub(super) async fn nameservers() -> Vec<Ipv4Addr> {
    let mut found = Vec::new();
    for file in ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"] {
        let text = tokio::fs::read_to_string(file).await.unwrap_or_default();
        found.extend(parse_nameservers(&text));
    }
    found.sort_unstable();
    found.dedup();
    found
}

fn parse_nameservers(text: &str) -> Vec<Ipv4Addr> {
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    let addresses = lines.filter_map(|rest| rest.trim().parse::<IpAddr>().ok());
    let four = addresses.filter_map(|address| match address {
        IpAddr::V4(address) if !address.is_loopback() => Some(address),
        _ => None,
    });
    // More is not what a resolver would ask.
    four.take(8).collect()
}

/// Runs a tool of the firewall; what it said when it failed.
pub(super) async fn run(tool: &'static str, arguments: &[&str], input: &str) -> Result<(), String> {
    let mut command = Command::new(tool);
    // Not every user's search path has these directories.
    command.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin").args(arguments);
    run_command(tool, command, input).await.map(|_| ())
}

/// Runs a command; what it printed, or said when it failed.
pub(super) async fn run_command(name: &str, mut command: Command, input: &str) -> Result<String, String> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let work = async {
        let mut child = command.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // A tool that does not read says why itself.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        child.wait_with_output().await
    };
    match tokio::time::timeout(LIMIT, work).await {
        Ok(Ok(output)) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        Ok(Ok(output)) => {
            let said = String::from_utf8_lossy(&output.stderr);
            // Podman's lines with a time are warnings that have nothing to do with it.
            let telling = said.lines().find(|line| !line.trim().is_empty() && !line.starts_with("time="));
            Err(format!("{name}: {}", telling.unwrap_or("it did not say why").trim()))
        }
        Ok(Err(error)) => Err(format!("{name}: {error}")),
        Err(_) => Err(format!("{name} did not end within {} s", LIMIT.as_secs())),
    }
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
