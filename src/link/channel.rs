//! Frames and file descriptors over a connected Unix socket (unix(7), `SCM_RIGHTS`).
//!
//! Descriptors ride on the first bytes of the frame that names them. They are received into a queue, and taken from it
//! in that order by whoever reads a frame that says how many belong to it.

use super::LinkError;
use super::frame::{self, Decoder, MAX_FRAME};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use tokio::io::Interest;
use tokio::net::UnixStream;

/// The most descriptors in one frame: the kernel's `SCM_MAX_FD` is 253.
pub const MAX_DESCRIPTORS: usize = 64;
/// The most descriptors received and not yet taken; more is an attack or a bug.
const MAX_QUEUED: usize = 1024;
/// `sockaddr_un.sun_path` with its terminating zero.
const MAX_PATH: usize = 107;

/// Refuses a socket path that does not fit a socket address, before the kernel does it less clearly.
pub fn check_path(path: &Path) -> Result<(), LinkError> {
    if path.as_os_str().len() > MAX_PATH {
        return Err(LinkError::PathTooLong { path: path.to_owned() });
    }
    Ok(())
}

/// Both ends of one connection: what it sends and what it receives.
pub fn split(stream: UnixStream) -> (Sender, Receiver) {
    let stream = Arc::new(stream);
    (Sender(Arc::clone(&stream)), Receiver { stream, decoder: Decoder::default(), descriptors: VecDeque::new() })
}

/// Sends frames.
#[derive(Debug)]
pub struct Sender(Arc<UnixStream>);

impl Sender {
    /// Sends one message.
    pub async fn send<T: Serialize>(&self, message: &T) -> Result<(), LinkError> {
        self.send_with(message, &[]).await
    }

    /// Sends one message with descriptors, at most [`MAX_DESCRIPTORS`].
    pub async fn send_with<T: Serialize>(&self, message: &T, fds: &[BorrowedFd<'_>]) -> Result<(), LinkError> {
        let bytes = frame::encode(message)?;
        let mut sent = self.write(&bytes, fds).await?;
        while sent < bytes.len() {
            sent += self.write(&bytes[sent..], &[]).await?;
        }
        Ok(())
    }

    async fn write(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<usize, LinkError> {
        let send = || send_once(&self.0, bytes, fds).map_err(io::Error::from);
        self.0.async_io(Interest::WRITABLE, send).await.map_err(|e| match e.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => LinkError::Closed,
            _ => LinkError::io("write to the link", e),
        })
    }
}

fn send_once(stream: &UnixStream, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> rustix::io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(rustix::io::Errno::TOOBIG);
    }
    rustix::net::sendmsg(stream, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)
}

/// Receives frames.
#[derive(Debug)]
pub struct Receiver {
    stream: Arc<UnixStream>,
    decoder: Decoder,
    descriptors: VecDeque<OwnedFd>,
}

impl Receiver {
    /// The next message. Safe to drop and call again: what was read is kept.
    pub async fn receive<T: DeserializeOwned>(&mut self) -> Result<T, LinkError> {
        loop {
            if let Some(message) = self.try_next()? {
                return Ok(message);
            }
            self.fill().await?;
        }
    }

    /// A message that has already arrived.
    pub fn try_next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, LinkError> {
        Ok(self.decoder.pop()?)
    }

    /// The descriptors that came with the message just received.
    pub fn take_descriptors(&mut self, count: usize) -> Result<Vec<OwnedFd>, LinkError> {
        if count > self.descriptors.len() {
            return Err(LinkError::Protocol(format!("{count} descriptors announced, fewer came")));
        }
        Ok(self.descriptors.drain(..count).collect())
    }

    async fn fill(&mut self) -> Result<(), LinkError> {
        let mut bytes = vec![0; MAX_FRAME.min(64 * 1024)];
        let (stream, queue) = (&self.stream, &mut self.descriptors);
        let receive = || receive_once(stream, &mut bytes, queue).map_err(io::Error::from);
        let read = stream.async_io(Interest::READABLE, receive).await.map_err(|e| match e.kind() {
            io::ErrorKind::ConnectionReset => LinkError::Closed,
            _ => LinkError::io("read from the link", e),
        })?;
        if read == 0 {
            return Err(LinkError::Closed);
        }
        if queue.len() > MAX_QUEUED {
            return Err(LinkError::Protocol("too many descriptors".to_owned()));
        }
        self.decoder.push(&bytes[..read]);
        Ok(())
    }
}

fn receive_once(stream: &UnixStream, bytes: &mut [u8], queue: &mut VecDeque<OwnedFd>) -> rustix::io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::net::recvmsg(stream, &mut [IoSliceMut::new(bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            queue.extend(fds);
        }
    }
    Ok(received.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[tokio::test]
    async fn descriptors_arrive_with_the_frames_that_name_them() {
        let (a, b) = UnixStream::pair().unwrap();
        let (sender, _ra) = split(a);
        let (_sb, mut receiver) = split(b);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        sender.send(&"plain").await.unwrap();
        sender.send_with(&"two", &[listener.as_fd(), listener.as_fd()]).await.unwrap();
        assert_eq!(receiver.receive::<String>().await.unwrap(), "plain");
        assert_eq!(receiver.receive::<String>().await.unwrap(), "two");
        let fds = receiver.take_descriptors(2).unwrap();
        let back = std::net::TcpListener::from(fds.into_iter().next().unwrap());
        assert_eq!(back.local_addr().unwrap(), listener.local_addr().unwrap());
        assert!(matches!(receiver.take_descriptors(1), Err(LinkError::Protocol(_))));
    }

    #[tokio::test]
    async fn a_message_larger_than_the_socket_buffer_arrives_whole() {
        let (a, b) = UnixStream::pair().unwrap();
        let (sender, unused) = split(a);
        drop(unused);
        let (_sb, mut receiver) = split(b);
        let big = "x".repeat(3_000_000);
        let sent = big.clone();
        let task = tokio::spawn(async move { sender.send(&sent).await });
        assert_eq!(receiver.receive::<String>().await.unwrap(), big);
        task.await.unwrap().unwrap();
        assert!(matches!(receiver.receive::<String>().await, Err(LinkError::Closed)));
    }

    #[test]
    fn a_socket_path_that_does_not_fit_is_named_with_its_length() {
        let error = check_path(Path::new(&"a".repeat(108))).unwrap_err().to_string();
        assert!(error.contains("108 of at most 107 bytes"), "{error}");
    }
}
