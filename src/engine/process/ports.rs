//! Leases of ports: a port is an instance's from the moment its `spec.json` is written until that is removed.

use super::files::{InstanceDir, SpecFile};
use super::firewall::Lease;
use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::ops::RangeInclusive;
use std::path::Path;

/// Below the range that kernels take outgoing ports from (32768–60999 unless changed).
pub const LEASABLE: RangeInclusive<u16> = 20_000..=29_999;

/// Chooses a port that is neither leased nor listened on: `preferred` if it is free, else one of [`LEASABLE`], from a
/// place that `seed` gives, so that a port is not used again soon. `None` when all are taken.
pub fn choose(preferred: Option<u16>, seed: u32, leased: &BTreeSet<u16>) -> Option<u16> {
    let (first, count) = (u32::from(*LEASABLE.start()), u32::from(LEASABLE.end() - LEASABLE.start()) + 1);
    let range = (0..count).filter_map(|step| u16::try_from(first + (seed % count + step) % count).ok());
    preferred.into_iter().chain(range).find(|port| !leased.contains(port) && is_free(*port))
}

/// The ports of all instances below `root` that were not removed yet, whether they run or not.
pub fn leased(root: &Path) -> io::Result<BTreeSet<u16>> {
    Ok(specs(root)?.map(|spec| spec.port).collect())
}

/// The same with the user of each, where it has one of its own.
pub fn leases(root: &Path) -> io::Result<BTreeSet<Lease>> {
    Ok(specs(root)?.filter_map(|spec| Some((spec.files.user?, spec.port))).collect())
}

fn specs(root: &Path) -> io::Result<impl Iterator<Item = SpecFile>> {
    let entries = match std::fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        entries => entries?.flatten().collect(),
    };
    // A damaged spec holds no lease that could be read; whether its port is listened on is looked at anyway.
    Ok(entries.into_iter().filter_map(|e| InstanceDir::new(e.path()).spec().ok().flatten()).map(|(spec, _)| spec))
}

/// Whether nothing on this machine listens on the port, on any address.
fn is_free(port: u16) -> bool {
    // One socket for both families where there is IPv6; it conflicts with a listener on any single address.
    let both = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port));
    let v4 = match both {
        Ok(listener) => {
            drop(listener);
            return true;
        }
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => return false,
        Err(_) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)),
    };
    v4.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_leased_or_listened_on_is_not_chosen() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = listener.local_addr().unwrap().port();
        assert_ne!(choose(Some(taken), 0, &BTreeSet::new()), Some(taken));
        drop(listener);
        assert_eq!(choose(Some(taken), 0, &BTreeSet::new()), Some(taken));
        assert_ne!(choose(Some(taken), 0, &BTreeSet::from([taken])), Some(taken));
    }

    #[test]
    fn a_full_range_has_no_port() {
        assert_eq!(choose(None, 7, &LEASABLE.collect()), None);
    }

    #[test]
    fn seeds_spread_over_the_range_and_wrap_around() {
        let leased: BTreeSet<u16> = (20_001..=29_999).collect();
        assert!(choose(None, 9_999, &leased).is_none_or(|port| port == 20_000));
    }
}
