//! What the keepers of instances told, each handed on once per control plane.

use crate::model::InstanceId;
use std::collections::BTreeMap;

/// How many that nobody took are kept.
const MOST_KEPT: usize = 1000;

/// Notices of all instances.
#[derive(Debug, Default)]
pub struct Notices {
    /// How many of each instance's notices are known.
    known: BTreeMap<InstanceId, usize>,
    fresh: Vec<(InstanceId, String)>,
}

impl Notices {
    /// Takes note of everything that an instance's keeper told so far.
    pub fn note(&mut self, id: &InstanceId, all: &[String]) {
        if all.is_empty() {
            return;
        }
        let known = self.known.entry(id.clone()).or_default();
        let fresh = all.iter().skip(*known).map(|text| (id.clone(), text.clone()));
        *known = all.len();
        self.fresh.extend(fresh);
        self.fresh.truncate(MOST_KEPT);
    }

    /// What is new since the last call.
    pub fn take(&mut self) -> Vec<(InstanceId, String)> {
        std::mem::take(&mut self.fresh)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_handed_on_once() {
        let (mut notices, id) = (Notices::default(), InstanceId::from_random([1; 16]));
        notices.note(&id, &["full".into()]);
        assert_eq!(notices.take(), [(id.clone(), "full".to_owned())]);
        notices.note(&id, &["full".into(), "killed".into()]);
        assert_eq!(notices.take(), [(id, "killed".to_owned())]);
        assert_eq!(notices.take(), []);
    }
}
