//! The file that receives an instance's output: bounded, and resumed after a restart without a line twice.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use tokio::io::AsyncWriteExt;

/// A file of this size becomes `<file>.1`, whose place it takes.
const ROTATE_BYTES: u64 = 16 << 20;

/// How much of the file's end is read to know what is there already.
const TAIL_BYTES: u64 = 256 << 10;

/// What the file has already, as far as it can come again.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Lines with earlier time stamps than this were written, or are older than what is asked for.
    oldest: Vec<u8>,
    newest: Vec<u8>,
    /// Whether more lines may have the oldest time stamp than were read: then it is as those before it.
    cut: bool,
    lines: HashMap<Vec<u8>, usize>,
}

impl Seen {
    /// Reads the end of a log. Docker's time stamps have a fixed width, so that they compare as text.
    fn of(tail: &Tail) -> Self {
        let mut seen = Self { cut: tail.cut, ..Self::default() };
        for line in tail.bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            if seen.oldest.is_empty() {
                seen.oldest = stamp(line).to_vec();
            }
            seen.newest = stamp(line).to_vec();
            *seen.lines.entry(line.to_vec()).or_default() += 1;
        }
        seen
    }

    /// The second from which an engine has to tell again, so many before the newest line; 0 for everything.
    pub fn since(&self, before: i64) -> i32 {
        let newest = std::str::from_utf8(&self.newest).ok().and_then(|t| t.parse::<jiff::Timestamp>().ok());
        newest.and_then(|t| i32::try_from(t.as_second() - before).ok()).unwrap_or(0)
    }

    /// Whether this line, told again, is in the file already. Each line of the file answers for one.
    pub fn has(&mut self, line: &[u8]) -> bool {
        match stamp(line).cmp(self.oldest.as_slice()) {
            Ordering::Less => return true,
            Ordering::Equal if self.cut => return true,
            _ => {}
        }
        match self.lines.get_mut(line) {
            Some(count) if *count > 0 => {
                *count -= 1;
                true
            }
            _ => false,
        }
    }
}

/// The line with a time stamp as Docker's lines have, in UTC with nine digits: stamps are compared as text. Those of Podman 4
/// have whole seconds of the local time.
pub(super) fn stamped(line: &[u8]) -> Cow<'_, [u8]> {
    let given = stamp(line);
    if given.len() == "2026-11-22T13:06:13.513325559Z".len() && given.ends_with(b"Z") {
        return line.into();
    }
    let time = std::str::from_utf8(given).ok().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    time.map_or(line.into(), |time| [format!("{time:.9}").as_bytes(), &line[given.len()..]].concat().into())
}

/// The time stamp at the beginning of a line.
pub(super) fn stamp(line: &[u8]) -> &[u8] {
    line.split(|b| *b == b' ').next().unwrap_or_default()
}

/// An open log.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: tokio::fs::File,
    size: u64,
}

impl LogFile {
    /// Opens a log to append to it, and says what it has.
    pub async fn open(path: &Path) -> std::io::Result<(Self, Seen)> {
        let path = path.to_owned();
        let (tail, torn) = {
            let path = path.clone();
            tokio::task::spawn_blocking(move || prepare(&path)).await.map_err(std::io::Error::other)??
        };
        let mut file = tokio::fs::OpenOptions::new().create(true).append(true).open(&path).await?;
        if torn {
            file.write_all(b"\n").await?;
        }
        let size = file.metadata().await?.len();
        Ok((Self { path, file, size }, Seen::of(&tail)))
    }

    /// Appends whole lines.
    pub async fn append(&mut self, lines: &[u8]) -> std::io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        if self.size > 0 && self.size + lines.len() as u64 > ROTATE_BYTES {
            self.rotate().await?;
        }
        self.file.write_all(lines).await?;
        self.file.flush().await?;
        self.size += lines.len() as u64;
        Ok(())
    }

    async fn rotate(&mut self) -> std::io::Result<()> {
        tokio::fs::rename(&self.path, older(&self.path)).await?;
        self.file = tokio::fs::OpenOptions::new().create(true).append(true).open(&self.path).await?;
        self.size = 0;
        Ok(())
    }
}

/// The end of a log.
#[derive(Debug, Default)]
struct Tail {
    bytes: Vec<u8>,
    /// Whether there is more before it.
    cut: bool,
}

/// Makes the directory; reads the end of the log, across a rotation; says whether its last line is cut off.
fn prepare(path: &Path) -> std::io::Result<(Tail, bool)> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let mut tail = read_tail(path)?;
    let torn = tail.bytes.last().is_some_and(|last| *last != b'\n');
    if tail.bytes.len() < 4096 {
        let mut before = read_tail(&older(path))?;
        before.bytes.append(&mut tail.bytes);
        tail = before;
    }
    Ok((tail, torn))
}

fn older(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

/// The whole lines in the last [`TAIL_BYTES`] of a file; nothing when there is no file.
fn read_tail(path: &Path) -> std::io::Result<Tail> {
    let mut file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Tail::default()),
        Err(error) => return Err(error),
    };
    let start = file.metadata()?.len().saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    let cut = start > 0;
    let from = if cut { bytes.iter().position(|b| *b == b'\n').map_or(bytes.len(), |at| at + 1) } else { 0 };
    Ok(Tail { bytes: bytes.split_off(from), cut })
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &[u8] = b"2026-11-22T13:06:13.513325559Z a";
    const B: &[u8] = b"2026-11-22T13:06:14.000000001Z b";

    #[tokio::test]
    async fn a_resumed_log_has_no_line_twice_and_none_is_lost() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/x.log");
        let (mut log, seen) = LogFile::open(&path).await.unwrap();
        assert_eq!(seen.since(1), 0);
        log.append(&[A, b"\n", A, b"\n", B, b"\n"].concat()).await.unwrap();
        let (_, mut seen) = LogFile::open(&path).await.unwrap();
        assert_eq!((seen.since(1), seen.since(60)), (1_795_352_774 - 1, 1_795_352_774 - 60));
        assert_eq!([seen.has(A), seen.has(A), seen.has(A)], [true, true, false], "the same line three times is news");
        assert!(seen.has(b"2026-11-22T13:06:12.000000001Z older"));
        assert!(!seen.has(b"2026-11-22T13:06:14.000000001Z c"));
    }

    #[tokio::test]
    async fn of_a_second_that_was_not_read_whole_nothing_is_told_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.log");
        let line = |n: u32| format!("2026-11-22T13:06:13.000000000Z {n:09}\n").into_bytes();
        std::fs::write(&path, (0..10_000).flat_map(line).collect::<Vec<u8>>()).unwrap();
        let (_, mut seen) = LogFile::open(&path).await.unwrap();
        assert!([0, 5000, 9999].into_iter().all(|n| seen.has(line(n).trim_ascii_end())));
        assert!(!seen.has(b"2026-11-22T13:06:14.000000000Z 000009999"));
    }

    #[test]
    fn a_line_of_podman_gets_a_stamp_as_dockers_have() {
        assert_eq!(*stamped(A), *A);
        assert_eq!(*stamped(b"2026-11-22T13:06:13Z a b"), *b"2026-11-22T13:06:13.000000000Z a b");
        assert_eq!(*stamped(b"2026-11-22T14:06:13+01:00 "), *b"2026-11-22T13:06:13.000000000Z ");
        assert_eq!(*stamped(b"no time"), *b"no time");
    }

    #[tokio::test]
    async fn a_torn_last_line_is_ended_before_the_log_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.log");
        std::fs::write(&path, [A, b"\n", &B[..20]].concat()).unwrap();
        let (mut log, mut seen) = LogFile::open(&path).await.unwrap();
        assert!(!seen.has(B));
        log.append(&[B, b"\n"].concat()).await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), [A, b"\n", &B[..20], b"\n", B, b"\n"].concat());
    }

    #[tokio::test]
    async fn a_full_log_is_rotated_once_and_resumed_across_the_rotation() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.log");
        std::fs::write(&path, [A, b"\n"].concat().repeat(500_000)).unwrap();
        let (mut log, _) = LogFile::open(&path).await.unwrap();
        let block = [B, b"\n"].concat().repeat(50_000);
        log.append(&block).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), block.len() as u64);
        assert!(std::fs::metadata(older(&path)).unwrap().len() <= ROTATE_BYTES + (1 << 20));
    }
}
