//! A git repository of a small application, changed as a developer would.

use std::path::{Path, PathBuf};
use std::process::Command;

pub struct Repository(PathBuf);

/// An application that answers with a greeting, and does what a test wants of it.
pub const APP: &str = r#"
import os, signal, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = False

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.path.startswith("/slow"):
            time.sleep(float(self.path.split("=")[1]))
        if self.path == "/env":
            body = "\n".join(f"{k}={v}" for k, v in sorted(os.environ.items()))
        elif self.path == "/pid":
            body = str(os.getpid())
        elif self.path == "/headers":
            body = "\n".join(f"{k}: {v}" for k, v in self.headers.items())
        else:
            body = GREETING
        data = (body + "\n").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
    def log_message(self, *args):
        pass

signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
print("listening", flush=True)
Server(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
"#;

impl Repository {
    pub fn new(path: PathBuf) -> Self {
        std::fs::create_dir_all(&path).expect("the repository's directory is made");
        let repository = Self(path);
        repository.git(&["init", "-q", "-b", "main"]);
        repository
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Commits the application with a greeting; returns the commit id.
    pub fn greet(&self, greeting: &str) -> String {
        self.commit("app.py", &format!("GREETING = {greeting:?}\n{APP}"))
    }

    /// Commits one file.
    pub fn commit(&self, file: &str, text: &str) -> String {
        let path = self.0.join(file);
        std::fs::create_dir_all(path.parent().expect("a file is in a directory")).expect("its directory is made");
        std::fs::write(path, text).expect("the file is written");
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", &format!("Change {file}")]);
        self.git(&["rev-parse", "HEAD"]).trim().to_owned()
    }

    pub fn git(&self, args: &[&str]) -> String {
        let output = Command::new("git")
            .arg("-C")
            .arg(&self.0)
            .args(["-c", "user.name=dev", "-c", "user.email=dev@example.com", "-c", "commit.gpgsign=false"])
            .args(args)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .output()
            .expect("git runs");
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}
