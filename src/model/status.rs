//! A service's status as App Runner names it (row R4).

use serde::{Deserialize, Serialize};

/// Derived from facts (operation, revision, pause) by one function, never set by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ServiceStatus {
    /// Its creation failed: it does not serve (row R5).
    CreateFailed,
    /// It serves its current revision.
    Running,
    /// It was deleted and is only describable for a while.
    Deleted,
    /// Its deletion failed; delete again.
    DeleteFailed,
    /// Compute is at zero, all that is stored stays (row D5).
    Paused,
    /// An operation runs.
    OperationInProgress,
}

impl ServiceStatus {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CreateFailed => "CREATE_FAILED",
            Self::Running => "RUNNING",
            Self::Deleted => "DELETED",
            Self::DeleteFailed => "DELETE_FAILED",
            Self::Paused => "PAUSED",
            Self::OperationInProgress => "OPERATION_IN_PROGRESS",
        }
    }
}
