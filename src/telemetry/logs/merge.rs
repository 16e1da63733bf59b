//! Several instances' streams as one, in the order of their times.

use super::reader::{Cursor, Line, RawPage, read_page};
use crate::model::{InstanceId, Timestamp};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::path::PathBuf;

/// A line of one of several instances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergedLine {
    /// Whose it is.
    pub instance: InstanceId,
    /// The line.
    pub line: Line,
}

impl fmt::Display for MergedLine {
    /// `3f2a91c0 the text`: the start of the instance's id, as a prefix.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", &self.instance.as_str()[..8], self.line.text)
    }
}

/// Lines of several instances, read at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MergedPage {
    /// The lines in the order of their times; each instance's in the order it wrote them.
    pub lines: Vec<MergedLine>,
    /// Where to go on in each.
    pub next: BTreeMap<InstanceId, Cursor>,
    /// Whether lines of any of them may be missing: they were rotated away before they were read.
    pub gap: bool,
    /// Whether there is more to read already.
    pub more: bool,
}

/// What was read of one instance and not merged yet.
struct Pending {
    instance: InstanceId,
    lines: VecDeque<(Line, Cursor)>,
}

/// The least that is read of each instance.
const SHARE_MIN: usize = 4 << 10;

pub(super) fn read_merged(
    paths: &[(InstanceId, PathBuf)],
    from: BTreeMap<InstanceId, Cursor>,
    max_bytes: usize,
) -> io::Result<MergedPage> {
    let mut merged = MergedPage { next: from, ..MergedPage::default() };
    let share = (max_bytes / paths.len().max(1)).max(SHARE_MIN);
    let mut pending = Vec::new();
    // Beyond this, an instance that has more to read may have older lines than those at hand.
    let mut horizon = Timestamp(i64::MAX);
    for (instance, path) in paths {
        let start = merged.next.get(instance).cloned().unwrap_or_default();
        let page = read_page(path, &start, share)?;
        merged.gap |= page.gap;
        merged.more |= page.more;
        if page.more {
            horizon = horizon.min(newest(&page));
        }
        merged.next.insert(instance.clone(), start);
        pending.push(Pending { instance: instance.clone(), lines: page.lines.into() });
    }
    while let Some(next) = oldest(&mut pending, horizon) {
        let Some((line, after)) = next.lines.pop_front() else { break };
        merged.next.insert(next.instance.clone(), after);
        merged.lines.push(MergedLine { instance: next.instance.clone(), line });
    }
    merged.more |= pending.iter().any(|p| !p.lines.is_empty());
    Ok(merged)
}

/// The newest time on a page, not the last: after a clock went back the last may be older than all before it, and no
/// line of the page would ever be due.
fn newest(page: &RawPage) -> Timestamp {
    page.lines.iter().map(|(line, _)| line.time).max().unwrap_or(Timestamp(i64::MAX))
}

/// The one whose next line is the oldest and due.
fn oldest(pending: &mut [Pending], horizon: Timestamp) -> Option<&mut Pending> {
    let time = |p: &Pending| p.lines.front().map(|(line, _)| line.time).filter(|t| *t <= horizon);
    let due = pending.iter_mut().filter_map(|p| time(p).map(|t| (t, p)));
    due.min_by_key(|(t, _)| *t).map(|(_, p)| p)
}
