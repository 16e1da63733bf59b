//! Rules that keep services from each other's ports, from towpath's own and from the machine's metadata (row A11).
//!
//! One nftables table per installation, always written as a whole from the leases on disk, so that it cannot drift. It
//! tells services apart by their users; it needs the rights of root and the `nft` tool. Blocking.

use crate::host::disk::finish;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long `nft` may take; five milliseconds is usual.
const LIMIT: Duration = Duration::from_secs(10);
/// How often the table is written again although nothing changed: others flush whole rule sets.
const RENEWAL: Duration = Duration::from_secs(60);
/// Ports of container engines, beside those that the installation names.
const ENGINE_PORTS: [u16; 2] = [2375, 2376];

/// A user and the port that its instance has.
pub type Lease = (u32, u16);

/// The table of one installation.
#[derive(Debug)]
pub struct Firewall {
    table: String,
    users: (u32, u32),
    private: BTreeSet<u16>,
    /// What was written last, and when.
    written: Mutex<Option<(BTreeSet<Lease>, Instant)>>,
}

impl Firewall {
    /// The table of an installation whose services have these users; `private` are ports of towpath that no service may
    /// connect to. Writes nothing.
    pub fn new(installation: &str, users: (u32, u32), private: &[u16]) -> Self {
        let private = private.iter().copied().chain(ENGINE_PORTS).filter(|port| *port != 0).collect();
        let table = format!("towpath_{}", installation.get(..12).unwrap_or(installation));
        Self { table, users, private, written: Mutex::default() }
    }

    /// Lets the table say these leases.
    ///
    /// # Errors
    /// When `nft` is missing or refuses.
    pub fn write(&self, leases: BTreeSet<Lease>) -> io::Result<()> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if written.as_ref().is_some_and(|(known, at)| *known == leases && at.elapsed() < RENEWAL) {
            return Ok(());
        }
        nft(&self.script(&leases))?;
        *written = Some((leases, Instant::now()));
        Ok(())
    }

    /// Whether the table was written a while ago, or never by this process.
    pub fn is_due(&self) -> bool {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.as_ref().is_none_or(|(_, at)| at.elapsed() >= RENEWAL)
    }

    /// Removes the table. None there is success.
    ///
    /// # Errors
    /// When `nft` is missing or refuses.
    pub fn remove(&self) -> io::Result<()> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        *written = None;
        nft(&self.removal())
    }

    /// Made first, since what is not there cannot be deleted.
    fn removal(&self) -> String {
        let table = &self.table;
        format!("table inet {table}\ndelete table inet {table}\n")
    }

    fn script(&self, leases: &BTreeSet<Lease>) -> String {
        let (first, last) = self.users;
        let ports: BTreeSet<u16> = leases.iter().map(|(_, port)| *port).collect();
        // Known by name rather than by range: a table that a crash left must not judge another installation's answers.
        let users: BTreeSet<u32> = leases.iter().map(|(user, _)| *user).collect();
        let users = elements(users.iter().map(u32::to_string));
        let leased = elements(leases.iter().map(|(user, port)| format!("{user} . {port}")));
        let ports = elements(ports.iter().map(u16::to_string));
        let private = elements(self.private.iter().map(u16::to_string));
        // Only first packets are looked at closely. A service reaches its own ports; an answer from a port that another
        // has leased would be a stranger's, taken for that service's.
        let mut script = self.removal();
        let _ = write!(
            script,
            "table inet {table} {{
  set leases {{ typeof meta skuid . tcp sport; {leased} }}
  set users {{ typeof meta skuid; {users} }}
  set ports {{ type inet_service; {ports} }}
  set private {{ type inet_service; {private} }}
  chain output {{
    type filter hook output priority 0; policy accept;
    meta skuid {first}-{last} jump service
  }}
  chain service {{
    ip daddr {{ 169.254.0.0/16, 100.100.100.200 }} meta l4proto {{ tcp, udp }} th dport != 53 reject
    ip6 daddr fd00:ec2::254 meta l4proto {{ tcp, udp }} reject
    tcp flags & (syn | ack) == (syn | ack) tcp sport @ports meta skuid @users meta skuid . tcp sport != @leases drop
    tcp flags & (fin | syn | rst | ack) != syn return
    meta skuid . tcp dport @leases accept
    fib daddr type local tcp dport @ports reject with tcp reset
    fib daddr type local tcp dport @private reject with tcp reset
  }}
  chain input {{
    type filter hook input priority 0; policy accept;
    iifname != \"lo\" tcp dport @ports reject with tcp reset
  }}
}}
",
            table = self.table
        );
        script
    }
}

fn elements(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    if items.is_empty() { String::new() } else { format!("elements = {{ {} }}", items.join(", ")) }
}

/// Whether the table can be written here, found out by checking one without writing it.
///
/// # Errors
/// Why not.
pub fn probe() -> io::Result<()> {
    let sample = Firewall::new("probe", (1_900_000_000, 1_900_000_001), &[1]);
    run(&["--check", "-f", "-"], &sample.script(&BTreeSet::from([(1_900_000_000, 20_000)])))
}

fn nft(script: &str) -> io::Result<()> {
    run(&["-f", "-"], script)
}

fn run(arguments: &[&str], script: &str) -> io::Result<()> {
    let mut command = Command::new("nft");
    command.args(arguments).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").current_dir("/");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => io::Error::new(error.kind(), "`nft` is not installed (package `nftables`)"),
        _ => error,
    })?;
    // Dropped after writing, so that `nft` sees the end. What it thinks of the script is in its status.
    let _ = child.stdin.take().map(|mut input| input.write_all(script.as_bytes()));
    finish(child, "nft", LIMIT).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_without_leases_and_one_with_many_are_understood_by_nft() {
        let firewall = Firewall::new("0123456789abcdef", (1_900_000_000, 1_900_065_535), &[8090, 0]);
        if let Err(error) = probe() {
            eprintln!("SKIPPED: {error}");
            return;
        }
        let many = (20_000..20_500).map(|port| (1_900_000_000 + u32::from(port % 7), port)).collect();
        for leases in [BTreeSet::new(), many] {
            run(&["--check", "-f", "-"], &firewall.script(&leases)).unwrap();
        }
    }

    #[test]
    fn ports_of_no_number_are_left_out() {
        let firewall = Firewall::new("0123456789abcdef", (1, 2), &[8090, 0]);
        let script = firewall.script(&BTreeSet::from([(1, 20_000), (2, 20_001)]));
        assert!(script.contains("elements = { 2375, 2376, 8090 }"), "{script}");
        assert!(script.contains("elements = { 1 . 20000, 2 . 20001 }"), "{script}");
        assert!(script.starts_with("table inet towpath_0123456789ab\ndelete table inet towpath_0123456789ab\n"));
    }
}
