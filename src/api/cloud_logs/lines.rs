//! Lines of one stream between two moments, each with its place: its time, and its number among the lines of that very
//! millisecond. Streams only grow at their end, so that places stay the same from call to call.

use crate::api::control::{LogStream, Refusal};
use crate::api::dispatch::Context;
use crate::api::logs::{LINES, LogLine, LogStart};
use crate::model::{ServiceId, Timestamp};

/// A place in a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spot {
    /// The time, in milliseconds.
    pub at: i64,
    /// How many lines of this very time are before.
    pub number: u64,
}

/// A line.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// Where it stands.
    pub spot: Spot,
    /// Its text.
    pub message: String,
}

/// What one page of a stream holds.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// The lines, in order.
    pub lines: Vec<Line>,
    /// The time up to which all that was asked for is here; `None` where all of the stream is.
    pub horizon: Option<i64>,
}

/// Gives lines their places.
struct Places(Spot);

impl Places {
    fn from(at: i64) -> Self {
        Self(Spot { at, number: 0 })
    }

    fn line(&mut self, line: LogLine) -> Line {
        let Self(next) = self;
        // A clock that was set back leaves lines that are older than what stands before them.
        let at = line.at.0.max(next.at);
        let spot = Spot { at, number: if at == next.at { next.number } else { 0 } };
        *next = Spot { number: spot.number + 1, ..spot };
        Line { spot, message: line.message }
    }
}

/// A stream of a service.
pub(super) struct Stream<'a> {
    /// Where it is read.
    pub context: &'a Context,
    /// Whose it is.
    pub service: &'a ServiceId,
    /// Which.
    pub stream: LogStream,
}

impl Stream<'_> {
    /// Lines from a moment on for which `take` says yes, at most so many.
    pub async fn since(&self, at: i64, most: usize, take: impl Fn(&Line) -> bool) -> Result<Vec<Line>, Refusal> {
        let (mut lines, mut places) = (Vec::new(), Places::from(at));
        let mut start = LogStart::Since(Timestamp(at));
        loop {
            let page = self.context.logs.page(self.service, &self.stream, start, LINES).await?;
            let taken = page.lines.into_iter().map(|line| places.line(line)).filter(|line| take(line));
            lines.extend(taken.take(most - lines.len()));
            if !page.more || lines.len() >= most {
                return Ok(lines);
            }
            start = LogStart::After(page.next);
        }
    }

    /// The lines of one page from a moment on for which `take` says yes, at most so many.
    pub async fn page(&self, at: i64, most: usize, take: impl Fn(&Line) -> bool) -> Result<Page, Refusal> {
        let start = LogStart::Since(Timestamp(at));
        let page = self.context.logs.page(self.service, &self.stream, start, LINES).await?;
        let (mut lines, mut places) = (Vec::new(), Places::from(at));
        for line in page.lines {
            let line = places.line(line);
            if take(&line) {
                if lines.len() == most {
                    let Places(next) = places;
                    return Ok(Page { lines, horizon: Some(next.at) });
                }
                lines.push(line);
            }
        }
        let Places(next) = places;
        Ok(Page { lines, horizon: page.more.then_some(next.at) })
    }

    /// The place after the last line.
    pub async fn end(&self) -> Result<Spot, Refusal> {
        let last = self.context.logs.page(self.service, &self.stream, LogStart::Tail(1), 1).await?.lines.pop();
        let Some(last) = last else { return Ok(Spot::default()) };
        let of_then = self.since(last.at.0, usize::MAX, |_| true).await?;
        let after = of_then.last().map(|line| Spot { number: line.spot.number + 1, ..line.spot });
        Ok(after.unwrap_or(Spot { at: last.at.0, number: 0 }))
    }

    /// The last lines before a place, at most so many, none older than `since`.
    pub async fn before(&self, end: Spot, since: i64, most: usize) -> Result<Vec<Line>, Refusal> {
        let mut back = 1000;
        loop {
            let from = end.at.saturating_sub(back).max(since);
            let mut lines = self.since(from, usize::MAX, |line| line.spot < end).await?;
            if lines.len() >= most || from == since {
                lines.drain(..lines.len().saturating_sub(most));
                return Ok(lines);
            }
            // A second, an hour, half a year: a short stream is read a few times at most.
            back = back.saturating_mul(3600);
        }
    }
}
