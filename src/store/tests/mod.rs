//! Every type through the store and back; what is refused; backups.

use super::*;
use crate::model::*;
use proptest::prelude::*;
use std::path::Path;
use std::sync::Arc;

mod build;
mod damage;
mod figures;

use build::Seeded;

const NOW: Timestamp = Timestamp(1_790_000_000_000);

async fn open(dir: &Path) -> (Store, World, Opened) {
    Store::open(dir, NOW).await.unwrap()
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// What memory would hold after these writes: the model that the store is compared with.
fn remember(world: &mut World, write: &Write) {
    match write.clone() {
        Write::PutService(s) => drop(world.services.insert(s.id.clone(), Arc::from(s))),
        Write::PutOperation(o) => drop(world.operations.insert(o.id.clone(), *o)),
        Write::PutRevision(s, r) => drop(world.revisions.insert((s, r.number), Arc::from(r))),
        Write::DeleteRevision(s, n) => drop(world.revisions.remove(&(s, n))),
        Write::PutInstance(i) => drop(world.instances.insert(i.id.clone(), i)),
        Write::DeleteInstance(i) => drop(world.instances.remove(&i)),
        Write::ForgetService(id) => {
            world.services.remove(&id);
            world.revisions.retain(|(s, _), _| s != &id);
            world.operations.retain(|_, o| o.service != id);
            world.instances.retain(|_, i| i.service != id);
        }
        Write::PutMeta(name, value) => drop(world.meta.insert(name, value)),
        Write::PutResource(r) => drop(world.resources.insert(r.id.clone(), *r)),
        Write::DeleteResource(id) => drop(world.resources.remove(&id)),
        Write::AppendEvent(_) => {}
    }
    world.index();
}

/// A random list of changes that is allowed in this world.
fn random_writes(seeded: &mut Seeded, world: &World) -> Vec<Write> {
    let mut world = world.clone();
    let mut writes = Vec::new();
    for _ in 0..seeded.0.usize(1..6) {
        let write = random_write(seeded, &world);
        remember(&mut world, &write);
        writes.push(write);
    }
    writes
}

fn random_write(seeded: &mut Seeded, world: &World) -> Write {
    let services: Vec<&Arc<ServiceRecord>> = world.services.values().collect();
    let Some(service) = seeded.0.choice(&services).copied() else {
        return Write::PutService(Box::new(seeded.service()));
    };
    let id = service.id.clone();
    let next = world.revisions.range((id.clone(), RevisionNumber(0))..=(id.clone(), RevisionNumber(u32::MAX)));
    let next = next.last().map_or(1, |((_, n), _)| n.0 + 1);
    match seeded.0.u8(..12) {
        0 => Write::PutService(Box::new(seeded.service())),
        1 => Write::PutService(Box::new(ServiceRecord { id, ..seeded.service() })),
        2 => Write::PutRevision(id, Box::new(seeded.revision(next))),
        3 => Write::DeleteRevision(id, RevisionNumber(next.saturating_sub(1))),
        4 => Write::PutInstance(seeded.instance(&id)),
        5 => match world.instances.keys().next() {
            Some(instance) => Write::DeleteInstance(instance.clone()),
            None => Write::PutInstance(seeded.instance(&id)),
        },
        6 if services.len() > 2 => Write::ForgetService(id),
        7 => Write::PutMeta(seeded.text(), serde_json::json!({ "v": seeded.text(), "n": seeded.0.u64(..) })),
        10 => Write::PutResource(Box::new(seeded.resource())),
        11 => match world.resources.keys().next() {
            Some(id) => Write::DeleteResource(id.clone()),
            None => Write::PutResource(Box::new(seeded.resource())),
        },
        8 => Write::AppendEvent(seeded.event(Some(service))),
        _ => Write::PutOperation(Box::new(seeded.operation(&id))),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_reopened_store_holds_exactly_what_was_written(seed: u64) {
        run(async {
            let dir = tempfile::tempdir().unwrap();
            let mut seeded = Seeded::new(seed);
            let (store, mut world, opened) = open(dir.path()).await;
            assert_eq!(opened, Opened::Created);
            for _ in 0..8 {
                let writes = random_writes(&mut seeded, &world);
                store.write(writes.clone()).await.unwrap();
                writes.iter().for_each(|w| remember(&mut world, w));
            }
            store.close().await.unwrap();
            let (_store, read, opened) = open(dir.path()).await;
            assert_eq!(opened, Opened::Existing);
            assert_eq!(read, world);
        });
    }
}

#[test]
fn a_write_that_fails_in_the_middle_changes_nothing() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let mut seeded = Seeded::new(1);
        let (store, ..) = open(dir.path()).await;
        let stranger = ServiceId::from_random([9; 16]);
        let writes = vec![
            Write::PutMeta("a".into(), serde_json::json!(1)),
            Write::PutInstance(seeded.instance(&stranger)),
            Write::PutMeta("b".into(), serde_json::json!(2)),
        ];
        let error = store.write(writes).await.unwrap_err();
        assert!(matches!(error, StoreError::NoSuchService { .. }), "{error:?}");
        assert_eq!(error.class(), Class::Stalled);
        store.write(vec![Write::PutMeta("c".into(), serde_json::json!(3))]).await.unwrap();
        drop(store);
        let (_store, world, _) = open(dir.path()).await;
        assert_eq!(world.meta.keys().collect::<Vec<_>>(), ["c"]);
        assert!(world.instances.is_empty());
    });
}

#[test]
fn within_one_write_the_service_may_come_after_what_refers_to_it() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let mut seeded = Seeded::new(2);
        let (store, ..) = open(dir.path()).await;
        let service = seeded.service();
        let operation = seeded.operation(&service.id);
        let writes = vec![Write::PutOperation(Box::new(operation.clone())), Write::PutService(Box::new(service))];
        store.write(writes).await.unwrap();
        assert_eq!(store.operation(&operation.id).await.unwrap(), Some(operation));
    });
}

#[test]
fn a_revision_is_never_replaced_by_another() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let mut seeded = Seeded::new(3);
        let (store, ..) = open(dir.path()).await;
        let (service, one, other) = (seeded.service(), seeded.revision(1), seeded.revision(1));
        let id = service.id.clone();
        let put = |revision: &Revision| Write::PutRevision(id.clone(), Box::new(revision.clone()));
        store.write(vec![Write::PutService(Box::new(service)), put(&one)]).await.unwrap();
        store.write(vec![put(&one)]).await.expect("the same again is fine");
        let error = store.write(vec![put(&other)]).await.unwrap_err();
        assert!(matches!(error, StoreError::RevisionExists { .. }), "{error:?}");
        let again = vec![Write::DeleteRevision(id.clone(), RevisionNumber(1)), put(&other)];
        store.write(again).await.unwrap();
    });
}

#[test]
fn the_world_holds_all_running_operations_and_the_newest_hundred_of_each_service() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let mut seeded = Seeded::new(4);
        let (store, ..) = open(dir.path()).await;
        let service = seeded.service();
        let mut operations: Vec<Operation> = (0..150).map(|_| seeded.operation(&service.id)).collect();
        for (i, operation) in operations.iter_mut().enumerate() {
            operation.number = u64::try_from(i).unwrap();
            // A clock that is set back in between changes nothing.
            operation.created_at = Timestamp(i64::try_from(200 - i).unwrap());
            operation.status = if i == 3 { OperationStatus::Pending } else { OperationStatus::Failed };
        }
        let put = operations.iter().map(|o| Write::PutOperation(Box::new(o.clone())));
        store.write([Write::PutService(Box::new(service.clone()))].into_iter().chain(put).collect()).await.unwrap();
        let (_second, world, _) = open(dir.path()).await;
        let mut kept: Vec<u64> = world.operations.values().map(|o| o.number).collect();
        kept.sort_unstable();
        let expected: Vec<u64> = [3].into_iter().chain(50..150).collect();
        assert_eq!(kept, expected);

        let newest = store.operations(&service.id, 2).await.unwrap();
        assert_eq!(newest.iter().map(|o| o.number).collect::<Vec<_>>(), [149, 148]);
        // Of the old, 139 ended ones are beyond the newest ten; the one that still runs stays.
        assert_eq!(store.prune_operations(Timestamp(1000), 10).await.unwrap(), 139);
        assert_eq!(store.operations(&service.id, 1000).await.unwrap().len(), 11);
    });
}

#[test]
fn events_are_numbered_for_ever_and_survive_their_service() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let mut seeded = Seeded::new(5);
        let (store, ..) = open(dir.path()).await;
        let service = seeded.service();
        let mut writes = vec![Write::PutService(Box::new(service.clone()))];
        let events: Vec<Event> =
            (0..10).map(|i| Event { at: Timestamp(i), ..seeded.event((i % 2 == 0).then_some(&service)) }).collect();
        writes.extend(events.iter().cloned().map(Write::AppendEvent));
        writes.push(Write::ForgetService(service.id.clone()));
        store.write(writes).await.unwrap();
        let of_service = store.events(Some(&service.id), 3, 2).await.unwrap();
        assert_eq!(of_service, [(5, events[4].clone()), (7, events[6].clone())]);
        assert_eq!(store.newest_events(None, 2).await.unwrap(), [(9, events[8].clone()), (10, events[9].clone())]);
        assert_eq!(store.prune_events(Timestamp(100), 3).await.unwrap(), 7);
        assert_eq!(store.prune_events(Timestamp(100), 0).await.unwrap(), 3);
        store.write(vec![Write::AppendEvent(events[0].clone())]).await.unwrap();
        assert_eq!(store.events(None, 0, 9).await.unwrap(), [(11, events[0].clone())]);
    });
}

#[test]
fn three_backups_are_kept_and_their_order_does_not_need_the_clock() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let (store, ..) = open(dir.path()).await;
        for i in 0..5 {
            // The clock goes back each time.
            store.write(vec![Write::PutMeta("i".into(), serde_json::json!(i))]).await.unwrap();
            store.back_up(Timestamp(NOW.0 - i * 86_400_000)).await.unwrap();
        }
        let kept = std::fs::read_dir(dir.path().join("backups")).unwrap().count();
        assert_eq!(kept, 3);
        store.close().await.unwrap();
        std::fs::remove_file(dir.path().join("towpath.db")).unwrap();
        let (_store, world, opened) = open(dir.path()).await;
        assert!(matches!(opened, Opened::Restored { set_aside: None, .. }), "{opened:?}");
        assert_eq!(world.meta["i"], 4);
    });
}

#[test]
fn many_tasks_write_and_read_while_a_backup_is_made() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_owned();
        let opening = tokio::spawn(async move { open(&path).await.0 });
        let store = std::sync::Arc::new(opening.await.unwrap());
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..4_u64 {
            let store = store.clone();
            tasks.spawn(async move {
                for _ in 0..25 {
                    store.write(vec![Write::AppendEvent(Seeded::new(task).event(None))]).await.unwrap();
                    assert!(!store.events(None, 0, 1000).await.unwrap().is_empty());
                }
            });
        }
        for _ in 0..3 {
            let store = store.clone();
            tasks.spawn(async move { drop(store.back_up(NOW).await.unwrap()) });
        }
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap();
        }
        let events = store.events(None, 0, 1000).await.unwrap();
        assert_eq!(events.iter().map(|(n, _)| *n).collect::<Vec<_>>(), (1..=100).collect::<Vec<_>>());
        let whole = std::fs::read_dir(dir.path().join("backups")).unwrap().count();
        assert_eq!(whole, 3);
    });
}

#[test]
fn a_store_of_the_version_without_resources_opens_with_all_that_it_holds() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let mut seeded = Seeded::new(3);
        let (store, mut world, _) = open(dir.path()).await;
        let writes = vec![Write::PutService(Box::new(seeded.service()))];
        store.write(writes.clone()).await.unwrap();
        world.apply(writes);
        store.close().await.unwrap();
        // As it was before: neither the table nor the note that it was made.
        let mut connection = super::connection::connect(&store.files.database(), false).await.unwrap();
        let before = "DROP TABLE resources; DELETE FROM _sqlx_migrations WHERE version = 4";
        sqlx::raw_sql(before).execute(&mut connection).await.unwrap();
        super::connection::close(connection, Path::new("")).await.unwrap();

        let (store, read, opened) = open(dir.path()).await;
        assert_eq!((opened, &read), (Opened::Existing, &world));
        store.write(vec![Write::PutResource(Box::new(seeded.resource()))]).await.unwrap();
    });
}
