//! What is declared with the previews of pull requests in it: each a service of the manifest, for as long as it lasts. Pure.

use super::{DeclaredService, Desired};
use crate::model::{HostLabel, OpenPull, ServiceName};
use std::collections::{BTreeMap, BTreeSet};

/// The pull requests that have a preview now, by the service.
pub type Open = BTreeMap<ServiceName, Vec<OpenPull>>;

/// Declares the previews, too. One whose name or host is taken is left out: what people declare comes first.
pub fn with_previews(desired: &Desired, open: &Open) -> Desired {
    let mut whole = desired.clone();
    let mut labels: BTreeSet<HostLabel> = desired.services.iter().map(|s| s.spec.name.host_label()).collect();
    for declared in &desired.services {
        let Some(previews) = &declared.previews else { continue };
        for pull in open.get(&declared.spec.name).into_iter().flatten() {
            let Some(spec) = previews.preview(&declared.spec, pull) else { continue };
            if labels.insert(spec.name.host_label()) {
                whole.services.push(DeclaredService { spec, place: declared.place.clone(), previews: None });
            }
        }
    }
    whole
}
