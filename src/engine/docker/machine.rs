//! This machine as it is seen from the network of Podman without root: what its user can connect to there, containers could as
//! well, since the way out is made by a process of his. So they are kept from the machine's own addresses, and from what is
//! behind its bridges (containers of others, virtual machines).

use super::network::Subnet;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// The addresses and networks, as a firewall takes them; or why they are not known, so that nothing stays open unsaid.
pub(super) async fn closed() -> Result<BTreeSet<String>, String> {
    let read = async |path| {
        let text = tokio::fs::read_to_string(path).await;
        text.map_err(|error| format!("this machine's own addresses are not known: `{path}`: {error}"))
    };
    let addresses = local(&read("/proc/net/fib_trie").await?);
    let mut closed: BTreeSet<String> = addresses.into_iter().map(|address| address.to_string()).collect();
    for (interface, subnet) in behind(&read("/proc/net/route").await?) {
        if tokio::fs::try_exists(format!("/sys/class/net/{interface}/bridge")).await.unwrap_or(false) {
            closed.insert(subnet.to_string());
        }
    }
    Ok(closed)
}

/// The addresses that are this machine's own, loopback ones left out: no packet of a container gets there.
fn local(trie: &str) -> BTreeSet<Ipv4Addr> {
    let mut found = BTreeSet::new();
    let mut address = None;
    for line in trie.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("|-- ") {
            address = text.parse::<Ipv4Addr>().ok();
        } else if line == "/32 host LOCAL" {
            found.extend(address.filter(|address| !address.is_loopback()));
        }
    }
    found
}

/// The networks that an interface is directly on. One by which the world is reached is not the machine's.
fn behind(routes: &str) -> Vec<(&str, Subnet)> {
    let routes: Vec<Route<'_>> = Route::read(routes).collect();
    let outward: BTreeSet<&str> =
        routes.iter().filter(|route| route.is_default()).map(|route| route.interface).collect();
    let direct = routes.iter().filter(|route| route.gateway.is_unspecified() && !outward.contains(route.interface));
    direct.map(|route| (route.interface, route.subnet)).collect()
}

/// A line of `/proc/net/route`.
pub(super) struct Route<'a> {
    pub interface: &'a str,
    pub gateway: Ipv4Addr,
    pub subnet: Subnet,
}

impl<'a> Route<'a> {
    /// All of them. Numbers are hexadecimal in the machine's byte order.
    pub fn read(table: &'a str) -> impl Iterator<Item = Self> + 'a {
        let number = |text: &str| u32::from_str_radix(text, 16).ok().map(|n| u32::from_be_bytes(n.to_ne_bytes()));
        table.lines().skip(1).filter_map(move |line| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            let prefix = u8::try_from(number(columns.get(7)?)?.count_ones()).ok()?;
            Some(Self {
                interface: columns.first()?,
                gateway: number(columns.get(2)?)?.into(),
                subnet: Subnet::new(number(columns.get(1)?)?.into(), prefix),
            })
        })
    }

    pub fn is_default(&self) -> bool {
        self.subnet == Subnet::new(Ipv4Addr::UNSPECIFIED, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_machine_are_read_and_neither_loopback_nor_broadcast_is_one() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     +-- 127.0.0.0/8 2 0 2\n        |-- 127.0.0.1\n           /32 host LOCAL\n\
                    \x20    +-- 192.0.2.0/24 2 0 2\n        |-- 192.0.2.2\n           /32 host LOCAL\n        |-- 192.0.2.255\n\
                    \x20          /32 link BROADCAST\nLocal:\n        |-- 192.0.2.2\n           /32 host LOCAL\n";
        assert_eq!(local(trie), BTreeSet::from([Ipv4Addr::new(192, 0, 2, 2)]));
    }

    #[test]
    fn networks_behind_the_machine_are_told_from_the_one_by_which_the_world_is_reached() {
        let routes = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n\
                      br0 00000000 010200C0 0003 0 0 0 00000000 0 0 0\n\
                      br0 000200C0 00000000 0001 0 0 0 00FFFFFF 0 0 0\n\
                      docker0 0000FA0A 00000000 0001 0 0 0 00FFFFFF 0 0 0\n";
        let found: Vec<String> = behind(routes).iter().map(|(name, subnet)| format!("{name} {subnet}")).collect();
        assert_eq!(found, ["docker0 10.250.0.0/24"]);
    }
}
