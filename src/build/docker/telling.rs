//! What a build on an engine says: its events as lines of the log, and the failure that ends it.

use super::Stopped;
use super::progress::Event;
use super::recipe;
use crate::build::BuildError;
use crate::model::{LineSink, LineSource};
use std::collections::VecDeque;

/// What all commands of a build together may print.
const OUTPUT_BYTES: usize = 64 << 20;

/// How many of a command's last lines a failure repeats.
const LAST_LINES: usize = 3;

/// What the commands of a build printed.
#[derive(Default)]
pub(super) struct Printed {
    bytes: usize,
    /// The last lines of the command that runs.
    last: VecDeque<String>,
}

impl Printed {
    fn keep(&mut self, text: &str) {
        self.bytes += text.len() + 1;
        self.last.push_back(text.chars().take(200).collect());
        if self.last.len() > LAST_LINES {
            self.last.pop_front();
        }
    }

    /// For the end of a message.
    fn told(&self) -> String {
        match self.last.is_empty() {
            true => String::new(),
            false => format!(", after these lines:\n  {}\n", Vec::from(self.last.clone()).join("\n  ")),
        }
    }
}

/// Tells an event to the log, or ends the build with it.
pub(super) fn tell(event: Event, printed: &mut Printed, log: &dyn LineSink) -> Result<(), Stopped> {
    match event {
        Event::Runs(command) => {
            printed.last.clear();
            log.line(LineSource::AppRunner, &announce(&command, ""));
        }
        Event::Cached(command) => log.line(LineSource::AppRunner, &announce(&command, " (unchanged, from the cache)")),
        Event::Line(text) => {
            printed.keep(&text);
            if printed.bytes > OUTPUT_BYTES {
                let message = format!("the build printed more than {} MB", OUTPUT_BYTES >> 20);
                return Err(BuildError::Limit(message).into());
            }
            log.line(LineSource::Build, &text);
        }
        Event::Failed { message, .. }
            if message.contains("no active session")
                || message.to_ascii_lowercase().contains("unknown flag: mount") =>
        {
            return Err(Stopped::NeedsClassic);
        }
        Event::Failed { command: Some(command), message, code } => {
            let mut ended = code.map_or(message, ended);
            if let Some(place) = &command.place {
                ended = format!("({place}) {ended}{}", printed.told());
            }
            return Err(BuildError::Command { phase: command.phase, command: command.line, ended }.into());
        }
        Event::Failed { command: None, message, .. } => {
            return Err(BuildError::Runtime(format!("The build could not be prepared: {message}")).into());
        }
    }
    Ok(())
}

fn announce(command: &recipe::Command, note: &str) -> String {
    let mut lines = command.line.trim().lines();
    let first = lines.next().unwrap_or_default();
    let more = if lines.next().is_some() { " …" } else { "" };
    if let Some(place) = &command.place {
        return format!("{place}: {first}{note}");
    }
    format!("Running '{}' command: {first}{more}{note}", command.phase)
}

fn ended(code: i64) -> String {
    match code {
        137 => "killed by signal 9 (SIGKILL), perhaps out of memory".into(),
        129..=192 => format!("killed by signal {}", code - 128),
        127 => "exited with code 127 (command not found)".into(),
        code => format!("exited with code {code}"),
    }
}
