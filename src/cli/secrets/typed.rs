//! A value that somebody types without seeing it, or pipes in.

use crate::cli::failure::Failure;
use crate::cli::screen::Screen;
use crate::model::Secret;
use crate::secrets::{MAX_VALUE, without_line_end};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::io::{self, BufRead, IsTerminal, Read, Write};

/// Reads a value from standard input: a line without echo from a person, everything from a pipe.
pub(super) fn value(screen: &Screen) -> Result<Secret, Failure> {
    let failed = |e: io::Error| Failure::caused("failed to read the value", &e);
    let mut text = String::new();
    let stdin = io::stdin();
    if stdin.is_terminal() {
        // Nobody is left to be told when this fails.
        let _ = write!(io::stderr(), "Value (not shown): ");
        let quiet = Quiet::begin().map_err(failed)?;
        stdin.lock().read_line(&mut text).map_err(failed)?;
        drop(quiet);
        screen.note("");
    } else {
        stdin.lock().take(MAX_VALUE + 1).read_to_string(&mut text).map_err(failed)?;
    }
    let value = without_line_end(&text);
    if value.is_empty() {
        return Err(Failure::new("there is no value").hint("type it, or pipe it in: `towpath secrets encrypt < FILE`"));
    }
    if value.contains('\0') {
        return Err(Failure::new("the value holds a zero byte, which no variable can"));
    }
    Ok(Secret::new(value.to_owned()))
}

/// A terminal that does not show what is typed.
struct Quiet(Termios);

impl Quiet {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut quiet = before.clone();
        quiet.local_modes -= LocalModes::ECHO;
        quiet.local_modes |= LocalModes::ECHONL & before.local_modes;
        tcsetattr(io::stdin(), OptionalActions::Flush, &quiet)?;
        Ok(Self(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // What else could be done about a terminal that has gone?
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}
