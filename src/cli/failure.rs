//! How a command fails, and the one place that prints it (house rule 15): `error:`, `caused by:`, `hint:`.

use super::screen::Screen;
use crate::model::Invalid;
use std::error::Error;
use std::io::{self, Write};

/// A failed command, for people.
#[derive(Debug)]
pub enum Failure {
    /// Something failed.
    Told {
        /// What.
        message: String,
        /// The chain of causes, the nearest first.
        causes: Vec<String>,
        /// What to do.
        hint: Option<String>,
    },
    /// Everything was said already; only the exit code is left.
    Silent,
    /// A person pressed Ctrl-C while a command waited.
    Interrupted,
    /// Whoever read standard output has gone (`towpath logs shop | head`): no error.
    ReaderGone,
}

impl Failure {
    /// A failure with a message.
    pub fn new(message: impl Into<String>) -> Self {
        Self::Told { message: message.into(), causes: Vec::new(), hint: None }
    }

    /// What failed, with the chain of its causes.
    pub fn caused(message: impl Into<String>, source: &(dyn Error + 'static)) -> Self {
        let chain = std::iter::successors(Some(source), |e: &&(dyn Error + 'static)| (*e).source());
        Self::Told { message: message.into(), causes: chain.map(ToString::to_string).collect(), hint: None }
    }

    /// The same failure with a hint.
    #[must_use]
    pub fn hint(self, text: impl Into<String>) -> Self {
        match self {
            Self::Told { message, causes, .. } => Self::Told { message, causes, hint: Some(text.into()) },
            other => other,
        }
    }

    /// Prints it to standard error.
    pub fn print(&self, screen: &Screen) {
        let Self::Told { message, causes, hint } = self else { return };
        let mut text = format!("{} {message}\n", screen.loud("error:"));
        for cause in causes {
            text.push_str(&format!("{} {cause}\n", screen.strong("caused by:")));
        }
        if let Some(hint) = hint {
            text.push_str(&format!("{} {hint}\n", screen.strong("hint:")));
        }
        // Nobody is left to be told when this fails.
        let _ = io::stderr().write_all(text.as_bytes());
    }
}

impl From<Invalid> for Failure {
    fn from(invalid: Invalid) -> Self {
        Self::Told { message: invalid.message, causes: Vec::new(), hint: invalid.hint }
    }
}
