//! The firewall around the instances' bridge (row A11): an instance reaches the internet, and neither the host's
//! listeners nor the addresses at which clouds answer with credentials. That instances do not reach each other is the
//! bridge's own setting, see `network`; Podman's has none, and there it is a rule of a second table.
//!
//! One table of nftables, or two chains of iptables, with the installation's name. Each call replaces them as a whole,
//! so a firewall that somebody flushed comes back. Only where this process is root on the engine's own machine;
//! elsewhere the state says why not.

use super::network::{Bridge, Subnet};
use crate::model::InstallationId;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::process::Stdio;
use std::sync::Mutex;
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
    last: Mutex<Option<(Instant, Isolation)>>,
}

impl Guard {
    pub fn new(installation: &InstallationId, open_ports: Vec<u16>) -> Self {
        Self::named(name(installation), open_ports, Vec::new())
    }

    /// For another bridge than the instances', with exceptions.
    pub fn named(name: String, open_ports: Vec<u16>, reach: Vec<SocketAddrV4>) -> Self {
        Self { name, open_ports, reach, apart: false, last: Mutex::new(None) }
    }

    /// The same, which keeps neighbours on the bridge apart as well.
    pub fn keeping_apart(self, apart: bool) -> Self {
        Self { apart, ..self }
    }

    /// What was found last.
    pub fn state(&self) -> Option<Isolation> {
        self.last().as_ref().map(|(_, state)| state.clone())
    }

    /// Sees to it that the rules are there, unless that was done a moment ago.
    pub async fn ensure(&self, bridge: &Bridge) {
        let fresh = self.last().as_ref().is_some_and(|(at, _)| at.elapsed() < FRESH);
        if !fresh {
            self.apply(bridge).await;
        }
    }

    /// Puts the rules in force.
    pub async fn apply(&self, bridge: &Bridge) {
        let state = match self.put(bridge).await {
            Ok(tool) => Isolation::Guarded(tool),
            Err(why) => Isolation::Open(why),
        };
        let mut last = self.last();
        if let Isolation::Open(why) = &state
            && last.as_ref().is_none_or(|(_, before)| *before != state)
        {
            tracing::warn!(table = %self.name, "instances or builds can reach this host's ports and cloud metadata addresses: {why}");
        }
        *last = Some((Instant::now(), state));
    }

    async fn put(&self, bridge: &Bridge) -> Result<&'static str, String> {
        let rules = self.rules(bridge).await?;
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

    async fn rules(&self, bridge: &Bridge) -> Result<Rules, String> {
        let interface = local_interface(bridge).await?;
        Ok(Rules {
            name: self.name.clone(),
            interface,
            nameservers: nameservers().await,
            ports: self.open_ports.clone(),
            reach: self.reach.clone(),
            apart: self.apart.then_some(bridge.subnet),
        })
    }

    /// Removes the rules. There being none is success.
    pub async fn remove(&self) {
        *self.last() = None;
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let rules = Rules { name: self.name.clone(), ..Rules::default() };
        // `delete` fails where there is no table; `add` before it makes sure that there is one.
        let script = format!("add table inet {0}\ndelete table inet {0}\n", rules.name);
        let _ = run("nft", &["-f", "-"], &script).await;
        if self.apart {
            let _ = run("nft", &["-f", "-"], &script.replace("table inet", "table bridge")).await;
        }
        for (chain, parent) in [(rules.input(), "INPUT"), (rules.forward(), "FORWARD")] {
            if run("iptables", &["--wait", "5", "-D", parent, "-j", &chain], "").await.is_ok() {
                let _ = run("iptables", &["--wait", "5", "-F", &chain], "").await;
                let _ = run("iptables", &["--wait", "5", "-X", &chain], "").await;
            }
        }
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Option<(Instant, Isolation)>> {
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
             \x20 chain forward {{\n    type filter hook forward priority -10; policy accept;\n\
             \x20   iifname != \"{interface}\" accept\n    ct state established,related accept\n{dns}\
             \x20   oifname \"{interface}\" drop\n    ip daddr {{ {} }} drop\n\
             \x20   ip6 daddr {{ fe80::/10, fd00:ec2::/32, fd20:ce::/32 }} drop\n  }}\n{}}}\n{}",
            metadata(),
            self.strangers(),
            self.neighbours()
        )
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
    command.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let work = async {
        let mut child = command.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // A tool that does not read says why itself.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        child.wait_with_output().await
    };
    match tokio::time::timeout(LIMIT, work).await {
        Ok(Ok(output)) if output.status.success() => Ok(()),
        Ok(Ok(output)) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(format!("{tool}: {}", said.lines().next().unwrap_or("it did not say why").trim()))
        }
        Ok(Err(error)) => Err(format!("{tool}: {error}")),
        Err(_) => Err(format!("{tool} did not end within {} s", LIMIT.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        Rules {
            name: "towpath-0123456789ab".into(),
            interface: "br-0".into(),
            nameservers: vec![Ipv4Addr::new(169, 254, 169, 253)],
            ports: vec![443],
            reach: vec![],
            apart: None,
        }
    }

    #[test]
    fn neighbours_on_a_bridge_of_podman_are_kept_apart_by_a_table_of_their_own() {
        assert!(!rules().nftables().contains("table bridge"));
        let apart = Rules { apart: Some(Subnet::new(Ipv4Addr::new(10, 201, 0, 0), 16)), ..rules() };
        let text = apart.nftables();
        assert!(text.contains("\ndelete table bridge towpath-0123456789ab\ntable bridge"), "{text}");
        assert!(text.contains("    ip saddr 10.201.0.0/16 ip daddr 10.201.0.0/16 drop\n"), "{text}");
        assert!(text.contains("    ip daddr 10.201.0.0/16 oifname != { \"br-0\", \"lo\" } reject\n  }\n}\n"), "{text}");
    }

    #[test]
    fn the_table_drops_what_comes_from_the_bridge_but_answers_names_and_the_ingress() {
        let text = rules().nftables();
        let input = text.split("chain input").nth(1).unwrap().split("chain forward").next().unwrap();
        let order = [
            "!= \"br-0\" accept",
            "established,related accept",
            "169.254.169.253 udp dport 53 accept",
            "tcp dport 443 accept",
            "  drop",
        ];
        let places: Vec<usize> =
            order.iter().map(|part| input.find(part).unwrap_or_else(|| panic!("{part}: {input}"))).collect();
        assert!(places.is_sorted(), "{input}");
        let forward = text.split("chain forward").nth(1).unwrap();
        assert!(!forward.contains("443"), "{forward}");
        assert!(forward.find("dport 53").unwrap() < forward.find("169.254.0.0/16").unwrap(), "{forward}");
        assert!(text.starts_with("add table inet towpath-0123456789ab\ndelete table inet towpath-0123456789ab\ntable"));
    }

    #[test]
    fn chains_of_iptables_say_the_same_and_have_names_that_fit() {
        let rules = rules();
        assert!(rules.input().len() <= 28 && rules.forward().len() <= 28);
        let (input, forward) = (rules.iptables(&rules.input()), rules.iptables(&rules.forward()));
        assert!(input.ends_with("--dport 443 -j RETURN\n-A towpath-0123456789ab-in -j DROP\nCOMMIT\n"), "{input}");
        assert!(
            forward.contains("-fw -o br-0 -j DROP\n") && forward.contains("-d 169.254.0.0/16 -j DROP\n"),
            "{forward}"
        );
    }

    #[test]
    fn name_servers_are_read_without_loopback_and_nonsense() {
        let text = "# c\nnameserver 10.0.0.2\nnameserver 127.0.0.53\nnameserver ::1\nnameserver x\noptions ndots:5\n";
        assert_eq!(parse_nameservers(text), [Ipv4Addr::new(10, 0, 0, 2)]);
    }
}
