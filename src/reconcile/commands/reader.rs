//! The lines of a command between the engine and its client: kept until the client has said that they arrived, so that
//! an answer that was lost on the way costs no line.

use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::time::timeout;

/// The most lines in one answer.
const LINES: usize = 1000;
/// The most bytes in one answer, but for its last line.
const BYTES: usize = 1 << 20;

/// Where reading stands.
pub(super) struct Reader {
    lines: mpsc::Receiver<String>,
    /// Lines that were read, and perhaps sent.
    kept: VecDeque<String>,
    bytes: usize,
    /// The number of the first of them.
    first: u64,
    /// Whether no more will come.
    closed: bool,
}

impl Reader {
    pub fn new(lines: mpsc::Receiver<String>) -> Self {
        Self { lines, kept: VecDeque::new(), bytes: 0, first: 0, closed: false }
    }

    /// Forgets what arrived: all before this number.
    pub fn forget_before(&mut self, after: u64) -> Result<(), ()> {
        let arrived = after.checked_sub(self.first).and_then(|n| usize::try_from(n).ok());
        let arrived = arrived.filter(|n| *n <= self.kept.len()).ok_or(())?;
        self.bytes -= self.kept.drain(..arrived).map(|line| line.len()).sum::<usize>();
        self.first = after;
        Ok(())
    }

    /// Takes what is there; where nothing is, waits for a line.
    pub async fn fill(&mut self, hold: Duration) {
        if self.kept.is_empty() && !self.closed {
            match timeout(hold, self.lines.recv()).await {
                Ok(Some(line)) => self.keep(line),
                Ok(None) => self.closed = true,
                Err(_) => {}
            }
        }
        while !self.closed && self.kept.len() < LINES && self.bytes < BYTES {
            match self.lines.try_recv() {
                Ok(line) => self.keep(line),
                Err(TryRecvError::Disconnected) => self.closed = true,
                Err(TryRecvError::Empty) => return,
            }
        }
    }

    fn keep(&mut self, line: String) {
        self.bytes += line.len();
        self.kept.push_back(line);
    }

    /// The lines, and the number after them.
    pub fn page(&self) -> (Vec<String>, u64) {
        (self.kept.iter().cloned().collect(), self.first + self.kept.len() as u64)
    }

    /// Whether the page holds the last line.
    pub fn is_closed(&self) -> bool {
        self.closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_TIME: Duration = Duration::from_millis(1);

    async fn page(reader: &mut Reader, after: u64) -> (Vec<String>, u64) {
        reader.forget_before(after).unwrap();
        reader.fill(NO_TIME).await;
        reader.page()
    }

    #[tokio::test]
    async fn a_line_is_given_until_the_client_says_that_it_arrived() {
        let (sender, receiver) = mpsc::channel(10);
        let mut reader = Reader::new(receiver);
        assert_eq!(page(&mut reader, 0).await, (vec![], 0));
        sender.send("one".into()).await.unwrap();
        assert_eq!(page(&mut reader, 0).await, (vec!["one".into()], 1));
        sender.send("two".into()).await.unwrap();
        assert_eq!(page(&mut reader, 0).await, (vec!["one".into(), "two".into()], 2), "the answer was lost");
        assert_eq!(page(&mut reader, 1).await, (vec!["two".into()], 2));
        drop(sender);
        assert!(!reader.is_closed());
        assert_eq!(page(&mut reader, 2).await, (vec![], 2));
        assert!(reader.is_closed());
    }

    #[tokio::test]
    async fn a_number_that_no_answer_gave_is_refused() {
        let (sender, receiver) = mpsc::channel(10);
        let mut reader = Reader::new(receiver);
        sender.send("one".into()).await.unwrap();
        page(&mut reader, 0).await;
        page(&mut reader, 1).await;
        assert_eq!(reader.forget_before(0), Err(()));
        assert_eq!(reader.forget_before(2), Err(()));
    }

    #[tokio::test]
    async fn an_answer_is_bounded_in_lines_and_bytes() {
        let (sender, receiver) = mpsc::channel(3000);
        let mut reader = Reader::new(receiver);
        for _ in 0..LINES + 1 {
            sender.send("x".into()).await.unwrap();
        }
        assert_eq!(page(&mut reader, 0).await.0.len(), LINES);
        for _ in 0..200 {
            sender.send("y".repeat(64 << 10)).await.unwrap();
        }
        drop(sender);
        let (lines, next) = page(&mut reader, LINES as u64).await;
        assert!(lines.len() < 20 && !reader.is_closed(), "{}", lines.len());
        assert!(page(&mut reader, next).await.0.len() < 20);
    }
}
