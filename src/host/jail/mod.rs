//! The jail in which builds and instances run: a user of their own, a view of the file system of their own, Landlock.
//!
//! A small step between the keeper and the application sets it up: this binary, started as `towpath shim enter`, reads a
//! [`Launch`] from its standard input, locks itself in, and becomes the application. That process is young and has one
//! thread, so that no code runs between a fork and an exec, and the environment of the service, which may name libraries
//! to load, takes effect only inside. The keeper moves the process into its control groups before it sends the launch.

pub mod enter;
pub mod fixed_port;
pub mod policy;
pub mod prefix;
pub mod probe;
pub mod users;
pub mod view;
pub mod walls;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use view::View;
use walls::Walls;

/// How long a jail may take to be set up; a few milliseconds is usual.
const ENTER_LIMIT: Duration = Duration::from_secs(10);
/// An answer says one errno and what was tried.
const LONGEST_ANSWER: u64 = 64 << 10;

/// What keeps a process in; the default keeps nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Jail {
    /// The user id, and the group id, that it runs under.
    pub user: Option<u32>,
    /// What it sees of the file system.
    pub view: Option<View>,
    /// What Landlock lets it read and write.
    pub walls: Option<Walls>,
    /// The most bytes that one file of it may have.
    pub largest_file: Option<u64>,
}

/// A program to start in a jail. Not `Debug`: the environment holds secret values.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Launch {
    /// The program.
    pub program: PathBuf,
    /// The name that it is called by.
    pub name: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its whole environment.
    pub env: BTreeMap<String, String>,
    /// Its working directory.
    pub directory: PathBuf,
    /// Its jail.
    pub jail: Jail,
    /// Whether whoever launches it answers its binds (see [`fixed_port`]). One that cannot be asked is started all the same.
    #[serde(default)]
    pub asks_to_bind: bool,
    /// Whether what it reads from is a terminal, which becomes its own.
    #[serde(default)]
    pub terminal: bool,
}

/// Why a program was not started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{act}: {}", io::Error::from_raw_os_error(*errno))]
pub struct Stopped {
    /// What failed, with its object.
    pub act: String,
    /// What the kernel said.
    pub errno: i32,
    /// Whether the jail stood, and only executing the program failed.
    pub at_program: bool,
}

/// The keeper's end of the connection to a process that waits to be told what to become.
#[derive(Debug)]
pub struct Door(UnixStream);

/// The command of the step in between, and the door through which it is told the rest. `marker` is in its environment
/// from the start, so that it is found again should its keeper die at this moment.
///
/// # Errors
/// When there are no descriptors left.
pub fn command(exe: &Path, marker: (&str, &str)) -> io::Result<(Command, Door)> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_read_timeout(Some(ENTER_LIMIT))?;
    ours.set_write_timeout(Some(ENTER_LIMIT))?;
    let mut command = Command::new(exe);
    command.args(["shim", "enter"]).env_clear().env(marker.0, marker.1).current_dir("/");
    command.stdin(Stdio::from(OwnedFd::from(theirs)));
    Ok((command, Door(ours)))
}

impl Door {
    /// Sends the launch, with what the program is to read from if that is not nothing, and waits until the program runs.
    /// Blocking. The command has to be dropped before, since it holds the other end. Gives the listener for its binds, where
    /// the launch says that they are answered and the kernel lets it.
    ///
    /// # Errors
    /// What failed in the jail, or when the process died.
    pub fn launch(mut self, launch: &Launch, input: Option<BorrowedFd<'_>>) -> Result<Option<OwnedFd>, Stopped> {
        let lost = |e: &io::Error| Stopped {
            act: "set up its jail".into(),
            errno: e.raw_os_error().unwrap_or(rustix::io::Errno::PIPE.raw_os_error()),
            at_program: false,
        };
        let order = serde_json::to_vec(launch).map_err(|e| lost(&e.into()))?;
        let sent = input
            .map_or(Ok(()), |input| send(&self.0, BLANK, Some(input)))
            .and_then(|()| self.0.write_all(&order))
            .and_then(|()| self.0.shutdown(Shutdown::Write));
        let mut answer = Vec::new();
        // Read even when sending failed: the answer says why.
        let listener = receive_listener(&self.0);
        let read = self.0.take(LONGEST_ANSWER).read_to_end(&mut answer);
        match (answer.is_empty(), sent.and(read.map(|_| ()))) {
            (true, Ok(())) => listener.map_err(|e| lost(&e)),
            (true, Err(error)) => Err(lost(&error)),
            (false, _) => Err(serde_json::from_slice(&answer).unwrap_or_else(|e| lost(&e.into()))),
        }
    }
}

/// Comes before the answer, if the launch says that binds are answered: one byte, and the listener if there is one.
const LISTENER: u8 = b'+';
/// Comes before the order, with what the program is to read from.
const BLANK: u8 = b' ';

/// Sends a byte, and with it a descriptor if there is one: that needs a byte to go with.
fn send(door: &UnixStream, mark: u8, descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors: Vec<BorrowedFd<'_>> = descriptor.into_iter().collect();
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(rustix::io::Errno::TOOBIG.into());
    }
    rustix::net::sendmsg(door, &[IoSlice::new(&[mark])], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives bytes, and the descriptor that came with the first of them.
fn receive(door: &UnixStream, bytes: &mut [u8], flags: RecvFlags) -> rustix::io::Result<(usize, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = flags | RecvFlags::CMSG_CLOEXEC;
    let received = rustix::net::recvmsg(door, &mut [IoSliceMut::new(bytes)], &mut control, flags)?;
    let descriptors = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    Ok((received.bytes, descriptors.flatten().next()))
}

/// Takes the listener, if one comes. Of an answer that is not one it takes nothing.
fn receive_listener(door: &UnixStream) -> io::Result<Option<OwnedFd>> {
    let mut first = [0];
    let (count, _) = receive(door, &mut first, RecvFlags::PEEK)?;
    if count == 0 || first != [LISTENER] {
        return Ok(None);
    }
    Ok(receive(door, &mut first, RecvFlags::empty())?.1)
}

#[cfg(test)]
mod tests;
