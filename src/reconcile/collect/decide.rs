//! What goes from the disk, and why. Pure.

use crate::api::collection::{Kind, Removal};
use std::time::Duration;

/// Something on the disk that could go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// What it is.
    pub kind: Kind,
    /// Its name, as a person finds it again.
    pub name: String,
    /// How much room it takes, where that is known.
    pub bytes: Option<u64>,
    /// How long nothing has changed in it.
    pub unused_for: Duration,
    /// Whether something that is kept needs it.
    pub needed: bool,
}

/// How much room there is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// Enough: what is not needed is kept for a while, because it may be again.
    Enough,
    /// Above the high watermark: what is not needed goes at once.
    Tight,
}

/// What is removed. Never what is needed: revisions that are kept, what runs, what services name.
pub fn decide_removals(stored: &[Stored], keep_unused: Duration, room: Room) -> Vec<Removal> {
    stored.iter().filter(|s| !s.needed).filter_map(|s| Some((s, why(s, keep_unused, room)?))).map(removal).collect()
}

fn why(stored: &Stored, keep_unused: Duration, room: Room) -> Option<String> {
    let unneeded = match stored.kind {
        // Made by one build only: nothing will ask for it again.
        Kind::Build => return Some("no kept revision needs it".into()),
        // Which revisions and logs are beyond what is kept is decided where they are counted.
        Kind::Revision | Kind::Log => return Some("beyond what is kept".into()),
        Kind::Mirror => "no service has this repository",
        Kind::Cache => "not changed",
    };
    if stored.unused_for >= keep_unused {
        return Some(format!("{unneeded} for {}", in_words(stored.unused_for)));
    }
    (room == Room::Tight).then(|| format!("{unneeded}, and the disk is above its high watermark"))
}

fn removal((stored, why): (&Stored, String)) -> Removal {
    Removal { kind: stored.kind, name: stored.name.clone(), bytes: stored.bytes, why }
}

fn in_words(duration: Duration) -> String {
    match duration.as_secs() {
        s if s < 3600 => format!("{} minutes", s / 60),
        s if s < 2 * 86_400 => format!("{} hours", s / 3600),
        s => format!("{} days", s / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn stored(kind: Kind, days: u32, needed: bool) -> Stored {
        Stored { kind, name: "x".into(), bytes: Some(1), unused_for: DAY * days, needed }
    }

    #[test]
    fn what_is_needed_never_goes_and_the_rest_by_its_kind() {
        let goes = |s: Stored, room| decide_removals(&[s], DAY * 30, room).pop().map(|r| r.why);
        for kind in [Kind::Build, Kind::Revision, Kind::Mirror, Kind::Cache, Kind::Log] {
            for room in [Room::Enough, Room::Tight] {
                assert_eq!(goes(stored(kind, 1000, true), room), None, "{kind:?}");
            }
        }
        let table = [
            (Kind::Build, 0, Room::Enough, Some("no kept revision needs it")),
            (Kind::Log, 0, Room::Enough, Some("beyond what is kept")),
            (Kind::Mirror, 29, Room::Enough, None),
            (Kind::Mirror, 30, Room::Enough, Some("no service has this repository for 30 days")),
            (
                Kind::Mirror,
                0,
                Room::Tight,
                Some("no service has this repository, and the disk is above its high watermark"),
            ),
            (Kind::Cache, 29, Room::Enough, None),
            (Kind::Cache, 31, Room::Enough, Some("not changed for 31 days")),
            (Kind::Cache, 1, Room::Tight, Some("not changed, and the disk is above its high watermark")),
        ];
        for (kind, days, room, why) in table {
            assert_eq!(goes(stored(kind, days, false), room).as_deref(), why, "{kind:?} {days} {room:?}");
        }
    }
}
