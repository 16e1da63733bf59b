//! What control plane and ingress say: `Down` to the ingress, `Up` from it, and the settings that go down.

use super::{Generation, ServiceEntry};
use crate::model::{InstanceId, Invalid, ServiceId};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// The version of this protocol. A control plane and an ingress of different versions do not speak to each other.
pub const VERSION: u32 = 1;

/// From the control plane to the ingress.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "say")]
pub enum Down {
    /// First.
    Hello {
        /// [`VERSION`] of the speaker.
        version: u32,
    },
    /// How to treat connections from now on.
    Settings(Settings),
    /// Serve this address; `sockets` descriptors come with it, one per core. An address that is served already keeps the
    /// sockets it has.
    Listen {
        /// The bound address.
        address: SocketAddr,
        /// How many descriptors come with it.
        sockets: usize,
    },
    /// Stop serving every address that is not among these.
    ListenOnly {
        /// The addresses to keep.
        addresses: Vec<SocketAddr>,
    },
    /// The whole routing table.
    Full {
        /// All services.
        entries: Vec<ServiceEntry>,
        /// The generation that this table is.
        generation: Generation,
    },
    /// One service, whole.
    Put {
        /// The service.
        entry: ServiceEntry,
        /// The generation that the table then is.
        generation: Generation,
    },
    /// One service less.
    Remove {
        /// The service.
        service: ServiceId,
        /// The generation that the table then is.
        generation: Generation,
    },
    /// Stop accepting, finish what runs, exit.
    Shutdown {
        /// After that many milliseconds exit in any case.
        deadline_ms: u64,
    },
}

/// From the ingress to the control plane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "say")]
pub enum Up {
    /// First.
    Hello {
        /// [`VERSION`] of the speaker.
        version: u32,
        /// Its process id.
        pid: u32,
        /// The generation that it applies.
        generation: Generation,
        /// The boot that it lives in.
        boot: String,
        /// The number of its cores: how many sockets per address it wants.
        cores: usize,
    },
    /// It serves this address: duplicates of its `sockets` come back with it.
    Listening {
        /// The address.
        address: SocketAddr,
        /// How many descriptors come with it.
        sockets: usize,
    },
    /// All of its listeners were named: the greeting ends here.
    Ready,
    /// *All* cores apply this generation.
    Applied {
        /// The generation.
        generation: Generation,
    },
    /// Requests in flight that changed since the last gauges on this connection; never named means 0.
    Gauges {
        /// The generation that all cores applied *before* these were read.
        generation: Generation,
        /// Instances and their requests in flight, WebSockets included.
        in_flight: Vec<(InstanceId, u64)>,
    },
    /// Totals per service since `epoch`.
    Totals {
        /// Random per ingress process: totals of different epochs must not be subtracted.
        epoch: u64,
        /// Services and their totals.
        totals: Vec<(ServiceId, Totals)>,
    },
    /// An instance gets no requests for a while.
    InstanceEjected(Ejection),
}

/// What one service did since the ingress started. Monotonic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Answered requests, error pages included.
    pub requests: u64,
    /// Answers by class: 1xx to 5xx.
    pub classes: [u64; 5],
    /// Sum of the times from a request's head to its answer's head, in microseconds.
    pub latency_us: u64,
}

/// A passive ejection: the ingress could not connect to an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ejection {
    /// The service.
    pub service: ServiceId,
    /// The instance.
    pub instance: InstanceId,
    /// For how many milliseconds.
    pub for_ms: u64,
    /// What connecting said.
    pub error: String,
}

/// How the ingress treats connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// Names the engine that instances live on; addresses of another engine are never served from a snapshot.
    pub engine: String,
    /// Peers whose `X-Forwarded-*` and `X-Request-Id` are believed.
    pub trusted_proxies: Vec<Subnet>,
    /// Sizes and times.
    pub limits: Limits,
}

/// Sizes and times. All durations in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// From a request's head to its answer's head; after it 504. App Runner: 120 s.
    pub request_ms: u64,
    /// For a request's head to arrive, and for a connection kept alive to stay idle.
    pub head_ms: u64,
    /// For a connection to an instance.
    pub connect_ms: u64,
    /// How long a connection to an instance is kept without use.
    pub idle_ms: u64,
    /// The largest head of a request, in bytes; above it 431.
    pub head_bytes: usize,
    /// The most header lines of a request; above it 431.
    pub headers: usize,
    /// The most client connections per core; more wait in the kernel's queue.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_ms: 120_000,
            head_ms: 30_000,
            connect_ms: 2_000,
            idle_ms: 60_000,
            head_bytes: 64 * 1024,
            headers: 100,
            connections: 10_000,
        }
    }
}

impl Limits {
    /// [`Limits::request_ms`] as a duration.
    pub fn request(&self) -> Duration {
        Duration::from_millis(self.request_ms)
    }

    /// [`Limits::head_ms`] as a duration.
    pub fn head(&self) -> Duration {
        Duration::from_millis(self.head_ms)
    }

    /// [`Limits::connect_ms`] as a duration.
    pub fn connect(&self) -> Duration {
        Duration::from_millis(self.connect_ms)
    }

    /// [`Limits::idle_ms`] as a duration.
    pub fn idle(&self) -> Duration {
        Duration::from_millis(self.idle_ms)
    }
}

/// An IP network: `10.0.0.0/8`, `::1`, `192.0.2.7`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subnet {
    address: IpAddr,
    bits: u8,
}

impl Subnet {
    /// Whether an address is in it. An IPv4 address mapped into IPv6 is taken as the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(a)) => equal_prefix(&net.octets(), &a.octets(), self.bits),
            (IpAddr::V6(net), IpAddr::V6(a)) => equal_prefix(&net.octets(), &a.octets(), self.bits),
            _ => false,
        }
    }
}

fn equal_prefix(a: &[u8], b: &[u8], bits: u8) -> bool {
    let (whole, rest) = (usize::from(bits / 8), bits % 8);
    let tail = rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0;
    a[..whole] == b[..whole] && tail
}

impl std::str::FromStr for Subnet {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let bad = || {
            Invalid::new(format!("`{}` is not an IP network", text.escape_debug()))
                .hint("write it like `10.0.0.0/8`, or one address like `192.0.2.7`")
        };
        let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), str::parse).map_err(|_| bad())?;
        if bits > most {
            return Err(bad());
        }
        let host_bits = match address {
            IpAddr::V4(a) => u128::from(a.to_bits()) << 96 << bits.min(31) << (bits / 32),
            IpAddr::V6(a) => a.to_bits().checked_shl(u32::from(bits)).unwrap_or(0),
        };
        if host_bits != 0 && bits < most {
            let text = text.escape_debug();
            return Err(Invalid::new(format!(
                "`{text}` has bits set after its prefix: it names an address, not a network"
            )));
        }
        Ok(Self { address, bits })
    }
}

impl TryFrom<String> for Subnet {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<Subnet> for String {
    fn from(net: Subnet) -> String {
        format!("{}/{}", net.address, net.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_holds_its_addresses_and_no_others() {
        let table = [
            ("10.0.0.0/8", "10.200.1.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("192.168.4.0/22", "192.168.7.255", true),
            ("192.168.4.0/22", "192.168.8.0", false),
            ("0.0.0.0/0", "8.8.8.8", true),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("127.0.0.1", "::ffff:127.0.0.1", true),
            ("fd00::/8", "fd12::1", true),
            ("fd00::/8", "10.0.0.1", false),
        ];
        for (net, address, inside) in table {
            let net: Subnet = net.parse().unwrap();
            assert_eq!(net.contains(address.parse().unwrap()), inside, "{net:?} {address}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for bad in ["", "10.0.0.0/33", "10.0.0/8", "::/129", "localhost", "10.0.0.0/-1", "1.2.3.4/"] {
            assert!(bad.parse::<Subnet>().is_err(), "{bad}");
        }
    }
}
