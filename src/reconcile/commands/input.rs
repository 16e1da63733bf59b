//! What a client writes to a command: in order, each byte once though an answer may be lost, no faster than it is read.

use crate::engine::Attached;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How long after its end a terminal may still show something.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The way to a command's standard input.
pub(super) enum Input {
    /// It is being started.
    Awaited(oneshot::Receiver<Attached>),
    /// It reads.
    Open(Box<dyn AsyncWrite + Send + Unpin>),
    /// It does not read any more, or never did.
    Closed,
}

/// Where writing stands.
pub(super) struct Writer {
    input: Input,
    /// The bytes that it took.
    taken: u64,
    /// Where a terminal's output goes.
    shown: Option<mpsc::Sender<String>>,
    /// Cancelled when the command has ended.
    over: CancellationToken,
}

/// What came of a piece.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// The bytes that the command took so far.
    pub next: u64,
    /// Whether it reads no more.
    pub closed: bool,
}

impl Writer {
    pub fn new(input: Input, shown: Option<mpsc::Sender<String>>, over: CancellationToken) -> Self {
        Self { input, taken: 0, shown, over }
    }

    /// Sees to it that a command which was attached to is known, and its terminal read.
    pub async fn connect(&mut self, wait: Duration) {
        let Input::Awaited(attached) = &mut self.input else { return };
        match timeout(wait, attached).await {
            Err(_) => {}
            Ok(Err(_)) => (self.input, self.shown) = (Input::Closed, None),
            Ok(Ok(Attached { input, output })) => {
                self.input = Input::Open(input);
                if let Some((output, shown)) = output.zip(self.shown.take()) {
                    tokio::spawn(show(output, shown, self.over.clone()));
                }
            }
        }
    }

    /// Whether it is still being started.
    pub fn is_awaited(&self) -> bool {
        matches!(self.input, Input::Awaited(_))
    }

    /// Writes what of a piece, which begins `at` that byte, was not written yet, as far as it is taken in this time; at the
    /// `end` closes the input. Fails for a piece that does not follow what was taken.
    pub async fn write(&mut self, at: u64, bytes: &[u8], end: bool, wait: Duration) -> Result<Taken, ()> {
        self.connect(wait).await;
        let known = self.taken.checked_sub(at).and_then(|n| usize::try_from(n).ok());
        let mut rest = known.and_then(|known| bytes.get(known..)).ok_or(())?;
        let Input::Open(input) = &mut self.input else {
            return Ok(Taken { next: self.taken, closed: matches!(self.input, Input::Closed) });
        };
        let mut written = Ok(());
        let until = tokio::time::Instant::now() + wait;
        while !rest.is_empty() && written.is_ok() {
            match tokio::time::timeout_at(until, input.write(rest)).await {
                Err(_) => return Ok(Taken { next: self.taken, closed: false }),
                Ok(Ok(0)) => written = Err(io::ErrorKind::WriteZero.into()),
                Ok(Ok(count)) => {
                    self.taken += count as u64;
                    rest = &rest[count..];
                }
                Ok(Err(error)) => written = Err(error),
            }
        }
        let flushed = tokio::time::timeout_at(until, input.flush()).await;
        if written.is_err() || matches!(flushed, Ok(Err(_))) {
            // It closed its input, or ended: no error of whoever writes.
            self.input = Input::Closed;
        } else if end {
            let _ = timeout(wait, input.shutdown()).await;
            self.input = Input::Closed;
        }
        Ok(Taken { next: self.taken, closed: matches!(self.input, Input::Closed) })
    }
}

/// Hands on what a terminal shows, in pieces as the wire carries bytes, to its end: not for ever after the command's.
async fn show(mut output: BoxStream<'static, io::Result<Bytes>>, to: mpsc::Sender<String>, over: CancellationToken) {
    let late = async {
        over.cancelled().await;
        sleep(LAST_WORDS).await;
    };
    let mut late = std::pin::pin!(late);
    loop {
        let piece = tokio::select! {
            piece = output.next() => piece,
            () = &mut late => return,
        };
        let Some(Ok(piece)) = piece else { return };
        if to.send(STANDARD.encode(piece)).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    const WAIT: Duration = Duration::from_millis(200);

    fn writer(capacity: usize) -> (Writer, tokio::io::DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(capacity);
        (Writer::new(Input::Open(Box::new(ours)), None, CancellationToken::new()), theirs)
    }

    #[tokio::test]
    async fn each_byte_is_written_once_though_an_answer_is_lost() {
        let (mut writer, mut theirs) = writer(64);
        assert_eq!(writer.write(0, b"one ", false, WAIT).await, Ok(Taken { next: 4, closed: false }));
        assert_eq!(writer.write(0, b"one two", false, WAIT).await, Ok(Taken { next: 7, closed: false }));
        assert_eq!(writer.write(9, b"x", false, WAIT).await, Err(()), "what lies between is not known");
        assert_eq!(writer.write(7, b"", true, WAIT).await, Ok(Taken { next: 7, closed: true }));
        let mut all = String::new();
        theirs.read_to_string(&mut all).await.unwrap();
        assert_eq!(all, "one two");
    }

    #[tokio::test]
    async fn no_more_is_taken_than_the_command_reads() {
        let (mut writer, mut theirs) = writer(4);
        assert_eq!(writer.write(0, b"123456", true, WAIT).await, Ok(Taken { next: 4, closed: false }));
        let mut four = [0; 4];
        theirs.read_exact(&mut four).await.unwrap();
        assert_eq!(writer.write(4, b"56", true, WAIT).await, Ok(Taken { next: 6, closed: true }));
    }

    #[tokio::test]
    async fn a_command_that_reads_no_more_is_no_error() {
        let (mut gone, theirs) = writer(4);
        drop(theirs);
        assert_eq!(gone.write(0, b"x", false, WAIT).await, Ok(Taken { next: 0, closed: true }));
        let (sender, receiver) = oneshot::channel();
        let mut late = Writer::new(Input::Awaited(receiver), None, CancellationToken::new());
        assert_eq!(late.write(0, b"x", false, WAIT).await, Ok(Taken { next: 0, closed: false }), "it starts");
        drop(sender);
        assert_eq!(late.write(0, b"x", false, WAIT).await, Ok(Taken { next: 0, closed: true }));
    }
}
