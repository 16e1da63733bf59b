//! Ranges of Node versions, as `engines.node` of a `package.json` writes them (npm's semver ranges), and which of a
//! runtime's versions they leave (row S5). Pre-releases count as the version they come before. Pure.

use super::service::VersionLock;
use std::cmp::{max, min};
use std::fmt;
use std::str::FromStr;

type Version = [u32; 3];

/// The versions from one on, up to one that is left out; no end if that is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    from: Version,
    to: Option<Version>,
}

const ALL: Span = Span { from: [0; 3], to: None };

/// A range: alternatives, of which one must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRange {
    text: String,
    spans: Vec<Span>,
}

impl Span {
    fn and(self, other: Self) -> Self {
        let to = match (self.to, other.to) {
            (Some(a), Some(b)) => Some(min(a, b)),
            (a, b) => a.or(b),
        };
        Self { from: max(self.from, other.from), to }
    }

    fn is_empty(self) -> bool {
        self.to.is_some_and(|to| to <= self.from)
    }

    /// The versions that begin with these parts.
    fn of(parts: &[u32]) -> Self {
        if parts.is_empty() { ALL } else { Self { from: padded(parts), to: Some(after(parts, parts.len())) } }
    }
}

fn padded(parts: &[u32]) -> Version {
    [0, 1, 2].map(|at| parts.get(at).copied().unwrap_or(0))
}

/// The first version that differs from these parts within the first `count` of them, upwards.
fn after(parts: &[u32], count: usize) -> Version {
    let mut next = padded(&parts[..count.min(parts.len())]);
    let last = count.clamp(1, 3) - 1;
    next[last] = next[last].saturating_add(1);
    next
}

impl NodeRange {
    /// The lock that chooses the newest version of a runtime in this range: the runtime's own where nothing in it is
    /// newer than the range allows. `None` where the range leaves none of `versions`, which are the newest first.
    pub fn choose(&self, versions: &[VersionLock]) -> Option<VersionLock> {
        versions.iter().find_map(|version| {
            let own = Span::of(&version.0);
            let left = self.spans.iter().map(|span| span.and(own)).filter(|span| !span.is_empty());
            let newest = left.max_by_key(|span| span.to.unwrap_or([u32::MAX; 3]))?;
            Some(if newest.to == own.to { version.clone() } else { newest_below(newest.to?) })
        })
    }

    /// Whether any version that begins with these parts is in the range.
    pub fn meets(&self, version: &VersionLock) -> bool {
        self.spans.iter().any(|span| !span.and(Span::of(&version.0)).is_empty())
    }
}

/// The lock of the newest versions below one.
fn newest_below([major, minor, patch]: Version) -> VersionLock {
    VersionLock(match (minor, patch) {
        (_, 1..) => vec![major, minor, patch - 1],
        (1.., 0) => vec![major, minor - 1],
        (0, 0) => vec![major.saturating_sub(1)],
    })
}

impl fmt::Display for NodeRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for NodeRange {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let spans = text.split("||").map(|part| alternative(part).ok_or(())).collect::<Result<_, _>>()?;
        Ok(Self { text: text.trim().to_owned(), spans })
    }
}

/// Comparators that must all hold, or `A - B`.
fn alternative(text: &str) -> Option<Span> {
    if let Some((low, high)) = text.split_once(" - ") {
        return Some(comparator(">=", low.trim())?.and(comparator("<=", high.trim())?));
    }
    // An operator may stand apart from its version.
    let is_operator = |c: char| "<>=^~".contains(c);
    let mut words = text.split_whitespace().flat_map(|word| {
        let at = word.find(|c| !is_operator(c)).unwrap_or(word.len());
        [&word[..at], &word[at..]]
    });
    let (mut span, mut operator) = (ALL, "");
    for word in words.by_ref().filter(|word| !word.is_empty()) {
        if word.starts_with(is_operator) {
            operator = word;
        } else {
            span = span.and(comparator(std::mem::take(&mut operator), word)?);
        }
    }
    operator.is_empty().then_some(span)
}

fn comparator(operator: &str, version: &str) -> Option<Span> {
    let parts = parts(version)?;
    let from = Span { from: padded(&parts), to: None };
    let until = |count: usize| Span { to: Some(after(&parts, count)), ..from };
    if parts.is_empty() {
        return Some(ALL);
    }
    Some(match operator {
        "" | "=" => Span::of(&parts),
        ">=" => from,
        ">" => Span { from: after(&parts, parts.len()), to: None },
        "<" => Span { from: [0; 3], to: Some(padded(&parts)) },
        "<=" => Span { from: [0; 3], to: Some(after(&parts, parts.len())) },
        "~" | "~>" => until(parts.len().min(2)),
        // The first part that is not zero stays.
        "^" => until(parts.iter().position(|part| *part > 0).map_or(parts.len(), |at| at + 1)),
        _ => return None,
    })
}

/// The numbers of a version before the first part that is left open: `18.x` is 18, `*` is nothing.
fn parts(version: &str) -> Option<Vec<u32>> {
    let plain = version.trim_start_matches(['v', 'V']).split(['-', '+']).next()?;
    let mut parts = Vec::new();
    for part in plain.split('.') {
        match part {
            "x" | "X" | "*" => return Some(parts),
            number if parts.len() < 3 => parts.push(number.parse().ok()?),
            _ => return None,
        }
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(range: &str, version: &str) -> Option<String> {
        let range: NodeRange = range.parse().unwrap();
        range.choose(&[version.parse().unwrap()]).map(|lock| lock.to_string())
    }

    #[test]
    fn a_range_chooses_within_a_runtime() {
        for (range, lock) in [
            ("18.x", "18"),
            ("18", "18"),
            ("*", "18"),
            ("", "18"),
            (">=14", "18"),
            (">= 14.0.0 < 21", "18"),
            ("^18.12.0 || ^20", "18"),
            ("16 || 18 || 20", "18"),
            ("~18.12", "18.12"),
            ("~18.12.3", "18.12"),
            ("18.12.x", "18.12"),
            ("v18.12.1", "18.12.1"),
            ("=18.12.1", "18.12.1"),
            ("<18.13", "18.12"),
            ("<=18.13", "18.13"),
            ("<=18.13.4", "18.13.4"),
            ("14 - 18.5.2", "18.5.2"),
            ("14.0.0 - 18", "18"),
            (">18.2.0 <18.2.9 || 16", "18.2.8"),
            (">=18.0.0-rc.1", "18"),
        ] {
            assert_eq!(chosen(range, "18").as_deref(), Some(lock), "{range}");
        }
    }

    #[test]
    fn a_range_beside_a_runtime_leaves_nothing() {
        for range in ["20.x", ">=20", "<18", "<=17", "^16.4.0", "16 || 20", ">18", "18.2.0 18.3.0"] {
            assert_eq!(chosen(range, "18"), None, "{range}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in ["lts/*", "eighteen", ">=", "18.1.2.3", "18 -", "!18", "99999999999"] {
            assert!(text.parse::<NodeRange>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_lock_meets_a_range_when_one_of_its_versions_does() {
        let range: NodeRange = ">=18.12".parse().unwrap();
        for (lock, meets) in [("18", true), ("18.12", true), ("18.11", false), ("18.12.0", true), ("17", false)] {
            assert_eq!(range.meets(&lock.parse().unwrap()), meets, "{lock}");
        }
    }
}
