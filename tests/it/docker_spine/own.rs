//! Services built by the repository's own Dockerfile (row S9).

use super::lab::DockerInstallation;
use crate::docker::IMAGE;
use crate::installation::{Installation, get};
use std::path::Path;
use std::time::Duration;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/hello-dockerfile");

fn manifest(build: &str) -> String {
    format!(
        "services:\n  hello:\n    source: {{ repository: ./app }}\n    instance: {{ cpu: 0.25 vCPU, memory: 512 MB }}\n    \
         deploy: {{ drain: 1s, startDeadline: 20s }}\n    build:\n{build}"
    )
}

/// The example as a repository.
fn commit_example(installation: &Installation) {
    let repository = installation.repository("app");
    for file in ["app.py", ".dockerignore", "Dockerfile"] {
        repository.commit(file, &std::fs::read_to_string(Path::new(EXAMPLE).join(file)).unwrap());
    }
}

fn example(greeting: &str) -> String {
    manifest(&format!("      dockerfile: Dockerfile\n      args: {{ BASE: '{IMAGE}', GREETING: {greeting} }}\n"))
}

fn operations_failed(installation: &Installation, number: usize) -> bool {
    let operations = installation.json(&["operations", "hello"]);
    let operations = operations.as_array().unwrap();
    operations.len() == number && operations[0]["Status"] == "FAILED"
}

#[test]
fn the_example_with_a_dockerfile_is_built_and_runs_as_the_file_says() {
    let Some(installation) = DockerInstallation::new() else { return };
    the_example_is_built_and_runs(installation);
}

/// The same on any engine.
pub fn the_example_is_built_and_runs(mut installation: DockerInstallation) {
    commit_example(&installation);
    installation.declare(&example("one"));
    installation.up();
    installation.until_answer("hello", "one");
    installation.until_status("hello", "RUNNING");
    installation.know();
    let log = last_deployment_of(&installation);
    // BuildKit reports two `FROM` lines with the same image as one of them, either one.
    for step in ["Dockerfile:8: RUN --mount=type=cache", "Dockerfile:16: COPY --from=build"] {
        assert!(log.contains(step), "{step}\n{log}");
    }
    let holds = "listening on port 8080 as user 65534 in /srv/app";
    installation.until("USER and WORKDIR hold", Duration::from_secs(30), |i| i.ok(&["logs", "hello"]).contains(holds));

    installation.declare(&example("two"));
    installation.until_answer("hello", "two");
    installation.until_status("hello", "RUNNING");
    assert_eq!(installation.images(), 2);
    // Another start command takes the place of ENTRYPOINT and CMD, without a build.
    let start =
        "      start: python3 -u -c \"import os; os.environ['GREETING'] = 'three'; exec(open('app.py').read())\"\n";
    installation.declare(&(example("two") + start));
    installation.until_answer("hello", "three");
    installation.until_status("hello", "RUNNING");
    assert_eq!(installation.images(), 2);
    installation.stop_for_good();
}

fn last_deployment_of(installation: &DockerInstallation) -> String {
    let operations = installation.json(&["operations", "hello"]);
    installation.ok(&["logs", "hello", "--deployment", operations[0]["Id"].as_str().unwrap()])
}

#[test]
fn a_dockerfile_that_fails_half_way_names_the_instruction_its_line_and_what_it_said() {
    let Some(mut installation) = DockerInstallation::new() else { return };
    commit_example(&installation);
    installation.declare(&example("good"));
    installation.up();
    installation.until_answer("hello", "good");
    installation.until_status("hello", "RUNNING");
    installation.know();

    let repository = installation.repository("app");
    repository.commit(
        "Dockerfile",
        &format!("FROM {IMAGE}\n\n# half-way\nRUN echo fine; \\\n    echo no luck; exit 7\nCMD [\"x\"]\n"),
    );
    installation.until("the build failed", Duration::from_secs(90), |i| operations_failed(i, 2));
    let log = last_deployment_of(&installation);
    let wanted = "Failed to execute 'build' command. `RUN echo fine; echo no luck; exit 7` (Dockerfile:4) exited with code 7, \
                  after these lines:\n  fine\n  no luck";
    assert!(log.contains("no luck") && log.contains("Dockerfile:4"), "{log}");
    let status = installation.json(&["operations", "hello"])[0].to_string();
    assert!(status.contains(serde_json::json!(wanted).to_string().trim_matches('"')), "{status}");

    repository.commit("Dockerfile", "FROM no-such-host.invalid/base:1\n");
    installation.until("the base image is missing", Duration::from_secs(90), |i| operations_failed(i, 3));
    let status = installation.json(&["operations", "hello"])[0].to_string();
    assert!(status.contains("`no-such-host.invalid/base:1` (Dockerfile:1) is not on the Docker engine"), "{status}");
    assert_eq!(get(installation.http, "hello").unwrap().body.trim(), "good");
    assert_eq!((installation.images(), installation.containers().len()), (1, 1));
}

#[test]
fn a_dockerfile_is_refused_in_the_plan_of_the_process_engine() {
    let mut installation = Installation::new();
    commit_example(&installation);
    installation.declare(&manifest("      dockerfile: Dockerfile\n"));
    installation.up();
    let refused = |i: &Installation| {
        String::from_utf8_lossy(&i.run(&["plan"]).stdout).contains("the process engine runs no images")
    };
    installation.until("the plan says why", Duration::from_secs(20), refused);
    assert!(!installation.log().contains("Service creation started"), "nothing was begun");
}
