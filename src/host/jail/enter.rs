//! `towpath shim enter`: locks itself in as it is told, and becomes the program. Runs nothing of the service before.

use super::{Launch, Stopped};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use rustix::process::{Gid, Resource, Rlimit, Uid, setrlimit};
use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set, set_no_new_privs};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// The largest launch that is read: as much as the kernel takes as arguments and environment, and its escaping.
const LARGEST_LAUNCH: u64 = 16 << 20;

/// Becomes the program that the door names. Returns only when that failed, with the exit code.
pub fn run() -> i32 {
    let mut door = match take_door() {
        Ok(door) => door,
        Err(error) => {
            eprintln!("error: `towpath shim enter` is started by the process engine, not by hand ({error})");
            return 64;
        }
    };
    let stopped = match read(&door).and_then(|(launch, input)| become_program(&launch, &door, input.as_ref())) {
        Err(stopped) => stopped,
        Ok(never) => match never {},
    };
    let answer = serde_json::to_vec(&stopped).unwrap_or_default();
    // When nobody listens any more, nobody waits for the program either.
    let _ = door.write_all(&answer);
    126
}

/// Moves the door off standard input, to a descriptor that closes when the program starts: that is the sign.
fn take_door() -> io::Result<UnixStream> {
    let door = rustix::io::fcntl_dupfd_cloexec(io::stdin().as_fd(), 3)?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    Ok(UnixStream::from(door))
}

/// What to become, and what that is to read from.
fn read(door: &UnixStream) -> Result<(Launch, Option<OwnedFd>), Stopped> {
    let failed = |error: &io::Error| failed("read what to start", error);
    let mut order = vec![0; 64 << 10];
    let (count, input) = super::receive(door, &mut order, RecvFlags::empty()).map_err(|e| failed(&e.into()))?;
    order.truncate(count);
    let mut rest = door;
    Read::by_ref(&mut rest).take(LARGEST_LAUNCH).read_to_end(&mut order).map_err(|e| failed(&e))?;
    let launch = serde_json::from_slice(&order).map_err(|e| failed(&e.into()))?;
    Ok((launch, input))
}

/// Puts what the program reads from in its place; a terminal becomes the one of a session of its own.
fn take_input(launch: &Launch, input: &OwnedFd) -> rustix::io::Result<()> {
    rustix::stdio::dup2_stdin(input)?;
    if launch.terminal {
        rustix::process::setsid()?;
        rustix::process::ioctl_tiocsctty(input)?;
    }
    Ok(())
}

fn failed(act: &str, error: &io::Error) -> Stopped {
    let errno = error.raw_os_error().unwrap_or(Errno::INVAL.raw_os_error());
    Stopped { act: act.into(), errno, at_program: false }
}

fn become_program(
    launch: &Launch,
    door: &UnixStream,
    input: Option<&OwnedFd>,
) -> Result<std::convert::Infallible, Stopped> {
    let jail = &launch.jail;
    if let Some(input) = input {
        take_input(launch, input).map_err(|e| failed("take its input", &e.into()))?;
    }
    // The directories around are the service's own; and what is made for a view must let its user pass.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    if let Some(view) = &jail.view {
        view.enter()?;
    }
    // Set for towpath's own processes (`reconcile::entry`); what an application does with its memory is its own affair.
    let _ = rustix::thread::disable_transparent_huge_pages(false);
    limit(Resource::Core, 0);
    if let Some(bytes) = jail.largest_file {
        limit(Resource::Fsize, bytes);
    }
    if let Some(user) = jail.user {
        become_user(user).map_err(|e| failed(&format!("become user {user}"), &e.into()))?;
    }
    set_no_new_privs(true).map_err(|e| failed("give up new privileges", &e.into()))?;
    if let Some(walls) = &jail.walls {
        walls
            .raise()
            .map_err(|error| failed(&format!("raise Landlock ({error})"), &io::ErrorKind::Unsupported.into()))?;
    }
    let directory = &launch.directory;
    std::env::set_current_dir(directory).map_err(|e| failed(&format!("enter {}", directory.display()), &e))?;
    if is_text_without_interpreter(&launch.program) {
        // The C library would hand it to a shell, line by line, without a word to anybody.
        return Err(Stopped { at_program: true, ..failed("start it", &Errno::NOEXEC.into()) });
    }
    if launch.asks_to_bind {
        // After all else, which needs no answers. Where it cannot be had, an application has to listen on its `PORT`.
        super::send(door, super::LISTENER, crate::host::seccomp::listen_for_binds().ok().as_ref().map(AsFd::as_fd))
            .map_err(|e| failed("hand over the listener for its ports", &e))?;
    }
    let error =
        Command::new(&launch.program).arg0(&launch.name).args(&launch.arguments).env_clear().envs(&launch.env).exec();
    Err(Stopped { at_program: true, ..failed(&format!("start `{}`", launch.name), &error) })
}

/// Whether a file is text whose first line names no interpreter. One that cannot be read is left to the kernel.
fn is_text_without_interpreter(program: &Path) -> bool {
    let mut start = Vec::new();
    let read = File::open(program).and_then(|file| file.take(256).read_to_end(&mut start));
    read.is_ok() && !start.starts_with(b"#!") && !start.contains(&0)
}

/// Lowers a limit. A limit that is lower already stays.
fn limit(resource: Resource, most: u64) {
    let _ = setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) });
}

/// The user, its group and no other; no capability can come back afterwards.
fn become_user(user: u32) -> rustix::io::Result<()> {
    let (uid, gid) = (Uid::from_raw(user), Gid::from_raw(user));
    for capability in CapabilitySet::all().iter() {
        // Those that this kernel does not know are refused; without the right to drop them there are none to keep.
        let _ = remove_capability_from_bounding_set(capability);
    }
    rustix::thread::set_thread_groups(&[])?;
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)
}
