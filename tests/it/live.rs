//! The live view as a person sees it: the real binary on a pseudo-terminal, read by an emulator of terminals
//! (`tests/support/screen.py`).

use crate::installation::{Installation, Repository};
use crate::schema::python;
use serde_json::Value;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Runs a command on a terminal of 24 rows and 100 columns, by steps.
pub fn on_terminal(environment: &[(&str, &str)], command: &[&str], steps: &str) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/screen.py");
    let mut python = Command::new(python());
    python.arg(script).args(["24", "100", env!("CARGO_BIN_EXE_towpath")]).args(command);
    python.env_remove("NO_COLOR").env("TERM", "xterm-256color").envs(environment.iter().copied());
    let mut child = python.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(steps.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {told}"))
}

pub fn text(lines: &Value) -> String {
    let lines: Vec<&str> = lines.as_array().unwrap().iter().map(|l| l.as_str().unwrap()).collect();
    lines.join("\n").trim_end().to_owned()
}

/// A service whose build takes a while and says so.
fn slow(installation: &Installation, seconds: u32) {
    installation.declare(&format!(
        "services:\n  shop:\n    source: {{ repository: ./app, autoDeploy: false }}\n    deploy: {{ drain: 0s }}\n    \
         build:\n      runtime: python3\n      command: \"echo working hard; sleep {seconds}\"\n      start: python app.py\n"
    ));
}

fn serving() -> (Installation, Repository) {
    let mut installation = Installation::new();
    let app = installation.repository("app");
    app.greet("one");
    slow(&installation, 6);
    installation.up();
    installation.until_status("shop", "RUNNING");
    (installation, app)
}

#[test]
fn waiting_on_a_terminal_shows_how_far_it_is_and_leaves_the_end_only() {
    let (installation, app) = serving();
    app.greet("two");
    let data = installation.data().display().to_string();
    let deploy = ["deploy", "shop", "--wait", "--data-dir", &data];
    let steps = "wait 30 build \nwait 20 working hard\nsnap wide\nresize 12 44\nsleep 1.5\nsnap narrow\nresize 24 100\nend 60\n";
    let seen = on_terminal(&[], &deploy, steps);
    let wide = text(&seen["snaps"]["wide"]);
    assert!(wide.starts_with("  shop  deployment  ■■□□□□□ build ") && wide.ends_with("working hard"), "{wide}");
    assert_eq!(wide.lines().count(), 1);
    let narrow = text(&seen["snaps"]["narrow"]);
    assert_eq!(narrow.matches("deployment").count(), 1, "nothing of the wider view is left:\n{narrow}");
    let end = text(&seen["screen"]);
    assert!(end.starts_with("shop: deployment succeeded, revision 2 (") && end.lines().count() == 1, "{end}");
    assert_eq!((&seen["code"], &seen["hidden"], &seen["column"]), (&0.into(), &false.into(), &0.into()));
    assert!(seen["quickest"].as_f64().is_none_or(|seconds| seconds > 0.08), "{}", seen["quickest"]);

    // Nothing but the view knows of a terminal: without one it is lines as ever.
    app.greet("three");
    let plain = installation.run(&["deploy", "shop", "--wait"]);
    let told = String::from_utf8_lossy(&plain.stderr).into_owned();
    assert!(told.contains("shop: build\n") && !told.contains('\x1b'), "{told}");
}

#[test]
fn a_terminal_that_is_dumb_gets_lines_and_no_color_is_respected() {
    let (installation, app) = serving();
    let data = installation.data().display().to_string();
    let deploy = ["deploy", "shop", "--wait", "--data-dir", &data];
    app.greet("two");
    let dumb = on_terminal(&[("TERM", "dumb")], &deploy, "end 90\n");
    let (raw, screen) = (dumb["raw"].as_str().unwrap(), text(&dumb["screen"]));
    assert!(!raw.contains('\x1b') && screen.contains("shop: build\n"), "{screen}");
    app.commit("app.py", "import sys\nprint('no such thing', flush=True)\nsys.exit(3)\n");
    let colorless = on_terminal(&[("NO_COLOR", "1")], &deploy, "wait 30 build\nend 90\n");
    let raw = colorless["raw"].as_str().unwrap();
    assert!(raw.contains("■") && !raw.contains("\x1b[3") && !raw.contains("\x1b[2m"), "{raw:?}");
    let end = text(&colorless["screen"]);
    assert!(end.contains("no such thing") && end.contains("error: deployment of `shop` failed"), "{end}");
    assert!(colorless["code"] == 1 && !end.contains('■'), "{end}");
}

#[test]
fn ctrl_c_ends_the_waiting_and_not_what_is_waited_for() {
    let (installation, app) = serving();
    app.greet("two");
    let data = installation.data().display().to_string();
    let deploy = ["deploy", "shop", "--wait", "--data-dir", &data];
    let seen = on_terminal(&[], &deploy, "wait 30 working hard\nsend \\x03\nend 20\n");
    let end = text(&seen["screen"]);
    assert!(end.starts_with("shop: the deployment goes on; `towpath operations shop`") && !end.contains('■'), "{end}");
    assert_eq!((&seen["code"], &seen["hidden"]), (&130.into(), &false.into()));
    installation.until_answer("shop", "two");
}

#[test]
fn up_on_a_terminal_prints_its_lines_above_what_is_under_way() {
    let installation = Installation::new();
    let app = installation.repository("app");
    app.greet("one");
    slow(&installation, 6);
    let (data, manifest) = (installation.data().display().to_string(), installation.manifest().display().to_string());
    let up = [
        "up",
        "--manifest",
        &manifest,
        "--data-dir",
        &data,
        "--engine",
        "process",
        "--http",
        "127.0.0.1:0",
        "--api",
        "127.0.0.1:0",
        "--poll",
        "1s",
    ];
    let steps = "wait 60 working hard\nsnap building\nwait 60 1 service: 1 running\nsleep 1\nsnap running\nresize 24 60\n\
                 sleep 1\nsnap narrow\nsend \\x03\nend 60\n";
    let seen = on_terminal(&[("TOWPATH_LOG", "warn")], &up, steps);
    let building = text(&seen["snaps"]["building"]);
    let lines: Vec<&str> = building.lines().collect();
    assert!(lines[0].starts_with("towpath ") && building.contains("Service creation started"), "{building}");
    let [.., act, counts] = lines[..] else { panic!("{building}") };
    assert!(act.starts_with("  shop  creation  ■■□□□□□ build ") && act.ends_with("working hard"), "{building}");
    assert_eq!(counts, "  1 service: 1 under way");
    let running = text(&seen["snaps"]["running"]);
    assert!(
        running.contains("Service creation completed") && running.ends_with("\n  1 service: 1 running"),
        "{running}"
    );
    assert!(!running.contains('■') && !running.contains("under way"), "{running}");
    let narrow = text(&seen["snaps"]["narrow"]);
    assert_eq!(narrow.matches("1 service: 1 running").count(), 1, "{narrow}");
    let end = text(&seen["screen"]);
    assert!(!end.contains("1 service:"), "the view is gone:\n{end}");
    assert_eq!((&seen["hidden"], &seen["code"]), (&false.into(), &0.into()), "{end}");
    assert!(seen["quickest"].as_f64().is_none_or(|seconds| seconds > 0.08), "{}", seen["quickest"]);
    std::thread::sleep(Duration::from_millis(100));
}
