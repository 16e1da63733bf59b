//! Applications and builds that do not do what they should, one after the other on a service that serves under load.

use super::node;
use super::outside::{Serving, message};
use crate::installation::get;
use std::time::{Duration, Instant};

/// `shop` serves revision 1; what follows must not take it down.
fn failed_by(site: &Serving, limit: Duration, act: impl FnOnce()) -> String {
    let before = site.operations().len();
    act();
    site.installation.until("the operation failed", limit, |_| {
        let now = site.operations();
        now.len() > before && now[0].1 == "FAILED"
    });
    message(&site.installation, "shop")
}

#[test]
fn an_application_that_does_not_come_to_serve_fails_with_its_reason_and_the_old_one_serves_on() {
    let site = Serving::new("    deploy: { startDeadline: 5s, drain: 2s }\n");
    let begun = Instant::now();
    let text = failed_by(&site, Duration::from_secs(30), || {
        node::program(&site.app, "console.log('no database'); process.exit(3);");
    });
    assert!(text.contains("3 times in a row") && text.contains("no database") && text.contains("code 3"), "{text}");
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());

    let text = failed_by(&site, Duration::from_secs(30), || {
        node::program(&site.app, "console.log('idle'); setInterval(() => {}, 1000);");
    });
    assert!(text.contains("not healthy within 5 s") && text.contains("port") && text.contains("idle"), "{text}");

    let text = failed_by(&site, Duration::from_secs(30), || {
        node::program(
            &site.app,
            "const s = require('http').createServer(); s.listen(0, () => console.log('port', s.address().port));",
        );
    });
    let port = text.split("listens on port ").nth(1).and_then(|t| t.split(';').next()).unwrap_or_default();
    assert!(port.parse::<u16>().is_ok() && text.contains("(8080)"), "{text}");
    assert!(
        text.contains(&format!("port {port}\n")) || text.ends_with(&format!("port {port}")),
        "its own words: {text}"
    );
    site.finish();
}

/// As gunicorn does: its master binds, its workers fail to load, it ends. The kernel takes connections all the while.
#[test]
fn a_server_that_binds_before_it_fails_to_load_never_gets_traffic() {
    let site = Serving::new("");
    let text = failed_by(&site, Duration::from_secs(30), || {
        node::program(
            &site.app,
            "const script = `import os, socket, time\ns = socket.socket()\ns.bind(('127.0.0.1', int(os.environ['PORT'])))\n\
             s.listen(64)\ntime.sleep(1.5)\nprint('no such module', flush=True)`;\n\
             require('child_process').spawnSync('python3', ['-c', script], { stdio: 'inherit' });\nprocess.exit(3);",
        );
    });
    assert!(text.contains("3 times in a row") && text.contains("no such module") && text.contains("code 3"), "{text}");
    site.finish();
}

#[test]
fn an_application_that_answers_after_half_a_minute_is_waited_for_by_default() {
    let site = Serving::new("");
    node::program(
        &site.app,
        "setTimeout(() => require('http').createServer((q, r) => r.end('late\\n')).listen(process.env.PORT), 30000);",
    );
    site.installation.until_answer("shop", "late");
    site.finish();
}

#[test]
fn a_build_that_fails_never_ends_or_floods_its_log_is_ended_with_a_clear_reason() {
    let site = Serving::new("");
    let build = |command: &str, more: &str| {
        let text = node::manifest("shop", more).replace("nodejs20,", &format!("nodejs20, command: {command:?},"));
        site.installation.declare(&text);
    };
    let text = failed_by(&site, Duration::from_secs(30), || build("echo compiling; exit 7", ""));
    assert!(text.contains("exit 7") && text.contains("code 7") && text.ends_with("  | compiling"), "{text}");
    let log = site.deployment_log();
    assert!(log.contains("[Build] compiling"), "{log}");

    let text = failed_by(&site, Duration::from_secs(30), || build("sleep 1000", "    deploy: { buildDeadline: 3s }\n"));
    assert!(text.contains("longer than 3s"), "{text}");
    site.installation.until("its process is ended", Duration::from_secs(10), |i| {
        !i.processes().iter().any(|(_, c)| c.contains("sleep 1000"))
    });

    let begun = Instant::now();
    let text = failed_by(&site, Duration::from_secs(60), || {
        build("yes of which nobody reads more than a few lines, however many there are | head -c 1000000000", "")
    });
    assert!(text.contains("MB") || text.contains("MiB") || text.contains("printed"), "{text}");
    println!("1 GB of output ended after {:?}: {text}", begun.elapsed());
    let logs: u64 = walk(&site.installation.data().join("logs"));
    assert!(logs < 200 << 20, "the logs hold {logs} bytes");
    site.finish();
}

fn walk(path: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|e| if e.path().is_dir() { walk(&e.path()) } else { e.metadata().map_or(0, |m| m.len()) }).sum()
}

#[test]
fn of_two_commits_in_a_row_the_newest_wins_and_the_superseded_one_says_so() {
    let site = Serving::new("");
    let slow = node::manifest("shop", "").replace("nodejs20,", "nodejs20, command: sleep 4,");
    site.installation.declare(&slow);
    let building = |i: &crate::installation::Installation| i.processes().iter().any(|(_, c)| c.contains("sleep 4"));
    site.installation.until("it builds", Duration::from_secs(20), building);
    let first = node::greet(&site.app, "first");
    site.installation.until("the first commit builds", Duration::from_secs(30), |_| site.log().contains(&first[..7]));
    std::thread::sleep(Duration::from_millis(500));
    node::greet(&site.app, "second");
    site.installation.until_answer("shop", "second");
    let all = site.installation.json(&["operations", "shop"]);
    let superseded =
        all.as_array().unwrap().iter().find(|o| o["Message"].as_str().unwrap_or_default().contains("superseded"));
    assert_eq!(superseded.map(|o| o["Status"].clone()), Some("FAILED".into()), "{all}");
    site.finish();
}

#[test]
fn a_cancelled_build_ends_at_once_and_is_not_tried_again() {
    let site = Serving::new("");
    site.installation.declare(&node::manifest("shop", "").replace("nodejs20,", "nodejs20, command: sleep 1000,"));
    let building = |i: &crate::installation::Installation| i.processes().iter().any(|(_, c)| c.contains("sleep 1000"));
    site.installation.until("it builds", Duration::from_secs(20), building);
    let id = site.installation.json(&["operations", "shop"])[0]["Id"].as_str().unwrap().to_owned();
    site.installation.ok(&["cancel", &id]);
    site.installation.until("it is cancelled", Duration::from_secs(10), |_| site.operations()[0].1 == "FAILED");
    assert!(message(&site.installation, "shop").contains("cancelled by"), "{}", message(&site.installation, "shop"));
    site.installation.until("its process is ended", Duration::from_secs(10), |i| !building(i));
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(site.operations().len(), 2, "it is not tried again");
    assert_eq!(get(site.installation.http, "shop").unwrap().body.trim(), "good");
    site.finish();
}
