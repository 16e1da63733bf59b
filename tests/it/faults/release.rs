//! Release commands that fail, hang, are cancelled, or are cut by `kill -9` of the control plane.

use super::node;
use super::outside::{Serving, message};
use super::site::operations;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(40);

/// Declares `shop` with a release command. A version that failed is tried again with it.
fn declare(site: &Serving, release: &str) {
    site.installation.declare(&node::manifest("shop", &format!("    deploy: {{ drain: 2s, {release} }}\n")));
}

/// The same, and commits a version, so that it is to run.
fn deploy_with(site: &Serving, release: &str, greeting: &str) {
    declare(site, release);
    node::greet(&site.app, greeting);
}

fn log_of_newest(site: &Serving) -> String {
    site.installation.ok(&["logs", "shop", "--deployment", "latest"])
}

/// The newest operation ended so, and its message.
fn ended(site: &Serving, before: usize, status: &str) -> String {
    site.installation.until(&format!("it is {status}"), LIMIT, |i| {
        let now = operations(i, "shop");
        now.len() > before && now[0].1 == status
    });
    message(&site.installation, "shop")
}

/// Processes of commands: the applications are those that run `server.js`.
fn commands(site: &Serving) -> usize {
    site.installation.processes().iter().filter(|(_, c)| c.contains("setInterval")).count()
}

#[test]
fn a_release_command_runs_once_before_new_instances_start_and_its_failure_leaves_the_old_version_serving() {
    let mut site = Serving::new("");
    deploy_with(&site, "release: [\"node -e 'console.log(process.env.PORT > 0)'\", node -e 0]", "with a release");
    site.installation.until_answer("shop", "with a release");
    let log = log_of_newest(&site);
    let place = |text: &str| log.find(text).unwrap_or_else(|| panic!("{text}: {log}"));
    assert!(place("Running the release command") < place("[Release] true"), "{log}");
    assert!(place("release command ended successfully") < place("Starting 1 instance"), "{log}");
    assert_eq!(log.matches("[Release]").count(), 1, "{log}");

    let before = site.operations().len();
    deploy_with(&site, "release: \"node -e 'console.log(123); process.exit(4)'\"", "never");
    let text = ended(&site, before, "FAILED");
    assert!(text.contains("release command") && text.contains("exited with code 4"), "{text}");
    assert!(log_of_newest(&site).contains("[Release] 123"));

    let before = site.operations().len();
    declare(&site, "releaseDeadline: 2s, release: \"node -e 'setInterval(() => 0, 1000)'\"");
    let text = ended(&site, before, "FAILED");
    assert!(text.contains("longer than 2 s") && text.contains("releaseDeadline"), "{text}");
    assert_eq!(commands(&site), 0, "nothing of it is left");

    let before = site.operations().len();
    declare(&site, "release: \"node -e 'setInterval(() => 0, 1000)'\"");
    site.installation.until("it runs", LIMIT, |_| commands(&site) > 0);
    let id = site.installation.json(&["operations", "shop"])[0]["Id"].as_str().unwrap().to_owned();
    site.installation.ok(&["cancel", &id]);
    assert!(ended(&site, before, "FAILED").contains("cancelled"));
    site.installation.until("nothing of it is left", LIMIT, |_| commands(&site) == 0);

    let before = site.operations().len();
    declare(&site, "release: \"node -e 'console.log(7); setInterval(() => 0, 1000)'\"");
    site.installation.until("its output is logged", LIMIT, |_| log_of_newest(&site).contains("[Release] 7"));
    site.installation.kill();
    assert!(commands(&site) > 0, "it outlives the control plane");
    site.installation.up();
    let text = ended(&site, before, "FAILED");
    assert!(text.contains("unknown") && text.contains("`towpath deploy shop`"), "{text}");
    site.installation.until("nothing of it is left", LIMIT, |_| commands(&site) == 0);
    // Longer than a pass and a poll take.
    let count = operations(&site.installation, "shop").len();
    std::thread::sleep(Duration::from_secs(7));
    assert_eq!(operations(&site.installation, "shop").len(), count, "it is not tried again by itself");
    assert_eq!(log_of_newest(&site).matches("[Release] 7").count(), 1, "it ran once");
    site.finish();
}
