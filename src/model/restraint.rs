//! What holds a service back although something new is there for it.

use super::names::ServiceName;
use super::time::Timestamp;
use serde::{Deserialize, Serialize};

/// What holds a service back; nothing by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Restraint {
    /// No deployments until a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<Suspend>,
    /// Services that have to be healthy, as they are declared, before this one is created or deployed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<ServiceName>,
    /// What is done about instances that were changed by hand.
    #[serde(default, skip_serializing_if = "Drift::is_default")]
    pub drift: Drift,
}

impl Restraint {
    /// Whether there is none: then nothing is written of it, and digests stay what they were.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// The suspension, while it lasts.
    pub fn suspended(&self, now: Timestamp) -> Option<&Suspend> {
        self.suspend.as_ref().filter(|suspend| suspend.until > now)
    }
}

/// No deployments until a time, which is over by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspend {
    /// Until when.
    pub until: Timestamp,
    /// Why.
    pub reason: String,
}

/// What is done about instances that were changed by hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Drift {
    /// They are replaced.
    #[default]
    Heal,
    /// It is said, and they stay as long as they work.
    Report,
}

impl Drift {
    fn is_default(&self) -> bool {
        *self == Self::Heal
    }

    /// Its word in the manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Heal => "heal",
            Self::Report => "report",
        }
    }
}
