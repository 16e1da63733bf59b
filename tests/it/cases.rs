//! Repositories as people have them, deployed by the process engine.

use crate::installation::Installation;
use std::time::Duration;

/// An `apprunner.yaml` of a Python application.
fn apprunner(port: u16, command: &str) -> String {
    format!(
        "version: 1.0\nruntime: python3\nbuild:\n  commands:\n    build:\n      - python -m compileall -q .\nrun:\n  \
         command: {command}\n  network:\n    port: {port}\n"
    )
}

fn declared(more: &str) -> String {
    format!(
        "services:\n  shop:\n    source: {{ repository: ./app }}\n    build: apprunner.yaml\n    deploy: {{ drain: 5s, \
         startDeadline: 15s }}\n{more}"
    )
}

/// A server on a fixed port, as tutorials have it.
fn fixed(greeting: &str, port: u16) -> String {
    format!(
        "from http.server import *\nclass Handler(BaseHTTPRequestHandler):\n    def do_GET(self):\n        \
         self.send_response(200)\n        self.send_header('Content-Length', '{}')\n        self.end_headers()\n        self.wfile.write(b'{greeting}')\n    def \
         log_message(self, *args):\n        pass\nHTTPServer(('0.0.0.0', {port}), Handler).serve_forever()\n",
        greeting.len()
    )
}

/// A port between the leasable and the ephemeral ones that nobody uses.
fn quiet_port() -> u16 {
    let from = 30_000 + u16::try_from(std::process::id() % 2000).unwrap();
    (from..32_760).find(|port| std::net::TcpListener::bind(("0.0.0.0", *port)).is_ok()).unwrap()
}

#[test]
fn a_commit_with_a_bad_configuration_file_is_remembered_and_not_tried_again() {
    let mut installation = Installation::new();
    let app = installation.repository("app");
    app.greet("one");
    let commit = app.commit("apprunner.yml", &apprunner(8080, "python app.py"));
    installation.declare(&declared(""));
    installation.up();
    installation.until_status("shop", "CREATE_FAILED");
    let operations = installation.json(&["operations", "shop"]);
    assert_eq!(operations[0]["Commit"], commit.as_str());
    let status = installation.ok(&["status"]);
    assert!(status.contains(&format!("commit {} failed", &commit[..7])) && status.contains("rename it"), "{status}");

    app.commit("apprunner.yaml", &apprunner(8080, "python app.py").replace('\n', "\r\n"));
    installation.until_answer("shop", "one");
}

#[test]
fn a_fixed_port_is_given_to_an_only_instance_and_its_second_version_gets_another() {
    let mut installation = Installation::new();
    let port = quiet_port();
    let app = installation.repository("app");
    app.commit("apprunner.yaml", &apprunner(port, "python app.py"));
    app.commit("app.py", &fixed("one", port));
    installation.declare(&declared("    autoscaling: { minSize: 1, maxSize: 1 }\n"));
    installation.up();
    installation.until_answer("shop", "one");
    installation.until_status("shop", "RUNNING");
    if !crate::process_apart::holds("fixed ports") {
        return;
    }
    app.commit("app.py", &fixed("two", port));
    installation.until_answer("shop", "two");
    installation.until_status("shop", "RUNNING");
}

#[test]
fn down_waits_for_an_application_that_ignores_sigterm_and_leaves_nothing() {
    let mut installation = Installation::new();
    let app = installation.repository("app");
    let deaf = "import os, signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n";
    app.commit("apprunner.yaml", &apprunner(8080, "python app.py"));
    app.commit("app.py", &format!("{deaf}{}", fixed("one", 0).replace(", 0)", ", int(os.environ['PORT']))")));
    installation.declare(&declared(""));
    installation.up();
    installation.until_status("shop", "RUNNING");
    installation.ok(&["down"]);
    // The control plane may be an entry in the process table still; nothing else is.
    installation.ended(Duration::from_secs(10));
    assert!(installation.processes().is_empty(), "{:?}", installation.processes());
}

#[test]
fn an_application_on_another_port_is_told_which_and_what_helps() {
    let mut installation = Installation::new();
    let port = quiet_port() + 1;
    let app = installation.repository("app");
    app.commit("apprunner.yaml", &apprunner(8080, "python app.py"));
    app.commit("app.py", &fixed("one", port));
    installation.declare(&declared(""));
    installation.up();
    installation.until_status("shop", "CREATE_FAILED");
    let message = installation.json(&["operations", "shop"])[0]["Message"].as_str().unwrap().to_owned();
    assert!(message.contains(&format!("listens on port {port}")) && message.contains("PORT variable"), "{message}");
}
