//! The conformance suite (`tests/conformance/`): boto3 and the AWS CLI against the real server, every raw answer checked
//! against the published API model.

use crate::installation::Installation;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A Python with the clients, made once per checkout; `None` where the package index cannot be reached.
pub fn python() -> Option<PathBuf> {
    let venv = root().join("target/conformance");
    let (python, done) = (venv.join("bin/python"), venv.join("complete"));
    if done.exists() {
        return Some(python);
    }
    let made = Command::new("python3").args(["-m", "venv"]).arg(&venv).status().unwrap();
    assert!(made.success(), "python3 -m venv");
    let wanted = root().join("tests/conformance/requirements.txt");
    let pip = [python.as_os_str(), "-m".as_ref(), "pip".as_ref(), "install".as_ref(), "-q".as_ref(), "-r".as_ref()];
    let installed = Command::new(pip[0]).args(&pip[1..]).arg(wanted).status().unwrap();
    if !installed.success() {
        assert!(std::env::var_os("CI").is_none(), "boto3, awscli and pytest could not be installed");
        eprintln!("SKIPPED: boto3, awscli and pytest could not be installed");
        return None;
    }
    std::fs::write(done, "").unwrap();
    Some(python)
}

/// The repositories of an installation over HTTP.
pub struct Git(Child, u16);

impl Git {
    pub fn serve(directory: &Path) -> Self {
        let mut child = Command::new("python3")
            .arg(root().join("tests/support/git_http.py"))
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self(child, line.trim().parse().unwrap())
    }

    /// Where a repository beside the manifest is had.
    pub fn url(&self, repository: &str) -> String {
        format!("http://127.0.0.1:{}/git/{repository}/.git", self.1)
    }
}

impl Drop for Git {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The suite's command against a running installation.
fn suite(python: &Path, installation: &Installation, files: &[&str]) -> Command {
    let mut command = Command::new(python);
    command
        .args(["-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short"])
        .args(files.iter().map(|file| root().join("tests/conformance").join(file)))
        .env("APPRUNNER_ENDPOINT_URL", format!("http://127.0.0.1:{}", installation.api))
        .env("AWS_SHARED_CREDENTIALS_FILE", installation.data().join("admin.credentials"))
        .env("AWS_DEFAULT_REGION", "local-1")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("CONF_TIMEOUT", "240")
        .env("CONF_AWS_CLI", python.with_file_name("aws"));
    command
}

/// The whole suite in one run, nothing skipped: code and images, on an engine that runs both. The image answers at `port`
/// whatever it is told, so that a change to another one breaks it.
pub fn the_whole_api_is_app_runners(installation: &Installation, image: &str, port: u16) {
    let Some(python) = python() else { return };
    installation.repository("code").greet("one");
    let git = Git::serve(installation.path());
    let mut suite = suite(&python, installation, &["conformance.py"]);
    suite.env("CONF_IMAGE", image).env("CONF_IMAGE_PORT", port.to_string());
    of_code(&mut suite, &git.url("code"));
    let said = passes(&mut suite, installation);
    assert!(!said.contains("skipped"), "{said}");
}

/// What the suite is told of a code repository.
fn of_code(suite: &mut Command, url: &str) {
    suite
        .env("CONF_REPO_URL", url)
        .env("CONF_REPO_BUILD", "true")
        .env("CONF_REPO_START", "python3 app.py")
        .env("CONF_QUOTA_CONNECTIONS", "10");
}

fn passes(suite: &mut Command, installation: &Installation) -> String {
    let ran = suite.output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success(), "{said}\n{}", installation.log());
    assert!(said.contains(" passed") && !said.contains(" failed"), "{said}");
    said
}

#[test]
fn real_clients_find_the_api_to_be_app_runners() {
    let Some(python) = python() else { return };
    let mut installation = Installation::new();
    installation.repository("app").greet("one");
    installation.declare(&crate::spine::manifest("shop", ""));
    installation.up();
    installation.until_status("shop", "RUNNING");
    let git = Git::serve(installation.path());
    let mut suite = suite(&python, &installation, &["wire_cases.py", "conformance.py", "own_cases.py"]);
    suite.env("OWN_HTTP_PORT", installation.http.to_string()).env_remove("CONF_IMAGE");
    of_code(&mut suite, &git.url("app"));
    passes(&mut suite, &installation);
}
