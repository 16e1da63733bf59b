//! What services follow, on real parts: directories, tags, commits.

use crate::git_source::ssh::Sshd;
use crate::installation::{Installation, get, get_with};
use std::time::Duration;

fn manifest(source: &str) -> String {
    format!(
        "services:\n  shop:\n    source: {{ repository: ./app, {source} }}\n    build: {{ runtime: python3, start: python app.py }}\n"
    )
}

fn operations(installation: &Installation) -> usize {
    installation.json(&["operations", "shop"]).as_array().map_or(0, Vec::len)
}

#[test]
fn only_commits_in_the_source_directory_deploy_and_commands_run_there_with_the_repository_around_them() {
    let mut installation = Installation::new();
    let app = installation.repository("app");
    std::fs::create_dir_all(app.path().join("services/web")).unwrap();
    app.commit("shared.txt", "around");
    let code = |greeting: &str| {
        let greeting = format!("GREETING = open('../../shared.txt').read() + ' {greeting}'\n");
        greeting + crate::installation::APP
    };
    app.commit("services/web/app.py", &code("one"));
    app.commit(
        "services/web/apprunner.yaml",
        "version: 1.0\nruntime: python3\nbuild:\n  commands:\n    build:\n      - test -f app.py\nrun:\n  command: python app.py\n",
    );
    installation.declare(
        "services:\n  shop:\n    source: { repository: ./app, directory: services/web }\n    build: apprunner.yaml\n",
    );
    installation.up();
    installation.until_answer("shop", "around one");
    installation.until_status("shop", "RUNNING");

    let outside = app.commit("README.md", "nothing of the application");
    let says = |i: &Installation| {
        let waiting = i.service("shop")["waiting"].to_string();
        waiting.contains(&format!("commit {} changes nothing in `services/web`", &outside[..7]))
    };
    installation.until("the status says that it changes nothing", Duration::from_secs(30), says);
    assert_eq!(operations(&installation), 1);

    // Neither does a new control plane deploy it, which knows the old commit from the store only.
    installation.kill();
    installation.up();
    installation.until("the status says it again", Duration::from_secs(30), says);
    assert_eq!(operations(&installation), 1);

    app.commit("services/web/app.py", &code("two"));
    installation.until_answer("shop", "around two");
    installation.until_status("shop", "RUNNING");
    assert_eq!(operations(&installation), 2);

    let outside = app.commit("shared.txt", "beside");
    installation.ok(&["deploy", "shop"]);
    installation.until_answer("shop", "beside two");
    installation.until("it is deployed", Duration::from_secs(30), |i| {
        i.service("shop")["version"].to_string().contains(&outside[..7])
    });
    assert_eq!(operations(&installation), 3);

    app.git(&["mv", "services/web", "services/site"]);
    app.commit("README.md", "moved");
    let failed = |i: &Installation| i.json(&["operations", "shop"])[0]["Status"] == "FAILED";
    installation.until("the deployment failed", Duration::from_secs(30), failed);
    let log = installation.log();
    assert!(log.contains("has no directory `services/web` (directories there: `services/site`)"), "{log}");
    installation.until_answer("shop", "beside two");
}

#[test]
fn a_tag_that_moves_is_deployed_and_the_event_says_so() {
    let mut installation = Installation::new();
    let app = installation.repository("app");
    let one = app.greet("one");
    app.git(&["tag", "-a", "v1.2", "-m", "release"]);
    app.greet("two");
    installation.declare(&manifest("tag: v1.2"));
    installation.up();
    installation.until_answer("shop", "one");
    installation.until_status("shop", "RUNNING");
    let two = app.greet("three");
    app.git(&["tag", "-f", "-a", "v1.2", "-m", "release"]);
    installation.until_answer("shop", "three");
    let event = format!("tag v1.2 was moved from commit {} to {}", &one[..7], &two[..7]);
    assert!(installation.log().contains(&event), "{}", installation.log());
}

#[test]
fn a_commit_stays_and_going_back_to_a_branch_deploys_its_head() {
    let mut installation = Installation::new();
    let app = installation.repository("app");
    let one = app.greet("one");
    app.greet("two");
    installation.declare(&manifest(&format!("commit: {}", &one[..8])));
    installation.up();
    installation.until_answer("shop", "one");
    installation.until_status("shop", "RUNNING");
    app.greet("three");
    installation.declare(&manifest("branch: main"));
    installation.until_answer("shop", "three");
    assert!(get_with(installation.http, "shop", "/env", "").unwrap().body.contains("PORT="));
}

#[test]
fn a_host_key_that_changes_refuses_what_is_new_while_the_old_serves_until_it_is_mended() {
    let mut installation = Installation::new();
    let app = installation.repository("app");
    app.greet("one");
    let mut server = Sshd::start(&installation.path().join("sshd"));
    server.trust("ed25519");
    let known_hosts = server.known_hosts().display().to_string();
    installation = installation.option("--ssh-known-hosts", &known_hosts);
    installation.declare(&format!(
        "services:\n  shop:\n    source: {{ repository: \"{}\", key: {{ file: sshd/client }} }}\n    build: {{ runtime: python3, \
         start: python app.py }}\n",
        server.url(app.path())
    ));
    installation.up();
    installation.until_answer("shop", "one");
    installation.until_status("shop", "RUNNING");

    server.new_host_keys();
    app.greet("two");
    installation.until("the status says so", Duration::from_secs(60), |i| {
        i.service("shop")["waiting"].to_string().contains("HAS CHANGED")
    });
    assert_eq!(get(installation.http, "shop").unwrap().body.trim(), "one");
    assert_eq!(operations(&installation), 1);

    server.trust("ed25519");
    installation.until_answer("shop", "two");
}

#[test]
fn a_repository_over_the_limit_is_refused_with_both_numbers_once() {
    let mut installation = Installation::new().option("--fetch-limit", "16 MB");
    let app = installation.repository("app");
    app.greet("one");
    installation.declare(&manifest("directory: web"));
    std::fs::create_dir_all(app.path().join("web")).unwrap();
    let mut noise = vec![0_u8; 24 << 20];
    getrandom::fill(&mut noise).unwrap();
    std::fs::write(app.path().join("noise"), noise).unwrap();
    app.commit("web/app.py", "too large");
    installation.up();
    let failed = |i: &Installation| i.service("shop")["status"] == "CREATE_FAILED";
    installation.until("the creation failed", Duration::from_secs(60), failed);
    let log = installation.log();
    assert!(log.contains("16777216 are allowed") && log.contains("--fetch-limit"), "{log}");
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(operations(&installation), 1, "it is not fetched again and again");
}
