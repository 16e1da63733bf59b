//! What of this machine helps or hinders: `towpath doctor`. Looks only: nothing is changed but a control group and a
//! listener that are there for a moment. Every look is bounded in time.

mod engines;
mod files;
mod machine;
mod network;
#[cfg(test)]
mod tests;

use crate::cli::{Examination, Finding};

/// Looks at everything.
pub fn examine(examination: &Examination) -> Vec<Finding> {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let found = format!("failed to start a runtime: {error}");
            return vec![Finding::problem("machine", found, "free memory and file descriptors, and look again")];
        }
    };
    let mut findings = runtime.block_on(engines::examine(examination));
    findings.extend(machine::examine(&examination.data_dir));
    findings.extend(runtime.block_on(network::examine(examination)));
    findings.extend(files::examine(examination));
    // A name that is still being asked for must not keep the command.
    runtime.shutdown_background();
    findings
}
