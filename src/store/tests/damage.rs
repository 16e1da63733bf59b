//! Damaged, emptied, lost and too new stores, and a full disk.

use super::build::Seeded;
use super::*;
use std::path::PathBuf;

fn database(dir: &Path) -> PathBuf {
    dir.join("towpath.db")
}

/// A store with something in it, a backup of that, and something after the backup. Returns both worlds.
async fn filled(dir: &Path, services: usize) -> (World, World) {
    let mut seeded = Seeded::new(7);
    let (store, mut world, _) = open(dir).await;
    for _ in 0..services {
        let write = Write::PutService(Box::new(seeded.service()));
        remember(&mut world, &write);
        store.write(vec![write]).await.unwrap();
    }
    store.back_up(NOW).await.unwrap();
    let backed_up = world.clone();
    let write = Write::PutMeta("after".into(), serde_json::json!(true));
    remember(&mut world, &write);
    store.write(vec![write]).await.unwrap();
    store.close().await.unwrap();
    (backed_up, world)
}

/// A name, and what it does to the file.
type Ruin = (&'static str, fn(&Path));

/// Ways to ruin a file, each of which must be noticed.
fn ruins() -> Vec<Ruin> {
    fn overwrite(path: &Path, at: u64, with: &[u8]) {
        use std::os::unix::fs::FileExt;
        std::fs::OpenOptions::new().write(true).open(path).unwrap().write_all_at(with, at).unwrap();
    }
    fn truncate(path: &Path, part: impl Fn(u64) -> u64) {
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(part(file.metadata().unwrap().len())).unwrap();
    }
    vec![
        ("garbage", |p| std::fs::write(p, b"this was a database once ".repeat(4000)).unwrap()),
        ("emptied", |p| std::fs::write(p, b"").unwrap()),
        ("cut in half", |p| truncate(p, |length| length / 2)),
        ("cut within a page", |p| truncate(p, |length| length.saturating_sub(1000))),
        ("cut to its first page", |p| truncate(p, |_| 4096)),
        ("first page zeroed", |p| overwrite(p, 0, &[0; 4096])),
        ("header kept, first page garbage", |p| overwrite(p, 100, &[0xa5; 3996])),
        ("a page in the middle garbage", |p| overwrite(p, 4096 * 20, &[0xa5; 4096])),
    ]
}

#[test]
fn a_damaged_store_is_set_aside_and_the_backup_takes_its_place() {
    run(async {
        for (name, ruin) in ruins() {
            let dir = tempfile::tempdir().unwrap();
            let (backed_up, _) = filled(dir.path(), 100).await;
            ruin(&database(dir.path()));
            let ruined = std::fs::read(database(dir.path())).unwrap();
            let (store, world, opened) = open(dir.path()).await;
            assert_eq!(world, backed_up, "{name}");
            let Opened::Restored { set_aside: Some(aside), .. } = opened else { panic!("{name}: {opened:?}") };
            assert!(std::fs::metadata(&aside).unwrap().len() >= u64::try_from(ruined.len()).unwrap() / 2, "{name}");
            // What was restored is a store like any other, and gives no event number twice.
            let event = Write::AppendEvent(Seeded::new(1).event(None));
            store.write(vec![Write::PutMeta("new".into(), serde_json::json!(1)), event]).await.unwrap();
            assert_eq!(store.newest_events(None, 1).await.unwrap()[0].0, 1_000_001, "{name}");
            drop(store);
            let (_store, world, opened) = open(dir.path()).await;
            assert_eq!((opened, world.meta.len()), (Opened::Existing, 1), "{name}");
        }
    });
}

#[test]
fn without_a_backup_a_damaged_store_is_refused_and_left_where_it_is() {
    run(async {
        for (name, ruin) in ruins() {
            let dir = tempfile::tempdir().unwrap();
            filled(dir.path(), 100).await;
            std::fs::remove_dir_all(dir.path().join("backups")).unwrap();
            ruin(&database(dir.path()));
            for _ in 0..2 {
                let Err(error) = Store::open(dir.path(), NOW).await else { panic!("{name}: opened") };
                assert!(matches!(error, StoreError::Damaged { .. }), "{name}: {error:?}");
                assert!(error.to_string().contains("running instances are left as they are"), "{name}: {error}");
                assert!(error.hint().unwrap().contains("good copy"));
                assert_eq!(error.class(), Class::Stalled);
                assert!(database(dir.path()).exists(), "{name}");
            }
        }
    });
}

#[test]
fn a_damaged_backup_is_passed_over_for_an_older_good_one() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let (backed_up, _) = filled(dir.path(), 100).await;
        let (store, ..) = open(dir.path()).await;
        let newest = store.back_up(NOW).await.unwrap();
        store.close().await.unwrap();
        for (name, ruin) in ruins() {
            ruin(&newest);
            std::fs::write(database(dir.path()), b"").unwrap();
            let (store, world, opened) = open(dir.path()).await;
            assert!(matches!(opened, Opened::Restored { from, .. } if from != newest), "{name}");
            assert_eq!(world, backed_up, "{name}");
            store.close().await.unwrap();
        }
    });
}

#[test]
fn a_restore_that_was_cut_off_is_done_again() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let (backed_up, _) = filled(dir.path(), 3).await;
        // Killed after the damaged file was set aside, before the copy got its name.
        std::fs::rename(database(dir.path()), dir.path().join("towpath.db.damaged-x")).unwrap();
        std::fs::write(dir.path().join("towpath.db.unfinished"), b"half a cop").unwrap();
        std::fs::write(dir.path().join("towpath.db-wal"), b"of the one that was set aside").unwrap();
        let (_store, world, opened) = open(dir.path()).await;
        assert!(matches!(opened, Opened::Restored { .. }));
        assert_eq!(world, backed_up);
        assert!(!dir.path().join("towpath.db.unfinished").exists());
    });
}

#[test]
fn a_creation_that_was_cut_off_is_done_again() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("towpath.db.unfinished"), b"").unwrap();
        let (.., opened) = open(dir.path()).await;
        assert_eq!(opened, Opened::Created);
    });
}

#[test]
fn a_newer_schema_is_refused_and_never_replaced_by_a_backup() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let (_, full) = filled(dir.path(), 3).await;
        let mut connection = connection::connect(&database(dir.path()), false).await.unwrap();
        let future = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
            VALUES (9000, 'later', TRUE, x'00', 1)";
        sqlx::query(future).execute(&mut connection).await.unwrap();
        let Err(error) = Store::open(dir.path(), NOW).await else { panic!("opened") };
        assert!(matches!(error, StoreError::Newer { version: 9000, .. }), "{error:?}");
        assert!(error.to_string().contains("newer towpath"));
        sqlx::query("DELETE FROM _sqlx_migrations WHERE version = 9000").execute(&mut connection).await.unwrap();
        let (_store, world, opened) = open(dir.path()).await;
        assert_eq!((world, opened), (full, Opened::Existing));
    });
}

#[test]
fn a_record_of_another_version_is_named_and_nothing_is_replaced() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let (_, world) = filled(dir.path(), 3).await;
        let id = world.services.keys().next().unwrap();
        let later =
            crate::store::record::seal("services", id.as_str(), &serde_json::json!({ "id": id, "shape": "of later" }))
                .unwrap();
        let mut connection = connection::connect(&database(dir.path()), false).await.unwrap();
        let update = sqlx::query("UPDATE services SET record = $1, checksum = $2 WHERE id = $3");
        let update = update.bind(later.record).bind(later.checksum).bind(id.as_str());
        update.execute(&mut connection).await.unwrap();
        let Err(error) = Store::open(dir.path(), NOW).await else { panic!("opened") };
        assert_eq!(error.to_string(), format!("a record of the store cannot be read: `{id}` in `services`"));
        assert!(database(dir.path()).exists());
    });
}

#[test]
fn damage_that_shows_while_it_runs_fails_the_write() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path(), 100).await;
        let (store, ..) = open(dir.path()).await;
        std::fs::write(database(dir.path()), b"this was a database once ".repeat(4000)).unwrap();
        let error = store.write(vec![Write::PutMeta("x".into(), serde_json::json!(1))]).await.unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
    });
}
