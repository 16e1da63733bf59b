//! What `towpath run` passes on to its command: standard input, or a terminal with what is typed and its size.

use super::super::failure::Failure;
use crate::api::commands::{CommandInputTaken, InputKind, LARGEST_PIECE};
use crate::cli::client::{CallError, Client};
use crate::model::InstanceId;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// How long to wait after a call that failed: the output's side says what is wrong.
const PAUSE: Duration = Duration::from_millis(500);

/// Whether standard input is a pipe or a file: it was put there to be read.
pub(super) fn is_pipe_or_file() -> bool {
    use rustix::fs::FileType;
    let kind = rustix::fs::fstat(io::stdin()).map(|stat| FileType::from_raw_mode(stat.st_mode));
    matches!(kind, Ok(FileType::Fifo | FileType::RegularFile))
}

/// The size of this terminal, as the wire says it.
pub(super) fn size() -> Option<Value> {
    let size = tcgetwinsize(io::stdout()).ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then(|| json!({ "Rows": size.ws_row, "Columns": size.ws_col }))
}

/// What a terminal shows.
pub(super) fn decoded(pieces: &[String]) -> Vec<u8> {
    pieces.iter().flat_map(|piece| STANDARD.decode(piece).unwrap_or_default()).collect()
}

/// Shows it, as it is: it is this person's own command.
pub(super) fn show(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let shown = out.write_all(bytes).and_then(|()| out.flush());
    shown.map_err(|_| Failure::ReaderGone)
}

/// The terminal in the state in which everything that is typed goes to the command; given back when this is dropped.
pub(super) struct RawTerminal(Termios);

impl RawTerminal {
    pub fn take() -> Result<Self, Failure> {
        let failed = |e: rustix::io::Errno| Failure::caused("failed to set the terminal up", &io::Error::from(e));
        let before = tcgetattr(io::stdin()).map_err(failed)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw).map_err(failed)?;
        Ok(Self(before))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // Nobody is there to be told.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// Passes on what is read and the size of the terminal, for as long as it is waited for. What goes wrong is told by
/// whoever follows the output.
pub(super) async fn pass_on(client: &Client, id: &InstanceId, reads: InputKind) -> Infallible {
    if reads != InputKind::Empty {
        let resizing = async {
            if reads == InputKind::Terminal {
                resize(client, id).await;
            }
        };
        tokio::join!(send(client, id), resizing);
    }
    std::future::pending().await
}

async fn send(client: &Client, id: &InstanceId) {
    let mut pieces = read();
    let mut at = 0;
    while let Some(piece) = pieces.recv().await {
        let (mut rest, end) = (&piece[..], piece.is_empty());
        loop {
            let input = json!({ "CommandId": id, "At": at, "Data": STANDARD.encode(rest), "End": end });
            let taken: Result<CommandInputTaken, CallError> = client.call("Towpath.SendCommandInput", &input).await;
            match taken {
                Ok(CommandInputTaken { closed: true, .. }) => return,
                Ok(CommandInputTaken { next, .. }) => {
                    let count = usize::try_from(next.saturating_sub(at)).unwrap_or(0).min(rest.len());
                    (at, rest) = (next, &rest[count..]);
                    if rest.is_empty() && !end {
                        break;
                    }
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }
}

/// Standard input in pieces, an empty one at its end. By a thread of its own, which may sit in a read for ever.
fn read() -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        let mut input = io::stdin().lock();
        loop {
            let mut piece = vec![0; LARGEST_PIECE];
            let count = match input.read(&mut piece) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read.unwrap_or(0),
            };
            piece.truncate(count);
            if sender.blocking_send(piece).is_err() || count == 0 {
                return;
            }
        }
    });
    receiver
}

async fn resize(client: &Client, id: &InstanceId) {
    let Ok(mut changes) = signal(SignalKind::window_change()) else { return };
    while changes.recv().await.is_some() {
        if let Some(size) = size() {
            let input = json!({ "CommandId": id, "TerminalSize": size });
            // The next change tells it again.
            let _: Result<Value, CallError> = client.call("Towpath.ResizeCommand", &input).await;
        }
    }
}
