//! Where a service answers (row I7): its generated default domain, and the alias made of its name.

use super::control::Snapshot;
use crate::model::{HostLabel, ServiceName};

/// The host of the default domain with the port, as `ServiceUrl` carries it (without a scheme).
pub fn default_authority(snapshot: &Snapshot, label: &HostLabel) -> String {
    format!("{label}.{}.{}{}", snapshot.region, snapshot.base_domain, port(snapshot))
}

/// The URL of the default domain.
pub fn default_url(snapshot: &Snapshot, label: &HostLabel) -> String {
    format!("http://{}/", default_authority(snapshot, label))
}

/// The URL that people type: the service's name under the base domain.
pub fn alias_url(snapshot: &Snapshot, name: &ServiceName) -> String {
    format!("http://{}.{}{}/", name.host_label(), snapshot.base_domain, port(snapshot))
}

fn port(snapshot: &Snapshot) -> String {
    match snapshot.http_port {
        80 => String::new(),
        port => format!(":{port}"),
    }
}
