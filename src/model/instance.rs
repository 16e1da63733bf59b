//! Instances: what an engine is told to start, and what it reports.

use super::error::Invalid;
use super::ids::{Digest, InstanceId, ServiceId};
use super::names::{EnvName, ServiceName};
use super::revision::RevisionNumber;
use super::secret::Secret;
use super::service::InstanceSize;
use super::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What a build leaves for an engine to start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Artifact {
    /// A directory that holds the built application (process engine).
    Directory {
        /// The directory that commands run in.
        path: PathBuf,
        /// The directory that holds all of the artifact, `path` among it; none in records of older versions, which had
        /// nothing that instances change beside `path`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        root: Option<PathBuf>,
        /// Directories put before `PATH`: the virtual environment, `node_modules/.bin`, the interpreter.
        path_prefix: Vec<PathBuf>,
        /// Variables that the runtime needs (`VIRTUAL_ENV`, …).
        env: BTreeMap<EnvName, String>,
    },
    /// An image in the engine's store, by its immutable id (`sha256:…`).
    Image {
        /// The image id.
        id: String,
    },
}

/// How the application is started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StartCommand {
    /// Executed directly, split into words as App Runner does.
    Words(Vec<String>),
    /// Needs a shell (`&&`, `$VAR`, pipes): run by `sh -c`.
    Shell(String),
}

/// Words that only a shell knows as commands: no program of these names can be meant.
const SHELL_WORDS: &[&str] = &[
    "exec", "cd", "source", ".", "export", "set", "unset", "ulimit", "umask", "eval", "trap", "if", "for", "while",
    "until", "case", "!", "{",
];
/// The kernel takes no longer single argument (`MAX_ARG_STRLEN`), and `sh -c` passes a command as one.
const MAX_COMMAND: usize = 128 * 1024 - 1;

impl StartCommand {
    /// Reads a start command: split into words as App Runner does, quotes honoured, and whether it goes to a shell,
    /// which the user is told (row S7).
    ///
    /// It goes to a shell when it has, outside quotes, `&`, `|`, `;`, `<`, `>`, `(`, `)`, a backtick or a second line;
    /// `$NAME`, `${…}` or `$(…)` outside single quotes; an assignment in front (`NAME=x cmd`); or begins with what only
    /// a shell knows (`exec`, `cd`). Patterns (`*`) and `~` alone do not: App Runner passes them on as they stand
    /// (`--forwarded-allow-ips *`), and a file that works there must mean the same here.
    pub fn parse(text: &str) -> Result<(Self, bool), Invalid> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Invalid::new("the start command is empty").hint("write how the application is started"));
        }
        if text.contains('\0') || text.len() > MAX_COMMAND {
            return Err(Invalid::new(format!("the start command has a NUL or more than {MAX_COMMAND} bytes")));
        }
        let unclosed = || {
            Invalid::new("a quote or backslash of the start command is left open")
                .hint("close the quote; in single quotes nothing is special")
        };
        let words = shlex::split(text).ok_or_else(unclosed)?;
        if needs_shell(text) {
            return Ok((Self::Shell(text.to_owned()), true));
        }
        match words.first() {
            Some(program) if !program.is_empty() => Ok((Self::Words(words), false)),
            _ => Err(Invalid::new("the start command names no program").hint("write how the application is started")),
        }
    }
}

/// See `StartCommand::parse`.
fn needs_shell(text: &str) -> bool {
    let first = text.split_whitespace().next().unwrap_or_default();
    let assigns =
        first.split_once('=').is_some_and(|(name, _)| name.parse::<EnvName>().is_ok_and(|n| n.is_for_shells()));
    assigns || SHELL_WORDS.contains(&first) || has_operator(text)
}

fn has_operator(text: &str) -> bool {
    let mut quote = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some('\''), '\'') | (Some('"'), '"') => quote = None,
            (Some('\''), _) => {}
            (_, '\\') => drop(chars.next()),
            (_, '`') => return true,
            (_, '$') if chars.peek().is_some_and(|n| n.is_ascii_alphanumeric() || "_{(?!#@*$-".contains(*n)) => {
                return true;
            }
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '&' | '|' | ';' | '<' | '>' | '(' | ')' | '\n') => return true,
            (None, _) => {}
        }
    }
    false
}

/// What something that an engine starts is there for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Purpose {
    /// To serve requests: an instance of its service.
    #[default]
    Serve,
    /// To run one command once (a release command, `towpath run`): no instance of its service, never routed, never
    /// healed, never counted.
    Once,
}

/// What a command reads from, and what it takes for its terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Input {
    /// Nothing.
    #[default]
    Empty,
    /// What is written to it, until that ends.
    Pipe,
    /// A terminal, which its output goes to as well.
    Terminal(TerminalSize),
}

/// The size of a terminal, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TerminalSize {
    /// Lines.
    pub rows: u16,
    /// Characters of a line.
    pub columns: u16,
}

/// Exactly what to start. An engine knows nothing of a service's history: it starts this, labels it, reports it.
/// Not serializable as a whole: `env` holds secret values.
#[derive(Clone, Debug)]
pub struct InstanceSpec {
    /// The instance to be; starting the same id twice starts it once.
    pub id: InstanceId,
    /// Whether it serves, or is a command that runs once.
    pub purpose: Purpose,
    /// The service it belongs to.
    pub service: ServiceId,
    /// The service's name, for labels, logs and `ps`.
    pub name: ServiceName,
    /// The revision it runs.
    pub revision: RevisionNumber,
    /// The digest of its configuration, kept as a label to notice drift.
    pub config: Digest,
    /// What it is made of.
    pub artifact: Artifact,
    /// Shell lines run before the start command, in the same environment.
    pub pre_run: Vec<String>,
    /// The start command.
    pub command: StartCommand,
    /// All variables but those that carry the port; the artifact's own are added by the engine.
    pub env: BTreeMap<EnvName, Secret>,
    /// The port that the application is configured to listen on.
    pub port: u16,
    /// Whether the configured port may be used as it is on this host: only one instance ever runs. Else a port is leased.
    pub sole: bool,
    /// Variables to carry the port that the application must listen on: `PORT`, and `run.network.env`.
    pub port_env: Vec<EnvName>,
    /// CPU and memory limits.
    pub size: InstanceSize,
    /// What the start command reads from.
    pub input: Input,
    /// The file that receives the application's output, a time-stamped line each.
    pub log: PathBuf,
}

/// The state of an instance as its engine sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum InstanceState {
    /// Being started; has perhaps no address yet.
    Starting,
    /// Its process runs (whether it is healthy is for checks to say).
    Running,
    /// Stopped in its tracks, memory kept.
    Frozen,
    /// It ended by itself, or was killed by someone else.
    Exited {
        /// The exit code, or 128 + signal.
        code: Option<i32>,
        /// What is known about the end, for people: `exited with code 1`, `killed: out of memory (512 MB)`.
        message: String,
    },
}

/// One instance that really is on the engine, by our label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedInstance {
    /// Its id.
    pub id: InstanceId,
    /// The service it belongs to.
    pub service: ServiceId,
    /// The revision it runs.
    pub revision: RevisionNumber,
    /// The digest of the configuration that it was started with.
    pub config: Digest,
    /// Its state.
    pub state: InstanceState,
    /// Where it answers.
    pub address: Option<SocketAddr>,
    /// When it was started.
    pub started_at: Timestamp,
    /// What was changed on it by hand since, field by field (`memory limit: 512 MB → 1 GB`); empty when nothing.
    pub drift: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Option<Vec<String>> {
        match StartCommand::parse(text).unwrap() {
            (StartCommand::Words(words), false) => Some(words),
            (StartCommand::Shell(line), true) if line == text.trim() => None,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_plain_command_is_split_into_words_with_quotes_honoured() {
        for (text, expected) in [
            ("python app.py", vec!["python", "app.py"]),
            ("gunicorn --bind 0.0.0.0:8080 app:app\n", vec!["gunicorn", "--bind", "0.0.0.0:8080", "app:app"]),
            ("sh -c 'a && b | c > $HOME'", vec!["sh", "-c", "a && b | c > $HOME"]),
            (r#"node -e "it's; fine" a\ b \$HOME"#, vec!["node", "-e", "it's; fine", "a b", "$HOME"]),
            ("gunicorn --forwarded-allow-ips * app:app", vec!["gunicorn", "--forwarded-allow-ips", "*", "app:app"]),
            ("grep ^a$ x", vec!["grep", "^a$", "x"]),
            ("env A=b ./run --url=http://x/?a=1", vec!["env", "A=b", "./run", "--url=http://x/?a=1"]),
        ] {
            assert_eq!(words(text), Some(expected.into_iter().map(str::to_owned).collect()), "{text}");
        }
    }

    #[test]
    fn a_command_that_needs_a_shell_gets_one() {
        for text in [
            "npm run migrate up && npm start",
            "a || b",
            "a; b",
            "a | tee log",
            "a > log 2>&1",
            "a &",
            "PORT=80 python app.py",
            "python app.py --port $PORT",
            "python app.py --port \"${PORT}\"",
            "echo `date`",
            "echo \"$(date)\"",
            "exec node app.js",
            "cd web\nnpm start",
        ] {
            assert_eq!(words(text), None, "{text}");
        }
    }

    #[test]
    fn a_command_that_cannot_be_run_is_refused() {
        for text in ["", "  \n", "python 'app.py", "a \"b", "a \\", "'' x", "a\0b", &"x".repeat(200_000), "# nothing"] {
            assert!(StartCommand::parse(text).is_err(), "{text:?}");
        }
    }
}
