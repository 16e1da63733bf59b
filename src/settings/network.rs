//! Networks and domains that settings name.

use crate::model::Invalid;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A network in CIDR notation; a bare address is the network of that one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    /// An address in it, host bits zero.
    pub address: IpAddr,
    /// The length of its prefix: up to 32 or 128.
    pub prefix: u8,
}

impl Cidr {
    /// Whether an address is in it. An IPv4 address that came in as IPv6 (`::ffff:10.0.0.1`) is taken as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (bits, width) = bits(address.to_canonical());
        let (own, own_width) = bits_of(self);
        width == own_width && masked(bits, width, self.prefix) == own
    }
}

fn bits(address: IpAddr) -> (u128, u8) {
    match address {
        IpAddr::V4(a) => (u128::from(a.to_bits()), 32),
        IpAddr::V6(a) => (a.to_bits(), 128),
    }
}

fn bits_of(network: &Cidr) -> (u128, u8) {
    bits(network.address)
}

/// The bits of an address with everything after the prefix zero.
fn masked(bits: u128, width: u8, prefix: u8) -> u128 {
    let host = u32::from(width - prefix);
    if host == 128 { 0 } else { bits >> host << host }
}

impl FromStr for Cidr {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let bad = || Invalid::new("write a network like `10.0.0.0/8` or an address");
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let (value, width) = bits(address);
        let prefix = match prefix {
            None => width,
            Some(p) if p.len() <= 3 && p.bytes().all(|b| b.is_ascii_digit()) => p.parse().map_err(|_| bad())?,
            Some(_) => return Err(bad()),
        };
        if prefix > width {
            return Err(Invalid::new(format!("a prefix of this network has at most {width} bits")));
        }
        if masked(value, width, prefix) != value {
            return Err(Invalid::new(format!(
                "`{text}` has bits set after its prefix: it names an address, not a network"
            )));
        }
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// The domain under which services get their hosts: lower case, no dot at either end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseDomain(String);

impl BaseDomain {
    /// The domain as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BaseDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for BaseDomain {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let domain = text.to_ascii_lowercase();
        let label = |l: &str| {
            (1..=63).contains(&l.len())
                && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !l.starts_with('-')
                && !l.ends_with('-')
        };
        // 253 is a host name's limit; a service's label and the region's stand before the domain.
        if domain.len() <= 253 - 64 - 64 && domain.split('.').all(label) {
            return Ok(Self(domain));
        }
        Err(Invalid::new("a base domain is a host name like `apps.example.com`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_its_addresses_and_no_others() {
        let ten: Cidr = "10.0.0.0/8".parse().unwrap();
        let holds = |network: &Cidr, a: &str| network.contains(a.parse().unwrap());
        assert!(holds(&ten, "10.255.0.1") && holds(&ten, "::ffff:10.1.2.3"));
        assert!(!holds(&ten, "11.0.0.1") && !holds(&ten, "::1"));
        assert!(holds(&"0.0.0.0/0".parse().unwrap(), "1.2.3.4"));
        assert!(holds(&"::/0".parse().unwrap(), "fe80::1"));
        assert!(!holds(&"127.0.0.1".parse().unwrap(), "127.0.0.2"));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for bad in ["", "10.0.0.0/33", "10.0.0.1/8", "x/8", "10.0.0.0/", "10.0.0.0/+8", "::/129"] {
            assert!(bad.parse::<Cidr>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_base_domain_is_a_host_name() {
        assert_eq!("Apps.Example.com".parse::<BaseDomain>().unwrap().as_str(), "apps.example.com");
        for bad in ["", ".", "a..b", "-a", "a b", "a/b", "x:80", "exämple.com"] {
            assert!(bad.parse::<BaseDomain>().is_err(), "{bad}");
        }
    }
}
