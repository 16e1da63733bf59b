//! Reading whole lines from a place on, through a rotation.

use super::clean::{LINE_MAX, clean};
use super::seek::{Position, seek};
use super::stream::{modified, rotated};
use crate::model::{Invalid, Timestamp};
use sha2::{Digest as _, Sha256};
use std::collections::VecDeque;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::str::FromStr;

/// A line of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its time; of one that carries none, the time of the one before, or of the file's last change.
    pub time: Timestamp,
    /// Its text, safe to show, prefix included.
    pub text: String,
}

/// A place in a stream. It stays good while lines are appended and through a rotation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The part of the stream, by its first line, and the byte in it. `None`: before everything.
    pub(super) at: Option<(PartId, u64)>,
}

impl Cursor {
    /// Before everything.
    pub const START: Self = Self { at: None };
}

impl fmt::Display for Cursor {
    /// An opaque word that reads back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            None => f.write_str("start"),
            Some((PartId(part), offset)) => write!(f, "{part:016x}.{offset}"),
        }
    }
}

impl FromStr for Cursor {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let bad = || Invalid::new(format!("`{}` is not a place in a log", text.escape_debug()));
        if text == "start" {
            return Ok(Self::START);
        }
        let (part, offset) = text.split_once('.').ok_or_else(bad)?;
        let part = u64::from_str_radix(part, 16).map_err(|_| bad())?;
        Ok(Self { at: Some((PartId(part), offset.parse().map_err(|_| bad())?)) })
    }
}

/// Lines read at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The lines, in the order they were written.
    pub lines: Vec<Line>,
    /// Where to go on.
    pub next: Cursor,
    /// Whether lines may be missing before the first one here: the part that was read last was rotated away.
    pub gap: bool,
    /// Whether there is more to read already.
    pub more: bool,
}

/// A page with the place after each line, for readers that take only some of them.
#[derive(Default)]
pub(super) struct RawPage {
    pub(super) lines: Vec<(Line, Cursor)>,
    pub(super) next: Cursor,
    pub(super) gap: bool,
    pub(super) more: bool,
}

impl From<RawPage> for Page {
    fn from(raw: RawPage) -> Self {
        let lines = raw.lines.into_iter().map(|(line, _)| line).collect();
        Self { lines, next: raw.next, gap: raw.gap, more: raw.more }
    }
}

/// The name of a part of a stream: a digest of its first line, which starts with a time. File numbers are used again
/// by the file system; this is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PartId(u64);

/// A file of a stream, open: a rotation while it is read does no harm.
pub(super) struct Part {
    pub(super) file: File,
    /// `None` while it has no whole line.
    pub(super) id: Option<PartId>,
    pub(super) length: u64,
    modified: Timestamp,
    /// Whether lines are still appended to it.
    pub(super) growing: bool,
}

/// How much of its first line names a part.
const NAMING_BYTES: usize = 256;

/// Reads about `max_bytes` of whole lines from a place on. Nothing there is an empty page.
pub(super) fn read_page(path: &Path, from: &Cursor, max_bytes: usize) -> io::Result<RawPage> {
    let parts = open_parts(path)?;
    let (first, mut offset, gap) = locate(&parts, from);
    let mut page = RawPage { next: from.clone(), gap, ..RawPage::default() };
    let mut left = max_bytes.max(1);
    for part in &parts[first..] {
        while let Some(id) = part.id {
            let before = page.lines.len();
            let read = read_block(part, id, offset, left, &mut page)?;
            offset += read;
            left = left.saturating_sub(usize::try_from(read).unwrap_or(usize::MAX));
            if page.lines.len() == before {
                break;
            }
            page.next = Cursor { at: Some((id, offset)) };
            if left == 0 {
                page.more = offset < part.length || !part.growing;
                return Ok(page);
            }
        }
        offset = 0;
    }
    Ok(page)
}

/// The last lines of a stream, oldest first.
pub(super) fn read_tail(path: &Path, count: usize) -> io::Result<Vec<Line>> {
    let mut from = seek(path, Position::Tail(count))?;
    let mut last = VecDeque::new();
    loop {
        let page = read_page(path, &from, 1 << 20)?;
        last.extend(page.lines.into_iter().map(|(line, _)| line));
        // More may have come since.
        last.drain(..last.len().saturating_sub(count));
        if !page.more {
            return Ok(last.into());
        }
        from = page.next;
    }
}

/// The longest line as it is written, with its time and prefix.
const WINDOW: usize = LINE_MAX + 128;

/// Reads lines from one place in one part into the page; returns how many bytes they took, 0 when there is none.
fn read_block(part: &Part, id: PartId, offset: u64, left: usize, page: &mut RawPage) -> io::Result<u64> {
    // A block holds at least one line of full length, so that every read goes on.
    let mut block = vec![0; left.clamp(WINDOW, 1 << 20)];
    let filled = read_at(&part.file, &mut block, offset)?;
    let at_end = filled < block.len() || offset + filled as u64 >= part.length;
    let mut taken = 0;
    while taken < filled && taken < left {
        let rest = &block[taken..filled];
        let whole = at_end && !part.growing;
        let Some(length) = line_length(&rest[..rest.len().min(WINDOW)], whole) else { break };
        let last = page.lines.last().map_or(part.modified, |(line, _)| line.time);
        taken += length;
        let after = Cursor { at: Some((id, offset + taken as u64)) };
        page.lines.push((parse_line(&rest[..length], last), after));
    }
    Ok(taken as u64)
}

/// How long the first line of these bytes is, its end included; `None` when its end is not there yet. One longer than
/// lines are is read in pieces; one that is cut off counts when nothing more comes (`whole`).
fn line_length(window: &[u8], whole: bool) -> Option<usize> {
    if let Some(end) = window.iter().position(|b| *b == b'\n') {
        return Some(end + 1);
    }
    if window.len() == WINDOW {
        // Not within a character (UTF-8 continuation bytes start with 10).
        let within = (0..3).take_while(|back| window[WINDOW - 1 - back] & 0xc0 == 0x80).count();
        return Some(WINDOW - 1 - within);
    }
    whole.then_some(window.len())
}

/// Which part a place is in, and the offset there; whether lines are missing before it.
fn locate(parts: &[Part], from: &Cursor) -> (usize, u64, bool) {
    let Some((id, offset)) = &from.at else { return (0, 0, false) };
    match parts.iter().position(|p| p.id == Some(*id)) {
        Some(index) => (index, (*offset).min(parts[index].length), false),
        None => (0, 0, !parts.is_empty()),
    }
}

fn parse_line(raw: &[u8], last: Timestamp) -> Line {
    let raw = String::from_utf8_lossy(raw);
    let raw = raw.trim_end_matches(['\n', '\r']);
    let (time, text) = match split_time(raw) {
        Some((time, text)) => (time, text),
        None => (last, raw),
    };
    Line { time, text: clean(text).into_owned() }
}

/// The time that a line starts with, and what comes after it.
pub(super) fn split_time(line: &str) -> Option<(Timestamp, &str)> {
    let (time, text) = line.split_once(' ').unwrap_or((line, ""));
    // Spares the parser what cannot be a time.
    if !(20..=40).contains(&time.len()) || !time.as_bytes()[0].is_ascii_digit() {
        return None;
    }
    let time: jiff::Timestamp = time.parse().ok()?;
    Some((Timestamp(time.as_millisecond()), text))
}

/// The parts of a stream, oldest first, as of one moment.
pub(super) fn open_parts(path: &Path) -> io::Result<Vec<Part>> {
    let mut parts = Vec::new();
    for _ in 0..5 {
        let current = open(path)?;
        let old = open(&rotated(path))?;
        // A rotation in between would hide a part, or show one twice: then once more.
        let settled = number(current.as_ref())? == number(open(path)?.as_ref())?;
        let current = current.map(|f| part(f, true)).transpose()?;
        let old = old.map(|f| part(f, current.is_none())).transpose()?;
        parts = old.into_iter().chain(current).collect();
        if settled {
            break;
        }
    }
    Ok(parts)
}

fn part(file: File, growing: bool) -> io::Result<Part> {
    let metadata = file.metadata()?;
    let mut start = [0; NAMING_BYTES];
    let filled = read_at(&file, &mut start, 0)?;
    let whole = match start[..filled].iter().position(|b| *b == b'\n') {
        Some(end) => Some(end + 1),
        // A first line that is cut off names its part once nothing more comes to it.
        None => (filled == NAMING_BYTES || (!growing && filled > 0)).then_some(filled),
    };
    let id = whole.map(|end| {
        let digest: [u8; 32] = Sha256::digest(&start[..end]).into();
        PartId(digest.iter().take(8).fold(0, |id, byte| id << 8 | u64::from(*byte)))
    });
    Ok(Part { file, id, length: metadata.len(), modified: modified(&metadata), growing })
}

/// Which file it is; compared only while it is open, so that its number cannot be another's.
fn number(file: Option<&File>) -> io::Result<Option<(u64, u64)>> {
    file.map(|f| f.metadata().map(|m| (m.dev(), m.ino()))).transpose()
}

/// A regular file for reading; `None` when there is none. Links and pipes are not followed and not waited for.
fn open(path: &Path) -> io::Result<Option<File>> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    match OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path) {
        Ok(file) if file.metadata()?.is_file() => Ok(Some(file)),
        Ok(_) => Ok(None),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Fills the buffer from a place on, as far as the file goes.
pub(super) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}
