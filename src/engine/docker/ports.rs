//! What a container's processes listen on, read from its network namespace through `/proc`.

use crate::host::tree::Listener;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// Docker's own name server listens inside every container.
const DOCKER_DNS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);

/// The ports; empty when the container's processes cannot be seen from here (a virtual machine, another namespace).
pub(super) async fn listening(pid: i64, container: &str) -> Vec<u16> {
    let tables = tables(pid, container).await;
    let ports: BTreeSet<u16> = tables.iter().flat_map(|table| parse(table)).map(|listener| listener.port).collect();
    ports.into_iter().collect()
}

/// How many connections to a port wait to be accepted; `None` when that cannot be seen, or nothing listens there.
pub(super) async fn unaccepted(pid: i64, container: &str, port: u16) -> Option<u32> {
    let tables = tables(pid, container).await;
    let there = tables.iter().flat_map(|table| parse(table)).filter(|listener| listener.port == port);
    there.map(|listener| listener.unaccepted).reduce(u32::saturating_add)
}

async fn tables(pid: i64, container: &str) -> [String; 2] {
    if container.is_empty() || !is_of(pid, container).await {
        return Default::default();
    }
    let read = |table| tokio::fs::read_to_string(format!("/proc/{pid}/net/{table}"));
    [read("tcp").await.unwrap_or_default(), read("tcp6").await.unwrap_or_default()]
}

/// A number of another process id namespace may be anybody here: its cgroup must name the container, or, where containers have
/// no cgroups of their own (Podman without root), the monitor that it is a child of.
pub(super) async fn is_of(pid: i64, container: &str) -> bool {
    let read = async |file: String| tokio::fs::read(file).await.unwrap_or_default();
    let names = |text: &[u8]| String::from_utf8_lossy(text).contains(container);
    if names(&read(format!("/proc/{pid}/cgroup")).await) {
        return true;
    }
    let status = read(format!("/proc/{pid}/status")).await;
    let status = String::from_utf8_lossy(&status);
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse::<u32>().ok());
    match parent {
        Some(parent) => names(&read(format!("/proc/{parent}/cmdline")).await),
        None => false,
    }
}

fn parse(table: &str) -> impl Iterator<Item = Listener<'_>> + '_ {
    table.lines().skip(1).filter_map(Listener::parse).filter(|listener| {
        let address = u32::from_str_radix(listener.address, 16).map(|n| u32::from_be_bytes(n.to_ne_bytes()));
        address != Ok(u32::from(DOCKER_DNS))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_told_from_connections_and_from_dockers_name_server() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 00000000:1F90 00000000:0000 0A 00000000:0000000B 00:00000000 00000000 0 0 71 1\n\
            1: 0B00007F:A1B2 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 72 1\n\
            2: 0200C90A:1F90 0100C90A:C001 01 00000000:00000000 00:00000000 00000000 0 0 73 1\n";
        let read = |table| parse(table).map(|listener| (listener.port, listener.unaccepted)).collect::<Vec<_>>();
        assert_eq!(read(table), [(8080, 11)]);
        let six = "head\n 0: 00000000000000000000000000000000:0BB8 00000000000000000000000000000000:0000 0A \
            00000000:00000000 00:00000000 00000000 0 0 74 1\n";
        assert_eq!(read(six), [(3000, 0)]);
    }
}
