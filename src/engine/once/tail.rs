//! Reads a log file as it grows, across the turning over to `<file>.1`, and hands out its lines without their times.

use crate::host::lines::LineSplitter;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;

/// The engines split longer lines.
const LONGEST_LINE: usize = 64 << 10;
/// What the keeper of a process writes at the end, before how it ended.
const OWN: &str = "towpath: ";
/// Said where the command printed faster than its output was read.
const LOST: &str = "towpath: output was lost here: the command prints faster than its output can be kept";

/// A log file and how far it was read.
pub(super) struct Tail {
    path: PathBuf,
    file: Option<File>,
    splitter: LineSplitter,
    /// A line that may be the keeper's own last one: known once another follows.
    held: Option<String>,
}

/// The file that a log is turned over to.
pub(super) fn older(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

impl Tail {
    pub fn new(path: PathBuf) -> Self {
        Self { path, file: None, splitter: LineSplitter::new(LONGEST_LINE), held: None }
    }

    /// Hands out every whole line that is there now; false when nobody takes them any more. Safe to drop half-way only
    /// when nothing more is wanted.
    pub async fn copy(&mut self, lines: &mpsc::Sender<String>) -> bool {
        loop {
            if !self.read_on(lines).await {
                return false;
            }
            if !self.turned_over(lines).await {
                return !lines.is_closed();
            }
        }
    }

    /// Hands out the rest, without the keeper's own last line, which says how the command ended.
    pub async fn finish(&mut self, lines: &mpsc::Sender<String>, is_its_end: impl Fn(&str) -> bool) {
        if !self.copy(lines).await {
            return;
        }
        let mut rest = Vec::new();
        self.splitter.finish(&mut |line| rest.push(text(line)));
        for line in rest {
            if !self.hand_out(line, lines).await {
                return;
            }
        }
        if let Some(line) = self.held.take().filter(|l| !l.strip_prefix(OWN).is_some_and(is_its_end)) {
            let _ = lines.send(line).await;
        }
    }

    async fn read_on(&mut self, lines: &mpsc::Sender<String>) -> bool {
        if self.file.is_none() {
            // It is made with the first line.
            self.file = File::open(&self.path).await.ok();
        }
        let mut bytes = vec![0; 64 << 10];
        while let Some(file) = &mut self.file {
            let count = file.read(&mut bytes).await.unwrap_or(0);
            if count == 0 {
                break;
            }
            let mut whole = Vec::new();
            self.splitter.feed(&bytes[..count], &mut |line| whole.push(text(line)));
            for line in whole {
                if !self.hand_out(line, lines).await {
                    return false;
                }
            }
        }
        true
    }

    /// Whether the file was turned over: then the new one is read next.
    async fn turned_over(&mut self, lines: &mpsc::Sender<String>) -> bool {
        let Some(file) = &self.file else { return false };
        let (Ok(read), Ok(now)) = (file.metadata().await, tokio::fs::metadata(&self.path).await) else { return false };
        if read.ino() == now.ino() {
            return false;
        }
        // Written between the last read and the turning over.
        if !self.read_on(lines).await {
            return false;
        }
        let next = tokio::fs::metadata(older(&self.path)).await.is_ok_and(|m| m.ino() == read.ino());
        if !next && !self.hand_out(LOST.into(), lines).await {
            return false;
        }
        self.file = None;
        true
    }

    async fn hand_out(&mut self, line: String, lines: &mpsc::Sender<String>) -> bool {
        let line = match self.held.take() {
            Some(before) => {
                if lines.send(before).await.is_err() {
                    return false;
                }
                line
            }
            None => line,
        };
        if line.starts_with(OWN) {
            self.held = Some(line);
            return true;
        }
        lines.send(line).await.is_ok()
    }
}

/// A line without the time before it.
fn text(line: &[u8]) -> String {
    let line = String::from_utf8_lossy(line);
    line.split_once(' ').map_or_else(|| line.clone().into_owned(), |(_, text)| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    async fn read(path: &Path, write: impl FnOnce(&Path), message: &str) -> Vec<String> {
        let (sender, mut receiver) = mpsc::channel(1000);
        let mut tail = Tail::new(path.to_owned());
        assert!(tail.copy(&sender).await, "no file yet is no end");
        std::fs::write(path, "T one\nT towpath: mine\nT tw").unwrap();
        assert!(tail.copy(&sender).await);
        write(path);
        tail.finish(&sender, |line| line == message).await;
        drop(sender);
        let mut lines = Vec::new();
        while let Some(line) = receiver.recv().await {
            lines.push(line);
        }
        lines
    }

    fn append(path: &Path, text: &str) {
        std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    #[tokio::test]
    async fn every_line_is_handed_out_once_but_the_keepers_own_last_one() {
        let dir = tempfile::tempdir().unwrap();
        let grown = |path: &Path| append(path, "o\nT \nT towpath: exited with code 0\n");
        let lines = read(&dir.path().join("a.log"), grown, "exited with code 0").await;
        assert_eq!(lines, ["one", "towpath: mine", "two", ""]);
        let lines = read(&dir.path().join("b.log"), |path| append(path, "o\nT towpath: hello\nT z"), "x").await;
        assert_eq!(lines, ["one", "towpath: mine", "two", "towpath: hello", "z"]);
    }

    #[tokio::test]
    async fn a_log_that_is_turned_over_is_read_on_and_what_was_lost_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let turn = |path: &Path| {
            append(path, "o\n");
            std::fs::rename(path, older(path)).unwrap();
            append(path, "T three\n");
        };
        assert_eq!(read(&dir.path().join("a.log"), turn, "x").await, ["one", "towpath: mine", "two", "three"]);
        let twice = |path: &Path| {
            turn(path);
            std::fs::rename(path, older(path)).unwrap();
            append(path, "T four\n");
        };
        let lines = read(&dir.path().join("b.log"), twice, "x").await;
        assert_eq!(lines, ["one", "towpath: mine", "two", LOST, "four"]);
    }
}
