//! The bridge that all instances of an installation are on: one /16, no traffic between its containers; and a small one for
//! builds by the classic builder.

use super::client::{call, call_optional};
use super::labels;
use super::podman::{NewNetwork, Podman};
use crate::engine::EngineError;
use crate::model::InstallationId;
use bollard::Docker;
use bollard::models::{Ipam, IpamConfig, Network, NetworkCreateRequest};
use bollard::query_parameters::ListNetworksOptionsBuilder;
use std::collections::HashMap;
use std::net::{Ipv4Addr, UdpSocket};

/// An IPv4 network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Subnet {
    base: u32,
    prefix: u8,
}

impl Subnet {
    pub fn new(address: Ipv4Addr, prefix: u8) -> Self {
        let prefix = prefix.min(32);
        Self { base: u32::from(address) & mask(prefix), prefix }
    }

    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let prefix: u8 = prefix.parse().ok()?;
        (prefix <= 32).then_some(())?;
        Some(Self::new(address.parse().ok()?, prefix))
    }

    fn overlaps(self, other: Self) -> bool {
        let shorter = mask(self.prefix.min(other.prefix));
        self.base & shorter == other.base & shorter
    }

    /// The host's address on the bridge.
    pub fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from(self.base + 1)
    }

    /// How many addresses instances can have: all but network, gateway and broadcast.
    pub fn capacity(self) -> u32 {
        (!mask(self.prefix)).saturating_sub(2)
    }

    /// The `n`th address for instances, counted around.
    pub fn address(self, n: u32) -> Ipv4Addr {
        Ipv4Addr::from(self.base + 2 + n % self.capacity().max(1))
    }
}

impl std::fmt::Display for Subnet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.base), self.prefix)
    }
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

/// The bridge as it is.
#[derive(Clone, Debug)]
pub(super) struct Bridge {
    pub name: String,
    pub subnet: Subnet,
    /// The interface on the engine's machine, as Docker names it.
    pub interface: Option<String>,
    /// Whether this host has the bridge's gateway address, and so routes to its containers. Not so where Docker runs
    /// in a virtual machine or without root.
    pub routed: bool,
    /// Whether the interface is there only while a container is: Podman's.
    pub transient: bool,
}

/// What a bridge is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Instances,
    /// Commands of the classic builder.
    Builds,
}

impl Kind {
    fn label(self) -> &'static str {
        match self {
            Self::Instances => labels::INSTALLATION,
            Self::Builds => labels::BUILDS_OF,
        }
    }

    fn name(self, installation: &InstallationId) -> String {
        let suffix = if self == Self::Builds { "-builds" } else { "" };
        format!("towpath-{}{suffix}", &installation.as_str()[..12])
    }

    fn prefix(self) -> u8 {
        if self == Self::Builds { 24 } else { 16 }
    }

    /// The interface that Podman makes for it. Names of interfaces have at most 15 characters.
    pub fn interface(self, installation: &InstallationId) -> String {
        let short = if self == Self::Builds { "tb" } else { "tp" };
        format!("{short}-{}", &installation.as_str()[..12])
    }
}

/// Finds the installation's bridge by its label, or makes it.
pub(super) async fn ensure(
    docker: &Docker,
    podman: Option<&Podman>,
    installation: &InstallationId,
    kind: Kind,
) -> Result<Bridge, EngineError> {
    if let Some(bridge) = find(docker, podman, installation, kind).await? {
        return Ok(bridge);
    }
    create(docker, podman, installation, kind).await?;
    // Read back: another start may have made one at the same moment, and the label decides which counts.
    find(docker, podman, installation, kind)
        .await?
        .ok_or_else(|| EngineError::Refused("the network vanished right after it was created".into()))
}

/// Tries candidates until Docker takes one: it knows overlaps that cannot be seen from here, and others may create
/// networks at this moment. Every refusal takes a candidate away, so this ends.
async fn create(
    docker: &Docker,
    podman: Option<&Podman>,
    installation: &InstallationId,
    kind: Kind,
) -> Result<(), EngineError> {
    let all = call("list networks", docker.list_networks(None)).await?;
    let mut taken: Vec<Subnet> = all.iter().flat_map(subnets).collect();
    taken.extend(host_routes().await);
    // A bridge of Podman is in no route while it is empty: what another engine here has is not seen then.
    let first = if podman.is_some() { spread(installation) } else { 0 };
    while let Some(subnet) = choose(&taken, kind.prefix(), first) {
        let created = match podman {
            None => {
                let request = request(installation, subnet, kind);
                call("create the instances' network", docker.create_network(request)).await.map(|_| ())
            }
            Some(podman) => create_on_podman(podman, installation, subnet, kind).await,
        };
        let Err(error) = created else { return Ok(()) };
        let said = refusal(&error);
        // Made by another start meanwhile.
        if said.contains("already exists") {
            return Ok(());
        }
        if !said.contains("overlaps") && !said.contains("already used") && !said.contains("already being used") {
            return Err(error);
        }
        taken.push(subnet);
    }
    Err(EngineError::Refused(
        "no free network is left for instances or builds: every candidate in 10.201–10.250 and 172.20–172.31 overlaps a route \
         or a Docker network of this host; remove one with `docker network rm`"
            .into(),
    ))
}

async fn create_on_podman(
    podman: &Podman,
    installation: &InstallationId,
    subnet: Subnet,
    kind: Kind,
) -> Result<(), EngineError> {
    let network = NewNetwork {
        name: &kind.name(installation),
        interface: &kind.interface(installation),
        subnet: subnet.to_string(),
        gateway: subnet.gateway().to_string(),
        label: (kind.label(), installation.as_str()),
    };
    podman.create_network(&network).await
}

/// What an engine said when it refused. Podman answers with 500 where Docker answers with 4xx.
fn refusal(error: &EngineError) -> String {
    match error {
        EngineError::Io { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}

async fn find(
    docker: &Docker,
    podman: Option<&Podman>,
    installation: &InstallationId,
    kind: Kind,
) -> Result<Option<Bridge>, EngineError> {
    let label = format!("{}={installation}", kind.label());
    let filters = HashMap::from([("label", vec![label])]);
    let options = ListNetworksOptionsBuilder::default().filters(&filters).build();
    let mut found = call("list networks", docker.list_networks(Some(options))).await?;
    found.sort_by(|a, b| a.id.cmp(&b.id));
    let bridge = found.iter().find_map(bridge);
    Ok(match podman {
        None => bridge,
        // It names no interface, and routes to the bridge once something is on it; without root the bridge is elsewhere.
        Some(podman) => bridge.map(|bridge| Bridge {
            interface: Some(kind.interface(installation)),
            routed: podman.rootless.is_none(),
            transient: true,
            ..bridge
        }),
    })
}

fn bridge(network: &Network) -> Option<Bridge> {
    let subnet = subnets(network).next()?;
    let named = network.options.as_ref().and_then(|options| options.get("com.docker.network.bridge.name").cloned());
    Some(Bridge {
        name: network.name.clone()?,
        subnet,
        interface: named.or_else(|| network.id.as_deref().and_then(interface)),
        routed: is_local(subnet.gateway()),
        transient: false,
    })
}

/// A network of the engine's own.
pub(super) async fn default_bridge(docker: &Docker, name: &str) -> Result<Option<Bridge>, EngineError> {
    let filters = HashMap::from([("name", vec![name.to_owned()])]);
    let options = ListNetworksOptionsBuilder::default().filters(&filters).build();
    let found = call("list networks", docker.list_networks(Some(options))).await?;
    Ok(found.iter().filter(|network| network.name.as_deref() == Some(name)).find_map(bridge))
}

/// Removes the installation's bridges. One that still has a container on it is left.
pub(super) async fn remove(docker: &Docker, installation: &InstallationId, kind: Kind) -> Result<(), EngineError> {
    // Two, where two starts made one each at the same moment.
    for _ in 0..2 {
        let Some(bridge) = find(docker, None, installation, kind).await? else { return Ok(()) };
        let removed = call_optional("remove the instances' network", docker.remove_network(&bridge.name)).await;
        let Err(error) = removed else { continue };
        let in_use = ["active endpoints", "being used"].iter().any(|words| refusal(&error).contains(words));
        return if in_use { Ok(()) } else { Err(error) };
    }
    Ok(())
}

/// Docker names a bridge after its network's id.
fn interface(id: &str) -> Option<String> {
    let digits = id.get(..12).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
    Some(format!("br-{digits}"))
}

/// Only an address of this host can be bound.
fn is_local(address: Ipv4Addr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

fn subnets(network: &Network) -> impl Iterator<Item = Subnet> + '_ {
    let configs = network.ipam.as_ref().and_then(|ipam| ipam.config.as_deref()).unwrap_or_default();
    configs.iter().filter_map(|config| Subnet::parse(config.subnet.as_deref()?))
}

fn request(installation: &InstallationId, subnet: Subnet, kind: Kind) -> NetworkCreateRequest {
    let config = IpamConfig {
        subnet: Some(subnet.to_string()),
        gateway: Some(subnet.gateway().to_string()),
        ..IpamConfig::default()
    };
    NetworkCreateRequest {
        name: kind.name(installation),
        driver: Some("bridge".into()),
        ipam: Some(Ipam { config: Some(vec![config]), ..Ipam::default() }),
        // Row A11: instances reach the world, not each other.
        options: Some(HashMap::from([("com.docker.network.bridge.enable_icc".into(), "false".into())])),
        labels: Some(HashMap::from([(kind.label().into(), installation.to_string())])),
        ..NetworkCreateRequest::default()
    }
}

/// The first candidate that overlaps nothing, from the `first`th on, counted around.
fn choose(taken: &[Subnet], prefix: u8, first: usize) -> Option<Subnet> {
    let tens = (201..=250).map(|n| Ipv4Addr::new(10, n, 0, 0));
    let others = (20..=31).map(|n| Ipv4Addr::new(172, n, 0, 0));
    let all: Vec<Subnet> = tens.chain(others).map(|base| Subnet::new(base, prefix)).collect();
    let around = all.iter().cycle().skip(first % all.len()).take(all.len());
    around.copied().find(|s| !taken.iter().any(|t| t.overlaps(*s)))
}

/// A number of an installation's own.
fn spread(installation: &InstallationId) -> usize {
    installation.as_str().bytes().fold(0, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()))
}

async fn host_routes() -> Vec<Subnet> {
    // Elsewhere than on Linux there is no such file, and no route of Docker's virtual machine to see either.
    parse_routes(&tokio::fs::read_to_string("/proc/net/route").await.unwrap_or_default())
}

/// Destinations of `/proc/net/route` (hexadecimal in the host's byte order), the default route left out.
fn parse_routes(table: &str) -> Vec<Subnet> {
    let hex = |text: &str| u32::from_str_radix(text, 16).ok().map(|n| u32::from_be_bytes(n.to_ne_bytes()));
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            let (destination, mask) = (hex(columns.get(1)?)?, hex(columns.get(7)?)?);
            (mask != 0).then(|| Subnet::new(destination.into(), u8::try_from(mask.count_ones()).unwrap_or(32)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_overlaps_no_route_and_no_other_network() {
        let taken = ["10.201.7.0/24", "10.202.0.0/15", "192.168.0.0/16"].map(|t| Subnet::parse(t).unwrap());
        assert_eq!(choose(&taken, 16, 0).unwrap().to_string(), "10.204.0.0/16");
        assert_eq!(choose(&taken, 16, 61).unwrap().to_string(), "172.31.0.0/16");
        assert_eq!(choose(&taken, 16, 62).unwrap().to_string(), "10.204.0.0/16");
        assert_eq!(choose(&[Subnet::parse("10.0.0.0/8").unwrap()], 16, 3).unwrap().to_string(), "172.20.0.0/16");
        assert_eq!(choose(&[Subnet::parse("0.0.0.0/0").unwrap()], 16, 9), None);
    }

    #[test]
    fn routes_are_read_without_the_default_one() {
        let table = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n\
                     eth0 00000000 010200C0 0003 0 0 0 00000000 0 0 0\n\
                     br0 0000C90A 00000000 0001 0 0 0 0000FFFF 0 0 0\n";
        let routes: Vec<String> = parse_routes(table).iter().map(Subnet::to_string).collect();
        assert_eq!(routes, ["10.201.0.0/16"]);
    }

    #[test]
    fn addresses_leave_out_network_gateway_and_broadcast() {
        let subnet = Subnet::parse("10.201.0.0/16").unwrap();
        assert_eq!(subnet.gateway().to_string(), "10.201.0.1");
        assert_eq!(subnet.address(0).to_string(), "10.201.0.2");
        assert_eq!(subnet.address(subnet.capacity() - 1).to_string(), "10.201.255.254");
        assert_eq!(subnet.address(subnet.capacity()), subnet.address(0));
    }

    #[test]
    fn a_subnet_that_is_none_is_not_read() {
        for bad in ["", "10.0.0.0", "10.0.0.0/33", "fd00::/8", "x/8"] {
            assert_eq!(Subnet::parse(bad), None, "{bad}");
        }
    }
}
