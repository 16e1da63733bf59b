//! `towpath run`: a command that runs once in what a service runs now, followed to its end like a command of one's own.

mod input;

use super::args::parse_duration;
use super::client::{CallError, Client};
use super::failure::Failure;
use super::screen::{Screen, harmless};
use crate::api::commands::{CommandBegun, CommandEnd, CommandOutput, InputKind, LONGEST_TIME, Outcome};
use clap::Args;
use input::RawTerminal;
use serde_json::{Value, json};
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

/// The command did not end by itself in its time (as `timeout` has it).
const TIMED_OUT: u8 = 124;
/// There is no exit code of a command, because towpath has none to give (as `docker run` has it).
const NOT_RUN: u8 = 125;
/// How often the server hears that this client is still there while its own reader is slow.
const SIGN_OF_LIFE: Duration = Duration::from_secs(4);

/// `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The service
    service: String,
    /// How long it may run, to 24h
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = time)]
    timeout: Duration,
    /// Give it this terminal: for shells and consoles
    #[arg(short, long, conflicts_with = "no_input")]
    terminal: bool,
    /// Pass on standard input whatever it is; a pipe or a file is in any case
    #[arg(short, long, conflicts_with = "no_input")]
    interactive: bool,
    /// Pass on nothing, so that a loop that reads the same input keeps it
    #[arg(long)]
    no_input: bool,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// The program and its arguments, after `--`; they stand in the record
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

fn time(text: &str) -> Result<Duration, String> {
    let time = parse_duration(text)?;
    if time < Duration::from_secs(1) || time > LONGEST_TIME {
        return Err("a command may run from 1s to 24h".into());
    }
    Ok(time)
}

/// Runs the command; its exit code is this one's.
///
/// # Errors
/// [`Failure::ReaderGone`]; every other one is told here, so that no exit code of towpath's own looks like the command's.
pub async fn run(screen: &Screen, client: &Client, args: RunArgs) -> Result<ExitCode, Failure> {
    match follow(screen, client, &args).await {
        Err(Failure::ReaderGone) => Err(Failure::ReaderGone),
        Err(failure) => {
            failure.print(screen);
            Ok(NOT_RUN.into())
        }
        Ok(code) => Ok(code.into()),
    }
}

async fn follow(screen: &Screen, client: &Client, args: &RunArgs) -> Result<u8, Failure> {
    // Before it begins: a signal in between must stop it too.
    let mut signals = Signals::new()?;
    let reads = reads(screen, args)?;
    let begun = begin(client, args, reads).await?;
    // Given back however this ends.
    let terminal = (reads == InputKind::Terminal).then(RawTerminal::take).transpose()?;
    let mut following = Following { screen: *screen, client, begun: &begun, arrived: 0, signalled: None, reads };
    let passing = input::pass_on(client, &begun.command_id, reads);
    let read = tokio::select! {
        read = following.read_on(&mut signals) => read,
        never = passing => match never {},
    };
    drop(terminal);
    let end = match read {
        Ok(Some(end)) => end,
        // A second signal: whoever sits there waits no longer. It is stopped already.
        Ok(None) => return Ok(following.signalled.map_or(NOT_RUN, by_signal)),
        Err(failure) => {
            // Best effort: it is stopped in a few seconds in any case, when nobody asks for it.
            let _ = following.stop().await;
            return Err(failure);
        }
    };
    if screen.is_json() {
        screen.print(&format!("{}\n", summary(&args.service, &begun, &end)))?;
    }
    Ok(conclude(screen, &end, following.signalled))
}

/// What the command is to read from.
fn reads(screen: &Screen, args: &RunArgs) -> Result<InputKind, Failure> {
    if args.terminal {
        if screen.is_json() {
            return Err(Failure::new("`--terminal` shows what a person sees, which is not JSON")
                .hint("leave out one of the two"));
        }
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return Err(Failure::new("`--terminal` needs a terminal, and this is none")
                .hint("leave it out where input comes from a pipe or a file; for ssh, say `ssh -t`"));
        }
        return Ok(InputKind::Terminal);
    }
    let passed_on = args.interactive || (!args.no_input && input::is_pipe_or_file());
    Ok(if passed_on { InputKind::Pipe } else { InputKind::Empty })
}

async fn begin(client: &Client, args: &RunArgs, reads: InputKind) -> Result<CommandBegun, Failure> {
    let mut input =
        json!({ "Service": args.service, "Command": args.command, "TimeoutSeconds": args.timeout.as_secs() });
    input["Input"] = json!(reads);
    if reads == InputKind::Terminal
        && let Some(size) = input::size()
    {
        input["TerminalSize"] = size;
    }
    if let Some(reason) = &args.reason {
        input["Reason"] = reason.as_str().into();
    }
    Ok(client.call("Towpath.RunCommand", &input).await?)
}

/// A command that is followed.
struct Following<'a> {
    screen: Screen,
    client: &'a Client,
    begun: &'a CommandBegun,
    /// The lines that arrived.
    arrived: u64,
    /// The signal that asked this process to end.
    signalled: Option<SignalKind>,
    reads: InputKind,
}

impl Following<'_> {
    /// Prints lines as they come; `None` when a second signal came.
    async fn read_on(&mut self, signals: &mut Signals) -> Result<Option<CommandEnd>, Failure> {
        loop {
            let Some(CommandOutput { lines, next, end }) = self.next(signals).await? else { return Ok(None) };
            self.print(&lines, signals).await?;
            self.arrived = next;
            if end.is_some() {
                return Ok(end);
            }
        }
    }

    /// The next lines; the first signal stops the command and is no reason not to wait for its end.
    async fn next(&mut self, signals: &mut Signals) -> Result<Option<CommandOutput>, Failure> {
        let input = self.input();
        let answer = self.client.call_patiently("Towpath.GetCommandOutput", &input);
        let mut answer = std::pin::pin!(answer);
        loop {
            tokio::select! {
                answer = &mut answer => return answer.map(Some).map_err(lost),
                kind = signals.next() => {
                    let again = self.signalled.is_some();
                    self.signalled_by(kind).await?;
                    if again {
                        return Ok(None);
                    }
                }
            }
        }
    }

    fn input(&self) -> Value {
        json!({ "CommandId": self.begun.command_id, "After": self.arrived })
    }

    /// The first signal stops the command.
    async fn signalled_by(&mut self, kind: SignalKind) -> Result<(), CallError> {
        if self.signalled.replace(kind).is_some() { Ok(()) } else { self.stop().await }
    }

    async fn stop(&self) -> Result<(), CallError> {
        let input = json!({ "CommandId": self.begun.command_id });
        let _: Value = self.client.call("Towpath.StopCommand", &input).await?;
        Ok(())
    }

    /// A reader may be as slow as it likes (`| less`): the server hears meanwhile that somebody is there.
    async fn print(&mut self, lines: &[String], signals: &mut Signals) -> Result<(), Failure> {
        if lines.is_empty() {
            return Ok(());
        }
        let (screen, terminal) = (self.screen, self.reads == InputKind::Terminal);
        let text = if terminal { String::new() } else { self.render(lines) };
        let shown = if terminal { input::decoded(lines) } else { Vec::new() };
        let printing =
            tokio::task::spawn_blocking(move || if terminal { input::show(&shown) } else { screen.print(&text) });
        let mut printing = std::pin::pin!(printing);
        loop {
            tokio::select! {
                printed = &mut printing => {
                    return printed.unwrap_or_else(|e| Err(Failure::caused("failed to print", &e)));
                }
                kind = signals.next() => self.signalled_by(kind).await?,
                // What it answers is asked for again: these lines have not been said to have arrived.
                () = sleep(SIGN_OF_LIFE) => {
                    let _: Result<Value, CallError> = self.client.call("Towpath.GetCommandOutput", &self.input()).await;
                }
            }
        }
    }

    /// As they are; to a terminal without what could steer it.
    fn render(&self, lines: &[String]) -> String {
        let terminal = io::stdout().is_terminal();
        let line = |line: &String| match (self.screen.is_json(), terminal) {
            (true, _) => format!("{}\n", json!({ "line": line })),
            (false, true) => harmless(line) + "\n",
            (false, false) => format!("{line}\n"),
        };
        lines.iter().map(line).collect()
    }
}

/// A server that does not know the command any more was restarted.
fn lost(error: CallError) -> Failure {
    match error {
        CallError::Refused { code, .. } if code == "ResourceNotFoundException" => {
            Failure::new("towpath was restarted while the command ran, and the command ended with it")
                .hint("how far it came is not known: look at what it was to change before running it again")
        }
        CallError::NoServer(_) => Failure::from(error).hint(
            "towpath ended while the command ran, which stops the command: look at what it was to change before running it \
             again",
        ),
        other => other.into(),
    }
}

fn summary(service: &str, begun: &CommandBegun, end: &CommandEnd) -> Value {
    json!({
        "service": service,
        "command_id": begun.command_id,
        "revision": begun.revision,
        "outcome": end.outcome,
        "exit_code": end.exit_code,
        "message": end.message,
    })
}

/// The exit code; whatever is not the command's own is told.
fn conclude(screen: &Screen, end: &CommandEnd, signalled: Option<SignalKind>) -> u8 {
    let told = |text: String| Failure::new(text).print(screen);
    match (end.outcome, end.exit_code) {
        (Outcome::Exited, Some(code)) => {
            // What a shell cannot know from the code: the memory ran out.
            if !end.message.starts_with("exited with code") {
                told(format!("the command was {}", end.message));
            }
            u8::try_from(code).unwrap_or(NOT_RUN)
        }
        (Outcome::Stopped, _) if signalled.is_some() => signalled.map_or(NOT_RUN, by_signal),
        (Outcome::Stopped, _) => {
            told(format!("the command was {}", end.message));
            NOT_RUN
        }
        (Outcome::TimedOut, _) => {
            Failure::new(format!("the command was {}", end.message)).hint("allow more with `--timeout`").print(screen);
            TIMED_OUT
        }
        (Outcome::Exited, None) => {
            told(format!("how the command ended is not known: {}", end.message));
            NOT_RUN
        }
        (Outcome::Failed, _) => {
            told(end.message.clone());
            NOT_RUN
        }
    }
}

/// What shells say of a process that a signal ended.
fn by_signal(kind: SignalKind) -> u8 {
    u8::try_from(128 + kind.as_raw_value()).unwrap_or(NOT_RUN)
}

/// What asks this process to end: Ctrl-C, a service manager, a terminal that is closed.
struct Signals([(SignalKind, Signal); 3]);

impl Signals {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map(|signal| (kind, signal));
        let failed = |e: io::Error| Failure::caused("failed to listen for signals", &e);
        Ok(Self([
            listen(SignalKind::interrupt()).map_err(failed)?,
            listen(SignalKind::terminate()).map_err(failed)?,
            listen(SignalKind::hangup()).map_err(failed)?,
        ]))
    }

    async fn next(&mut self) -> SignalKind {
        let [(interrupt, first), (terminate, second), (hangup, third)] = &mut self.0;
        tokio::select! {
            _ = first.recv() => *interrupt,
            _ = second.recv() => *terminate,
            _ = third.recv() => *hangup,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Output;

    fn code(outcome: Outcome, exit_code: Option<i32>, signalled: Option<SignalKind>) -> u8 {
        let end = CommandEnd { outcome, exit_code, message: "exited with code ?".into() };
        conclude(&Screen::new(Output::Text), &end, signalled)
    }

    #[test]
    fn the_exit_code_is_the_commands_own_or_one_that_says_why_there_is_none() {
        assert_eq!([0, 3, 137].map(|c| code(Outcome::Exited, Some(c), None)), [0, 3, 137]);
        assert_eq!(code(Outcome::Exited, None, None), NOT_RUN);
        assert_eq!(code(Outcome::TimedOut, None, None), TIMED_OUT);
        assert_eq!(code(Outcome::Stopped, None, Some(SignalKind::interrupt())), 130);
        assert_eq!(code(Outcome::Exited, Some(5), Some(SignalKind::interrupt())), 5, "it ended before it was stopped");
        assert_eq!(code(Outcome::Stopped, None, None), NOT_RUN);
        assert_eq!(code(Outcome::Failed, None, None), NOT_RUN);
    }
}
