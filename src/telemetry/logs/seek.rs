//! Finding a place in a stream from its end: nothing before the place is read.

use super::reader::{Cursor, Part, open_parts, read_at, split_time};
use crate::model::Timestamp;
use std::io;
use std::path::Path;

/// A place in a stream, in the words of who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// Before everything.
    Start,
    /// After everything that is there now.
    End,
    /// Before this many last lines.
    Tail(usize),
    /// After the last line that is older than this.
    Since(Timestamp),
}

const BLOCK: u64 = 64 << 10;

/// Enough of a line for its time.
const TIME_BYTES: usize = 48;

/// The place. `START` where the stream does not exist or has no whole line.
pub(super) fn seek(path: &Path, to: Position) -> io::Result<Cursor> {
    let parts = open_parts(path)?;
    let mut lines = 0;
    let mut found = None;
    // Whether a line, by its start, belongs to what is to be read.
    let mut wanted = |part: &Part, start: u64| -> io::Result<bool> {
        lines += 1;
        Ok(match to {
            Position::Start => true,
            Position::End => false,
            Position::Tail(count) => lines <= count,
            Position::Since(since) => time_at(part, start)?.is_none_or(|time| time >= since),
        })
    };
    for part in parts.iter().rev() {
        let Some(id) = part.id else { continue };
        let end = end_of_lines(part)?;
        let first = found.get_or_insert(Cursor { at: Some((id, end)) });
        let mut stopped = false;
        starts_from_end(part, end, |start| {
            stopped = !wanted(part, start)?;
            if !stopped {
                *first = Cursor { at: Some((id, start)) };
            }
            Ok(!stopped)
        })?;
        if stopped {
            return Ok(found.unwrap_or_default());
        }
    }
    // Everything is wanted.
    Ok(Cursor::START)
}

/// Where the last whole line ends; in a part that gets nothing more, its end.
fn end_of_lines(part: &Part) -> io::Result<u64> {
    if !part.growing {
        return Ok(part.length);
    }
    let mut end = 0;
    newlines_from_end(part, part.length, |at| {
        end = at + 1;
        Ok(false)
    })?;
    Ok(end)
}

/// Calls with the start of each line before `end`, the last line first, until told to stop.
fn starts_from_end(part: &Part, end: u64, mut visit: impl FnMut(u64) -> io::Result<bool>) -> io::Result<()> {
    let Some(before_end) = end.checked_sub(1) else { return Ok(()) };
    let mut go_on = true;
    newlines_from_end(part, before_end, |at| {
        go_on = visit(at + 1)?;
        Ok(go_on)
    })?;
    if go_on {
        visit(0)?;
    }
    Ok(())
}

/// Calls with the place of each line end before `end`, the last first, until told to stop.
fn newlines_from_end(part: &Part, end: u64, mut visit: impl FnMut(u64) -> io::Result<bool>) -> io::Result<()> {
    let mut block = vec![0; BLOCK as usize];
    let mut end = end;
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        let wanted = &mut block[..usize::try_from(end - start).unwrap_or(0)];
        let filled = read_at(&part.file, wanted, start)?;
        for at in (0..filled).rev().filter(|i| wanted[*i] == b'\n') {
            if !visit(start + at as u64)? {
                return Ok(());
            }
        }
        end = start;
    }
    Ok(())
}

/// The time of the line that starts here; `None` when it carries none.
fn time_at(part: &Part, start: u64) -> io::Result<Option<Timestamp>> {
    let mut head = [0; TIME_BYTES];
    let filled = read_at(&part.file, &mut head, start)?;
    let line = head[..filled].split(|b| *b == b'\n').next().unwrap_or_default();
    Ok(split_time(&String::from_utf8_lossy(line)).map(|(time, _)| time))
}
