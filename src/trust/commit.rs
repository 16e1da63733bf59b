//! A commit as git stores it, taken apart: the signature in its header, and the rest, which is what was signed.
//!
//! The rule is git's (`parse_signed_commit` of its `commit.c`), but for what git tolerates and nobody needs: a header that
//! bears two signatures is refused rather than read as one.

use super::{MOST_TEXT, Refusal};
use crate::model::Timestamp;

/// The largest commit that is looked at. One of git's own history has some kilobytes.
pub const MOST_BYTES: usize = 1 << 20;

/// The header of a signature, with the space before its value.
const HEADER: &[u8] = b"gpgsig ";
/// The header of a second signature, made for the same commit in a repository of SHA-256 ids; git leaves it out of what is
/// signed too.
const OTHER: &[u8] = b"gpgsig-sha256 ";

/// A commit taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The signature as its tool wrote it, if it bears one.
    pub signature: Option<String>,
    /// What was signed: all but the signatures.
    pub payload: Vec<u8>,
    /// When it says it was committed.
    pub committed_at: Option<Timestamp>,
}

/// What the lines that begin with a space belong to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Signature,
    Other,
    Rest,
}

impl Commit {
    /// Takes a commit apart: its bytes as the object database has them, without git's own `commit <size>` before it.
    ///
    /// # Errors
    /// When it is too large, is none, or bears more than one signature.
    pub fn parse(raw: &[u8]) -> Result<Self, Refusal> {
        if raw.len() > MOST_BYTES {
            return Err(Refusal::Unreadable(format!("it has {} bytes, {MOST_BYTES} are read", raw.len())));
        }
        if !raw.starts_with(b"tree ") {
            return Err(Refusal::Unreadable("it does not begin with its tree".into()));
        }
        let end = header_end(raw);
        let mut parsed = Self { signature: None, payload: Vec::with_capacity(raw.len()), committed_at: None };
        let mut signature: Option<Vec<u8>> = None;
        let mut within = Within::Rest;
        for line in raw[..end].split_inclusive(|byte| *byte == b'\n') {
            if line.starts_with(b" ") {
                match within {
                    Within::Signature => signature.iter_mut().for_each(|text| text.extend(&line[1..])),
                    Within::Other => {}
                    Within::Rest => parsed.payload.extend(line),
                }
                continue;
            }
            within = kind_of(line)?;
            match within {
                Within::Signature if signature.is_some() => return Err(Refusal::Several),
                Within::Signature => signature = Some(line[HEADER.len()..].to_vec()),
                Within::Other => {}
                Within::Rest => {
                    parsed.committed_at = parsed.committed_at.or_else(|| committed(line));
                    parsed.payload.extend(line);
                }
            }
        }
        parsed.payload.extend(&raw[end..]);
        parsed.signature = signature.map(text).transpose()?;
        Ok(parsed)
    }
}

/// Where the header ends: at the first empty line, which belongs to what follows.
fn header_end(raw: &[u8]) -> usize {
    raw.windows(2).position(|pair| pair == b"\n\n").map_or(raw.len(), |at| at + 1)
}

fn kind_of(line: &[u8]) -> Result<Within, Refusal> {
    match line {
        line if line.starts_with(HEADER) => Ok(Within::Signature),
        line if line.starts_with(OTHER) => Ok(Within::Other),
        // git takes every such line out of what is signed, whatever comes after these letters.
        line if line.starts_with(b"gpgsig") => {
            Err(Refusal::Unreadable("its header has an unknown kind of signature".into()))
        }
        _ => Ok(Within::Rest),
    }
}

fn text(bytes: Vec<u8>) -> Result<String, Refusal> {
    if bytes.len() > MOST_TEXT {
        return Err(Refusal::Malformed(format!("it has {} bytes, {MOST_TEXT} are read", bytes.len())));
    }
    String::from_utf8(bytes).map_err(|_| Refusal::Malformed("it is not text".into()))
}

/// The time in `committer A U Thor <author@example.com> 1700000000 +0000`.
fn committed(line: &[u8]) -> Option<Timestamp> {
    let line = std::str::from_utf8(line.strip_prefix(b"committer ")?).ok()?;
    let mut words = line.trim_end().rsplit(' ');
    let (_zone, seconds) = (words.next()?, words.next()?);
    seconds.parse::<i64>().ok()?.checked_mul(1000).map(Timestamp)
}
