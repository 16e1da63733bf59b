//! Speaking to a command on the process engine: our end of a pipe, or of a terminal.

use crate::engine::Attached;
use bytes::Bytes;
use futures_util::StreamExt;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWrite;
use tokio::io::unix::AsyncFd;

/// The most that is taken from a terminal at once.
const PIECE: usize = 16 << 10;

/// A descriptor that is waited for.
#[derive(Clone)]
struct End(Arc<AsyncFd<Arc<OwnedFd>>>);

/// Both directions of our end.
pub(super) fn attach(ours: &Arc<OwnedFd>) -> io::Result<Attached> {
    fcntl_setfl(ours, fcntl_getfl(ours)? | OFlags::NONBLOCK)?;
    let end = End(Arc::new(waited_for(ours.clone())?));
    let output = rustix::termios::isatty(ours).then(|| read(end.clone()).boxed());
    Ok(Attached { input: Box::new(Writer(Some(end))), output })
}

#[expect(deprecated, reason = "sound for a descriptor that is owned, as here; the replacement is `unsafe`")]
fn waited_for(ours: Arc<OwnedFd>) -> io::Result<AsyncFd<Arc<OwnedFd>>> {
    AsyncFd::new(ours)
}

/// What a terminal shows, until nobody has it open any more: the kernel calls that an error.
fn read(end: End) -> impl futures_util::Stream<Item = io::Result<Bytes>> + Send {
    futures_util::stream::unfold(end, |end| async {
        let mut bytes = vec![0; PIECE];
        loop {
            let mut ready = end.0.readable().await.ok()?;
            let tried = ready.try_io(|fd| Ok(rustix::io::read(fd.get_ref().as_fd(), &mut bytes[..])?));
            match tried {
                Ok(Ok(0) | Err(_)) => return None,
                Ok(Ok(count)) => {
                    bytes.truncate(count);
                    drop(ready);
                    return Some((Ok(Bytes::from(bytes)), end));
                }
                // Not ready after all.
                Err(_) => {}
            }
        }
    })
}

/// Writes until it is shut down.
struct Writer(Option<End>);

impl AsyncWrite for Writer {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Some(end) = &self.0 else { return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())) };
        loop {
            let mut ready = ready!(end.0.poll_write_ready(context))?;
            if let Ok(written) = ready.try_io(|fd| Ok(rustix::io::write(fd.get_ref().as_fd(), bytes)?)) {
                return Poll::Ready(written);
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// A pipe ends here. A terminal is ended by what is typed.
    fn poll_shutdown(mut self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0 = None;
        Poll::Ready(Ok(()))
    }
}
