//! `towpath run` in whole installations on the process engine: what people run, and what ends under them.

use crate::faults::node;
use crate::installation::{Installation, get};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

/// Generous: the machine may be busy.
const LIMIT: Duration = Duration::from_secs(60);
/// Begins, and never ends by itself.
pub const HANG: &str = "console.log('begun'); setInterval(() => 0, 1000)";

/// `towpath run` with flags and a command.
pub fn command(installation: &Installation, flags: &[&str], words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_towpath"));
    command.arg("run").arg("--data-dir").arg(installation.data()).args(flags).arg("shop").arg("--").args(words);
    command.env("NO_COLOR", "1").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub fn run(installation: &Installation, flags: &[&str], words: &[&str]) -> (Option<i32>, String, String) {
    told(command(installation, flags, words).output().unwrap())
}

fn told(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Starts a command and waits for its first line.
pub fn begin(installation: &Installation, flags: &[&str], words: &[&str], first: &str) -> Client {
    let mut child = command(installation, flags, words).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line.trim_end(), first, "{}", installation.log());
    Client { child, out }
}

/// A `towpath run` that goes on.
pub struct Client {
    pub child: Child,
    out: BufReader<ChildStdout>,
}

impl Client {
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.child.id().cast_signed()).unwrap(), signal).unwrap();
    }

    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Its exit code, and the rest of what it printed.
    pub fn end(mut self) -> (Option<i32>, String, String) {
        let (mut out, mut err) = (String::new(), String::new());
        self.out.read_to_string(&mut out).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        (self.child.wait().unwrap().code(), out, err)
    }
}

/// Processes of commands.
fn commands(installation: &Installation) -> usize {
    installation.processes().iter().filter(|(_, c)| c.starts_with("node -e")).count()
}

fn nothing_left(installation: &Installation) {
    installation.until("nothing of the command is left", LIMIT, |i| commands(i) == 0);
}

fn serving(more: &str) -> Installation {
    let mut installation = Installation::new();
    let app = installation.repository("app");
    node::greet(&app, "good");
    installation.set("SHOP_TOKEN", "s3cret-of-the-shop");
    installation.declare(&node::manifest("shop", more));
    installation.up();
    installation.until_status("shop", "RUNNING");
    installation
}

#[test]
fn a_command_has_its_services_revision_and_environment_and_ends_with_its_own_code() {
    let i = serving("    env: { LEVEL: \"7\" }\n    secrets: { TOKEN: { env: SHOP_TOKEN } }\n");
    let script = "const { TOKEN, LEVEL, PORT } = process.env; console.log(TOKEN, LEVEL, PORT > 0);\n\
        console.log(require('fs').existsSync('server.js')); console.error('to stderr'); process.exit(3)";
    let (code, out, err) = run(&i, &["--reason", "a fix"], &["node", "-e", script]);
    assert_eq!((code, err.as_str()), (Some(3), ""));
    for line in ["s3cret-of-the-shop 7 true", "true", "to stderr"] {
        assert!(out.lines().any(|l| l == line), "{line}: {out}");
    }
    let events = i.ok(&["logs", "shop", "--events"]);
    for part in ["runs in revision 1, asked for by local:", "(a fix).", "exited with code 3."] {
        assert!(events.contains(part), "{part}: {events}");
    }
    assert!(!events.contains("s3cret"), "{events}");

    // Words are passed on as they are: no shell comes in between.
    let echo = "console.log(JSON.stringify(process.argv.slice(1)))";
    let (code, out, _) = run(&i, &[], &["node", "-e", echo, "--", "a b", "$HOME; echo c", "", "*"]);
    assert_eq!((code, out.as_str()), (Some(0), "[\"a b\",\"$HOME; echo c\",\"\",\"*\"]\n"));
    let (code, out, err) = run(&i, &[], &["migrrate", "up"]);
    assert!((code, out.as_str()) == (Some(125), "") && err.contains("`migrrate`"), "{code:?} {out} {err}");
    let (code, _, err) = run(&i, &[], &["node", "-e", "process.kill(process.pid, 'SIGKILL')"]);
    assert_eq!((code, err.as_str()), (Some(137), "error: the command was killed by SIGKILL\n"));
    let (code, out, _) = run(&i, &["--output", "json"], &["node", "-e", "console.log(1)"]);
    let last: serde_json::Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!((code, &last["exit_code"], &last["revision"]), (Some(0), &0.into(), &1.into()), "{out}");
    assert_eq!(out.lines().next(), Some("{\"line\":\"1\"}"));

    nothing_left(&i);
    assert_eq!(
        (i.service("shop")["instances"]["running"].as_u64(), get(i.http, "shop").unwrap().status),
        (Some(1), 200)
    );
    assert!(std::fs::read_dir(i.data().join("cache/one-offs")).unwrap().next().is_none(), "its output is not kept");
}

#[test]
fn output_comes_as_it_is_printed_and_all_of_it_however_slow_its_reader_is() {
    let i = serving("");
    let slow = "console.log('first'); setTimeout(() => console.log('second'), 3000)";
    let mut client = begin(&i, &[], &["node", "-e", slow], "first");
    assert!(client.runs(), "the first line came before the end");
    assert_eq!(client.end(), (Some(0), "second\n".into(), String::new()));

    // More than pipes and answers hold; nobody reads for longer than a client may be silent.
    let much = "for (let n = 0; n < 40000; n++) console.log('line', n, 'x'.repeat(50))";
    let client = begin(&i, &[], &["node", "-e", much], &format!("line 0 {}", "x".repeat(50)));
    std::thread::sleep(Duration::from_secs(20));
    let (code, out, err) = client.end();
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let numbers: Vec<usize> = out.lines().map(|l| l.split(' ').nth(1).unwrap().parse().unwrap()).collect();
    assert!(numbers.iter().copied().eq(1..40_000), "{} lines", numbers.len());
}

#[test]
fn a_command_ends_with_its_time_with_ctrl_c_and_with_its_client() {
    let i = serving("");
    let (code, out, err) = run(&i, &["--timeout", "2s"], &["node", "-e", HANG]);
    assert_eq!((code, out.as_str()), (Some(124), "begun\n"));
    assert!(err.contains("longer than 2 s") && err.contains("--timeout"), "{err}");
    nothing_left(&i);

    let deaf = "process.on('SIGTERM', () => console.log('told')); console.log('begun'); setInterval(() => 0, 1000)";
    let client = begin(&i, &[], &["node", "-e", deaf], "begun");
    assert_eq!(commands(&i), 1);
    client.signal(Signal::INT);
    assert_eq!(client.end(), (Some(130), "told\n".into(), String::new()), "it has a few seconds to end by itself");
    nothing_left(&i);

    let mut client = begin(&i, &[], &["node", "-e", HANG], "begun");
    client.signal(Signal::KILL);
    client.child.wait().unwrap();
    nothing_left(&i);
    let told = |i: &Installation| i.ok(&["logs", "shop", "--events"]).contains("stopped by the end of its client");
    i.until("events say so", LIMIT, told);
}

#[test]
fn no_command_outlives_the_control_plane_that_runs_it() {
    let mut i = serving("");
    let client = begin(&i, &[], &["node", "-e", HANG], "begun");
    i.kill();
    assert_eq!(commands(&i), 1, "nobody is there to stop it");
    i.up();
    nothing_left(&i);
    let (code, _, err) = client.end();
    assert!(code == Some(125) && err.contains("towpath was restarted") && err.contains("hint:"), "{code:?} {err}");

    let client = begin(&i, &[], &["node", "-e", HANG], "begun");
    i.signal(Signal::TERM);
    assert!(i.ended(LIMIT).success());
    assert_eq!(commands(&i), 0, "a control plane that ends in order takes its commands along");
    assert_eq!(get(i.http, "shop").unwrap().status, 200, "and nothing else");
    i.up();
    assert_eq!(client.end().0, Some(125));
}

/// Reads everything, then says how much that was and its digest.
const COUNT: &str = "const hash = require('crypto').createHash('sha256'); let count = 0; process.stdin.on('data', d => { \
    hash.update(d); count += d.length }).on('end', () => console.log(count, hash.digest('hex')))";

/// A client with this file, or a pipe that it comes through, as standard input.
fn fed(installation: &Installation, flags: &[&str], words: &[&str], bytes: &[u8], piped: bool) -> Output {
    let file = installation.path().join("input");
    std::fs::write(&file, bytes).unwrap();
    let mut client = command(installation, flags, words);
    if !piped {
        return client.stdin(std::fs::File::open(&file).unwrap()).output().unwrap();
    }
    let mut cat = Command::new("cat").arg(&file).stdout(Stdio::piped()).spawn().unwrap();
    let output = client.stdin(cat.stdout.take().unwrap()).output().unwrap();
    let _ = cat.kill();
    cat.wait().unwrap();
    output
}

#[test]
fn a_command_reads_what_is_piped_to_it_to_the_last_byte() {
    let i = serving("");
    // More than any buffer on the way holds, and bytes of every kind.
    let bytes: Vec<u8> = (0..3_000_001_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let digest: String = openssl::sha::sha256(&bytes).iter().map(|b| format!("{b:02x}")).collect();
    for piped in [true, false] {
        let (code, out, err) = told(fed(&i, &[], &["node", "-e", COUNT], &bytes, piped));
        assert_eq!((code, out, err), (Some(0), format!("{} {digest}\n", bytes.len()), String::new()), "{piped}");
    }
    let (code, out, _) = told(fed(&i, &["--no-input"], &["node", "-e", COUNT], &bytes, true));
    assert!(code == Some(0) && out.starts_with("0 "), "{out}");
    // One that reads slowly slows down whoever writes, and nothing is kept in between.
    let slow = "let n = 0; const step = () => { const d = process.stdin.read(65536) || process.stdin.read(); if (d) n += \
        d.length; setTimeout(step, 20) }; process.stdin.on('end', () => { console.log(n); process.exit(4) }); step()";
    let (code, out, _) = told(fed(&i, &[], &["node", "-e", slow], &bytes, true));
    assert_eq!((code, out), (Some(4), format!("{}\n", bytes.len())));
    // One that does not read ends when it ends.
    let (code, out, err) = told(fed(&i, &[], &["node", "-e", "process.exit(3)"], &bytes, true));
    assert_eq!((code, out.as_str(), err.as_str()), (Some(3), "", ""));
    nothing_left(&i);
    let trail = i.ok(&["audit", "--output", "json"]);
    assert!(trail.contains("SendCommandInput") && !trail.contains("AAECAw"), "what was sent is in no record");
}

/// What a person sees of a shell, typed at by steps.
pub fn at_a_terminal(installation: &Installation, words: &[&str], steps: &str) -> serde_json::Value {
    let data = installation.data().display().to_string();
    let arguments = [&["run", "--data-dir", &data, "-t", "shop", "--"], words].concat();
    crate::live::on_terminal(&[], &arguments, steps)
}

/// A shell at a terminal: what is typed, its size and that of the window when that changes, Ctrl-C, and its end.
pub const STEPS: &str = "wait 60 ready\nsend test -t 0 && test -t 1 && echo it is a terminal; stty size\\r\nwait 20 24 100\nresize 30 90\n\
    sleep 2\nsend stty size\\r\nwait 20 30 90\nsend sleep 500\\r\nsleep 1\nsend \\x03\nsleep 1\nsend echo interrupted $?\\r\n\
    wait 20 interrupted 130\nsend exit 5\\r\nend 60\n";

pub fn assert_was_a_terminal(seen: &serde_json::Value) {
    let screen = crate::live::text(&seen["screen"]);
    assert!(screen.contains("\nit is a terminal"), "{screen}");
    assert_eq!((&seen["code"], &seen["hidden"]), (&5.into(), &false.into()), "{screen}");
}

#[test]
fn a_shell_at_a_terminal_is_as_one_of_ones_own() {
    let i = serving("");
    assert_was_a_terminal(&at_a_terminal(&i, &["sh", "-c", "PS1='ready$ ' exec sh -i"], STEPS));
    nothing_left(&i);
    let (code, _, err) = run(&i, &["-t"], &["sh"]);
    assert!(code == Some(125) && err.contains("needs a terminal") && err.contains("hint:"), "{err}");
}
