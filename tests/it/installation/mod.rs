//! A whole installation for tests: the real binary, a real git repository, a real engine, on ports of its own.

mod load;
mod repository;

pub use load::{Load, get, get_with};
pub use repository::{APP, Repository};

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// What a test installation is started with.
pub struct Installation {
    root: tempfile::TempDir,
    server: Option<Child>,
    engine: &'static str,
    pub http: u16,
    pub api: u16,
    extra: Vec<String>,
    environment: Vec<(String, String)>,
    wrapper: Vec<String>,
    data: PathBuf,
    repository: Option<Vec<String>>,
    poll: &'static str,
}

impl Installation {
    /// A new, empty installation for the process engine; nothing runs yet.
    pub fn new() -> Self {
        Self::with_engine("process")
    }

    pub fn with_engine(engine: &'static str) -> Self {
        let root = tempfile::Builder::new().prefix("towpath-it-").tempdir().expect("a temporary directory");
        let (http, api) = (free_port(), free_port());
        let data = root.path().join("data");
        Self {
            root,
            data,
            server: None,
            engine,
            http,
            api,
            extra: Vec::new(),
            environment: Vec::new(),
            wrapper: Vec::new(),
            repository: None,
            poll: "1s",
        }
    }

    pub fn option(mut self, flag: &str, value: &str) -> Self {
        self.extra.extend([flag.to_owned(), value.to_owned()]);
        self
    }

    /// With another interval of polling.
    pub fn polling(mut self, interval: &'static str) -> Self {
        self.poll = interval;
        self
    }

    /// Pulls its manifest from a repository, with `--repo` and what belongs to it.
    pub fn pulls(&mut self, arguments: &[&str]) {
        self.repository = Some(arguments.iter().map(|a| (*a).to_owned()).collect());
    }

    pub fn path(&self) -> &Path {
        self.root.path()
    }

    pub fn data(&self) -> PathBuf {
        self.data.clone()
    }

    /// With its data directory below another one.
    pub fn data_in(mut self, directory: &Path) -> Self {
        self.data = directory.join("data");
        self
    }

    pub fn manifest(&self) -> PathBuf {
        self.root.path().join("towpath.yaml")
    }

    /// Writes the manifest as editors do: a new file in the old one's place.
    pub fn declare(&self, text: &str) {
        let fresh = self.root.path().join("towpath.yaml.new");
        std::fs::write(&fresh, text).expect("the manifest is written");
        std::fs::rename(fresh, self.manifest()).expect("the manifest is put in place");
    }

    /// A git repository beside the manifest.
    pub fn repository(&self, name: &str) -> Repository {
        Repository::new(self.root.path().join(name))
    }

    /// Sets a variable of the next control plane's environment.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.retain(|(n, _)| n != name);
        self.environment.push((name.into(), value.into()));
    }

    pub fn unset(&mut self, name: &str) {
        self.environment.retain(|(n, _)| n != name);
    }

    /// Starts the next control planes through another program, which has to become them (`exec`).
    pub fn through(&mut self, words: &[&str]) {
        self.wrapper = words.iter().map(|w| (*w).to_owned()).collect();
    }

    /// Starts `towpath up` and returns at once.
    pub fn start(&mut self) {
        assert!(self.server.is_none(), "it runs already");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.path().join("up.log"));
        let log = log.expect("the log is opened");
        let mut words = self.wrapper.iter().map(String::as_str).chain([env!("CARGO_BIN_EXE_towpath")]);
        let mut command = Command::new(words.next().unwrap_or_default());
        command
            .args(words)
            .arg("up")
            .args(self.manifest_arguments())
            .arg("--data-dir")
            .arg(self.data())
            .args(["--engine", self.engine, "--poll", self.poll])
            .args(["--http", &format!("127.0.0.1:{}", self.http), "--api", &format!("127.0.0.1:{}", self.api)])
            .args(&self.extra)
            .envs(self.environment.iter().map(|(n, v)| (n, v)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log is shared"))
            .stderr(log);
        self.server = Some(command.spawn().expect("towpath starts"));
    }

    fn manifest_arguments(&self) -> Vec<String> {
        let file = || vec!["--manifest".into(), self.manifest().to_string_lossy().into_owned()];
        self.repository.clone().unwrap_or_else(file)
    }

    /// Starts it and waits until its control socket answers.
    pub fn up(&mut self) {
        self.start();
        self.until("the control socket answers", Duration::from_secs(30), |i| i.try_json(&["status"]).is_some());
    }

    /// Runs a command against this installation.
    pub fn run(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_towpath"))
            .args(args)
            .arg("--data-dir")
            .arg(self.data())
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .output()
            .expect("towpath runs")
    }

    /// A command's output, which must succeed.
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "towpath {args:?}: {}\n{out}{err}\n{}", output.status, self.log());
        out
    }

    pub fn try_json(&self, args: &[&str]) -> Option<Value> {
        let mut all = args.to_vec();
        all.extend(["--output", "json"]);
        let output = self.run(&all);
        output.status.success().then(|| serde_json::from_slice(&output.stdout).ok()).flatten()
    }

    pub fn json(&self, args: &[&str]) -> Value {
        self.try_json(args).unwrap_or_else(|| panic!("towpath {args:?} gives no JSON\n{}", self.log()))
    }

    /// The status of one service, `Null` when it is not there.
    pub fn service(&self, name: &str) -> Value {
        let all = self.try_json(&["status"]).unwrap_or(Value::Null);
        let list = all.as_array().cloned().unwrap_or_default();
        list.into_iter().find(|s| s["name"] == name).unwrap_or(Value::Null)
    }

    /// Waits until the service has this status.
    pub fn until_status(&self, name: &str, status: &str) {
        let what = format!("service {name} is {status}");
        self.until(&what, Duration::from_secs(90), |i| i.service(name)["status"] == status);
    }

    /// Waits until the service answers with this text.
    pub fn until_answer(&self, name: &str, wanted: &str) {
        let what = format!("service {name} answers {wanted:?}");
        self.until(&what, Duration::from_secs(90), |i| get(i.http, name).is_ok_and(|a| a.body.trim() == wanted));
    }

    /// Waits until something holds.
    pub fn until(&self, what: &str, limit: Duration, holds: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !holds(self) {
            assert!(
                begun.elapsed() < limit,
                "not within {limit:?}: {what}\nstatus: {}\n{}",
                self.status_text(),
                self.log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn status_text(&self) -> String {
        let output = self.run(&["status"]);
        text(&output.stdout) + &text(&output.stderr)
    }

    /// What the control plane printed.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path().join("up.log")).unwrap_or_default()
    }

    pub fn server_pid(&self) -> u32 {
        self.server.as_ref().expect("a control plane runs").id()
    }

    /// `kill -9` of the control plane.
    pub fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }

    /// Waits until the control plane ended by itself, with its exit status.
    pub fn ended(&mut self, limit: Duration) -> std::process::ExitStatus {
        let mut server = self.server.take().expect("a control plane runs");
        let begun = Instant::now();
        loop {
            if let Some(status) = server.try_wait().expect("the control plane is waited for") {
                return status;
            }
            if begun.elapsed() > limit {
                let _ = server.kill();
                panic!("the control plane did not end within {limit:?}\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends a signal to the control plane.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.server_pid().cast_signed()).expect("a process id");
        rustix::process::kill_process(pid, signal).expect("the signal is sent");
    }

    /// The processes whose command line or environment names this installation's directory: ingress, shims, instances.
    pub fn processes(&self) -> Vec<(u32, String)> {
        let needle = self.path().to_string_lossy().into_owned();
        let data = self.data.to_string_lossy().into_owned();
        let own = self.server.as_ref().map(Child::id);
        let entries = std::fs::read_dir("/proc").expect("/proc is there").flatten();
        let pids = entries.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
        pids.filter(|pid| Some(*pid) != own && *pid != std::process::id())
            .filter_map(|pid| {
                let command = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
                let command = String::from_utf8_lossy(&command).replace('\0', " ");
                let cwd = std::fs::read_link(format!("/proc/{pid}/cwd")).ok();
                let here = command.contains(&needle)
                    || command.contains(&data)
                    || cwd.is_some_and(|c| c.starts_with(&needle) || c.starts_with(&self.data));
                here.then_some((pid, command))
            })
            .collect()
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        self.kill();
        let _ = self.run(&["down"]);
        for (pid, _) in self.processes() {
            if let Some(pid) = rustix::process::Pid::from_raw(pid.cast_signed()) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A port that was free a moment ago, below the ephemeral range so that no outgoing connection takes it.
fn free_port() -> u16 {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = 11_000 + u16::try_from(std::process::id() % 400).unwrap_or(0) * 20;
    loop {
        let port = start + NEXT.fetch_add(1, Ordering::Relaxed) % 4000;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
