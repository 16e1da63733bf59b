//! The tutorial, lived: its files are written, its commands are run in order against the real binary, and what they print is
//! compared with what the page shows. `TOWPATH_BLESS=1` writes the page anew with what was printed.
//!
//! Blocks of `docs/getting-started.md`:
//! - `yaml manifest` and `LANGUAGE FILE`: the contents of `towpath.yaml`, or of FILE;
//! - `console`: `$ COMMAND` lines, each with its output; `towpath up …` goes on in the background;
//! - `console up`: what that one prints next.
//!
//! Times, durations, ids and widths of columns differ from run to run and are not compared.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The port in the page; the test takes a free one.
const PORT: &str = "8080";
/// How long `up` may take to print what the page shows.
const PATIENCE: Duration = Duration::from_secs(180);

struct Lived {
    root: tempfile::TempDir,
    directory: PathBuf,
    port: String,
    api: String,
    up: Option<Child>,
    /// How many lines of `up` the page has shown.
    shown: usize,
}

impl Lived {
    fn new() -> Self {
        let root = tempfile::Builder::new().prefix("towpath-tutorial-").tempdir().unwrap();
        let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let (port, api) = (free(), free());
        let directory = root.path().join("work");
        std::fs::create_dir(&directory).unwrap();
        Self { directory, root, port, api, up: None, shown: 0 }
    }

    fn bash(&self, script: &str) -> Command {
        let binary = Path::new(env!("CARGO_BIN_EXE_towpath")).parent().unwrap().display().to_string();
        let path = std::env::var_os("PATH").map(|p| p.to_string_lossy().into_owned()).unwrap_or_default();
        let mut command = Command::new("bash");
        command.arg("-c").arg(script).current_dir(&self.directory).stdin(Stdio::null());
        command.env("PATH", format!("{binary}:{path}")).env("TOWPATH_DATA_DIR", self.root.path().join("data"));
        command
            .env("TOWPATH_HTTP", format!("127.0.0.1:{}", self.port))
            .env("TOWPATH_API", format!("127.0.0.1:{}", self.api));
        command.env_remove("TOWPATH_OUTPUT").env("HOME", self.root.path()).env("NO_COLOR", "1");
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "Ann").env(format!("GIT_{who}_EMAIL"), "ann@example.com");
        }
        command
    }

    fn log(&self) -> PathBuf {
        self.root.path().join("up.log")
    }

    /// Runs a command; what it printed, in the page's terms.
    fn run(&mut self, command: &str) -> String {
        let command = command.replace(PORT, &self.port);
        if command.starts_with("towpath up") {
            let log = std::fs::File::create(self.log()).unwrap();
            let mut up = self.bash(&format!("exec {command}"));
            self.up = Some(up.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
            self.shown = 0;
            return String::new();
        }
        let place = self.root.path().join("pwd");
        let script = format!("{command}\npwd > '{}'", place.display());
        let ran = self.bash(&format!("exec 2>&1\n{script}")).output().unwrap();
        self.directory = std::fs::read_to_string(place).unwrap().trim().into();
        self.in_the_page_s_terms(&String::from_utf8_lossy(&ran.stdout))
    }

    fn in_the_page_s_terms(&self, text: &str) -> String {
        let work = self.root.path().join("work").display().to_string();
        let data = self.root.path().join("data").display().to_string();
        text.replace(&work, "/srv/work").replace(&data, "/var/lib/towpath").replace(&self.port, PORT)
    }

    /// The lines of `up` that no block has shown yet.
    fn news(&self) -> Vec<String> {
        let text = self.in_the_page_s_terms(&std::fs::read_to_string(self.log()).unwrap_or_default());
        text.lines().map(str::to_owned).skip(self.shown).collect()
    }

    /// Waits for these lines, in this order.
    fn follow(&mut self, expected: &str) {
        let deadline = Instant::now() + PATIENCE;
        let wanted: Vec<String> = expected.lines().map(alike).filter(|l| !l.is_empty()).collect();
        loop {
            let news = self.news();
            if let Some(end) = found_in_order(&wanted, &news) {
                self.shown += end;
                return;
            }
            assert!(Instant::now() < deadline, "`towpath up` never printed\n{expected}\nbut\n{}", news.join("\n"));
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until what it does has ended and it is quiet: what it printed.
    fn listen(&mut self) -> String {
        let deadline = Instant::now() + PATIENCE;
        let (mut seen, mut since) = (0, Instant::now());
        loop {
            let news = self.news();
            if news.len() != seen {
                (seen, since) = (news.len(), Instant::now());
            }
            let ended = news.last().is_some_and(|l| l.contains(" completed ") || l.contains(" failed "));
            if ended && since.elapsed() > Duration::from_secs(2) || Instant::now() > deadline {
                self.shown += seen;
                return news.join("\n");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Lived {
    fn drop(&mut self) {
        let _ = self.run("towpath down");
        if let Some(mut up) = self.up.take() {
            let _ = up.kill();
            let _ = up.wait();
        }
    }
}

fn found_in_order(wanted: &[String], lines: &[String]) -> Option<usize> {
    let mut at = 0;
    for line in wanted {
        at += lines[at..].iter().position(|l| alike(l) == *line)? + 1;
    }
    Some(at)
}

/// A line without what differs from run to run.
fn alike(line: &str) -> String {
    let mut out = String::new();
    for word in line.replace("<1s", "1s").split_whitespace() {
        let inner = word.trim_matches(|c: char| "(),.;:`…".contains(c));
        let kind = kind(inner);
        let word = kind.map_or_else(|| word.to_owned(), |kind| word.replacen(inner, kind, 1));
        let _ = write!(out, "{}{word}", if out.is_empty() { "" } else { " " });
    }
    out.replace("just now", "T ago").replace("TIME ", "")
}

fn kind(word: &str) -> Option<&'static str> {
    let hex = |w: &str| w.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if matches!(word.len(), 7 | 8 | 12 | 32 | 40) && hex(word) {
        return Some("HEX");
    }
    if word.len() == 36 && word.split('-').count() == 5 && word.split('-').all(hex) {
        return Some("ID");
    }
    if word.len() >= 20 && word.ends_with('Z') && word.contains('T') && word.starts_with("20") {
        return Some("TIME");
    }
    if word.len() == 5 && word.bytes().all(|b| b.is_ascii_digit()) {
        return Some("PORT");
    }
    let number = word.trim_end_matches(['m', 's', 'h', 'd']);
    let is_duration = number.len() < word.len() && number.parse::<f64>().is_ok();
    is_duration.then_some("T")
}

/// What `--wait` prints of steps depends on when it looks.
fn is_step(line: &str) -> bool {
    const STEPS: &[&str] = &["queued", "fetch", "build", "start", "check", "shift", "drain", "retire", "clean"];
    line.split_once(": ").is_some_and(|(_, word)| STEPS.contains(&word))
}

fn alike_text(text: &str) -> String {
    text.lines().map(alike).filter(|l| !l.is_empty() && !is_step(l)).collect::<Vec<_>>().join("\n")
}

/// Runs every `$` line of a block; the block as it comes out.
fn console(lived: &mut Lived, block: &str) -> String {
    let mut out = String::new();
    for line in block.lines().filter_map(|l| l.strip_prefix("$ ")) {
        let printed = lived.run(line);
        let gap = if out.is_empty() { "" } else { "\n" };
        let _ = write!(out, "{gap}$ {line}\n{printed}");
    }
    out.trim_end().to_owned()
}

/// What a block does; the block as it comes out.
fn live(lived: &mut Lived, info: &str, block: &str, bless: bool) -> String {
    match info.split_once(' ').unwrap_or((info, "")) {
        ("console", "up") if bless => lived.listen(),
        ("console", "up") => {
            lived.follow(block);
            block.to_owned()
        }
        ("console", "") => console(lived, block),
        ("yaml", "manifest") => {
            std::fs::write(lived.directory.join("towpath.yaml"), format!("{block}\n")).unwrap();
            block.to_owned()
        }
        (_, "") => block.to_owned(),
        (_, file) => {
            let path = lived.directory.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, format!("{block}\n")).unwrap();
            block.to_owned()
        }
    }
}

#[test]
fn the_tutorial_happens_as_it_is_written() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/getting-started.md");
    let text = std::fs::read_to_string(&page).unwrap();
    let bless = std::env::var_os("TOWPATH_BLESS").is_some();
    let mut lived = Lived::new();
    let (mut out, mut blocks) = (String::new(), 0);
    for (number, part) in text.split("```").enumerate() {
        if number % 2 == 0 {
            out.push_str(part);
            continue;
        }
        let (info, block) = part.split_once('\n').unwrap();
        let block = block.trim_end();
        let printed = live(&mut lived, info, block, bless);
        if !bless {
            assert_eq!(alike_text(&printed), alike_text(block), "block {number} of the page: `{info}`");
        }
        blocks += 1;
        let _ = write!(out, "```{info}\n{printed}\n```");
    }
    assert!(blocks > 10, "{blocks} blocks");
    if bless {
        std::fs::write(page, out).unwrap();
    }
}

#[test]
fn lines_are_compared_without_what_differs_from_run_to_run() {
    assert_eq!(
        alike("2026-11-22T15:00:56.723Z  hello  done in 17.2s: (ca7624a Say hello)"),
        "hello done in T: (HEX Say hello)"
    );
    assert_eq!(alike("5576cdb6-8a87-4255-b12c-ccd2dae74be0  x  29s ago"), "ID x T ago");
}
