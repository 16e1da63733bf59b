//! What is on the disk and could go; and its removal.

use super::decide::{Room, Stored, decide_removals};
use super::{disk, excess_revisions};
use crate::api::collection::{Collection, Extent, Kind, Removal};
use crate::host::files::{read_small, remove_tree, tree_size};
use crate::model::{BuildId, Digest, RevisionNumber, ServiceId, Timestamp};
use crate::reconcile::chain;
use crate::reconcile::core::Core;
use crate::settings::ManifestSource;
use crate::store::Write;
use crate::telemetry::{InUse, Retention};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The directory of the caches in which each service has its own.
const BY_SERVICE: &str = "services";

/// One thing that goes, with what is needed to remove it.
enum Target {
    Revision(ServiceId, RevisionNumber),
    Build(BuildId),
    Directory(PathBuf),
    /// Logs are removed together, by the room that writes them.
    Log,
}

/// What is said of builds and caches while they may be in use.
pub const POSTPONED: &str = "A build may be going on: builds and caches are left for the next collection.";

/// Looks at everything, and removes what goes. Builds and caches are left alone while a build may use them.
pub async fn gc(core: &Core, extent: Extent, room: Room) -> Collection {
    let idle = core.artifacts.try_write().ok();
    let mut collection = Collection { disk_percent: disk::percent_used(&core.config.data).ok(), ..Default::default() };
    let mut found = Vec::new();
    revisions(core, &mut found);
    if idle.is_some() || extent == Extent::Show {
        builds(core, &mut found, &mut collection.left).await;
        directories(core, &core.config.caches, Kind::Cache, &mut found).await;
        directories(core, &core.config.caches.join(BY_SERVICE), Kind::Cache, &mut found).await;
    } else {
        collection.left.push(POSTPONED.into());
    }
    directories(core, &core.config.mirrors, Kind::Mirror, &mut found).await;
    logs(core, &mut found, &mut collection.left).await;
    let stored: Vec<Stored> = found.iter().map(|(stored, _)| stored.clone()).collect();
    let removals = decide_removals(&stored, core.config.keep.keep_unused, room);
    for removal in removals {
        let same = |s: &Stored| !s.needed && (s.kind, &s.name) == (removal.kind, &removal.name);
        let target = found.iter().find(|(s, _)| same(s)).map(|(_, target)| target);
        match target.filter(|_| extent == Extent::Remove) {
            None => collection.removals.push(removal),
            Some(target) => match remove(core, target).await {
                Ok(()) => collection.removals.push(removal),
                Err(why) => collection.left.push(format!("`{}` could not be removed: {why}", removal.name)),
            },
        }
    }
    drop(idle);
    if extent == Extent::Remove {
        remove_logs(core, &mut collection.left).await;
        collection.disk_percent = disk::percent_used(&core.config.data).ok();
    }
    collection
}

fn stored(kind: Kind, name: impl Into<String>, bytes: Option<u64>, needed: bool) -> Stored {
    Stored { kind, name: name.into(), bytes, unused_for: std::time::Duration::ZERO, needed }
}

/// Revisions beyond their number: what a smaller number or an older version left.
fn revisions(core: &Core, found: &mut Vec<(Stored, Target)>) {
    let state = core.state();
    for record in state.world.services.values() {
        for write in excess_revisions(&state.world, &record.id, core.config.keep.keep_revisions as usize) {
            if let Write::DeleteRevision(service, number) = write {
                let name = format!("{} {number}", record.name);
                found.push((stored(Kind::Revision, name, None, false), Target::Revision(service, number)));
            }
        }
    }
}

async fn builds(core: &Core, found: &mut Vec<(Stored, Target)>, left: &mut Vec<String>) {
    let going: BTreeSet<(ServiceId, RevisionNumber)> = found
        .iter()
        .filter_map(|(_, target)| match target {
            Target::Revision(service, number) => Some((service.clone(), *number)),
            _ => None,
        })
        .collect();
    let mut needed = core.commands.builds();
    {
        let state = core.state();
        let kept = state.world.revisions.iter().filter(|(key, _)| !going.contains(key));
        needed.extend(kept.map(|(_, revision)| revision.build.clone()));
    }
    match core.builder.usage().await {
        Ok(usage) => found.extend(
            usage
                .into_iter()
                .map(|(id, bytes)| (stored(Kind::Build, id.short(), bytes, needed.contains(&id)), Target::Build(id))),
        ),
        Err(error) => left.push(format!("Builds could not be listed: {}.", chain(&error))),
    }
}

/// The names of mirrors that a service needs, or the manifest itself.
fn needed_mirrors(core: &Core) -> BTreeSet<String> {
    let state = core.state();
    let declared = state.desired.iter().flat_map(|d| d.services.iter().map(|s| &s.spec));
    let applied = state.world.services.values().filter(|r| r.deleted_at.is_none()).filter_map(|r| r.applied.as_ref());
    let kept = state.world.revisions.values().map(|r| &r.spec);
    let running = state.world.operations.values().filter(|o| !o.status.is_final());
    let targets = running.filter_map(|o| o.target.spec.as_ref());
    let specs = declared.chain(applied).chain(kept).chain(targets);
    let followed = match &core.config.manifest {
        ManifestSource::Repository(repository) => Some(&repository.url),
        ManifestSource::Path(_) => None,
    };
    let repositories = specs.map(|spec| &spec.source.repository).chain(followed);
    repositories.map(|repository| Digest::of(repository).as_str().to_owned()).collect()
}

/// What lies in a directory of ours: mirrors or caches.
async fn directories(core: &Core, directory: &Path, kind: Kind, found: &mut Vec<(Stored, Target)>) {
    let needed = if kind == Kind::Mirror { needed_mirrors(core) } else { BTreeSet::new() };
    // Without a manifest it is not known what will be needed.
    let unknown = kind == Kind::Mirror && core.state().desired.is_none();
    let (directory, now) = (directory.to_owned(), core.now());
    let listed = tokio::task::spawn_blocking(move || list(&directory, now)).await.unwrap_or_default();
    for (path, bytes, unused_for) in listed {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let is_needed = unknown || needed.contains(name.split('.').next().unwrap_or_default());
        // What a build works on is no cache; the caches of services are looked at one by one.
        let no_cache = core.config.trees == path || path == core.config.caches.join(BY_SERVICE);
        let shown = repository_of(&path).unwrap_or(name);
        let stored = Stored { unused_for, ..stored(kind, shown, Some(bytes), is_needed || no_cache) };
        found.push((stored, Target::Directory(path)));
    }
}

/// The repository of a mirror, as it is noted in it.
fn repository_of(mirror: &Path) -> Option<String> {
    let note = read_small(&mirror.join("description"), 4096).ok()?;
    let note = String::from_utf8(note).ok()?;
    note.lines().next().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty())
}

fn list(directory: &Path, now: Timestamp) -> Vec<(PathBuf, u64, std::time::Duration)> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let (bytes, changed) = tree_size(&entry.path()).ok()?;
            Some((entry.path(), bytes, now.since(Timestamp(changed))))
        })
        .collect()
}

fn retention(core: &Core) -> (Retention, InUse) {
    let keep = core.config.keep;
    let state = core.state();
    let running = state.world.operations.values().filter(|o| !o.status.is_final());
    let in_use = InUse {
        operations: running.map(|o| o.id.clone()).collect(),
        instances: state.world.instances.keys().cloned().collect(),
    };
    let retention = Retention {
        operations: keep.keep_operations as usize,
        instances: keep.keep_instance_logs as usize,
        max_age: keep.keep_logs,
    };
    (retention, in_use)
}

async fn logs(core: &Core, found: &mut Vec<(Stored, Target)>, left: &mut Vec<String>) {
    let (retention, in_use) = retention(core);
    match core.logs.excess(retention, in_use, core.now()).await {
        Ok(excess) => found.extend(excess.into_iter().map(|(service, stream)| {
            let name = format!("{} {}", &service.as_str()[..8], stream.stream.name());
            (stored(Kind::Log, name, Some(stream.bytes), false), Target::Log)
        })),
        Err(error) => left.push(format!("Logs could not be listed: {}.", chain(&error))),
    }
}

async fn remove_logs(core: &Core, left: &mut Vec<String>) {
    let (retention, in_use) = retention(core);
    if let Err(error) = core.logs.collect(retention, in_use, core.now()).await {
        left.push(format!("Old logs could not be removed: {}.", chain(&error)));
    }
}

async fn remove(core: &Core, target: &Target) -> Result<(), String> {
    match target {
        Target::Revision(service, number) => {
            let write = Write::DeleteRevision(service.clone(), *number);
            core.transact(|_| (vec![write], ())).await.map_err(|e| chain(&e))
        }
        Target::Build(id) => core.builder.remove(id).await.map_err(|e| chain(&e)),
        Target::Directory(path) => {
            let path = path.clone();
            let removed = tokio::task::spawn_blocking(move || remove_tree(&path)).await;
            removed.map_err(|e| e.to_string())?.map_err(|e| e.to_string())
        }
        Target::Log => Ok(()),
    }
}

/// What has been removed, in a sentence.
pub fn in_words(removals: &[Removal]) -> String {
    let bytes: u64 = removals.iter().filter_map(|r| r.bytes).sum();
    match removals.len() {
        0 => "nothing that could go was left".to_owned(),
        count => format!("{count} {} of {} MB went", if count == 1 { "thing" } else { "things" }, bytes >> 20),
    }
}
