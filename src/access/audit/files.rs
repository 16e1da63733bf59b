//! The trail's files: `<first number>.jsonl` each, in order; `start.json` says what stands before the oldest, `head.json` which
//! was the newest at the last sync.

use super::AuditError;
use super::chain::{BEGINNING, Line};
use crate::model::Timestamp;
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A place in the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// A record's number.
    pub number: u64,
    /// Its hash.
    pub hash: String,
}

impl Default for Mark {
    /// Before the first record.
    fn default() -> Self {
        Self { number: 0, hash: BEGINNING.into() }
    }
}

/// Where writing goes on.
pub(super) struct End {
    /// The newest record.
    pub mark: Mark,
    /// The file that it stands in, if there is one.
    pub file: Option<PathBuf>,
}

pub(super) fn failed(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> AuditError {
    let path = path.to_owned();
    move |source| AuditError::Io { act, path, source }
}

/// The files, the oldest first.
pub(super) fn files(directory: &Path) -> Result<Vec<PathBuf>, AuditError> {
    let entries = fs::read_dir(directory).map_err(failed("list", directory))?;
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed("list", directory))?.path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The file that begins with a record.
pub(super) fn file_of(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:012}.jsonl"))
}

/// Gives every line of a file with its number in it, from 1.
pub(super) fn read_lines(path: &Path, mut take: impl FnMut(usize, &str)) -> Result<(), AuditError> {
    let file = File::open(path).map_err(failed("open", path))?;
    for (n, line) in BufReader::new(file).lines().enumerate() {
        match line {
            Ok(line) => take(n + 1, &line),
            // Not text: no record either.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => take(n + 1, ""),
            Err(error) => return Err(failed("read", path)(error)),
        }
    }
    Ok(())
}

pub(super) fn read_mark(directory: &Path, name: &str) -> Result<Option<Mark>, AuditError> {
    let path = directory.join(name);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(serde_json::from_str(&text).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", &path)(error)),
    }
}

pub(super) fn write_mark(directory: &Path, name: &str, mark: &Mark) -> Result<(), AuditError> {
    let path = directory.join(name);
    let fresh = path.with_extension("new");
    let text = serde_json::to_string(mark).unwrap_or_default();
    let write = || {
        let mut open = OpenOptions::new();
        let mut file = open.write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&fresh, &path)
    };
    write().map_err(failed("write", &path))
}

/// Makes the directory, and finds where writing goes on.
pub(super) fn prepare(directory: &Path) -> Result<End, AuditError> {
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed("create", directory)(error)),
        _ => {}
    }
    let start = read_mark(directory, "start.json")?.unwrap_or_default();
    let Some(newest) = files(directory)?.pop() else { return Ok(End { mark: start, file: None }) };
    mend(&newest)?;
    let mut mark = None;
    read_lines(&newest, |_, line| {
        mark = Line::read(line).map(|line| Mark { number: line.number, hash: line.hash.to_owned() }).or(mark.take());
    })?;
    match mark {
        Some(mark) => Ok(End { mark, file: Some(newest) }),
        // Begun and cut off before its first record was whole: the file before says where the chain ends.
        None => {
            fs::remove_file(&newest).map_err(failed("remove", &newest))?;
            prepare(directory)
        }
    }
}

/// Cuts off a last line that is not whole: its call was never answered.
fn mend(path: &Path) -> Result<(), AuditError> {
    let failed = || failed("mend", path);
    let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(failed())?;
    let length = file.metadata().map_err(failed())?.len();
    let mut end = length;
    let mut byte = [0];
    while end > 0 {
        file.seek(SeekFrom::Start(end - 1)).map_err(failed())?;
        file.read_exact(&mut byte).map_err(failed())?;
        if byte == *b"\n" {
            break;
        }
        end -= 1;
    }
    if end < length {
        tracing::warn!(file = %path.display(), bytes = length - end, "cut off half an audit record");
        file.set_len(end).map_err(failed())?;
    }
    Ok(())
}

/// Removes files whose newest record is too old; the newest file stays.
pub(super) fn prune(directory: &Path, keep: Duration, now: Timestamp) -> Result<usize, AuditError> {
    let mut removed = 0;
    let files = files(directory)?;
    for pair in files.windows(2) {
        let modified = fs::metadata(&pair[0]).and_then(|m| m.modified()).map_err(failed("look at", &pair[0]))?;
        let age = modified.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let written = Timestamp(i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
        if now.since(written) <= keep {
            break;
        }
        let mut last = None;
        read_lines(&pair[0], |_, line| {
            last = Line::read(line).map(|l| Mark { number: l.number, hash: l.hash.to_owned() })
        })?;
        // First what stands before the next file, then the removal: cut off in between, the old file is found too old again.
        if let Some(mark) = last {
            write_mark(directory, "start.json", &mark)?;
        }
        fs::remove_file(&pair[0]).map_err(failed("remove", &pair[0]))?;
        removed += 1;
    }
    Ok(removed)
}
