//! A fixed port, moved: an application that binds the port it always binds gets the instance's own port instead.
//!
//! Instances share the machine's ports and a new version starts beside the old one, so each has a port of its own, which is in
//! `PORT`. Many applications do not read it: `gunicorn --bind 0.0.0.0:8000`. Their `bind` of the service's port is done by the
//! keeper on a duplicate of their socket, with the other port, and reported to them as done (seccomp_unotify(2)). All other
//! binds go on untouched. Nothing here is a protection: an application that goes around it only fails to be found.

use crate::host::seccomp::{self, Answer, Notice};
use crate::host::tree;
use rustix::io::Errno;
use rustix::net::{SocketAddrV4, SocketAddrV6, SocketType, sockopt};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

/// `struct sockaddr_in6`; nothing longer is of interest.
const LONGEST_ADDRESS: usize = 28;

/// Which port becomes which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// The service's port, which an application may have built in.
    pub from: u16,
    /// The instance's own.
    pub to: u16,
}

/// Answers the binds of one process and all that it forks.
#[derive(Debug)]
pub struct Mover {
    listener: OwnedFd,
    ports: Move,
}

impl Mover {
    /// Of a listener that [`seccomp::listen_for_binds`] gave.
    pub fn new(listener: OwnedFd, ports: Move) -> Self {
        Self { listener, ports }
    }

    /// Answers the bind that waits; call it when the listener is readable. Whether one was moved.
    ///
    /// # Errors
    /// When the listener is of no use any more: nobody is left who could bind.
    pub fn answer(&self) -> Result<bool, Errno> {
        let notice = match seccomp::receive(&self.listener) {
            Ok(notice) => notice,
            // It was interrupted, and asks again.
            Err(Errno::NOENT | Errno::INTR | Errno::AGAIN) => return Ok(false),
            Err(error) => return Err(error),
        };
        let bound = self.bind_for(&notice);
        let answer = bound.map_or(Answer::GoOn, Answer::Done);
        // Who does not wait any more was killed.
        let _ = seccomp::answer(&self.listener, &notice, answer);
        Ok(matches!(bound, Some(Ok(()))))
    }

    /// Binds in the caller's place; `None` when that is not ours to do, or cannot be done.
    fn bind_for(&self, notice: &Notice) -> Option<Result<(), Errno>> {
        let wanted = address(notice).filter(|wanted| wanted.port() == self.ports.from)?;
        let socket = socket_of(notice)?;
        // Everything so far was read from a process that may have been another one by now.
        if !seccomp::waits(&self.listener, notice) || sockopt::socket_type(&socket).ok()? != SocketType::STREAM {
            return None;
        }
        let to = SocketAddr::new(wanted.ip(), self.ports.to);
        let bound = match wanted {
            SocketAddr::V4(_) => rustix::net::bind(&socket, &to),
            SocketAddr::V6(v6) => {
                let to = SocketAddrV6::new(*v6.ip(), self.ports.to, v6.flowinfo(), v6.scope_id());
                rustix::net::bind(&socket, &to)
            }
        };
        match bound {
            // Interrupted after it was done (kernels before 5.19), the call is made a second time.
            Err(Errno::INVAL) if is_bound_to(&socket, self.ports.to) => Some(Ok(())),
            bound => Some(bound),
        }
    }
}

impl AsFd for Mover {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

/// The address that a call names, where it is one of the internet families.
fn address(notice: &Notice) -> Option<SocketAddr> {
    let [_, at, length, ..] = notice.arguments;
    let mut bytes = [0; LONGEST_ADDRESS];
    let length = usize::try_from(length).ok()?.min(LONGEST_ADDRESS);
    let memory = File::open(format!("/proc/{}/mem", notice.thread)).ok()?;
    memory.read_exact_at(&mut bytes[..length], at).ok()?;
    parse(&bytes[..length])
}

/// `struct sockaddr_in` and `struct sockaddr_in6` (ip(7), ipv6(7)): the family in the machine's order, the port in the
/// network's.
fn parse(bytes: &[u8]) -> Option<SocketAddr> {
    let family = u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?);
    let port = u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?);
    let word = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    match i32::from(family) {
        libc::AF_INET => {
            let ip: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
            Some(SocketAddrV4::new(Ipv4Addr::from(ip), port).into())
        }
        libc::AF_INET6 => {
            let ip: [u8; 16] = bytes.get(8..24)?.try_into().ok()?;
            let scope = word(24).unwrap_or(0);
            Some(SocketAddrV6::new(Ipv6Addr::from(ip), port, word(4)?, scope).into())
        }
        _ => None,
    }
}

/// A duplicate of the socket that a call names.
fn socket_of(notice: &Notice) -> Option<OwnedFd> {
    let process = tree::process_of(i32::try_from(notice.thread).ok()?)?;
    let process = pidfd_open(Pid::from_raw(process)?, PidfdFlags::empty()).ok()?;
    let descriptor = i32::try_from(notice.arguments[0]).ok()?;
    pidfd_getfd(process, descriptor, PidfdGetfdFlags::empty()).ok()
}

fn is_bound_to(socket: &OwnedFd, port: u16) -> bool {
    let bound = rustix::net::getsockname(socket).ok().and_then(|name| SocketAddr::try_from(name).ok());
    bound.is_some_and(|bound| bound.port() == port)
}

/// Whether ports can be moved here: tried on this thread, which cannot bind afterwards. Sets *no new privileges*.
///
/// # Errors
/// Why not, for people.
pub fn probe() -> Result<(), String> {
    rustix::thread::set_no_new_privs(true).map_err(|e| e.to_string())?;
    let listener = seccomp::listen_for_binds().map_err(|e| format!("no listener for system calls can be had ({e})"))?;
    let own = pidfd_open(rustix::process::getpid(), PidfdFlags::empty()).map_err(|e| e.to_string())?;
    let number = std::os::fd::AsRawFd::as_raw_fd(&listener);
    pidfd_getfd(own, number, PidfdGetfdFlags::empty())
        .map_err(|e| format!("sockets of other processes cannot be had ({e})"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_the_kernel_lays_them_out() {
        let family = |number: i32| u16::try_from(number).unwrap().to_ne_bytes();
        let mut v4 = family(libc::AF_INET).to_vec();
        v4.extend([0x1f, 0x40, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(parse(&v4), Some("127.0.0.1:8000".parse().unwrap()));
        let mut v6 = family(libc::AF_INET6).to_vec();
        v6.extend([0x1f, 0x90, 0, 0, 0, 0]);
        v6.extend(Ipv6Addr::LOCALHOST.octets());
        assert_eq!(parse(&v6), Some("[::1]:8080".parse().unwrap()), "the scope may be left out (RFC 2133)");
        v6.extend(3u32.to_ne_bytes());
        assert_eq!(parse(&v6), Some(SocketAddrV6::new(Ipv6Addr::LOCALHOST, 8080, 0, 3).into()));
        let mut unix = family(libc::AF_UNIX).to_vec();
        unix.extend(b"/run/x.sock\0");
        assert_eq!(parse(&unix), None);
        for short in [&v4[..1], &v4[..7], &v6[..23]] {
            assert_eq!(parse(short), None);
        }
    }
}
