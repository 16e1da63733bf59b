//! `Towpath.RunCommand` and what follows one: a command that runs once in a service's current revision, and its output.
//!
//! A client asks for the output again and again, each time waiting a little for more. That is also how it says that it
//! is still there: who does not ask any more has gone, and the command with it.

use super::arn;
use super::control::Refusal;
use super::dispatch::{Call, Context, output};
use super::errors::ApiError;
use crate::model::{Input, InstanceId, RevisionNumber, TerminalSize};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;

/// How long a command may run when nothing is said.
pub const TIME_BY_DEFAULT: Duration = Duration::from_secs(3600);
/// The longest that one may be allowed.
pub const LONGEST_TIME: Duration = Duration::from_secs(24 * 3600);
/// What all words of a command may have together: the kernel's own limit for one of them.
const LARGEST_COMMAND: usize = 128 << 10;
/// The most that is written to a command at once.
pub const LARGEST_PIECE: usize = 256 << 10;

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandRequest {
    /// The program and its arguments, as they are.
    pub words: Vec<String>,
    /// How long it may take.
    pub limit: Duration,
    /// What it reads from.
    pub input: Input,
}

/// A piece of what a command reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandInput {
    /// How many bytes came before it.
    pub at: u64,
    /// The piece.
    pub bytes: Vec<u8>,
    /// Whether nothing follows.
    pub end: bool,
}

/// How far a command has read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CommandInputTaken {
    /// The bytes that it took: where the next piece begins.
    pub next: u64,
    /// Whether it reads no more.
    pub closed: bool,
}

/// A command that was begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CommandBegun {
    /// By which it is asked for.
    pub command_id: InstanceId,
    /// The revision that it runs in.
    pub revision: RevisionNumber,
}

/// What a command printed since its client last asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CommandOutput {
    /// Lines of both of its streams, oldest first; where it has a terminal, pieces of what that shows, in base64.
    pub lines: Vec<String>,
    /// What to ask with next; that these lines arrived is known by it.
    pub next: u64,
    /// How it ended, with its last lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<CommandEnd>,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CommandEnd {
    /// In one word.
    pub outcome: Outcome,
    /// Its exit code, or 128 + signal, where it ended by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// For people: `exited with code 1`.
    pub message: String,
}

/// How a command ended, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Outcome {
    /// By itself.
    Exited,
    /// It ran longer than it may, and was stopped.
    TimedOut,
    /// Somebody stopped it, or its client went away.
    Stopped,
    /// It could not be started, or how it ended is not known.
    Failed,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RunInput {
    service: String,
    command: Vec<String>,
    timeout_seconds: Option<u64>,
    reason: Option<String>,
    #[serde(default)]
    input: InputKind,
    terminal_size: Option<SizeInput>,
}

/// What a command reads from, as the wire says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum InputKind {
    /// Nothing.
    #[default]
    Empty,
    /// What `SendCommandInput` sends.
    Pipe,
    /// The same through a terminal.
    Terminal,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct SizeInput {
    rows: u16,
    columns: u16,
}

impl From<SizeInput> for TerminalSize {
    fn from(SizeInput { rows, columns }: SizeInput) -> Self {
        Self { rows, columns }
    }
}

pub(super) async fn run(context: &Context, call: &Call) -> Result<Value, ApiError> {
    let input: RunInput = call.read()?;
    let (service, _) = arn::find(&*context.control, &input.service).await?;
    let (kind, size) = (input.input, input.terminal_size);
    let request = CommandRequest { input: reads(kind, size)?, ..request(input.command, input.timeout_seconds)? };
    output(&context.control.run_command(&service, request, call.by(input.reason)).await?)
}

fn request(words: Vec<String>, seconds: Option<u64>) -> Result<CommandRequest, Refusal> {
    let wrong = |message: &str| Err(Refusal::InvalidRequest(message.into()));
    if words.first().is_none_or(String::is_empty) {
        return wrong("`Command` names no program");
    }
    if words.iter().any(|word| word.contains('\0')) {
        return wrong("no word of `Command` may hold a NUL");
    }
    if words.iter().map(|word| word.len() + 1).sum::<usize>() > LARGEST_COMMAND {
        return wrong("the words of `Command` have more than 128 KiB together");
    }
    let limit = seconds.map_or(TIME_BY_DEFAULT, Duration::from_secs);
    if limit.is_zero() || limit > LONGEST_TIME {
        return wrong("`TimeoutSeconds` must be from 1 to 86400 (24h)");
    }
    Ok(CommandRequest { words, limit, input: Input::Empty })
}

fn reads(kind: InputKind, size: Option<SizeInput>) -> Result<Input, Refusal> {
    match (kind, size) {
        (InputKind::Empty, None) => Ok(Input::Empty),
        (InputKind::Pipe, None) => Ok(Input::Pipe),
        // The size of terminals since there are any.
        (InputKind::Terminal, None) => Ok(Input::Terminal(TerminalSize { rows: 24, columns: 80 })),
        (InputKind::Terminal, Some(size)) => Ok(Input::Terminal(size.into())),
        (_, Some(_)) => Err(Refusal::InvalidRequest("`TerminalSize` is for `Input` `TERMINAL`".into())),
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct OutputInput {
    command_id: String,
    #[serde(default)]
    after: u64,
}

pub(super) async fn get_output(context: &Context, input: OutputInput) -> Result<Value, ApiError> {
    output(&context.control.command_output(&parse_id(&input.command_id)?, input.after).await?)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct WriteInput {
    command_id: String,
    at: u64,
    /// In base64.
    #[serde(default)]
    data: String,
    #[serde(default)]
    end: bool,
}

pub(super) async fn write(context: &Context, input: WriteInput) -> Result<Value, ApiError> {
    let id = parse_id(&input.command_id)?;
    let wrong = |message: &str| Refusal::InvalidRequest(message.into());
    let bytes = STANDARD.decode(&input.data).map_err(|_| wrong("`Data` is not base64"))?;
    if bytes.len() > LARGEST_PIECE {
        return Err(wrong("`Data` has more than 256 KiB").into());
    }
    output(&context.control.write_to_command(&id, CommandInput { at: input.at, bytes, end: input.end }).await?)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct ResizeInput {
    command_id: String,
    terminal_size: SizeInput,
}

pub(super) async fn resize(context: &Context, input: ResizeInput) -> Result<Value, ApiError> {
    context.control.resize_command(&parse_id(&input.command_id)?, input.terminal_size.into()).await?;
    Ok(json!({}))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct StopInput {
    command_id: String,
}

pub(super) async fn stop(context: &Context, call: &Call) -> Result<Value, ApiError> {
    let input: StopInput = call.read()?;
    context.control.stop_command(&parse_id(&input.command_id)?, call.by(None)).await?;
    Ok(json!({}))
}

fn parse_id(text: &str) -> Result<InstanceId, Refusal> {
    text.parse().map_err(|_| Refusal::InvalidRequest("`CommandId` is not the id of a command".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|w| (*w).to_owned()).collect()
    }

    #[test]
    fn a_command_that_cannot_be_run_is_refused_with_the_member() {
        for (command, seconds, member) in [
            (vec![], None, "`Command`"),
            (words(&["", "x"]), None, "`Command`"),
            (words(&["a", "b\0c"]), None, "NUL"),
            (words(&["a", &"x".repeat(200_000)]), None, "128 KiB"),
            (words(&["a"]), Some(0), "`TimeoutSeconds`"),
            (words(&["a"]), Some(86_401), "`TimeoutSeconds`"),
        ] {
            match request(command, seconds) {
                Err(Refusal::InvalidRequest(message)) => assert!(message.contains(member), "{message}"),
                other => panic!("{member}: {other:?}"),
            }
        }
        let good = request(words(&["a", "", "b c"]), Some(86_400)).unwrap();
        assert_eq!((good.words.len(), good.limit), (3, LONGEST_TIME));
        assert_eq!(request(words(&["a"]), None).unwrap().limit, TIME_BY_DEFAULT);
    }
}
