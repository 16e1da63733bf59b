//! Ids that a plan decides: SHA-256 over the seed, the moment, what the id is for, and a counter.
//!
//! The same arguments give the same ids, so a plan can be computed again; the moment keeps two plans of one seed apart.

use super::Policy;
use crate::model::{HostLabel, InstanceId, OperationId, ServiceId, Timestamp};
use sha2::Digest as _;
use std::collections::BTreeSet;

/// Makes the ids of one plan.
pub(super) struct Ids {
    seed: [u8; 32],
    now: Timestamp,
}

impl Ids {
    pub(super) fn new(policy: &Policy, now: Timestamp) -> Self {
        Self { seed: policy.seed, now }
    }

    pub(super) fn operation(&self, service: &str, kind: &str) -> OperationId {
        OperationId::from_random(self.bytes("operation", service, kind, 0))
    }

    pub(super) fn service(&self, service: &str) -> ServiceId {
        ServiceId::from_random(self.bytes("service", service, "create", 0))
    }

    pub(super) fn instance(&self, service: &str, counter: usize) -> InstanceId {
        InstanceId::from_random(self.bytes("instance", service, "heal", counter))
    }

    /// A generated host label that no service has yet.
    pub(super) fn label(&self, service: &str, taken: &BTreeSet<&str>) -> HostLabel {
        let mut counter = 0;
        loop {
            let label = HostLabel::from_random(self.bytes("label", service, "create", counter));
            if !taken.contains(label.as_str()) {
                return label;
            }
            counter += 1;
        }
    }

    fn bytes<const N: usize>(&self, what: &str, service: &str, kind: &str, counter: usize) -> [u8; N] {
        let mut hash = sha2::Sha256::new();
        hash.update(self.seed);
        hash.update(self.now.0.to_be_bytes());
        for part in [what, service, kind] {
            // With its length, so that no two lists of parts read alike.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.update((counter as u64).to_be_bytes());
        let digest = hash.finalize();
        std::array::from_fn(|i| digest[i])
    }
}
