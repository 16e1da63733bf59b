//! Runs one build line: output line by line into the log, bounded in time and size, nothing left of it afterwards.

use super::apart::{self, Groups};
use crate::build::BuildError;
use crate::host::jail::{self, Jail, Launch};
use crate::host::{lines::LineSplitter, tree};
use crate::model::{LineSink, LineSource};
use rustix::process::{Pid, Signal, kill_process_group};
use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

/// The variable that every process of a build carries, so that it is found again.
const MARKER: &str = "TOWPATH_BUILD_DIR";
/// Longer lines are split.
const LONGEST_LINE: usize = 8 << 10;
/// How long what a line left behind may take to die.
const KILL_LIMIT: Duration = Duration::from_secs(5);
/// How long the last output is waited for; only a process that escaped holds the pipe longer.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);

/// Where and with what the lines of a build run.
pub struct Place {
    /// The build's own directory, which its marker names.
    pub build: PathBuf,
    /// The working directory.
    pub directory: PathBuf,
    /// Where its downloads are kept.
    pub cache: PathBuf,
    /// The whole environment.
    pub env: BTreeMap<String, String>,
    /// The binary that sets the jail up.
    pub exe: PathBuf,
    /// What keeps the commands in.
    pub jail: Jail,
    /// What they may use.
    pub groups: Arc<Mutex<Groups>>,
}

/// What all lines of a build together may use.
pub struct Budget {
    /// When they must have ended.
    pub deadline: Instant,
    /// How long that was in all, for the message.
    pub span: Duration,
    /// How many bytes they may still print.
    pub bytes: u64,
    /// How many that were in all, for the message.
    pub most: u64,
}

/// `NAME=value` of every process of the build in this directory. By directory and not by id: two installations of one
/// machine may make the same build at the same time.
pub fn marker(directory: &Path) -> String {
    format!("{MARKER}={}", directory.display())
}

impl Place {
    /// `NAME=value` of every process of this build.
    pub fn marker(&self) -> String {
        marker(&self.build)
    }

    /// Runs a program to its end. Its status is the caller's to judge.
    pub async fn run(
        &self,
        program: &[&str],
        budget: &mut Budget,
        log: &dyn LineSink,
        cancel: &CancellationToken,
    ) -> Result<ExitStatus, BuildError> {
        let (mut child, mut output) = self.start(program).await?;
        let mut lines = LineSplitter::new(LONGEST_LINE);
        let outcome = tokio::select! {
            outcome = follow(&mut child, &mut output, &mut lines, budget, log, cancel) => outcome,
            beyond = apart::watch(self) => Err(beyond),
        };
        if outcome.is_err() {
            kill_group(&child);
        }
        // A build ends when its line ends, as in an image build: what it put into the background goes too.
        kill_marked(self.marker()).await;
        let _ = timeout(DRAIN_LIMIT, drain(&mut output, &mut lines, budget, log)).await;
        lines.finish(&mut |line| log.line(LineSource::Build, &String::from_utf8_lossy(line)));
        if outcome.is_err() {
            // Killed above; waited for so that it does not stay as an entry in the process table.
            let _ = timeout(KILL_LIMIT, child.wait()).await;
        }
        outcome
    }

    /// The place without a jail and with nothing of the build in its environment, for commands of our own whose results
    /// are shared by services.
    pub fn trusted(&self, temporary: &Path) -> Self {
        let mut env = self.env.clone();
        env.retain(|name, _| name == "LANG");
        env.insert("PATH".into(), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into());
        env.extend(["HOME", "TMPDIR"].map(|name| (name.to_owned(), temporary.display().to_string())));
        let (build, cache, exe) = (self.build.clone(), self.cache.clone(), self.exe.clone());
        let groups = Arc::clone(&self.groups);
        Self { build, directory: temporary.to_owned(), cache, env, exe, jail: Jail::default(), groups }
    }

    /// What is to be said of how a command ended, out of memory before all.
    pub fn in_words(&self, status: ExitStatus) -> String {
        let killed = (!status.success()).then(|| self.groups().out_of_memory()).flatten();
        killed.unwrap_or_else(|| in_words(status))
    }

    fn groups(&self) -> MutexGuard<'_, Groups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn start(&self, program: &[&str]) -> Result<(Child, Receiver), BuildError> {
        let act = || format!("run `{}`", program.join(" "));
        let failed = |source| BuildError::Io { act: act(), source };
        let (reader, writer) = std::io::pipe().map_err(failed)?;
        if let Some(user) = self.jail.user {
            // Programs open `/dev/stdout` by its path, which asks for permissions.
            std::os::unix::fs::fchown(&writer, Some(user), Some(user)).map_err(failed)?;
        }
        let second = writer.try_clone().map_err(failed)?;
        let (command, door) = jail::command(&self.exe, (MARKER, &self.build.to_string_lossy())).map_err(failed)?;
        let mut command = Command::from(command);
        command.process_group(0).kill_on_drop(true);
        // One pipe for both, so that lines stand in the order in which they were printed.
        command.stdout(writer).stderr(second);
        let child = command.spawn().map_err(failed)?;
        // It holds the other ends of the door and the pipe.
        drop(command);
        child.id().into_iter().for_each(|pid| self.groups().groups.admit(pid));
        let launch = self.launch_of(program);
        let launched = tokio::task::spawn_blocking(move || door.launch(&launch, None)).await;
        match launched.map_err(|error| failed(std::io::Error::other(error)))? {
            Ok(_) => Ok((child, Receiver::from_owned_fd(reader.into()).map_err(failed)?)),
            Err(stopped) => Err(failed(std::io::Error::other(stopped))),
        }
    }

    fn launch_of(&self, program: &[&str]) -> Launch {
        let mut env = self.env.clone();
        env.insert(MARKER.into(), self.build.display().to_string());
        Launch {
            program: program[0].into(),
            name: program[0].into(),
            arguments: program[1..].iter().map(|&word| word.to_owned()).collect(),
            env,
            directory: self.directory.clone(),
            jail: self.jail.clone(),
            asks_to_bind: false,
            terminal: false,
        }
    }
}

/// Copies output until the child ends or a limit is reached.
async fn follow(
    child: &mut Child,
    output: &mut Receiver,
    lines: &mut LineSplitter,
    budget: &mut Budget,
    log: &dyn LineSink,
    cancel: &CancellationToken,
) -> Result<ExitStatus, BuildError> {
    let mut buffer = vec![0; 16 << 10];
    let mut open = true;
    loop {
        tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(BuildError::Cancelled),
            () = sleep_until(budget.deadline) => return Err(too_long(budget)),
            read = output.read(&mut buffer), if open => match read {
                Ok(count @ 1..) => take(&buffer[..count], lines, budget, log)?,
                // Closed by the child, which may still run.
                _ => open = false,
            },
            status = child.wait() => {
                return status.map_err(|source| BuildError::Io { act: "wait for a build command".into(), source });
            }
        }
    }
}

fn take(bytes: &[u8], lines: &mut LineSplitter, budget: &mut Budget, log: &dyn LineSink) -> Result<(), BuildError> {
    lines.feed(bytes, &mut |line| log.line(LineSource::Build, &String::from_utf8_lossy(line)));
    budget.bytes = budget.bytes.checked_sub(bytes.len() as u64).ok_or_else(|| {
        BuildError::Limit(format!("the build printed more than {} MB and was stopped", budget.most >> 20))
    })?;
    Ok(())
}

fn too_long(budget: &Budget) -> BuildError {
    BuildError::Limit(format!("the build took longer than {:?} and was stopped", budget.span))
}

/// The rest of the output; more than the budget is dropped, as the end was reached.
async fn drain(output: &mut Receiver, lines: &mut LineSplitter, budget: &mut Budget, log: &dyn LineSink) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(count @ 1..) = output.read(&mut buffer).await {
        if take(&buffer[..count], lines, budget, log).is_err() {
            return;
        }
    }
}

fn kill_group(child: &Child) {
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(group) = group {
        // Not waited for yet, so the id is still this child's.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// Kills every process that carries a marker.
pub async fn kill_marked(marker: String) {
    let gone = tokio::task::spawn_blocking(move || tree::kill_until_gone(KILL_LIMIT, || tree::marked(&marker))).await;
    if !gone.unwrap_or(false) {
        tracing::warn!("processes of a build do not die");
    }
}

/// An exit status in words.
pub fn in_words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with code {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended".into(),
    }
}
