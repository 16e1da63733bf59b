//! A full data directory: what serves goes on serving, a person is told, and all goes on once there is room again.

use super::node;
use super::site::{no_orphans, operations, plan_is_empty};
use crate::installation::{Installation, Load, get};
use crate::store::SmallDisk;
use std::time::Duration;

#[test]
fn on_a_full_disk_the_old_version_serves_the_status_says_why_and_it_goes_on_once_there_is_room() {
    let Some(disk) = SmallDisk::mount("64m") else { return };
    let mut installation = Installation::new().data_in(disk.path());
    let app = installation.repository("app");
    node::greet(&app, "good");
    installation.declare(&node::manifest("shop", ""));
    installation.up();
    installation.until_status("shop", "RUNNING");
    let load = Load::start(installation.http, "shop", 4);

    let filler = disk.fill();
    node::greet(&app, "new");
    installation.until("the log says why", Duration::from_secs(60), |i| {
        let log = i.log().to_lowercase();
        log.contains("no space left") || log.contains("disk is full") || log.contains("database or disk is full")
    });
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(get(installation.http, "shop").unwrap().body.trim(), "good");
    assert!(installation.try_json(&["status"]).is_some(), "it still answers");

    std::fs::remove_file(filler).unwrap();
    installation
        .until("it goes on", Duration::from_secs(120), |i| get(i.http, "shop").is_ok_and(|a| a.body.trim() == "new"));
    installation.until("all is as declared", Duration::from_secs(60), |i| plan_is_empty(i) && no_orphans(i));
    let succeeded = |i: &Installation| operations(i, "shop")[0].1 == "SUCCEEDED";
    installation.until("the deployment ended well", Duration::from_secs(60), succeeded);
    let tally = load.finish();
    assert!(tally.failures.is_empty(), "{tally:?}\n{}", installation.log());
    // Before its disk goes.
    installation.ok(&["down"]);
}
