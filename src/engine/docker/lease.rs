//! Leases of addresses (law *No stranger answers*). The record of a lease is the container itself, by a label: an
//! address is free once no container of the installation carries it, running or not.

use super::network::Bridge;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Ports on loopback for hosts that cannot route to containers: below the ephemeral range of Linux (32768).
const FIRST_PORT: u16 = 20_000;
const PORTS: u32 = 10_000;

/// How an instance is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lease {
    /// By the container's own address on the bridge.
    Direct(Ipv4Addr),
    /// By a port of this host's loopback that Docker forwards. Its proxy accepts connections before the application
    /// listens, so only an HTTP check says something there.
    Published(u16),
}

impl Lease {
    /// Where the application's port answers.
    pub fn address(self, port: u16) -> SocketAddr {
        match self {
            Self::Direct(address) => SocketAddr::new(IpAddr::V4(address), port),
            Self::Published(published) => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), published),
        }
    }
}

/// The first free lease from the `from`th on, counted around. Going on from the last one, rather than from the start,
/// leaves a freed address alone for as long as there are others.
pub(super) fn next_free(bridge: &Bridge, direct: bool, taken: &BTreeSet<SocketAddr>, from: u32) -> Option<Lease> {
    if direct {
        let used: BTreeSet<IpAddr> = taken.iter().map(SocketAddr::ip).collect();
        let candidates = (0..bridge.subnet.capacity()).map(|n| bridge.subnet.address(from.wrapping_add(n)));
        return candidates.into_iter().find(|a| !used.contains(&IpAddr::V4(*a))).map(Lease::Direct);
    }
    let used: BTreeSet<u16> = taken.iter().filter(|a| a.ip().is_loopback()).map(SocketAddr::port).collect();
    (0..PORTS).map(|n| nth_port(from.wrapping_add(n))).find(|port| !used.contains(port)).map(Lease::Published)
}

fn nth_port(n: u32) -> u16 {
    // The remainder is below PORTS, which fits.
    FIRST_PORT + u16::try_from(n % PORTS).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::network::Subnet;
    use super::*;

    fn bridge(prefix: u8) -> Bridge {
        let subnet = Subnet::new(Ipv4Addr::new(10, 201, 0, 0), prefix);
        Bridge { name: "b".into(), subnet, interface: None, routed: true, transient: false }
    }

    #[test]
    fn an_address_that_a_container_carries_is_not_leased_again() {
        let taken = ["10.201.0.2:8080", "10.201.0.3:80"].map(|a| a.parse().unwrap()).into();
        let lease = next_free(&bridge(16), true, &taken, 0).unwrap();
        assert_eq!(lease.address(8080).to_string(), "10.201.0.4:8080");
        assert_eq!(next_free(&bridge(16), true, &taken, 9).unwrap().address(1).to_string(), "10.201.0.11:1");
    }

    #[test]
    fn a_full_network_leases_nothing() {
        let all = (2..7).map(|n| SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 201, 0, n)), 80)).collect();
        assert_eq!(next_free(&bridge(29), true, &all, 3), None);
    }

    #[test]
    fn published_ports_are_leased_from_their_own_range() {
        let taken = ["127.0.0.1:29999".parse().unwrap(), "10.201.0.2:20000".parse().unwrap()].into();
        let lease = next_free(&bridge(16), false, &taken, 9_999).unwrap();
        assert_eq!(lease.address(8080).to_string(), "127.0.0.1:20000");
    }
}
