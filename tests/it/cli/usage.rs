//! Usage: help, exit codes, no server.

use super::{towpath_in, towpath_on};

#[tokio::test]
async fn wrong_usage_exits_64_and_says_what_is_wrong() {
    for arguments in [
        vec![],
        vec!["frobnicate"],
        vec!["status", "--frob"],
        vec!["deploy"],
        vec!["up", "--poll", "30"],
        vec!["up", "--http", "here"],
        vec!["up", "--overcommit", "2"],
        vec!["up", "--account", "1"],
        vec!["up", "--trusted-proxy", "10.0.0.1/8"],
        vec!["up", "--runtime-image", "python3"],
        vec!["up", "--poll", "1ms"],
        vec!["up", "--http", "127.0.0.1:8090"],
        vec!["status", "--output", "xml"],
        vec!["status", "--output", "markdown"],
        vec!["plan", "--rev", "main"],
        vec!["plan", "--against", "main", "--out", "p"],
        vec!["logs", "shop", "--events", "--deployment", "x"],
        vec!["logs", "shop", "--since", "10"],
    ] {
        let ran = towpath_on(None, &arguments).await;
        assert_eq!(ran.code, 64, "{arguments:?}: {}", ran.err);
        assert!(!ran.err.is_empty() && ran.out.is_empty(), "{arguments:?}");
    }
}

#[tokio::test]
async fn help_and_version_exit_0_on_standard_output() {
    let help = towpath_on(None, &["--help"]).await;
    assert_eq!((help.code, help.err.as_str()), (0, ""));
    for command in [
        "up",
        "down",
        "validate",
        "plan",
        "apply",
        "status",
        "deploy",
        "pause",
        "resume",
        "delete",
        "rollback",
        "cancel",
        "operations",
        "events",
        "logs",
    ] {
        assert!(help.out.lines().any(|line| line.trim_start().starts_with(command)), "{command}: {}", help.out);
        let own = towpath_on(None, &[command, "--help"]).await;
        assert!(own.code == 0 && own.out.contains("--data-dir") && own.out.contains("--output"), "{command}");
    }
    assert!(!help.out.contains("ingress") && !help.out.contains("shim"));
    assert!(towpath_on(None, &["--version"]).await.out.starts_with("towpath "));
}

#[tokio::test]
async fn the_help_of_a_command_reads_as_it_should() {
    let golden = include_str!("golden/plan-help.txt");
    assert_eq!(towpath_on(None, &["plan", "--help"]).await.out, golden);
}

#[tokio::test]
async fn without_a_server_every_command_says_so_and_what_to_do() {
    let here = tempfile::tempdir().unwrap();
    let data = here.path().join("none");
    for arguments in [
        vec!["status"],
        vec!["status", "--output", "json"],
        vec!["deploy", "shop", "--wait"],
        vec!["delete", "shop", "--yes"],
        vec!["rollback", "shop"],
        vec!["operations", "shop"],
        vec!["events"],
        vec!["apply"],
        vec!["cancel", "7a4f0000-0000-4000-8000-000000000000"],
    ] {
        let ran = towpath_in(here.path(), Some(&data), &arguments).await;
        assert_eq!(ran.code, 1, "{arguments:?}");
        assert!(ran.err.starts_with(&format!("error: no towpath runs on data directory `{}`\n", data.display())));
        assert!(ran.err.contains("hint: start it with `towpath up`"), "{}", ran.err);
    }
    assert!(!data.exists(), "asking must not create a data directory");
}

#[tokio::test]
async fn a_socket_that_nobody_listens_on_is_no_server() {
    let here = tempfile::tempdir().unwrap();
    let run = here.path().join("run");
    std::fs::create_dir(&run).unwrap();
    drop(std::os::unix::net::UnixListener::bind(run.join("control.sock")).unwrap());
    let ran = towpath_in(here.path(), Some(here.path()), &["status"]).await;
    assert!(ran.code == 1 && ran.err.starts_with("error: no towpath runs on"), "{}", ran.err);
}

#[tokio::test]
async fn a_plan_without_a_server_is_refused_where_a_store_is() {
    let here = tempfile::tempdir().unwrap();
    std::fs::write(here.path().join("towpath.yaml"), "services: {}\n").unwrap();
    let none = towpath_in(here.path(), Some(here.path()), &["plan", "-f", "missing.yaml"]).await;
    assert!(none.code == 1 && none.err.contains("failed to read the manifest `missing.yaml`"), "{}", none.err);
    std::fs::write(here.path().join("towpath.db"), "").unwrap();
    let ran = towpath_in(here.path(), Some(here.path()), &["plan"]).await;
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("but it has a store") && ran.err.contains("hint: "), "{}", ran.err);
}

#[tokio::test]
async fn a_variable_is_read_like_its_flag_and_refused_like_it() {
    let run = |name: &'static str, value: &'static str| async move {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_towpath"));
        command.env_clear().env(name, value).args(["up", "-f", "/nowhere"]);
        command.output().await.unwrap()
    };
    for (name, value) in
        [("TOWPATH_POLL", "30"), ("TOWPATH_HTTP", "x"), ("TOWPATH_ENGINE", "vm"), ("TOWPATH_OUTPUT", "x")]
    {
        let ran = run(name, value).await;
        assert_eq!(ran.status.code(), Some(64), "{name}");
    }
    let mut status = tokio::process::Command::new(env!("CARGO_BIN_EXE_towpath"));
    let ran = status.env_clear().env("TOWPATH_DATA_DIR", "/nowhere/at/all").arg("status").output().await.unwrap();
    assert!(String::from_utf8_lossy(&ran.stderr).contains("`/nowhere/at/all`"));
}

#[tokio::test]
async fn validate_reports_every_problem_of_every_file() {
    let here = tempfile::tempdir().unwrap();
    let run = |arguments: &'static [&'static str]| {
        let here = here.path();
        async move { towpath_in(here, None, arguments).await }
    };
    assert!(run(&["validate"]).await.err.contains("neither `towpath.yaml` nor `apprunner.yaml` is here"));
    let good =
        "version: 1.0\nruntime: python3\nbuild: { commands: { build: [\"true\"] } }\nrun: { command: python a.py }\n";
    std::fs::write(here.path().join("apprunner.yaml"), good).unwrap();
    let fine = run(&["validate"]).await;
    assert_eq!((fine.code, fine.out.as_str()), (0, "apprunner.yaml: no problems\n"), "{}", fine.err);
    std::fs::write(here.path().join("towpath.yaml"), "services:\n  shop: { sorce: x }\n").unwrap();
    std::fs::write(here.path().join("bytes"), [0xff, b'\n']).unwrap();
    let list = run(&["validate", "towpath.yaml", "bytes", "gone", ".", "--output", "json"]).await;
    assert_eq!(list.code, 1);
    let problems = list.json();
    for problem in problems.as_array().unwrap() {
        for member in ["file", "line", "column", "severity", "message", "hint"] {
            assert!(problem.get(member).is_some(), "{member}: {problem}");
        }
    }
    let files: std::collections::BTreeSet<&str> =
        problems.as_array().unwrap().iter().map(|p| p["file"].as_str().unwrap()).collect();
    assert_eq!(files, ["towpath.yaml", "bytes", "gone", "./apprunner.yaml", "./towpath.yaml"].into());
    assert_eq!(run(&["validate", "--as", "manifest", "apprunner.yaml"]).await.code, 1);
}

#[tokio::test]
async fn a_plan_without_server_and_store_is_against_nothing() {
    let here = tempfile::tempdir().unwrap();
    let text = "services:\n  hello:\n    source: { repository: https://github.com/acme/hello }\n    \
                build: { runtime: python3, command: make, start: python a.py }\n";
    std::fs::write(here.path().join("towpath.yaml"), text).unwrap();
    let data = here.path().join("data");
    let ran = towpath_in(here.path(), Some(&data), &["plan", "--detailed-exitcode"]).await;
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(ran.out.contains("+ hello") && ran.out.contains("Plan: 1 to create."), "{}", ran.out);
    std::fs::write(here.path().join("towpath.yaml"), "services: [").unwrap();
    let bad = towpath_in(here.path(), Some(&data), &["plan", "--detailed-exitcode"]).await;
    assert!(bad.code == 1 && bad.err.contains("towpath.yaml:1"), "{}", bad.err);
    assert!(!data.exists());
}
