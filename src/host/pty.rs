//! Pseudo-terminals. Two of the kernel's questions about them have no safe form in the libraries that are used here.

use rustix::fs::{Mode, OFlags, open};
use rustix::ioctl::{Getter, Setter, ioctl};
use rustix::termios::{Winsize, tcsetwinsize};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// `TIOCSPTLCK` and `TIOCGPTN` of Linux, the same on all of its architectures that towpath is built for.
const LOCK: rustix::ioctl::Opcode = 0x4004_5431;
const NUMBER: rustix::ioctl::Opcode = 0x8004_5430;

/// A new terminal: the end that plays the person, and the end that a program takes for one. Neither is inherited, and
/// neither becomes anybody's controlling terminal by being opened.
///
/// # Errors
/// When the machine has no more of them, or none at all.
pub fn pair(rows: u16, columns: u16) -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let ours = open("/dev/ptmx", flags, Mode::empty())?;
    let number = unlock(&ours)?;
    let theirs = open(format!("/dev/pts/{number}"), flags, Mode::empty())?;
    resize(&ours, rows, columns)?;
    Ok((ours, theirs))
}

/// Tells a terminal its size; what runs in it gets SIGWINCH.
///
/// # Errors
/// When this is no terminal.
pub fn resize(terminal: impl AsFd, rows: u16, columns: u16) -> io::Result<()> {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(tcsetwinsize(terminal, size)?)
}

#[allow(unsafe_code)] // rustix asks these without `unsafe` only with a feature that nothing else here needs.
fn unlock(ours: &OwnedFd) -> io::Result<u32> {
    // SAFETY: the kernel reads an `int` for this request and writes nothing.
    let unlocking = unsafe { Setter::<LOCK, i32>::new(0) };
    // SAFETY: the kernel writes an `unsigned int` for this request, which any bits make a valid `u32`.
    let asking = unsafe { Getter::<NUMBER, u32>::new() };
    // SAFETY: both are requests to a pseudo-terminal, whose types are as said above; another file refuses them.
    Ok(unsafe {
        ioctl(ours, unlocking)?;
        ioctl(ours, asking)?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_at_one_end_is_read_and_echoed_at_the_other() {
        let (ours, theirs) = pair(10, 40).unwrap();
        assert_eq!(rustix::termios::tcgetwinsize(&theirs).unwrap().ws_col, 40);
        resize(&ours, 10, 50).unwrap();
        assert_eq!(rustix::termios::tcgetwinsize(&theirs).unwrap().ws_col, 50);
        rustix::io::write(&ours, b"hello\n").unwrap();
        let mut line = [0; 16];
        let count = rustix::io::read(&theirs, &mut line).unwrap();
        assert_eq!(&line[..count], b"hello\n");
        let count = rustix::io::read(&ours, &mut line).unwrap();
        assert_eq!(&line[..count], b"hello\r\n");
    }
}
