//! Process trees through `/proc`: who descends from whom, who carries a marker, and signals that never hit a stranger.
//!
//! A process id alone names nothing: it is used again. A process is its id *and* its start time, and signals go through
//! a pidfd that was opened before both were compared.

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// One process, as `/proc/<pid>/stat` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// Its parent's id.
    pub parent: i32,
    /// Its state: `R`, `S`, `D`, `T` (stopped), `Z` (ended, not yet waited for), …
    pub state: char,
    /// CPU time of it and of its ended children, in ticks of 1/100 s (`USER_HZ` is 100 on every Linux).
    pub cpu_ticks: u64,
    /// When it was started, in ticks since boot.
    pub start: u64,
}

impl Process {
    /// Whether it is stopped in its tracks.
    pub fn is_stopped(&self) -> bool {
        self.state == 'T'
    }

    /// Whether it has ended and only its exit status is left.
    pub fn has_ended(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }

    /// CPU time used by it and its ended children.
    pub fn cpu(&self) -> Duration {
        Duration::from_millis(self.cpu_ticks * 10)
    }
}

/// Parses the content of a `stat` file. The command in parentheses may itself hold spaces and parentheses.
fn parse_stat(text: &str) -> Option<Process> {
    let pid = text.split(' ').next()?.parse().ok()?;
    let fields: Vec<&str> = text.get(text.rfind(')')? + 2..)?.split(' ').collect();
    // Numbered from 3 in proc(5): state, ppid, … utime 14, stime 15, cutime 16, cstime 17, … starttime 22.
    let number = |at: usize| fields.get(at - 3)?.parse::<u64>().ok();
    Some(Process {
        pid,
        parent: fields.get(1)?.parse().ok()?,
        state: fields.first()?.chars().next()?,
        cpu_ticks: number(14)? + number(15)? + number(16)? + number(17)?,
        start: number(22)?,
    })
}

/// One process; `None` when there is none of this id.
pub fn read(pid: i32) -> Option<Process> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// All processes that have not ended.
pub fn all() -> Vec<Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let ids = entries.flatten().filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
    ids.filter_map(read).filter(|p| !p.has_ended()).collect()
}

/// The processes of `all` that descend from any of `roots`, the roots themselves left out. Parents come first.
pub fn descendants(roots: &[i32], all: &[Process]) -> Vec<Process> {
    let mut known: Vec<i32> = roots.to_vec();
    let mut found: Vec<Process> = Vec::new();
    let mut at = 0;
    while at < known.len() {
        let children = all.iter().filter(|p| p.parent == known[at] && !roots.contains(&p.pid));
        let children: Vec<&Process> = children.filter(|p| !found.contains(p)).collect();
        known.extend(children.iter().map(|p| p.pid));
        found.extend(children.into_iter().cloned());
        at += 1;
    }
    found
}

/// The processes whose environment carries `marker` (`NAME=value`), and everything that descends from them.
pub fn marked(marker: &str) -> Vec<Process> {
    let all = all();
    let roots: Vec<Process> = all.iter().filter(|p| carries(p.pid, marker)).cloned().collect();
    let ids: Vec<i32> = roots.iter().map(|p| p.pid).collect();
    let below = descendants(&ids, &all);
    roots.into_iter().chain(below).collect()
}

/// Whether a process was started with `marker` in its environment. Processes of other users cannot be read: false.
fn carries(pid: i32, marker: &str) -> bool {
    std::fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|environ| environ.split(|b| *b == 0).any(|variable| variable == marker.as_bytes()))
}

/// A descriptor of exactly this process; `None` when it is gone, even if its id is in use again.
pub fn open(pid: i32, start: u64) -> Option<OwnedFd> {
    let descriptor = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
    // Compared after opening: the descriptor stays bound to the process that has this start time.
    read(pid).is_some_and(|p| p.start == start && !p.has_ended()).then_some(descriptor)
}

/// Sends a signal to exactly these processes; those that are gone are left out.
pub fn signal(processes: &[Process], signal: Signal) {
    for process in processes {
        if let Some(descriptor) = open(process.pid, process.start) {
            // It may end in between: then there is nothing to signal.
            let _ = pidfd_send_signal(descriptor, signal);
        }
    }
}

/// Kills what `find` finds until it finds nothing, for at most `limit`. Returns whether nothing is left. Children
/// that are born between a look and its signals are found by the next look.
pub fn kill_until_gone(limit: Duration, mut find: impl FnMut() -> Vec<Process>) -> bool {
    let end = Instant::now() + limit;
    loop {
        let found = find();
        if found.is_empty() {
            return true;
        }
        signal(&found, Signal::KILL);
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(3));
    }
}

/// The process that a thread belongs to.
pub fn process_of(thread: i32) -> Option<i32> {
    let status = std::fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    status.lines().find_map(|l| l.strip_prefix("Tgid:"))?.trim().parse().ok()
}

/// Resident memory in bytes.
pub fn resident(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    line.and_then(|l| l.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// The TCP ports that any of these processes listens on, sorted, each once. Knows the host's own network only.
pub fn listening_ports(processes: &[Process]) -> Vec<u16> {
    let mut ports: Vec<u16> = listeners_of(processes).into_iter().map(|(port, _)| port).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// How many connections to a port of these processes wait to be accepted; `None` when none of them listens on it.
pub fn unaccepted(processes: &[Process], port: u16) -> Option<u32> {
    let there = listeners_of(processes).into_iter().filter(|(there, _)| *there == port);
    there.map(|(_, unaccepted)| unaccepted).reduce(u32::saturating_add)
}

/// Ports and connections that wait, of each listening socket.
fn listeners_of(processes: &[Process]) -> Vec<(u16, u32)> {
    let sockets: Vec<String> = processes.iter().flat_map(|p| socket_inodes(p.pid)).collect();
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| std::fs::read_to_string(path).unwrap_or_default());
    let all = tables.iter().flat_map(|t| t.lines()).filter_map(Listener::parse);
    let ours = all.filter(|listener| sockets.iter().any(|inode| inode == listener.inode));
    ours.map(|listener| (listener.port, listener.unaccepted)).collect()
}

fn socket_inodes(pid: i32) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    let links = entries.flatten().filter_map(|e| std::fs::read_link(e.path()).ok());
    links.filter_map(|l: PathBuf| Some(l.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())).collect()
}

/// A listening socket, as `/proc/net/tcp` and `/proc/net/tcp6` show it
/// (<https://docs.kernel.org/networking/proc_net_tcp.html>).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener<'a> {
    /// Its address, in hexadecimal, in the machine's byte order.
    pub address: &'a str,
    /// Its port.
    pub port: u16,
    /// Connections that wait to be accepted: of a listening socket the queue for receiving counts them.
    pub unaccepted: u32,
    /// Its inode.
    pub inode: &'a str,
}

impl<'a> Listener<'a> {
    /// The listening socket (state 0A) of a line; `None` for others.
    pub fn parse(line: &'a str) -> Option<Self> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (address, port) = fields.get(1)?.rsplit_once(':')?;
        if *fields.get(3)? != "0A" {
            return None;
        }
        let (_, receiving) = fields.get(4)?.split_once(':')?;
        Some(Self {
            address,
            port: u16::from_str_radix(port, 16).ok()?,
            unaccepted: u32::from_str_radix(receiving, 16).ok()?,
            inode: fields.get(9)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, parent: i32) -> Process {
        Process { pid, parent, state: 'S', cpu_ticks: 0, start: 0 }
    }

    #[test]
    fn a_stat_line_is_read_whatever_the_command_is_called() {
        let line = "42 (evil) R 1 ( ) T 7 42 42 0 -1 4194304 1 0 0 0 5 6 7 8 20 0 1 0 12345 0 0";
        let read = parse_stat(line).unwrap();
        assert_eq!((read.pid, read.parent, read.state, read.cpu_ticks, read.start), (42, 7, 'T', 26, 12345));
        assert!(parse_stat("garbage").is_none());
        assert!(parse_stat("1 (cut) S 0").is_none());
    }

    #[test]
    fn descendants_are_found_at_every_depth_and_a_circle_ends() {
        let all = [process(1, 0), process(2, 1), process(3, 2), process(4, 9), process(5, 6), process(6, 5)];
        assert_eq!(descendants(&[1], &all).iter().map(|p| p.pid).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(descendants(&[5], &all).iter().map(|p| p.pid).collect::<Vec<_>>(), [6]);
    }

    #[test]
    fn a_process_with_another_start_time_is_not_opened() {
        let own = read(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(open(own.pid, own.start).is_some());
        assert!(open(own.pid, own.start + 1).is_none());
    }

    #[test]
    fn this_process_listens_where_it_listens() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let own = read(i32::try_from(std::process::id()).unwrap()).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(listening_ports(std::slice::from_ref(&own)).contains(&port));
        let waiting = || unaccepted(std::slice::from_ref(&own), port);
        assert_eq!(waiting(), Some(0));
        // One that is gone again waits as well: nobody has taken it.
        drop(std::net::TcpStream::connect(("127.0.0.1", port)).unwrap());
        assert_eq!(waiting(), Some(1));
        listener.accept().unwrap();
        assert_eq!(waiting(), Some(0));
        drop(listener);
        assert_eq!(waiting(), None);
    }
}
