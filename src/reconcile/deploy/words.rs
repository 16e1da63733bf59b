//! The words of operations in events and logs (row O3).

use crate::model::{Operation, OperationKind};

/// The words of an operation's events and log lines (row O3).
pub struct Words {
    event: &'static str,
    /// What the operation is called in sentences.
    pub(super) what: &'static str,
    suffix: &'static str,
    /// The first line of its log.
    pub first_line: &'static str,
    /// The last line of its log when it succeeded.
    pub done_line: &'static str,
    /// The last line of its log when it failed.
    pub failed_line: &'static str,
}

/// The words of an operation.
pub fn words(operation: &Operation) -> Words {
    const LOGS: &str = " For details, see service logs.";
    let deploys = |event, what, suffix| Words {
        event,
        what,
        suffix,
        first_line: "Service deployment started.",
        done_line: "Service deployment completed successfully.",
        failed_line: match operation.previous {
            Some(_) => "Service deployment failed. What served before goes on.",
            None => "Service deployment failed.",
        },
    };
    let acts = |event, what, first_line, done_line, failed_line| Words {
        event,
        what,
        suffix: "",
        first_line,
        done_line,
        failed_line,
    };
    match operation.kind {
        OperationKind::CreateService => {
            Words { failed_line: "Service creation failed.", ..deploys("CreateService", "Service creation", LOGS) }
        }
        OperationKind::UpdateService => deploys("UpdateService", "Service update", LOGS),
        OperationKind::StartDeployment => deploys("Deployment", "Deployment", LOGS),
        OperationKind::PauseService => acts(
            "PauseService",
            "Service pause",
            "Pausing the service.",
            "The service is paused.",
            "The service could not be paused.",
        ),
        OperationKind::ResumeService => acts(
            "ResumeService",
            "Service resume",
            "Resuming the service.",
            "The service runs again.",
            "The service could not be resumed.",
        ),
        OperationKind::DeleteService => acts(
            "DeleteService",
            "Service deletion",
            "Deleting the service.",
            "The service is deleted.",
            "The service could not be deleted.",
        ),
    }
}

impl Words {
    /// The event of its begin.
    pub fn started(&self) -> (String, String) {
        (self.kind("Started"), format!("{} started.", self.what))
    }

    /// The event of its success.
    pub fn succeeded(&self, operation: &Operation) -> (String, String) {
        let what_is_new = match (operation.kind, operation.target.in_place) {
            (OperationKind::UpdateService, true) => " New configuration is deployed.",
            (OperationKind::UpdateService, false) => " New application and configuration is deployed.",
            _ => "",
        };
        (self.kind("CompletedSuccessfully"), format!("{} completed successfully.{what_is_new}", self.what))
    }

    /// The event of its failure. The reason is in the detail, as AWS leaves it to the logs.
    pub fn failed(&self) -> (String, String) {
        (self.kind("Failed"), format!("{} failed.{}", self.what, self.suffix))
    }

    fn kind(&self, end: &str) -> String {
        format!("{}{end}", self.event)
    }
}
