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
fn python() -> Option<PathBuf> {
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
struct Git(Child, u16);

impl Git {
    fn serve(directory: &Path) -> Self {
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

/// The life of an image service, from a real registry, on the Docker engine.
pub fn image_services_are_app_runners(installation: &Installation, image: &str, port: u16) {
    let Some(python) = python() else { return };
    let ran = suite(&python, installation, &["conformance.py"])
        // The image of these tests serves at whatever `PORT` says, so that a change to another port breaks nothing.
        .args(["-k", "TestServiceLifecycle and not test_33_broken_update_rolls_back"])
        .env("CONF_IMAGE", image)
        .env("CONF_IMAGE_PORT", port.to_string())
        .env_remove("CONF_REPO_URL")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}\n{}", installation.log());
    assert!(said.contains(" passed") && !said.contains(" failed"), "{said}");
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
    let ran = suite(&python, &installation, &["conformance.py", "own_cases.py"])
        .env("OWN_HTTP_PORT", installation.http.to_string())
        .env("CONF_REPO_URL", format!("http://127.0.0.1:{}/git/app/.git", git.1))
        .env("CONF_REPO_BUILD", "true")
        .env("CONF_REPO_START", "python3 app.py")
        .env("CONF_QUOTA_CONNECTIONS", "10")
        .env_remove("CONF_IMAGE")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}\n{}", installation.log());
    assert!(said.contains(" passed") && !said.contains(" failed"), "{said}");
}
