//! Points at which a debug build ends itself as `kill -9` would, when a test asks for one: so that a crash at every step
//! of every operation can be enumerated instead of sampled. A release build has none of it.

use super::core::Core;
use crate::model::{OperationKind, Step};

/// The variable that names the point: `<KIND>/<step>/<moment>`, for example `CREATE_SERVICE/build/entered`.
pub const VARIABLE: &str = "TOWPATH_FAULT_AT";

/// Moments of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The intent is written, nothing is done yet.
    Entered,
    /// All is done, the result is not written yet.
    Done,
}

/// Ends the process here if this is the point that was asked for.
pub fn here(core: &Core, kind: OperationKind, step: Step, moment: Moment) {
    if !cfg!(debug_assertions) {
        return;
    }
    let Some(wanted) = core.config.environment.get(VARIABLE) else { return };
    let name = |value: serde_json::Result<serde_json::Value>| {
        value.ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
    };
    let moment = if moment == Moment::Entered { "entered" } else { "done" };
    let here = format!("{}/{}/{moment}", name(serde_json::to_value(kind)), name(serde_json::to_value(step)));
    if wanted.reveal() == here {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}
