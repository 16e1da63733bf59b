//! Writing lines: each one `write` to a file opened for appending, within a bound.

use super::clean::{LINE_MAX, bound, clean};
use super::stream::rotated;
use crate::model::{LineSink, LineSource, Timestamp};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// What our own lines may take beyond the bound: how a deployment ended must be readable after a build that printed
/// without end.
const OURS_BEYOND: u64 = 1 << 20;

/// What happens at the bound of a stream.
#[derive(Clone, Copy, Debug)]
pub(super) enum Growth {
    /// Later lines are dropped, and the last one says so.
    Stops { max: u64 },
    /// The file becomes `<file>.1` and a new one begins.
    Rotates { max: u64 },
}

/// A stream's open file, shared by all its writers.
pub(super) struct Shared {
    path: PathBuf,
    growth: Growth,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Opened at the first line, and again after a failure.
    file: Option<File>,
    length: u64,
    /// Whether the file ends within a line: a crash or a full disk cut it off.
    torn: bool,
    /// Whether the last line at the bound was written.
    full: bool,
    /// Lines lost since the last that was written, because the file system failed.
    lost: u64,
    dropped: u64,
}

impl Shared {
    pub(super) fn new(path: PathBuf, growth: Growth) -> Self {
        Self { path, growth, state: Mutex::default() }
    }
}

/// Writes lines to one stream. Cheap to clone; all clones and all writers of the stream share its bound.
#[derive(Clone)]
pub struct LogWriter {
    shared: Arc<Shared>,
}

impl LineSink for LogWriter {
    fn line(&self, source: LineSource, text: &str) {
        self.write(Timestamp::now(), source, text);
    }
}

impl LogWriter {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Writes a line of ours with the time of what it tells.
    pub fn ours_at(&self, at: Timestamp, text: &str) {
        self.write(at, LineSource::AppRunner, text);
    }

    /// How many lines were dropped, over the bound or because the file system failed.
    pub fn dropped(&self) -> u64 {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner).dropped
    }

    /// Every line of the text becomes a line of the stream with its own time and prefix: no text passes for ours.
    fn write(&self, at: Timestamp, source: LineSource, text: &str) {
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        for line in text.split('\n') {
            let line = format_line(at, source, line.trim_end_matches('\r'));
            if !self.shared.write_line(&mut state, at, source, &line) {
                state.dropped += 1;
            }
        }
    }
}

fn format_line(at: Timestamp, source: LineSource, text: &str) -> String {
    let (kept, cut) = bound(text, LINE_MAX);
    // Escapes are longer than what they stand for.
    let cleaned = clean(kept);
    let (shown, cut_after) = bound(&cleaned, LINE_MAX);
    match cut + cut_after {
        0 => format!("{at} {} {shown}\n", source.prefix()),
        cut => format!("{at} {} {shown}… ({cut} bytes cut)\n", source.prefix()),
    }
}

impl Shared {
    /// Whether the line was written.
    fn write_line(&self, state: &mut State, at: Timestamp, source: LineSource, line: &str) -> bool {
        if state.file.is_none() && self.open(state).is_err() {
            state.lost += 1;
            return false;
        }
        if !self.has_room(state, at, source, line) {
            return false;
        }
        let lost = std::mem::take(&mut state.lost);
        let written = match lost {
            0 => self.append(state, line),
            _ => {
                let notice = format!("{lost} lines before this one could not be written.");
                let notice = format_line(at, LineSource::AppRunner, &notice);
                self.append(state, &format!("{notice}{line}"))
            }
        };
        if written.is_err() {
            state.lost = lost + 1;
        }
        written.is_ok()
    }

    /// Whether the line fits, having done what happens at the bound.
    fn has_room(&self, state: &mut State, at: Timestamp, source: LineSource, line: &str) -> bool {
        let needed = state.length + line.len() as u64;
        match self.growth {
            Growth::Rotates { max } => {
                if needed > max && state.length > 0 {
                    // If it cannot be rotated, the file grows on: better than losing events.
                    let _ = self.rotate(state);
                }
                state.file.is_some()
            }
            Growth::Stops { max } if needed <= max => true,
            Growth::Stops { max } => {
                if !std::mem::replace(&mut state.full, true) {
                    let notice =
                        format!("The log reached its limit of {max} bytes; build output after this is dropped.");
                    let _ = self.append(state, &format_line(at, LineSource::AppRunner, &notice));
                }
                source == LineSource::AppRunner && needed <= max + OURS_BEYOND
            }
        }
    }

    fn append(&self, state: &mut State, text: &str) -> io::Result<()> {
        let Some(file) = &mut state.file else { return Err(io::ErrorKind::NotFound.into()) };
        let whole = if state.torn { format!("\n{text}") } else { text.to_owned() };
        let result = file.write_all(whole.as_bytes());
        match result {
            Ok(()) => {
                state.torn = false;
                state.length += whole.len() as u64;
            }
            // How much of it is there is not known: the next line opens the file again and looks.
            Err(_) => state.file = None,
        }
        result
    }

    fn rotate(&self, state: &mut State) -> io::Result<()> {
        std::fs::rename(&self.path, rotated(&self.path))?;
        state.file = None;
        self.open(state)
    }

    fn open(&self, state: &mut State) -> io::Result<()> {
        create_directories(self.path.parent().unwrap_or(&self.path))?;
        let file = OpenOptions::new()
            .append(true)
            .read(true)
            .create(true)
            .mode(0o600)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
            .open(&self.path)?;
        state.length = file.metadata()?.len();
        state.torn = match state.length.checked_sub(1) {
            Some(last) => {
                let mut byte = [0];
                file.read_exact_at(&mut byte, last)?;
                byte != *b"\n"
            }
            None => false,
        };
        state.full |= matches!(self.growth, Growth::Stops { max } if state.length >= max);
        state.file = Some(file);
        Ok(())
    }
}

/// Creates directories that only towpath enters.
pub(super) fn create_directories(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}
