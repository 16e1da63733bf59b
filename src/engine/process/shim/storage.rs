//! What an instance's files take: a disk of its own refuses more by itself; elsewhere they are measured now and then.

use crate::host::disk;
use crate::model::Memory;
use std::path::PathBuf;
use std::time::Duration;

/// When the first look is due.
pub const FIRST_LOOK: Duration = Duration::from_secs(2);
/// How often a disk is asked; that costs a microsecond.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// How rarely files are measured at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How an instance is held to its storage.
#[derive(Clone, Debug, Default)]
pub enum Storage {
    /// Not at all.
    #[default]
    Unlimited,
    /// By the size of its disk.
    Disk {
        /// Where that is mounted.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// Whether it was full at the last look.
        full: bool,
    },
    /// By measuring.
    Watched {
        /// The directory that holds all its files.
        path: PathBuf,
        /// What they may take.
        bytes: u64,
        /// Why it has no disk where it should have one.
        why: Option<String>,
    },
}

/// What a look found.
pub enum Verdict {
    /// There is room.
    Room,
    /// There is none, and was at the look before: to be told once.
    Full(String),
    /// It takes more than it may.
    Beyond(String),
}

impl Storage {
    /// A disk of this size, mounted here.
    pub fn disk(path: PathBuf, bytes: u64) -> Self {
        Self::Disk { path, bytes, full: false }
    }

    /// Files that are measured.
    pub fn watched(path: PathBuf, bytes: u64, why: Option<String>) -> Self {
        Self::Watched { path, bytes, why }
    }

    /// What a person should know from the start.
    pub fn notice(&self) -> Option<String> {
        let Self::Watched { bytes, why: Some(why), .. } = self else { return None };
        Some(format!("no disk of {} could be made ({why}); the instance ends when its files take more", Memory(*bytes)))
    }

    /// Whether writes fail for want of room at this moment.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Disk { path, .. } if disk::is_full(path))
    }

    /// Words for a full disk.
    pub fn full(&self) -> String {
        let Self::Disk { bytes, .. } = self else { return String::new() };
        format!(
            "its storage of {} is full (`instance.storage`): writes fail with \"No space left on device\"",
            Memory(*bytes)
        )
    }

    /// Looks.
    pub fn look(&mut self) -> Verdict {
        let (is_full, message) = (self.is_full(), self.full());
        match self {
            Self::Unlimited => Verdict::Room,
            Self::Disk { full, .. } => {
                if std::mem::replace(full, is_full) || !is_full {
                    Verdict::Room
                } else {
                    Verdict::Full(message)
                }
            }
            Self::Watched { path, bytes, .. } if disk::measure(path, *bytes + 1) > *bytes => Verdict::Beyond(format!(
                "ended: its files take more than its storage of {} (`instance.storage`)",
                Memory(*bytes)
            )),
            Self::Watched { .. } => Verdict::Room,
        }
    }

    /// How long to wait after a look that took so long: measuring takes at most a twentieth of the time.
    pub fn pause(&self, took: Duration) -> Duration {
        match self {
            Self::Watched { .. } => (took * 20).clamp(FIRST_LOOK, LONGEST_PAUSE),
            Self::Unlimited | Self::Disk { .. } => ASK_EVERY,
        }
    }
}
