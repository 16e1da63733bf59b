//! The ports that a container's processes listen on, read from its network namespace through `/proc`.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// `st` of a listening socket in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// Docker's own name server listens inside every container.
const DOCKER_DNS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);

/// The ports; empty when the container's processes cannot be seen from here (a virtual machine, another namespace).
pub(super) async fn listening(pid: i64, container: &str) -> Vec<u16> {
    if container.is_empty() || !is_of(pid, container).await {
        return Vec::new();
    }
    let mut ports = BTreeSet::new();
    for table in ["tcp", "tcp6"] {
        let text = tokio::fs::read_to_string(format!("/proc/{pid}/net/{table}")).await.unwrap_or_default();
        ports.extend(parse(&text));
    }
    ports.into_iter().collect()
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

fn parse(table: &str) -> impl Iterator<Item = u16> + '_ {
    table.lines().skip(1).filter_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        if columns.get(3) != Some(&LISTEN) {
            return None;
        }
        let (address, port) = columns.get(1)?.split_once(':')?;
        let ours = u32::from_str_radix(address, 16).map(|n| u32::from_be_bytes(n.to_ne_bytes()));
        (ours != Ok(u32::from(DOCKER_DNS))).then(|| u16::from_str_radix(port, 16).ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_told_from_connections_and_from_dockers_name_server() {
        let table = "  sl  local_address rem_address   st\n\
            0: 00000000:1F90 00000000:0000 0A 0\n\
            1: 0B00007F:A1B2 00000000:0000 0A 0\n\
            2: 0200C90A:1F90 0100C90A:C001 01 0\n";
        assert_eq!(parse(table).collect::<Vec<_>>(), [8080]);
        let six = "head\n 0: 00000000000000000000000000000000:0BB8 00000000000000000000000000000000:0000 0A 0\n";
        assert_eq!(parse(six).collect::<Vec<_>>(), [3000]);
    }
}
