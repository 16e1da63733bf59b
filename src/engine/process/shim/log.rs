//! The log file of an instance: a time-stamped line each, bounded by turning over to one older file.
//!
//! A disk that is full loses lines, never the application: what was lost is counted and said once there is room again.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// A bounded log file and its buffer.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: Option<File>,
    size: u64,
    limit: u64,
    buffer: Vec<u8>,
    buffered_lines: u64,
    lost: u64,
    cause: String,
}

impl LogFile {
    /// A log at `path` that is turned over to `<path>.1` beyond `limit` bytes. Opened with the first flush.
    pub fn new(path: PathBuf, limit: u64) -> Self {
        let buffer = Vec::with_capacity(16 << 10);
        Self {
            path,
            file: None,
            size: 0,
            limit: limit.max(4096),
            buffer,
            buffered_lines: 0,
            lost: 0,
            cause: String::new(),
        }
    }

    /// Adds a line to the buffer, and flushes when that is full.
    pub fn line(&mut self, stamp: &str, line: &[u8]) {
        // One write of at most the buffer's first capacity, so that the buffer never grows.
        if self.buffer.len() + stamp.len() + line.len() + 2 > self.buffer.capacity() {
            self.flush(stamp);
        }
        for part in [stamp.as_bytes(), b" ", line, b"\n"] {
            self.buffer.extend_from_slice(part);
        }
        self.buffered_lines += 1;
    }

    /// Writes the buffer out. What cannot be written is dropped and counted.
    pub fn flush(&mut self, stamp: &str) {
        if self.buffer.is_empty() {
            return;
        }
        let content = std::mem::take(&mut self.buffer);
        match self.write(stamp, &content) {
            Ok(()) => self.lost = 0,
            Err(error) => {
                self.lost += self.buffered_lines;
                self.cause = error.to_string();
                // Opened anew next time: the directory may have been missing, or moved.
                self.file = None;
            }
        }
        self.buffer = content;
        self.buffer.clear();
        self.buffered_lines = 0;
    }

    fn write(&mut self, stamp: &str, content: &[u8]) -> io::Result<()> {
        if self.file.is_none() {
            self.open()?;
        }
        if self.size >= self.limit {
            self.turn_over()?;
        }
        if self.lost > 0 {
            let notice = format!("{stamp} towpath: {} lines of output were lost: {}\n", self.lost, self.cause);
            self.append(notice.as_bytes())?;
            self.lost = 0;
        }
        self.append(content)
    }

    /// Writes all or nothing: a part of a line on a full disk would look like the application's.
    fn append(&mut self, content: &[u8]) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Err(io::ErrorKind::NotFound.into()) };
        if let Err(error) = file.write_all(content) {
            let _ = file.set_len(self.size);
            return Err(error);
        }
        self.size += content.len() as u64;
        Ok(())
    }

    fn open(&mut self) -> io::Result<()> {
        if let Some(directory) = self.path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
        self.size = file.metadata()?.len();
        self.file = Some(file);
        Ok(())
    }

    fn turn_over(&mut self) -> io::Result<()> {
        let mut older = self.path.clone().into_os_string();
        older.push(".1");
        std::fs::rename(&self.path, older)?;
        self.open()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_bounded_and_keeps_the_tail() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.log");
        let mut log = LogFile::new(path.clone(), 64 << 10);
        for number in 0..20_000 {
            log.line("2026-01-01T00:00:00.000Z", format!("line {number}").as_bytes());
        }
        log.flush("now");
        let kept = std::fs::read_to_string(&path).unwrap();
        assert!(kept.ends_with("2026-01-01T00:00:00.000Z line 19999\n"));
        let total = kept.len() as u64 + dir.path().join("app.log.1").metadata().unwrap().len();
        assert!(total < 200 << 10, "{total}");
    }

    #[test]
    fn lines_that_could_not_be_written_are_counted_and_said() {
        let dir = tempfile::tempdir().unwrap();
        let parent = dir.path().join("logs");
        std::fs::write(&parent, "a file where the directory should be").unwrap();
        let mut log = LogFile::new(parent.join("app.log"), 1 << 20);
        log.line("t", b"lost");
        log.flush("t");
        std::fs::remove_file(&parent).unwrap();
        log.line("t", b"kept");
        log.flush("t");
        let text = std::fs::read_to_string(parent.join("app.log")).unwrap();
        assert!(text.contains("1 lines of output were lost") && text.ends_with("t kept\n"), "{text}");
    }
}
