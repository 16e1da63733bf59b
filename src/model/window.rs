//! Deploy windows: when a service may change, and when not.

use super::cron::{Cron, Zone};
use super::names::ServiceName;
use super::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// What a window does to the services that it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WindowEffect {
    /// They change in it, and in others that allow it, only.
    Allow,
    /// They do not change in it, whatever allows it.
    Deny,
}

/// A span of time that comes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// What it does.
    pub effect: WindowEffect,
    /// When it begins.
    pub begins: Cron,
    /// How long it lasts.
    pub lasts: Duration,
    /// By whose clocks it begins.
    pub zone: Zone,
    /// The services that it is about; all if none is named.
    pub services: Vec<ServiceName>,
}

impl Window {
    /// Whether it is about a service.
    pub fn concerns(&self, service: &ServiceName) -> bool {
        self.services.is_empty() || self.services.contains(service)
    }

    /// When the span that holds a moment ends, if one does.
    pub fn ends(&self, at: Timestamp) -> Option<Timestamp> {
        let earliest = Timestamp(at.0.saturating_sub(i64::try_from(self.lasts.as_millis()).unwrap_or(i64::MAX)));
        let began = self.begins.last(at, earliest, &self.zone)?;
        Some(began.plus(self.lasts)).filter(|end| *end > at)
    }
}

/// `deny "0 18 * * FRI"`.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let effect = match self.effect {
            WindowEffect::Allow => "allow",
            WindowEffect::Deny => "deny",
        };
        write!(f, "{effect} \"{}\"", self.begins)
    }
}
