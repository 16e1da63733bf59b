//! What a failure means for whoever acts next, and the error of values that do not validate.

use serde::{Deserialize, Serialize};

/// Who acts next after a failure. This class alone picks the status, the event and the requeue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Class {
    /// towpath tries again by itself, with backoff.
    Retry,
    /// Nothing to do until a timer or an event says *look again*.
    Wait,
    /// A person has to change something.
    Stalled,
}

/// A value that does not validate: says what is wrong with it, with the value in backticks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Invalid {
    /// What is wrong, in words a user understands.
    pub message: String,
    /// What to do about it, where that is known.
    pub hint: Option<String>,
}

impl Invalid {
    /// An error without a hint.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    /// The same error with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
