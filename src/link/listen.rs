//! Binding: addresses to listening sockets, one per core, in one `SO_REUSEPORT` group.

use super::LinkError;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;

/// The kernel's queue per socket; connections wait in it while an ingress is restarted.
const BACKLOG: i32 = 4096;

/// The sockets of one address. Clones of them live in the ingress.
#[derive(Debug)]
pub struct Group {
    /// The address, with its real port.
    pub address: SocketAddr,
    /// The sockets.
    pub sockets: Vec<OwnedFd>,
}

/// Binds an address, `sockets` times. Port 0 takes any free one.
///
/// With `SO_REUSEPORT` alone a second towpath of the same user would quietly share the port with the first; so the
/// port is tried without it before.
pub fn bind(address: SocketAddr, sockets: usize) -> Result<Group, LinkError> {
    drop(open(address, false).map_err(|e| refused(address, e))?);
    let first = open(address, true).map_err(|e| refused(address, e))?;
    let address = first.local_addr().map_err(|e| refused(address, e))?;
    let mut group = Group { address, sockets: vec![first.into()] };
    for _ in 1..sockets {
        group.sockets.push(open(address, true).map_err(|e| refused(address, e))?.into());
    }
    Ok(group)
}

/// A received descriptor's address. It must be a listening TCP socket.
pub fn address_of(socket: &OwnedFd) -> Result<SocketAddr, LinkError> {
    let act = || "duplicate a listener".to_owned();
    let copy = socket.try_clone().map_err(|e| LinkError::io(act(), e))?;
    TcpListener::from(copy).local_addr().map_err(|e| LinkError::io("read a listener's address", e))
}

fn open(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of an ingress that is gone linger in TIME_WAIT and must not block a start.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn refused(address: SocketAddr, source: io::Error) -> LinkError {
    match source.kind() {
        io::ErrorKind::AddrInUse => LinkError::AddressInUse { address },
        _ => LinkError::Bind { address, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_named_and_says_what_to_do() {
        let first = bind("127.0.0.1:0".parse().unwrap(), 2).unwrap();
        let error = bind(first.address, 2).unwrap_err();
        assert!(matches!(error, LinkError::AddressInUse { .. }));
        let text = error.to_string();
        assert!(text.contains(&first.address.to_string()) && text.contains("--http"), "{text}");
    }

    #[test]
    fn all_sockets_of_a_group_share_the_port_that_was_chosen() {
        let group = bind("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        assert_eq!(group.sockets.len(), 3);
        for socket in &group.sockets {
            assert_eq!(address_of(socket).unwrap(), group.address);
        }
    }
}
