//! Asking a process before it binds: a seccomp filter whose listener hears of every `bind` (seccomp_unotify(2)).
//!
//! rustix offers neither the filter nor its notifications, so this is the second place of the crate with unsafe code, after
//! `source/libgit2.rs`: one system call and the three ioctls of a listener, each over a struct of the kernel's own layout.

use rustix::io::Errno;
use rustix::ioctl::{Updater, opcode};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};

/// `AUDIT_ARCH_*` of linux/audit.h for this machine, which the filter compares: system calls of another architecture (32-bit
/// programs) have other numbers and are let through.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xC000_003E;
/// See above.
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xC000_00B7;
/// No filter is made for what is not known; see [`listen_for_binds`].
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const ARCHITECTURE: u32 = 0;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
/// See above.
const ARCH: u32 = 4;

/// What the kernel says of a system call that waits: `struct seccomp_notif`, whose size is part of the ioctl's number.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Notice {
    /// Which call, for the answer.
    pub id: u64,
    /// The thread that made it, in our own process ids; 0 when it is not visible from here.
    pub thread: u32,
    flags: u32,
    number: i32,
    architecture: u32,
    instruction: u64,
    /// The call's arguments.
    pub arguments: [u64; 6],
}

/// `struct seccomp_notif_resp`.
#[repr(C)]
#[derive(Default)]
struct Response {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The kernel executes it as it was made.
    GoOn,
    /// It returns this without being executed; it was done in its place.
    Done(Result<(), Errno>),
}

const RECEIVE: u32 = opcode::read_write::<Notice>(b'!', 0);
const SEND: u32 = opcode::read_write::<Response>(b'!', 1);
const VALID: u32 = opcode::write::<u64>(b'!', 2);

const fn statement(code: u32, k: u32) -> libc::sock_filter {
    jump(code, k, 0, 0)
}

#[allow(clippy::cast_possible_truncation)] // BPF's codes are below 0x200 by definition; the fields are 16 bits wide.
const fn jump(code: u32, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt, jf, k }
}

/// Filters this thread, and all that it forks or becomes: each `bind` waits until whoever holds the listener answers. Needs
/// *no new privileges* to be set. Once nobody holds the listener any more, a `bind` fails with `ENOSYS`.
///
/// # Errors
/// `EINVAL` where the kernel is older than 5.0, `EBUSY` where such a filter is installed already (in some containers), and
/// `ENOSYS` on a machine whose system call numbers are not known here.
pub fn listen_for_binds() -> Result<OwnedFd, Errno> {
    if ARCHITECTURE == 0 {
        return Err(Errno::NOSYS);
    }
    // A signal must not interrupt a call that was done already; kernels before 5.19 do not know that flag.
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    match install(flags | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV) {
        Err(Errno::INVAL) => install(flags),
        installed => installed,
    }
}

#[allow(unsafe_code)] // Neither the standard library nor rustix has seccomp(2); see below for why it is sound.
fn install(flags: libc::c_ulong) -> Result<OwnedFd, Errno> {
    let (load, equal, end) =
        (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, libc::BPF_RET);
    let bind = u32::try_from(libc::SYS_bind).map_err(|_| Errno::NOSYS)?;
    let mut filter = [
        statement(load, ARCH),
        jump(equal, ARCHITECTURE, 0, 3),
        statement(load, NUMBER),
        jump(equal, bind, 0, 1),
        statement(end, libc::SECCOMP_RET_USER_NOTIF),
        statement(end, libc::SECCOMP_RET_ALLOW),
    ];
    let length = u16::try_from(filter.len()).map_err(|_| Errno::INVAL)?;
    let program = libc::sock_fprog { len: length, filter: filter.as_mut_ptr() };
    // SAFETY: the kernel copies the program before it returns, and the array behind it lives until then; the call touches no
    // other memory of ours.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, std::ptr::from_ref(&program)) };
    match i32::try_from(result) {
        // SAFETY: with the flag NEW_LISTENER the result is a new descriptor, which nobody else owns.
        Ok(descriptor) if descriptor >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }),
        _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL)),
    }
}

/// Takes the next call that waits. Blocks when there is none: poll the listener first.
///
/// # Errors
/// `ENOENT` when the call was interrupted in the meantime, `EINTR` by a signal.
#[allow(unsafe_code)] // An ioctl that rustix does not know; see below for why it is sound.
pub fn receive(listener: impl AsFd) -> Result<Notice, Errno> {
    // The kernel demands zeros.
    let mut notice = Notice::default();
    // SAFETY: the number is SECCOMP_IOCTL_NOTIF_RECV, which fills a `struct seccomp_notif`: `Notice` has its layout, and its
    // size is part of the number, so that a kernel with another one refuses.
    unsafe { rustix::ioctl::ioctl(listener, Updater::<RECEIVE, Notice>::new(&mut notice)) }?;
    Ok(notice)
}

/// Whether the call still waits: what was read of its thread's memory before this said yes was its own.
#[allow(unsafe_code)] // As above.
pub fn waits(listener: impl AsFd, notice: &Notice) -> bool {
    let mut id = notice.id;
    // SAFETY: the number is SECCOMP_IOCTL_NOTIF_ID_VALID, which reads a 64-bit id.
    unsafe { rustix::ioctl::ioctl(listener, Updater::<VALID, u64>::new(&mut id)) }.is_ok()
}

/// Lets the call return.
///
/// # Errors
/// `ENOENT` when it does not wait any more.
#[allow(unsafe_code)] // As above.
pub fn answer(listener: impl AsFd, notice: &Notice, answer: Answer) -> Result<(), Errno> {
    let mut response = Response { id: notice.id, ..Response::default() };
    match answer {
        Answer::GoOn => response.flags = GO_ON,
        Answer::Done(Ok(())) => {}
        Answer::Done(Err(errno)) => response.error = -errno.raw_os_error(),
    }
    // SAFETY: the number is SECCOMP_IOCTL_NOTIF_SEND, which reads a `struct seccomp_notif_resp`: `Response` has its layout.
    unsafe { rustix::ioctl::ioctl(listener, Updater::<SEND, Response>::new(&mut response)) }
}

/// `SECCOMP_USER_NOTIF_FLAG_CONTINUE`.
const GO_ON: u32 = 1;
