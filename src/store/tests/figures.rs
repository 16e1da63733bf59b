//! What the store costs. Not asserted: figures depend on the disk. `benches/run` runs it
//! with all other measurements.

use super::build::Seeded;
use super::*;
use std::time::{Duration, Instant};

#[test]
#[ignore = "a measurement"]
fn figures() {
    run(async {
        let dir = tempfile::tempdir_in(".").unwrap();
        let mut seeded = Seeded::new(11);
        let (store, ..) = open(dir.path()).await;
        let mut writes = Vec::new();
        for _ in 0..1000 {
            let service = seeded.service();
            writes.push(Write::PutRevision(service.id.clone(), Box::new(seeded.revision(1))));
            writes.push(Write::PutInstance(seeded.instance(&service.id)));
            writes.extend((0..5).map(|_| Write::PutOperation(Box::new(seeded.operation(&service.id)))));
            writes.push(Write::PutService(Box::new(service)));
        }
        let all = Instant::now();
        store.write(writes.clone()).await.unwrap();
        println!("8,000 changes in one transaction: {:?}", all.elapsed());

        let mut each: Vec<Duration> = Vec::new();
        for write in writes.iter().filter(|w| matches!(w, Write::PutOperation(_))).take(500) {
            let event = seeded.event(None);
            let start = Instant::now();
            store.write(vec![write.clone(), Write::AppendEvent(event)]).await.unwrap();
            each.push(start.elapsed());
        }
        each.sort_unstable();
        println!("operation + event, a transaction: median {:?}, 99% {:?}", each[250], each[495]);

        let backup = Instant::now();
        let path = store.back_up(NOW).await.unwrap();
        println!("backup of {} KiB: {:?}", std::fs::metadata(path).unwrap().len() / 1024, backup.elapsed());
        store.close().await.unwrap();
        let start = Instant::now();
        let (_store, world, _) = open(dir.path()).await;
        println!(
            "open with {} services, {} operations: {:?}",
            world.services.len(),
            world.operations.len(),
            start.elapsed()
        );
    });
}
