//! Which streams are kept. Files are removed, never shortened.

use super::stream::{Stream, StreamInfo, list, list_services, rotated};
use crate::model::{InstanceId, OperationId, ServiceId, Timestamp};
use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

/// What is kept of each service. A stream goes when it is beyond the number of its kind, or older than `max_age`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Streams of operations: the newest this many.
    pub operations: usize,
    /// Streams of instances: the newest this many.
    pub instances: usize,
    /// How long after its last line a stream is kept.
    pub max_age: Duration,
}

/// What is kept in any case: what runs, and what a person may still ask about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InUse {
    /// Operations that have not ended.
    pub operations: HashSet<OperationId>,
    /// Instances that are recorded.
    pub instances: HashSet<InstanceId>,
}

/// Removes what is not kept, in all services; returns how many streams. Events streams are bounded, and stay.
pub(super) fn collect(
    root: &Path,
    retention: Retention,
    in_use: &InUse,
    writing: &dyn Fn(&Path) -> bool,
    now: Timestamp,
) -> io::Result<usize> {
    let excess = excess(root, retention, in_use, writing, now)?;
    for (service, info) in &excess {
        let path = info.stream.path(&root.join(service.as_str()));
        remove(&rotated(&path))?;
        remove(&path)?;
    }
    Ok(excess.len())
}

/// What is not kept, in all services.
pub(super) fn excess(
    root: &Path,
    retention: Retention,
    in_use: &InUse,
    writing: &dyn Fn(&Path) -> bool,
    now: Timestamp,
) -> io::Result<Vec<(ServiceId, StreamInfo)>> {
    let mut excess = Vec::new();
    for service in list_services(root)? {
        let directory = root.join(service.as_str());
        let streams = list(&directory)?;
        let removals = decide_removals(&streams, retention, in_use, now);
        let gone = streams.into_iter().filter(|info| removals.contains(&info.stream));
        let idle = gone.filter(|info| !writing(&info.stream.path(&directory)));
        excess.extend(idle.map(|info| (service.clone(), info)));
    }
    Ok(excess)
}

/// The streams to remove; `streams` come newest first. Pure.
pub(super) fn decide_removals(
    streams: &[StreamInfo],
    retention: Retention,
    in_use: &InUse,
    now: Timestamp,
) -> Vec<Stream> {
    let (mut operations, mut instances) = (0, 0);
    let mut removals = Vec::new();
    for info in streams {
        let (seen, keep, used) = match &info.stream {
            Stream::Events => continue,
            Stream::Operation { id, .. } => (&mut operations, retention.operations, in_use.operations.contains(id)),
            Stream::Instance(id) => (&mut instances, retention.instances, in_use.instances.contains(id)),
        };
        *seen += 1;
        let old = now.since(info.modified) > retention.max_age;
        if !used && (*seen > keep || old) {
            removals.push(info.stream.clone());
        }
    }
    removals
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::OperationGroup;

    fn deployment(n: u8) -> Stream {
        Stream::Operation { group: OperationGroup::Deployment, id: OperationId::from_random([n; 16]) }
    }

    fn instance(n: u8) -> InstanceId {
        InstanceId::from_random([n; 16])
    }

    #[test]
    fn retention_keeps_the_newest_and_whatever_is_in_use() {
        let info = |stream: Stream, age: u64| StreamInfo {
            stream,
            bytes: 1,
            modified: Timestamp(1_790_000_000_000 - i64::try_from(age).unwrap() * 1000),
        };
        let streams: Vec<StreamInfo> = [
            info(Stream::Events, 1_000_000),
            info(deployment(1), 1),
            info(deployment(2), 2),
            info(deployment(3), 3),
            info(deployment(4), 4),
            info(Stream::Instance(instance(1)), 5),
            info(Stream::Instance(instance(2)), 5000),
            info(Stream::Instance(instance(3)), 6000),
        ]
        .into();
        let Stream::Operation { id: running, .. } = deployment(4) else { unreachable!() };
        let in_use = InUse { operations: HashSet::from([running]), instances: HashSet::from([instance(3)]) };
        let retention = Retention { operations: 2, instances: 9, max_age: Duration::from_secs(4000) };
        let removals = decide_removals(&streams, retention, &in_use, Timestamp(1_790_000_000_000));
        assert_eq!(removals, [deployment(3), Stream::Instance(instance(2))]);
    }
}
