//! Applications as real users have them, deployed by the real binary on both engines: their lock files, scripts and
//! habits. By default the examples; `TOWPATH_TEST_APPLICATIONS=all` takes all, a name takes that one.

use crate::docker::{IMAGE, Lab};
use crate::installation::{Installation, get};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A directory below the project's root, and what `GET /` answers.
struct Application {
    at: &'static str,
    answer: &'static str,
}

const fn application(at: &'static str, answer: &'static str) -> Application {
    Application { at, answer }
}

const EXAMPLES: [Application; 3] = [
    application("examples/flask", "Hello from Flask"),
    application("examples/express", "Hello from Express"),
    application("examples/static", "Hello from static files"),
];

const OTHERS: [Application; 9] = [
    application("tests/applications/fastapi-uv", "orders by fastapi"),
    application("tests/applications/django-pipenv", "shelf of 0 by django"),
    application("tests/applications/pyramid-user", "gauge by pyramid"),
    application("tests/applications/flask-venv", "ledger by flask"),
    application("tests/applications/poetry", "rota by poetry"),
    application("tests/applications/native-library", "sum 42 by C in live"),
    application("tests/applications/koa-assets", "pinboard by koa"),
    application("tests/applications/typescript", "queue by typescript"),
    application("tests/applications/chat-websocket", "chat by websocket"),
];

impl Application {
    /// The directory's name, which is the service's too.
    fn name(&self) -> &'static str {
        self.at.rsplit('/').next().unwrap()
    }

    /// The service: longer deadlines than the defaults, as a loaded machine with a slow network needs.
    fn declaration(&self) -> String {
        let name = self.name();
        format!(
            "  {name}:\n    source: {{ repository: ./{name} }}\n    build: apprunner.yaml\n    \
             instance: {{ cpu: 1 vCPU, memory: 512 MB }}\n    deploy: {{ drain: 1s, startDeadline: 4m }}\n"
        )
    }
}

/// Those that this run is about.
#[allow(clippy::disallowed_methods, reason = "a test is widened by a variable")]
fn wanted() -> Vec<Application> {
    let chosen = std::env::var("TOWPATH_TEST_APPLICATIONS").unwrap_or_default();
    let all = EXAMPLES.into_iter().chain(OTHERS);
    match chosen.as_str() {
        "" => EXAMPLES.into(),
        "all" => all.collect(),
        names => all.filter(|a| names.split(',').any(|n| n == a.name())).collect(),
    }
}

/// Commits an application's files, with their modes, as a repository of its own.
fn commit(installation: &Installation, application: &Application) {
    let repository = installation.repository(application.name());
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join(application.at), repository.path());
    repository.git(&["add", "-A"]);
    repository.git(&["commit", "-q", "-m", "Begin"]);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target: PathBuf = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target)
        } else {
            assert!(std::fs::copy(entry.path(), target).is_ok())
        }
    }
}

fn deploy_all(mut installation: Installation) {
    let applications = wanted();
    applications.iter().for_each(|a| commit(&installation, a));
    let declared: String = applications.iter().map(Application::declaration).collect();
    installation.declare(&format!("services:\n{declared}"));
    installation.up();
    let settled = |i: &Installation, name| {
        ["RUNNING", "CREATE_FAILED"].contains(&i.service(name)["status"].as_str().unwrap_or(""))
    };
    for application in &applications {
        let name = application.name();
        installation.until(&format!("{name} is deployed"), Duration::from_secs(600), |i| settled(i, name));
        let log = || installation.ok(&["logs", name, "--deployment", "latest"]) + &installation.ok(&["logs", name]);
        assert_eq!(installation.service(name)["status"], "RUNNING", "{name}: {}", log());
        let answer = get(installation.http, name).unwrap();
        assert!(answer.status == 200 && answer.body.contains(application.answer), "{name}: {answer:?}\n{}", log());
        if name == "chat-websocket" {
            assert_eq!(chat(installation.http), "said hello");
        }
    }
    installation.ok(&["down"]);
}

/// Says hello in the chat, and gives what it sends back.
fn chat(port: u16) -> String {
    let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", port)).unwrap());
    stream.get_ref().set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let request = "GET / HTTP/1.1\r\nHost: chat-websocket.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.get_mut().write_all(request.as_bytes()).unwrap();
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    assert!(line.contains("101"), "{line}");
    while line != "\r\n" {
        line.clear();
        stream.read_line(&mut line).unwrap();
    }
    assert_eq!(message(&mut stream), "welcome");
    // A client's frames are masked; a mask of zeros leaves the text as it is.
    stream.get_mut().write_all(&[&[0x81, 0x85, 0, 0, 0, 0], b"hello".as_slice()].concat()).unwrap();
    message(&mut stream)
}

/// The text of one short frame (RFC 6455 §5.2).
fn message(stream: &mut impl std::io::Read) -> String {
    let mut head = [0; 2];
    stream.read_exact(&mut head).unwrap();
    let mut text = vec![0; usize::from(head[1])];
    stream.read_exact(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

#[test]
fn applications_of_real_users_run_on_the_process_engine() {
    deploy_all(Installation::new());
}

#[test]
fn applications_of_real_users_run_on_docker() {
    let Some(lab) = Lab::open(false) else { return };
    let mut installation = Installation::with_engine("docker").option("--docker-host", &lab.host.to_string());
    for runtime in ["python3", "python311", "nodejs18"] {
        installation = installation.option("--runtime-image", &format!("{runtime}={IMAGE}"));
    }
    deploy_all(installation);
}
