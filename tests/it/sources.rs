//! What services follow, on real parts: directories, tags, commits.

use crate::installation::{Installation, get_with};
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
