//! `towpath shim <instance-dir>`: keeps one instance of the process engine, and outlives the control plane.
//!
//! One thread, one poll loop, no runtime: there is one shim per instance, and it should cost nothing. It holds the lock
//! of the instance's directory for life (nothing starts twice), leads a session of its own, is the subreaper of all that
//! the application forks, copies the output into the log, and writes how it ended. It decides nothing.

mod launch;
mod log;
mod stage;
mod storage;

use super::files::{ExitFile, InstanceDir, SpecFile, StateFile};
use crate::host::cgroup::{self, Cgroups, Limits};
use crate::host::jail::fixed_port::{Move, Mover};
use crate::host::lines::LineSplitter;
use crate::host::{boot_id, tree};
use crate::model::{Digest, Input, Memory, StartCommand, Timestamp};
use log::LogFile;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process_group, wait};
use signal_hook::consts::{SIGCHLD, SIGTERM};
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};
use storage::Storage;

/// How long a stop waits when its request says nothing (`Retire` in the architecture).
const DEFAULT_GRACE: Duration = Duration::from_secs(10);
/// Longer lines are split.
const LONGEST_LINE: usize = 8 << 10;
/// How long processes may take to die of SIGKILL; only one that the kernel holds in a system call takes longer.
const KILL_LIMIT: Duration = Duration::from_secs(5);
/// How long an instance whose directory somebody removed goes on: until another one serves in its place.
const ORPHAN_LIMIT: Duration = Duration::from_secs(30);
/// A state file names so many notices; all are in the log.
const MOST_NOTICES: usize = 20;
/// How long the lock is tried for: an engine that looks whether it is held takes it for a moment.
const LOCK_ATTEMPTS: u32 = 40;

/// Keeps the instance of this directory until it ended. Returns the exit code of the shim itself: 0 when it kept the
/// instance or another one does, 1 when the directory could not be used.
pub fn run(dir: &Path) -> i32 {
    match Keeper::begin(dir) {
        Ok(Some(keeper)) => keeper.keep(),
        Ok(None) => 0,
        Err(error) => {
            eprintln!("error: failed to keep the instance in {}\ncaused by: {error}", dir.display());
            1
        }
    }
}

/// How the process of the moment ended.
struct Ended {
    code: i32,
    signal: Option<i32>,
    message: String,
}

/// One instance and everything that is known about it.
struct Keeper {
    dir: InstanceDir,
    _lock: File,
    spec: SpecFile,
    spec_digest: Digest,
    cgroups: Cgroups,
    log: LogFile,
    lines: LineSplitter,
    output: PipeReader,
    /// The application's end of the pipe; dropped at the end, so that reading ends.
    input: Option<PipeWriter>,
    children: UnixStream,
    stops: UnixStream,
    todo: VecDeque<StartCommand>,
    current: Option<i32>,
    /// Answers the binds of the process of the moment.
    mover: Option<Mover>,
    /// Whether its log says already that its port was moved.
    said_moved: bool,
    started: bool,
    started_at: Timestamp,
    kill_at: Option<Instant>,
    killed: bool,
    storage: Storage,
    /// When to look at storage and memory next.
    look_at: Instant,
    out_of_memory_kills: u64,
    notices: Vec<String>,
    /// Since when its directory is gone.
    orphan_since: Option<Instant>,
    /// Why the instance was ended by its keeper.
    ended_for: Option<String>,
}

impl Keeper {
    /// Takes the lock and reads what to do; `None` when there is nothing to do for this shim.
    fn begin(dir: &Path) -> io::Result<Option<Self>> {
        rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
        // Fails where the caller made a session already; then there is nothing to do.
        let _ = rustix::process::setsid();
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        let dir = InstanceDir::new(dir.canonicalize()?);
        std::env::set_current_dir("/")?;
        let Some(lock) = take_lock(&dir)? else { return Ok(None) };
        // An instance runs once: whatever was begun is for the engine to judge, never to begin again.
        if dir.state().transpose().is_some() || dir.exit().transpose().is_some() {
            return Ok(None);
        }
        let (spec, spec_digest) = match dir.spec() {
            Ok(Some(spec)) => spec,
            Ok(None) => return Ok(None),
            Err(error) => {
                dir.write_exit(&ended_file(None, None, format!("the instance could not be started: {error}"), false))?;
                return Ok(None);
            }
        };
        Self::new(dir, lock, spec, spec_digest).map(Some)
    }

    fn new(dir: InstanceDir, lock: File, spec: SpecFile, spec_digest: Digest) -> io::Result<Self> {
        let (output, input) = io::pipe()?;
        rustix::io::ioctl_fionbio(&output, true)?;
        // Programs open `/dev/stdout` by its path, which asks for permissions.
        if let Some(user) = spec.files.user {
            std::os::unix::fs::fchown(&input, Some(user), Some(user))?;
        }
        let limits = Limits { cpu: Some(spec.cpu), memory: spec.memory };
        let cgroups = Cgroups::create(spec.installation.as_str(), spec.id.as_str(), limits);
        let mut todo: VecDeque<StartCommand> = spec.pre_run.iter().cloned().map(StartCommand::Shell).collect();
        todo.push_back(spec.command.clone());
        Ok(Self {
            dir,
            _lock: lock,
            spec_digest,
            cgroups,
            log: LogFile::new(spec.log.clone(), spec.log_limit),
            spec,
            lines: LineSplitter::new(LONGEST_LINE),
            output,
            input: Some(input),
            children: signal_stream(SIGCHLD)?,
            stops: signal_stream(SIGTERM)?,
            todo,
            current: None,
            mover: None,
            said_moved: false,
            started: false,
            started_at: Timestamp::now(),
            kill_at: None,
            killed: false,
            storage: Storage::default(),
            look_at: Instant::now() + storage::FIRST_LOOK,
            out_of_memory_kills: 0,
            notices: Vec::new(),
            orphan_since: None,
            ended_for: None,
        })
    }

    fn keep(mut self) -> i32 {
        let ended = match self.set_stage().and_then(|()| self.start_next()) {
            Ok(()) => self.watch(),
            Err(ended) => ended,
        };
        self.end(ended)
    }

    /// Gives the instance its own files.
    fn set_stage(&mut self) -> Result<(), Ended> {
        let failed = |error: io::Error| Ended {
            code: 126,
            signal: None,
            message: format!("the instance could not be given files of its own: {error}"),
        };
        self.storage = stage::set(&self.dir, &self.spec).map_err(failed)?;
        if let Some(notice) = self.storage.notice() {
            self.say(&notice);
        }
        Ok(())
    }

    /// A line of towpath's own in the application's log.
    fn say(&mut self, text: &str) {
        let stamp = Timestamp::now().to_string();
        self.log.line(&stamp, format!("towpath: {text}").as_bytes());
        self.log.flush(&stamp);
    }

    /// Starts the next `pre-run` line or the start command.
    fn start_next(&mut self) -> Result<(), Ended> {
        let (Some(command), Some(input)) = (self.todo.pop_front(), &self.input) else { return Ok(()) };
        // Commands before the last one only prepare.
        let last = self.todo.is_empty();
        let moved = self.spec.moved.filter(|_| last).map(|from| Move { from, to: self.spec.port });
        let reads = last && self.spec.input != Input::Empty;
        let started = launch::start(&self.spec, &command, input, reads, &mut self.cgroups, moved);
        if reads {
            // The command alone holds that end, so that whoever writes notices its end.
            let _ = File::open("/dev/null").and_then(|null| Ok(rustix::stdio::dup2_stdin(null)?));
        }
        let (pid, mover) = started.map_err(|f| Ended { code: f.code, signal: None, message: f.message })?;
        (self.current, self.mover) = (Some(pid), mover);
        if !std::mem::replace(&mut self.started, true) {
            self.started_at = Timestamp::now();
        }
        self.write_state(pid).map_err(|error| Ended {
            code: 126,
            signal: None,
            message: format!("the instance's state could not be written: {error}"),
        })
    }

    fn write_state(&self, app: i32) -> io::Result<()> {
        let own = tree::read(rustix::process::getpid().as_raw_pid()).ok_or(io::ErrorKind::NotFound)?;
        self.dir.write_state(&StateFile {
            boot: boot_id()?,
            shim: own.pid,
            shim_start: own.start,
            app,
            cgroups: self.cgroups.paths().to_vec(),
            limited: self.cgroups.limited,
            notices: self.notices.clone(),
            spec: self.spec_digest.clone(),
            started_at: self.started_at,
        })
    }

    /// Copies output, reaps children and obeys stops until the start command, or a `pre-run` line that failed, ended.
    fn watch(&mut self) -> Ended {
        loop {
            if self.sleep() {
                self.answer_bind();
            }
            drain(&mut self.children);
            if drain(&mut self.stops) {
                self.stop();
            }
            self.copy_output(16);
            self.kill_when_due();
            self.look_when_due();
            if let Some(ended) = self.reap()
                && let Some(ended) = self.after(ended)
            {
                return ended;
            }
        }
    }

    /// Waits for output, a child, a stop, a bind, the end of a stop's grace, or the next look at the storage. Whether
    /// there is something about binds.
    fn sleep(&self) -> bool {
        let kill_at = self.kill_at.filter(|_| !self.killed);
        let timeout = kill_at.into_iter().chain([self.look_at]).min().map(|at| {
            let left = at.saturating_duration_since(Instant::now());
            Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() }
        });
        let mut sources = vec![
            PollFd::new(&self.output, PollFlags::IN),
            PollFd::new(&self.children, PollFlags::IN),
            PollFd::new(&self.stops, PollFlags::IN),
        ];
        sources.extend(self.mover.as_ref().map(|mover| PollFd::new(mover, PollFlags::IN)));
        // Interrupted by a signal: its stream is readable, the loop goes round.
        let _ = poll(&mut sources, timeout.as_ref());
        sources.get(3).is_some_and(|mover| !mover.revents().is_empty())
    }

    /// Lets the application have its own port where it asks for the service's.
    fn answer_bind(&mut self) {
        match self.mover.as_ref().map(Mover::answer) {
            Some(Ok(true)) if !std::mem::replace(&mut self.said_moved, true) => {
                let (from, to) = (self.spec.moved.unwrap_or_default(), self.spec.port);
                self.say(&format!("port {from} of this instance is port {to} of the machine"));
            }
            // Nobody is left who could ask.
            Some(Err(_)) => self.mover = None,
            _ => {}
        }
    }

    /// SIGTERM to the application's group; a second stop may shorten the grace of the first, never extend it.
    fn stop(&mut self) {
        let at = Instant::now() + self.dir.grace().unwrap_or(DEFAULT_GRACE);
        self.kill_at = Some(self.kill_at.map_or(at, |before| before.min(at)));
        self.todo.clear();
        if let Some(group) = self.current.and_then(Pid::from_raw) {
            // A frozen application hears nothing until it goes on.
            let _ = kill_process_group(group, Signal::TERM);
            tree::signal(&self.descendants(), Signal::CONT);
        }
    }

    fn kill_when_due(&mut self) {
        if !self.killed && self.kill_at.is_some_and(|at| at <= Instant::now()) {
            self.killed = true;
            tree::signal(&self.descendants(), Signal::KILL);
        }
    }

    /// Looks now and then whether the kernel or the disk refuses what the application does not tell.
    fn look_when_due(&mut self) {
        let now = Instant::now();
        if now < self.look_at {
            return;
        }
        let kills = self.cgroups.out_of_memory_kills();
        if kills > self.out_of_memory_kills {
            self.notice(format!("a process was killed: out of memory ({})", Memory(self.spec.memory)));
        }
        self.out_of_memory_kills = kills;
        match self.storage.look() {
            storage::Verdict::Room => {}
            storage::Verdict::Full(message) => self.notice(message),
            storage::Verdict::Beyond(message) => {
                self.say(&message);
                self.ended_for = Some(message);
                self.killed = true;
                tree::signal(&self.descendants(), Signal::KILL);
            }
        }
        self.end_orphan(now);
        self.look_at = now + self.storage.pause(now.elapsed());
    }

    /// Without its directory nobody knows the instance any more: no stop would ever come.
    fn end_orphan(&mut self, now: Instant) {
        if self.dir.path().exists() {
            self.orphan_since = None;
            return;
        }
        let since = *self.orphan_since.get_or_insert(now);
        if self.kill_at.is_none() && now.duration_since(since) >= ORPHAN_LIMIT {
            self.say("The directory of this instance was removed; it is stopped.");
            self.stop();
        }
    }

    /// Tells the log, and through the state file the control plane.
    fn notice(&mut self, message: String) {
        self.say(&message);
        if self.notices.len() < MOST_NOTICES {
            self.notices.push(message);
            // It is in the log; a state that cannot be written now is written with the next.
            let _ = self.current.map(|app| self.write_state(app));
        }
    }

    fn descendants(&self) -> Vec<tree::Process> {
        let all = tree::all();
        let mut roots = cgroup::members(self.cgroups.paths());
        roots.push(rustix::process::getpid().as_raw_pid());
        let inside = all.iter().filter(|p| roots[..roots.len() - 1].contains(&p.pid)).cloned();
        inside.chain(tree::descendants(&roots, &all)).collect()
    }

    /// Reaps every child that ended; how the process of the moment ended, when it is among them.
    fn reap(&mut self) -> Option<Ended> {
        let mut ended = None;
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if self.current == Some(pid.as_raw_pid()) {
                self.current = None;
                ended = Some(self.describe(status));
            }
        }
        ended
    }

    fn describe(&self, status: WaitStatus) -> Ended {
        if let Some(signal) = status.terminating_signal() {
            let message = if signal == Signal::KILL.as_raw() && !self.killed && self.cgroups.was_out_of_memory() {
                format!("killed: out of memory ({})", Memory(self.spec.memory))
            } else {
                format!("killed by {}", signal_name(signal))
            };
            return Ended { code: 128 + signal, signal: Some(signal), message };
        }
        let code = status.exit_status().unwrap_or(-1);
        Ended { code, signal: None, message: format!("exited with code {code}") }
    }

    /// Goes on after a `pre-run` line; `Some` when this was the end.
    fn after(&mut self, mut ended: Ended) -> Option<Ended> {
        if let Some(reason) = self.ended_for.take() {
            return Some(Ended { message: reason, ..ended });
        }
        if ended.code != 0 && self.kill_at.is_none() && self.storage.is_full() {
            let _ = write!(ended.message, "; {}", self.storage.full());
        }
        if self.kill_at.is_some() {
            return Some(Ended { message: format!("stopped ({})", ended.message), ..ended });
        }
        if self.todo.is_empty() {
            return Some(ended);
        }
        if ended.code != 0 {
            // The line that failed is the one before those that are left; the start command is the last of these.
            let line = &self.spec.pre_run[self.spec.pre_run.len().saturating_sub(self.todo.len())];
            return Some(Ended { message: format!("the pre-run command `{line}` {}", ended.message), ..ended });
        }
        self.start_next().err()
    }

    /// Copies what is there, at most so many buffers: an application that prints for ever must not keep a stop waiting.
    fn copy_output(&mut self, buffers: usize) {
        let mut bytes = [0; 16 << 10];
        let mut stamp = String::new();
        for _ in 0..buffers {
            let Ok(count @ 1..) = self.output.read(&mut bytes) else { break };
            stamp = Timestamp::now().to_string();
            let log = &mut self.log;
            self.lines.feed(&bytes[..count], &mut |line| log.line(&stamp, line));
        }
        self.log.flush(&stamp);
    }

    /// Kills what is left, keeps the last output, and writes the end: when that is there, nothing of it runs.
    fn end(mut self, ended: Ended) -> i32 {
        self.input = None;
        tree::kill_until_gone(KILL_LIMIT, || {
            while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
            self.descendants()
        });
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
        // Nobody writes any more: this is at most what the pipe holds.
        self.copy_output(64);
        let stamp = Timestamp::now().to_string();
        let log = &mut self.log;
        self.lines.finish(&mut |line| log.line(&stamp, line));
        self.log.line(&stamp, format!("towpath: {}", ended.message).as_bytes());
        self.log.flush(&stamp);
        cgroup::remove(self.cgroups.paths());
        self.write_end(&ended_file(Some(ended.code), ended.signal, ended.message, self.started))
    }

    /// A full disk may have room again soon: tried for a while, then the engine sees that nobody wrote an end.
    fn write_end(&self, exit: &ExitFile) -> i32 {
        for _ in 0..20 {
            if self.dir.write_exit(exit).is_ok() {
                return 0;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        1
    }
}

fn ended_file(code: Option<i32>, signal: Option<i32>, message: String, started: bool) -> ExitFile {
    ExitFile { code, signal, message, started, at: Timestamp::now() }
}

fn take_lock(dir: &InstanceDir) -> io::Result<Option<File>> {
    for _ in 0..LOCK_ATTEMPTS {
        if let Some(lock) = dir.lock()? {
            return Ok(Some(lock));
        }
        // Held by another shim that has started the instance: this one is not needed.
        if dir.state().transpose().is_some() {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    Ok(None)
}

/// A stream that becomes readable when the signal arrives.
fn signal_stream(signal: i32) -> io::Result<UnixStream> {
    let (read, write) = UnixStream::pair()?;
    read.set_nonblocking(true)?;
    signal_hook::low_level::pipe::register(signal, write)?;
    Ok(read)
}

/// Empties a signal's stream; whether anything was in it.
fn drain(stream: &mut UnixStream) -> bool {
    let mut bytes = [0; 64];
    let mut any = false;
    while let Ok(1..) = stream.read(&mut bytes) {
        any = true;
    }
    any
}

/// A signal as people know it.
fn signal_name(signal: i32) -> String {
    let names = [
        (Signal::HUP, "SIGHUP"),
        (Signal::INT, "SIGINT"),
        (Signal::QUIT, "SIGQUIT"),
        (Signal::ILL, "SIGILL"),
        (Signal::ABORT, "SIGABRT"),
        (Signal::BUS, "SIGBUS"),
        (Signal::FPE, "SIGFPE"),
        (Signal::KILL, "SIGKILL"),
        (Signal::SEGV, "SIGSEGV"),
        (Signal::PIPE, "SIGPIPE"),
        (Signal::TERM, "SIGTERM"),
        (Signal::SYS, "SIGSYS"),
    ];
    let known = names.iter().find(|(s, _)| s.as_raw() == signal).map(|(_, name)| (*name).to_owned());
    known.unwrap_or_else(|| format!("signal {signal}"))
}
