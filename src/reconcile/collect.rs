//! Collection: old revisions, builds and logs go; never what runs, what may be rolled back to, or what is being made.

mod decide;
mod disk;
mod survey;

use super::core::Core;
use super::operation::was_left;
use crate::api::collection::{Collection, Extent};
use crate::model::{EventSeverity, RevisionNumber, ServiceId, Timestamp};
use crate::store::{World, Write};
use decide::Room;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// How long a deleted service can still be described (row D6).
const DELETED_KEPT: Duration = Duration::from_secs(3600);
/// How many events are kept in any case.
const EVENTS_AT_LEAST: u32 = 1000;

/// Removals of a service's oldest revisions beyond what is kept. The current one and those of instances always stay; those
/// that were rolled back from are counted by themselves, so that bad ones never push out the good one to go back to.
pub fn excess_revisions(world: &World, service: &ServiceId, keep: usize) -> Vec<Write> {
    let record = world.services.get(service);
    let current = record.and_then(|r| r.current);
    let in_use: BTreeSet<RevisionNumber> =
        world.instances.values().filter(|i| &i.service == service).map(|i| i.revision).collect();
    let all = world.revisions.iter().rev().filter(|((s, _), _)| s == service).map(|(_, r)| r);
    let (left, good): (Vec<_>, Vec<_>) = all.partition(|r| record.is_some_and(|record| was_left(record, r)));
    let old = left.iter().skip(keep).chain(good.iter().skip(keep)).map(|r| r.number);
    old.filter(|n| Some(*n) != current && !in_use.contains(n))
        .map(|n| Write::DeleteRevision(service.clone(), n))
        .collect()
}

/// Removes builds that no kept revision needs. Nothing is removed while any operation may be making one; the next
/// collection will.
pub async fn collect(core: &Core) {
    let Ok(_none_is_being_made) = core.artifacts.try_write() else { return };
    let mut needed = core.commands.builds();
    needed.extend(core.state().world.revisions.values().map(|r| r.build.clone()));
    let there = match core.builder.list().await {
        Ok(there) => there,
        Err(error) => {
            tracing::warn!(error = %super::chain(&error), "builds could not be listed");
            return;
        }
    };
    for build in there.iter().filter(|b| !needed.contains(*b)) {
        if let Err(error) = core.builder.remove(build).await {
            tracing::warn!(error = %super::chain(&error), %build, "a build could not be removed");
        }
    }
    let services = {
        let state = core.state();
        let kept = state.world.services.values().filter(|s| s.deleted_at.is_none());
        kept.map(|s| s.name.clone()).collect()
    };
    if let Err(error) = core.builder.tidy(&services).await {
        tracing::warn!(error = %super::chain(&error), "caches of builds could not be tidied");
    }
}

/// Removes what is not kept, or shows what would go. Above the high watermark of the disk nothing is kept for later.
pub async fn gc(core: &Core, extent: Extent) -> Collection {
    let room = if is_tight(core) { Room::Tight } else { Room::Enough };
    let collection = survey::gc(core, extent, room).await;
    // That a build goes on is nobody's worry: the next collection comes within the hour.
    for left in collection.left.iter().filter(|left| extent == Extent::Remove && *left != survey::POSTPONED) {
        tracing::warn!("A collection left something on the disk. {left}");
    }
    collection
}

/// Whether the disk of the data directory is above its high watermark.
pub fn is_tight(core: &Core) -> bool {
    disk::percent_used(&core.config.data).is_ok_and(|percent| percent >= core.config.keep.disk_high)
}

/// Makes room above the high watermark, and says so.
pub async fn make_room(core: &Core) {
    let before = disk::percent_used(&core.config.data).unwrap_or_default();
    let collection = gc(core, Extent::Remove).await;
    let after = collection.disk_percent.unwrap_or(before);
    let message = format!(
        "The disk of `{}` is {before}% full, above its high watermark of {}%: {}, it is {after}% full now.",
        core.config.data.display(),
        core.config.keep.disk_high,
        survey::in_words(&collection.removals),
    );
    core.emit_plain("DiskTight", EventSeverity::Warn, message).await;
}

/// Why nothing may be built now: the disk is too full. What serves goes on.
pub fn no_room_to_build(core: &Core) -> Option<String> {
    let percent = disk::percent_used(&core.config.data).ok()?;
    let critical = core.config.keep.disk_critical;
    (percent >= critical).then(|| {
        format!(
            "The disk of `{}` is {percent}% full, and from {critical}% on nothing is built; what serves goes on. Make room \
             (`towpath gc --dry-run` shows what towpath itself can spare), or raise `--disk-critical`.",
            core.config.data.display()
        )
    })
}

/// What is done once an hour: builds, deleted services, old events, old logs, a backup of the store.
pub async fn hourly(core: &Arc<Core>) {
    let now = core.now();
    gc(core, Extent::Remove).await;
    if let Err(error) = core.one_offs.sweep().await {
        tracing::warn!(error = %super::chain(&error), "commands that were left could not be removed");
    }
    let forgotten: Vec<Write> = {
        let state = core.state();
        let deleted =
            state.world.services.values().filter(|r| r.deleted_at.is_some_and(|at| now.since(at) > DELETED_KEPT));
        deleted.map(|r| Write::ForgetService(r.id.clone())).collect()
    };
    if let Err(error) = core.transact(|_| (forgotten, ())).await {
        tracing::warn!(error = %super::chain(&error), "deleted services could not be forgotten");
    }
    let before =
        crate::model::Timestamp(now.0 - i64::try_from(core.config.keep.keep_events.as_millis()).unwrap_or(i64::MAX));
    if let Err(error) = core.store.prune_events(before, EVENTS_AT_LEAST).await {
        tracing::warn!(error = %super::chain(&error), "old events could not be removed");
    }
    prune_operations(core, now).await;
    if let Err(error) = core.store.back_up(now).await {
        tracing::warn!(error = %super::chain(&error), "the store could not be backed up");
    }
}

/// Old operations go from the store, and beyond their number from memory.
async fn prune_operations(core: &Core, now: Timestamp) {
    let keep = core.config.keep.keep_operations;
    if let Err(error) = core.store.prune_operations(now, keep).await {
        tracing::warn!(error = %super::chain(&error), "old operations could not be removed");
        return;
    }
    core.state().world.prune_operations(keep as usize);
}
