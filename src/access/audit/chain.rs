//! The chain: what a line looks like, and whether a row of them is whole.

use super::AuditError;
use super::files::{Mark, files, read_lines, read_mark};
use crate::model::ids::hex;
use sha2::{Digest, Sha256};
use std::path::Path;

/// The hash before the first record.
pub(super) const BEGINNING: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// A line, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// Its number, from 1.
    pub number: u64,
    /// The hash of the line before.
    pub previous: &'a str,
    /// Its own hash.
    pub hash: &'a str,
    /// The record's text.
    pub record: &'a str,
}

/// The line of a record, without its end, and its hash.
pub(super) fn make_line(number: u64, previous: &str, record: &str) -> (String, String) {
    let hash = hash(number, previous, record);
    (format!("{{\"number\":{number},\"previous\":\"{previous}\",\"hash\":\"{hash}\",\"record\":{record}}}"), hash)
}

fn hash(number: u64, previous: &str, record: &str) -> String {
    hex(&Sha256::digest(format!("{number}\n{previous}\n{record}")))
}

impl<'a> Line<'a> {
    /// Takes a line apart; `None` if it is none.
    pub fn read(line: &'a str) -> Option<Self> {
        let rest = line.strip_prefix("{\"number\":")?.strip_suffix('}')?;
        let (number, rest) = rest.split_once(",\"previous\":\"")?;
        let (previous, rest) = rest.split_once("\",\"hash\":\"")?;
        let (hash, record) = rest.split_once("\",\"record\":")?;
        Some(Self { number: number.parse().ok()?, previous, hash, record })
    }

    fn is_true(&self) -> bool {
        hash(self.number, self.previous, self.record) == self.hash
    }
}

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Verified {
    /// How many records there are.
    pub records: u64,
    /// The number of the oldest.
    pub first: u64,
    /// The number of the newest.
    pub last: u64,
    /// The newest one's hash: kept elsewhere, it proves all before it.
    pub hash: String,
    /// What is wrong, in words; nothing, if all is whole.
    pub problems: Vec<String>,
}

/// How many problems are told; a trail with more is damaged as a whole.
const MOST_PROBLEMS: usize = 20;

/// Reads the whole trail.
pub(super) fn verify(directory: &Path) -> Result<Verified, AuditError> {
    let (start, head) = (read_mark(directory, "start.json")?, read_mark(directory, "head.json")?);
    let mut walk = Walk::new(start.unwrap_or_default());
    for file in files(directory)? {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        read_lines(&file, |n, line| walk.take(&format!("{name}:{n}"), line))?;
    }
    Ok(walk.finish(head))
}

/// The state of a verification.
struct Walk {
    expected: Mark,
    found: Verified,
}

impl Walk {
    fn new(start: Mark) -> Self {
        let found = Verified { records: 0, first: 0, last: 0, hash: start.hash.clone(), problems: Vec::new() };
        Self { expected: start, found }
    }

    fn take(&mut self, place: &str, line: &str) {
        let Some(line) = Line::read(line) else { return self.problem(format!("{place} is no record")) };
        if line.number != self.expected.number + 1 {
            let (expected, number) = (self.expected.number + 1, line.number);
            self.problem(format!("{place}: record {number} stands where record {expected} belongs"));
        } else if line.previous != self.expected.hash {
            self.problem(format!("{place}: record {} does not follow the one before it", line.number));
        }
        if !line.is_true() {
            self.problem(format!("{place}: record {} was altered", line.number));
        }
        self.expected = Mark { number: line.number, hash: line.hash.to_owned() };
        if self.found.records == 0 {
            self.found.first = line.number;
        }
        self.found.records += 1;
        (self.found.last, self.found.hash) = (line.number, line.hash.to_owned());
    }

    fn problem(&mut self, words: String) {
        if self.found.problems.len() < MOST_PROBLEMS {
            self.found.problems.push(words);
        }
    }

    /// A line may be newer than what was noted of the end, never older.
    fn finish(mut self, head: Option<Mark>) -> Verified {
        if let Some(head) = head
            && head.number > self.expected.number
        {
            let (from, to) = (self.expected.number + 1, head.number);
            self.problem(format!("records {from} to {to} are missing at the end"));
        }
        self.found
    }
}
