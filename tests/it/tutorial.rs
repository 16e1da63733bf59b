//! The pages, lived: their files are written, their commands are run in order against the real binary, and what they print is
//! compared with what the page shows. `TOWPATH_BLESS=1` writes the pages anew with what was printed.
//!
//! Blocks of a page:
//! - `LANGUAGE FILE`, in the tutorial `yaml manifest` as well: the contents of FILE, or of `towpath.yaml`;
//! - `console`: `$ COMMAND` lines, each with its output; `towpath up …` goes on in the background, unless the page shows how it fails;
//! - `console up`: what that one prints next.
//!
//! A comment `<!-- run … -->` holds commands that a reader need not see; `<!-- not run: WHY -->` before a block says that it cannot
//! be run. Times, days, durations, ids and widths of columns differ from run to run and are not compared.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The ports in the pages; the test takes free ones.
const PORT: &str = "8080";
const API: &str = "8090";
/// The data directory in the pages.
const DATA: &str = "/var/lib/towpath";
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
    /// The exit status of the last command.
    status: i32,
}

impl Lived {
    fn new() -> Self {
        let root = tempfile::Builder::new().prefix("towpath-tutorial-").tempdir().unwrap();
        let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let (port, api) = (free(), free());
        let directory = root.path().join("work");
        std::fs::create_dir(&directory).unwrap();
        Self { directory, root, port, api, up: None, shown: 0, status: 0 }
    }

    fn bash(&self, script: &str) -> Command {
        let binary = Path::new(env!("CARGO_BIN_EXE_towpath")).parent().unwrap().display().to_string();
        let path = std::env::var_os("PATH").map(|p| p.to_string_lossy().into_owned()).unwrap_or_default();
        let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/conformance/bin").display().to_string();
        let mut command = Command::new("bash");
        command.arg("-c").arg(script).current_dir(&self.directory).stdin(Stdio::null());
        command
            .env("PATH", format!("{binary}:{path}:{clients}"))
            .env("TOWPATH_DATA_DIR", self.root.path().join("data"));
        command
            .env("TOWPATH_HTTP", format!("127.0.0.1:{}", self.port))
            .env("TOWPATH_API", format!("127.0.0.1:{}", self.api));
        command.env("SOURCE", env!("CARGO_MANIFEST_DIR")).env("EDITOR", "true").env("AWS_PAGER", "");
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
        if command.starts_with("towpath up") {
            self.start(command);
            return String::new();
        }
        self.ran(command).1
    }

    fn start(&mut self, command: &str) {
        let command = self.in_real_terms(command);
        let log = std::fs::File::create(self.log()).unwrap();
        let mut up = self.bash(&format!("exec {command}"));
        self.up = Some(up.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
        self.shown = 0;
    }

    /// Runs a command to its end, in the directory, with the exported variables and the status that those before it left;
    /// whether it succeeded, and what it printed.
    fn ran(&mut self, command: &str) -> (bool, String) {
        let command = self.in_real_terms(command);
        let [place, exported] = ["pwd", "exported"].map(|name| self.root.path().join(name));
        let kept = format!("export -p | grep -E '^declare -x (AWS_|ARN=|TOWPATH_SERVER=)' > '{}'", exported.display());
        let script = format!(
            "exec 2>&1\n[ -f '{0}' ] && . '{0}'\n(exit {1})\n{command}\nstatus=$?\npwd > '{2}'\n{kept}\nexit $status",
            exported.display(),
            self.status,
            place.display()
        );
        // A command that waits for somebody fails by its name, not by the end of the whole test.
        let file = self.root.path().join("script");
        std::fs::write(&file, script).unwrap();
        let ran = self.bash(&format!("exec timeout 240 bash '{}'", file.display())).output().unwrap();
        assert_ne!(ran.status.code(), Some(124), "`{command}` did not end\n{}", String::from_utf8_lossy(&ran.stdout));
        self.status = ran.status.code().unwrap_or(1);
        if let Ok(place) = std::fs::read_to_string(place) {
            self.directory = place.trim().into();
        }
        (ran.status.success(), self.in_the_page_s_terms(&String::from_utf8_lossy(&ran.stdout)))
    }

    /// Runs commands that the page does not show. What they do has to succeed; a server has to answer.
    fn prepare(&mut self, script: &str) {
        let (before, up) = match script.find("towpath up") {
            Some(at) if script[..at].is_empty() || script[..at].ends_with('\n') => script.split_at(at),
            _ => (script, ""),
        };
        if !before.trim().is_empty() {
            let (succeeded, told) = self.ran(&format!("set -e\n{before}\nset +e"));
            assert!(succeeded, "{before}\n{told}");
        }
        if !up.trim().is_empty() {
            self.start(up.trim());
            let deadline = Instant::now() + PATIENCE;
            let address = format!("127.0.0.1:{}", self.api);
            while std::net::TcpStream::connect(&address).is_err() {
                assert!(Instant::now() < deadline, "{}", std::fs::read_to_string(self.log()).unwrap_or_default());
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }

    fn in_real_terms(&self, command: &str) -> String {
        let data = self.root.path().join("data").display().to_string();
        let work = self.root.path().join("work").display().to_string();
        command.replace(PORT, &self.port).replace(API, &self.api).replace(DATA, &data).replace("/srv/work", &work)
    }

    fn in_the_page_s_terms(&self, text: &str) -> String {
        let work = self.root.path().join("work").display().to_string();
        let data = self.root.path().join("data").display().to_string();
        text.replace(&work, "/srv/work").replace(&data, DATA).replace(&self.port, PORT).replace(&self.api, API)
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
        let inner = word.trim_matches(|c: char| "(),.;:`…\"".contains(c));
        let kind = kind(inner);
        let word = kind.map_or_else(|| word.to_owned(), |kind| word.replacen(inner, kind, 1));
        let _ = write!(out, "{}{word}", if out.is_empty() { "" } else { " " });
    }
    without_pid(out.replace("just now", "T ago").replace("TIME ", ""))
}

fn without_pid(line: String) -> String {
    let Some((before, rest)) = line.split_once("(pid ") else { return line };
    format!("{before}(pid {}", rest.trim_start_matches(|c: char| c.is_ascii_digit() || c.is_ascii_uppercase()))
}

fn kind(word: &str) -> Option<&'static str> {
    let hex = |w: &str| w.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if matches!(word.len(), 7 | 8 | 12 | 32 | 40 | 64) && hex(word) {
        return Some("HEX");
    }
    // Ids of keys and users.
    if word.len() == 20 && (word.starts_with("AKIA") || word.starts_with("AIDA")) {
        return Some("KEY");
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
    if let Some(kind) = kind_of_calendar(word) {
        return Some(kind);
    }
    let number = word.trim_end_matches(['m', 's', 'h', 'd']);
    let is_duration = number.len() < word.len() && number.parse::<f64>().is_ok();
    is_duration.then_some("T")
}

/// `Mon 2026-11-30 06:00`, word by word.
fn kind_of_calendar(word: &str) -> Option<&'static str> {
    let shape = word.replace(|c: char| c.is_ascii_digit(), "0");
    match shape.as_str() {
        "0000-00-00" => Some("DATE"),
        "00:00" => Some("CLOCK"),
        "Mon" | "Tue" | "Wed" | "Thu" | "Fri" | "Sat" | "Sun" => Some("DAY"),
        _ => None,
    }
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
    let lines: Vec<&str> = block.lines().collect();
    for (at, line) in lines.iter().enumerate().filter_map(|(at, l)| Some((at, l.strip_prefix("$ ")?))) {
        let fails = lines.get(at + 1).is_some_and(|next| next.starts_with("error: "));
        let printed = if fails { lived.ran(line).1 } else { lived.run(line) };
        // As the page has it.
        let gap = if at > 0 && lines[at - 1].is_empty() { "\n" } else { "" };
        let printed = printed.trim_end();
        let end = if printed.is_empty() { "" } else { "\n" };
        let _ = write!(out, "{gap}$ {line}\n{printed}{end}");
    }
    out.trim_end().to_owned()
}

/// What a block does; the block as it comes out.
fn live(lived: &mut Lived, info: &str, block: &str, bless: bool, is_tutorial: bool) -> String {
    match info.split_once(' ').unwrap_or((info, "")) {
        ("yaml", "manifest") if !is_tutorial => block.to_owned(),
        ("yaml", "apprunner") => block.to_owned(),
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

/// Pages whose commands are run. Each starts from nothing.
const PAGES: &[&str] = &[
    "README.md",
    "docs/getting-started.md",
    "docs/access.md",
    "docs/builds.md",
    "docs/gitops.md",
    "docs/manifest.md",
    "docs/migrating.md",
    "docs/operations.md",
    "docs/trust.md",
];

const NOT_RUN: &str = "<!-- not run: ";

/// Why the block after this text is not run, if the text ends by saying so.
fn reason(before: &str) -> Option<&str> {
    let (_, mark) = before.trim_end().rsplit_once(NOT_RUN)?;
    mark.strip_suffix("-->").filter(|rest| !rest.contains("-->")).map(str::trim)
}

/// The commands in a text that a reader does not see.
fn hidden(text: &str) -> impl Iterator<Item = &str> {
    text.split("<!-- run\n").skip(1).filter_map(|rest| rest.split("-->").next())
}

fn live_page(name: &str) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let text = std::fs::read_to_string(&page).unwrap();
    let bless = std::env::var_os("TOWPATH_BLESS").is_some();
    let is_tutorial = name.ends_with("getting-started.md");
    let mut lived = Lived::new();
    let (mut out, mut before) = (String::new(), "");
    for (number, part) in text.split("```").enumerate() {
        if number % 2 == 0 {
            hidden(part).for_each(|script| lived.prepare(script));
            out.push_str(part);
            before = part;
            continue;
        }
        let (info, block) = part.split_once('\n').unwrap();
        let block = block.trim_end();
        let printed = match reason(before) {
            Some(_) => block.to_owned(),
            None => live(&mut lived, info, block, bless, is_tutorial),
        };
        if !bless {
            assert_eq!(alike_text(&printed), alike_text(block), "block {number} of {name}: `{info}`");
        }
        let _ = write!(out, "```{info}\n{printed}\n```");
    }
    if bless {
        std::fs::write(page, out).unwrap();
    }
}

#[test]
fn the_tutorial_happens_as_it_is_written() {
    live_page("docs/getting-started.md");
}

#[test]
fn the_page_about_access_happens_as_it_is_written() {
    if crate::conformance::python().is_some() {
        live_page("docs/access.md");
    }
}

#[test]
fn the_readme_and_the_page_about_builds_happen_as_they_are_written() {
    live_page("README.md");
    live_page("docs/builds.md");
}

#[test]
fn the_page_about_steering_from_git_happens_as_it_is_written() {
    live_page("docs/gitops.md");
}

#[test]
fn the_page_about_the_manifest_happens_as_it_is_written() {
    live_page("docs/manifest.md");
}

#[test]
fn the_page_about_moving_from_app_runner_happens_as_it_is_written() {
    live_page("docs/migrating.md");
}

#[test]
fn the_page_about_running_towpath_happens_as_it_is_written() {
    live_page("docs/operations.md");
}

#[test]
fn the_page_about_trust_happens_as_it_is_written() {
    live_page("docs/trust.md");
}

/// Every block that shows a command is run, or says why not: so many are not, and no more.
#[test]
fn every_command_of_every_page_is_run_or_says_why_not() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = std::fs::read_dir(root.join("docs")).unwrap().map(|e| e.unwrap().path());
    let pages: Vec<PathBuf> =
        docs.filter(|p| p.extension().is_some_and(|e| e == "md")).chain([root.join("README.md")]).collect();
    let (mut run, mut not_run, mut silent) = (0, Vec::new(), Vec::new());
    for page in pages {
        let name = page.strip_prefix(root).unwrap().display().to_string();
        let text = std::fs::read_to_string(&page).unwrap();
        let parts: Vec<&str> = text.split("```").collect();
        for pair in parts.chunks(2).filter(|pair| pair.len() == 2) {
            let shows = pair[1].starts_with("console") || pair[1].starts_with("bash\n") || pair[1].contains("\n$ ");
            match (shows, reason(pair[0]), PAGES.contains(&name.as_str())) {
                (false, ..) => {}
                (true, Some(why), _) => not_run.push(format!("{name}: {why}")),
                (true, None, true) => run += 1,
                (true, None, false) => silent.push(format!("{name}:{}", pair[1].lines().nth(1).unwrap_or_default())),
            }
        }
    }
    println!("{run} blocks are run, {} are not:\n{}", not_run.len(), not_run.join("\n"));
    assert!(silent.is_empty(), "neither run nor marked with `{NOT_RUN}WHY -->`:\n{}", silent.join("\n"));
    assert!(run >= MOST_ARE_RUN && not_run.len() <= FEW_ARE_NOT, "{run} are run, {} are not", not_run.len());
}

const MOST_ARE_RUN: usize = 30;
const FEW_ARE_NOT: usize = 15;

#[test]
fn lines_are_compared_without_what_differs_from_run_to_run() {
    assert_eq!(
        alike("2026-11-22T15:00:56.723Z  hello  done in 17.2s: (ca7624a Say hello)"),
        "hello done in T: (HEX Say hello)"
    );
    assert_eq!(alike("5576cdb6-8a87-4255-b12c-ccd2dae74be0  x  29s ago"), "ID x T ago");
}
